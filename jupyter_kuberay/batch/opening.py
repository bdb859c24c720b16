"""A pipeline's file with the notebooks that it names: everything that can be wrong is found before anything runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jupyter_kuberay.batch.pipeline as pipelines
from jupyter_kuberay.batch.notebook import parameters_of, source_sha256
from jupyter_kuberay.batch.pipeline import Pipeline
from jupyter_kuberay.batch.places import Place
from jupyter_kuberay.errors import InvalidSpec, NotFound


@dataclass(frozen=True)
class Opened:
    """A pipeline that can run."""

    pipeline: Pipeline
    folder: str  # of its file: where relative paths begin
    output: str  # a folder or URL, absolute
    notebooks: Mapping[str, str]  # by step: an absolute path or URL
    outputs: Mapping[str, str]  # by step, likewise
    codes: Mapping[str, str]  # by step: `source_sha256` of the notebook as it was read


def open_pipeline(path: str | os.PathLike[str], parameters: Mapping[str, Any] | None = None, output: str = "") -> Opened:
    """Read a pipeline and its notebooks, and check all that can be checked.

    Parameters
    ----------
    path
        Of ``pipeline.yaml``, or of the folder that it is in; its relative paths begin in that folder.
    parameters
        In the place of the pipeline's own.
    output
        A folder or URL in the place of the pipeline's own; relative to the working directory.

    Raises
    ------
    NotFound
        There is no such file, or a notebook that it names is not there.
    InvalidSpec
        It is no pipeline (`parse_pipeline`), or a notebook is none or lacks a parameter.
    """
    where = Place.of(path)
    if where.path is not None and where.path.is_dir():
        where = where.child("pipeline.yaml")
    try:
        text = where.read().decode("utf-8-sig")
    except NotFound:
        raise NotFound(f"There is no pipeline {os.fspath(path)!r}.", "Name a YAML file, or the folder of a pipeline.yaml.") from None
    except UnicodeDecodeError as error:
        raise InvalidSpec(f"{where.name} is not UTF-8.", "Save it as UTF-8.") from error
    pipeline = pipelines.parse_pipeline(text, where.name, parameters)
    notebooks = {step.name: _beside(where, step.notebook) for step in pipeline.steps}
    codes = {step.name: source_sha256(_source(step, notebooks[step.name], where.name)) for step in pipeline.steps}
    pipelines.check_parameters(pipeline, {name: parameters_of(notebook.url) for name, notebook in notebooks.items()})
    into = Place.of(output) if output else _beside(where, pipeline.output)
    return Opened(
        pipeline,
        where.parent.url,
        into.url,
        {name: notebook.url for name, notebook in notebooks.items()},
        {step.name: into.child(step.output).url for step in pipeline.steps},
        codes,
    )


def _beside(where: Place, written: str) -> Place:
    """An absolute path or URL from one that may be relative to the pipeline's folder."""
    return Place.of(written) if "://" in written or written.startswith(("/", "~")) else Place.of(f"{where.parent.url}/{written}")


def _source(step: pipelines.PipelineStep, notebook: Place, where: str) -> bytes:
    try:
        return notebook.read()
    except NotFound:
        raise NotFound(f"{where}: step {step.name} names {step.notebook}, and there is no such notebook.", "Check its path.") from None
