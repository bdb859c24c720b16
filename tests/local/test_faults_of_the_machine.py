"""What a machine may lack: memory, GPUs, ports, room on its disk."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from pathlib import Path

import pytest

from jupyter_kuberay.backends.local import LocalBackend
from jupyter_kuberay.backends.local.processes import marked
from jupyter_kuberay.errors import Refused
from jupyter_kuberay.observation import Kind, Observation
from tests.contract.resources import cluster, condition, gone, is_ready, until

from .conftest import supervisor_of

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(600)]


async def test_without_memory_for_its_head_a_cluster_waits_and_says_how_much_is_missing(data_dir: Path):
    greedy = LocalBackend(data_dir, head_memory=2**50)
    await greedy.create(cluster("one"))
    seen = await until(greedy, Kind.CLUSTER, "one", lambda seen: any(node.reason for node in seen.nodes))
    (head,) = seen.nodes
    assert head.reason == "Unschedulable" and not head.ready
    assert head.message.startswith("0/1 nodes are available: 1 Insufficient memory.") and "1048576.0 GiB" in head.message
    assert condition(seen, "HeadPodReady")["reason"] == "Unschedulable"
    assert seen.events[0].reason == "FailedScheduling" and not marked(seen.resource["metadata"]["uid"])
    await gone(greedy, Kind.CLUSTER, "one")


async def test_workers_that_lack_a_gpu_or_memory_wait_while_the_others_run(data_dir: Path):
    """One head for all of it."""
    backend = LocalBackend(data_dir, worker_memory=2**30)
    bundle = cluster("one", workers=1, gpus=1, simulated=False)
    plain = {**bundle.resource["spec"]["workerGroupSpecs"][0], "groupName": "plain", "replicas": 1}
    plain["template"] = {"spec": {"containers": [{"name": "ray", "resources": {"limits": {"cpu": "1"}}}]}}
    bundle.resource["spec"]["workerGroupSpecs"].append(plain)
    await backend.create(bundle)

    def settled(seen: Observation) -> bool:
        by_group = {node.group: node for node in seen.nodes}
        return len(by_group) == 3 and by_group["head"].ready and by_group["plain"].ready and by_group["small"].reason == "Unschedulable"

    seen = await until(backend, Kind.CLUSTER, "one", settled)
    lacking = next(node for node in seen.nodes if node.group == "small")
    assert lacking.message == "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    assert condition(seen, "HeadPodReady")["status"] == "True" and condition(seen, "RayClusterProvisioned")["status"] == "False"

    # What only Kubernetes can do is said, and nothing else comes of it.
    steps = [{"op": "add", "path": "/spec/enableInTreeAutoscaling", "value": True}]
    steps += [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 0}]
    await backend.patch(Kind.CLUSTER, "one", steps)
    seen = await until(backend, Kind.CLUSTER, "one", lambda seen: len(seen.nodes) == 2 and seen.events[0].reason == "NotOnThisMachine")
    assert "Autoscaling" in seen.events[0].message and all(node.ready for node in seen.nodes)
    await gone(backend, Kind.CLUSTER, "one")


async def test_two_clusters_side_by_side_share_no_port_no_folder_and_no_process(backend: LocalBackend):
    names = ("one", "two")
    for name in names:
        await backend.create(cluster(name))
    seen = [await until(backend, Kind.CLUSTER, name, is_ready) for name in names]
    ports = [port for each in seen for port in each.status["endpoints"].values()]
    assert len(set(ports)) == len(ports) == 10
    uids = [each.resource["metadata"]["uid"] for each in seen]
    assert not set(marked(uids[0])) & set(marked(uids[1]))
    await gone(backend, Kind.CLUSTER, "one")
    assert is_ready(await backend.get(Kind.CLUSTER, "two")) and marked(uids[1]) and not marked(uids[0])


async def test_a_port_that_somebody_took_meanwhile_leads_to_others_after_a_resume(backend: LocalBackend):
    await backend.create(cluster("one", suspend=True))
    await backend.patch(Kind.CLUSTER, "one", [{"op": "replace", "path": "/spec/suspend", "value": False}])
    first = await until(backend, Kind.CLUSTER, "one", lambda seen: "endpoints" in seen.status)
    await backend.patch(Kind.CLUSTER, "one", [{"op": "replace", "path": "/spec/suspend", "value": True}])
    await until(backend, Kind.CLUSTER, "one", lambda seen: seen.status.get("state") == "suspended")
    with socket.socket() as busy:
        busy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        busy.bind(("127.0.0.1", int(first.status["endpoints"]["serve"])))
        busy.listen()
        await backend.patch(Kind.CLUSTER, "one", [{"op": "replace", "path": "/spec/suspend", "value": False}])
        second = await until(backend, Kind.CLUSTER, "one", lambda seen: "endpoints" in seen.status)
        assert not set(second.status["endpoints"].values()) & set(first.status["endpoints"].values())


async def test_ten_starts_in_a_row_all_find_their_place(backend: LocalBackend):
    """Only the first moments of each: what could collide is taken then.

    Each starts while the one before it lives. Those before that gave their ports back, which may be drawn again: of ten draws
    among 548 blocks two are alike 8 times in 100.
    """
    before: Observation | None = None
    for number in range(10):
        await backend.create(cluster(f"number-{number}"))
        seen = await until(backend, Kind.CLUSTER, f"number-{number}", lambda seen: "endpoints" in seen.status)
        assert len(set(seen.status["endpoints"].values())) == 5
        if before:
            assert not set(before.status["endpoints"].values()) & set(seen.status["endpoints"].values())
            await backend.patch(Kind.CLUSTER, before.name, [{"op": "add", "path": "/spec/suspend", "value": True}])
        before = seen


async def test_a_full_disk_neither_ends_a_supervisor_nor_leaves_half_a_status(backend: LocalBackend):
    await backend.create(cluster("one", suspend=True))
    await until(backend, Kind.CLUSTER, "one", lambda seen: seen.status.get("observedGeneration") == 1)
    birth = supervisor_of(backend, "one")
    before = resource.prlimit(birth.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(birth.pid, resource.RLIMIT_FSIZE, (10, before[1]))
    await backend.patch(Kind.CLUSTER, "one", [{"op": "add", "path": "/spec/enableInTreeAutoscaling", "value": True}])
    await asyncio.sleep(1.5)  # the supervisor tries once a second: nothing may come of it for as long as it cannot
    seen = await backend.get(Kind.CLUSTER, "one")
    assert birth.alive and seen.status["observedGeneration"] == 1 and seen.status["state"] == "suspended"
    assert not [path.name for path in backend.store.folder("RayCluster", "one").iterdir() if path.name.startswith(".")]
    resource.prlimit(birth.pid, resource.RLIMIT_FSIZE, before)
    seen = await until(backend, Kind.CLUSTER, "one", lambda seen: seen.status["observedGeneration"] == 2, timeout=10)
    assert seen.events[0].reason == "NotOnThisMachine", "what happened meanwhile was not lost"


async def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path):
    if os.getuid() == 0:
        closed = Path("/sys/kernel/jupyter-kuberay")
    else:
        (tmp_path / "closed").mkdir(mode=0o500)
        closed = tmp_path / "closed/data"
    backend = LocalBackend(closed)
    with pytest.raises(Refused, match=str(closed)):
        await backend.create(cluster("one"))
    assert await backend.list(Kind.CLUSTER) == []
