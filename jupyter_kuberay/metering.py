"""What a service's processes count and export for Prometheus, read once: Ray Serve's own metrics and those of the application."""

from __future__ import annotations

import asyncio
import http.client
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from jupyter_kuberay.address import service
from jupyter_kuberay.backends.base import DASHBOARD_PORT, METRICS_PORT, Backend
from jupyter_kuberay.backends.dashboard import Dashboard
from jupyter_kuberay.errors import KubeRayError, Unreachable
from jupyter_kuberay.observation import Endpoint, Json
from jupyter_kuberay.status import service_status

# Serve's, and what applications count by ray.util.metrics; Ray puts its own name before all of them.
PREFIXES = ("ray_serve_", "ray_jupyter_kuberay_")
_METRICS_S = 5.0
_LONGEST_METRICS = 32 << 20
_GZIP = 31  # zlib's name for it
# They name the process that counted, which is no part of what was counted.
_PROCESS = frozenset(
    {"Component", "JobId", "NodeAddress", "SessionName", "Version", "WorkerId", "actor_id", "node_id", "node_ip_address", "pid"}
)


@dataclass(frozen=True)
class Sample:
    """One number of a metric, added up over all processes that export it."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


async def metrics(backend: Backend, name: str, prefixes: tuple[str, ...] = PREFIXES) -> list[Sample]:
    """What all nodes of a service export under names that begin so. Ray's processes tell their counts every 10 s.

    Raises
    ------
    NotFound
        There is no such service.
    Unreachable
        It has no cluster that answers now.
    """
    seen = await service(backend, name)
    cluster = service_status(seen).cluster
    if not cluster:
        raise Unreachable(f"Service {name!r} has no cluster now.", "Wait until it answers; its status tells why it does not.")
    async with backend.reach(cluster, DASHBOARD_PORT) as head:
        dashboard = Dashboard(head.host, head.port, head.token)
        serve, found = await asyncio.gather(dashboard.applications(), dashboard.nodes())
    ports = exporting(found)
    told = await asyncio.gather(*(_of_node(backend, cluster, ip, ports.get(node, METRICS_PORT)) for node, ip in nodes(serve).items()))
    return added([sample for text in told for sample in parsed(text, prefixes)])


def proxies(serve: Json) -> dict[str, str]:
    """The nodes that take requests, each of which counts its own: their addresses by their ids, "" for the head's. Pure."""
    head = (serve.get("controller_info") or {}).get("node_id")
    return {node: "" if node == head else str(details.get("node_ip") or "?") for node, details in (serve.get("proxies") or {}).items()}


def nodes(serve: Json) -> dict[str, str]:
    """The nodes that have a part in serving, by proxies or replicas: their addresses by their ids, "" for the head's. Pure."""
    head = (serve.get("controller_info") or {}).get("node_id")
    found = {str(head or ""): "", **proxies(serve)}
    for application in (serve.get("applications") or {}).values():
        for deployment in (application.get("deployments") or {}).values():
            for replica in deployment.get("replicas") or ():
                if replica.get("node_id") != head and replica.get("node_ip"):
                    found[str(replica["node_id"])] = str(replica["node_ip"])
    return found


def exporting(found: Json) -> dict[str, int]:
    """The ports at which nodes export, by their ids, from what Ray's dashboard tells of its nodes. Pure."""
    told = [each.get("raylet") or {} for each in (found.get("data") or {}).get("summary") or ()]
    return {str(raylet.get("nodeId")): int(raylet["metricsExportPort"]) for raylet in told if raylet.get("metricsExportPort")}


def parsed(text: str, prefixes: tuple[str, ...]) -> list[Sample]:
    """The samples of Prometheus' text format whose names begin so. Pure; `ValueError` when it is malformed."""
    from prometheus_client.parser import text_string_to_metric_families

    # Of some hundred KB a few lines are wanted, and parsing is slow.
    lines = [line for line in text.split("\n") if line.startswith(prefixes)]
    families = text_string_to_metric_families("\n".join(lines) + "\n")
    return [Sample(sample.name, sample.value, sample.labels) for family in families for sample in family.samples]


def added(samples: Iterable[Sample]) -> list[Sample]:
    """Those of several processes together, ordered by name and labels. Pure."""
    total: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for sample in samples:
        labels = tuple(sorted((label, value) for label, value in sample.labels.items() if label not in _PROCESS))
        total[sample.name, labels] = total.get((sample.name, labels), 0.0) + sample.value
    return [Sample(name, value, dict(labels)) for (name, labels), value in sorted(total.items())]


async def _of_node(backend: Backend, cluster: str, ip: str, port: int) -> str:
    """What a node exports, a worker at ``port``; nothing where a worker cannot be asked."""
    try:
        async with backend.reach_worker(cluster, ip, port) if ip else backend.reach(cluster, METRICS_PORT) as at:
            return await asyncio.to_thread(exported, at)
    except (KubeRayError, OSError, http.client.HTTPException, zlib.error):
        if ip:
            return ""
        raise


def exported(at: Endpoint) -> str:
    """All that a node exports; some hundred KB, of which gzip leaves little to carry."""
    connection = http.client.HTTPConnection(at.host, at.port, timeout=_METRICS_S)
    try:
        connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip", "Connection": "close"})
        response = connection.getresponse()
        content = response.read(_LONGEST_METRICS)
        zipped = response.headers.get("Content-Encoding") == "gzip"
        if response.status != HTTPStatus.OK:
            return ""
        plain = zlib.decompressobj(_GZIP).decompress(content, _LONGEST_METRICS) if zipped else content
        return plain.decode("utf-8", "replace")
    finally:
        connection.close()
