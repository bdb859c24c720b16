"""Everything that can be done, async, over one backend; every face calls this.

A `Client` holds no state of the world. Waiting is done on the backend's watch.
"""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from importlib.metadata import version
from typing import Any

from jupyter_kuberay import images, manifest, profiles
from jupyter_kuberay.backends.base import Backend
from jupyter_kuberay.comparison import refuse_another
from jupyter_kuberay.config import KubeRay, load, local_data_dir
from jupyter_kuberay.errors import Conflict, Failed, InvalidSpec, KubeRayError, NotFound, TimedOut
from jupyter_kuberay.identity import user_name
from jupyter_kuberay.observation import ORIGIN_KIND, Bundle, ChangeType, Endpoint, Json, Kind, Observation, Usage
from jupyter_kuberay.profiles import Profile, Request
from jupyter_kuberay.spec import ClusterSpec, as_cluster_spec
from jupyter_kuberay.status import ClusterStatus, JobStatus, Phase, ServiceStatus, cluster_status, job_status, service_status

# Told at each change while something is waited for: the status, and the seconds since the call.
Progress = Callable[[ClusterStatus, float], None]

READY_SECONDS = 300.0
_SILENCE_S = 5.0  # after which what nobody has taken notice of is judged anew
GONE_SECONDS = 60.0


class Client:
    """What a user can do with their clusters, services and jobs.

    Parameters
    ----------
    backend
        Default: what the configuration says.
    settings
        Default: as read from Jupyter's configuration folders.
    """

    def __init__(self, backend: Backend | None = None, settings: KubeRay | None = None) -> None:
        self.settings = settings or load()
        self.backend = backend or make_backend(self.settings)
        self._user = ""

    @classmethod
    def on(cls, backend: str) -> Client:
        """One over the backend of that name ("local", "kuberay"), otherwise as configured."""
        return cls(settings=load(backend=backend))

    @property
    def user(self) -> str:
        """Who the user is; the API server may have to be asked, once."""
        if not self._user:
            self._user = user_name(self.settings.user, os.environ, self.backend.user)
        return self._user

    # --- clusters ---

    def request(self, name: str, profile: str = "", **fields: Any) -> ClusterSpec:
        """The spec that ``fields`` of a `Request` mean in ``profile`` (default: the administrator's default).

        Raises
        ------
        NotFound
            There is no such profile.
        InvalidSpec, LimitExceeded
            It cannot be made, or the profile does not offer as much.
        """
        return profiles.cluster_spec(
            self.profile(profile),
            Request(name=name, **fields),
            user=self.user,
            machine_has_gpus=self.backend.name != "local" or _has_gpus(),
        )

    def profile(self, name: str = "") -> Profile:
        """The profile of that name, or the default one."""
        offered = self.settings.offered()
        return profiles.find(offered, name or self.settings.default_profile or offered[0].name)

    def spec(self, given: object) -> ClusterSpec:
        """``given`` as a whole spec: checked against limits, the user's, with Ray's version and image as here.

        `VersionMismatch` when its image's tag tells of another Ray or Python.
        """
        spec = as_cluster_spec(given)
        limits = profiles.find(self.settings.offered(), spec.profile) if spec.profile else self.settings.without_profile()
        profiles.check(limits, spec)
        ray, python = version("ray"), ".".join(platform.python_version_tuple()[:2])
        whole = spec.changed(user=spec.user or self.user).resolved(ray, python)
        if self.backend.name != "local":
            # Who asks for another Ray than the kernel's does not mean to attach it.
            images.check(whole.image, whole.ray_version, python if whole.ray_version == ray else "")
        return whole

    async def up(
        self, given: object, *, wait: bool = True, timeout: float = READY_SECONDS, progress: Progress | None = None
    ) -> ClusterStatus:
        """Bring a cluster up, or find it up already; suspended or failed ones are started again.

        Parameters
        ----------
        given
            A `ClusterSpec`, its fields, or codeflare-sdk's ``ClusterConfiguration``.
        wait
            Until it is ready; otherwise return as soon as it is asked for.
        timeout
            In seconds.

        Raises
        ------
        Conflict
            One of that name is up with another spec; the message says what differs. Nothing was changed.
        Failed
            It will not become ready by waiting. It is left as it is, so that its log can be read.
        TimedOut
            It was not ready in time; it may still become so.

        Cancelling it removes what it made.
        """
        spec = self.spec(given)
        made = await self._create_or_join(spec, timeout)
        if not wait:
            return await self.cluster(spec.name)
        try:
            return await self.wait(spec.name, timeout=timeout, progress=progress)
        except asyncio.CancelledError:
            if made:
                await asyncio.shield(self.down(spec.name, wait=False))
            raise

    async def _create_or_join(self, spec: ClusterSpec, timeout: float) -> bool:
        """True if this call made it."""
        bundle = manifest.cluster_bundle(spec)
        while True:
            creating = asyncio.ensure_future(self.backend.create(bundle))
            try:
                # It may be done although the call was cancelled, and then it has to be undone.
                await asyncio.shield(creating)
                return True
            except asyncio.CancelledError:
                with suppress(KubeRayError):
                    await creating
                    await self.down(spec.name, wait=False)
                raise
            except Conflict:
                pass
            try:
                there = await self.backend.get(Kind.CLUSTER, spec.name)
            except NotFound:
                continue  # it went between the two questions
            status = self._judged(there)
            if there.resource["metadata"].get("deletionTimestamp"):
                await self.wait_gone(spec.name, timeout=timeout)
                continue
            refuse_another(spec, there)
            if status.phase is Phase.FAILED:
                await self.suspend(spec.name)
                await self.wait(spec.name, until=lambda now: now.phase is Phase.SUSPENDED, timeout=timeout)
            if status.phase is Phase.FAILED or there.spec.get("suspend"):
                await self.resume(spec.name)
            return False

    async def cluster(self, name: str) -> ClusterStatus:
        """The cluster as it is now, or `NotFound` with the names of those that there are."""
        return self._judged(await self.seen(name))

    async def seen(self, name: str, kind: Kind = Kind.CLUSTER) -> Observation:
        """What the backend sees of it, or `NotFound` with the names of those that there are."""
        try:
            return await self.backend.get(kind, name)
        except NotFound:
            there = [found.name for found in await self.backend.list(kind)]
            what = {Kind.CLUSTER: "cluster", Kind.SERVICE: "service", Kind.JOB: "job"}[kind]
            none = {
                Kind.CLUSTER: f"Bring it up: jupyter kuberay up {name}",
                Kind.SERVICE: f"Publish it: jupyter kuberay publish {name} --app …",
            }
            hint = f"There are: {', '.join(there)}." if there else none.get(kind, f"There is no {what} at all.")
            raise NotFound(f"There is no {what} {name!r}.", hint) from None

    async def clusters(self, selector: Mapping[str, str] | None = None) -> list[ClusterStatus]:
        """All clusters, by name; those below services and jobs among them."""
        return [self._judged(seen) for seen in await self.backend.list(Kind.CLUSTER, selector)]

    async def watch(self) -> AsyncIterator[tuple[ChangeType, ClusterStatus | None]]:
        """Every change of every cluster, beginning with what there is; SYNCED, with None, after these; see `Backend.watch`."""
        async with aclosing(self.backend.watch(Kind.CLUSTER)) as changes:  # type: ignore[type-var]
            async for change in changes:
                yield change.type, self._judged(change.seen) if change.seen else None

    async def wait(
        self,
        name: str,
        *,
        until: Callable[[ClusterStatus], bool] = lambda now: now.phase is Phase.READY,
        timeout: float = READY_SECONDS,
        progress: Progress | None = None,
    ) -> ClusterStatus:
        """Wait for a cluster to be as ``until`` says (default: ready).

        Raises
        ------
        NotFound
            There is none, or it was deleted meanwhile.
        Failed, TimedOut
            As in `up`.
        """
        began, last = time.monotonic(), None
        try:
            async with asyncio.timeout(timeout), aclosing(self._looks(name)) as looks:
                async for last in looks:
                    if progress:
                        progress(last, time.monotonic() - began)
                    if until(last):
                        return last
                    if last.phase is Phase.FAILED and last.cause:
                        raise Failed(f"Cluster {name!r} failed: {last.cause.what}", last.cause.remedy)
        except TimeoutError:
            cause = last.cause if last else None
            what = f"Cluster {name!r} is {last.phase if last else 'unknown'} after {timeout:.0f} s: {cause.what if cause else ''}"
            raise TimedOut(what.rstrip(": ") + ".", cause.remedy if cause else "Wait longer, or read the head's log.") from None
        raise AssertionError("a watch does not end by itself")

    async def _looks(self, name: str) -> AsyncGenerator[ClusterStatus, None]:
        """How a cluster is at each change, and again while nothing changes at all: silence tells something, too."""
        last: Observation | None = None
        async with aclosing(self.backend.watch(Kind.CLUSTER)) as changes:  # type: ignore[type-var]
            coming = asyncio.ensure_future(anext(changes))
            try:
                while True:
                    done, _ = await asyncio.wait({coming}, timeout=_SILENCE_S if last else None)
                    if done:
                        change = coming.result()
                        coming = asyncio.ensure_future(anext(changes))
                        if change.type is ChangeType.SYNCED and last is None:
                            raise NotFound(f"There is no cluster {name!r}.", "See which there are: jupyter kuberay list.")
                        if change.seen is None or change.seen.name != name:
                            continue
                        if change.type is ChangeType.DELETED:
                            raise NotFound(f"Cluster {name!r} was deleted meanwhile.", "Bring it up again.")
                        last = change.seen
                    if last is not None:
                        yield self._judged(last)
            finally:
                coming.cancel()
                with suppress(asyncio.CancelledError, StopAsyncIteration, KubeRayError):
                    await coming

    def _judged(self, seen: Observation) -> ClusterStatus:
        return cluster_status(seen, self.backend.now())

    async def scale(self, name: str, replicas: int, group: str = "") -> ClusterStatus:
        """Ask for another number of workers in ``group`` (default: the only one); return without waiting.

        Raises
        ------
        InvalidSpec
            There is no such group, or there are several and none is named, or the number is none.
        LimitExceeded
            The profile does not offer as many.
        """
        there = await self.seen(name)
        spec = manifest.read_cluster(there.resource)
        index = _group_index(spec, group)
        before = spec.worker_groups[index]
        # A maximum that nobody chose follows what is wanted.
        after = before.changed(replicas=replicas, maximum=max(before.maximum, replicas), minimum=min(before.minimum, replicas))
        groups = (*spec.worker_groups[:index], after, *spec.worker_groups[index + 1 :])
        limits = profiles.find(self.settings.offered(), spec.profile) if spec.profile else self.settings.without_profile()
        profiles.check(limits, spec.changed(worker_groups=groups))
        at = f"/spec/workerGroupSpecs/{index}"
        patch: list[Json] = [{"op": "test", "path": f"{at}/groupName", "value": before.name}]
        patch += [
            {"op": "add", "path": f"{at}/{key}", "value": value}
            for key, value in (("replicas", after.replicas), ("minReplicas", after.minimum), ("maxReplicas", after.maximum))
        ]
        return self._judged(await self.backend.patch(Kind.CLUSTER, name, patch))

    async def suspend(self, name: str) -> ClusterStatus:
        """End its processes and keep the rest; return without waiting."""
        return await self._set_suspend(name, True)

    async def resume(self, name: str) -> ClusterStatus:
        """Start what was suspended; return without waiting."""
        return await self._set_suspend(name, False)

    async def _set_suspend(self, name: str, value: bool) -> ClusterStatus:
        await self.seen(name)
        return self._judged(await self.backend.patch(Kind.CLUSTER, name, [{"op": "add", "path": "/spec/suspend", "value": value}]))

    async def down(self, name: str, *, kind: Kind = Kind.CLUSTER, wait: bool = True, timeout: float = GONE_SECONDS) -> None:
        """Delete a cluster (or service, or job) and all that it holds."""
        there = await self.seen(name, kind)
        owner = cluster_status(there).owner if kind is Kind.CLUSTER else ""
        if owner:
            of_job = there.labels.get(ORIGIN_KIND) == str(Kind.JOB)
            hint = "It goes with that job, as soon as it ends." if of_job else f"Take that down instead: jupyter kuberay unpublish {owner}."
            raise Conflict(f"Cluster {name!r} belongs to {owner!r}.", hint)
        await self.backend.delete(kind, name)
        if wait:
            await self.wait_gone(name, kind=kind, timeout=timeout)

    async def wait_gone(self, name: str, *, kind: Kind = Kind.CLUSTER, timeout: float = GONE_SECONDS) -> None:
        """Wait until nothing of it is left; `TimedOut` otherwise."""
        here = False
        try:
            async with asyncio.timeout(timeout), aclosing(self.backend.watch(kind)) as changes:  # type: ignore[type-var]
                async for change in changes:
                    if change.seen is not None and change.seen.name == name:
                        here = change.type is not ChangeType.DELETED
                    if not here and change.type in (ChangeType.SYNCED, ChangeType.DELETED):
                        return
        except TimeoutError:
            raise TimedOut(f"{name!r} is not gone after {timeout:.0f} s.", "Wait longer, or read its log.") from None

    # --- services, jobs, and what lies below ---

    async def service(self, name: str) -> ServiceStatus:
        """The service as it is now, or `NotFound` with the names of those that there are."""
        return service_status(await self.seen(name, Kind.SERVICE), self.backend.now())

    async def services(self) -> list[ServiceStatus]:
        """All services, by name."""
        return [service_status(seen, self.backend.now()) for seen in await self.backend.list(Kind.SERVICE)]

    async def jobs(self) -> list[JobStatus]:
        """All jobs, by name."""
        return [job_status(seen, self.backend.now()) for seen in await self.backend.list(Kind.JOB)]

    async def usage(self, name: str) -> Usage:
        """CPU, GPU and memory in use on a cluster."""
        return await self.backend.usage(name)

    def usages(self, name: str, every: float) -> AsyncGenerator[Usage, None]:
        """The same every so many seconds; see `Backend.usages`."""
        return self.backend.usages(name, every)

    def reach(self, name: str, port: int) -> AbstractAsyncContextManager[Endpoint]:
        """Where a port of a cluster's head answers from here; see `Backend.reach`."""
        return self.backend.reach(name, port)

    def logs(self, name: str, node: str = "", *, kind: Kind = Kind.CLUSTER, follow: bool = False, tail: int = 200) -> AsyncIterator[str]:
        """Lines of a log; see `Backend.logs`."""
        return self.backend.logs(name, node, kind=kind, follow=follow, tail=tail)

    def manifest(self, given: object) -> Bundle:
        """The Kubernetes objects of a cluster, without making them."""
        return manifest.cluster_bundle(self.spec(given))

    async def close(self) -> None:
        """Let go of connections; what was made stays."""
        await self.backend.close()


def make_backend(settings: KubeRay) -> Backend:
    """The backend that the settings name."""
    if settings.backend == "kuberay":
        from jupyter_kuberay.backends.kuberay import KubeRayBackend

        return KubeRayBackend(settings.context, settings.namespace)
    from jupyter_kuberay.backends.local import LocalBackend

    return LocalBackend(local_data_dir(settings))


def _has_gpus() -> bool:
    from jupyter_kuberay.backends.local.gpus import given

    return bool(given())


def _group_index(spec: ClusterSpec, group: str) -> int:
    names = [one.name for one in spec.worker_groups]
    if not names:
        raise InvalidSpec(f"Cluster {spec.name!r} has no worker group.", "Bring up one that has workers.")
    if not group and len(names) == 1:
        return 0
    if group not in names:
        said = f"There is no group {group!r}" if group else f"Cluster {spec.name!r} has several groups"
        raise InvalidSpec(f"{said}.", f"Name one of: {', '.join(names)}.")
    return names.index(group)
