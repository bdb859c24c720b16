"""What a user asks for of Ray's nodes: the head, and workers in groups. Each is a pod on Kubernetes and a process here.

Source of the terms and limits: KubeRay's v1 API and the Kubernetes API conventions.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from jupyter_kuberay import accelerators
from jupyter_kuberay.fields import (
    QUALIFIED,
    Count,
    EnvName,
    GroupName,
    Json,
    LabelKey,
    LabelValue,
    MountPath,
    ObjectName,
    Spec,
    matching,
    name_of,
    refuse_twins,
)
from jupyter_kuberay.quantity import Quantity

HEAD_PORTS = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "metrics": 8080, "serve": 8000}


class Toleration(Spec):
    """Lets pods onto nodes with a taint. An empty key with Exists tolerates everything."""

    key: Annotated[str, AfterValidator(lambda text: text if not text or QUALIFIED.fullmatch(text) else _no_key(text))] = ""
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
    key: Annotated[str, matching(re.compile(r"[-._a-zA-Z0-9]{1,253}"), "a Secret's key: letters, digits, '-', '_' and '.'")]


class Volume(Spec):
    """Files for a pod: exactly one of ``claim``, ``secret``, ``config_map`` (names) or ``empty`` (its size limit)."""

    name: Annotated[str, name_of(63)]
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
    tolerations: tuple[Toleration, ...] | None = Field(
        default=None, description="Taints that the pods may be placed on; default: for workers with GPUs that of GPU nodes, else none."
    )
    labels: dict[LabelKey, LabelValue] = Field(default={}, description="Labels of the pods.")
    env: dict[EnvName, str | SecretKey] = Field(default={}, description="Environment variables.")
    volumes: tuple[Volume, ...] = Field(default=(), description="Files for the pods.")
    ray_start_params: dict[str, str] = Field(default={}, description="Further parameters of `ray start`, without the leading '--'.")
    pod_overrides: Json = Field(default={}, description="A patch of the pod template, merged last: what no field here can say.")

    @model_validator(mode="after")
    def _says_nothing_that_goes_without_saying(self) -> Self:
        # Two specs that make the same pods are the same, so that a spec which was read back equals the one that was asked for.
        if self.tolerations == self._tolerated_by_itself():
            object.__setattr__(self, "tolerations", None)
        return self

    @property
    def tolerated(self) -> tuple[Toleration, ...]:
        """The tolerations that its pods have: those that were given, else what it needs for its GPUs."""
        return self._tolerated_by_itself() if self.tolerations is None else self.tolerations

    def _tolerated_by_itself(self) -> tuple[Toleration, ...]:
        return ()

    @field_validator("cpu", "memory")
    @classmethod
    def _is_something(cls, amount: Quantity) -> Quantity:
        if not amount.value:
            raise ValueError(f"{amount.text!r} is nothing; a node needs more than 0")
        return amount

    @field_validator("volumes")
    @classmethod
    def _have_names_of_their_own(cls, volumes: tuple[Volume, ...]) -> tuple[Volume, ...]:
        refuse_twins("volumes", "name", [volume.name for volume in volumes])
        refuse_twins("volumes", "mount_path", [volume.mount_path for volume in volumes])
        return volumes


class HeadSpec(Pod):
    """The node with Ray's control processes, the dashboard and the Ray Client server.

    It tolerates no taint unless told, which keeps it off GPU nodes wherever these have their taint. Where they have none, say
    in ``node_selector`` which nodes it may have: which label tells GPU nodes differs from cluster to cluster.
    """

    ports: dict[Annotated[str, name_of(15)], Annotated[int, Field(ge=1, le=65535)]] = Field(
        default=HEAD_PORTS, description="Named ports of the head; gcs-server, dashboard and client are needed."
    )

    @field_validator("ports")
    @classmethod
    def _are_enough(cls, ports: dict[str, int]) -> dict[str, int]:
        missing = {"gcs-server", "dashboard", "client"} - set(ports)
        if missing:
            raise ValueError(f"{ports!r} lacks {', '.join(sorted(missing))}; a head needs gcs-server, dashboard and client")
        refuse_twins("ports", "number", [str(port) for port in ports.values()])
        return ports


class WorkerGroup(Pod):
    """Workers that are alike.

    ``gpus`` counts whatever ``gpu_resource`` names: ``nvidia.com/gpu``, ``amd.com/gpu``, a part of a GPU such as
    ``nvidia.com/mig-1g.5gb``, or ``google.com/tpu``, for which Google wants to know in ``node_selector`` which kind and topology.
    Workers with GPUs tolerate the taint of GPU nodes, unless ``tolerations`` are given: then these, and no others.
    """

    name: GroupName = Field(default="workers", description="The group's name.")
    replicas: Count = Field(default=1, description="How many workers are wanted now.")
    minimum: Count = Field(default=0, description="How few the autoscaler may leave.")
    maximum: Count = Field(default=None, validate_default=False, description="How many there may ever be; default: as many as wanted.")  # type: ignore[assignment]
    gpus: Count = Field(default=0, description="GPUs of each worker.")
    gpu_resource: Annotated[
        str, matching(re.compile(r"[a-z0-9.-]+/[A-Za-z0-9._-]+"), "a GPU resource's name, such as 'nvidia.com/gpu'")
    ] = Field(default=accelerators.NVIDIA, description="The name under which Kubernetes counts the GPUs.")

    @model_validator(mode="before")
    @classmethod
    def _maximum_follows(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("maximum") is None:
            known = [value for field in ("replicas", "minimum") if isinstance(value := data.get(field, field == "replicas"), int)]
            return data | {"maximum": max([int(value) for value in known], default=1)}
        return data

    @model_validator(mode="after")
    def _counts_its_gpus_once(self) -> Self:
        counted = self._counted_for_ray() if accelerators.is_accelerator(self.gpu_resource) else {}
        if counted and self.ray_start_params.items() >= counted.items():
            rest = {name: value for name, value in self.ray_start_params.items() if name not in counted}
            object.__setattr__(self, "ray_start_params", rest)
        return self

    @property
    def started_with(self) -> dict[str, str]:
        """The parameters of `ray start` that its pods have: those that were given, and the GPUs that KubeRay would not count."""
        return self._counted_for_ray() | self.ray_start_params

    def _counted_for_ray(self) -> dict[str, str]:
        counted = not self.gpus or accelerators.is_counted_by_kuberay(self.gpu_resource)
        return {} if counted else {"num-gpus": str(self.gpus)}

    def _tolerated_by_itself(self) -> tuple[Toleration, ...]:
        return (Toleration(key=accelerators.taint(self.gpu_resource), effect="NoSchedule"),) if self.gpus else ()

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if not self.minimum <= self.replicas <= self.maximum:
            raise ValueError(
                f"group {self.name!r} wants {self.replicas} replicas of minimum {self.minimum} and maximum {self.maximum}; "
                "replicas lie between minimum and maximum"
            )
        return self
