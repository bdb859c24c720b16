"""What a Kubernetes cluster answers when it is examined; `jupyter_kuberay.doctor` says what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias, TypeVar

from jupyter_kuberay.backends.kuberay.rights import Allowed
from jupyter_kuberay.errors import KubeRayError
from jupyter_kuberay.observation import Json

T = TypeVar("T")
# What was asked for, or why there was no answer.
Answered: TypeAlias = T | KubeRayError


@dataclass(frozen=True)
class Target:
    """What is asked, and for which namespace."""

    host: str
    context: str
    namespace: str
    inside: bool  # whether this process runs in a pod of the cluster


@dataclass(frozen=True)
class User:
    """Who asks, as the API server knows them."""

    name: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answers:
    """All answers; an error where there was none."""

    target: Answered[Target]
    version: Answered[str]  # of the API server; `Forbidden` when it does not know who asks
    user: Answered[User] = field(default_factory=lambda: User(""))
    now: datetime | None = None  # by the API server's clock
    here: datetime | None = None  # by this machine's, at the same moment
    namespace: Answered[Json] = field(default_factory=dict)
    groups: Answered[frozenset[str]] = frozenset()  # groups and versions, such as "ray.io/v1"
    fields: Answered[frozenset[str]] = frozenset()  # of a RayCluster's spec that this KubeRay knows, such as "authOptions.mode"
    allowed: Answered[Allowed] = field(default_factory=Allowed)
    resources: Answered[list[Json]] = field(default_factory=list)  # RayClusters, RayServices and RayJobs of the namespace
    events: Answered[list[Json]] = field(default_factory=list)
    nodes: Answered[list[Json]] = field(default_factory=list)
    pods: Answered[list[Json]] = field(default_factory=list)  # of all namespaces
    dns: Answered[str] | None = None  # an address; None: nobody needs it here
    tunnel: Answered[str] | None = None  # to which pod one was opened; None: there was no head to try it with
    claims: Mapping[str, Answered[Json]] = field(default_factory=dict)
    tried: Answered[float] | None = None  # seconds until the operator answered to a cluster made for that; None: not tried
