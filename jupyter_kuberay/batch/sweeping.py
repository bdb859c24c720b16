"""Run a sweep's points, some at a time, and tell how far it is.

How one notebook runs is not known here: ``run`` does it, and says by the record
that it returns what became of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.batch import table
from jupyter_kuberay.batch.records import RunRecord, RunState
from jupyter_kuberay.batch.sweep import Point, described
from jupyter_kuberay.errors import KubeRayError

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

Told = Callable[[RunRecord], None]
RunPoint = Callable[[Point, Told], Awaitable[RunRecord]]

_MOST_ROWS = 60  # of a table that is shown; the rest is in `Sweep.to_dicts`


@dataclass(frozen=True)
class PointRun:
    """A point, and what became of it."""

    point: Point
    state: RunState = RunState.PENDING
    record: RunRecord | None = None  # as it was last told
    error: str = ""
    hint: str = ""
    before: bool = False  # it was run by an earlier sweep, and not again

    @property
    def values(self) -> Mapping[str, Any]:
        """What the notebook recorded so far."""
        return self.record.values if self.record else {}


@dataclass(frozen=True)
class Sweep:
    """A sweep as it is at one moment: while it runs, and in the end.

    Shown as a table, in a notebook and as text; at most 60 rows, those that failed among them.
    """

    notebook: str
    runs: tuple[PointRun, ...]  # in the points' order
    stopping: bool = False  # nothing new begins

    @property
    def counts(self) -> dict[RunState, int]:
        """How many runs are in each state that one is in."""
        found = Counter(run.state for run in self.runs)
        return {state: found[state] for state in RunState if found[state]}

    @property
    def failed(self) -> tuple[PointRun, ...]:
        """Runs that failed or were lost."""
        return tuple(run for run in self.runs if run.state in (RunState.FAILED, RunState.LOST))

    @property
    def records(self) -> list[RunRecord]:
        """What is kept of those that have begun."""
        return [one.record for one in self.runs if one.record]

    @property
    def exit_code(self) -> int:
        """For a script: 0 where all succeeded, otherwise 1."""
        return 0 if all(run.state is RunState.SUCCEEDED for run in self.runs) else 1

    def to_dicts(self) -> list[dict[str, Any]]:
        """A row a run: number, parameters, state, seconds, recorded values, output, error.

        A recorded value with the name of a parameter or of a column is found under ``value.NAME``.
        """
        rows = []
        for run in self.runs:
            row: dict[str, Any] = {
                "number": run.point.number,
                **run.point.varied,
                "state": str(run.state),
                "seconds": table.seconds(run.record),
            }
            taken = {*row, "output", "error"}
            row |= {(f"value.{name}" if name in taken else name): each for name, each in run.values.items()}
            rows.append(row | {"output": run.record.output if run.record else "", "error": run.error})
        return rows

    def to_frame(self) -> pd.DataFrame:
        """`to_dicts` as a pandas frame, with the number as its index.

        Raises
        ------
        KubeRayError
            pandas is not installed here.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise KubeRayError("pandas is not installed here.", "Install it, or take to_dicts().") from error
        return pd.DataFrame(self.to_dicts()).set_index("number")

    def table(self, most: int = _MOST_ROWS) -> table.Table:
        """What is shown of it, at most ``most`` rows."""
        parameters = table.names([run.point.varied for run in self.runs])
        values = table.names([run.values for run in self.runs])
        shown = self._shown(most)
        rows = tuple(
            (
                table.Cell(str(run.point.number), "faint"),
                *(table.Cell(table.short(run.point.varied[name]) if name in run.point.varied else "", "strong") for name in parameters),
                table.state_cell(run.state, run.record),
                table.Cell("before" if run.before else table.took(table.seconds(run.record)), "faint"),
                *(table.Cell(table.short(run.values[name]) if name in run.values else "") for name in values),
            )
            for run in shown
        )
        below = [table.Cell(f"{described(run.point.varied)}: {run.error}", "bad") for run in shown if run.error]
        if len(shown) < len(self.runs):
            below.append(table.Cell(f"… and {len(self.runs) - len(shown)} more: to_frame(), to_dicts()", "faint"))
        return table.Table(self.summary, ("#", *parameters, "state", "time", *values), rows, tuple(below[: _MOST_ROWS + 1]))

    @property
    def summary(self) -> str:
        """In a line: "train.ipynb: 12 of 20 done, 4 running, 1 failed"."""
        counts = self.counts
        done = counts.get(RunState.SUCCEEDED, 0)
        other = [f"{count} {state.lower()}" for state, count in counts.items() if state is not RunState.SUCCEEDED]
        return f"{self.notebook}: " + ", ".join([f"{done} of {len(self.runs)} succeeded", *other])

    def _shown(self, most: int) -> Sequence[PointRun]:
        if len(self.runs) <= most:
            return self.runs
        told = [run for run in self.runs if run.state not in (RunState.SUCCEEDED, RunState.PENDING)]
        rest = [run for run in self.runs if run.state in (RunState.SUCCEEDED, RunState.PENDING)]
        return sorted([*told, *rest][:most], key=lambda run: run.point.number)

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()


async def sweep(
    notebook: str,
    points: Iterable[Point],
    run: RunPoint,
    *,
    at_once: int = 1,
    found: Mapping[int, RunRecord] | None = None,
    told: Callable[[Sweep], None] = lambda _: None,
    failed: Callable[[PointRun], None] = lambda _: None,
    stop: asyncio.Event | None = None,
) -> Sweep:
    """Run ``points``, in their order, and give the whole sweep; one that fails keeps no other from running.

    Parameters
    ----------
    notebook
        Its name, to be shown.
    run
        Runs one point, tells its record as it changes, and returns the last; an error that it raises is that run's failure.
    at_once
        How many run at the same time; at least 1.
    found
        By number: what an earlier sweep ran, which is not run again.
    told
        Told at each change of any run.
    failed
        Told of the first run that failed, when it does; the others go on.
    stop
        When it is set, nothing new begins. What runs goes on: ``run`` is to look at it, too, if a notebook is to stop after its cell.

    Cancelling cancels what runs, and waits until it has ended.
    """
    state = _Sweeping(notebook, points, found or {}, told, failed)
    left = deque(index for index, one in enumerate(state.runs) if not one.before)

    async def work() -> None:
        while left and not (stop and stop.is_set()):
            await state.run(left.popleft(), run)

    watching = asyncio.ensure_future(_when(stop, state.stopping)) if stop else None
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(max(at_once, 1), len(left))):
                group.create_task(work())
    finally:
        if watching:
            watching.cancel()
    if stop and stop.is_set():
        state.stopping()
    return state.now()


async def _when(stop: asyncio.Event, then: Callable[[], None]) -> None:
    await stop.wait()
    then()


class _Sweeping:
    """The runs as they change."""

    def __init__(
        self,
        notebook: str,
        points: Iterable[Point],
        found: Mapping[int, RunRecord],
        told: Callable[[Sweep], None],
        failed: Callable[[PointRun], None],
    ) -> None:
        self.runs = [_before(point, found[point.number]) if point.number in found else PointRun(point) for point in points]
        self._notebook = notebook
        self._told = told
        self._failed = failed
        self._any_failed = False
        self._stopping = False

    def now(self) -> Sweep:
        return Sweep(self._notebook, tuple(self.runs), self._stopping)

    def stopping(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._told(self.now())

    async def run(self, index: int, run: RunPoint) -> None:
        self._change(index, state=RunState.RUNNING)

        def told(record: RunRecord) -> None:
            self._change(index, state=record.state, record=record, error=record.error, hint=record.hint)

        try:
            told(await run(self.runs[index].point, told))
        except asyncio.CancelledError:
            self._change(index, state=RunState.INTERRUPTED)
            raise
        except KubeRayError as error:
            self._change(index, state=RunState.FAILED, error=error.message, hint=error.hint)
        except Exception as error:
            logger.debug("Point %d of %s", index, self._notebook, exc_info=True)
            self._change(index, state=RunState.FAILED, error=f"{type(error).__name__}: {error}")

    def _change(self, index: int, **to: Any) -> None:
        before, after = self.runs[index], replace(self.runs[index], **to)
        if after == before:
            return
        self.runs[index] = after
        if after.state in (RunState.FAILED, RunState.LOST) and not self._any_failed:
            self._any_failed = True
            self._failed(after)
        self._told(self.now())


def _before(point: Point, record: RunRecord) -> PointRun:
    return PointRun(point, record.state, record, record.error, record.hint, before=True)
