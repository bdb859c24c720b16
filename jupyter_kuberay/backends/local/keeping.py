"""The supervisor at work: one loop that looks at its root resource whenever something happens."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import math
import os
import signal
import time
from contextlib import suppress
from datetime import UTC, datetime

from jupyter_kuberay.backends.local.bell import Listener
from jupyter_kuberay.backends.local.cluster import ClusterKeeper, Settings
from jupyter_kuberay.backends.local.files import read_json
from jupyter_kuberay.backends.local.owned import follow, make_cluster, owned_cluster
from jupyter_kuberay.backends.local.store import Kept, Store, event
from jupyter_kuberay.backends.local.supervision import RECORD, cluster_of_job, remove
from jupyter_kuberay.backends.local.tenants import JobTenant, ServiceTenant
from jupyter_kuberay.errors import KubeRayError, NotFound

logger = logging.getLogger(__name__)

_DISK_S = 1.0
_LOOK_S = 5.0  # a folder that somebody removed by hand rings no bell
_HEAD_AGAIN_S = (1.0, 60.0)  # a service's head that failed is started again after so long, doubled each time, up to so long
_ENDED = ("Complete", "Failed", "ValidationFailed")


def keep(store: Store, kind: str, name: str, lock: int) -> int:
    """Keep ``kind`` ``name`` until it is deleted, or nothing is left to do. The process's exit code.

    ``lock`` is the descriptor by which others know that it is kept.
    """
    supervisor = Supervisor(store, kind, name)
    done = asyncio.run(supervisor.run())
    if done:
        # In this order: who deletes it now either finds no supervisor, and removes it, or is found here.
        (supervisor.folder / RECORD).unlink(missing_ok=True)
        os.close(lock)
        root = store.find(kind, name)
        if root is not None and root.deleting:
            remove(store, root)
    return 0


class Supervisor:
    """Keeps one root resource, the cluster that it is or brings, and what runs on that."""

    def __init__(self, store: Store, kind: str, name: str) -> None:
        self.store, self.kind, self.name = store, kind, name
        self.folder = store.folder(kind, name)
        self._local = read_json(self.folder / "local.json") or {}
        self._woken = asyncio.Event()
        self._terminated = self._done = False
        self.cluster: ClusterKeeper | None = None
        self._service: ServiceTenant | None = None
        self._jobs: dict[str, JobTenant] = {}
        self._followed = -1  # the owner's generation that its cluster follows
        self._head_failures = 0
        self._head_again: float | None = None
        self._rang = True
        self._attend(store.read(kind, name))  # starts the head: the rest can wait

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> bool:
        """True when nothing is left to do; False when it was deleted, or this process is to end."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for end in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(end, self._terminate)
        listener = self.store.bell.listen()
        loop.add_reader(listener.fileno(), self._hear, listener)
        # Held, so that whatever tidies the temporary folder up leaves ours alone.
        lock = os.open(self.store.bell.folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_SH)
        self._reap()
        while not self._terminated and not self._done:
            self._woken.clear()
            kept = self.store.find(self.kind, self.name)
            if kept is None or kept.deleting:
                break
            delay = await self._step(kept)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(delay, _LOOK_S)):
                    await self._woken.wait()
        await self._end()
        loop.remove_reader(listener.fileno())
        listener.close()
        os.close(lock)
        self.store.bell.leave()
        return self._done

    async def _step(self, root: Kept) -> float:
        try:
            if self.cluster is not None and self._cluster_deleted(root):
                await self._drop_cluster()
            self._attend(root)
            delay = await self.cluster.step() if self.cluster else math.inf
            delay = min(delay, self._revive(root), self._finish(root))
            if self._rang:
                self._rang = False
                self._let_in(root)
        except KubeRayError as error:
            logger.warning("%s", error)
            return _DISK_S
        except Exception:
            logger.exception("A look at %s %s failed", self.kind, self.name)  # what runs must go on
            return _DISK_S
        return delay

    def _attend(self, root: Kept) -> None:
        """See to it that there is a cluster as the root resource asks for it, and start its head."""
        kept: Kept | None = root
        if self.kind != "RayCluster":
            kept = owned_cluster(self.store, root)
            if kept is None and not self._needs_cluster(root):
                return
            if kept is None:
                kept = make_cluster(self.store, root, self._local)
            elif not kept.deleting and self._followed != root.resource["metadata"]["generation"]:
                follow(self.store, root, kept)
                kept = self.store.read("RayCluster", kept.name)
            self._followed = root.resource["metadata"]["generation"]
        assert kept is not None
        if self.cluster is None and not kept.deleting:
            self.cluster = ClusterKeeper(self.store, kept.name, Settings.read(self._local), self.wake)
            self.cluster.begin(kept)

    @staticmethod
    def _needs_cluster(root: Kept) -> bool:
        return root.kind != "RayJob" or root.status.get("jobDeploymentStatus") not in _ENDED

    def _let_in(self, root: Kept) -> None:
        """Have a tenant for the service, and for each job that is not done."""
        if self.cluster is None:
            return
        if self.kind == "RayService":
            if self._service is None or self._service.cluster is not self.cluster:
                self._service = ServiceTenant(self.store, self.name, self.cluster)
            self._service.wake()
        self._jobs = {name: tenant for name, tenant in self._jobs.items() if not tenant.task.done()}
        for job in self.store.all("RayJob"):
            own = (self.kind, self.name) == (job.kind, job.name)
            if not own and cluster_of_job(job.resource) != self.cluster.name:
                continue
            if job.name in self._jobs:
                self._jobs[job.name].wake()
            elif job.deleting or job.status.get("jobDeploymentStatus") not in _ENDED:
                self._jobs[job.name] = JobTenant(self.store, job.name, self.cluster)
                # What rang for it in its last moments was heard by nobody.
                self._jobs[job.name].task.add_done_callback(lambda _: self._look_anew())

    def _revive(self, root: Kept) -> float:
        """Start a service's failed head again after a while: whoever publishes expects it to answer."""
        cluster = self.cluster
        if root.kind != "RayService" or cluster is None or cluster.failure is None:
            if cluster is not None and cluster.settled:
                self._head_failures = 0
            self._head_again = None
            return math.inf
        if self._head_again is None:
            shortest, longest = _HEAD_AGAIN_S
            self._head_again = time.monotonic() + min(shortest * 2**self._head_failures, longest)
            self._head_failures += 1
        if (left := self._head_again - time.monotonic()) > 0:
            return left
        cluster.try_again()
        self.wake()
        return math.inf

    def _finish(self, root: Kept) -> float:
        """Remove the cluster of a job that is done, when its time has come."""
        spec, status = root.resource["spec"], root.status
        if root.kind != "RayJob" or status.get("jobDeploymentStatus") not in _ENDED:
            return math.inf
        if (tenant := self._jobs.get(self.name)) and not tenant.task.done():
            return math.inf
        kept = owned_cluster(self.store, root)
        if kept is None:
            self._done = self.cluster is None
            return math.inf
        if not spec.get("shutdownAfterJobFinishes"):
            return math.inf
        left = float(spec.get("ttlSecondsAfterFinished") or 0) - _seconds_since(str(status.get("endTime") or ""))
        if left <= 0 and not kept.deleting:
            self.store.mark_deleted(kept.kind, kept.name)
        return max(left, 0.0) if left > 0 else math.inf

    def _cluster_deleted(self, root: Kept) -> bool:
        kept = self.store.find("RayCluster", self.cluster.name) if self.cluster else None
        return root.kind != "RayCluster" and (kept is None or kept.deleting)

    async def _drop_cluster(self) -> None:
        """End an owned cluster that is deleted on its own. Its owner makes another one, if it needs one."""
        if self.cluster is None:
            return
        await self.cluster.end()
        with suppress(NotFound):
            self.store.remove("RayCluster", self.cluster.name)
        self.cluster = None

    def _hear(self, listener: Listener) -> None:
        listener.drain()
        self._look_anew()

    def _look_anew(self) -> None:
        self._rang = True
        self.wake()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if self.cluster:
                self.cluster.ended(pid, status)
            self.wake()

    def _terminate(self) -> None:
        self._terminated = True
        self.wake()

    async def _end(self) -> None:
        tenants = [*self._jobs.values(), *([self._service] if self._service else [])]
        for tenant in tenants:
            tenant.cancel()
        if tenants:
            await asyncio.wait([tenant.task for tenant in tenants])
        if self.cluster:
            await self.cluster.end()
        if self._terminated or self._done:
            return  # whoever looks next finds this process gone
        self._tell_jobs()
        with suppress(NotFound):
            root = self.store.read(self.kind, self.name)
            for kept in self.store.owned_by(root.uid):
                self.store.remove(kept.kind, kept.name)
            self.store.remove(self.kind, self.name)

    def _tell_jobs(self) -> None:
        """Tell the jobs that chose this cluster that it is gone."""
        for job in self.store.all("RayJob"):
            name = cluster_of_job(job.resource)
            if not name or self.cluster is None or name != self.cluster.name:
                continue
            if job.deleting:
                self.store.remove(job.kind, job.name)
            elif job.status.get("jobDeploymentStatus") not in _ENDED:
                with suppress(KubeRayError):
                    self.store.tell(job.kind, job.name, event("RayClusterNotFound", f"RayCluster {name!r} is gone.", warning=True))


def _seconds_since(time_text: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(time_text)).total_seconds() if time_text else math.inf
