"""Resources as small as they can be, for tests of a backend, and how to wait for what becomes of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import aclosing
from importlib.metadata import version
from typing import Any

import yaml

from jupyter_kuberay.backends.base import Backend
from jupyter_kuberay.observation import Bundle, Change, ChangeType, Json, Kind, Observation

WAIT_S = 200.0  # a machine that others use too may need ten times as long as a quiet one
LABEL = "jupyter-kuberay/name"
LOADER = "/etc/jupyter-kuberay/loader"

SERVE_APPLICATION = """
from ray import serve

@serve.deployment
class Greeting:
    def reconfigure(self, settings):
        self.settings = settings

    async def __call__(self, request):
        return self.settings["words"]

app = Greeting.bind()
"""


def template(limits: Json, **spec: Any) -> Json:
    """A pod template with one container."""
    # Where there are no images, nodes run what this process has installed.
    image = os.environ.get("JUPYTER_KUBERAY_TEST_IMAGE", "")
    container: Json = {"name": "ray", "resources": {"limits": limits}} | ({"image": image} if image else {})
    return {"spec": {"containers": [container], **spec}}


def cluster_spec(workers: int = 0, *, gpus: int = 0, suspend: bool = False) -> Json:
    limits = {"cpu": "1", "memory": "1Gi"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    group = {
        "groupName": "small",
        "replicas": workers,
        "minReplicas": 0,
        "maxReplicas": 8,
        "numOfHosts": 1,  # what an API server adds by itself
        "rayStartParams": {},
        "template": template(limits),
    }
    head = {"rayStartParams": {}, "template": template({"cpu": "2", "memory": "2Gi"})}
    spec = {"rayVersion": version("ray"), "authOptions": {"mode": "token"}, "headGroupSpec": head, "workerGroupSpecs": [group]}
    return spec | ({"suspend": True} if suspend else {})


def cluster(name: str, workers: int = 0, *, gpus: int = 0, simulated: bool = True, suspend: bool = False, **labels: str) -> Bundle:
    """A RayCluster. Suspended, it starts nothing."""
    annotations = {"jupyter-kuberay/simulated-gpus": "true"} if simulated else {}
    metadata = {"name": name, "labels": {LABEL: name, **labels}, "annotations": annotations}
    resource = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": metadata,
        "spec": cluster_spec(workers, gpus=gpus, suspend=suspend),
    }
    return Bundle(resource=resource)


def job(name: str, entrypoint: str, cluster_name: str = "", **spec: Any) -> Bundle:
    """A RayJob on a cluster that is there, or else on one of its own."""
    place: Json = {"clusterSelector": {"ray.io/cluster": cluster_name}} if cluster_name else {"rayClusterSpec": cluster_spec()}
    whole = {"entrypoint": entrypoint, "submissionMode": "HTTPMode", **place, **spec}
    return Bundle(resource={"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": name}, "spec": whole})


def serve_config(words: str, import_path: str = "greeting:app") -> str:
    deployment = {"name": "Greeting", "num_replicas": 1, "user_config": {"words": words}, "ray_actor_options": {"num_cpus": 0.1}}
    application = {"name": "greeting", "route_prefix": "/", "import_path": import_path, "deployments": [deployment]}
    return yaml.safe_dump({"applications": [application]})


def service(name: str, words: str = "hello", *, suspend: bool = False) -> Bundle:
    """A RayService whose code comes from a ConfigMap."""
    spec = cluster_spec()
    pod = spec["headGroupSpec"]["template"]["spec"]
    pod["containers"][0] |= {"env": [{"name": "PYTHONPATH", "value": LOADER}], "volumeMounts": [{"name": "code", "mountPath": LOADER}]}
    pod["volumes"] = [{"name": "code", "configMap": {"name": f"{name}-code"}}]
    whole = {"serveConfigV2": serve_config(words), "rayClusterConfig": spec} | ({"suspend": True} if suspend else {})
    resource = {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": name, "labels": {LABEL: name}}, "spec": whole}
    code = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-code"}, "data": {"greeting.py": SERVE_APPLICATION}}
    return Bundle(resource=resource, config_maps=(code,))


def revision(name: str, owner: Observation, data: Json) -> Bundle:
    metadata = owner.resource["metadata"]
    reference = {"apiVersion": "ray.io/v1", "kind": "RayService", "name": metadata["name"], "uid": metadata["uid"]}
    resource = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": name, "ownerReferences": [reference]}}
    return Bundle(resource=resource | {"data": data, "revision": 1})


def condition(seen: Observation, kind: str) -> Json:
    found = [each for each in seen.status.get("conditions") or [] if each["type"] == kind]
    return found[0] if found else {"status": "Unknown", "reason": "", "message": ""}


def is_ready(seen: Observation) -> bool:
    """Whether the head and all wanted workers of a RayCluster are ready."""
    wanted = sum(group["replicas"] for group in seen.spec["workerGroupSpecs"])
    ready = [node for node in seen.nodes if node.ready]
    heads = [node for node in ready if node.group == "head"]
    return len(heads) == 1 and len(ready) == wanted + 1 and len(seen.nodes) == len(ready)


async def until(backend: Backend, kind: Kind, name: str, reached: Callable[[Observation], bool], timeout: float = WAIT_S) -> Observation:
    """The first observation of a resource for which ``reached`` is true."""
    last: Observation | None = None
    try:
        async with asyncio.timeout(timeout), aclosing(backend.watch(kind)) as changes:  # type: ignore[type-var]
            async for change in changes:
                if change.seen is not None and change.seen.name == name and change.type is not ChangeType.DELETED:
                    last = change.seen
                    if reached(last):
                        return last
    except TimeoutError:
        raise AssertionError(f"{kind} {name} did not get there within {timeout} s; it is {last}") from None
    raise AssertionError("a watch ended by itself")


async def gone(backend: Backend, kind: Kind, name: str, timeout: float = WAIT_S) -> None:
    """Delete a resource and wait until the watch says that it is gone."""
    async with asyncio.timeout(timeout), aclosing(backend.watch(kind)) as changes:  # type: ignore[type-var]
        async for change in changes:
            if change.type is ChangeType.SYNCED:
                await backend.delete(kind, name)
            if change.type is ChangeType.DELETED and change.seen is not None and change.seen.name == name:
                return


async def told(backend: Backend, kind: Kind, selector: dict[str, str] | None = None) -> list[Change]:
    """What a watch begins with."""
    changes: list[Change] = []
    async with asyncio.timeout(WAIT_S), aclosing(backend.watch(kind, selector)) as stream:  # type: ignore[type-var]
        async for change in stream:
            changes.append(change)
            if change.type is ChangeType.SYNCED:
                return changes
    raise AssertionError("a watch ended by itself")
