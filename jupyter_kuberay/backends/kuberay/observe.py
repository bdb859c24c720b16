"""From Kubernetes' objects to what is observed: pods are nodes, and events are about them or the resource. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from jupyter_kuberay.observation import API_VERSION, Event, Json, Kind, Node, Observation

CLUSTER, GROUP, NODE_TYPE = "ray.io/cluster", "ray.io/group", "ray.io/node-type"
WAITS_FOR_HEAD = "WaitingForHead"  # a worker's init container waits for the head's GCS

_API_VERSIONS = {Kind.REVISION: "apps/v1"}
_NOT_A_REASON = ("ContainerCreating", "PodInitializing")


def observed(kind: Kind, thing: Json, pods: Iterable[Json] = (), events: Iterable[Json] = ()) -> Observation:
    """One resource with the pods and events that concern it."""
    # In a list, objects do not say what they are.
    resource: Json = {"apiVersion": _API_VERSIONS.get(kind, API_VERSION), "kind": str(kind)} | thing
    resource["metadata"] = {key: value for key, value in resource["metadata"].items() if key != "managedFields"}
    told = sorted((event(each, thing["metadata"]["name"]) for each in events), key=lambda each: each.time, reverse=True)
    return Observation(resource=resource, nodes=tuple(node(pod) for pod in sorted(pods, key=_order)), events=tuple(told))


def clusters_of(kind: Kind, thing: Json) -> tuple[str, ...]:
    """The names of the RayClusters whose pods are the nodes of a resource."""
    status = thing.get("status") or {}
    if kind is Kind.CLUSTER:
        return (str(thing["metadata"]["name"]),)
    if kind is Kind.SERVICE:
        parts = [status.get(key) or {} for key in ("activeServiceStatus", "pendingServiceStatus")]
        return tuple(str(part["rayClusterName"]) for part in parts if part.get("rayClusterName"))
    if kind is Kind.JOB and not (thing.get("spec") or {}).get("clusterSelector") and status.get("rayClusterName"):
        return (str(status["rayClusterName"]),)
    return ()


def is_cleaned_up_after(cluster: Json) -> bool:
    """Whether KubeRay runs a job of its own when this RayCluster is deleted: it takes what the head knew out of a Redis."""
    return "ray.io/gcs-ft-redis-cleanup-finalizer" in (cluster["metadata"].get("finalizers") or ())


def cluster_of(pod: Json) -> str:
    """The RayCluster that a pod belongs to; "" for other pods."""
    return str((pod["metadata"].get("labels") or {}).get(CLUSTER, ""))


def subject(event: Json) -> tuple[str, str]:
    """What an event is about: kind and name."""
    about = event.get("involvedObject") or {}
    return str(about.get("kind", "")), str(about.get("name", ""))


def event(thing: Json, resource: str) -> Event:
    """One of Kubernetes' events, as told of the resource of that name."""
    _, name = subject(thing)
    return Event(
        reason=str(thing.get("reason") or ""),
        message=str(thing.get("message") or "").strip(),
        warning=thing.get("type") == "Warning",
        time=_time(thing),
        about="" if name == resource else name,
    )


def node(pod: Json) -> Node:
    """A pod as a Ray node, with the reason for which it is not ready."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    labels = metadata.get("labels") or {}
    group = "head" if labels.get(NODE_TYPE) == "head" else str(labels.get(GROUP, ""))
    containers = status.get("containerStatuses") or []
    ready = _condition(status, "Ready").get("status") == "True" and not metadata.get("deletionTimestamp")
    reason, message = ("", "") if ready else _why_not(pod)
    return Node(
        name=str(metadata["name"]),
        group=group,
        ready=ready,
        reason=reason,
        message=message,
        restarts=sum(int(container.get("restartCount") or 0) for container in containers),
        started=_started(status, containers),
    )


def _why_not(pod: Json) -> tuple[str, str]:
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating", ""
    placed = _condition(status, "PodScheduled")
    if placed.get("status") == "False":
        return str(placed.get("reason") or "Unschedulable"), str(placed.get("message") or "")
    if status.get("phase") == "Failed" and status.get("reason"):  # evicted, for instance
        return str(status["reason"]), str(status.get("message") or "")
    for container in status.get("initContainerStatuses") or []:
        if found := _unhappy(container):
            return found
        if (container.get("state") or {}).get("running"):
            # KubeRay gives workers one init container, which waits for the head's GCS.
            return WAITS_FOR_HEAD, "It waits until the head answers."
    for container in status.get("containerStatuses") or []:
        if found := _unhappy(container):
            return found
    return "", ""


def _unhappy(container: Json) -> tuple[str, str] | None:
    state, last = container.get("state") or {}, (container.get("lastState") or {}).get("terminated") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    if ended and int(ended.get("exitCode") or 0) != 0:
        return _ended(ended)
    if waiting and waiting.get("reason") not in _NOT_A_REASON:
        if waiting.get("reason") == "CrashLoopBackOff" and last:
            reason, message = _ended(last)
            return (reason, message) if reason == "OOMKilled" else ("CrashLoopBackOff", message)
        return str(waiting.get("reason") or ""), str(waiting.get("message") or "")
    return None


def _ended(terminated: Json) -> tuple[str, str]:
    reason = str(terminated.get("reason") or "Error")
    code = f"It ended with exit code {terminated.get('exitCode')}"
    if reason == "OOMKilled":
        return reason, f"{code}: it needed more memory than its limit."
    words = str(terminated.get("message") or "").strip().splitlines()
    return ("Error" if reason in ("Error", "Completed") else reason), f"{code}: {words[-1]}" if words else f"{code}."


def _started(status: Json, containers: list[Json]) -> str:
    running = [((container.get("state") or {}).get("running") or {}).get("startedAt") for container in containers]
    return str(max(filter(None, running), default="") or "")


def _condition(status: Json, kind: str) -> Json:
    return next((each for each in status.get("conditions") or [] if each.get("type") == kind), {})


def _time(event: Json) -> str:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"), event.get("firstTimestamp"))
    return str(next(filter(None, times), ""))


def _order(pod: Json) -> tuple[bool, str]:
    labels = pod["metadata"].get("labels") or {}
    return labels.get(NODE_TYPE) != "head", str(pod["metadata"]["name"])
