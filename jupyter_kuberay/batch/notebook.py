"""One notebook, from beginning to end, in a kernel of its own.

The kernel is this interpreter's, whatever kernels are registered under the
notebook's kernel name: what a cluster was checked against is what runs.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_kuberay.errors import Failed, InvalidSpec, KubeRayError, NotFound, Refused

CLUSTER_VARIABLE = "JUPYTER_KUBERAY_CLUSTER"  # which cluster `connect()` takes


@dataclass(frozen=True)
class Step:
    """How far a notebook is."""

    done: int  # code cells that have run
    cells: int  # code cells in all
    title: str  # the last heading above the cell that runs, or its first line


Progress = Callable[[Step], None]


@dataclass(frozen=True)
class Outcome:
    """A notebook that ran to its end."""

    source: Path
    target: Path
    cells: int  # code cells that ran
    seconds: float


def run_notebook(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    parameters: Mapping[str, Any] | None = None,
    *,
    kernel: Mapping[str, str] | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Run ``source`` with ``parameters``, and write it with its outputs to ``target``, which grows as it runs.

    Parameters
    ----------
    parameters
        Put in the place of the values in the cell tagged ``parameters``.
    kernel
        Environment variables of the kernel beside this process's own, such as
        ``{CLUSTER_VARIABLE: "alice-1"}``.
    folder
        Where the kernel works; default: the source's folder.
    progress
        Told at each cell's beginning and end.

    Raises
    ------
    NotFound, InvalidSpec
        There is no such notebook, or it is none, or it has no such parameter. Nothing ran.
    Failed
        A cell raised, or the kernel died. ``target`` holds everything up to there.
    Refused
        ``target`` cannot be written.

    Ctrl-C ends the kernel, and ``target`` holds everything up to there.
    """
    source, target = Path(source).expanduser(), Path(target).expanduser()
    check_notebook(source, parameters)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"{str(target)!r} cannot be written: {error.strerror}.", "Name another place for the output.") from error

    from jupyter_kuberay.batch import engine

    began = time.monotonic()
    try:
        cells = engine.execute(
            source.resolve(),
            target.resolve(),
            dict(parameters or {}),
            environment={**os.environ, **(kernel or {})},
            folder=Path(folder or source.parent).resolve(),
            progress=progress or (lambda _: None),
        )
    except KubeRayError:
        raise
    except OSError as error:
        raise Refused(f"{str(target)!r} cannot be written: {error.strerror or error}.", "Name another place for the output.") from error
    except Exception as error:
        raise _failed(source, target, error) from error
    return Outcome(source, target, cells, time.monotonic() - began)


def parameters_of(source: str | os.PathLike[str]) -> set[str]:
    """The names that a notebook's cell tagged ``parameters`` sets.

    Raises
    ------
    NotFound, InvalidSpec
        There is none, or it is no notebook.
    """
    import nbformat

    if not Path(source).is_file():
        raise NotFound(f"There is no notebook {os.fspath(source)!r}.", "Check the path.")
    try:
        notebook: Any = nbformat.read(source, as_version=4)  # type: ignore[no-untyped-call]
    except Exception as error:
        what = (str(error) or type(error).__name__).splitlines()[0]
        raise InvalidSpec(f"{os.fspath(source)!r} is no notebook: {what}", "Name a file that Jupyter can open.") from error
    tagged = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    return {name for text in tagged for name in re.findall(r"^([A-Za-z_]\w*)\s*(?::[^=\n]*)?=", text, re.MULTILINE)}


def check_notebook(source: str | os.PathLike[str], parameters: Mapping[str, Any] | None = None) -> None:
    """Raise what `run_notebook` would before it starts a kernel: `NotFound` or `InvalidSpec`."""
    known = parameters_of(source)
    unknown = sorted(set(parameters or ()) - known)
    if unknown:
        hint = f"It has: {', '.join(sorted(known))}." if known else "Tag the cell that has them with 'parameters'."
        raise InvalidSpec(f"{Path(source).name} has no parameter {', '.join(unknown)}.", hint)


def _failed(source: Path, target: Path, error: Exception) -> Failed:
    hint = f"Everything up to there is in {target}."
    if type(error).__name__ == "PapermillExecutionError":
        line = _line(getattr(error, "traceback", ()))
        what = f"{getattr(error, 'ename', '')}: {getattr(error, 'evalue', '')}".strip(": ").split("\n")[0]
        where = f"in cell [{getattr(error, 'exec_count', '?')}]" + (f" at `{line}`" if line else "")
        return Failed(f"{source.name} failed {where}: {what}", hint)
    if type(error).__name__ == "DeadKernelError":
        return Failed(f"{source.name} failed: its kernel died.", f"Often the memory was not enough. {hint}")
    return Failed(f"{source.name} failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(": "), hint)


def _line(traceback: Any) -> str:
    """The cell's own line that raised, from IPython's traceback."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(traceback or ()))
    in_cell = text.split("Cell In", 1)[-1]
    found = re.search(r"^-+> *\d+ (.*)$", in_cell, re.MULTILINE)
    return found.group(1).strip() if found else ""
