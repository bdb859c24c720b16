"""What goes along with what runs in the cluster, and what cannot: files that lie here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.batch import Place
from jupyter_kuberay.batch.notebook import slim
from jupyter_kuberay.errors import InvalidSpec

if TYPE_CHECKING:
    from jupyter_kuberay.batch.opening import Opened

CARRIED_BYTES = 16_000  # of a file that a parameter names: gates, a schema, a list; a job has little room, and data has places of its own
EVERYTHING = ("/",)  # what a cluster on this machine sees


def carried_notebook(place: Place) -> tuple[str, dict[str, bytes]]:
    """What the job's folder calls a notebook, and the files that go along: it, and modules beside it. A URL is read by the job."""
    from jupyter_kuberay.batch.incluster import modules_beside

    if place.path is None:
        return place.url, {}
    return place.name, {place.name: slim(place.read()), **modules_beside([place.path.parent])}


def carried_pipeline(opened: Opened, file: Place, seen: Sequence[str]) -> tuple[str, dict[str, bytes], dict[str, Any]]:
    """The same of a pipeline's file and the notebooks that it names; and parameters that have to be others there.

    A parameter that is the relative path of a small file goes along with that file; of a larger one, and of what lies outside the
    pipeline's folder, the absolute path is given.

    Parameters
    ----------
    seen
        Folders of this machine that the cluster has at the same path.

    Raises
    ------
    InvalidSpec
        A notebook lies outside the pipeline's folder, or what a parameter names lies where the cluster does not see it.
    """
    from jupyter_kuberay.batch.incluster import modules_beside

    folder = Path(opened.folder)
    files = {file.name: file.read(), **modules_beside([folder])}
    for step, notebook in opened.notebooks.items():
        place = Place.of(notebook)
        if place.path is None:
            continue
        if not place.path.is_relative_to(folder):
            raise InvalidSpec(f"Step {step} runs {notebook}, which lies outside {folder}.", "Move it there, or give its URL.")
        files[place.path.relative_to(folder).as_posix()] = slim(place.read())
    if file.path is None:
        return file.name, files, {}
    changed: dict[str, Any] = {}
    for name, value in opened.pipeline.parameters.items():
        path = _named(value, folder)
        if path is None:
            continue
        if path.is_relative_to(folder) and path.is_file() and path.stat().st_size <= CARRIED_BYTES:
            files[path.relative_to(folder).as_posix()] = path.read_bytes()
        else:
            changed[name] = str(path)
            if not is_seen(path, seen):
                raise InvalidSpec(
                    f"The parameter {name} names {value}, which lies on this machine, where the cluster does not see it.",
                    f"Put it where the cluster {_sees(seen)}, and give its address: -p {name} …",
                )
    return file.name, files, changed


def _named(value: Any, folder: Path) -> Path | None:
    """What a parameter names by a relative path: a file, a folder, or whatever lies outside ``folder``; None for all other values.

    A word that happens to be a folder's name is a word.
    """
    if not isinstance(value, str) or not value or "://" in value or os.path.isabs(value) or len(value) > 4096 or "\0" in value:
        return None
    path = Path(os.path.normpath(folder / os.path.expanduser(value)))
    if value.startswith(("../", "~/")) or value == "..":
        return path
    return path if path.is_file() or ("/" in value and path.is_dir()) else None


def check_output(output: Place, seen: Sequence[str]) -> None:
    """A cluster elsewhere writes to this machine's disk only where a claim is mounted, which may be mounted here at the same path."""
    if output.path is None or is_seen(output.path, seen):
        return
    below = f", or a path below {' or '.join(seen)}, which the cluster sees too" if seen else ""
    raise InvalidSpec(
        f"{output.url!r} is a path of this machine, where the cluster does not write.", f"Name a URL that both reach: --out s3://…{below}"
    )


def is_seen(path: Path, seen: Sequence[str]) -> bool:
    """Whether a path lies in one of the folders that the cluster has, too."""
    return any(path.is_relative_to(folder) for folder in seen)


def _sees(seen: Sequence[str]) -> str:
    return f"sees it, such as below {' or '.join(seen)}" if seen else "reads it, such as s3://"
