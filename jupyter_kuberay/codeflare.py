"""codeflare-sdk's ``ClusterConfiguration`` as a `ClusterSpec`, so that its users can come over as they are.

Read by its fields: codeflare_sdk is never imported here, because importing it
takes seconds and gives the root logger a handler. Every field is taken over or,
where it has no meaning here, refused by its name. What codeflare-sdk leaves
unchecked is checked: names, quantities, counts, requests against limits.

Two things differ on purpose. Without an ``image`` the cluster gets one that
matches this kernel. And ``labels`` and ``annotations`` go to the pods.

Source: codeflare-sdk 0.40.1.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.names import object_name
from jupyter_kuberay.quantity import Quantity
from jupyter_kuberay.spec import ClusterSpec, HeadSpec, Json, Toleration, Volume, WorkerGroup

_QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_LONGEST_GROUP_NAME = 40
# Ray counts these itself; everything else is a custom resource of Ray's.
_RAYS_OWN = {"GPU", "CPU", "memory"}
_SOURCES = {("persistentVolumeClaim", "claimName"): "claim", ("secret", "secretName"): "secret", ("configMap", "name"): "config_map"}

_USED = {
    "name", "head_cpu_requests", "head_cpu_limits", "head_memory_requests", "head_memory_limits", "head_extended_resource_requests",
    "head_tolerations", "worker_cpu_requests", "worker_cpu_limits", "num_workers", "worker_memory_requests", "worker_memory_limits",
    "worker_tolerations", "envs", "image", "image_pull_secrets", "labels", "worker_extended_resource_requests", "local_queue",
    "extended_resource_mapping", "enable_autoscaling", "min_workers", "max_workers", "annotations", "volumes", "volume_mounts",
    "additional_worker_groups", "enable_gcs_ft", "redis_address", "redis_password_secret", "external_storage_namespace",
}  # fmt: skip
_DONE_BY_ITS_CONSTRUCTOR = {"enable_usage_stats", "overwrite_default_resource_mapping"}  # in envs and in the mapping
_REFUSED = {
    "namespace": "Leave it out: clusters are made in the namespace that the backend is configured for.",
    "write_to_file": "Leave it out: `jupyter kuberay manifest` prints the resource.",
    "verify_tls": "Leave it out: connections are always verified.",
}
_USED_OF_A_GROUP = {
    "group_name", "replicas", "min_replicas", "max_replicas", "cpu_requests", "cpu_limits", "memory_requests", "memory_limits", "gpu_type",
    "gpu_count", "extended_resource_requests", "image", "envs", "labels", "tolerations",
}  # fmt: skip


def is_codeflare(given: object) -> bool:
    """Whether this is codeflare-sdk's ``ClusterConfiguration``."""
    return _is_its(given, "ClusterConfiguration")


def is_worker_group(given: object) -> bool:
    """Whether this is codeflare-sdk's ``WorkerGroup``."""
    return _is_its(given, "WorkerGroup")


def _is_its(given: object, name: str) -> bool:
    return any(kind.__name__ == name and kind.__module__.split(".")[0] == "codeflare_sdk" for kind in type(given).__mro__)


def cluster_spec(config: Any) -> ClusterSpec:
    """The same request in our words.

    Raises
    ------
    InvalidSpec
        A field that cannot be right, or that cannot be taken over; it is named.
    """
    _refuse_what_is_unknown(config, _USED | _DONE_BY_ITS_CONSTRUCTOR, _REFUSED)
    if not config.name:
        raise InvalidSpec("name is missing: a cluster needs one.", "Give ClusterConfiguration a name.")
    labels = dict(config.labels)
    queue = labels.pop(_QUEUE_LABEL, None)
    return ClusterSpec(
        name=config.name,
        image=config.image,
        head=_head(config, labels),
        worker_groups=(_first_group(config, labels), *(_further_group(config, group, labels) for group in config.additional_worker_groups)),
        autoscaling=config.enable_autoscaling,
        queue=config.local_queue or queue,
        overrides=_fault_tolerance(config),
    )


def worker_group(group: Any) -> WorkerGroup:
    """One of its worker groups by itself, in a cluster of which nothing else is said; `InvalidSpec` as in `cluster_spec`."""
    # Whoever holds one has imported the module, and with it what a cluster is by default.
    defaults = sys.modules[type(group).__module__].ClusterConfiguration(name="x")
    return _further_group(defaults, group, {})


def _head(config: Any, labels: Mapping[str, str]) -> HeadSpec:
    pod = _Pod("ray-head", config)
    pod.sizes("head_", config)
    pod.extended("head_extended_resource_requests", config.head_extended_resource_requests)
    pod.tolerate(config.head_tolerations)
    return HeadSpec(**pod.fields(env=config.envs, labels=labels))


def _first_group(config: Any, labels: Mapping[str, str]) -> WorkerGroup:
    pod = _Pod("ray-worker", config)
    pod.sizes("worker_", config)
    gpus = pod.gpus("worker_extended_resource_requests", config.worker_extended_resource_requests)
    pod.tolerate(config.worker_tolerations)
    if config.enable_autoscaling:
        minimum, maximum = _count("min_workers", config.min_workers), _count("max_workers", config.max_workers)
        numbers = {"replicas": minimum, "minimum": minimum, "maximum": maximum}
    else:
        for field in ("min_workers", "max_workers"):
            if getattr(config, field) is not None:
                raise _refused(field, getattr(config, field), "Say enable_autoscaling=True with it, or leave it out.")
        numbers = {"replicas": _count("num_workers", config.num_workers)}
    name = object_name(f"small-group-{config.name}", max_length=_LONGEST_GROUP_NAME)
    return WorkerGroup(name=name, **numbers, **gpus, **pod.fields(env=config.envs, labels=labels))


def _further_group(config: Any, group: Any, labels: Mapping[str, str]) -> WorkerGroup:
    where = f"additional_worker_groups[{group.group_name!r}]."
    _refuse_what_is_unknown(group, _USED_OF_A_GROUP, {}, where)
    pod = _Pod("ray-worker", config, where)
    pod.sizes("", group)
    extended = dict(group.extended_resource_requests)
    if group.gpu_type and group.gpu_count:
        extended[group.gpu_type] = group.gpu_count
    gpus = pod.gpus("extended_resource_requests", extended)
    pod.tolerate(config.worker_tolerations if group.tolerations is None else group.tolerations)
    if group.image:
        pod.container["image"] = group.image
    numbers = {"replicas": _count(f"{where}replicas", group.replicas)}
    # Its documentation: None equals replicas. Where nothing scales by itself, a lower bound would only be in a person's way.
    if group.min_replicas is not None or config.enable_autoscaling:
        numbers["minimum"] = numbers["replicas"] if group.min_replicas is None else _count(f"{where}min_replicas", group.min_replicas)
    if group.max_replicas is not None:
        numbers["maximum"] = _count(f"{where}max_replicas", group.max_replicas)
    fields = pod.fields(env={**config.envs, **group.envs}, labels={**labels, **group.labels})
    return WorkerGroup(name=group.group_name, **numbers, **gpus, **fields)


class _Pod:
    """What one kind of pod is asked for, in fields as far as there are some, and the rest as an override."""

    def __init__(self, container: str, config: Any, where: str = "") -> None:
        self.config = config
        self.where = where
        self.container: Json = {"name": container}
        self.spec: Json = {}
        self.given: Json = {}
        self.params: dict[str, str] = {}

    def sizes(self, prefix: str, of: Any) -> None:
        for resource in ("cpu", "memory"):
            limit, request = (_amount(f"{self.where}{prefix}{resource}_{end}", resource, of) for end in ("limits", "requests"))
            if request > limit:
                what = f"{self.where}{prefix}{resource}_requests is '{request}', which is more than {prefix}{resource}_limits '{limit}'."
                raise InvalidSpec(what, "Ask for at most as much as the limit.")
            self.given[resource] = limit
            if request != limit:
                self._resources("requests")[resource] = str(request)

    def gpus(self, field: str, wanted: Mapping[str, Any]) -> Json:
        """The GPUs of ``wanted`` as fields of a worker group; the rest becomes an override."""
        kinds = [name for name in wanted if self.config.extended_resource_mapping.get(name) == "GPU"]
        if len(kinds) > 1:
            raise _refused(self.where + field, dict(wanted), "Ask for one kind of GPU in a group, and make a group of each kind.")
        self.extended(field, {name: amount for name, amount in wanted.items() if name not in kinds})
        if not kinds:
            return {}
        count = _count(f"{self.where}{field}[{kinds[0]!r}]", wanted[kinds[0]])
        if not kinds[0].endswith("gpu"):
            self.params["num-gpus"] = str(count)  # by its name KubeRay could not tell
        return {"gpus": count, "gpu_resource": kinds[0]}

    def extended(self, field: str, wanted: Mapping[str, Any]) -> None:
        of_ray: dict[str, int] = {}
        for name, amount in wanted.items():
            count = _count(f"{self.where}{field}[{name!r}]", amount)
            self._resources("limits")[name] = self._resources("requests")[name] = count
            known_to_ray = self.config.extended_resource_mapping.get(name)
            if known_to_ray == "GPU" and not name.endswith("gpu"):
                self.params["num-gpus"] = str(int(self.params.get("num-gpus", 0)) + count)
            elif known_to_ray and known_to_ray not in _RAYS_OWN:
                of_ray[known_to_ray] = of_ray.get(known_to_ray, 0) + count
        if of_ray:
            # KubeRay pastes it into a shell command, so the quotes are part of it.
            self.params["resources"] = '"' + json.dumps(of_ray).replace('"', '\\"') + '"'

    def tolerate(self, tolerations: Iterable[Any] | None) -> None:
        plain = [_plain(toleration) for toleration in tolerations or ()]
        if all(set(toleration) <= set(Toleration.model_fields) for toleration in plain):
            self.given["tolerations"] = tuple(Toleration(**{"operator": "Equal", **toleration}) for toleration in plain)
        else:
            self.spec["tolerations"] = plain

    def fields(self, *, env: Mapping[str, str], labels: Mapping[str, str]) -> Json:
        self._mount()
        if self.config.image_pull_secrets:
            self.spec["imagePullSecrets"] = [{"name": name} for name in self.config.image_pull_secrets]
        if len(self.container) > 1:
            self.spec["containers"] = [self.container]
        rest: Json = {"spec": self.spec} if self.spec else {}
        if self.config.annotations:
            rest["metadata"] = {"annotations": dict(self.config.annotations)}
        return {**self.given, "env": dict(env), "labels": dict(labels), "ray_start_params": self.params, "pod_overrides": rest}

    def _mount(self) -> None:
        volumes = {volume["name"]: volume for volume in map(_plain, self.config.volumes)}
        mounts = [_plain(mount) for mount in self.config.volume_mounts]
        simple = []
        for mount in mounts:
            if mount["name"] not in volumes:
                known = ", ".join(volumes) or "none"
                raise InvalidSpec(f"volume_mounts names the volume {mount['name']!r}, but volumes has {known}.", "Give that volume too.")
            once = sum(other["name"] == mount["name"] for other in mounts) == 1
            if once and (volume := _as_volume(volumes[mount["name"]], mount)):
                simple.append(volume)
        told = {volume.name for volume in simple}
        self.given["volumes"] = tuple(simple)
        if rest := [volume for name, volume in volumes.items() if name not in told]:
            self.spec["volumes"] = rest
        if rest := [mount for mount in mounts if mount["name"] not in told]:
            self.container["volumeMounts"] = rest

    def _resources(self, kind: str) -> Json:
        resources: Json = self.container.setdefault("resources", {}).setdefault(kind, {})
        return resources


def _as_volume(volume: Json, mount: Json) -> Volume | None:
    """None for what has details that only an override can say."""
    for (source, key), field in _SOURCES.items():
        if set(volume) == {"name", source} and set(volume[source]) == {key} and set(mount) <= {"name", "mountPath", "readOnly"}:
            fields = {field: volume[source][key], "read_only": bool(mount.get("readOnly"))}
            return Volume(name=volume["name"], mount_path=mount["mountPath"], **fields)
    return None


def _fault_tolerance(config: Any) -> Json:
    if not config.enable_gcs_ft:
        for field in ("redis_address", "redis_password_secret", "external_storage_namespace"):
            if getattr(config, field) is not None:
                raise _refused(field, getattr(config, field), "Say enable_gcs_ft=True with it, or leave it out.")
        return {}
    options: Json = {"redisAddress": config.redis_address}
    if config.external_storage_namespace:
        options["externalStorageNamespace"] = config.external_storage_namespace
    if config.redis_password_secret:
        reference = {"name": config.redis_password_secret["name"], "key": config.redis_password_secret["key"]}
        options["redisPassword"] = {"valueFrom": {"secretKeyRef": reference}}
    return {"gcsFaultToleranceOptions": options}


def _amount(field: str, resource: str, of: Any) -> Quantity:
    value = getattr(of, field.rsplit(".", 1)[-1])
    if resource == "memory" and str(value).isdecimal():
        value = f"{value}G"  # its documentation: a number is GB
    try:
        return Quantity(value)
    except ValueError as error:
        raise InvalidSpec(f"{field}: {error}.", "Correct this field and try again.") from None


def _count(field: str, value: Any) -> int:
    try:
        if isinstance(value, bool) or (count := int(value)) < 0 or count != float(value):
            raise ValueError
    except (TypeError, ValueError):
        raise InvalidSpec(f"{field} is {value!r}, but it must be a whole number, 0 or more.", "Correct this field and try again.") from None
    return count


def _plain(value: Any) -> Any:
    """What the Kubernetes client's model objects stand for, as JSON."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if names := getattr(value, "attribute_map", None):
        return {name: _plain(item) for attribute, name in names.items() if (item := getattr(value, attribute)) is not None}
    return value


def _refuse_what_is_unknown(given: Any, used: set[str], refused: Mapping[str, str], where: str = "") -> None:
    """Nothing that was asked for is left out silently, a later version's fields included."""
    for field in dataclasses.fields(given):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        value = getattr(given, field.name)
        if field.name not in used and value != default:
            raise _refused(where + field.name, value, refused.get(field.name, "Leave it out: jupyter-kuberay does not know this field."))


def _refused(field: str, value: object, hint: str) -> InvalidSpec:
    return InvalidSpec(f"{field} is {value!r}, which cannot be taken over.", hint)
