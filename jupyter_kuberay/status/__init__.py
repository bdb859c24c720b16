"""What a cluster, a service or a job is doing, and if it is not well, why, and what helps.

Pure: an `Observation` goes in, a status comes out. Both substrates observe in
the same terms (a node is a pod there and a process here), so this is the only
place where a cause becomes a sentence.

KubeRay's own ``status.state`` is not believed: it stays "ready" when pods fail,
and ``RayClusterProvisioned`` stays true when the head is gone (seen on 1.6.1).

``now``, where it is given, is the time of the server that keeps the resource: some causes are that nothing happens.
"""

from __future__ import annotations

from datetime import datetime

from jupyter_kuberay.observation import Kind, Observation
from jupyter_kuberay.status.clusters import cluster_status
from jupyter_kuberay.status.jobs import job_status
from jupyter_kuberay.status.observed import NOT_HERE, pods_and_gpus, wanted_replicas
from jupyter_kuberay.status.services import BROKEN, application_message, second_cluster, service_status
from jupyter_kuberay.status.values import ApplicationStatus, Cause, ClusterStatus, JobPhase, JobStatus, Phase, ServiceStatus

__all__ = [
    "BROKEN",
    "NOT_HERE",
    "ApplicationStatus",
    "Cause",
    "ClusterStatus",
    "JobPhase",
    "JobStatus",
    "Phase",
    "ServiceStatus",
    "application_message",
    "cluster_status",
    "job_status",
    "judge",
    "pods_and_gpus",
    "second_cluster",
    "service_status",
    "wanted_replicas",
]

for _value in (ApplicationStatus, Cause, ClusterStatus, JobPhase, JobStatus, Phase, ServiceStatus):
    _value.__module__ = __name__  # where people, and what finds a class by its name, know them


def judge(seen: Observation, now: datetime | None = None) -> ClusterStatus | ServiceStatus | JobStatus:
    """The status of whatever was seen."""
    if seen.kind is Kind.SERVICE:
        return service_status(seen, now)
    return job_status(seen, now) if seen.kind is Kind.JOB else cluster_status(seen, now)
