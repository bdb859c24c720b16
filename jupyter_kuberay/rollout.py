"""Bringing a revision to a service: the first one with its cluster, a later one in place, after a try-out.

What is waited for is waited for on the backend's watch. Whatever goes wrong, or is
cancelled, leaves a service that was there before as it was, and none that was not.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from jupyter_kuberay import history
from jupyter_kuberay.backends.base import DASHBOARD_PORT, Backend
from jupyter_kuberay.errors import Conflict, Failed, Forbidden, InvalidSpec, KubeRayError, NotFound, TimedOut, Unreachable
from jupyter_kuberay.manifest import NAME, parse_serve_config
from jupyter_kuberay.observation import API_VERSION, Bundle, ChangeType, Json, Kind, Observation
from jupyter_kuberay.outcome import explained, failure_of, last_line
from jupyter_kuberay.revision import Again, Revision
from jupyter_kuberay.serveconfig import read, swap
from jupyter_kuberay.status import (
    BROKEN,
    ApplicationStatus,
    JobPhase,
    JobStatus,
    Phase,
    ServiceStatus,
    application_message,
    job_status,
    second_cluster,
    service_status,
)

TRY_OUT_SECONDS = 300
_LAST = "py_executable: nice -n 19 python\n"  # from its first moment: until what it runs can say so, it imports Ray beside those who answer
_ASK_SERVE_S = 0.25
_BACK = "The earlier revision is back in and answers."
_TAKEN_OUT = "It is taken out again; the service's other applications answer as before."
_STAYED = "The earlier cluster answers as before; KubeRay makes one more like it, which takes its place."


@dataclass(frozen=True)
class Step:
    """Where a publication is: told as it happens, and kept as its timeline."""

    phase: str  # "code", "cluster", "try-out", "put", "ready", "kept", "undone"
    message: str
    seconds: float  # since the call


Progress = Callable[[Step], None]


@dataclass
class Clock:
    """Tells each step to whoever listens, and remembers it."""

    progress: Progress | None
    began: float = field(default_factory=time.monotonic)
    steps: list[Step] = field(default_factory=list)

    def tell(self, phase: str, message: str) -> None:
        if self.steps and (self.steps[-1].phase, self.steps[-1].message) == (phase, message):
            return
        self.steps.append(Step(phase, message, round(time.monotonic() - self.began, 3)))
        if self.progress:
            self.progress(self.steps[-1])


async def first(backend: Backend, bundle: Bundle, wanted: Revision, clock: Clock, timeout: float) -> Observation:
    name = bundle.resource["metadata"]["name"]
    made = asyncio.create_task(backend.create(bundle))
    try:
        async with asyncio.timeout(timeout):
            await asyncio.shield(made)
            clock.tell("cluster", "Asked for.")
            seen = await _answering(backend, name, wanted.application, clock, whole=True)
            await keep(backend, seen, wanted)
    except TimeoutError:
        status = await _status(backend, name)
        await _removed(backend, name, clock, made)
        why = f" {status.cause.what}" if status and status.cause else ""
        raise TimedOut(f"Service {name!r} did not answer within {timeout:.0f} s and was removed.{why}", "Give it more time.") from None
    except BaseException:
        await asyncio.shield(_removed(backend, name, clock, made))
        raise
    return seen


async def _removed(backend: Backend, name: str, clock: Clock, made: asyncio.Task[Observation]) -> None:
    if await _succeeded(made):
        with suppress(NotFound):
            await backend.delete(Kind.SERVICE, name)
        clock.tell("undone", f"Service {name} was not there before, and is removed.")


async def _succeeded(task: asyncio.Task[Observation]) -> bool:
    """Whether something was done in the end. Whoever is cancelled while it is being done cannot know."""
    try:
        await task
    except KubeRayError:
        return False
    return True


# A new revision


async def upgrade(
    backend: Backend,
    there: Observation,
    wanted: Revision,
    text: str,
    clock: Clock,
    timeout: float,
    *,
    try_out: bool = False,
    again: Again | None = None,
    is_new: bool = False,
    move_to: Json | None = None,
) -> Observation:
    """Put ``wanted`` in; with ``move_to`` (a RayService's rayClusterConfig) on another cluster, which takes over once it answers.

    On that it cannot be tried out beforehand; the earlier cluster answers until it has shown that it does.

    Parameters
    ----------
    text
        The service's ``serveConfigV2`` with ``wanted`` in it.
    again
        What is recorded of a revision that was in before. None: ``wanted`` is recorded as a new one.
    is_new
        Whether its application is: then no earlier revision of it can be put back in.
    """
    before: Json = {"serveConfigV2": str(there.spec.get("serveConfigV2") or "")}
    after: Json = {"serveConfigV2": text}
    if move_to is not None:
        before, after = before | {"rayClusterConfig": there.spec.get("rayClusterConfig")}, after | {"rayClusterConfig": move_to}
    name = there.name
    patched: asyncio.Task[Observation] | None = None
    try:
        async with asyncio.timeout(timeout):
            if try_out and move_to is None:
                await _tried(backend, there, wanted, clock, beside=not is_new and is_code_of(wanted, there))
            patched = asyncio.create_task(backend.patch(Kind.SERVICE, name, swap(before, after)))
            await asyncio.shield(patched)
            clock.tell("put", f"Revision {wanted.number} is put in.")
            seen = await _answering(backend, name, wanted.application, clock)
    except asyncio.CancelledError:
        is_in = patched is not None and await asyncio.shield(_succeeded(patched))
        if is_in:
            await asyncio.shield(keep(backend, there, wanted, again))
        clock.tell("kept" if is_in else "undone", f"Revision {wanted.number} is {'in' if is_in else 'not in'}.")
        raise
    except Conflict:
        raise Conflict(f"Somebody else changed service {name!r} meanwhile.", "Look at its revisions, and publish again.") from None
    except (Failed, TimeoutError) as error:
        if patched is None:
            if isinstance(error, TimeoutError):
                raise TimedOut(
                    f"Revision {wanted.number} was not tried out within {timeout:.0f} s; nothing was changed.", "Try again."
                ) from None
            raise
        if await asyncio.shield(_succeeded(patched)):
            # What is there now is what was kept, with the defaults that an API server writes into it.
            now = {field: patched.result().spec.get(field) for field in after}
            await asyncio.shield(_put_back(backend, name, now, before, clock))
        back = _STAYED if move_to is not None else _TAKEN_OUT if is_new else _BACK
        if isinstance(error, TimeoutError):
            raise TimedOut(f"Revision {wanted.number} did not answer within {timeout:.0f} s. {back}", "Give it more time.") from None
        raise Failed(f"{error.message} {back}", error.hint) from error
    await asyncio.shield(keep(backend, seen, wanted, again))
    return seen


async def _put_back(backend: Backend, name: str, now: Json, earlier: Json, clock: Clock) -> None:
    with suppress(KubeRayError):
        back = await backend.patch(Kind.SERVICE, name, swap(now, earlier))
        if newer := second_cluster(back):
            # KubeRay cannot give a second cluster up. It makes one like the first in its place, and sooner when it is gone.
            await backend.delete(Kind.CLUSTER, newer)
    clock.tell("undone", "The earlier revision is put in again.")


def is_code_of(wanted: Revision, there: Observation) -> bool:
    """Whether a revision has the code that its application has now, so that replicas stay and only take other weights or settings."""
    try:
        return read(str(there.spec.get("serveConfigV2") or ""), wanted.application).args == wanted.args
    except InvalidSpec:
        return False


async def _tried(backend: Backend, there: Observation, wanted: Revision, clock: Clock, *, beside: bool) -> None:
    """Load ``wanted`` by a job on the service's cluster; `Failed` with what it said when it does not load.

    ``beside``: then let the replicas that answer load it, too. Serve sends a replica no requests while it takes over a
    configuration, so what takes long has to be done before.
    """
    cluster = service_status(there).cluster
    if not cluster:
        raise Unreachable(f"Service {there.name!r} has no cluster now.", "Wait until it answers, and publish again.")
    job = f"{there.name[:36]}-try-{os.urandom(3).hex()}"
    spec = {
        "entrypoint": wanted.try_out_beside(wanted.application if beside else ""),
        "submissionMode": "HTTPMode",
        "clusterSelector": {"ray.io/cluster": cluster},
        "runtimeEnvYAML": _LAST,
        "activeDeadlineSeconds": TRY_OUT_SECONDS,
        "backoffLimit": 0,
    }
    labels = {**{key: value for key, value in there.labels.items() if key.startswith("jupyter-kuberay/")}, NAME: job}
    resource = {"apiVersion": API_VERSION, "kind": str(Kind.JOB), "metadata": {"name": job, "labels": labels}, "spec": spec}
    clock.tell("try-out", f"Revision {wanted.number} is tried out on {cluster}.")
    made = asyncio.create_task(backend.create(Bundle(resource=resource)))
    try:
        await asyncio.shield(made)
        status = await _ended(backend, job)
    finally:
        await asyncio.shield(_job_gone(backend, job, made))
    if status.phase is not JobPhase.SUCCEEDED:
        raise explained(failure_of(status.message), f"Revision {wanted.number} did not pass its try-out", "Nothing was changed.")
    clock.tell("try-out", f"Revision {wanted.number} passed.")


async def _job_gone(backend: Backend, job: str, made: asyncio.Task[Observation]) -> None:
    if await _succeeded(made):
        with suppress(NotFound):
            await backend.delete(Kind.JOB, job)


async def _ended(backend: Backend, job: str) -> JobStatus:
    async with aclosing(watched(backend, Kind.JOB, job)) as states:
        async for seen in states:
            status = job_status(seen)
            if status.phase in (JobPhase.SUCCEEDED, JobPhase.FAILED, JobPhase.STOPPED):
                return status
    raise Failed("The try-out was deleted before it ended.", "Publish again.")


async def keep(backend: Backend, service: Observation, wanted: Revision, again: Again | None = None) -> None:
    """Record a revision (one that was recorded already is), or that it was put in ``again``."""
    mark = os.urandom(4).hex()
    resource = history.record(service.resource, wanted) if again is None else history.record_again(service.resource, wanted, again, mark)
    with suppress(Conflict):
        await backend.create(Bundle(resource=resource))


# Waiting


async def _answering(backend: Backend, name: str, application: str, clock: Clock, *, whole: bool = False) -> Observation:
    """The service once what ``application`` was asked for last runs; `Failed` when it will not. ``whole``: the cluster is new, too."""
    async with aclosing(watched(backend, Kind.SERVICE, name)) as states:
        async for seen in states:
            status = service_status(seen)
            mine = next((each for each in status.applications if each.name == application), None)
            failed = mine is not None and mine.state == "DEPLOY_FAILED"
            # KubeRay tells what Serve says some seconds late: it is asked as soon as it has been told what is wanted.
            # While there is a second cluster, it alone gets what is asked for, and nothing is told of the first one's.
            second = second_cluster(seen)
            told = status.settled or (status.phase is Phase.READY and _is_noticed(seen) and not second)
            # Where another application is broken, the service as a whole does not settle.
            alone = not told and not second and any(each.state in BROKEN and each.name != application for each in status.applications)
            if told or failed or alone:
                state, message = await _at_serve(backend, seen, second or status.cluster, application, status.applications, told)
                if state == "DEPLOY_FAILED":
                    raise explained(message or (mine.message if mine else ""), "The application does not start")
                if state == "RUNNING" and (told or alone):
                    clock.tell("ready", "It answers.")
                    return seen
            elif status.phase is Phase.FAILED and status.cause:
                raise Failed(f"Service {name!r} failed: {status.cause.what}", status.cause.remedy)
            if second and not status.cause:
                clock.tell("cluster", f"The second cluster, {second}, is starting; the first one answers.")
            if status.cause and not alone:
                clock.tell("cluster" if whole and not status.applications else "ready", last_line(status.cause.what))
    raise NotFound(f"Service {name!r} was deleted meanwhile.", "Publish it again.")


def _is_noticed(seen: Observation) -> bool:
    return bool(seen.status.get("observedGeneration", 0) == seen.resource["metadata"].get("generation", 0))


async def _at_serve(
    backend: Backend, seen: Observation, cluster: str, application: str, applications: Sequence[ApplicationStatus], told: bool
) -> tuple[str, str]:
    """What Serve itself makes of what ``application`` is asked for, once it makes up its mind; state and message.

    KubeRay's status runs ahead of Serve (observedGeneration) and behind it (the applications' states), and nothing
    tells when Serve changes: so it is asked, for as long as it has something else or is still at it.
    """
    from jupyter_kuberay.backends.dashboard import Dashboard

    listed = parse_serve_config(str(seen.spec.get("serveConfigV2") or ""))["applications"]
    wanted: Json = next((each for each in listed if each.get("name", "default") == application), {})
    while True:
        try:
            async with backend.reach(cluster, DASHBOARD_PORT) as at:
                found = (await Dashboard(at.host, at.port, at.token).applications()).get("applications") or {}
        except (Forbidden, NotFound, Unreachable):
            failed = next((each for each in applications if each.name == application and each.state == "DEPLOY_FAILED"), None)
            return ("DEPLOY_FAILED", failed.message) if failed else ("RUNNING", "")  # the status is all that can be known
        there: Json = found.get(application) or {}
        state = str(there.get("status") or "")
        if same(wanted, there.get("deployed_app_config") or {}) and state in ("DEPLOY_FAILED", "RUNNING"):
            return state, application_message(there)
        if not told:
            return "DEPLOYING", ""  # the watch tells when there is more to see
        await asyncio.sleep(_ASK_SERVE_S)


def same(wanted: Json, deployed: Json) -> bool:
    """Whether Serve has taken what an application's configuration asks for: its code, and what its deployments are given."""
    configured = {each["name"]: each.get("user_config") for each in deployed.get("deployments") or []}
    return (wanted.get("args") or {}) == (deployed.get("args") or {}) and all(
        each.get("user_config") == configured.get(each["name"]) for each in wanted.get("deployments") or []
    )


async def watched(backend: Backend, kind: Kind, name: str) -> AsyncGenerator[Observation, None]:
    """Each state of one resource, from now until it is gone."""
    async with aclosing(backend.watch(kind)) as changes:  # type: ignore[type-var]
        there = False
        async for change in changes:
            if change.type is ChangeType.SYNCED and not there:
                return
            if change.seen is None or change.seen.name != name:
                continue
            if change.type is ChangeType.DELETED:
                return
            there = True
            yield change.seen


async def _status(backend: Backend, name: str) -> ServiceStatus | None:
    try:
        return service_status(await backend.get(Kind.SERVICE, name))
    except NotFound:
        return None
