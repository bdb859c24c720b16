"""What a service's processes count, on this machine, where all nodes have one address."""

from __future__ import annotations

import asyncio
import textwrap
import urllib.request
from pathlib import Path

import pytest

from jupyter_kuberay.backends.local import LocalBackend
from jupyter_kuberay.errors import Unreachable
from jupyter_kuberay.metering import metrics
from jupyter_kuberay.observation import Kind
from jupyter_kuberay.publishing import publish, reach, unpublish
from jupyter_kuberay.spec import ClusterSpec, HeadSpec, WorkerGroup
from jupyter_kuberay.status import service_status

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(240)]

APP = """
    from ray import serve

    @serve.deployment(ray_actor_options={"num_cpus": 0.5})
    class Hello:
        async def __call__(self, request):
            return "Hello"

    app = Hello.bind()
"""


async def test_what_a_replica_on_a_worker_counts_is_told(backend: LocalBackend, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(textwrap.dedent(APP))
    # The head takes no replica, so that the worker has it.
    head = HeadSpec(cpu="1", memory="1Gi", ray_start_params={"num-cpus": "0"})
    cluster = ClusterSpec(name="hello", head=head, worker_groups=(WorkerGroup(name="w", cpu="1", memory="1Gi"),))
    await publish(backend, "hello", app=f"{tmp_path}/hello.py:app", model="m", cluster=cluster)
    async with reach(backend, "hello") as url:
        for _ in range(3):
            await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=30).read())
    async with asyncio.timeout(60):
        while (counted := await answered(backend)) < 3:
            await asyncio.sleep(1)
    assert counted == 3
    below = service_status(await backend.get(Kind.SERVICE, "hello")).cluster
    for ip, port in (("10.0.0.1", 8080), ("127.0.0.2", 1)):
        with pytest.raises(Unreachable, match="No worker"):
            async with backend.reach_worker(below, ip, port):
                pass
    await unpublish(backend, "hello")


async def answered(backend: LocalBackend) -> float:
    """The requests that the replica has counted."""
    told = await metrics(backend, "hello", ("ray_serve_deployment_request_counter",))
    return sum(sample.value for sample in told if sample.labels.get("deployment") == "Hello")
