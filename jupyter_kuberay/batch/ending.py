"""What became of a run, in a sentence and a hint, as its record keeps them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.batch.places import Place
from jupyter_kuberay.batch.records import RunState
from jupyter_kuberay.errors import KubeRayError

if TYPE_CHECKING:
    from jupyter_kuberay.batch.execution import Execution


def how_it_ended(execution: Execution, source: Place, output: Place, cell_timeout: float | None) -> dict[str, Any]:
    """Of a run whose cells were run, up to where they were: the record's state, and its error and hint unless it went well."""
    hint = f"Everything up to there is in {output}."
    if execution.overdue:
        cell, limit = execution.done + 1, f"{cell_timeout:g} s"
        error = f"{source.name} failed: code cell {cell} took longer than {limit}."
        return {"state": RunState.FAILED, "error": error, "hint": f"{hint} Give it more time, or make it shorter."}
    if execution.stopped:
        error = f"Interrupted after {execution.done} of {len(execution.code)} cells."
        return {"state": RunState.INTERRUPTED, "error": error, "hint": hint}
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import raise_for_execution_errors

    try:
        raise_for_execution_errors(execution.notebook, None)
    except PapermillExecutionError as error:
        line = _line(error.traceback)
        what = _plain(f"{error.ename}: {error.evalue}").strip(": ").split("\n")[0]
        where = f"in cell [{error.exec_count}]" + (f" at `{line}`" if line else "")
        return {"state": RunState.FAILED, "error": f"{source.name} failed {where}: {what}", "hint": hint}
    return {"state": RunState.SUCCEEDED}


def why_it_failed(source: Place, output: Place, error: Exception) -> dict[str, Any]:
    """The same of one that ``error`` ended, which no cell raised."""
    hint = f"Everything up to there is in {output}."
    if isinstance(error, KubeRayError):
        what, hint = error.message, f"{error.hint}".strip() or hint
    elif type(error).__name__ == "DeadKernelError":
        what, hint = "its kernel died.", f"Often the memory was not enough. {hint}"
    else:
        what = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(": ")
    return {"state": RunState.FAILED, "error": f"{source.name} failed: {what}", "hint": hint}


def _plain(text: str) -> str:
    """Without a terminal's colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _line(traceback: Any) -> str:
    """The cell's own line that raised, from IPython's traceback."""
    text = _plain("\n".join(traceback or ()))
    in_cell = text.split("Cell In", 1)[-1]
    found = re.search(r"^-+> *\d+ (.*)$", in_cell, re.MULTILINE)
    return found.group(1).strip() if found else ""
