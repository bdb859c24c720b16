"""What an administrator offers, and what a user may ask for within it.

Pure. A profile is a beginning (fields of a `ClusterSpec`) and limits that no
request passes. Requests become specs here, and forms get their JSON schema
here, so that both know the same bounds.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from jupyter_kuberay import images
from jupyter_kuberay.errors import InvalidSpec, LimitExceeded, NotFound
from jupyter_kuberay.exposure import Exposure
from jupyter_kuberay.quantity import Quantity
from jupyter_kuberay.spec import ClusterName, ClusterSpec, Count, Json, SecretKey, Spec, WorkerGroup


class Limits(Spec):
    """What one cluster may have at most; None is no limit."""

    workers: Count | None = None  # all groups together
    gpus: Count | None = None  # all workers together
    cpu: Quantity | None = None  # head and workers together
    memory: Quantity | None = None  # head and workers together
    images: tuple[str, ...] | None = None  # shell patterns, such as 'rayproject/ray:*'; the profile's own image is always allowed


class Profile(Spec):
    """One offer."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    title: str = ""
    description: str = ""
    # Fields of a ClusterSpec; its first worker group is what `workers`, `gpus`, `cpu` and `memory` are about.
    # An image may name {ray}, {python} and {gpu}, as in 'team/ray:{ray}-py{python}{gpu}': it fits whoever asks.
    cluster: Json = Field(default={})
    limits: Limits = Limits()
    # On Kubernetes: how services get an address outside, and the token that callers show.
    exposure: Exposure | None = None
    bearer: SecretKey | None = None
    # On this machine: "if-none" lets Ray count GPUs that are not there when the machine has none at all.
    simulated_gpus: Literal["never", "if-none", "always"] = "never"


DEFAULTS: tuple[Json, ...] = (
    {
        "name": "cpu-small",
        "title": "Small",
        "description": "One worker without a GPU: enough for a first look and for the demo.",
        "cluster": {
            "head": {"cpu": "1", "memory": "2Gi"},
            "worker_groups": [{"name": "workers", "replicas": 1, "cpu": "1", "memory": "2Gi"}],
        },
        "limits": {"workers": 8},
    },
    {
        "name": "cpu",
        "title": "CPU",
        "description": "Two larger workers without a GPU, for data and tuning.",
        "cluster": {
            "head": {"cpu": "2", "memory": "8Gi"},
            "worker_groups": [{"name": "workers", "replicas": 2, "cpu": "4", "memory": "16Gi"}],
        },
        "limits": {"workers": 16},
    },
    {
        "name": "gpu",
        "title": "GPU",
        "description": "Workers with one GPU each, for training and serving.",
        "cluster": {
            "head": {"cpu": "2", "memory": "8Gi"},
            "worker_groups": [{"name": "gpu", "replicas": 1, "cpu": "4", "memory": "16Gi", "gpus": 1}],
        },
        "limits": {"workers": 4, "gpus": 8},
        "simulated_gpus": "if-none",
    },
)


class Request(Spec):
    """What a person says when asking for a cluster; None leaves the profile's word."""

    name: ClusterName
    workers: Count | None = Field(default=None, title="Workers", description="How many workers.")
    gpus: Count | None = Field(default=None, title="GPUs", description="GPUs of each worker.")
    cpu: Quantity | None = Field(default=None, title="CPU", description="CPU of each worker, such as '2' or '500m'.")
    memory: Quantity | None = Field(default=None, title="Memory", description="Memory of each worker, such as '8Gi'.")
    image: str | None = Field(default=None, title="Image", description="Container image.")
    idle_timeout: Count | None = Field(
        default=None, title="Idle timeout", description="Meant to be suspended after so many idle seconds; nothing does so yet."
    )
    queue: str | None = Field(default=None, title="Queue", description="Kueue's LocalQueue.")
    more: Json = Field(default={}, description="Any further field of a cluster's spec.")


def find(profiles: Iterable[Profile], name: str) -> Profile:
    """The profile called ``name``, or `NotFound` with those that there are."""
    offered = {profile.name: profile for profile in profiles}
    if name not in offered:
        raise NotFound(f"There is no profile {name!r}.", f"Choose one of: {', '.join(sorted(offered)) or 'none is offered'}.")
    return offered[name]


def cluster_spec(profile: Profile, request: Request, *, user: str, machine_has_gpus: bool = True) -> ClusterSpec:
    """What ``request`` means in ``profile``.

    Raises
    ------
    InvalidSpec
        The fields do not make a cluster.
    LimitExceeded
        It passes a limit of the profile; the message names it.
    """
    fields = _merged(profile.cluster, request.more)
    groups = [dict(group) for group in fields.get("worker_groups") or ()]
    changes = {
        name: value
        for name, value in (("replicas", request.workers), ("gpus", request.gpus), ("cpu", request.cpu), ("memory", request.memory))
        if value is not None
    }
    if changes:
        groups = [*_changed(groups, changes)]
    if groups:
        fields["worker_groups"] = groups
    fields |= {name: value for name in ("image", "idle_timeout", "queue") if (value := getattr(request, name)) is not None}
    simulated = profile.simulated_gpus == "always" or (profile.simulated_gpus == "if-none" and not machine_has_gpus)
    spec = ClusterSpec(**{"simulated_gpus": simulated} | fields | {"name": request.name, "user": user, "profile": profile.name})
    check(profile, spec)
    return spec


def check(profile: Profile, spec: ClusterSpec) -> None:
    """Raise `LimitExceeded` if ``spec`` is more than ``profile`` allows."""
    limits, which = profile.limits, f"Profile {profile.name!r}"
    # The autoscaler may go up to the maximum, so that is what counts.
    groups = [(group.maximum if spec.autoscaling else group.replicas, group) for group in spec.worker_groups]
    workers, gpus = sum(count for count, _ in groups), sum(count * group.gpus for count, group in groups)
    if limits.workers is not None and workers > limits.workers:
        raise LimitExceeded(f"{which} allows {limits.workers} workers, and {workers} were asked for.", f"Ask for at most {limits.workers}.")
    if limits.gpus is not None and gpus > limits.gpus:
        raise LimitExceeded(f"{which} allows {limits.gpus} GPUs, and {gpus} were asked for.", f"Ask for at most {limits.gpus}.")
    for name in ("cpu", "memory"):
        limit: Quantity | None = getattr(limits, name)
        asked = getattr(spec.head, name).value + sum(count * getattr(group, name).value for count, group in groups)
        if limit is not None and asked > limit.value:
            shown = f"{asked.normalize():f}" if name == "cpu" else f"{asked / 2**30:.1f}Gi"
            raise LimitExceeded(f"{which} allows {limit} of {name} in all, and {shown} was asked for.", "Ask for fewer or smaller nodes.")
    if limits.images is not None and not _image_is_allowed(profile, limits.images, spec.image):
        raise LimitExceeded(f"{which} does not allow the image {spec.image!r}.", f"Choose one that matches: {', '.join(limits.images)}.")


def _image_is_allowed(profile: Profile, patterns: tuple[str, ...], image: str) -> bool:
    # What the administrator offers is allowed, also where it has been filled in since.
    own = str(profile.cluster.get("image") or images.DEFAULT)
    return image in ("", own) or images.is_made_from(own, image) or any(fnmatch.fnmatchcase(image, pattern) for pattern in patterns)


def form_schema(profile: Profile) -> Json:
    """The JSON schema of a `Request` in ``profile``, with its defaults and limits, for forms."""
    schema = Request.model_json_schema()
    group = _first_group(profile)
    bounds = {"workers": profile.limits.workers, "gpus": profile.limits.gpus}
    defaults = {"workers": group.replicas, "gpus": group.gpus, "cpu": str(group.cpu), "memory": str(group.memory)} if group else {}
    for name, part in schema["properties"].items():
        # Null is the program's way to leave a field out; a form leaves it out.
        known = next((option for option in part.pop("anyOf", ()) if option.get("type") != "null"), None)
        part |= known or {}
        if name in defaults:
            part["default"] = defaults[name]
        elif part.get("default") is None:
            part.pop("default", None)
        if bounds.get(name) is not None:
            part["maximum"] = bounds[name]
    return schema | {"title": profile.title or profile.name, "description": profile.description}


def _first_group(profile: Profile) -> WorkerGroup | None:
    groups = profile.cluster.get("worker_groups") or ()
    return WorkerGroup(**groups[0]) if groups else None


def _changed(groups: list[Json], changes: Json) -> Iterable[Json]:
    if not groups:
        groups = [{"name": "workers"}]
    first = groups[0] | changes
    if "maximum" in first and isinstance(first.get("replicas"), int):
        first["maximum"] = max(first["maximum"], first["replicas"])
    yield first
    yield from groups[1:]


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> Json:
    merged = dict(base)
    for name, value in change.items():
        before = merged.get(name)
        merged[name] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def read_profiles(raw: Iterable[Mapping[str, Any]]) -> tuple[Profile, ...]:
    """Profiles from the administrator's mappings, each checked whole; `InvalidSpec` names the one that is wrong."""
    read = tuple(Profile(**entry) for entry in raw)
    for profile in read:
        try:
            ClusterSpec(**profile.cluster | {"name": "x"})
        except InvalidSpec as error:
            raise InvalidSpec(f"Profile {profile.name!r} is not well: {error.message}", "An administrator can mend it.") from None
    return read
