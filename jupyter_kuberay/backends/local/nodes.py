"""From a manifest to the command lines of its nodes, as KubeRay would write them. Pure.

Sizes come from a group's ``rayStartParams``, else its ``resources``, else the limits of its
first container, else its requests (KubeRay: common/pod.go). What KubeRay leaves to the
pod (addresses, ports, the temporary folder) is given by this machine.
"""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jupyter_kuberay.accelerators import NVIDIA, TPU, is_counted_by_kuberay

Json = dict[str, Any]

HEAD = "head"
SIMULATED = "jupyter-kuberay/simulated-gpus"
# Not 127.0.0.1, for which Ray puts the address of a network card that a laptop may lose any minute.
LOOPBACK = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"

# What a manifest may say to `ray start`; the rest is about a pod's network and disk, and ours to say.
_PASSED = ("system-config", "enable-object-reconstruction", "no-monitor", "object-spilling-directory")
_MINIMUM_STORE = 80 * 2**20  # bytes; Ray refuses less than 75 MiB
_SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18, "m": 10**-3}
_SUFFIXES |= {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", 1)}


@dataclass(frozen=True)
class Group:
    """The head, or a worker group, in numbers."""

    name: str
    replicas: int = 1
    cpus: int | None = None  # None: as many as Ray finds
    gpus: int = 0
    memory: int | None = None  # bytes; for Ray to give out, not a limit
    resources: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)  # mount path to ConfigMap
    options: Mapping[str, str] = field(default_factory=dict)
    gpu_resource: str = NVIDIA


def head_group(spec: Json) -> Group:
    """The head of a RayCluster's spec."""
    return _group(HEAD, 1, spec.get("headGroupSpec") or {})


def worker_groups(spec: Json) -> list[Group]:
    """The worker groups of a RayCluster's spec, with the number of nodes wanted now."""
    groups = []
    for group in spec.get("workerGroupSpecs") or []:
        wanted = 0 if group.get("suspend") else max(int(group.get("replicas") or 0), int(group.get("minReplicas") or 0))
        if (most := group.get("maxReplicas")) is not None:
            wanted = min(wanted, int(most))
        groups.append(_group(group["groupName"], wanted * int(group.get("numOfHosts") or 1), group))
    return groups


def _group(name: str, replicas: int, spec: Json) -> Group:
    template = (spec.get("template") or {}).get("spec") or {}
    container = (template.get("containers") or [{}])[0]
    params = {key: unquoted(str(value)) for key, value in (spec.get("rayStartParams") or {}).items()}
    own = {key: str(value) for key, value in (spec.get("resources") or {}).items()}
    asked = container.get("resources") or {}
    limits, requests = asked.get("limits") or {}, asked.get("requests") or {}
    cpus = params.get("num-cpus") or own.pop("CPU", None) or limits.get("cpu") or requests.get("cpu")
    memory = params.get("memory") or own.pop("memory", None) or limits.get("memory")
    gpu_resource = next((key for key in limits if is_counted_by_kuberay(key) and key != TPU), NVIDIA)
    gpus = params.get("num-gpus") or own.pop("GPU", None) or limits.get(gpu_resource) or 0
    resources = {key: quantity(value) for key, value in own.items() if key not in ("CPU", "memory", "GPU")}
    if "resources" in params:
        resources |= json.loads(params["resources"])
    return Group(
        name=name,
        replicas=replicas,
        cpus=None if cpus is None else math.ceil(quantity(cpus)),
        gpus=math.ceil(quantity(gpus)),
        memory=None if memory is None else math.ceil(quantity(memory)),
        resources=resources,
        labels=spec.get("labels") or {},
        environment={entry["name"]: str(entry["value"]) for entry in container.get("env") or [] if entry.get("value") is not None},
        mounts=_mounts(template, container),
        options={key: value for key, value in params.items() if key in _PASSED},
        gpu_resource=gpu_resource,
    )


def _mounts(template: Json, container: Json) -> dict[str, str]:
    maps = {volume["name"]: volume["configMap"]["name"] for volume in template.get("volumes") or [] if volume.get("configMap")}
    return {mount["mountPath"]: maps[mount["name"]] for mount in container.get("volumeMounts") or [] if mount["name"] in maps}


def quantity(value: Any) -> float:
    """A Kubernetes quantity as a number: '500m' is 0.5, '1Ki' is 1024. ValueError for what is none."""
    found = re.fullmatch(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([a-zA-Z]{0,2})", str(value).strip())
    if not found or found[2] not in _SUFFIXES:
        raise ValueError(f"{value!r} is no quantity")
    return float(found[1]) * _SUFFIXES[found[2]]


def unquoted(value: str) -> str:
    """A rayStartParam as a shell would hand it to `ray start`."""
    try:
        return shlex.split(value)[0] if value[:1] in ("'", '"') else value
    except (ValueError, IndexError):
        return value


def store_memory(group: Group, shared_memory: int, nodes: int) -> int:
    """Bytes for a node's object store: 30 % of its memory as in a pod, and its share of half of what is free here."""
    wanted = int(0.3 * group.memory) if group.memory else 2 * 2**30
    return max(_MINIMUM_STORE, min(wanted, shared_memory // (2 * max(nodes, 1))))


def head_command(group: Group, port: Callable[[str], int], temp_dir: str, store: int) -> list[str]:
    """The arguments of `ray` for a head whose ports are named by ``port``."""
    ports = {
        "--port": "gcs",
        "--ray-client-server-port": "client",
        "--dashboard-port": "dashboard",
        "--dashboard-agent-listen-port": "agent",
        "--dashboard-agent-grpc-port": "agent-grpc",
        "--object-manager-port": "object-manager",
        "--node-manager-port": "node-manager",
        "--runtime-env-agent-port": "runtime-env",
        "--metrics-export-port": "metrics",
    }
    named = [f"{option}={port(name)}" for option, name in ports.items()]
    fixed = [f"--temp-dir={temp_dir}", "--dashboard-host=127.0.0.1", "--include-dashboard=true", "--disable-usage-stats"]
    return ["start", "--head", *_common(group, store), *named, *fixed]


def worker_command(group: Group, gcs_port: int, name: str, store: int) -> list[str]:
    """The arguments of `ray` for a worker that joins the head at ``gcs_port``."""
    # All workers share the head's folder of logs, which one log monitor reads; every port is one that is free.
    address = [f"--address={LOOPBACK}:{gcs_port}", f"--node-name={name}", "--include-log-monitor=false"]
    return ["start", *address, *_common(group, store), "--dashboard-agent-listen-port=0"]


def _common(group: Group, store: int) -> list[str]:
    sizes: dict[str, Any] = {"num-cpus": group.cpus, "num-gpus": group.gpus, "memory": group.memory, "object-store-memory": store}
    if group.resources:
        sizes["resources"] = json.dumps(dict(group.resources))
    if group.labels:
        sizes["labels"] = ",".join(f"{key}={value}" for key, value in sorted(group.labels.items()))
    # Ray's own range is one for all clusters of a machine, and a raylet looks for a port that is free well before it is bound: of two
    # that start at once, workers and agents would end, and with an agent its node. One that the kernel gives is nobody else's.
    sizes |= {"min-worker-port": 0, "max-worker-port": 0}
    given = [f"--{key}={value}" for key, value in {**group.options, **sizes}.items() if value is not None]
    return ["--block", f"--node-ip-address={LOOPBACK}", "--log-color=false", *given]


_OF_JUPYTER = re.compile(r"RAY_.*|JPY_.*|JUPYTER_TOKEN|JUPYTERHUB_.*|JUPYTER_KUBERAY_.*|MPLBACKEND|PYDEVD_.*|KERNEL_.*|COLAB_.*|GRPC_.*")


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Of the creator's environment, what is the cluster's business too: no tokens of Jupyter, no address of another Ray."""
    return {key: value for key, value in environment.items() if not _OF_JUPYTER.fullmatch(key)}


def environment(
    group: Group, base: Mapping[str, str], own: Mapping[str, str], folder_of: Callable[[str], str], first_path: str = ""
) -> dict[str, str]:
    """What a node's processes find in their environment; ``own`` is ours and wins.

    ``folder_of`` tells where the files of a ConfigMap lie here; ``first_path`` goes before PYTHONPATH.
    """
    given = {}
    for key, value in group.environment.items():
        for mount, config_map in group.mounts.items():
            value = _moved(value, mount, folder_of(config_map))
        given[key] = value
    whole = {**base, **given, **own}
    if first_path:
        whole["PYTHONPATH"] = ":".join(part for part in (first_path, whole.get("PYTHONPATH", "")) if part)
    return whole


def _moved(value: str, mount: str, folder: str) -> str:
    return re.sub(rf"(?<![^:=,; ]){re.escape(mount.rstrip('/'))}(?=[/:=,; ]|$)", lambda _: folder, value)
