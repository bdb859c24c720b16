"""How runs of notebooks look: one, a list, a sweep, a pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jupyter_kuberay.batch.piping import PipelineRun
from jupyter_kuberay.batch.records import RunRecord, RunState
from jupyter_kuberay.batch.sweeping import Sweep
from jupyter_kuberay.batch.table import Table
from jupyter_kuberay.faces.answers import NotebookRun
from jupyter_kuberay.faces.view import Mood, View, Words, age, brief, register, table

_MOODS = {RunState.SUCCEEDED: Mood.GOOD, RunState.FAILED: Mood.BAD, RunState.LOST: Mood.BAD, RunState.INTERRUPTED: Mood.FAINT}


@register
def _(answer: NotebookRun, now: datetime) -> View:
    rows = [
        (Words("notebook"), Words(answer.notebook, Mood.STRONG)),
        (Words("cells"), Words(f"{answer.cells} in {answer.seconds:.1f} s", Mood.GOOD)),
        *((Words(name), Words(pairs({"": value}).lstrip("="))) for name, value in answer.values.items()),
        (Words("output"), Words(answer.output)),
        (Words("cluster"), Words(answer.cluster + (", still up" if answer.kept else ", taken down"))),
    ]
    return View((), tuple(rows))


@table("run", "There is no run. Begin one: jupyter kuberay run NOTEBOOK")
def _runs(found: Sequence[RunRecord], now: datetime) -> View:
    columns = ("STARTED", "NOTEBOOK", "STATE", "CELLS", "TIME", "PARAMETERS", "VALUES", "CLUSTER", "OUTPUT")
    rows = tuple(
        (
            Words(f"{age(one.started, now)} ago", Mood.STRONG),
            Words(one.notebook.rpartition("/")[2]),
            Words(str(one.state), _MOODS.get(one.state, Mood.BUSY)),
            Words(f"{one.done}/{one.cells}"),
            Words(lasted(one.seconds)),
            Words(pairs(one.parameters) or "-"),
            Words(pairs(one.values) or "-"),
            Words(one.cluster or "-"),
            Words(one.output),
        )
        for one in found
    )
    below = [Words(brief(one.error), Mood.BAD) for one in found if one.error][:3]
    return View(columns, rows, tuple(below))


@register
def _(answer: Sweep, now: datetime) -> View:
    return _table(answer.table())


@register
def _(answer: PipelineRun, now: datetime) -> View:
    return _table(answer.table())


def _table(shown: Table) -> View:
    rows = tuple(tuple(Words(cell.text, Mood(cell.mood)) for cell in row) for row in shown.rows)
    return View(tuple(column.upper() for column in shown.columns), rows, tuple(Words(cell.text, Mood(cell.mood)) for cell in shown.below))


def pairs(values: Mapping[str, Any], longest: int = 60) -> str:
    """``name=value`` of each, cut where it is long."""
    text = ", ".join(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def lasted(seconds: float) -> str:
    """A duration in at most two units, such as "1.4 s", "3 min 20 s" or "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
