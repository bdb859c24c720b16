"""What a backend saw: the terms in which both substrates report the world.

A node is a pod there and a process here; an event is Kubernetes' there and the
supervisor's here. Everything that judges (`status`) reads these and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from jupyter_kuberay.errors import KubeRayError

# What of a manifest or its status is read as plain JSON.
Json = dict[str, Any]

API_VERSION = "ray.io/v1"
PREFIX = "jupyter-kuberay"  # of our labels and annotations
# KubeRay's labels of a RayCluster that it made for another resource.
ORIGIN, ORIGIN_KIND = "ray.io/originated-from-cr-name", "ray.io/originated-from-crd"


class Kind(StrEnum):
    """The kinds of resource that a backend keeps."""

    CLUSTER = "RayCluster"
    SERVICE = "RayService"
    JOB = "RayJob"
    REVISION = "ControllerRevision"  # a published revision, owned by its RayService


def originated_from(kind: Kind, name: str) -> dict[str, str]:
    """The labels of all RayClusters that were made for a resource, also of those that its status names no more."""
    return {ORIGIN_KIND: str(kind), ORIGIN: name}


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Node(_Value):
    """A Ray node as observed: a pod, or a process on this machine."""

    name: str
    group: str  # worker group, or "head"
    ready: bool = False
    reason: str = ""  # as the world says it: "Unschedulable", "ImagePullBackOff", "Error", …
    message: str = ""
    restarts: int = 0
    started: str = ""  # RFC 3339, UTC; "" before it first ran


class Event(_Value):
    """Something that happened to a resource or to one of its nodes."""

    reason: str
    message: str
    warning: bool = False
    time: str = ""  # RFC 3339, UTC
    about: str = ""  # the node's name; "" for the resource itself


class Observation(_Value):
    """What a backend saw of one resource at one moment."""

    resource: Json  # whole: apiVersion, kind, metadata, spec, status
    nodes: tuple[Node, ...] = ()
    events: tuple[Event, ...] = ()  # newest first

    @property
    def kind(self) -> Kind:
        return Kind(self.resource["kind"])

    @property
    def name(self) -> str:
        return str(self.resource["metadata"]["name"])

    @property
    def labels(self) -> Mapping[str, str]:
        return self.resource["metadata"].get("labels") or {}

    @property
    def spec(self) -> Json:
        return self.resource.get("spec") or {}

    @property
    def status(self) -> Json:
        return self.resource.get("status") or {}


class ChangeType(StrEnum):
    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    SYNCED = "synced"  # all that existed when the watch began has been told; after BEHIND: all that changed meanwhile
    BEHIND = "behind"  # what was told may be out of date by now, because of a problem that lasts


class Change(_Value):
    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    type: ChangeType
    seen: Observation | None = None  # None for SYNCED and BEHIND; the last state for DELETED
    problem: KubeRayError | None = None  # of BEHIND


class Usage(_Value):
    """Use of a cluster at one moment, as Ray's resource accounting has it."""

    cpus_used: float
    cpus: float
    gpus_used: float
    gpus: float
    memory_used: int  # bytes
    memory: int  # bytes
    # Since when none of its nodes has run anything or kept a result; None: one does, or it is not known.
    idle_since: datetime | None = None


class Endpoint(_Value):
    """Where a port of a cluster answers, as seen from this process."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    host: str
    port: int
    token: str = ""  # Ray's token; never shown

    def __repr__(self) -> str:
        return f"Endpoint({self.host}:{self.port})"

    __str__ = __repr__

    @property
    def address(self) -> str:
        """As ``host:port``."""
        return f"{self.host}:{self.port}"


class Bundle(_Value):
    """A resource with what goes along: what ``kubectl create -f`` would need."""

    resource: Json
    secret: Json | None = None
    config_maps: tuple[Json, ...] = ()
    routes: tuple[Json, ...] = ()  # an Ingress or HTTPRoute to it; made after it, and owned by it

    @property
    def objects(self) -> tuple[Json, ...]:
        """In the order in which they can be created."""
        secret = (self.secret,) if self.secret else ()
        return (*secret, *self.config_maps, self.resource, *self.routes)
