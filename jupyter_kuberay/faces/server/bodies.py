"""What requests hold and answers give, beside the models that the project has anyway."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from jupyter_kuberay.doctor import Finding
from jupyter_kuberay.fields import Count, Json, Spec
from jupyter_kuberay.observation import Usage
from jupyter_kuberay.profiles import Limits, Request
from jupyter_kuberay.revision import Revision
from jupyter_kuberay.status import ClusterStatus, JobStatus, ServiceStatus

__all__ = [
    "Begun",
    "ClusterStatus",
    "Finding",
    "JobStatus",
    "NewCluster",
    "Offer",
    "Preview",
    "Problem",
    "Revision",
    "Scale",
    "ServiceStatus",
    "Snapshot",
    "View",
]

_MOST_SEEN = 500


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class NewCluster(Request):
    """A cluster that is asked for: a profile, and what is to be different from it."""

    profile: Annotated[str, Field(max_length=63, description="Which of the offers; default: the administrator's.")] = ""


class Scale(Spec):
    """Another number of workers."""

    replicas: Count
    group: Annotated[str, Field(max_length=63, description="Which worker group; default: the only one.")] = ""


class View(Spec):
    """What a page shows."""

    clusters: Annotated[tuple[str, ...], Field(max_length=_MOST_SEEN, description="Whose use of CPU and GPU is shown.")] = ()


class Problem(_Answer):
    """What stands in the way, and what to do about it; of an error answer the whole."""

    message: str
    hint: str
    kind: str  # the error's class, such as "NotFound"


class Offer(_Answer):
    """A profile."""

    name: str
    title: str
    description: str
    default: bool  # taken when none is named
    limits: Limits
    form: Json  # the JSON schema of a `NewCluster` in it


class Preview(_Answer):
    """Kubernetes objects, as YAML documents; no secret's value is in them."""

    yaml: str
    warnings: tuple[str, ...] = ()


class Begun(_Answer):
    """Something that has begun to end."""

    name: str
    kind: str


class Snapshot(_Answer):
    """All that there is, as it was after event number ``seq`` of the server's life ``server``."""

    server: str
    seq: int
    backend: str  # "local" or "kuberay"
    user: str
    synced: bool  # False: what there is has not been told yet; an event says when it has
    problem: Problem | None = None  # why this may be out of date
    since: str = ""  # RFC 3339: since when it may be
    clusters: tuple[ClusterStatus, ...] = ()
    services: tuple[ServiceStatus, ...] = ()
    jobs: tuple[JobStatus, ...] = ()
    usage: dict[str, Usage] = {}  # of the clusters that somebody sees


Event = dict[str, Any]
