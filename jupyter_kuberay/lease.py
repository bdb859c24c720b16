"""A cluster that is borrowed: it goes when whoever borrowed it does, also after kill -9 and when the machine is gone.

It is the own cluster of a RayJob that only waits, and whose deadline is moved forward for as long as it is needed.
When nobody moves it any more, KubeRay (or the supervisor, on this machine) ends the job and takes the cluster down.
docs/decisions/0086 says why.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from datetime import datetime, timedelta

from jupyter_kuberay import manifest
from jupyter_kuberay.client import GONE_SECONDS, READY_SECONDS, Client, Progress
from jupyter_kuberay.errors import Conflict, Failed, KubeRayError, NotFound, TimedOut, Unreachable
from jupyter_kuberay.names import label_value
from jupyter_kuberay.observation import ORIGIN, PREFIX, Bundle, ChangeType, Json, Kind, Observation
from jupyter_kuberay.spec import ClusterSpec, JobSpec
from jupyter_kuberay.status import Cause, ClusterStatus, JobStatus, Phase, job_status

LEASE = f"{PREFIX}/lease"  # a label: "true" on the RayJob of a lease, and on its cluster
PURPOSE = f"{PREFIX}/purpose"  # an annotation: what it was borrowed for
# A process that asks for nothing: beside Ray's own for a job, one of a megabyte.
ENTRYPOINT = "exec sleep 2147483647"
GRACE_SECONDS, BEAT_SECONDS = 90.0, 20.0

_SOON_S = 1.0
_AGAIN_S = 2.0  # after a beat that did not get through
_TOLD_S = 5.0  # what a job's own word may take to come, once its cluster was seen to go


class Lease:
    """A cluster of one's own for as long as the context lasts.

    >>> async with Lease(client, spec, purpose="nightly.ipynb") as lease:  # doctest: +SKIP
    ...     print(lease.name)

    Parameters
    ----------
    given
        The cluster, as `Client.up` takes it. Its name is the RayJob's; the cluster's own begins with it.
    purpose
        What it is for, kept for whoever comes across it.
    grace
        Seconds after the last beat until it is taken down by itself.
    beat
        Seconds between two beats; a network that is away for less than ``grace - beat`` is survived.
    timeout
        Seconds within which the cluster has to be ready.
    progress
        As of `Client.up`. While KubeRay has made no cluster yet, the status has the job's name.
    on_end
        Called once, on the loop's thread, with the reason if the lease ends although it was not left.
    """

    def __init__(
        self,
        client: Client,
        given: object,
        *,
        purpose: str = "",
        grace: float = GRACE_SECONDS,
        beat: float = BEAT_SECONDS,
        timeout: float = READY_SECONDS,
        progress: Progress | None = None,
        on_end: Callable[[KubeRayError], None] | None = None,
    ) -> None:
        self.client, self.spec = client, client.spec(given)
        self.job = self.spec.name
        self.name = ""  # the cluster's, as soon as there is one
        self.ended: KubeRayError | None = None  # why, if it ended although it was not left
        self.grace, self.beat = grace, beat
        self._bundle = bundle(self.spec, purpose=purpose, grace=grace)
        self.timeout, self.progress, self._on_end = timeout, progress, on_end
        self._uid = ""
        self._creating: asyncio.Task[Observation] | None = None
        self._beating: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def open(self) -> str:
        """Make it, wait until it is ready, and give its name; from now on it has to be closed.

        Raises
        ------
        Conflict
            There is a RayJob of that name.
        Failed, TimedOut
            As in `Client.up`, or KubeRay did not take the job. Nothing is left.

        Cancelled, it leaves nothing either.
        """
        self._creating = asyncio.ensure_future(self.client.backend.create(self._bundle))
        try:
            # It may be done although this call was cancelled, and then it has to be undone.
            made = await asyncio.shield(self._creating)
        except asyncio.CancelledError:
            with suppress(KubeRayError):
                await self.close()
            raise
        self._uid = _uid(made)
        self._beating = asyncio.ensure_future(self._beat_on(made))
        try:
            await self._arrive(made)
        except BaseException:
            with suppress(KubeRayError):
                await self.close()
            raise
        return self.name

    async def close(self) -> None:
        """Take it down and wait until nothing is left. Cancelled, it goes on; called again, it waits for the same.

        Raises the error for which it could not be taken down now: it goes by itself after ``grace`` seconds.
        """
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def __aenter__(self) -> Lease:
        await self.open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            await self.close()
        except KubeRayError:
            if kind is None:
                raise

    # -- coming up

    async def _arrive(self, made: Observation) -> None:
        began = time.monotonic()
        follow = asyncio.ensure_future(self._follow_job(began))
        arrive = asyncio.ensure_future(self._follow_cluster(began))
        sweep = asyncio.ensure_future(sweep_up(self.client))
        try:
            await asyncio.wait({follow, arrive}, return_when=asyncio.FIRST_COMPLETED)
            if not follow.done() and isinstance(arrive.exception(), NotFound):
                await asyncio.wait({follow}, timeout=_TOLD_S)  # the job tells why its cluster went
            if follow.done():
                follow.result()
            arrive.result()
        finally:
            tasks = (follow, arrive, sweep)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow_cluster(self, began: float) -> None:
        """Wait until the job's cluster is there, and then until it is ready."""
        try:
            async with asyncio.timeout(self.timeout):
                self.name = await self._placed()
        except TimeoutError:
            status = self._job_status(await self.client.seen(self.job, Kind.JOB))
            cause = status.cause or Cause(what="It has no cluster yet.", remedy="See whether KubeRay works: jupyter kuberay doctor.")
            raise TimedOut(f"Job {self.job!r} is {status.phase} after {self.timeout:.0f} s: {cause.what}", cause.remedy) from None
        left = self.timeout - (time.monotonic() - began)
        told = (lambda status, _: self._tell(status, began)) if self.progress else None
        await self.client.wait(self.name, timeout=left, progress=told)

    async def _placed(self) -> str:
        async with aclosing(self.client.backend.watch(Kind.CLUSTER, {ORIGIN: self.job})) as changes:  # type: ignore[type-var]
            async for change in changes:
                if change.seen is not None and change.type is not ChangeType.DELETED and _belongs(change.seen, self._uid):
                    return change.seen.name
        raise AssertionError("a watch does not end by itself")

    async def _follow_job(self, began: float) -> None:
        """Tell what the job waits for until it has a cluster; raise if it ends."""
        async with aclosing(self.client.backend.watch(Kind.JOB, {LEASE: "true"})) as changes:  # type: ignore[type-var]
            async for change in changes:
                if change.seen is None or _uid(change.seen) != self._uid:
                    continue
                if change.type is ChangeType.DELETED:
                    raise Failed(f"Job {self.job!r} was deleted while its cluster came up.", "Ask again.")
                status = self._job_status(change.seen)
                if status.phase.over:
                    cause = status.cause or Cause(what=status.message, remedy="Ask again.")
                    raise Failed(f"Cluster {self.name or self.job!r} failed: {cause.what}", cause.remedy)
                if not self.name:
                    self._tell(_pending(self.spec, status), began)

    def _tell(self, status: ClusterStatus, began: float) -> None:
        if self.progress:
            self.progress(status, time.monotonic() - began)

    def _job_status(self, seen: Observation) -> JobStatus:
        return job_status(seen, self.client.backend.now())

    # -- while it lasts

    async def _beat_on(self, seen: Observation) -> None:
        delay = min(self.beat, _SOON_S)  # at first the job has no time from which the deadline counts
        while self.ended is None:
            await asyncio.sleep(delay)
            try:
                async with asyncio.timeout(max(self.beat, _AGAIN_S)):
                    if not _started(seen):
                        seen = await self.client.backend.get(Kind.JOB, self.job)
                    if began := _started(seen):
                        seen = await self.client.backend.patch(Kind.JOB, self.job, beat(seen, self.client.backend.now(), self.grace))
            except (NotFound, Conflict):
                self._end(NotFound(f"The lease of {self._called} was deleted, and the cluster with it.", "Borrow another."))
            except (KubeRayError, TimeoutError):
                delay = min(self.beat, _AGAIN_S)
            else:
                delay = self.beat if began and began == _started(seen) else min(self.beat, _SOON_S)
                if why := self._over(seen):
                    self._end(why)

    @property
    def _called(self) -> str:
        return f"cluster {(self.name or self.job)!r}"

    def _over(self, seen: Observation) -> KubeRayError | None:
        status, name = self._job_status(seen), self.name or self.job
        if seen.resource["metadata"].get("deletionTimestamp"):
            return NotFound(f"The lease of {self._called} is being deleted, and the cluster with it.", "Borrow another.")
        if seen.status.get("reason") == "DeadlineExceeded":
            said = f"Cluster {name!r} was taken down: nothing was heard from here for {self.grace:.0f} s."
            return Unreachable(said, "See to the network, and run it again.")
        if status.phase.over:
            return Failed(f"Cluster {name!r} ended: {status.cause.what if status.cause else status.message}", "Run it again.")
        return None

    def _end(self, why: KubeRayError) -> None:
        self.ended = why
        if self._on_end:
            self._on_end(why)

    # -- leaving

    async def _close(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        if self._creating is None:
            return
        try:
            self._uid = _uid(await self._creating)
        except KubeRayError:
            return  # there is nothing
        with suppress(NotFound):
            seen = await self.client.backend.get(Kind.JOB, self.job)
            if _uid(seen) == self._uid:
                await self.client.backend.delete(Kind.JOB, self.job)
                await self.client.wait_gone(self.job, kind=Kind.JOB)
        await self._clusters_gone()

    async def _clusters_gone(self) -> None:
        """A job's cluster goes after it; its name need not be known yet."""
        there: set[str] = set()
        synced = False
        try:
            async with (
                asyncio.timeout(GONE_SECONDS),
                aclosing(self.client.backend.watch(Kind.CLUSTER, {ORIGIN: self.job})) as changes,  # type: ignore[type-var]
            ):
                async for change in changes:
                    if change.seen is not None and _belongs(change.seen, self._uid):
                        (there.discard if change.type is ChangeType.DELETED else there.add)(change.seen.name)
                    synced = synced or change.type is ChangeType.SYNCED
                    if synced and not there:
                        return
        except TimeoutError:
            raise TimedOut(f"{', '.join(there)} is not gone after {GONE_SECONDS:.0f} s.", "Wait longer, or read its log.") from None


async def sweep_up(client: Client) -> list[str]:
    """Delete the jobs of the user's leases that ended because nobody was left who held them; gives their names."""
    swept = []
    user = await asyncio.to_thread(lambda: client.user)  # who that is may have to be asked for
    for seen in await client.backend.list(Kind.JOB, {LEASE: "true", manifest.USER: label_value(user)}):
        if job_status(seen).phase.over and not seen.resource["metadata"].get("deletionTimestamp"):
            with suppress(NotFound):
                await client.backend.delete(Kind.JOB, seen.name)
                swept.append(seen.name)
    return swept


def bundle(spec: ClusterSpec, *, purpose: str = "", grace: float = GRACE_SECONDS) -> Bundle:
    """The RayJob that lends a cluster. Pure."""
    job = JobSpec(name=spec.name, entrypoint=ENTRYPOINT, cluster=spec, user=spec.user, time_limit=math.ceil(grace))
    resource = manifest.job_bundle(job).resource
    metadata = resource["metadata"]
    labels, annotations = metadata.get("labels", {}) | {LEASE: "true"}, metadata.get("annotations", {})
    if purpose:
        annotations = annotations | {PURPOSE: purpose}
    return Bundle(resource={**resource, "metadata": {**metadata, "labels": labels, "annotations": annotations}})


def beat(seen: Observation, now: datetime, grace: float) -> list[Json]:
    """The patch that lets a job that has begun live for ``grace`` seconds from ``now``. Pure."""
    # One that is suspended, as it is in Kueue's queue, begins anew when it is resumed.
    began = now if seen.spec.get("suspend") else datetime.fromisoformat(_started(seen))
    until = math.ceil((now - began + timedelta(seconds=grace)).total_seconds())
    return [
        {"op": "test", "path": "/metadata/uid", "value": _uid(seen)},
        {"op": "add", "path": "/spec/activeDeadlineSeconds", "value": until},
    ]


def _started(seen: Observation) -> str:
    return str(seen.status.get("startTime") or "")


def _uid(seen: Observation) -> str:
    return str(seen.resource["metadata"]["uid"])


def _belongs(seen: Observation, uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in seen.resource["metadata"].get("ownerReferences") or [])


def _pending(spec: ClusterSpec, job: JobStatus) -> ClusterStatus:
    """How a cluster is that KubeRay has not made yet, in its job's words."""
    wanted = {group.name: group.replicas for group in spec.worker_groups}
    cause = job.cause or Cause(what="Asked for.", remedy="Wait.")
    return ClusterStatus(
        name=spec.name, user=spec.user, phase=Phase.PENDING, ready=dict.fromkeys(wanted, 0), wanted=wanted, gpus=spec.gpus, cause=cause
    )
