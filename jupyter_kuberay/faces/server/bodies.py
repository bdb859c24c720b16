"""What requests hold and answers give, beside the models that the project has anyway."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt

from jupyter_kuberay.difference import Difference
from jupyter_kuberay.doctor import Finding
from jupyter_kuberay.fields import Count, JobName, Json, ServiceName, Spec, matching
from jupyter_kuberay.observation import Usage
from jupyter_kuberay.profiles import Limits, Request
from jupyter_kuberay.revision import Revision
from jupyter_kuberay.status import ClusterStatus, JobStatus, ServiceStatus

__all__ = [
    "Begun",
    "ClusterStatus",
    "Dashboard",
    "Difference",
    "Finding",
    "JobStatus",
    "Model",
    "NewCluster",
    "NewJob",
    "NewRevision",
    "Offer",
    "Preview",
    "Problem",
    "Publication",
    "Question",
    "Reply",
    "Revision",
    "Rollback",
    "Run",
    "Scale",
    "ServiceStatus",
    "Snapshot",
    "Traffic",
    "View",
]

_MOST_SEEN = 500
_MEDIA_TYPE = re.compile(r"[\x20-\x7e]{0,200}")


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class NewCluster(Request):
    """A cluster that is asked for: a profile, and what is to be different from it."""

    profile: Annotated[str, Field(max_length=63, description="Which of the offers; default: the administrator's.")] = ""


class Scale(Spec):
    """Another number of workers."""

    replicas: Count
    group: Annotated[str, Field(max_length=63, description="Which worker group; default: the only one.")] = ""


class NewRevision(Spec):
    """A model that is to be published: as a new service, or as a new revision of the one that is there."""

    name: ServiceName
    app: Annotated[str, Field(max_length=1000, description="The Serve application: 'module:attribute' or 'file.py:attribute'.")]
    application: Annotated[
        str, Field(max_length=63, description="Which of the service's; one that is not there is added. Default: the one called like it.")
    ] = ""
    route_prefix: Annotated[str | None, Field(max_length=1000, description="Where a new application answers; default: / or /NAME.")] = None
    model: Annotated[str, Field(max_length=2000, description="The weights: a path, a URI, or models:/NAME@ALIAS of a registry.")] = ""
    registry: Annotated[str, Field(max_length=2000, description="Where models:/… are kept; default: as MLflow is configured.")] = ""
    settings: Json = Field(default={}, description="Further entries of the application's user_config.")
    replicas: Annotated[Count | None, Field(description="Of its main deployment; default: as the code says, or as before.")] = None
    gates: Annotated[str, Field(max_length=2000, description="What its validation said: the path or URL of a validation.json.")] = ""
    despite_gates: Annotated[bool, Field(description="Whether one that failed its gates is published all the same.")] = False
    min_replicas: Annotated[
        Count | None, Field(description="Scaled by its queue instead: how few replicas; 0: none while nobody asks.")
    ] = None
    max_replicas: Annotated[PositiveInt | None, Field(description="Likewise: how many at most.")] = None
    target_ongoing_requests: Annotated[
        FiniteFloat | None, Field(gt=0, description="Likewise: requests at a time for each replica; Serve's default is 2.")
    ] = None
    downscale_delay_s: Annotated[
        FiniteFloat | None, Field(ge=0, description="Likewise: before there are fewer; Serve's default is 600.")
    ] = None
    gpus: Annotated[FiniteFloat | None, Field(ge=0, description="Of each replica; default: likewise.")] = None
    profile: Annotated[
        str, Field(max_length=63, description="What a new service's cluster is made from; default: the administrator's.")
    ] = ""
    workers: Annotated[Count | None, Field(description="Of a new service's cluster; default: the profile's.")] = None
    why: Annotated[str, Field(max_length=2000, description="Kept with the revision.")] = ""
    metrics: dict[str, FiniteFloat] = Field(default={}, description="Likewise.")


class NewJob(Spec):
    """A command that is to run on a cluster that is there, or on one of its own, which goes when it ends."""

    name: JobName
    entrypoint: Annotated[str, Field(min_length=1, max_length=20_000, description="A shell command, such as 'python train.py'.")]
    cluster: Annotated[str, Field(max_length=63, description="Which one that is there; default: one of its own.")] = ""
    profile: Annotated[str, Field(max_length=63, description="What its own is made from; default: the administrator's.")] = ""
    workers: Annotated[Count | None, Field(description="Of its own; default: the profile's.")] = None
    time_limit: Annotated[PositiveInt | None, Field(description="Seconds until it is stopped as failed.")] = None
    retries: Annotated[Count, Field(description="How often it is tried again, each time on a new cluster of its own.")] = 0
    runtime_env: Json = Field(default={}, description="Ray's runtime environment.")


class Rollback(Spec):
    """Back to an earlier revision."""

    to: Annotated[Count | None, Field(description="Which one; default: the one before the current one.")] = None
    application: Annotated[str, Field(max_length=63, description="Of the service; default: the one that is called like it.")] = ""
    why: Annotated[str, Field(max_length=2000, description="Kept with its history.")] = ""


class Question(Spec):
    """A request to a service."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] = "GET"
    path: Annotated[str, Field(max_length=8000, description="Path and query below the service's own address.")] = ""
    body: str = ""
    content_type: Annotated[str, matching(_MEDIA_TYPE, "a media type, such as 'application/json'")] = "application/json"


class View(Spec):
    """What a page shows."""

    clusters: Annotated[tuple[str, ...], Field(max_length=_MOST_SEEN, description="Whose use of CPU and GPU is shown.")] = ()
    services: Annotated[tuple[str, ...], Field(max_length=_MOST_SEEN, description="Whose replicas and requests are shown.")] = ()
    runs: Annotated[bool, Field(description="Whether the runs of notebooks are shown.")] = False


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


class Step(_Answer):
    """Something that was done on the way to a revision that answers."""

    phase: str  # "code", "cluster", "try-out", "put", "ready", "kept", "undone"
    message: str
    seconds: float  # since it began


class Publication(_Answer):
    """A publication or a way back to an earlier revision, as far as it is."""

    name: str  # of the service
    verb: Literal["publish", "rollback"]
    began: str  # RFC 3339
    state: Literal["running", "done", "failed", "cancelled"]
    steps: tuple[Step, ...] = ()
    problem: Problem | None = None  # why it failed
    revision: int | None = None  # the one that answers now, once it is done
    url: str = ""
    call: str = ""  # to paste into a shell or a notebook


class Dashboard(_Answer):
    """How to get to Ray's dashboard."""

    url: str = ""  # opens once, soon, in a browser that is where this one is; "" where there is none
    command: str = ""  # what else leads there, in a shell
    hint: str  # a sentence or two to go with either


class Reply(_Answer):
    """What a service answered."""

    status: int
    reason: str
    content_type: str
    text: str
    truncated: bool  # more came than is told
    seconds: float


class Model(_Answer):
    """A model that a run has left behind."""

    path: str  # as the file browser has it, where it is below its root
    run: str  # likewise: the folder of the run
    title: str
    validated: bool | None  # None: nobody has judged
    when: str  # RFC 3339: when it was judged, or written
    metrics: dict[str, float] = {}
    app: str  # what serves it
    settings: Json = {}


class Traffic(_Answer):
    """How much a service is asked, and what answers; null where that cannot be known."""

    url: str
    call: str  # to paste into a shell or a notebook
    replicas: int | None = None  # of the main deployment: those that run
    replicas_wanted: int | None = None
    requests_per_s: float | None = None  # over the last 10 or 20 s
    p95_ms: float | None = None  # over the same time; None, too, while nobody asks


class Run(_Answer):
    """One run of a notebook. Long values are cut, and end in an ellipsis; the record beside the output has them whole."""

    id: str  # those of later runs sort behind those of earlier ones
    notebook: str  # a path or URL
    notebook_path: str  # as the file browser has it; "" where it does not show it
    output: str  # the notebook with its outputs: a path or URL
    output_path: str  # likewise
    state: Literal["Pending", "Running", "Succeeded", "Failed", "Interrupted", "Lost"]
    parameters: dict[str, str] = {}
    cells: int = 0  # code cells in all
    done: int = 0  # of them, those that have run
    cell: str = ""  # the title of the one that runs
    values: dict[str, str] = {}  # what the notebook recorded
    cluster: str = ""
    started: str = ""  # RFC 3339
    ended: str = ""
    error: str = ""  # what happened
    hint: str = ""  # what to do
    group: str = ""  # the sweep or pipeline that it is part of
    job: str = ""  # the RayJob that runs it, if it runs in the cluster


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
    traffic: dict[str, Traffic] = {}  # of the services that somebody sees
    publications: tuple[Publication, ...] = ()  # under way, or ended a short while ago
    runs: tuple[Run, ...] | None = None  # the newest first; null where nobody looks at them, or they are not known yet


Event = dict[str, Any]
