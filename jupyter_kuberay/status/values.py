"""What is told: phases, causes, and the statuses that have them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from jupyter_kuberay.observation import Node


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
    notes: tuple[str, ...] = ()  # what had better be known, and what was asked for and this substrate cannot do
    foreign: bool = False  # made by another tool


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

    @property
    def usable(self) -> bool:
        return self.phase in (Phase.READY, Phase.DEGRADED)


class ApplicationStatus(_Value):
    name: str
    state: str  # as Serve says it: DEPLOYING, RUNNING, DEPLOY_FAILED, UNHEALTHY, …
    message: str = ""
    revision: int | None = None  # that is asked for; None where it was not published by us
    model: str = ""  # the weights' URI
    route_prefix: str = ""
    replicas: str = ""  # that are asked for, such as "2 replicas" or "0 to 4 replicas"; "" where its code says how many


class ServiceStatus(_Status):
    """A service at one moment; ``cause`` is never None in Pending, Starting, Degraded and Failed."""

    phase: Phase
    # Of the application that is called like it, or of the first one; the others' are theirs.
    revision: int | None = None  # that is asked for; None where it was not published by us
    model: str = ""  # the weights' URI
    applications: tuple[ApplicationStatus, ...] = ()
    cluster: str = ""  # the RayCluster that answers now, or the first one, which will
    settled: bool = False  # what runs is what was asked for last


class JobStatus(_Status):
    """A job at one moment; ``cause`` is never None in Failed."""

    phase: JobPhase
    message: str = ""  # the first error, with the last lines of its log
    cluster: str = ""
    job_id: str = ""
