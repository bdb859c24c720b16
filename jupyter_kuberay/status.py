"""What a cluster, a service or a job is doing, and if it is not well, why, and what helps.

Pure: an `Observation` goes in, a status comes out. Both substrates observe in
the same terms (a node is a pod there and a process here), so this is the only
place where a cause becomes a sentence.

KubeRay's own ``status.state`` is not believed where it says "ready": it stays
so when pods fail, and ``RayClusterProvisioned`` stays true when the head is
gone (seen on 1.6.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import yaml
from pydantic import BaseModel, ConfigDict

from jupyter_kuberay.observation import PREFIX, Event, Json, Kind, Node, Observation

_REPLICAS_WITHOUT_BOUND = 2**31 - 1
ORIGIN = "ray.io/originated-from-cr-name"
NOT_HERE = "NotOnThisMachine"  # an event's reason: asked for, and only Kubernetes can do it


class Phase(StrEnum):
    PENDING = "Pending"  # asked for; nothing runs yet
    STARTING = "Starting"  # some of it runs
    READY = "Ready"  # all that is wanted runs
    DEGRADED = "Degraded"  # usable, but less than what is wanted runs
    SUSPENDED = "Suspended"
    STOPPING = "Stopping"
    FAILED = "Failed"  # will not become ready by waiting


class JobPhase(StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    RETRYING = "Retrying"
    SUCCEEDED = "Succeeded"
    STOPPED = "Stopped"
    FAILED = "Failed"

    @property
    def over(self) -> bool:
        return self in (JobPhase.SUCCEEDED, JobPhase.STOPPED, JobPhase.FAILED)


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Cause(_Value):
    what: str
    remedy: str


class _Status(_Value):
    name: str
    user: str = ""
    profile: str = ""
    created: str = ""  # RFC 3339, UTC
    cause: Cause | None = None
    notes: tuple[str, ...] = ()  # what was asked for and this substrate cannot do


class ClusterStatus(_Status):
    """A cluster at one moment; ``cause`` is never None in Pending, Starting, Degraded and Failed."""

    phase: Phase
    ready: dict[str, int]  # workers by group
    wanted: dict[str, int]
    gpus: int = 0  # of the wanted workers together
    simulated_gpus: bool = False
    ray_version: str = ""
    nodes: tuple[Node, ...] = ()
    owner: str = ""  # the service or job that it belongs to
    foreign: bool = False  # made by another tool

    @property
    def usable(self) -> bool:
        return self.phase in (Phase.READY, Phase.DEGRADED)


class ApplicationStatus(_Value):
    name: str
    state: str  # as Serve says it: DEPLOYING, RUNNING, DEPLOY_FAILED, UNHEALTHY, …
    message: str = ""


class ServiceStatus(_Status):
    """A service at one moment."""

    phase: Phase
    revision: int | None = None  # that is asked for; None where it was not published by us
    model: str = ""  # the weights' URI
    applications: tuple[ApplicationStatus, ...] = ()
    cluster: str = ""  # the RayCluster that answers now
    settled: bool = False  # what runs is what was asked for last


class JobStatus(_Status):
    """A job at one moment."""

    phase: JobPhase
    message: str = ""  # the first error, with the last lines of its log
    cluster: str = ""
    job_id: str = ""


# What the world says, and what a person can do about it. The flag tells what
# waiting does not mend.
_REMEDIES: dict[str, tuple[str, bool]] = {
    "Unschedulable": ("Ask for less, wait for others to finish, or choose another profile.", False),
    "ImagePullBackOff": ("Check the image's name and tag, and that the cluster may pull it.", False),
    "ErrImagePull": ("Check the image's name and tag, and that the cluster may pull it.", False),
    "InvalidImageName": ("Correct the image's name.", True),
    "CrashLoopBackOff": ("Read the log: the process ends right after its start.", False),
    "Error": ("Read the log; it is started again.", False),
    "OOMKilled": ("Give the group more memory.", False),
    "FailedCreateHeadPod": ("Ask for less, or ask your administrator for a larger quota.", False),
    "FailedCreateWorkerPod": ("Ask for less, or ask your administrator for a larger quota.", False),
    "InvalidRayClusterSpec": ("Change the request: the operator refuses it as it is.", True),
    "InvalidRayClusterMetadata": ("Choose another name: the operator refuses this one.", True),
    "InvalidRayServiceSpec": ("Change the request: the operator refuses it as it is.", True),
    "InvalidRayJobSpec": ("Change the request: the operator refuses it as it is.", True),
    "RayClusterNotFound": ("Name a cluster that exists, or bring it up first.", False),
    "ValidationFailed": ("Change the request: it is refused as it is.", True),
    "HeadFailed": ("Read the log, then bring the cluster up again.", True),
    "SupervisorDied": ("Bring the cluster up again, or take it down.", True),
}
# What conditions tell for as long as it is so; their events are about something that may be over.
_TOLD_BY_CONDITIONS = {"HeadFailed", "SupervisorDied"}
_FAILED_REMEDY = "Read the log, then bring it up again or take it down."


def cluster_status(seen: Observation) -> ClusterStatus:
    """Judge a RayCluster by its nodes and the newest thing that went wrong."""
    wanted = {group["groupName"]: wanted_replicas(group) for group in seen.spec.get("workerGroupSpecs") or []}
    ready = {name: sum(node.ready for node in _of(seen.nodes, name)) for name in wanted}
    cause, hopeless = _cluster_cause(seen, ready, wanted)
    phase = _cluster_phase(seen, ready, wanted, hopeless)
    needs_cause = phase not in (Phase.READY, Phase.SUSPENDED, Phase.STOPPING)
    gpus = sum(_gpus(group) * wanted[group["groupName"]] for group in seen.spec.get("workerGroupSpecs") or [])
    return ClusterStatus(
        **_common(seen),
        phase=phase,
        ready=ready,
        wanted=wanted,
        gpus=gpus,
        simulated_gpus=_annotation(seen, "simulated-gpus") == "true",
        ray_version=str(seen.spec.get("rayVersion") or ""),
        nodes=seen.nodes,
        owner=seen.labels.get(ORIGIN, ""),
        foreign=f"{PREFIX}/name" not in seen.labels and ORIGIN not in seen.labels,
        cause=cause if needs_cause else None,
    )


def service_status(seen: Observation) -> ServiceStatus:
    """Judge a RayService by its applications, its conditions, and the nodes below it."""
    active, pending = (seen.status.get(key) or {} for key in ("activeServiceStatus", "pendingServiceStatus"))
    applications = _applications(active) or _applications(pending)
    ready = _condition(seen, "Ready") == "True"
    # A RayService without observedGeneration is one that nobody has looked at yet.
    settled = seen.status.get("observedGeneration", 0) == seen.resource["metadata"].get("generation", 0)
    failed = [application for application in applications if application.state in ("DEPLOY_FAILED", "UNHEALTHY")]
    cause, hopeless = _service_cause(seen, failed)
    phase = _service_phase(seen, ready, bool(applications), bool(failed), hopeless)
    main = _main_user_config(seen)
    return ServiceStatus(
        **_common(seen),
        phase=phase,
        revision=main["revision"] if isinstance(main.get("revision"), int) else None,
        model=str(main.get("model", "")),
        applications=applications,
        cluster=str(active.get("rayClusterName") or pending.get("rayClusterName") or ""),
        settled=settled and ready and not failed,
        cause=cause if phase not in (Phase.READY, Phase.SUSPENDED, Phase.STOPPING) else None,
    )


def job_status(seen: Observation) -> JobStatus:
    """Judge a RayJob: its deployment's word first, since the job's own lags behind it."""
    deployment, job = str(seen.status.get("jobDeploymentStatus") or ""), str(seen.status.get("jobStatus") or "")
    if deployment in ("Failed", "ValidationFailed"):
        phase = JobPhase.FAILED
    elif deployment == "Retrying":
        phase = JobPhase.RETRYING
    elif job == "STOPPED":
        phase = JobPhase.STOPPED
    elif deployment == "Complete" or job in ("SUCCEEDED", "FAILED"):
        phase = JobPhase.FAILED if job == "FAILED" else JobPhase.SUCCEEDED
    else:
        phase = JobPhase.RUNNING if job == "RUNNING" else JobPhase.PENDING
    message = str(seen.status.get("message") or "")
    cause = _event_cause(seen)[0] if phase is JobPhase.PENDING else None
    if phase is JobPhase.FAILED:
        what = message or str(seen.status.get("reason") or "It ended with an error.")
        cause = Cause(what=what, remedy="Read its log, then mend what it names.")
    selector = (seen.spec.get("clusterSelector") or {}).get("ray.io/cluster", "")
    return JobStatus(
        **_common(seen),
        phase=phase,
        message=message,
        cluster=str(seen.status.get("rayClusterName") or selector),
        job_id=str(seen.status.get("jobId") or ""),
        cause=cause,
    )


def judge(seen: Observation) -> ClusterStatus | ServiceStatus | JobStatus:
    """The status of whatever was seen."""
    if seen.kind is Kind.SERVICE:
        return service_status(seen)
    return job_status(seen) if seen.kind is Kind.JOB else cluster_status(seen)


def wanted_replicas(group: Json) -> int:
    """How many workers of a group KubeRay keeps: ``replicas`` within the bounds."""
    return int(min(max(group.get("replicas") or 0, group.get("minReplicas") or 0), group.get("maxReplicas") or _REPLICAS_WITHOUT_BOUND))


# --- clusters ------------------------------------------------------------


def _cluster_phase(seen: Observation, ready: dict[str, int], wanted: dict[str, int], hopeless: bool) -> Phase:
    head_ready = any(node.ready for node in _of(seen.nodes, "head"))
    if _deleting(seen):
        return Phase.STOPPING
    if seen.spec.get("suspend"):
        return Phase.STOPPING if any(node.ready for node in seen.nodes) or not _noticed(seen) else Phase.SUSPENDED
    if head_ready and all(ready[group] >= count for group, count in wanted.items()):
        return Phase.READY
    if hopeless:
        return Phase.FAILED
    if head_ready and _condition(seen, "RayClusterProvisioned") == "True":
        return Phase.DEGRADED
    return Phase.STARTING if seen.nodes else Phase.PENDING


def _cluster_cause(seen: Observation, ready: dict[str, int], wanted: dict[str, int]) -> tuple[Cause, bool]:
    if str(seen.status.get("state") or "").lower() == "failed" and _noticed(seen):
        reason, message = _failed_words(seen)
        remedy, _ = _REMEDIES.get(reason, (_FAILED_REMEDY, True))
        return Cause(what=message, remedy=remedy), True
    for node in seen.nodes:
        if not node.ready and node.reason in _REMEDIES:
            remedy, hopeless = _REMEDIES[node.reason]
            return Cause(what=_node_sentence(seen, node, wanted), remedy=remedy), hopeless
    for cause, hopeless in (_condition_cause(seen) if _noticed(seen) else (None, False), _event_cause(seen)):
        if cause:
            return cause, hopeless
    return Cause(what=_progress(seen, ready, wanted), remedy="Wait; the log of the head tells more."), False


def _failed_words(seen: Observation) -> tuple[str, str]:
    for condition in seen.status.get("conditions") or []:
        if condition.get("type") == "HeadPodReady" and condition.get("status") == "False" and condition.get("message"):
            return str(condition.get("reason") or ""), str(condition["message"])
    return "", str(seen.status.get("reason") or "The head ended.")


def _node_sentence(seen: Observation, node: Node, wanted: dict[str, int]) -> str:
    alike = list(_of(seen.nodes, node.group))
    why = node.message or node.reason
    if node.group == "head":
        return f"The head {'cannot be placed' if node.reason == 'Unschedulable' else 'does not run'}: {why}"
    missing = sum(other.reason == node.reason and not other.ready for other in alike)
    verb = "cannot be placed" if node.reason == "Unschedulable" else "does not run" if missing == 1 else "do not run"
    return f"{missing} of {max(wanted.get(node.group, 0), len(alike))} {node.group} {'worker' if missing == 1 else 'workers'} {verb}: {why}"


def _progress(seen: Observation, ready: dict[str, int], wanted: dict[str, int]) -> str:
    if not any(node.ready for node in _of(seen.nodes, "head")):
        return "The head is starting." if seen.nodes else "It has been asked for, and nothing runs yet."
    return f"The head is up; {sum(ready.values())} of {sum(wanted.values())} workers have joined."


# --- services ------------------------------------------------------------


def _service_phase(seen: Observation, ready: bool, deployed: bool, failed: bool, hopeless: bool) -> Phase:
    if _deleting(seen):
        return Phase.STOPPING
    if seen.spec.get("suspend"):
        return Phase.SUSPENDED
    if ready:
        return Phase.DEGRADED if failed else Phase.READY
    if failed or hopeless:
        return Phase.FAILED
    return Phase.STARTING if deployed or any(node.ready for node in seen.nodes) else Phase.PENDING


def _service_cause(seen: Observation, failed: list[ApplicationStatus]) -> tuple[Cause, bool]:
    if failed:
        first = failed[0]
        remedy = "Mend the application and publish it again; the error is its own."
        return Cause(what=f"Application {first.name!r} is {first.state}: {first.message or 'no reason is given'}", remedy=remedy), False
    found = _condition_cause(seen)
    if found[0]:
        return found[0], found[1]
    for node in seen.nodes:
        if not node.ready and node.reason in _REMEDIES:
            remedy, hopeless = _REMEDIES[node.reason]
            return Cause(what=_node_sentence(seen, node, {}), remedy=remedy), hopeless
    event, hopeless = _event_cause(seen)
    return event or Cause(what="It is starting.", remedy="Wait; the log of the head tells more."), hopeless


def _applications(part: Json) -> tuple[ApplicationStatus, ...]:
    found = part.get("applicationStatuses") or {}
    return tuple(
        ApplicationStatus(name=name, state=str(state.get("status") or ""), message=_useful(state)) for name, state in sorted(found.items())
    )


def _useful(state: Json) -> str:
    """The application's own message, or else its unhappy deployment's."""
    deployments = state.get("serveDeploymentStatuses") or state.get("deployments") or {}
    unhappy = [str(part.get("message") or "") for part in deployments.values() if part.get("status") not in ("HEALTHY", None)]
    return str(state.get("message") or "") or next(filter(None, unhappy), "")


def _main_user_config(seen: Observation) -> Json:
    try:
        config = yaml.safe_load(seen.spec.get("serveConfigV2") or "")
        deployments = [part for application in config["applications"] for part in application.get("deployments") or []]
    except (yaml.YAMLError, TypeError, KeyError, AttributeError):
        return {}  # its own error is told by the condition
    return next((part["user_config"] for part in deployments if isinstance(part.get("user_config"), dict)), {})


# --- common --------------------------------------------------------------


def _common(seen: Observation) -> Json:
    return {
        "name": seen.name,
        "user": _annotation(seen, "user") or seen.labels.get(f"{PREFIX}/user", ""),
        "profile": _annotation(seen, "profile") or seen.labels.get(f"{PREFIX}/profile", ""),
        "created": str(seen.resource["metadata"].get("creationTimestamp") or ""),
        "notes": tuple(dict.fromkeys(event.message for event in reversed(seen.events) if event.reason == NOT_HERE)),
    }


def _annotation(seen: Observation, name: str) -> str:
    return str((seen.resource["metadata"].get("annotations") or {}).get(f"{PREFIX}/{name}", ""))


def _noticed(seen: Observation) -> bool:
    """Whether the status is about what is asked for now, and not about what was before."""
    generation = seen.resource["metadata"].get("generation", 0)
    return int(seen.status.get("observedGeneration", generation)) >= int(generation)


def _deleting(seen: Observation) -> bool:
    return bool(seen.resource["metadata"].get("deletionTimestamp"))


def _condition(seen: Observation, type_: str) -> str:
    return next((str(part.get("status")) for part in seen.status.get("conditions") or [] if part.get("type") == type_), "")


def _condition_cause(seen: Observation) -> tuple[Cause | None, bool]:
    for condition in seen.status.get("conditions") or []:
        reason, bad = str(condition.get("reason") or ""), "True" if condition.get("type") == "ReplicaFailure" else "False"
        if condition.get("status") == bad and reason in _REMEDIES:
            remedy, hopeless = _REMEDIES[reason]
            return Cause(what=str(condition.get("message") or reason), remedy=remedy), hopeless
    return None, False


def _event_cause(seen: Observation) -> tuple[Cause | None, bool]:
    # What an event tells of is over when the head was started since: it may outlast its cause by an hour.
    started = max((node.started for node in _of(seen.nodes, "head")), default="")
    for event in _warnings(event for event in seen.events if not event.time or not started or event.time > started):
        remedy, hopeless = _REMEDIES[event.reason]
        return Cause(what=event.message or event.reason, remedy=remedy), hopeless
    return None, False


def _warnings(events: Iterable[Event]) -> Iterable[Event]:
    return (event for event in events if event.reason in _REMEDIES and event.reason not in _TOLD_BY_CONDITIONS)


def _gpus(group: Json) -> int:
    try:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    except (KeyError, IndexError, TypeError):
        return 0
    counted = [amount for name, amount in limits.items() if "/" in name and ("gpu" in name or "mig-" in name)]
    return sum(int(amount) for amount in counted if str(amount).isdigit())


def _of(nodes: Iterable[Node], group: str) -> Iterable[Node]:
    return (node for node in nodes if node.group == group)
