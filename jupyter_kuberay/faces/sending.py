"""What runs in the cluster, as a person sees it: sent there, followed, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.batch import Place, RunRecord, RunState, read_record
from jupyter_kuberay.errors import Failed, KubeRayError, NotFound
from jupyter_kuberay.faces.batches import Sweeping, one_failed, report_at
from jupyter_kuberay.faces.face import Face, Interrupted
from jupyter_kuberay.faces.runs import short_name
from jupyter_kuberay.loop import run_sync

if TYPE_CHECKING:
    from jupyter_kuberay.batch.opening import Opened
    from jupyter_kuberay.batch.piping import PipelineRun
    from jupyter_kuberay.batch.sent import Sent
    from jupyter_kuberay.batch.sweeping import Sweep
    from jupyter_kuberay.spec import ClusterSpec


def send(face: Face, sent: Sent, notebooks: Mapping[str, bytes], cluster: str | ClusterSpec, environment: Mapping[str, str]) -> None:
    """Send it off; from now on it goes on without whoever sent it."""
    from jupyter_kuberay.batch.incluster import job
    from jupyter_kuberay.batch.sent import SETTINGS
    from jupyter_kuberay.config import FILE, elsewhere
    from jupyter_kuberay.faces import jobs

    configured = json.dumps({"KubeRay": elsewhere(face.client.settings, face.client.user)}).encode()
    files = {**notebooks, f"{SETTINGS}/{FILE}.json": configured}
    run_sync(jobs.send(face.client, job(sent, files, cluster, environment=environment)))


def follow_run(face: Face, record: RunRecord) -> RunRecord:
    """Show how far a run in the cluster is, until it has ended; it does not need anybody for that."""
    from jupyter_kuberay.batch import Step, records

    last, at = record, Step(0, 0, "")
    with face.steps(Place.of(record.notebook).stem) as step:

        def told(news: Mapping[str, Any]) -> None:
            nonlocal last, at
            if run := news.get("run"):
                last = last.changed(**{**run, "state": RunState(run["state"]), "heartbeat": records.now()})
                records.note(last)
                now = Step(last.done, last.cells, last.cell)
                if last.cells and now != at:
                    at = now
                    step(now)

        said = _follow(face, record.job, told)
    ended = _read_again(last) or last
    if not ended.state.over:
        ended = last.changed(state=RunState.FAILED, error=said[0], hint=said[1], ended=records.now())
        with suppress(KubeRayError):
            ended.place.write(records.as_json(ended))
    records.note(ended)
    return ended


def follow_sweep(face: Face, job: str, sweeping: Sweeping) -> Sweep:
    """Show how far a sweep in the cluster is, until it has ended; how it did."""
    from jupyter_kuberay.batch.sweeping import PointRun, Sweep

    ended = _follow_many(face, job, sweeping.folder, {str(point.number) for point in sweeping.points})
    runs = []
    for point in sweeping.points:
        record = ended.records.get(sweeping.folder.child(point.output).url)
        part = ended.part(str(point.number))
        before = point.number in sweeping.found
        runs.append(PointRun(point, RunState(part["state"]), record, part["error"], part["hint"], before))
    return Sweep(sweeping.one.source.name, tuple(runs))


def follow_pipeline(face: Face, job: str, opened: Opened) -> PipelineRun:
    """The same of a pipeline."""
    from jupyter_kuberay.batch.piping import PipelineRun, StepRun, StepState

    pipeline = opened.pipeline
    ended = _follow_many(face, job, Place.of(opened.output), {step.name for step in pipeline.steps})
    steps = []
    for step in pipeline.steps:
        output, part = opened.outputs[step.name], ended.part(step.name)
        record = ended.records.get(output)
        parameters = record.parameters if record else {}
        steps.append(StepRun(step, output, StepState(part["state"]), parameters, record, part["error"], part["hint"]))
    return PipelineRun(pipeline.name, pipeline.parameters, tuple(steps), opened.output, description=pipeline.description)


@dataclass(frozen=True)
class _Ended:
    """How a sweep or pipeline in the cluster ended."""

    parts: Mapping[str, Mapping[str, str]]  # by a point's number or a step's name: state, error, hint
    records: Mapping[str, RunRecord]  # by output

    def part(self, name: str) -> Mapping[str, str]:
        return self.parts.get(name) or {"state": str(RunState.PENDING), "error": "", "hint": ""}

    def whole(self, names: Iterable[str]) -> bool:
        """Whether all of these have come to an end."""
        return all(self.part(name)["state"] not in (RunState.PENDING, RunState.RUNNING) for name in names)


def _follow_many(face: Face, job: str, folder: Place, names: Iterable[str]) -> _Ended:
    from jupyter_kuberay.batch import records

    parts: dict[str, Mapping[str, str]] = {}

    def told(news: Mapping[str, Any]) -> None:
        parts.update(news.get("parts") or {})
        if "summary" in news:
            face.say(str(news["summary"]))
        if news.get("failed"):
            face.say(one_failed(str(news["failed"])))
        if news.get("report"):
            face.say(report_at(str(news["report"])))

    error, hint = _follow(face, job, told)
    found = {record.output: record for record in records.records_below(folder.url)}
    for record in found.values():
        records.note(record)
    ended = _Ended(parts, found)
    # A job also fails because of a notebook, and then each part says itself what became of it.
    if error and not ended.whole(names):
        raise Failed(error, hint)
    return ended


def _follow(face: Face, job: str, told: Callable[[Mapping[str, Any]], None]) -> tuple[str, str]:
    """What went wrong with the job and what to do, both empty if nothing did."""
    from jupyter_kuberay.batch.sent import SAID
    from jupyter_kuberay.faces.jobs import printed, settled
    from jupyter_kuberay.faces.view import brief

    client, errors = face.client, ["", ""]

    async def follow() -> Any:
        async with aclosing(printed(client, job, follow=True)) as lines:  # type: ignore[type-var]
            async for line in lines:
                if not line.startswith(SAID):
                    continue
                with suppress(ValueError):
                    news = json.loads(line.removeprefix(SAID))
                    if "error" in news:
                        errors[:] = [str(news["error"]), str(news["hint"])]
                    told(news)
        return await settled(client, job)

    try:
        status = run_sync(follow())
    except KeyboardInterrupt:
        how = f"See {face.program} runs; stop it: {face.program} stop {job}"
        raise Interrupted(f"Interrupted. It goes on in the cluster as job {job!r}. {how}") from None
    except NotFound:
        return f"Job {job!r} was stopped and removed meanwhile.", "Run it anew."
    if str(status.phase) == "Succeeded":
        return "", ""
    why = brief(status.cause.what if status.cause else status.message or f"it is {status.phase}")
    return errors[0] or f"Job {job!r} failed: {why}", errors[1] or f"See its log: {face.program} job {job}"


def _read_again(record: RunRecord) -> RunRecord | None:
    with suppress(KubeRayError):
        found = read_record(record.output)
        return found if found is not None and found.id == record.id else None
    return None


def job_name(what: Place) -> str:
    """Of the RayJob that runs it."""
    return short_name(what.stem)
