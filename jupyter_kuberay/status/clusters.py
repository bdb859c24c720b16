"""What a RayCluster is doing."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from jupyter_kuberay.observation import ORIGIN, Observation
from jupyter_kuberay.status import causes
from jupyter_kuberay.status.causes import Finding
from jupyter_kuberay.status.observed import (
    annotation,
    common,
    is_being_deleted,
    is_head_ready,
    is_ignored,
    is_noticed,
    is_on_kubernetes,
    is_true,
    not_here,
    of_group,
    wanted_gpus,
    wanted_replicas,
    wanted_workers,
)
from jupyter_kuberay.status.values import Cause, ClusterStatus, Phase


def cluster_status(seen: Observation, now: datetime | None = None) -> ClusterStatus:
    """Judge a RayCluster by its nodes and the newest thing that went wrong."""
    wanted = wanted_workers(seen.spec)
    ready = {name: sum(node.ready for node in of_group(seen.nodes, name)) for name in wanted}
    refused = causes.of_refusal(seen)
    finding = refused or _finding(seen, ready, wanted, now)
    phase = _phase(seen, ready, wanted, finding.hopeless, refused is not None)
    return ClusterStatus(
        **common(seen),
        phase=phase,
        ready=ready,
        wanted=wanted,
        gpus=wanted_gpus(seen.spec),
        simulated_gpus=annotation(seen, "simulated-gpus") == "true",
        ray_version=str(seen.spec.get("rayVersion") or ""),
        nodes=seen.nodes,
        owner=seen.labels.get(ORIGIN, ""),
        cause=finding.cause if phase not in (Phase.READY, Phase.SUSPENDED, Phase.STOPPING) else None,
        notes=not_here(seen) + _limits(seen),
    )


def _phase(seen: Observation, ready: dict[str, int], wanted: dict[str, int], hopeless: bool, refused: bool) -> Phase:
    head_ready = is_head_ready(seen.nodes)
    if is_being_deleted(seen):
        return Phase.STOPPING
    if seen.spec.get("suspend"):
        return Phase.STOPPING if seen.nodes or not is_noticed(seen) else Phase.SUSPENDED
    if head_ready and not refused and all(ready[group] >= count for group, count in wanted.items()):
        return Phase.READY
    if head_ready and is_true(seen, "RayClusterProvisioned"):
        return Phase.DEGRADED
    if hopeless:
        return Phase.FAILED
    return Phase.STARTING if seen.nodes else Phase.PENDING


def _finding(seen: Observation, ready: dict[str, int], wanted: dict[str, int], now: datetime | None) -> Finding:
    found = (
        causes.of_failure(seen)
        or _twins(seen)
        or causes.of_nodes(seen.nodes, seen.events, wanted)
        or (causes.of_replicas(seen.status) if is_noticed(seen) else None)
        or causes.of_events(seen, seen.nodes)
        or (causes.of_silence(seen) if is_ignored(seen, now) else None)
    )
    if found:
        return found
    what = causes.progress(seen.nodes, sum(ready.values()), sum(wanted.values()))
    return Finding(Cause(what=f"{what} {causes.of_lost_nodes(seen)}".strip(), remedy="Wait; the log of the head tells more."))


def _twins(seen: Observation) -> Finding | None:
    names = Counter(str(group["groupName"]) for group in seen.spec.get("workerGroupSpecs") or [])
    for name, count in names.items():
        if count > 1:
            what = f"{count} worker groups are called {name!r}, and KubeRay makes the pods of one only."
            return Finding(Cause(what=what, remedy="Give each group a name of its own."), True)
    return None


def _limits(seen: Observation) -> tuple[str, ...]:
    """Why there are not more workers, where Ray decides how many there are."""
    if not seen.spec.get("enableInTreeAutoscaling") or not is_on_kubernetes(seen):
        return ()
    return tuple(
        f"Group {group['groupName']!r} has its maximum of {group['maxReplicas']}: Ray adds no more workers to it."
        for group in seen.spec.get("workerGroupSpecs") or []
        if (group.get("minReplicas") or 0) < (group.get("maxReplicas") or 0) <= (group.get("replicas") or 0) and wanted_replicas(group)
    )
