"""What a RayJob is doing."""

from __future__ import annotations

from datetime import datetime

from jupyter_kuberay.observation import Json, Observation
from jupyter_kuberay.status import causes
from jupyter_kuberay.status.observed import common, condition, is_ignored, not_here, wanted_workers
from jupyter_kuberay.status.values import Cause, JobPhase, JobStatus

_READ = "Read its log, then mend what it names."
_REMEDIES = {
    "ValidationFailed": "Change the request: it is refused as it is.",
    "DeadlineExceeded": "Give it more time, or make it shorter.",
    "PreRunningDeadlineExceeded": "Give it more time to begin, or see what keeps its cluster from being ready.",
    "SubmissionFailed": "Look at its cluster: Ray did not take the job.",
}


def job_status(seen: Observation, now: datetime | None = None) -> JobStatus:
    """Judge a RayJob: its deployment's word first, since the job's own lags behind it."""
    lost = _lost_cluster(seen)
    phase = JobPhase.FAILED if lost else _phase(seen.status)
    message = str(seen.status.get("message") or "")
    cause = _waiting(seen, now) if phase is JobPhase.PENDING else None
    if phase is JobPhase.FAILED:
        cause = lost or _failure(seen, message)
    return JobStatus(
        **common(seen),
        phase=phase,
        message=message,
        cluster=_cluster(seen),
        job_id=str(seen.status.get("jobId") or ""),
        cause=cause,
        notes=not_here(seen) + _tries(seen, phase),
    )


def _phase(status: Json) -> JobPhase:
    deployment, job = str(status.get("jobDeploymentStatus") or ""), str(status.get("jobStatus") or "")
    if deployment in ("Failed", "ValidationFailed"):
        return JobPhase.FAILED
    if deployment == "Retrying":
        return JobPhase.RETRYING
    if job == "STOPPED":
        return JobPhase.STOPPED
    if deployment == "Complete" or job in ("SUCCEEDED", "FAILED"):
        return JobPhase.FAILED if job == "FAILED" else JobPhase.SUCCEEDED
    if job == "RUNNING":
        return JobPhase.RUNNING
    # The next try begins like the first one, and only its number tells.
    return JobPhase.RETRYING if status.get("failed") else JobPhase.PENDING


def _failure(seen: Observation, message: str) -> Cause:
    reason = str(seen.status.get("reason") or "")
    remedy = _REMEDIES.get(reason, _READ)
    if seen.status.get("jobStatus") == "RUNNING" and seen.spec.get("clusterSelector"):
        remedy = f"{remedy} It goes on running on cluster {_cluster(seen)!r} until the job is deleted."
    return Cause(what=message or reason or "It ended with an error.", remedy=remedy)


def _lost_cluster(seen: Observation) -> Cause | None:
    """Whether its cluster went while it ran: KubeRay says so in an event, and calls the job running for ever."""
    began = str((seen.status.get("rayJobInfo") or {}).get("startTime") or "")
    event = next((event for event in seen.events if event.reason == "RayClusterNotFound"), None)
    if event is None or not began or event.time <= began or seen.status.get("jobDeploymentStatus") != "Running":
        return None
    return Cause(what=f"Its cluster {_cluster(seen)!r} went while it ran.", remedy="Bring the cluster up again, and run the job anew.")


def _waiting(seen: Observation, now: datetime | None) -> Cause | None:
    if seen.status.get("jobDeploymentStatus") in ("Suspending", "Suspended"):
        return Cause(what="It is suspended.", remedy="Resume it, or wait for its queue.")
    if seen.status.get("jobDeploymentStatus") == "Waiting":
        return Cause(what="It waits for a job of Ray to follow.", remedy="Submit one, and give the RayJob its jobId.")
    below = seen.status.get("rayClusterStatus") or {}
    found = (
        causes.of_refusal(seen)
        or causes.of_nodes(seen.nodes, seen.events, wanted_workers(seen.spec.get("rayClusterSpec") or {}))
        or causes.of_replicas(below)
    )
    if found:
        return found.cause
    if not seen.spec.get("clusterSelector"):
        of_events = causes.of_events(seen, seen.nodes, filter(None, (_cluster(seen),)))
        return of_events.cause if of_events else _silent(seen, now)
    if below.get("conditions"):
        # It was found, whatever an event said before.
        return _unready(_cluster(seen), below)
    of_events = causes.of_events(seen, ())
    return of_events.cause if of_events else _silent(seen, now)


def _silent(seen: Observation, now: datetime | None) -> Cause | None:
    return causes.of_silence(seen).cause if is_ignored(seen, now) else None


def _unready(name: str, cluster: Json) -> Cause | None:
    """What KubeRay waits for before it submits a job to a cluster: it says so nowhere, and waits for ever."""
    see = f"See what it lacks: jupyter kuberay status {name}."
    head = condition(cluster, "HeadPodReady")
    if head.get("status") != "True":
        why = f": {head['message']}" if head.get("message") else "."
        return Cause(what=f"It waits for cluster {name!r}, whose head is not ready{why}", remedy=see)
    # KubeRay leaves out what is 0.
    ready, wanted = int(cluster.get("readyWorkerReplicas") or 0), int(cluster.get("desiredWorkerReplicas") or 0)
    if ready < wanted:
        what = f"It waits for cluster {name!r}, of which {ready} of {wanted} workers are ready."
        return Cause(what=what, remedy=f"{see} KubeRay submits nothing before all workers were ready once.")
    return None


def _tries(seen: Observation, phase: JobPhase) -> tuple[str, ...]:
    failed, most = int(seen.status.get("failed") or 0), int(seen.spec.get("backoffLimit") or 0) + 1
    if not failed or phase.over or most < 2:
        return ()
    return (f"{failed} of {most} tries failed.",)


def _cluster(seen: Observation) -> str:
    selector = (seen.spec.get("clusterSelector") or {}).get("ray.io/cluster", "")
    return str(seen.status.get("rayClusterName") or selector)
