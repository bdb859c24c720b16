"""What is told of a cluster, in KubeRay's words: from its members to nodes, status and conditions. Pure but for the time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from jupyter_kuberay.backends.local.nodes import HEAD, Group
from jupyter_kuberay.backends.local.store import Kept, now

Json = dict[str, Any]

ENDPOINTS = {"client": "client", "dashboard": "dashboard", "gcs-server": "gcs", "metrics": "metrics", "serve": "serve"}


@dataclass
class Member:
    """A node that is to run, or is still ending."""

    name: str
    group: str
    pid: int = 0  # of its `ray start`; 0 while none runs
    ready: bool = False
    ending: bool = False
    reason: str = "ContainerCreating"
    message: str = ""
    restarts: int = 0
    failures: int = 0  # in a row, without having been ready
    started: str = ""
    retry_at: float = 0.0  # of time.monotonic()
    gate: int = -1  # write "go" here, when its turn comes
    log_from: int = 0  # where the log of its present run begins, in bytes
    leases: list[Any] = field(default_factory=list)

    def go(self) -> None:
        """Tell a gated node that its turn has come."""
        with suppress(OSError):
            os.write(self.gate, b"go\n")
        self.close_gate()

    def close_gate(self) -> None:
        if self.gate >= 0:
            os.close(self.gate)
            self.gate = -1

    def release(self) -> None:
        """Let go of what it leased."""
        for lease in self.leases:
            lease.release()
        self.leases = []

    @property
    def json(self) -> Json:
        shown = ("name", "group", "ready", "restarts", "started")
        quiet = {"reason": "", "message": ""} if self.ready else {"reason": self.reason, "message": self.message}
        return {key: getattr(self, key) for key in shown} | quiet


def cluster_status(
    resource: Json,
    before: Json,
    members: Sequence[Member],
    groups: Sequence[Group],
    *,
    suspended: bool = False,
    failure: tuple[str, str] | None = None,  # reason and message
    port: Callable[[str], int] | None = None,
) -> Json:
    """The status of a RayCluster, given the one told ``before``."""
    workers = [member for member in members if member.group != HEAD and not member.ending]
    head = next((member for member in members if member.group == HEAD and not member.ending), None)
    wanted, ready = sum(group.replicas for group in groups), sum(member.ready for member in workers)
    head_ready = head is not None and head.ready
    complete = head_ready and ready >= wanted
    was_complete = is_true(before, "RayClusterProvisioned") and not suspended and failure is None
    status = {key: value for key, value in before.items() if key not in ("reason", "state", "endpoints")}
    status |= {
        "desiredWorkerReplicas": wanted,
        "readyWorkerReplicas": ready,
        "availableWorkerReplicas": sum(bool(member.pid) for member in workers),
        "minWorkerReplicas": sum(int(group.get("minReplicas") or 0) for group in _groups(resource)),
        "maxWorkerReplicas": sum(int(group.get("maxReplicas") or 0) for group in _groups(resource)),
        "desiredGPU": str(sum(group.gpus * group.replicas for group in groups)),
        "observedGeneration": resource["metadata"]["generation"],
    }
    if suspended:
        status["state"] = "suspended"
    elif failure is not None:
        status |= {"state": "failed", "reason": failure[1]}
    elif complete or was_complete:
        status["state"] = "ready"
    if port is not None and not suspended and failure is None:
        status["endpoints"] = {name: str(port(ours)) for name, ours in ENDPOINTS.items()}
        status["head"] = {"podName": head.name if head else "", "podIP": "127.0.0.1", "serviceIP": "127.0.0.1"}
    return _with_conditions(status, resource, head, complete or was_complete, suspended, failure)


def _with_conditions(
    status: Json, resource: Json, head: Member | None, complete: bool, suspended: bool, failure: tuple[str, str] | None
) -> Json:
    generation = resource["metadata"]["generation"]

    def put(kind: str, value: bool, reason: str, message: str = "") -> None:
        nonlocal status
        status = with_condition(status, generation, kind, value, reason, message)

    if failure is not None:
        put("HeadPodReady", False, *failure)
    elif head is not None and head.ready:
        put("HeadPodReady", True, "HeadPodRunningAndReady")
    else:
        put("HeadPodReady", False, head.reason if head else "HeadPodNotFound", head.message if head else "")
    if suspended:
        put("RayClusterProvisioned", False, "RayClusterSuspended")
        put("RayClusterSuspended", True, "RayClusterSuspended")
    else:
        first = "AllPodRunningAndReadyFirstTime" if complete else "RayClusterPodsProvisioning"
        put("RayClusterProvisioned", complete, first)
        put("RayClusterSuspended", False, "RayClusterNotSuspended")
    return status


def former_failure(kept: Kept) -> tuple[str, str] | None:
    """Why the head had failed, as it was told of this very spec; None when it had not."""
    seen = kept.status.get("observedGeneration") == kept.resource["metadata"]["generation"]
    if kept.status.get("state") != "failed" or not seen:
        return None
    for condition in kept.status.get("conditions") or []:
        if condition["type"] == "HeadPodReady":
            return condition["reason"], condition["message"]
    return "HeadFailed", str(kept.status.get("reason") or "")


def with_condition(status: Json, generation: int, kind: str, value: bool, reason: str, message: str = "") -> Json:
    """``status`` with one condition set. Its time is that of its last change between True and False."""
    conditions = status.get("conditions") or []
    before = next((condition for condition in conditions if condition["type"] == kind), None)
    word = "True" if value else "False"
    condition = {
        "type": kind,
        "status": word,
        "reason": reason,
        "message": message,
        "lastTransitionTime": before["lastTransitionTime"] if before and before["status"] == word else now(),
        "observedGeneration": generation,
    }
    others = [other for other in conditions if other["type"] != kind]
    return {**status, "conditions": sorted([*others, condition], key=lambda each: str(each["type"]))}


def is_true(status: Json, kind: str) -> bool:
    """Whether a condition is told, and True."""
    return any(condition["type"] == kind and condition["status"] == "True" for condition in status.get("conditions") or [])


def _groups(resource: Json) -> list[Json]:
    return resource["spec"].get("workerGroupSpecs") or []
