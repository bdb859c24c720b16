"""How much a service is asked, and what answers, measured every few seconds over one connection."""

from __future__ import annotations

import asyncio
import http.client
import zlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack

from jupyter_kuberay.address import Address, address
from jupyter_kuberay.backends.base import DASHBOARD_PORT, METRICS_PORT, Backend
from jupyter_kuberay.backends.dashboard import Dashboard
from jupyter_kuberay.errors import KubeRayError, Unreachable
from jupyter_kuberay.faces.server import latencies
from jupyter_kuberay.faces.server.bodies import Traffic
from jupyter_kuberay.faces.server.latencies import Buckets
from jupyter_kuberay.metering import exported, proxies
from jupyter_kuberay.observation import Endpoint, Json, Observation
from jupyter_kuberay.status import service_status

_MOST_NODES = 32  # beyond that, asking each every few seconds is a monitoring system's work
_P95 = 0.95


class Rate:
    """Requests a second and their latency over the last 20 s, or 10 s to begin with.

    Ray's processes tell their counts every 10 s: between two looks that are
    closer to each other nothing seems to happen, and then twice as much. So
    whoever looks every 5 s compares with two or four looks ago.
    """

    def __init__(self) -> None:
        self._looks: deque[tuple[float, Buckets]] = deque(maxlen=5)

    def add(self, now: float, buckets: Buckets | None) -> tuple[float | None, float | None]:
        """What is known with one more look at ``now`` (in seconds): requests a second, and the 95th percentile in ms.

        None is what cannot be known; the percentile, too, while nobody asks.
        """
        if buckets is None or (self._looks and latencies.since(self._looks[-1][1], buckets) is None):
            self._looks.clear()
        if buckets is None:
            return None, None
        self._looks.append((now, buckets))
        back = {3: 3, 4: 3, 5: 5}.get(len(self._looks))
        if back is None:
            return None, None
        then, earlier = self._looks[-back]
        between = latencies.since(earlier, buckets)
        if between is None or now <= then:
            return None, None
        return round(latencies.requests(between) / (now - then), 2), _rounded(latencies.quantile(between, _P95))


def replicas(application: Json) -> tuple[int, int] | None:
    """How many replicas of an application run, and how many are wanted, from Serve's own account of it; None where it has none yet.

    Of its main deployment: the one that takes model and settings, which is what
    a person gave a number of replicas to when publishing. An ingress before it,
    or a helper behind it, has a number that nobody asked for; when one of these
    is not well, the service's status says so. Of an application that takes no
    settings it is the one that gets the requests.
    """
    deployments = application.get("deployments") or {}
    configured = (application.get("deployed_app_config") or {}).get("deployments") or ()
    named = [each.get("name") for each in configured if isinstance(each.get("user_config"), dict)]
    named.append((application.get("deployment_topology") or {}).get("ingress_deployment"))
    main: Json | None = next((deployments[name] for name in (*named, *deployments) if name in deployments), None)
    if main is None:
        return None
    there = main.get("replicas") or ()
    wanted = main.get("target_num_replicas")
    if not isinstance(wanted, int):
        wanted = (main.get("deployment_config") or {}).get("num_replicas")
    running = sum(each.get("state") == "RUNNING" for each in there)
    return (running, wanted) if isinstance(wanted, int) else None


class Meters:
    """What the nodes of a cluster have counted, asked over one connection each, which are open until the context ends."""

    def __init__(self, backend: Backend, cluster: str) -> None:
        self._backend, self._cluster = backend, cluster
        self._open: dict[str, tuple[AsyncExitStack, Endpoint]] = {}

    async def __aenter__(self) -> Meters:
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in [*self._open]:
            await self._let_go(node)

    async def read(self, at: Mapping[str, str]) -> Buckets | None:
        """The requests that all of these nodes have answered so far; None unless all of them tell, or when none knows of any.

        Parameters
        ----------
        at
            As `proxies` has them.
        """
        for node in self._open.keys() - at.keys():
            await self._let_go(node)
        if len(at) > _MOST_NODES:
            return None
        told = await asyncio.gather(*(self._counted(node, ip) for node, ip in at.items()))
        known = [buckets for buckets in told if buckets]
        return None if None in told or not known else latencies.total(known)

    async def _counted(self, node: str, ip: str) -> Buckets | None:
        """Of one node: None when it does not answer, nothing when it has not counted yet."""
        try:
            if node not in self._open:
                await self._reach(node, ip)
            at = self._open[node][1]
            return await asyncio.to_thread(lambda: latencies.read(exported(at))) or {}
        except (KubeRayError, OSError, http.client.HTTPException, zlib.error, ValueError):
            return None  # a pod made by somebody else need not have that port

    async def _reach(self, node: str, ip: str) -> None:
        backend, cluster = self._backend, self._cluster
        async with AsyncExitStack() as opened:
            reached = backend.reach_worker(cluster, ip, METRICS_PORT) if ip else backend.reach(cluster, METRICS_PORT)
            at = await opened.enter_async_context(reached)
            self._open[node] = opened.pop_all(), at

    async def _let_go(self, node: str) -> None:
        opened, _ = self._open.pop(node)
        await opened.aclose()


async def samples(backend: Backend, look: Callable[[], Observation | None], every: float) -> AsyncGenerator[Traffic, None]:
    """Of one service, every so many seconds, for as long as its cluster stays the same.

    Parameters
    ----------
    look
        The service as it is known now; None: it is gone.

    Raises
    ------
    KubeRayError
        Its cluster cannot be reached.
    """
    seen = look()
    if seen is None:
        return
    cluster = service_status(seen).cluster
    if not cluster:
        raise Unreachable(f"Service {seen.name!r} has no cluster now.", "Wait until it answers.")
    known: tuple[str, Address] | None = None
    async with AsyncExitStack() as opened:
        head = await opened.enter_async_context(backend.reach(cluster, DASHBOARD_PORT))
        meters = await opened.enter_async_context(Meters(backend, cluster))
        dashboard, rate = Dashboard(head.host, head.port, head.token), Rate()
        next_look = _now()
        while seen is not None and service_status(seen).cluster == cluster:
            config = str(seen.spec.get("serveConfigV2") or "")
            if known is None or known[0] != config:
                known = config, await address(backend, seen)
            at = known[1]
            serve = await _serve(dashboard)
            running, wanted = replicas((serve.get("applications") or {}).get(at.application) or {}) or (None, None)
            per_s, p95 = rate.add(_now(), await meters.read(proxies(serve)))
            yield Traffic(url=at.url, call=at.call, replicas=running, replicas_wanted=wanted, requests_per_s=per_s, p95_ms=p95)
            next_look = max(next_look + every, _now())
            await asyncio.sleep(next_look - _now())
            seen = look()


async def _serve(dashboard: Dashboard) -> Json:
    try:
        return await dashboard.applications()
    except KubeRayError:
        return {}


def _rounded(ms: float | None) -> float | None:
    return None if ms is None else round(ms, 1)


def _now() -> float:
    return asyncio.get_running_loop().time()
