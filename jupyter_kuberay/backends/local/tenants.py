"""What runs on a kept cluster: the applications of one RayService, and RayJobs. A loop each, woken when something changes."""

from __future__ import annotations

import asyncio
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from jupyter_kuberay.backends.dashboard import Dashboard
from jupyter_kuberay.backends.local.cluster import ClusterKeeper
from jupyter_kuberay.backends.local.files import write_bytes
from jupyter_kuberay.backends.local.jobs import ENDED, JobKeeper, awaited, overdue, past_deadline, problem_of, seconds_left
from jupyter_kuberay.backends.local.ports import answers
from jupyter_kuberay.backends.local.services import ServiceKeeper
from jupyter_kuberay.backends.local.store import Kept, Store
from jupyter_kuberay.backends.local.supervision import cluster_of_job
from jupyter_kuberay.backends.local.told import with_condition
from jupyter_kuberay.errors import KubeRayError, NotFound

Json = dict[str, Any]

logger = logging.getLogger(__name__)

_SOON_S, _DISK_S = 0.1, 1.0


class _Tenant(ABC):
    """Keeps one resource on a cluster."""

    kind = ""

    def __init__(self, store: Store, name: str, cluster: ClusterKeeper) -> None:
        self.store, self.name, self.cluster = store, name, cluster
        self._woken = asyncio.Event()
        self._dashboard: Dashboard | None = None
        self.task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        self._woken.set()

    def cancel(self) -> None:
        self.task.cancel()

    async def _run(self) -> None:
        delay: float = 0
        while delay >= 0:
            self._woken.clear()
            kept = self.store.find(self.kind, self.name)
            if kept is None:
                return
            try:
                delay = await self._step(kept)
            except NotFound:
                return
            except KubeRayError:
                delay = _DISK_S  # the disk is full; what was told stays told, and is told again
            except Exception:
                logger.exception("A look at %s %s failed", self.kind, self.name)
                delay = _DISK_S
            if delay >= 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if delay == math.inf else max(delay, 0.01)):
                        await self._woken.wait()

    @abstractmethod
    async def _step(self, kept: Kept) -> float:
        """Take it a step on. Seconds until the next; below 0 it is done."""

    def _tell(self, kept: Kept, status: Json, nodes: Sequence[Json] = ()) -> None:
        self.store.write_status(self.kind, self.name, status, nodes)

    async def _reached(self) -> Dashboard | None:
        """The cluster's dashboard, once it answers: some seconds after the head is ready, perhaps."""
        block = self.cluster.block
        if block is None or not self.cluster.settled or not await asyncio.to_thread(answers, block["dashboard"]):
            return None
        if self._dashboard is None or self._dashboard.port != block["dashboard"]:
            token = self.store.token("RayCluster", self.cluster.name)
            self._dashboard = Dashboard("127.0.0.1", block["dashboard"], token)
        return self._dashboard


class ServiceTenant(_Tenant):
    """The applications of a RayService on its own cluster."""

    kind = "RayService"
    _keeper: ServiceKeeper | None = None

    async def _step(self, kept: Kept) -> float:
        cluster, nodes = self.cluster, [member.json for member in self.cluster.members]
        active = {**(kept.status.get("activeServiceStatus") or {}), "rayClusterName": cluster.name}
        status = {**kept.status, "activeServiceStatus": active}
        dashboard = await self._reached()
        if dashboard is None or cluster.block is None:
            self._tell(kept, _not_ready(status, kept, cluster), nodes)
            return math.inf if cluster.failure or kept.resource["spec"].get("suspend") else _SOON_S
        if self._keeper is None or self._keeper.dashboard is not dashboard:
            self._keeper = ServiceKeeper(dashboard, cluster.block["serve"])
        self._tell(kept, await self._keeper.reconcile(kept.resource, status), [member.json for member in cluster.members])
        return self._keeper.again_in


def _not_ready(status: Json, kept: Kept, cluster: ClusterKeeper) -> Json:
    if kept.resource["spec"].get("suspend"):
        reason, message = "Suspended", "The service is suspended"
    elif cluster.failure is not None:
        reason, message = cluster.failure
    elif any(condition["reason"] == "ValidationFailed" for condition in status.get("conditions") or []):
        return status
    else:
        reason, message = "Initializing", "The service's cluster is starting"
    gone = {**status, "serviceStatus": "", "numServeEndpoints": 0}
    gone["activeServiceStatus"] = {**status["activeServiceStatus"], "applicationStatuses": {}}
    return with_condition(gone, kept.resource["metadata"]["generation"], "Ready", False, reason, message)


class JobTenant(_Tenant):
    """One RayJob, on the cluster that it chose or brought."""

    kind = "RayJob"
    _keeper: JobKeeper | None = None

    async def _step(self, kept: Kept) -> float:
        if kept.status.get("jobDeploymentStatus") in ENDED and not kept.deleting:
            return -1
        if kept.deleting:
            if self._keeper is not None:
                await self._keeper.stop(kept.status)
            if cluster_of_job(kept.resource):
                self.store.remove(self.kind, self.name)
            return -1  # one with a cluster of its own goes after that, which its supervisor sees to
        placed = {**kept.status, "rayClusterName": self.cluster.name}
        if (problem := problem_of(kept.resource["spec"])) is not None:
            self._tell(kept, {**placed, "jobDeploymentStatus": "ValidationFailed", "reason": "ValidationFailed", "message": problem})
            return -1
        dashboard = await self._reached()
        if dashboard is None:
            return self._without_cluster(kept, placed)
        if self._keeper is None or self._keeper.dashboard is not dashboard:
            self._keeper = JobKeeper(dashboard, self.cluster.stopped)
        placed["dashboardURL"] = f"{dashboard.host}:{dashboard.port}"
        if placed.get("jobDeploymentStatus") == "Initializing" and not placed.get("jobId"):
            del placed["jobDeploymentStatus"]  # it only waited for its cluster: to the keeper it is new
        told = await self._keeper.reconcile(kept.resource, placed)
        if told.get("jobDeploymentStatus") in ENDED:
            await self._keep_output(dashboard, told)
        self._tell(kept, told)
        return -1 if told.get("jobDeploymentStatus") in ENDED else self._keeper.again_in

    def _without_cluster(self, kept: Kept, placed: Json) -> float:
        failure, spec = self.cluster.failure, kept.resource["spec"]
        if failure is not None and kept.status.get("jobId"):
            lost = {"jobStatus": "FAILED", "jobDeploymentStatus": "Failed", "reason": failure[0], "message": failure[1]}
            self._tell(kept, {**placed, **lost, "endTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")})
            return -1
        if not kept.status.get("jobId"):
            placed = awaited(spec, placed)
        if not spec.get("suspend") and overdue(spec, placed, datetime.now(UTC)):
            self._tell(kept, past_deadline(spec, placed))
            return -1
        self._tell(kept, placed)
        # A change wakes this up; the passing of time does not.
        return max(seconds_left(spec, placed, datetime.now(UTC)), _SOON_S) if failure is not None else _SOON_S

    async def _keep_output(self, dashboard: Dashboard, told: Json) -> None:
        """What the job printed outlives its cluster."""
        if not told.get("jobId"):
            return
        with suppress(KubeRayError, OSError):
            text = await dashboard.job_logs(str(told["jobId"]))
            if text:  # else whoever reads goes on looking into Ray's own file, for as long as its head runs
                write_bytes(self.store.folder(self.kind, self.name) / "logs" / "job.log", text.encode())
