"""What a user asks for, in the field's words; values that do not change.

Every field is checked when the value is made, and a refusal (`InvalidSpec`)
names the field, the value, and what is allowed. How a spec becomes a resource
is `jupyter_kuberay.manifest`'s business.

Source of the terms and limits: KubeRay's v1 API and the Kubernetes API
conventions. Durations are seconds; CPU and memory are Kubernetes quantities.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from jupyter_kuberay import images
from jupyter_kuberay.accelerators import TPU
from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.fields import (
    ClusterName,
    Count,
    JobName,
    Json,
    RayVersion,
    Seconds,
    ServiceName,
    Spec,
    matching,
    name_of,
    refuse_twins,
)
from jupyter_kuberay.nodes import HeadSpec, Pod, SecretKey, Toleration, Volume, WorkerGroup

__all__ = [
    "Application",
    "ClusterName",
    "ClusterSpec",
    "Code",
    "Count",
    "HeadSpec",
    "JobSpec",
    "Json",
    "Pod",
    "SecretKey",
    "ServiceSpec",
    "Spec",
    "Toleration",
    "Volume",
    "WorkerGroup",
    "as_cluster_spec",
]

FIRST_RAY_WITH_TOKENS = (2, 52)
FIRST_RAY_WITH_AUTOSCALER_V2 = (2, 10)


class ClusterSpec(Spec):
    """A Ray cluster: one head and any number of worker groups.

    Where a spec is wanted, codeflare-sdk's ``ClusterConfiguration`` will do too,
    and its ``WorkerGroup`` where a worker group is.
    """

    name: ClusterName = Field(description="The cluster's name.")
    user: str = Field(default="", max_length=1000, description="Whose it is.")
    profile: str = Field(default="", max_length=63, description="Which of the administrator's offers it was made from.")
    ray_version: RayVersion = Field(default="", description="Ray's version; default: the one installed here.")
    image: Annotated[str, Field(max_length=500)] = Field(
        default="",
        description="Container image; default: Ray's own for this Ray and Python, which {ray}, {python} and {gpu} in its name stand for.",
    )
    head: HeadSpec = Field(default=HeadSpec(), description="The head.")
    worker_groups: tuple[WorkerGroup, ...] = Field(default=(), description="The workers.")
    autoscaling: bool = Field(default=False, description="Let Ray add and remove workers between minimum and maximum.")
    worker_idle_timeout: Seconds | None = Field(
        default=None, description="With autoscaling: remove a worker after so many idle seconds; default: Ray's 60."
    )
    idle_timeout: Seconds | None = Field(
        default=None,
        description="Meant to be suspended after so many idle seconds: kept with it, nothing here does so yet; default: never.",
    )
    queue: Annotated[str, name_of(63)] | None = Field(default=None, description="Kueue's LocalQueue.")
    suspend: bool = Field(default=False, description="Keep it without running it.")
    auth: Literal["token", "disabled"] = Field(default="token", description="Whether Ray asks for its token.")
    pod_security: Literal["", "restricted"] = Field(
        default="", description="The level of Kubernetes' Pod Security Standards that the pods keep; default: none in particular."
    )
    redis: Annotated[str, matching(re.compile(r"[^\s/]+:\d{1,5}|"), "a host and port, such as 'redis:6379'")] = Field(
        default="",
        description="Host and port of a Redis that keeps what the head knows: workers go on answering while there is no head.",
    )
    redis_password: SecretKey | None = Field(default=None, description="Where that Redis's password is; default: it asks for none.")
    simulated_gpus: bool = Field(default=False, description="On this machine: let Ray count GPUs that are not there.")
    overrides: Json = Field(default={}, description="A patch of the RayCluster's spec, merged last.")

    @field_validator("image")
    @classmethod
    def _is_an_image(cls, image: str) -> str:
        if image and not images.is_name(image):
            raise ValueError(f"{image!r} is not an image's name, such as 'rayproject/ray:2.58.0-py311'")
        return image

    @field_validator("worker_groups", mode="before")
    @classmethod
    def _may_be_codeflares(cls, groups: Any) -> Any:
        if not isinstance(groups, list | tuple) or all(isinstance(group, WorkerGroup | dict) for group in groups):
            return groups
        from jupyter_kuberay import codeflare

        return tuple(codeflare.worker_group(group) if codeflare.is_worker_group(group) else group for group in groups)

    @field_validator("worker_groups")
    @classmethod
    def _have_names_of_their_own(cls, groups: tuple[WorkerGroup, ...]) -> tuple[WorkerGroup, ...]:
        refuse_twins("worker_groups", "name", [group.name for group in groups])
        if any(group.name == "head" for group in groups):
            raise ValueError("a worker group cannot be called 'head'; choose another name")
        return groups

    @model_validator(mode="after")
    def _tokens_are_known_to_ray(self) -> Self:
        if self.auth == "token" and not self.has_ray(FIRST_RAY_WITH_TOKENS):
            raise ValueError(f"ray_version {self.ray_version!r} knows no tokens; choose Ray 2.52 or later, or ask for auth='disabled'")
        return self

    @model_validator(mode="after")
    def _has_somebody_who_waits(self) -> Self:
        if self.worker_idle_timeout is not None and not self.autoscaling:
            raise ValueError(f"worker_idle_timeout {self.worker_idle_timeout} is for autoscaling; ask for that, or leave it out")
        return self

    @model_validator(mode="after")
    def _has_whom_the_password_is_for(self) -> Self:
        if self.redis_password and not self.redis:
            raise ValueError("redis_password is for redis; say where that is, or leave it out")
        return self

    def has_ray(self, first: tuple[int, int]) -> bool:
        """Whether Ray is at least ``first``, such as (2, 52). One that is not named is as new as it gets."""
        return not self.ray_version or _release(self.ray_version) >= first

    @property
    def workers(self) -> int:
        """How many workers are wanted, all groups together."""
        return sum(group.replicas for group in self.worker_groups)

    @property
    def gpus(self) -> int:
        """How many GPUs the wanted workers have together."""
        return sum(group.replicas * group.gpus for group in self.worker_groups)

    def resolved(self, ray: str, python: str) -> ClusterSpec:
        """With version and image that fit a kernel of Ray ``ray`` ("2.58.0") and Python ``python`` ("3.11")."""
        version = self.ray_version or ray
        accelerators = [group.gpu_resource for group in self.worker_groups if group.gpus]
        return self.changed(ray_version=version, image=images.filled(self.image or images.DEFAULT, version, python, accelerators))

    def warnings(self) -> tuple[str, ...]:
        """What is allowed, and had better be known."""
        told = []
        if self.auth == "disabled":
            told.append(f"Cluster {self.name!r} asks for no token: whoever reaches its ports can run code on it.")
        for group in self.worker_groups:
            if group.gpus and group.gpu_resource == TPU and not group.node_selector:
                told.append(f"Group {group.name!r} asks for TPUs and has no node_selector: Google asks for their kind and topology there.")
        return tuple(told)


class Code(Spec):
    """An application's source as a zip: within the resource (base64) or at a URI, with its digest."""

    source: str = Field(min_length=1, description="The zip in base64, or a URI that the cluster can read.")
    sha256: Annotated[str, matching(re.compile(r"[0-9a-f]{64}"), "a SHA-256 digest in 64 hexadecimal digits")]


class Application(Spec):
    """A Serve application, and what its main deployment is given."""

    name: Annotated[str, Field(min_length=1, max_length=100)] = "default"
    import_path: Annotated[str, matching(re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"), "an import path, such as 'package.module:app'")]
    route_prefix: Annotated[str, matching(re.compile(r"/[^?#\s]*"), "a route prefix, such as '/' or '/summarize'")] = "/"
    code: Code | None = Field(default=None, description="Its source; default: it is installed in the image.")
    weights: str = Field(default="", description="The model's URI, given to the deployment as user_config['model'].")
    settings: Json = Field(default={}, description="Further entries of the deployment's user_config; changed in place.")
    deployment: str = Field(default="", description="The deployment which weights, settings, replicas and GPUs are for.")
    replicas: Annotated[int, Field(ge=0)] | None = Field(default=None, description="Replicas of that deployment; default: the code's own.")
    gpus: Annotated[float, Field(ge=0)] | None = Field(default=None, description="GPUs of each replica; default: the code's own.")
    runtime_env: Json = Field(default={}, description="Ray's runtime environment, such as {'working_dir': URI}.")
    overrides: Json = Field(default={}, description="A patch of Serve's application configuration, merged last.")

    @model_validator(mode="after")
    def _says_which_deployment(self) -> Self:
        if not self.deployment and (self.weights or self.settings or self.replicas is not None or self.gpus is not None):
            raise ValueError("weights, settings, replicas and gpus are a deployment's; say which in deployment, such as 'Summarizer'")
        if "model" in self.settings:
            raise ValueError("settings['model'] is what weights says; give it there")
        return self


class ServiceSpec(Spec):
    """Serve applications with a cluster of their own below them."""

    name: ServiceName
    applications: tuple[Application, ...] = Field(min_length=1)
    cluster: ClusterSpec
    bearer: SecretKey | None = Field(default=None, description="The token that callers have to show; default: none is asked for.")
    service_unhealthy_seconds: Seconds | None = Field(default=None, description="Deprecated: KubeRay 1.1 and later ignore it.")
    deployment_unhealthy_seconds: Seconds | None = Field(default=None, description="Deprecated: KubeRay 1.1 and later ignore it.")
    serve_options: Json = Field(default={}, description="Further entries of Serve's configuration, such as http_options.")
    overrides: Json = Field(default={}, description="A patch of the RayService's spec, merged last.")

    @model_validator(mode="before")
    @classmethod
    def _cluster_is_called_like_it(cls, data: Any) -> Any:
        return _with_own_cluster(data, name=data.get("name")) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _has_who_asks_for_the_token(self) -> Self:
        if self.bearer and not any(application.code for application in self.applications):
            raise ValueError("bearer needs the loader, which comes with published code; give an application's code, or leave it out")
        return self

    @field_validator("applications")
    @classmethod
    def _have_names_of_their_own(cls, applications: tuple[Application, ...]) -> tuple[Application, ...]:
        refuse_twins("applications", "name", [application.name for application in applications])
        refuse_twins("applications", "route_prefix", [application.route_prefix for application in applications])
        return applications

    def warnings(self) -> tuple[str, ...]:
        """What is allowed, and had better be known."""
        deprecated = [name for name in ("service_unhealthy_seconds", "deployment_unhealthy_seconds") if getattr(self, name) is not None]
        return self.cluster.warnings() + tuple(
            f"Service {self.name!r} sets {name}, which is deprecated: KubeRay accepts it and no longer uses it." for name in deprecated
        )


class JobSpec(Spec):
    """A command that runs on a cluster: one that is there (its name), or one of its own (a spec)."""

    name: JobName
    entrypoint: str = Field(min_length=1, description="A shell command, such as 'python train.py'.")
    cluster: ClusterName | ClusterSpec
    user: str = Field(default="", max_length=1000)
    time_limit: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(default=None, description="Seconds until it is stopped as failed.")
    retries: Count = Field(default=0, description="How often it is tried again, each time on a new cluster of its own.")
    time_to_live: Seconds = Field(default=0, description="Seconds that its own cluster is kept after its end; default: it goes at once.")
    runtime_env: Json = Field(default={}, description="Ray's runtime environment.")
    overrides: Json = Field(default={}, description="A patch of the RayJob's spec, merged last.")

    @model_validator(mode="before")
    @classmethod
    def _cluster_is_called_like_it(cls, data: Any) -> Any:
        if not isinstance(data, dict) or isinstance(data.get("cluster"), str):
            return data
        cluster = data.get("cluster")
        user = data.get("user") or (cluster.get("user", "") if isinstance(cluster, dict) else getattr(cluster, "user", ""))
        return _with_own_cluster(data, name=data.get("name"), user=user) | {"user": user}

    @model_validator(mode="after")
    def _fits_its_cluster(self) -> Self:
        if isinstance(self.cluster, str) and self.time_to_live:
            raise ValueError("time_to_live is for a job with a cluster of its own; leave it out for one on an existing cluster")
        if isinstance(self.cluster, str) and self.retries:
            raise ValueError("retries need a cluster of the job's own; leave it out for one on an existing cluster")
        return self


def _with_own_cluster(data: Json, **same: Any) -> Json:
    """``data`` whose cluster is called like it: KubeRay names the clusters of services and jobs itself."""
    cluster = data.get("cluster")
    fields = {name: getattr(cluster, name) for name in ClusterSpec.model_fields} if isinstance(cluster, ClusterSpec) else cluster
    given = {name: value for name, value in same.items() if value is not None}
    return data | {"cluster": fields | given} if isinstance(fields, dict) else data


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def as_cluster_spec(given: object) -> ClusterSpec:
    """Take ``given`` for a `ClusterSpec`: one, its fields as a mapping, or codeflare-sdk's ``ClusterConfiguration``."""
    if isinstance(given, ClusterSpec):
        return given
    if isinstance(given, dict):
        return ClusterSpec(**given)
    from jupyter_kuberay import codeflare

    if codeflare.is_codeflare(given):
        return codeflare.cluster_spec(given)
    hint = "Give a ClusterSpec, a mapping of its fields, or codeflare-sdk's ClusterConfiguration."
    raise InvalidSpec(f"{type(given).__name__} is no request for a cluster.", hint)
