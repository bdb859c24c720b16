"""Why a cluster is not well, in one sentence, on a real Kubernetes. None of these needs a Ray that runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from jupyter_kuberay.backends.kuberay import KubeRayBackend
from jupyter_kuberay.client import Client
from jupyter_kuberay.config import KubeRay
from jupyter_kuberay.errors import Conflict, Forbidden, NotFound
from jupyter_kuberay.spec import ClusterSpec, HeadSpec, WorkerGroup
from jupyter_kuberay.status import ClusterStatus, Phase
from tests.testbed.faults import Testbed

from .conftest import MakeNamespace
from .people import Person

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(300)]

RULES = yaml.safe_load((Path(__file__).parents[2] / "deploy" / "role.yaml").read_text())["rules"]
NOWHERE = "registry.invalid/ray:2.58.0-py311"


@pytest_asyncio.fixture
async def client(alice: Person, make_namespace: MakeNamespace) -> AsyncIterator[Client]:
    backend = KubeRayBackend(namespace=make_namespace(alice, RULES), kubeconfig=str(alice.kubeconfig))
    yield Client(backend, KubeRay(user="alice"))
    await backend.close()


def spec(name: str = "one", *, image: str, **more: Any) -> ClusterSpec:
    return ClusterSpec(**{"name": name, "image": image, "head": HeadSpec(cpu="100m", memory="512Mi")} | more)


async def caused(client: Client, name: str, *words: str, seconds: float = 60) -> ClusterStatus:
    """The status in which the cause has these words."""

    def told(now: ClusterStatus) -> bool:
        seen.append(now)
        return now.cause is not None and all(word in now.cause.what for word in words)

    seen: list[ClusterStatus] = []
    try:
        return await client.wait(name, until=told, timeout=seconds)
    except Exception as error:
        raise AssertionError(f"no cause has {words}; the last was {seen[-1].cause if seen else None}") from error


async def test_an_image_that_cannot_be_pulled_is_named(client: Client):
    await client.up(spec(image=NOWHERE), wait=False)
    status = await caused(client, "one", NOWHERE)
    assert status.phase in (Phase.PENDING, Phase.STARTING)
    assert "image" in status.cause.remedy.lower()


async def test_what_lacks_for_a_worker_is_named_with_how_many_nodes_lack_it(client: Client, image: str):
    many = WorkerGroup(name="gpu", gpus=64, cpu="100m", memory="128Mi")
    await client.up(spec(image=image, worker_groups=(many,)), wait=False)
    status = await caused(client, "one", "1 of 1 gpu worker", "cannot be placed", "nvidia.com/gpu", seconds=120)
    assert "0/1" in status.cause.what and status.cause.remedy


async def test_a_quota_that_leaves_no_room_for_the_head_is_named(client: Client, admin: Person, image: str):
    namespace = await client.backend.api.namespace()
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few", "namespace": namespace}}
    admin.create({**quota, "spec": {"hard": {"limits.cpu": "50m"}}})
    await asyncio.sleep(2)  # a quota counts when its controller has seen it
    await client.up(spec(image=image), wait=False)
    status = await caused(client, "one", "quota 'few'", "limits.cpu=100m")
    assert "quota" in status.cause.remedy


async def test_what_the_operator_refuses_is_told_though_only_an_event_says_so(client: Client, image: str):
    bad = {"workerGroupSpecs": [{"groupName": "workers", "minReplicas": 5, "maxReplicas": 2}]}
    await client.up(spec(image=image, worker_groups=(WorkerGroup(replicas=1),), overrides=bad), wait=False)
    status = await client.wait("one", until=lambda now: now.phase is Phase.FAILED, timeout=60)
    assert "minReplicas" in status.cause.what and "operator" in status.cause.remedy


async def test_an_operator_that_does_not_run_is_told_after_ten_seconds_and_nothing_is_lost_by_it(
    client: Client, image: str, testbed: Testbed
):
    await asyncio.to_thread(testbed.operator.stop)
    await client.up(spec(image=NOWHERE), wait=False)
    async with asyncio.timeout(40):
        while "operator" not in ((await client.cluster("one")).cause or NoCause).what.lower():
            await asyncio.sleep(1)
    assert (await client.cluster("one")).phase is Phase.PENDING
    await asyncio.to_thread(testbed.operator.start)
    await caused(client, "one", NOWHERE, seconds=120)


class NoCause:
    what = ""


async def test_of_two_who_bring_up_one_name_at_once_both_get_the_same_cluster_or_one_is_told(client: Client, image: str):
    other = Client(KubeRayBackend(namespace=await client.backend.api.namespace(), kubeconfig=client.backend._where[2]), client.settings)
    same = await asyncio.gather(*(one.up(spec("same", image=image, suspend=True), wait=False) for one in (client, other)))
    assert {status.name for status in same} == {"same"}
    differing = [
        one.up(spec("differing", image=image, suspend=True, worker_groups=(WorkerGroup(replicas=count),)), wait=False)
        for one, count in ((client, 1), (other, 2))
    ]
    results = await asyncio.gather(*differing, return_exceptions=True)
    (told,) = [result for result in results if isinstance(result, Exception)]
    assert isinstance(told, Conflict) and "replicas" in told.message
    await other.close()


async def test_a_cluster_that_is_deleted_while_it_starts_goes_and_can_be_made_again(client: Client, image: str):
    await client.up(spec(image=NOWHERE), wait=False)
    await caused(client, "one", "")
    await client.down("one", timeout=120)
    with pytest.raises(NotFound):
        await client.cluster("one")
    await client.up(spec(image=NOWHERE), wait=False)


async def test_up_survives_an_api_server_that_is_killed_meanwhile(client: Client, image: str, testbed: Testbed):
    going = asyncio.create_task(client.up(spec(image=NOWHERE), timeout=90))
    await asyncio.sleep(1)
    await caused(client, "one", NOWHERE)
    await asyncio.to_thread(testbed.apiserver.kill)
    await asyncio.sleep(3)
    assert not going.done()
    await asyncio.to_thread(testbed.apiserver.start)
    await client.down("one", wait=False)
    with pytest.raises(NotFound, match="was deleted meanwhile"):
        await going


async def test_a_cluster_that_another_tool_made_is_listed_and_marked(client: Client, alice: Person):
    namespace = await client.backend.api.namespace()
    container = {"name": "ray", "image": NOWHERE}
    head = {"rayStartParams": {}, "template": {"spec": {"containers": [container]}}}
    theirs = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "theirs", "namespace": namespace}}
    alice.create({**theirs, "spec": {"headGroupSpec": head, "suspend": True}})
    (status,) = await client.clusters()
    assert (status.name, status.foreign) == ("theirs", True)


async def test_who_may_not_create_is_told_before_anything_is_waited_for(alice: Person, make_namespace: MakeNamespace, image: str):
    rules = [{"apiGroups": ["ray.io"], "resources": ["rayclusters"], "verbs": ["get", "list", "watch"]}]
    backend = KubeRayBackend(namespace=make_namespace(alice, rules), kubeconfig=str(alice.kubeconfig))
    with pytest.raises(Forbidden, match="may not create"):
        await Client(backend, KubeRay(user="alice")).up(spec(image=image))
    await backend.close()
