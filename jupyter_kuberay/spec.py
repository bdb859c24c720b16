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

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, field_validator, model_validator

from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.names import MAX_CLUSTER_NAME, MAX_JOB_NAME, MAX_SERVICE_NAME, object_name
from jupyter_kuberay.quantity import Quantity
from jupyter_kuberay.refusal import refusal

Json = dict[str, Any]

FIRST_RAY_WITH_TOKENS = (2, 52)
HEAD_PORTS = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "metrics": 8080, "serve": 8000}

_DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_VERSION = re.compile(r"\d+\.\d+(\.\d+)?([.\-+]?[a-zA-Z0-9.\-+]+)?")


def _name(longest: int) -> AfterValidator:
    def check(text: str) -> str:
        if len(text) > longest or not _DNS_LABEL.fullmatch(text):
            raise ValueError(
                f"{text!r} is not a name that Kubernetes accepts: 1 to {longest} lower-case letters, digits and hyphens, "
                f"beginning with a letter and not ending with a hyphen, such as {object_name(text, max_length=longest)!r}"
            )
        return text

    return AfterValidator(check)


def _matches(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{text!r} is not {what}")
        return text

    return AfterValidator(check)


def _name_schema(longest: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{_DNS_LABEL.pattern}$", "maxLength": longest})


ClusterName = Annotated[str, _name(MAX_CLUSTER_NAME), _name_schema(MAX_CLUSTER_NAME)]
ServiceName = Annotated[str, _name(MAX_SERVICE_NAME), _name_schema(MAX_SERVICE_NAME)]
JobName = Annotated[str, _name(MAX_JOB_NAME), _name_schema(MAX_JOB_NAME)]
# KubeRay makes pod names of cluster and group, and cuts what is longer.
GroupName = Annotated[str, _name(40)]
ObjectName = Annotated[
    str, _matches(re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"), "the name of an object: lower-case letters, digits, '-' and '.'")
]
LabelKey = Annotated[str, _matches(_QUALIFIED, "a label's key, such as 'team' or 'example.com/team'")]
LabelValue = Annotated[str, _matches(_LABEL_VALUE, "a label's value: up to 63 letters, digits, '-', '_' and '.'")]
EnvName = Annotated[str, _matches(_ENV_NAME, "the name of an environment variable, such as 'HF_HOME'")]
MountPath = Annotated[str, _matches(re.compile(r"/[^:\0]*"), "an absolute path without ':', such as '/data'")]
RayVersion = Annotated[str, AfterValidator(lambda text: text if not text or _VERSION.fullmatch(text) else _no_version(text))]
Seconds = Annotated[int, Field(ge=0, le=2**31 - 1)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


def _no_version(text: str) -> str:
    raise ValueError(f"{text!r} is not a version of Ray, such as '2.58.0'")


class Spec(BaseModel):
    """A frozen value whose constructor raises `InvalidSpec`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __init__(self, **data: Any) -> None:
        try:
            self.__pydantic_validator__.validate_python(data, self_instance=self)
        except ValidationError as error:
            raise refusal(_spoken(type(self)), error) from None

    # Tells pydantic to build nested values itself, so that an error's path is whole.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def changed(self, **fields: Any) -> Self:
        """The same with other ``fields``, checked like a new one."""
        return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | fields)


def _spoken(model: type) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", model.__name__.removesuffix("Spec")).lower()


class Toleration(Spec):
    """Lets pods onto nodes with a taint. An empty key with Exists tolerates everything."""

    key: Annotated[str, AfterValidator(lambda text: text if not text or _QUALIFIED.fullmatch(text) else _no_key(text))] = ""
    operator: Literal["Exists", "Equal"] = "Exists"
    value: LabelValue = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise ValueError(f"value {self.value!r} goes with operator 'Equal' only; leave it out or say operator='Equal'")
        if self.operator == "Equal" and not self.key:
            raise ValueError("operator 'Equal' needs a key; say which, or use operator='Exists'")
        return self


def _no_key(text: str) -> str:
    raise ValueError(f"{text!r} is not a taint's key, such as 'nvidia.com/gpu'")


class SecretKey(Spec):
    """One entry of a Kubernetes Secret, by reference: its content is never in a spec."""

    secret: ObjectName
    key: Annotated[str, _matches(re.compile(r"[-._a-zA-Z0-9]{1,253}"), "a Secret's key: letters, digits, '-', '_' and '.'")]


class Volume(Spec):
    """Files for a pod: exactly one of ``claim``, ``secret``, ``config_map`` (names) or ``empty`` (its size limit)."""

    name: Annotated[str, _name(63)]
    mount_path: MountPath
    claim: ObjectName | None = None
    secret: ObjectName | None = None
    config_map: ObjectName | None = None
    empty: Quantity | None = None
    read_only: bool = False

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        given = [source for source in ("claim", "secret", "config_map", "empty") if getattr(self, source) is not None]
        if len(given) != 1:
            raise ValueError(f"volume {self.name!r} has {' and '.join(given) or 'no source'}; give one of claim, secret, config_map, empty")
        return self


class Pod(Spec):
    """What head and workers have in common."""

    cpu: Quantity = Field(default=Quantity("1"), description="CPU of each node, such as '2' or '500m'.")
    memory: Quantity = Field(default=Quantity("2Gi"), description="Memory of each node, such as '8Gi'.")
    node_selector: dict[LabelKey, LabelValue] = Field(default={}, description="Labels that a Kubernetes node must have.")
    tolerations: tuple[Toleration, ...] = Field(default=(), description="Taints that the pods may be placed on.")
    labels: dict[LabelKey, LabelValue] = Field(default={}, description="Labels of the pods.")
    env: dict[EnvName, str | SecretKey] = Field(default={}, description="Environment variables.")
    volumes: tuple[Volume, ...] = Field(default=(), description="Files for the pods.")
    ray_start_params: dict[str, str] = Field(default={}, description="Further parameters of `ray start`, without the leading '--'.")
    pod_overrides: Json = Field(default={}, description="A patch of the pod template, merged last: what no field here can say.")

    @field_validator("cpu", "memory")
    @classmethod
    def _is_something(cls, amount: Quantity) -> Quantity:
        if not amount.value:
            raise ValueError(f"{amount.text!r} is nothing; a node needs more than 0")
        return amount

    @field_validator("volumes")
    @classmethod
    def _have_names_of_their_own(cls, volumes: tuple[Volume, ...]) -> tuple[Volume, ...]:
        _no_twins("volumes", "name", [volume.name for volume in volumes])
        _no_twins("volumes", "mount_path", [volume.mount_path for volume in volumes])
        return volumes


class HeadSpec(Pod):
    """The node with Ray's control processes, the dashboard and the Ray Client server."""

    ports: dict[Annotated[str, _name(15)], Annotated[int, Field(ge=1, le=65535)]] = Field(
        default=HEAD_PORTS, description="Named ports of the head; gcs-server, dashboard and client are needed."
    )

    @field_validator("ports")
    @classmethod
    def _are_enough(cls, ports: dict[str, int]) -> dict[str, int]:
        missing = {"gcs-server", "dashboard", "client"} - set(ports)
        if missing:
            raise ValueError(f"{ports!r} lacks {', '.join(sorted(missing))}; a head needs gcs-server, dashboard and client")
        _no_twins("ports", "number", [str(port) for port in ports.values()])
        return ports


class WorkerGroup(Pod):
    """Workers that are alike."""

    name: GroupName = Field(default="workers", description="The group's name.")
    replicas: Count = Field(default=1, description="How many workers are wanted now.")
    minimum: Count = Field(default=0, description="How few the autoscaler may leave.")
    maximum: Count = Field(default=None, validate_default=False, description="How many there may ever be; default: as many as wanted.")  # type: ignore[assignment]
    gpus: Count = Field(default=0, description="GPUs of each worker.")
    gpu_resource: Annotated[
        str, _matches(re.compile(r"[a-z0-9.-]+/[A-Za-z0-9._-]+"), "a GPU resource's name, such as 'nvidia.com/gpu'")
    ] = Field(default="nvidia.com/gpu", description="The name under which Kubernetes counts the GPUs.")

    @model_validator(mode="before")
    @classmethod
    def _maximum_follows(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("maximum") is None:
            known = [value for field in ("replicas", "minimum") if isinstance(value := data.get(field, field == "replicas"), int)]
            return data | {"maximum": max([int(value) for value in known], default=1)}
        return data

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if not self.minimum <= self.replicas <= self.maximum:
            raise ValueError(
                f"group {self.name!r} wants {self.replicas} replicas of minimum {self.minimum} and maximum {self.maximum}; "
                "replicas lie between minimum and maximum"
            )
        return self


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
        default="", description="Container image; default: Ray's own for this Ray and Python."
    )
    head: HeadSpec = Field(default=HeadSpec(), description="The head.")
    worker_groups: tuple[WorkerGroup, ...] = Field(default=(), description="The workers.")
    autoscaling: bool = Field(default=False, description="Let Ray add and remove workers between minimum and maximum.")
    idle_timeout: Seconds | None = Field(default=None, description="Suspend after so many idle seconds; default: never.")
    queue: Annotated[str, _name(63)] | None = Field(default=None, description="Kueue's LocalQueue.")
    suspend: bool = Field(default=False, description="Keep it without running it.")
    auth: Literal["token", "disabled"] = Field(default="token", description="Whether Ray asks for its token.")
    simulated_gpus: bool = Field(default=False, description="On this machine: let Ray count GPUs that are not there.")
    overrides: Json = Field(default={}, description="A patch of the RayCluster's spec, merged last.")

    @field_validator("image")
    @classmethod
    def _is_an_image(cls, image: str) -> str:
        if image and not re.fullmatch(r"[a-z0-9]([a-zA-Z0-9._:/@-]*[a-zA-Z0-9])?", image):
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
        _no_twins("worker_groups", "name", [group.name for group in groups])
        if any(group.name == "head" for group in groups):
            raise ValueError("a worker group cannot be called 'head'; choose another name")
        return groups

    @model_validator(mode="after")
    def _tokens_are_known_to_ray(self) -> Self:
        if self.auth == "token" and self.ray_version and _release(self.ray_version) < FIRST_RAY_WITH_TOKENS:
            raise ValueError(f"ray_version {self.ray_version!r} knows no tokens; choose Ray 2.52 or later, or ask for auth='disabled'")
        return self

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
        gpu = "-gpu" if any(group.gpus for group in self.worker_groups) else ""
        image = self.image or f"rayproject/ray:{version}-py{python.replace('.', '')}{gpu}"
        return self.changed(ray_version=version, image=image)

    def warnings(self) -> tuple[str, ...]:
        """What is allowed, and had better be known."""
        if self.auth == "disabled":
            return (f"Cluster {self.name!r} asks for no token: whoever reaches its ports can run code on it.",)
        return ()


class Code(Spec):
    """An application's source as a zip: within the resource (base64) or at a URI, with its digest."""

    source: str = Field(min_length=1, description="The zip in base64, or a URI that the cluster can read.")
    sha256: Annotated[str, _matches(re.compile(r"[0-9a-f]{64}"), "a SHA-256 digest in 64 hexadecimal digits")]


class Application(Spec):
    """A Serve application, and what its main deployment is given."""

    name: Annotated[str, Field(min_length=1, max_length=100)] = "default"
    import_path: Annotated[str, _matches(re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"), "an import path, such as 'package.module:app'")]
    route_prefix: Annotated[str, _matches(re.compile(r"/[^?#\s]*"), "a route prefix, such as '/' or '/summarize'")] = "/"
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
    service_unhealthy_seconds: Seconds | None = Field(default=None, description="Deprecated: KubeRay 1.1 and later ignore it.")
    deployment_unhealthy_seconds: Seconds | None = Field(default=None, description="Deprecated: KubeRay 1.1 and later ignore it.")
    serve_options: Json = Field(default={}, description="Further entries of Serve's configuration, such as http_options.")
    overrides: Json = Field(default={}, description="A patch of the RayService's spec, merged last.")

    @model_validator(mode="before")
    @classmethod
    def _cluster_is_called_like_it(cls, data: Any) -> Any:
        return _with_own_cluster(data, name=data.get("name")) if isinstance(data, dict) else data

    @field_validator("applications")
    @classmethod
    def _have_names_of_their_own(cls, applications: tuple[Application, ...]) -> tuple[Application, ...]:
        _no_twins("applications", "name", [application.name for application in applications])
        _no_twins("applications", "route_prefix", [application.route_prefix for application in applications])
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


def _no_twins(field: str, key: str, values: list[str]) -> None:
    twins = sorted({value for value in values if values.count(value) > 1})
    if twins:
        raise ValueError(f"{field} has {key} {', '.join(map(repr, twins))} more than once; each must be different")


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
