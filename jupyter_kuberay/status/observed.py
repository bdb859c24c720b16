"""What an observation says by itself: labels, conditions, ages, and how many workers are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from jupyter_kuberay.accelerators import is_accelerator
from jupyter_kuberay.observation import ORIGIN, PREFIX, Json, Node, Observation

NOT_HERE = "NotOnThisMachine"  # an event's reason: asked for, and only Kubernetes can do it

# Nothing is wrong with a node for which one of these is all that is said.
ON_ITS_WAY = frozenset(("", "ContainerCreating", "PodInitializing", "WaitingForHead", "Terminating"))

_REPLICAS_WITHOUT_BOUND = 2**31 - 1
_OPERATOR = "ray.io/kuberay-operator"
_SILENCE = timedelta(seconds=10)  # KubeRay's first word comes within one


def common(seen: Observation) -> Json:
    """The fields that all statuses have."""
    return {
        "name": seen.name,
        "user": annotation(seen, "user") or seen.labels.get(f"{PREFIX}/user", ""),
        "profile": annotation(seen, "profile") or seen.labels.get(f"{PREFIX}/profile", ""),
        "created": str(seen.resource["metadata"].get("creationTimestamp") or ""),
        "foreign": f"{PREFIX}/name" not in seen.labels and ORIGIN not in seen.labels,
    }


def not_here(seen: Observation) -> tuple[str, ...]:
    """What was asked for and cannot be had on this machine, once each."""
    return tuple(dict.fromkeys(event.message for event in reversed(seen.events) if event.reason == NOT_HERE))


def annotation(seen: Observation, name: str) -> str:
    return str((seen.resource["metadata"].get("annotations") or {}).get(f"{PREFIX}/{name}", ""))


def is_on_kubernetes(seen: Observation) -> bool:
    """There everything is in a namespace; on this machine nothing is."""
    return bool(seen.resource["metadata"].get("namespace"))


def is_being_deleted(seen: Observation) -> bool:
    return bool(seen.resource["metadata"].get("deletionTimestamp"))


def is_noticed(seen: Observation) -> bool:
    """Whether the status is about what is asked for now, and not about what was before."""
    generation = seen.resource["metadata"].get("generation", 0)
    return int(seen.status.get("observedGeneration", generation)) >= int(generation)


def is_accepted(seen: Observation) -> bool:
    """Whether it is known that what is asked for now was taken up: then no earlier refusal holds any more."""
    return bool(seen.status.get("observedGeneration")) and is_noticed(seen)


def condition(status: Json, kind: str) -> Json:
    """One of a status' conditions; {} where it is not told."""
    return next((part for part in status.get("conditions") or [] if part.get("type") == kind), {})


def is_true(seen: Observation, kind: str) -> bool:
    return condition(seen.status, kind).get("status") == "True"


def of_group(nodes: Iterable[Node], group: str) -> list[Node]:
    return [node for node in nodes if node.group == group]


def is_head_ready(nodes: Iterable[Node]) -> bool:
    return any(node.ready for node in of_group(nodes, "head"))


def elapsed(since: str, now: datetime | None) -> timedelta:
    """From ``since`` (RFC 3339) to ``now``; nothing where one of them is not known."""
    if not since or now is None:
        return timedelta(0)
    return now - datetime.fromisoformat(since)


def is_ignored(seen: Observation, now: datetime | None) -> bool:
    """Whether nothing at all has come of a resource on Kubernetes for so long that nobody seems to care for it."""
    metadata = seen.resource["metadata"]
    silent = not seen.status and not seen.nodes and not seen.events
    ours = is_on_kubernetes(seen) and seen.spec.get("managedBy", _OPERATOR) == _OPERATOR
    return ours and silent and elapsed(str(metadata.get("creationTimestamp") or ""), now) > _SILENCE


def wanted_replicas(group: Json) -> int:
    """How many workers of a group KubeRay keeps: ``replicas`` within the bounds, of so many hosts each."""
    if group.get("suspend"):
        return 0
    most = group.get("maxReplicas")
    within = min(max(group.get("replicas") or 0, group.get("minReplicas") or 0), _REPLICAS_WITHOUT_BOUND if most is None else most)
    return int(within) * int(group.get("numOfHosts") or 1)


def wanted_workers(spec: Json) -> dict[str, int]:
    """Workers by group that a RayCluster's spec asks for. With autoscaling, Ray itself writes the number into it."""
    wanted: dict[str, int] = {}
    for group in spec.get("workerGroupSpecs") or []:
        name = str(group["groupName"])
        wanted[name] = wanted.get(name, 0) + wanted_replicas(group)
    return wanted


def wanted_gpus(spec: Json) -> int:
    """How many GPUs the wanted workers of a RayCluster's spec have together."""
    return sum(_gpus(group) * wanted_replicas(group) for group in spec.get("workerGroupSpecs") or [])


def pods_and_gpus(spec: Json) -> str:
    """What a RayCluster's spec takes, such as "3 pods and 2 GPUs"."""
    pods, gpus = 1 + sum(wanted_workers(spec).values()), wanted_gpus(spec)
    return f"{pods} {'pod' if pods == 1 else 'pods'}" + (f" and {gpus} {'GPU' if gpus == 1 else 'GPUs'}" if gpus else "")


def _gpus(group: Json) -> int:
    try:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    except (KeyError, IndexError, TypeError):
        return 0
    counted = [amount for name, amount in limits.items() if is_accelerator(name)]
    return sum(int(amount) for amount in counted if str(amount).isdigit())
