"""A service whose head is lost, with what it knows in a Redis: workers go on answering, and the next head takes over."""

from __future__ import annotations

import asyncio
import json
import textwrap
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path

import pytest

from jupyter_kuberay.address import reach
from jupyter_kuberay.backends.base import DASHBOARD_PORT, SERVE_PORT
from jupyter_kuberay.backends.dashboard import Dashboard
from jupyter_kuberay.backends.kuberay import KubeRayBackend, rights
from jupyter_kuberay.errors import KubeRayError, NotFound
from jupyter_kuberay.metering import proxies
from jupyter_kuberay.observation import Kind
from jupyter_kuberay.publishing import publish, unpublish
from jupyter_kuberay.spec import ClusterSpec, HeadSpec, SecretKey, WorkerGroup
from jupyter_kuberay.status import service_status
from tests.testbed import redis

from .conftest import MakeNamespace
from .people import Person

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(500)]

SOON_GONE = {"spec": {"terminationGracePeriodSeconds": 1}}
PASSWORD = "not-for-anybody-else"
APP = """
    import os
    from ray import serve

    @serve.deployment(ray_actor_options={"num_cpus": 0.5})
    class Hello:
        async def __call__(self, request):
            return {"replica": os.getpid()}

    app = Hello.bind()
"""


class Heard:
    """What a caller heard who asked about ten times a second."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.failures: list[str] = []


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Heard]:
    heard = Heard()

    def ask() -> int:
        with urllib.request.urlopen(url, timeout=10) as response:
            return int(json.load(response)["replica"])

    async def ask_on() -> None:
        while True:
            try:
                heard.answers.append(await asyncio.to_thread(ask))
            except OSError as error:
                heard.failures.append(f"{datetime.now(UTC):%X.%f}: {error}")
            await asyncio.sleep(0.1)

    task = asyncio.create_task(ask_on())
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def store(testbed: object) -> Iterator[str]:
    with redis.served(PASSWORD) as address:
        yield address


async def until_serve_answers(backend: KubeRayBackend, cluster: str) -> None:
    """Until the head's dashboard tells of a replica again."""
    async with asyncio.timeout(180):
        while True:
            try:
                async with backend.reach(cluster, DASHBOARD_PORT) as at:
                    found = await Dashboard(at.host, at.port, at.token).applications()
                if any(each.get("status") == "RUNNING" for each in (found.get("applications") or {}).values()):
                    return
            except KubeRayError:
                pass
            await asyncio.sleep(1)


async def until_answered(url: str) -> int:
    """The status of the first answer: a proxy comes a little after the dashboard that tells of it."""
    async with asyncio.timeout(120):
        while True:
            try:
                return int(await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=30).status))
            except (OSError, HTTPException):
                await asyncio.sleep(1)


async def test_workers_answer_while_there_is_no_head_and_go_on_under_the_next_one(
    admin: Person, alice: Person, make_namespace: MakeNamespace, image: str, store: str, tmp_path: Path
) -> None:
    (tmp_path / "hello.py").write_text(textwrap.dedent(APP))
    namespace = make_namespace(alice, rights.rules())
    metadata = {"name": "redis", "namespace": namespace}
    admin.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"password": PASSWORD}})
    backend = KubeRayBackend(namespace=namespace, kubeconfig=str(alice.kubeconfig))
    cluster = ClusterSpec(
        name="hello",
        image=image,
        ray_version=version("ray"),
        # Without CPUs for replicas, so that the only one is the worker's.
        head=HeadSpec(cpu="1", memory="2Gi", ray_start_params={"num-cpus": "0"}, pod_overrides=SOON_GONE),
        worker_groups=(WorkerGroup(name="w", cpu="1", memory="2Gi", pod_overrides=SOON_GONE),),
        redis=store,
        redis_password=SecretKey(secret="redis", key="password"),
    )
    try:
        await publish(backend, "hello", app=f"{tmp_path}/hello.py:app", model="m", cluster=cluster)
        below = service_status(await backend.get(Kind.SERVICE, "hello")).cluster
        async with backend.reach(below, DASHBOARD_PORT) as at:
            worker = max(proxies(await Dashboard(at.host, at.port, at.token).applications()).values())
        selected = f"ray.io/cluster={below},ray.io/node-type=head"
        old = admin.kubectl("get", "pods", "--namespace", namespace, "--selector", selected, "--output=name").strip()
        async with backend.reach_worker(below, worker, SERVE_PORT) as at:
            await until_answered(f"http://{at.address}/")  # the worker's proxy comes a little after the head's
            async with asking(f"http://{at.address}/") as heard:
                await asyncio.sleep(2)
                before = len(heard.answers)
                await asyncio.to_thread(admin.kubectl, "delete", "--namespace", namespace, old, "--grace-period=0", "--force")
                await asyncio.sleep(10)  # for so long there is no head in any case: KubeRay and Ray need 20 s to have one
                without = len(heard.answers) - before
                await until_serve_answers(backend, below)
        print(f"{len(heard.answers)} answers, of which {without} in the 10 s without a head; {len(heard.failures)} failures")
        assert heard.failures == []
        assert without > 20
        assert len(set(heard.answers)) == 1, "the replica that answered went on"
        new = admin.kubectl("get", "pods", "--namespace", namespace, "--selector", selected, "--output=name").strip()
        assert new and new != old
        assert service_status(await backend.get(Kind.SERVICE, "hello")).cluster == below, "no second cluster was made"
        async with reach(backend, "hello") as url:
            assert await until_answered(url) == 200
    finally:
        # Before its namespace: KubeRay takes what the head knew out of the Redis by a job, which a namespace that ends does not take.
        with suppress(NotFound):
            await unpublish(backend, "hello", timeout=120)
            assert not await backend.list(Kind.CLUSTER)
            assert not redis.keys(PASSWORD)
        await backend.close()
