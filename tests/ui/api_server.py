"""An HTTP server on loopback that answers as a Kubernetes API server with KubeRay does: as slowly, or as unwillingly, as asked.

For what a panel does about an API server, not for what Kubernetes does; that is tests/kubernetes.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from jupyter_kuberay.manifest import cluster_bundle
from jupyter_kuberay.spec import ClusterSpec, HeadSpec, WorkerGroup

NAMESPACE, USER = "alice-space", "alice"


class ApiServer:
    """One in a thread of its own.

    Attributes
    ----------
    pause
        Seconds before each object of a list.
    forbidden
        Plurals that nobody may look at.
    asked
        Each request's method and path with its query, in order.
    """

    def __init__(self, clusters: int) -> None:
        self.pause, self.forbidden = 0.0, frozenset[str]()
        self.asked: list[str] = []
        self.port = 0
        self._items = {
            "rayclusters": [_cluster(number) for number in range(clusters)],
            "pods": [_pod(number) for number in range(clusters)],
        }
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()

    def kubeconfig(self, path: Path) -> Path:
        """Written to ``path``, for who is to find this server."""
        server = {"name": "here", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
        user = {"name": USER, "user": {"token": "a-token-of-tests"}}
        context = {"name": "here", "context": {"cluster": "here", "user": USER, "namespace": NAMESPACE}}
        told = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [server],
            "users": [user],
            "contexts": [context],
        }
        path.write_text(yaml.safe_dump(told))
        return path

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path_qs}")
        if answer := self._known().get(request.path):
            return web.json_response(answer, status=201 if request.method == "POST" else 200)
        plural = request.path.rpartition("/")[2]
        if request.method != "GET" or f"/namespaces/{NAMESPACE}/" not in request.path:
            return _refused(404, f"the server could not find the requested resource {request.path}")
        if plural in self.forbidden:
            return _refused(403, f'{plural} is forbidden: User "{USER}" cannot list resource "{plural}" in API group "ray.io"')
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        if request.query.get("watch"):
            await self._watched(response, plural)
        else:
            await self._listed(response, plural)
        return response

    def _known(self) -> dict[str, Any]:
        """Answers by path."""
        rules = [] if self.forbidden else [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
        return {
            "/version": {"gitVersion": "v1.34.0"},
            "/apis": {"groups": [{"name": "ray.io", "versions": [{"groupVersion": "ray.io/v1"}]}]},
            "/apis/authentication.k8s.io/v1/selfsubjectreviews": {"status": {"userInfo": {"username": USER}}},
            "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews": {"status": {"resourceRules": rules, "incomplete": False}},
            f"/api/v1/namespaces/{NAMESPACE}": {"metadata": {"name": NAMESPACE}, "status": {"phase": "Active"}},
        }

    async def _listed(self, response: web.StreamResponse, plural: str) -> None:
        await response.write(b'{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"10"},"items":[')
        for number, item in enumerate(self._items.get(plural, [])):
            await asyncio.sleep(self.pause)
            await response.write((b"," if number else b"") + json.dumps(item).encode() + b"\n")
        await response.write(b"]}\n")

    async def _watched(self, response: web.StreamResponse, plural: str) -> None:
        """All that there is, the bookmark that ends it, and then nothing: a streamed list."""
        for item in self._items.get(plural, []):
            await asyncio.sleep(self.pause)
            await response.write(json.dumps({"type": "ADDED", "object": item}).encode() + b"\n")
        metadata = {"resourceVersion": "10", "annotations": {"k8s.io/initial-events-end": "true"}}
        await response.write(json.dumps({"type": "BOOKMARK", "object": {"metadata": metadata}}).encode() + b"\n")
        await self._end.wait()

    async def _serve(self, begun: threading.Event) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        begun.set()
        await self._end.wait()
        await runner.cleanup()

    @contextmanager
    def serving(self) -> Iterator[ApiServer]:
        begun = threading.Event()
        thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve(begun)), daemon=True)
        thread.start()
        assert begun.wait(10)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._end.set)
            thread.join(10)


def _refused(status: int, message: str) -> web.Response:
    reason = {403: "Forbidden", 404: "NotFound"}[status]
    return web.json_response({"kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": status}, status=status)


def _cluster(number: int) -> dict[str, Any]:
    """As large as a real one."""
    name = f"cluster-{number:03}"
    spec = ClusterSpec(
        name=name,
        user=USER,
        image="example.com/ray:1",
        ray_version="2.58.0",
        head=HeadSpec(),
        worker_groups=(WorkerGroup(gpus=1, replicas=2),),
    )
    resource = cluster_bundle(spec).resource
    metadata = {"uid": f"uid-{number}", "resourceVersion": "5", "generation": 1, "creationTimestamp": "2026-11-01T00:00:00Z"}
    ready = {"type": "HeadPodReady", "status": "True", "reason": "HeadPodRunningAndReady", "message": ""}
    status = {"state": "ready", "observedGeneration": 1, "desiredWorkerReplicas": 2, "readyWorkerReplicas": 2, "conditions": [ready]}
    return resource | {"metadata": resource["metadata"] | {"namespace": NAMESPACE} | metadata, "status": status}


def _pod(number: int) -> dict[str, Any]:
    cluster = _cluster(number)
    labels = {"ray.io/cluster": f"cluster-{number:03}", "ray.io/node-type": "head", "ray.io/group": "headgroup"}
    metadata = {
        "name": f"cluster-{number:03}-head",
        "namespace": NAMESPACE,
        "uid": f"pod-{number}",
        "resourceVersion": "6",
        "labels": labels,
    }
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": metadata | {"creationTimestamp": "2026-11-01T00:00:00Z"},
        "spec": cluster["spec"]["headGroupSpec"]["template"]["spec"],
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
