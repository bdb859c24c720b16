"""From nodes, conditions and events to the cause of what is not well, and what helps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from jupyter_kuberay.observation import Event, Json, Node, Observation
from jupyter_kuberay.status import admission, placement, pulling
from jupyter_kuberay.status.observed import ON_ITS_WAY, condition, is_accepted, is_head_ready, is_noticed, is_on_kubernetes, of_group
from jupyter_kuberay.status.values import Cause


class Finding(NamedTuple):
    """What is wrong."""

    cause: Cause
    hopeless: bool = False  # waiting does not mend it


_PULLING = frozenset(("ImagePullBackOff", "ErrImagePull", "RegistryUnavailable"))
_LOST = frozenset(("NodeLost", "NodeNotReady", "TaintManagerEviction"))
_GONE = frozenset(("Evicted", "Preempted", "Preempting", "NodeShutdown", "Shutdown"))

# A pod's reasons, and what a person can do about them. The flag tells what waiting does not mend.
OF_NODES: dict[str, tuple[str, bool]] = {
    "SchedulingGated": ("Wait for its queue, or ask your administrator.", False),
    "InvalidImageName": ("Correct the image's name.", True),
    "ErrImageNeverPull": ("Load the image onto the nodes, or let it be pulled.", False),
    "CrashLoopBackOff": ("Read the log: the process ends right after its start.", False),
    "Error": ("Read the log; it is started again.", False),
    "OOMKilled": ("Give the group more memory.", False),
    "CreateContainerConfigError": ("Make the Secret or ConfigMap that it names, or correct the name.", False),
    "CreateContainerError": ("Correct what it mounts or starts.", False),
    "FailedMount": ("Make what it mounts, or correct its name in volumes.", False),
    "FailedAttachVolume": ("Wait, or ask your administrator: its volume is elsewhere.", False),
    "FailedCreatePodSandBox": ("Ask your administrator: the machine cannot start pods.", False),
    "UnexpectedAdmissionError": ("Wait: a new one takes its place; or ask your administrator about the machine.", False),
    "SupervisorDied": ("Bring the cluster up again, or take it down.", True),
    **dict.fromkeys(_LOST, ("Wait: a new one takes its place; or ask your administrator about the machine.", False)),
    **dict.fromkeys(_GONE, ("Wait: a new one takes its place. Ask for what it really needs, so that it is not the first to go.", False)),
}
_UNKNOWN = ("Read the log.", False)
# What a pod does not say of itself.
_ONLY_EVENTS_TELL = _LOST | _GONE | {"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"}

_VERBS: dict[str, tuple[str, str]] = {
    "Unschedulable": ("cannot be placed", "cannot be placed"),
    "SchedulingGated": ("is held back", "are held back"),
    "InvalidImageName": ("cannot pull its image", "cannot pull their image"),
    "ErrImageNeverPull": ("cannot pull its image", "cannot pull their image"),
    **dict.fromkeys(_PULLING, ("cannot pull its image", "cannot pull their image")),
    **dict.fromkeys(_LOST, ("has lost its machine", "have lost their machine")),
    "Evicted": ("was evicted", "were evicted"),
    "Preempted": ("had to make room for another pod", "had to make room for other pods"),
    "Preempting": ("had to make room for another pod", "had to make room for other pods"),
}
_DOES_NOT_RUN = ("does not run", "do not run")
_WITHOUT_RAY = ("ray: command not found", "ray: not found", "No module named 'ray'")

# Reasons of conditions that speak for the whole resource, and of events that nothing else tells of.
OF_RESOURCES: dict[str, tuple[str, bool]] = {
    "InvalidRayClusterSpec": ("Change the request: the operator refuses it as it is.", True),
    "InvalidRayClusterMetadata": ("Choose another name: the operator refuses this one.", True),
    "InvalidRayServiceSpec": ("Change the request: the operator refuses it as it is.", True),
    "InvalidRayServiceMetadata": ("Choose another name: the operator refuses this one.", True),
    "InvalidRayJobSpec": ("Change the request: the operator refuses it as it is.", True),
    "InvalidRayJobMetadata": ("Choose another name: the operator refuses this one.", True),
    "ValidationFailed": ("Change the request: it is refused as it is.", True),
    "InitializingTimeout": ("Take the service down and publish it again: it is not tried any more.", True),
    "HeadFailed": ("Read the log, then bring the cluster up again.", True),
    "SupervisorDied": ("Bring the cluster up again, or take it down.", True),
    "ServeNotInstalled": ("Take an image that has ray[serve] and what that needs.", True),
    "RayClusterNotFound": ("Name a cluster that exists, or bring it up first.", False),
    "FailedToCreateRayCluster": ("Ask for less, or ask your administrator what the namespace takes.", False),
    "FailedToUpdateServeApplications": ("Correct the application's configuration and publish it again.", False),
    "FailedToCreateRayJobSubmitter": ("Correct the job's submitterPodTemplate.", True),
    "AutoscalerServiceAccountNotFound": ("Make the head's service account, or leave it out.", False),
    "FailedToCreateService": ("Ask your administrator: the KubeRay operator could not make it.", False),
    "FailedToCreateServiceAccount": ("Ask your administrator: the KubeRay operator could not make it.", False),
    "FailedToCreateRole": ("Ask your administrator: the KubeRay operator could not make it.", False),
    "FailedToCreateRoleBinding": ("Ask your administrator: the KubeRay operator could not make it.", False),
}
# A pod that is not let in. KubeRay says it in a condition for as long as it is so, under the first names.
_NOT_LET_IN = frozenset(("FailedCreateHeadPod", "FailedCreateWorkerPod", "FailedToCreateHeadPod", "FailedToCreateWorkerPod"))
# What conditions tell for as long as it is so; their events are about something that may be over.
_TOLD_BY_CONDITIONS = frozenset(("HeadFailed", "SupervisorDied", "ServeNotInstalled", "ValidationFailed", "InitializingTimeout"))
_OVER_WITH = {
    "FailedToUpdateServeApplications": "UpdatedServeApplications",
    "FailedToCreateRayCluster": "CreatedRayCluster",
    "FailedToCreateService": "CreatedService",
    "FailedToCreateHeadPod": "CreatedHeadPod",
    "FailedCreateHeadPod": "CreatedHeadPod",
    "FailedToCreateWorkerPod": "CreatedWorkerPod",
    "FailedCreateWorkerPod": "CreatedWorkerPod",
}
SERVE_IS_MISSING = "Serve dependencies are not installed"


# --- nodes ---------------------------------------------------------------


def of_nodes(nodes: Sequence[Node], events: Sequence[Event], wanted: Mapping[str, int]) -> Finding | None:
    """What keeps the first node, the head before the workers, from running. ``wanted``: workers by group."""
    told = [_with_its_events(node, events) for node in nodes if not node.ready]
    # Workers that wait for a head which does not run are not the cause.
    troubled = sorted((node for node in told if node.reason not in ON_ITS_WAY), key=lambda node: node.group != "head")
    if not troubled:
        return None
    first = troubled[0]
    alike = [node for node in troubled if (node.group, node.reason) == (first.group, first.reason)]
    there = sum(node.reason != "Terminating" or node in alike for node in of_group([*told, *(n for n in nodes if n.ready)], first.group))
    why, (remedy, hopeless) = _why(first, events)
    return Finding(Cause(what=_sentence(first, len(alike), max(wanted.get(first.group, 0), there), why), remedy=remedy), hopeless)


def _with_its_events(node: Node, events: Sequence[Event]) -> Node:
    """A node that says nothing of itself, with what the newest event about it says."""
    if node.reason not in ("", "ContainerCreating", "PodInitializing", "Terminating"):
        return node
    newest = next((event for event in events if event.about == node.name), None)
    if newest is None or newest.reason not in _ONLY_EVENTS_TELL:
        return node
    return node.model_copy(update={"reason": newest.reason, "message": newest.message})


def _why(node: Node, events: Sequence[Event]) -> tuple[str, tuple[str, bool]]:
    said = node.message or node.reason
    if node.reason == "Unschedulable":
        why, remedy = placement.explained(said)
        return why, (remedy, False)
    if node.reason in _PULLING:
        # The pod says least when it waits for the next try.
        further = [event.message for event in events if event.about == node.name and event.reason in ("Failed", "ErrImagePull")]
        why, remedy = pulling.explained([said, *further])
        return why, (remedy, False)
    if any(words in said for words in _WITHOUT_RAY):
        return said, ("Choose an image that has Ray.", False)
    return said, OF_NODES.get(node.reason, _UNKNOWN)


def _sentence(node: Node, count: int, of: int, why: str) -> str:
    one, several = _VERBS.get(node.reason, _DOES_NOT_RUN)
    if node.group == "head":
        return f"The head {one}: {why}"
    return f"{count} of {of} {node.group} {'worker' if of == 1 else 'workers'} {one if count == 1 else several}: {why}"


# --- conditions ----------------------------------------------------------


def of_failure(seen: Observation) -> Finding | None:
    """A head on this machine, or its keeper, that ended for good."""
    part = condition(seen.status, "HeadPodReady")
    if not is_noticed(seen) or part.get("status") != "False" or part.get("reason") not in ("HeadFailed", "SupervisorDied"):
        return None
    remedy, hopeless = OF_RESOURCES[part["reason"]]
    return Finding(Cause(what=str(part.get("message") or part["reason"]), remedy=remedy), hopeless)


def of_replicas(status: Json) -> Finding | None:
    """A pod that a RayCluster's operator could not make or remove."""
    part = condition(status, "ReplicaFailure")
    if part.get("status") != "True":
        return None
    return Finding(*admission.explained(str(part.get("message") or part.get("reason") or "")))


def of_readiness(seen: Observation) -> Finding | None:
    """A RayService that is refused, or given up."""
    part = condition(seen.status, "Ready")
    reason, message = str(part.get("reason") or ""), str(part.get("message") or part.get("reason") or "")
    if part.get("status") != "False":
        return None
    if SERVE_IS_MISSING in message:
        reason = "ServeNotInstalled"
    # KubeRay leaves it standing after the request was corrected, until the service answers.
    if reason not in _TOLD_BY_CONDITIONS or (reason == "ValidationFailed" and is_accepted(seen)):
        return None
    remedy, hopeless = OF_RESOURCES[reason]
    return Finding(Cause(what=message, remedy=remedy), hopeless)


# --- events --------------------------------------------------------------


def of_refusal(seen: Observation) -> Finding | None:
    """What the operator refuses: it says so in an event, and nowhere else."""
    if is_accepted(seen):
        return None
    for event in seen.events:
        if event.reason.startswith("Invalid") and event.reason in OF_RESOURCES:
            remedy, hopeless = OF_RESOURCES[event.reason]
            return Finding(Cause(what=event.message or event.reason, remedy=remedy), hopeless)
    return None


def of_events(seen: Observation, nodes: Iterable[Node], clusters: Iterable[str] = ()) -> Finding | None:
    """The newest thing that went wrong with a resource, or with one of the ``clusters`` below it, and is not over."""
    # What an event tells of is over when the head was started since: it may outlast its cause by an hour.
    started = max((node.started for node in of_group(nodes, "head")), default="")
    subjects = {"", *clusters}
    later: set[str] = set()
    for event in seen.events:
        later.add(event.reason)
        known = event.reason in OF_RESOURCES or event.reason in _NOT_LET_IN
        if not known or event.about not in subjects or event.reason in _TOLD_BY_CONDITIONS or event.reason.startswith("Invalid"):
            continue
        if (event.time and started and event.time <= started) or _OVER_WITH.get(event.reason) in later:
            continue
        if event.reason in _NOT_LET_IN:
            if seen.status.get("conditions"):
                continue
            return Finding(*admission.explained(event.message))
        remedy, hopeless = OF_RESOURCES["ServeNotInstalled" if SERVE_IS_MISSING in event.message else event.reason]
        return Finding(Cause(what=event.message or event.reason, remedy=remedy), hopeless)
    return None


def of_lost_nodes(seen: Observation) -> str:
    """What became of the last node that is gone, in a sentence; "" where nothing is known."""
    there = {node.name for node in seen.nodes}
    for event in seen.events:
        if event.about and event.about not in there and event.reason in _GONE | _LOST:
            verb = _VERBS.get(event.reason, ("is gone", ""))[0]
            return f"{event.about} {verb}: {event.message}"
    return ""


# --- nobody cares --------------------------------------------------------


def of_silence(seen: Observation) -> Finding:
    """Nothing has come of it, and nobody has said why."""
    where = f" and watches namespace {seen.resource['metadata']['namespace']!r}" if is_on_kubernetes(seen) else ""
    what = "Nothing has happened since it was asked for: the KubeRay operator does not answer."
    return Finding(Cause(what=what, remedy=f"Ask your administrator whether the operator runs{where}; jupyter kuberay doctor tells more."))


def progress(nodes: Sequence[Node], ready: int, wanted: int) -> str:
    """How far a cluster's nodes are, where nothing is wrong with them."""
    if not is_head_ready(nodes):
        return "The head is starting." if nodes else "It has been asked for, and nothing runs yet."
    return f"The head is up; {ready} of {wanted} workers have joined."
