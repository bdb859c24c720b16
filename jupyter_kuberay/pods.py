"""Pod templates of heads and workers, and back."""

from __future__ import annotations

from importlib import resources
from typing import Any, TypeVar

from jupyter_kuberay.accelerators import is_accelerator
from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.observation import Json
from jupyter_kuberay.overlay import apply, difference
from jupyter_kuberay.quantity import Quantity
from jupyter_kuberay.spec import ClusterSpec, HeadSpec, Pod, SecretKey, Toleration, Volume, WorkerGroup

# Only its name may stand in pod templates: another name would make KubeRay start a second cluster.
LOADER_CONFIG_MAP = "jupyter-kuberay-loader-v1"
LOADER_PATH = "/etc/jupyter-kuberay/loader"
LOADER_MODULE = "jupyter_kuberay_loader"
_LOADER_VOLUME = Volume(name="jupyter-kuberay-loader", mount_path=LOADER_PATH, config_map=LOADER_CONFIG_MAP, read_only=True)

BEARER_VARIABLE = "JUPYTER_KUBERAY_BEARER"  # as serving/loader.py reads it
# Serve calls this in each of its proxies; which of its applications a request is for does not matter.
_GUARDED = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": f"{LOADER_MODULE}:guards"}
# A worker of Ray's takes on its own niceness (15) once it has imported Ray. Until then it would come before replicas and proxies.
_ALIKE = {"RAY_worker_niceness": "0"}

# What the level 'restricted' of Kubernetes' Pod Security Standards asks of a pod, and of each of its containers.
_RESTRICTED_POD: Json = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
RESTRICTED_CONTAINER: Json = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}

P = TypeVar("P", bound=Pod)

_SOURCES = {
    "claim": ("persistentVolumeClaim", "claimName"),
    "secret": ("secret", "secretName"),
    "config_map": ("configMap", "name"),
    "empty": ("emptyDir", "sizeLimit"),
}


def head_template(head: HeadSpec, image: str, restricted: bool = False) -> Json:
    container = _container("ray-head", head, image, {}, restricted)
    container["ports"] = [{"name": name, "containerPort": port} for name, port in head.ports.items()]
    return _template(head, container, restricted)


def worker_template(group: WorkerGroup, image: str, restricted: bool = False) -> Json:
    gpus = {group.gpu_resource: group.gpus} if group.gpus else {}
    return _template(group, _container("ray-worker", group, image, gpus, restricted), restricted)


def is_restricted(template: Json) -> bool:
    """Whether a pod keeps what the level 'restricted' asks for."""
    spec = template["spec"]
    of_pod, of_container = spec.get("securityContext") or {}, spec["containers"][0].get("securityContext") or {}
    return of_pod.items() >= _RESTRICTED_POD.items() and of_container.items() >= RESTRICTED_CONTAINER.items()


def read_head(template: Json, ray_start_params: dict[str, str], image: str, restricted: bool = False) -> HeadSpec:
    container = template["spec"]["containers"][0]
    declared = {port["name"]: port["containerPort"] for port in container.get("ports", []) if "name" in port}
    # A head that declares none gets KubeRay's own.
    ports = {"ports": declared} if {"gcs-server", "dashboard", "client"} <= set(declared) else {}
    head = HeadSpec(**_read_pod(template), **ports, ray_start_params=ray_start_params)
    return _with_rest(head, difference(head_template(head, image, restricted), template))


def read_group(template: Json, ray_start_params: dict[str, str], image: str, restricted: bool = False, **fields: Any) -> WorkerGroup:
    limits = _limits(template["spec"]["containers"][0])
    gpus = {name: amount for name, amount in limits.items() if is_accelerator(name)}
    for name, amount in list(gpus.items())[:1]:
        fields |= {"gpu_resource": name, "gpus": int(Quantity(amount))}
    group = WorkerGroup(**_read_pod(template), ray_start_params=ray_start_params, **fields)
    return _with_rest(group, difference(worker_template(group, image, restricted), template))


def with_loader(spec: ClusterSpec, bearer: SecretKey | None = None) -> ClusterSpec:
    """The cluster whose every node can import the loader of published code, and whose Serve asks callers for the token ``bearer``."""
    env: dict[str, str | SecretKey] = {BEARER_VARIABLE: bearer, **_GUARDED} if bearer else {}
    groups = tuple(_pod_with_loader(group, env) for group in spec.worker_groups)
    return spec.changed(head=_pod_with_loader(spec.head, env), worker_groups=groups)


def bearer_of(spec: ClusterSpec) -> SecretKey | None:
    """The token that its Serve asks callers for."""
    found = spec.head.env.get(BEARER_VARIABLE)
    return found if isinstance(found, SecretKey) else None


def without_loader(spec: ClusterSpec) -> ClusterSpec:
    """The reverse of `with_loader`."""
    groups = tuple(_pod_without_loader(group) for group in spec.worker_groups)
    return spec.changed(head=_pod_without_loader(spec.head), worker_groups=groups)


def loader_config_map() -> Json:
    """The loader itself, which a cluster's nodes mount."""
    source = resources.files("jupyter_kuberay").joinpath("serving", "loader.py").read_text(encoding="utf-8")
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": LOADER_CONFIG_MAP}, "data": {f"{LOADER_MODULE}.py": source}}


def _pod_with_loader(pod: P, env: dict[str, str | SecretKey]) -> P:
    path = pod.env.get("PYTHONPATH", "")
    if isinstance(path, SecretKey):
        raise InvalidSpec(
            "env['PYTHONPATH'] comes from a Secret, so published code cannot be added to it.", "Give its value, or leave it out."
        )
    joined = f"{path}:{LOADER_PATH}" if path else LOADER_PATH
    return pod.changed(env=_ALIKE | pod.env | env | {"PYTHONPATH": joined}, volumes=(*pod.volumes, _LOADER_VOLUME))


def _pod_without_loader(pod: P) -> P:
    env = {
        name: value for name, value in pod.env.items() if name not in (BEARER_VARIABLE, *_GUARDED) and (name, value) not in _ALIKE.items()
    }
    path = env.get("PYTHONPATH")
    if isinstance(path, str):
        rest = path.removesuffix(LOADER_PATH).removesuffix(":")
        env = env | {"PYTHONPATH": rest} if rest else {name: value for name, value in env.items() if name != "PYTHONPATH"}
    return pod.changed(env=env, volumes=tuple(volume for volume in pod.volumes if volume.name != _LOADER_VOLUME.name))


def _template(pod: Pod, container: Json, restricted: bool) -> Json:
    spec: Json = {"containers": [container]} | ({"securityContext": _RESTRICTED_POD} if restricted else {})
    if pod.node_selector:
        spec["nodeSelector"] = dict(pod.node_selector)
    if pod.tolerated:
        spec["tolerations"] = [_toleration(toleration) for toleration in pod.tolerated]
    if pod.volumes:
        spec["volumes"] = [_volume(volume) for volume in pod.volumes]
    template: Json = {"metadata": {"labels": dict(pod.labels)}} if pod.labels else {}
    return apply(template | {"spec": spec}, pod.pod_overrides)


def _container(name: str, pod: Pod, image: str, gpus: dict[str, int], restricted: bool) -> Json:
    # Requests equal limits: what Ray counts is then what the pod has.
    amounts = {"cpu": str(pod.cpu), "memory": str(pod.memory)} | gpus
    container: Json = {"name": name} | ({"image": image} if image else {})
    container["resources"] = {"limits": amounts, "requests": dict(amounts)}
    # A pod then tells its last words itself, also when its log is gone with it.
    container["terminationMessagePolicy"] = "FallbackToLogsOnError"
    if restricted:
        container["securityContext"] = RESTRICTED_CONTAINER
    if pod.env:
        container["env"] = [_variable(name, value) for name, value in pod.env.items()]
    if pod.volumes:
        container["volumeMounts"] = [_mount(volume) for volume in pod.volumes]
    return container


def _variable(name: str, value: str | SecretKey) -> Json:
    if isinstance(value, SecretKey):
        return {"name": name, "valueFrom": {"secretKeyRef": {"name": value.secret, "key": value.key}}}
    return {"name": name, "value": value}


def _toleration(toleration: Toleration) -> Json:
    return {field: value for field, value in toleration.model_dump().items() if value}


def _volume(volume: Volume) -> Json:
    for field, (source, name) in _SOURCES.items():
        value = getattr(volume, field)
        if value is not None:
            return {"name": volume.name, source: {name: str(value)}}
    raise AssertionError(volume)  # the spec has made sure that there is one


def _mount(volume: Volume) -> Json:
    return {"name": volume.name, "mountPath": volume.mount_path} | ({"readOnly": True} if volume.read_only else {})


def _read_pod(template: Json) -> Json:
    spec = template["spec"]
    container = spec["containers"][0]
    fields: Json = {name: amount for name, amount in _limits(container).items() if name in ("cpu", "memory")}
    env = {variable["name"]: value for variable in container.get("env", []) if (value := _read_variable(variable)) is not None}
    return fields | {
        "node_selector": spec.get("nodeSelector") or {},
        "tolerations": tuple(_read_toleration(toleration) for toleration in spec.get("tolerations") or []),
        "labels": (template.get("metadata") or {}).get("labels") or {},
        "env": env,
        "volumes": tuple(_read_volumes(spec.get("volumes") or [], container.get("volumeMounts") or [])),
    }


def _limits(container: Json) -> Json:
    sizes = container.get("resources") or {}
    return (sizes.get("requests") or {}) | (sizes.get("limits") or {})


def _read_variable(variable: Json) -> str | SecretKey | None:
    """None for what only an override can say, such as a field of the pod."""
    if set(variable) == {"name", "value"}:
        return str(variable["value"])
    reference = (variable.get("valueFrom") or {}).get("secretKeyRef") or {}
    return SecretKey(secret=reference["name"], key=reference["key"]) if set(reference) == {"name", "key"} else None


def _read_toleration(toleration: Json) -> Toleration:
    known = {name: value for name, value in toleration.items() if name in Toleration.model_fields}
    return Toleration(**{"operator": "Equal", **known})  # Kubernetes' default


def _read_volumes(volumes: list[Json], mounts: list[Json]) -> list[Volume]:
    sources = {volume["name"]: volume for volume in volumes}
    read = []
    for mount in mounts:
        found = [
            (field, sources[mount["name"]][source].get(name))
            for field, (source, name) in _SOURCES.items()
            if source in sources.get(mount["name"], {})
        ]
        if len(found) == 1 and found[0][1] is not None and sum(other["name"] == mount["name"] for other in mounts) == 1:
            fields = {
                "name": mount["name"],
                "mount_path": mount["mountPath"],
                "read_only": bool(mount.get("readOnly")),
                found[0][0]: found[0][1],
            }
            read.append(Volume(**fields))
    return read


def _with_rest(pod: P, rest: Json) -> P:
    return pod.changed(pod_overrides=rest) if rest else pod
