"""How much a service is asked, where its workers take requests, too."""

from __future__ import annotations

import asyncio
import textwrap
import urllib.request
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import pytest

from jupyter_kuberay.backends.base import DASHBOARD_PORT, SERVE_PORT
from jupyter_kuberay.backends.dashboard import Dashboard
from jupyter_kuberay.backends.kuberay import KubeRayBackend, rights
from jupyter_kuberay.errors import Unreachable
from jupyter_kuberay.faces.server.traffic import samples
from jupyter_kuberay.metering import proxies
from jupyter_kuberay.observation import Kind
from jupyter_kuberay.publishing import publish
from jupyter_kuberay.spec import ClusterSpec, HeadSpec, WorkerGroup
from jupyter_kuberay.status import service_status

from .conftest import MakeNamespace
from .people import Person

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(500)]

APP = """
    from ray import serve

    @serve.deployment(ray_actor_options={"num_cpus": 0.5})
    class Hello:
        async def __call__(self, request):
            return "Hello"

    app = Hello.bind()
"""


@asynccontextmanager
async def asked(url: str) -> AsyncIterator[None]:
    """About ten times a second, until the context ends."""

    async def ask() -> None:
        while True:
            with suppress(OSError):
                await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=10).read())
            await asyncio.sleep(0.1)

    task = asyncio.create_task(ask())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_requests_that_a_workers_proxy_takes_are_counted_with_those_of_the_heads(
    alice: Person, make_namespace: MakeNamespace, image: str, tmp_path: Path
) -> None:
    (tmp_path / "hello.py").write_text(textwrap.dedent(APP))
    backend = KubeRayBackend(namespace=make_namespace(alice, rights.rules()), kubeconfig=str(alice.kubeconfig))
    # The head takes no replica, so that the worker has it, and with it a proxy.
    head = HeadSpec(cpu="1", memory="2Gi", ray_start_params={"num-cpus": "0"})
    workers = (WorkerGroup(name="w", cpu="1", memory="2Gi"),)
    cluster = ClusterSpec(name="hello", image=image, ray_version=version("ray"), head=head, worker_groups=workers)
    try:
        await publish(backend, "hello", app=f"{tmp_path}/hello.py:app", model="m", cluster=cluster)
        seen = await backend.get(Kind.SERVICE, "hello")
        below = service_status(seen).cluster
        async with backend.reach(below, DASHBOARD_PORT) as at:
            nodes = proxies(await Dashboard(at.host, at.port, at.token).applications())
        assert sorted(bool(ip) for ip in nodes.values()) == [False, True], "there are two proxies: the head's, and the worker's"
        worker = max(nodes.values())
        with pytest.raises(Unreachable, match="no running pod"):
            async with backend.reach_worker(below, "10.255.255.254", SERVE_PORT):
                pass
        async with (
            backend.reach_worker(below, worker, SERVE_PORT) as at,
            asked(f"http://{at.address}/"),
            asyncio.timeout(120),
            aclosing(samples(backend, lambda: seen, 5.0)) as traffic,
        ):
            told = await anext(each async for each in traffic if each.p95_ms is not None)
        assert told.requests_per_s is not None and 0 < told.requests_per_s <= 12
        assert told.p95_ms is not None and 0 < told.p95_ms < 10_000
    finally:
        await backend.close()
