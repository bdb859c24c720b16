"""A notebook that is to be run: whether it is one, and what its parameters are."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_kuberay.batch.parameters import TAG, Parameter, checked, declared
from jupyter_kuberay.batch.places import Place
from jupyter_kuberay.errors import InvalidSpec, NotFound

CLUSTER_VARIABLE = "JUPYTER_KUBERAY_CLUSTER"  # which cluster `connect()` takes


@dataclass(frozen=True)
class Step:
    """How far a notebook is."""

    done: int  # code cells that have run
    cells: int  # code cells in all
    title: str  # the last heading above the cell that runs, or its first line


def opened(text: bytes, name: str) -> Any:
    """A notebook from its JSON, as version 4; `InvalidSpec` when it is none."""
    import nbformat

    try:
        notebook = nbformat.reads(text.decode("utf-8"), as_version=4)  # type: ignore[no-untyped-call]
        nbformat.validate(notebook)
    except Exception as error:
        what = (str(error) or type(error).__name__).splitlines()[0]
        raise InvalidSpec(f"{name!r} is no notebook: {what}", "Name a file that Jupyter can open.") from error
    return notebook


def parameters_in(notebook: Any) -> dict[str, Parameter]:
    """The parameters that the cell tagged ``parameters`` sets."""
    return declared(cell.source for cell in notebook.cells if TAG in cell.metadata.get("tags", []))


def parameters_of(source: str | os.PathLike[str]) -> dict[str, Parameter]:
    """The parameters of the notebook at a path or URL.

    Raises
    ------
    NotFound, InvalidSpec
        There is none, or it is no notebook.
    """
    return parameters_in(read_notebook(source)[0])


def read_notebook(source: str | os.PathLike[str]) -> tuple[Any, bytes]:
    """The notebook at a path or URL, and the bytes that it was read from. Raises as `parameters_of` does."""
    try:
        text = Place.of(source).read()
    except NotFound:
        raise NotFound(f"There is no notebook {os.fspath(source)!r}.", "Check the path.") from None
    return opened(text, os.fspath(source)), text


def check_notebook(source: str | os.PathLike[str], parameters: Mapping[str, Any] | None = None) -> None:
    """Raise what a run would before it starts a kernel: `NotFound` or `InvalidSpec`."""
    checked(parameters_of(source), parameters or {}, Path(source).name)


def source_sha256(notebook: bytes) -> str:
    """What a notebook does, as a SHA-256 in hexadecimal: the same whatever its prose, its outputs and its cells' ids are."""
    try:
        cells = [cell for cell in json.loads(notebook)["cells"] if cell["cell_type"] == "code"]
        code = [["".join(cell["source"]), TAG in cell["metadata"].get("tags", [])] for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError):
        return hashlib.sha256(notebook).hexdigest()  # of an old format, or none
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


def slim(notebook: bytes) -> bytes:
    """A notebook without its outputs, which are made anew and may have megabytes."""
    found = json.loads(notebook)
    for cell in found.get("cells", []):
        if cell.get("cell_type") == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return json.dumps(found, separators=(",", ":")).encode()
