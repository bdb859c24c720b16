"""Run a pipeline: what changed, in order, and side by side where it is independent.

What is known of earlier runs lies beside their outputs (`records`, `made`), and
nowhere else: after a crash the pipeline goes on at what did not succeed. How
one notebook runs is not known here: ``run`` does it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from jupyter_kuberay.batch import table
from jupyter_kuberay.batch.inputs import marks, texts
from jupyter_kuberay.batch.made import Made, keep_made, still_there
from jupyter_kuberay.batch.opening import Opened
from jupyter_kuberay.batch.pipeline import PipelineStep, fingerprint, missing_outputs
from jupyter_kuberay.batch.records import RunRecord, RunState, now
from jupyter_kuberay.batch.references import filled, references
from jupyter_kuberay.batch.values import nearest
from jupyter_kuberay.errors import InvalidSpec, KubeRayError

logger = logging.getLogger(__name__)


class StepState(StrEnum):
    """How a step is."""

    PENDING = "Pending"  # it waits for others, or for its turn
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    UNCHANGED = "Unchanged"  # it has run before, and nothing that it was made from has changed
    FAILED = "Failed"
    SKIPPED = "Skipped"  # a step that it needs did not succeed
    INTERRUPTED = "Interrupted"

    @property
    def good(self) -> bool:
        return self in (StepState.SUCCEEDED, StepState.UNCHANGED)


@dataclass(frozen=True)
class StepRequest:
    """What is asked of whoever runs a step's notebook."""

    step: str
    notebook: str  # a path or URL
    parameters: Mapping[str, Any]  # with all values filled in
    output: str  # a path or URL
    group: str  # the pipeline's name


Told = Callable[[RunRecord], None]
RunStep = Callable[[StepRequest, Told], Awaitable[RunRecord]]


@dataclass(frozen=True)
class StepRun:
    """A step, and what became of it."""

    step: PipelineStep
    output: str  # a path or URL
    state: StepState = StepState.PENDING
    parameters: Mapping[str, Any] = field(default_factory=dict)  # with all values filled in, once that is possible
    record: RunRecord | None = None  # as it was last told; of an unchanged step, the earlier run's
    error: str = ""
    hint: str = ""

    @property
    def values(self) -> Mapping[str, Any]:
        """What the notebook recorded so far."""
        return self.record.values if self.record else {}


@dataclass(frozen=True)
class PipelineRun:
    """A pipeline as it is at one moment: while it runs, and in the end. Shown as a table."""

    name: str
    parameters: Mapping[str, Any]
    steps: tuple[StepRun, ...]  # in an order in which they can run
    output: str  # a folder or URL
    started: str = ""  # ISO 8601, UTC
    ended: str = ""
    stopping: bool = False  # nothing new begins
    description: str = ""

    def __getitem__(self, name: str) -> StepRun:
        return next(one for one in self.steps if one.step.name == name)

    @property
    def records(self) -> list[RunRecord]:
        """What is kept of those that have begun."""
        return [one.record for one in self.steps if one.record]

    @property
    def exit_code(self) -> int:
        """For a script: 0 where everything is there, otherwise 1."""
        return 0 if all(one.state.good for one in self.steps) else 1

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs."""
        if not (self.started and self.ended):
            return None
        return (datetime.fromisoformat(self.ended) - datetime.fromisoformat(self.started)).total_seconds()

    @property
    def summary(self) -> str:
        """In a line: "summarizer: 2 running (tuning, reinforcement), 3 succeeded"."""
        counts = Counter(one.state for one in self.steps)
        running = ", ".join(one.step.name for one in self.steps if one.state is StepState.RUNNING)
        told = [f"{counts[state]} {state.lower()}" + f" ({running})" * (state is StepState.RUNNING) for state in StepState if counts[state]]
        return f"{self.name}: " + ", ".join(told)

    def table(self) -> table.Table:
        """What is shown of it."""
        rows = tuple(
            (
                table.Cell(one.step.name, "strong"),
                table.state_cell(str(one.state), one.record),
                table.Cell(table.took(table.seconds(one.record)), "faint"),
                table.Cell(", ".join(f"{name} = {table.short(value)}" for name, value in one.values.items())),
            )
            for one in self.steps
        )
        below = tuple(
            table.Cell(f"{one.step.name}: {one.error}", "faint" if one.state is StepState.SKIPPED else "bad")
            for one in self.steps
            if one.error
        )
        return table.Table(self.summary, ("step", "state", "time", "recorded"), rows, below)

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()


async def run_pipeline(
    opened: Opened,
    run: RunStep,
    *,
    at_once: int = 2,
    force: bool | Collection[str] = False,
    told: Callable[[PipelineRun], None] = lambda _: None,
    stop: asyncio.Event | None = None,
) -> PipelineRun:
    """Run what is missing or changed; a step that fails keeps back only what needs it.

    Parameters
    ----------
    opened
        Of `opening.open_pipeline`.
    run
        Runs one step's notebook, tells its record as it changes, and returns the last; an error that it raises is that step's failure.
    at_once
        How many run at the same time; at least 1.
    force
        Run again what is unchanged, too: True for all steps, or their names.
    told
        Told at each change of any step.
    stop
        When it is set, nothing new begins. What runs goes on: ``run`` is to look at it, too, if a notebook is to stop after its cell.

    Raises
    ------
    InvalidSpec
        ``force`` names a step that there is not.

    Cancelling cancels what runs, and waits until it has ended.
    """
    names = [step.name for step in opened.pipeline.steps]
    forced = set(names) if force is True else set(force or ())
    for name in sorted(forced.difference(names)):
        raise InvalidSpec(f"{opened.pipeline.name} has no step {name}.", nearest(name, names))
    running = _Running(opened, run, forced, told)
    return await running.all(max(at_once, 1), stop or asyncio.Event())


class _Running:
    """The steps as they change."""

    def __init__(self, opened: Opened, run: RunStep, forced: Collection[str], told: Callable[[PipelineRun], None]) -> None:
        pipeline = opened.pipeline
        steps = tuple(StepRun(step, opened.outputs[step.name]) for step in pipeline.steps)
        self.now = PipelineRun(pipeline.name, pipeline.parameters, steps, opened.output, started=now(), description=pipeline.description)
        self._opened, self._run, self._forced, self._told = opened, run, forced, told

    async def all(self, at_once: int, stop: asyncio.Event) -> PipelineRun:
        tasks: dict[asyncio.Task[None], str] = {}
        stopped = asyncio.ensure_future(stop.wait())
        try:
            while True:
                self._skip()
                for step in self._ready() if not stop.is_set() else ():
                    if len(tasks) < at_once and step.name not in tasks.values():
                        tasks[asyncio.create_task(self._step(step))] = step.name
                if stop.is_set() and not self.now.stopping:
                    self._tell(replace(self.now, stopping=True))
                if not tasks:
                    break
                waited = {*tasks} if stop.is_set() else {*tasks, stopped}
                done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks.keys() & done:
                    del tasks[task]
                    task.result()
        finally:
            stopped.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._tell(replace(self.now, ended=now()))
        return self.now

    def _ready(self) -> list[PipelineStep]:
        """Those that could begin now, in order."""
        pending = [one.step for one in self.now.steps if one.state is StepState.PENDING]
        return [step for step in pending if all(self.now[need].state.good for need in step.needs)]

    def _skip(self) -> None:
        """What needs a step that did not succeed."""
        for one in self.now.steps:
            if one.state is not StepState.PENDING:
                continue
            for need in one.step.needs:
                state = self.now[need].state
                if state in (StepState.FAILED, StepState.SKIPPED, StepState.INTERRUPTED):
                    why = f"It was skipped: {need}, which it needs, {_SAID[state]}."
                    self._change(one.step.name, state=StepState.SKIPPED, error=why)
                    break

    # --- one step --------------------------------------------------------

    async def _step(self, step: PipelineStep) -> None:
        try:
            await self._made(step)
        except asyncio.CancelledError:
            self._change(step.name, state=StepState.INTERRUPTED)
            raise
        except KubeRayError as error:
            self._change(step.name, state=StepState.FAILED, error=error.message, hint=error.hint)
        except Exception as error:
            logger.debug("Step %s", step.name, exc_info=True)
            self._change(step.name, state=StepState.FAILED, error=f"{type(error).__name__}: {error}")

    async def _made(self, step: PipelineStep) -> None:
        values = {one.step.name: one.values for one in self.now.steps}
        parameters: dict[str, Any] = filled(step.parameters, self._opened.pipeline.parameters, values)
        self._change(step.name, state=StepState.RUNNING, parameters=parameters)
        output = self._opened.outputs[step.name]
        found = await asyncio.to_thread(self._marks, step, parameters)
        if step.name not in self._forced:
            before = await asyncio.to_thread(still_there, output, self._fingerprint(step, parameters, found))
            if before and not missing_outputs(step, before.values):
                self._change(step.name, state=StepState.UNCHANGED, record=before)
                return

        def told(record: RunRecord) -> None:
            self._change(step.name, record=record)

        request = StepRequest(step.name, self._opened.notebooks[step.name], parameters, output, self._opened.pipeline.name)
        record = await self._run(request, told)
        missing = missing_outputs(step, record.values)
        if record.state is RunState.SUCCEEDED and missing:
            what = f"{step.notebook} ran to its end without recording {', '.join(missing)}, which the pipeline declares as its output."
            self._change(step.name, state=StepState.FAILED, record=record, error=what, hint=f'Add record("{missing[0]}", …) to it.')
            return
        if record.state is RunState.SUCCEEDED:
            # What it was given is as it was before; of the rest, it may have written some itself.
            after = await asyncio.to_thread(self._marks, step, parameters)
            kept = {**after, **{text: mark for text, mark in found.items() if text in _given(step, parameters)}}
            await asyncio.to_thread(keep_made, output, Made(record.id, self._fingerprint(step, parameters, kept)))
        self._change(step.name, state=_STATES.get(record.state, StepState.FAILED), record=record, error=record.error, hint=record.hint)

    def _marks(self, step: PipelineStep, parameters: Mapping[str, Any]) -> dict[str, str]:
        return marks(parameters, self._opened.folder, _whole(step))

    def _fingerprint(self, step: PipelineStep, parameters: Mapping[str, Any], found: Mapping[str, str]) -> str:
        runs = {name: record.id for name in step.after if (record := self.now[name].record)}
        return fingerprint(self._opened.codes[step.name], parameters, found, runs)

    def _change(self, name: str, **to: Any) -> None:
        steps = tuple(replace(one, **to) if one.step.name == name else one for one in self.now.steps)
        if steps != self.now.steps:
            self._tell(replace(self.now, steps=steps))

    def _tell(self, state: PipelineRun) -> None:
        self.now = state
        self._told(state)


_STATES = {RunState.SUCCEEDED: StepState.SUCCEEDED, RunState.INTERRUPTED: StepState.INTERRUPTED}
_SAID = {StepState.FAILED: "failed", StepState.SKIPPED: "was skipped, too", StepState.INTERRUPTED: "was interrupted"}


def _whole(step: PipelineStep) -> set[str]:
    """The parameters whose files and folders are what the step is made from, and not what it may write."""
    return {name for name, value in step.parameters.items() if any(one.step for one in references(value))} | set(step.inputs)


def _given(step: PipelineStep, parameters: Mapping[str, Any]) -> set[str]:
    return {text for name in _whole(step) for text in texts(parameters[name])}
