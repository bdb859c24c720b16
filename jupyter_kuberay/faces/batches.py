"""Sweeps and pipelines that run here, as a person sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.batch import Place, RunRecord, RunRequest
from jupyter_kuberay.batch.many import Runs
from jupyter_kuberay.batch.notebook import read_notebook, source_sha256
from jupyter_kuberay.errors import Failed, KubeRayError
from jupyter_kuberay.faces.face import Face, Interrupted
from jupyter_kuberay.faces.runs import short_name
from jupyter_kuberay.loop import run_sync

if TYPE_CHECKING:
    from jupyter_kuberay.batch.opening import Opened
    from jupyter_kuberay.batch.piping import PipelineRun, StepRequest
    from jupyter_kuberay.batch.sweep import Point
    from jupyter_kuberay.batch.sweeping import PointRun, Sweep
    from jupyter_kuberay.spec import ClusterSpec


# --- sweeps --------------------------------------------------------------


@dataclass(frozen=True)
class Sweeping:
    """A sweep that is to be run: one request of which only parameters and output differ, and its points."""

    one: RunRequest
    folder: Place
    points: tuple[Point, ...]
    found: Mapping[int, RunRecord]  # what an earlier one ran

    @property
    def left(self) -> bool:
        """Whether there is anything to run."""
        return len(self.found) < len(self.points)

    def request(self, point: Point) -> RunRequest:
        return replace(self.one, parameters=point.parameters, output=self.folder.child(point.output))


def plan(one: RunRequest, folder: Place, axes: tuple[str, ...], *, resume: bool) -> Sweeping:
    """The points of ``--sweep``s: axes, or files of combinations; refuse whatever cannot be, before anything runs."""
    from jupyter_kuberay.batch.notebook import parameters_in
    from jupyter_kuberay.batch.parameters import checked
    from jupyter_kuberay.batch.records import records_below
    from jupyter_kuberay.batch.sweep import combine, parse_axes, parse_combinations, points, resumption

    notebook, text = read_notebook(one.source.url)
    known = parameters_in(notebook)
    types = {name: parameter.type for name, parameter in known.items()}
    fixed = checked(known, one.parameters, one.source.name)
    files, axes = [axis for axis in axes if "=" not in axis], tuple(axis for axis in axes if "=" in axis)
    combinations: list[Mapping[str, Any]] = [*combine(parse_axes(axes, types))] if axes else []
    for file in files:
        found = parse_combinations(Place.of(file).read().decode("utf-8", "replace"), file)
        combinations = [{**left, **right} for left in combinations or [{}] for right in found]
    # Each as its notebook takes it: 1 for a float is as good as 1.0.
    wanted = points([checked(known, each, one.source.name) for each in combinations], fixed)
    before: list[RunRecord] = []
    if resume:
        with suppress(KubeRayError):
            before = records_below(folder.url)
    resumed = resumption(wanted, before, source_sha256(text))
    return Sweeping(replace(one, group=folder.name), folder, resumed.points, resumed.found)


def sweep_on(face: Face, sweeping: Sweeping, at_once: int, runs: Runs, own: Borrowing | None = None) -> Sweep:
    """Run it, showing the table; Ctrl-C ends what runs after its cell, and a second one at once.

    ``own`` gives each point a cluster of its own.
    """
    from jupyter_kuberay.batch.sweeping import sweep

    title = sweeping.one.source.stem

    def failed(run: PointRun) -> None:
        face.say(one_failed(run.error))

    async def run(point: Point, told: Callable[[RunRecord], None]) -> RunRecord:
        async with AsyncExitStack() as stack:
            facts = await own.own(stack) if own else {}
            return await runs.one(replace(sweeping.request(point), **facts), told)

    with face.showing(title) as shown:
        done = run_sync(
            sweep(
                sweeping.one.source.name,
                sweeping.points,
                run,
                at_once=at_once,
                found=sweeping.found,
                told=shown,
                failed=failed,
                stop=runs.stopping,
            ),
            _stops(face, runs, title),
        )
    if runs.stopping.is_set():
        raise Interrupted(f"Interrupted. {done.summary}. Go on with --resume; outputs are in {sweeping.folder}.")
    return done


def one_failed(error: str) -> str:
    """Of a point of a sweep that failed first, while it goes on."""
    return f"{error.rstrip('.')}. The others go on."


def _stops(face: Face, runs: Runs, title: str, impatient: bool = False) -> Callable[[KeyboardInterrupt], None]:
    def stop(error: KeyboardInterrupt) -> None:
        # A terminal has Ctrl-C; to be told to terminate means at once.
        count = runs.stop() if type(error) is KeyboardInterrupt and not impatient else max(runs.stop(), runs.stop())
        if count == 1:
            face.say(f"{title}: what runs stops after its cell; Ctrl-C again interrupts it.")

    return stop


def report_at(place: str) -> str:
    """Where a pipeline's report is."""
    return f"The whole run as a page: {place}"


# --- pipelines -----------------------------------------------------------


def pipeline_on(
    face: Face,
    opened: Opened,
    one: RunRequest,
    at_once: int,
    force: bool | tuple[str, ...],
    runs: Runs,
    borrowing: Borrowing | None,
    *,
    impatient: bool = False,
) -> PipelineRun:
    """Run it, showing the table, and write its report. A cluster is borrowed as soon as a step needs one.

    ``impatient``: the first Ctrl-C ends cells, too, and not only the second.
    """
    from jupyter_kuberay.batch.piping import run_pipeline
    from jupyter_kuberay.batch.report import write_report

    title = opened.pipeline.name

    async def run(step: StepRequest, told: Callable[[RunRecord], None]) -> RunRecord:
        request = replace(
            one,
            source=Place.of(step.notebook),
            output=Place.of(step.output),
            parameters=step.parameters,
            group=step.group,
            **(await borrowing.shared() if borrowing else {}),
        )
        return await runs.one(request, told)

    async def all_of_it(shown: Callable[[PipelineRun], None]) -> PipelineRun:
        try:
            return await run_pipeline(opened, run, at_once=at_once, force=force, told=shown, stop=runs.stopping)
        finally:
            if borrowing:
                await asyncio.shield(borrowing.close())

    with face.showing(title) as shown:
        done = run_sync(all_of_it(shown), _stops(face, runs, title, impatient))
    face.say(report_at(write_report(done)))
    if runs.stopping.is_set():
        raise Interrupted(f"Interrupted. {done.summary}. Run it again to go on.")
    return done


class Borrowing:
    """Clusters that runs of a batch borrow: each its own, or one that comes up when the first run needs it."""

    def __init__(self, face: Face, runs: Runs, wanted: Callable[[str], ClusterSpec], purpose: str, timeout: float) -> None:
        self._face, self._runs, self._wanted = face, runs, wanted
        self._purpose, self._timeout = purpose, timeout
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._facts: dict[str, Any] | None = None

    async def own(self, stack: AsyncExitStack) -> dict[str, Any]:
        """A new one, held on ``stack``."""
        from jupyter_kuberay.lease import Lease

        lease = Lease(self._face.client, self._wanted(short_name(self._purpose)), purpose=self._purpose, timeout=self._timeout)
        opening = _Opening(asyncio.ensure_future(stack.enter_async_context(lease)))
        self._runs.begun(opening)
        try:
            await opening.task
        except asyncio.CancelledError:
            if not opening.stopped:
                raise
            raise Failed("Interrupted while its cluster came up.", "Run it again.") from None
        finally:
            self._runs.ended(opening)
        return {"cluster": lease.name, "spec": lease.spec.model_dump(mode="json", exclude_defaults=True), "image": lease.spec.image}

    async def shared(self) -> dict[str, Any]:
        """One for all, which lives until `close`."""
        async with self._lock:
            if self._facts is None:
                self._face.say(f"Bringing a cluster up for {self._purpose}.")
                self._facts = await self.own(self._stack)
            return self._facts

    async def close(self) -> None:
        await self._stack.aclose()


class _Opening:
    """A cluster that comes up, and is given up at the second Ctrl-C."""

    def __init__(self, task: asyncio.Future[Any]) -> None:
        self.task = task
        self.stopped = 0

    def stop(self) -> int:
        self.stopped += 1
        if self.stopped > 1:
            self.task.cancel()
        return self.stopped
