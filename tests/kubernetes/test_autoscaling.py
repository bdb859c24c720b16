"""Ray adds and removes workers between minimum and maximum, as tasks need them, and the status tells why not more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jupyter_kuberay.attach import attached
from jupyter_kuberay.backends.kuberay import KubeRayBackend, rights
from jupyter_kuberay.client import Client
from jupyter_kuberay.cluster import Cluster
from jupyter_kuberay.config import KubeRay
from jupyter_kuberay.loop import run_sync
from jupyter_kuberay.spec import ClusterSpec, HeadSpec, WorkerGroup
from jupyter_kuberay.status import ClusterStatus, Phase

from .conftest import MakeNamespace
from .people import Person

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

IDLE_S = 5


@pytest.fixture
def client(alice: Person, make_namespace: MakeNamespace) -> Iterator[Client]:
    client = Client(
        KubeRayBackend(namespace=make_namespace(alice, rights.rules()), kubeconfig=str(alice.kubeconfig)), KubeRay(user="alice")
    )
    yield client
    if held := attached():
        held.detach()
    run_sync(client.close())


def test_workers_come_for_tasks_up_to_the_maximum_and_go_when_they_are_idle(client: Client, image: str) -> None:
    import ray

    group = WorkerGroup(name="gpu", replicas=0, maximum=1, cpu="500m", memory="1Gi", gpus=1)
    head = HeadSpec(cpu="1", memory="2Gi")
    spec = ClusterSpec(name="elastic", image=image, autoscaling=True, worker_idle_timeout=IDLE_S, head=head, worker_groups=(group,))
    cluster = Cluster.up(spec, client=client, timeout=300)
    status = cluster.status()
    assert (status.phase, status.wanted, status.ready) == (Phase.READY, {"gpu": 0}, {"gpu": 0})
    cluster.attach()
    hold = ray.remote(num_gpus=1)(lambda seconds: __import__("time").sleep(seconds) or ray.get_gpu_ids())
    held = [hold.remote(8) for _ in range(2)]

    def grown(now: ClusterStatus) -> bool:
        return now.wanted == {"gpu": 1} and now.ready == {"gpu": 1}

    full = run_sync(client.wait("elastic", until=grown, timeout=180))
    # Two tasks want a GPU each, and the group may have one worker.
    assert full.notes == ("Group 'gpu' has its maximum of 1: Ray adds no more workers to it.",)
    assert [len(gpus) for gpus in ray.get(held, timeout=120)] == [1, 1]

    def shrunk(now: ClusterStatus) -> bool:
        return now.wanted == {"gpu": 0} and not any(node.group == "gpu" for node in now.nodes)

    empty = run_sync(client.wait("elastic", until=shrunk, timeout=180))
    assert empty.phase is Phase.READY and not empty.notes
