"""A kernel and a cluster on Kubernetes: attached through the API server, and what becomes of it when pods go."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from jupyter_kuberay.attach import attached
from jupyter_kuberay.backends.kuberay import KubeRayBackend
from jupyter_kuberay.client import Client
from jupyter_kuberay.cluster import Cluster
from jupyter_kuberay.config import KubeRay
from jupyter_kuberay.errors import Unreachable
from jupyter_kuberay.loop import run_sync
from jupyter_kuberay.spec import ClusterSpec, HeadSpec, WorkerGroup
from jupyter_kuberay.status import ClusterStatus, Phase
from tests.testbed.faults import Testbed

from .people import Person, dissolve, grant, namespace_named

pytestmark = pytest.mark.timeout(400)

RULES = yaml.safe_load((Path(__file__).parents[2] / "deploy" / "role.yaml").read_text())["rules"]
MINUTES = 300.0


@pytest.fixture(scope="module")
def client(admin: Person, alice: Person, _namespaces: list[str]) -> Iterator[Client]:
    namespace = f"jupyter-kuberay-attach-{uuid.uuid4().hex[:6]}"
    admin.create(namespace_named(namespace))
    admin.create(*grant(namespace, alice, RULES))
    _namespaces.append(namespace)
    client = Client(KubeRayBackend(namespace=namespace, kubeconfig=str(alice.kubeconfig)), KubeRay(user="alice"))
    yield client
    run_sync(client.close())
    dissolve(admin, namespace)


@pytest.fixture(scope="module")
def cluster(client: Client, image: str) -> Iterator[Cluster]:
    group = WorkerGroup(name="gpu", cpu="1", memory="1Gi", gpus=1)
    spec = ClusterSpec(name="alice-1", image=image, head=HeadSpec(cpu="1", memory="2Gi"), worker_groups=(group,))
    yield Cluster.up(spec, client=client, timeout=MINUTES)
    if held := attached():
        held.detach()


def pods(person: Person, cluster: Cluster, kind: str) -> list[str]:
    namespace = run_sync(cluster._client.backend.api.namespace())  # type: ignore[attr-defined]
    selector = f"--selector=ray.io/cluster={cluster.name},ray.io/node-type={kind}"
    return [each["metadata"]["name"] for each in person.read("pods", f"--namespace={namespace}", selector)["items"]]


def delete(person: Person, cluster: Cluster, pod: str) -> None:
    namespace = run_sync(cluster._client.backend.api.namespace())  # type: ignore[attr-defined]
    person.kubectl("delete", "pod", pod, f"--namespace={namespace}", "--grace-period=0", "--force", "--wait=false")


def test_tasks_run_on_the_workers_gpu_and_functions_whole_on_the_cluster(cluster: Cluster):
    import ray

    cluster.attach()
    assert ray.get(ray.remote(num_gpus=1)(lambda: ray.get_gpu_ids()).remote(), timeout=120)
    assert cluster.run(sum, [1, 2, 3]) == 6


def test_many_megabytes_come_through_the_tunnel_whole(cluster: Cluster):
    import ray

    cluster.attach()
    some = bytes(range(256)) * 4 * 2**16
    assert ray.get(ray.put(some)) == some


def test_a_worker_that_is_gone_is_told_until_it_is_back(cluster: Cluster, admin: Person):
    phases: list[Phase] = []
    (worker,) = pods(admin, cluster, "worker")

    async def watched() -> None:
        def back(now: ClusterStatus) -> bool:
            phases.append(now.phase)
            names = {node.name for node in now.nodes if node.group == "gpu" and node.ready}
            return now.phase is Phase.READY and bool(names) and worker not in names

        waiting = asyncio.create_task(cluster._client.wait(cluster.name, until=back, timeout=MINUTES))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(delete, admin, cluster, worker)
        await waiting

    run_sync(watched())
    assert Phase.DEGRADED in phases and phases[-1] is Phase.READY


def test_an_api_server_that_is_away_for_some_seconds_costs_no_attachment(cluster: Cluster, testbed: Testbed):
    """The tunnel leads through it, so Ray's connection breaks; the head is there all the time."""
    import ray

    attachment = cluster.attach()
    kept = ray.put("kept")
    testbed.apiserver.kill()
    time.sleep(4)
    testbed.apiserver.start()
    assert ray.get(ray.remote(lambda: 42).remote(), timeout=120) == 42
    assert ray.get(kept) == "kept" and attachment.alive


def test_a_head_that_is_gone_fails_calls_clearly_and_attaching_again_works_when_another_is_there(cluster: Cluster, admin: Person):
    import ray

    attachment = cluster.attach()
    assert ray.get(ray.remote(lambda: 42).remote(), timeout=120) == 42
    (head,) = pods(admin, cluster, "head")
    delete(admin, cluster, head)
    deadline = time.monotonic() + 60
    while attachment.alive:
        assert time.monotonic() < deadline, "the loss was not noticed"
        time.sleep(0.05)
    with pytest.raises(Unreachable, match=r"connection to cluster 'alice-1' is lost.*Attach again"):
        ray.put(1)

    def another(now: ClusterStatus) -> bool:
        return now.phase is Phase.READY and head not in {node.name for node in now.nodes}

    run_sync(cluster._client.wait(cluster.name, until=another, timeout=MINUTES))
    again = cluster.attach()
    assert again is not attachment
    assert ray.get(ray.remote(lambda: 42).remote(), timeout=120) == 42
