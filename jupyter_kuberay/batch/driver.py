"""The other end of `incluster`: what a RayJob runs in the cluster, in the folder that it carried there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.batch.places import Place
from jupyter_kuberay.batch.records import RunRecord, RunState, records_below
from jupyter_kuberay.batch.running import Run, RunRequest
from jupyter_kuberay.batch.sent import REQUEST, SAID, SETTINGS, Sent
from jupyter_kuberay.batch.whole import give_way
from jupyter_kuberay.cluster import INSIDE_VARIABLE, connect
from jupyter_kuberay.errors import Failed, KubeRayError
from jupyter_kuberay.loop import run_sync

if TYPE_CHECKING:
    from jupyter_kuberay.batch.piping import PipelineRun, StepRun
    from jupyter_kuberay.batch.sweeping import PointRun, Sweep

_JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray's own: the runtime environment of whatever a job starts
_CLUSTER = "RAY_CLUSTER_NAME"  # KubeRay gives it to pods


def main() -> int:
    """Run what was sent; the exit code is the job's."""
    give_way()
    sent = Sent.read(Path(REQUEST).read_text())
    os.environ[INSIDE_VARIABLE] = sent.cluster or os.environ.get(_CLUSTER) or sent.job
    try:
        lacking = [name for name in sent.needs if find_spec(name) is None]
        if lacking:
            raise Failed(
                f"The cluster lacks {', '.join(lacking)}, which running notebooks needs.",
                "Use an image that has them, such as deploy/image.",
            )
        if sent.kind != "run":
            connect().attach()  # once, and in the main thread, where Ray wants to be started
        return run_sync(_KINDS[sent.kind](sent))
    except KubeRayError as error:
        _say({"error": error.message, "hint": error.hint})
        print(f"{error.message}\n{error.hint}", file=sys.stderr, flush=True)  # noqa: T201 - a job's log is where it is read
        return 1


def _say(what: Mapping[str, Any]) -> None:
    print(SAID + json.dumps(what), flush=True)  # noqa: T201 - a job's log is where it is read


class _Saying:
    """Tells a record in the log as often as somebody can read."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def __call__(self, record: RunRecord) -> None:
        now = {name: getattr(record, name) for name in ("id", "state", "done", "cells", "cell", "values", "error", "hint", "output")}
        if now != self._last:
            self._last = now
            _say({"run": now})


# --- one notebook --------------------------------------------------------


async def _run(sent: Sent) -> int:
    record = await _here(request_of(sent), _Saying())
    return 0 if record.state is RunState.SUCCEEDED else 1


def request_of(sent: Sent) -> RunRequest:
    """The notebook that was sent, as a request to run it here."""
    cluster = os.environ[INSIDE_VARIABLE]
    return RunRequest(
        Place.of(sent.notebook),
        Place.of(sent.output),
        sent.parameters,
        cluster,
        environment={INSIDE_VARIABLE: cluster},
        folder=Path.cwd(),
        cell_timeout=sent.cell_timeout,
        user=sent.user,
        spec=sent.spec,
        image=sent.image,
        group=sent.group,
        job=sent.job,
        id=sent.id,
        notebook=sent.called,
    )


async def _here(request: RunRequest, told: Callable[[RunRecord], None]) -> RunRecord:
    """Run it in a kernel beside this process. Whoever stops the job ends it at once, and everything is written."""
    # Whoever publishes from here finds the profiles of where it was sent from.
    folders = [str(Path.cwd() / SETTINGS), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    environment = {"JUPYTER_CONFIG_PATH": os.pathsep.join(folders), **request.environment}
    run = Run(replace(request, environment=environment), told)
    await asyncio.to_thread(run.prepare)
    loop = asyncio.get_running_loop()

    def stop(*_: object) -> None:
        loop.call_soon_threadsafe(run.stop)
        loop.call_soon_threadsafe(run.stop)

    _on_stop(stop)
    return await run.go()


def _on_stop(act: Callable[..., None]) -> None:
    try:
        signal.signal(signal.SIGTERM, act)
        signal.signal(signal.SIGINT, act)
    except ValueError:  # not the main thread: a task of Ray's, which is cancelled
        return


# --- many ----------------------------------------------------------------


async def _sweep(sent: Sent) -> int:
    from jupyter_kuberay.batch.sweep import Point, resumption
    from jupyter_kuberay.batch.sweeping import sweep

    points: tuple[Point, ...] = tuple(Point(**each) for each in sent.points)
    found: Mapping[int, RunRecord] = {}
    if sent.resume:
        from jupyter_kuberay.batch.notebook import source_sha256

        resumed = resumption(points, await asyncio.to_thread(records_below, sent.output), source_sha256(Place.of(sent.notebook).read()))
        points, found = resumed.points, resumed.found
    one = request_of(sent)
    saying: dict[int, _Saying] = {}

    async def run(point: Point, told: Callable[[RunRecord], None]) -> RunRecord:
        request = replace(one, output=Place.of(sent.output).child(point.output), parameters=point.parameters, id="")
        say = saying.setdefault(point.number, _Saying())

        def both(record: RunRecord) -> None:
            told(record)
            say(record)

        return await _on_a_node(request, both)

    telling = _Telling()

    def tell(now: Sweep) -> None:
        telling(now.summary, {str(run.point.number): run for run in now.runs})

    done = await sweep(Place.of(sent.called).name, points, run, at_once=sent.at_once, found=found, told=tell, failed=_failed)
    return done.exit_code


async def _pipeline(sent: Sent) -> int:
    from jupyter_kuberay.batch.opening import open_pipeline
    from jupyter_kuberay.batch.piping import StepRequest, run_pipeline
    from jupyter_kuberay.batch.report import write_report

    opened = await asyncio.to_thread(open_pipeline, sent.notebook, sent.parameters, sent.output)
    one = request_of(sent)

    async def run(step: StepRequest, told: Callable[[RunRecord], None]) -> RunRecord:
        say = _Saying()

        def both(record: RunRecord) -> None:
            told(record)
            say(record)

        request = replace(
            one,
            source=Place.of(step.notebook),
            output=Place.of(step.output),
            parameters=step.parameters,
            group=step.group,
            id="",
            notebook=_called(step.notebook, sent),
        )
        return await _on_a_node(request, both)

    telling = _Telling()

    def tell(now: PipelineRun) -> None:
        telling(now.summary, {run.step.name: run for run in now.steps})

    done = await run_pipeline(opened, run, at_once=sent.at_once, force=sent.force, told=tell)
    _say({"report": await asyncio.to_thread(write_report, done)})
    return done.exit_code


def _called(notebook: str, sent: Sent) -> str:
    """What a pipeline's notebook is called where it was sent from."""
    path = Place.of(notebook).path
    if path is None or not path.is_relative_to(Path.cwd()):
        return notebook
    return f"{Place.of(sent.called).parent.url}/{path.relative_to(Path.cwd()).as_posix()}"


def _failed(run: PointRun) -> None:
    _say({"failed": run.error, "hint": run.hint})


class _Telling:
    """Tells in the log how far a sweep or pipeline is: a line about all of it, and each part's state when that changes."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}
        self._summary = ""

    def __call__(self, summary: str, parts: Mapping[str, PointRun | StepRun]) -> None:
        now = {name: {"state": part.state, "error": part.error, "hint": part.hint} for name, part in parts.items()}
        if changed := {name: part for name, part in now.items() if part != self._last.get(name)}:
            _say({**({"summary": summary} if summary != self._summary else {}), "parts": changed})
        self._last, self._summary = now, summary


async def _on_a_node(request: RunRequest, told: Callable[[RunRecord], None]) -> RunRecord:
    """Run it as a task of Ray's, so that many use the whole cluster; what it occupies is what its own tasks ask for."""
    import ray

    task = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy="SPREAD", num_returns="streaming")(run_as_task)
    last: RunRecord | None = None
    news = task.options(name=f"{request.source.stem} {request.output.stem}").remote(_movable(request), dict(_job_config()))
    try:
        async for reference in news:
            told_now = RunRecord.read(await reference)
            if told_now is not None:
                last = told_now
                told(last)
    except ray.exceptions.RayTaskError as error:
        # What was raised there, rather than how Ray tells it.
        raise (
            error.cause if isinstance(error.cause, KubeRayError) else Failed(_raised(request, error.cause), "See the job's log.")
        ) from error
    except ray.exceptions.RayError as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Failed(f"{request.source.name} ended with its node: {said}", "Run it again with --resume.") from error
    if last is None:
        raise Failed(f"{request.source.name} said nothing.", "See the job's log.")
    return last


def _raised(request: RunRequest, cause: BaseException) -> str:
    return f"{request.source.name} failed: {type(cause).__name__}: {cause}".splitlines()[0]


def _movable(request: RunRequest) -> RunRequest:
    """Without what is true on this node only: where the job's folder is."""
    path = request.source.path
    if path is None or not path.is_relative_to(Path.cwd()):
        return replace(request, folder=None)
    return replace(request, source=Place(str(path.relative_to(Path.cwd()))), folder=None)


def _job_config() -> dict[str, Any]:
    return dict(json.loads(os.environ.get(_JOB_CONFIG) or "{}"))


def run_as_task(request: RunRequest, config: dict[str, Any]) -> Any:
    """In a task: run a notebook, and give its record, as JSON, at each change.

    Its kernel is a driver of its own: it is told where the cluster is, and hands the job's files on to its own tasks.
    """
    import queue
    import threading

    import ray

    config.setdefault("runtime_env", {})["working_dir"] = os.getcwd()
    environment = {**request.environment, "RAY_ADDRESS": ray.get_runtime_context().gcs_address, _JOB_CONFIG: json.dumps(config)}
    request = replace(request, source=Place.of(request.source.url), folder=Path.cwd(), environment=environment)
    news: queue.SimpleQueue[dict[str, Any] | Exception | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            run_sync(_here(request, lambda record: news.put(record.json())))
            news.put(None)
        except Exception as error:
            news.put(error)

    threading.Thread(target=work, daemon=True).start()
    while (new := news.get()) is not None:
        if isinstance(new, Exception):
            raise new
        yield new


_KINDS = {"run": _run, "sweep": _sweep, "pipeline": _pipeline}
