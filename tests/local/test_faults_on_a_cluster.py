"""kill -9 on parts of a cluster that goes on: it is mended, and said. One cluster for all."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from jupyter_kuberay.backends.base import CLIENT_PORT
from jupyter_kuberay.backends.local import LocalBackend
from jupyter_kuberay.backends.local.processes import created, marked
from jupyter_kuberay.errors import Unreachable
from jupyter_kuberay.observation import Kind, Observation
from tests.contract.resources import cluster, condition, gone, is_ready, job, until

from .conftest import ended, in_sessions, none_left, pids, sessions_of, supervisor_of, tidied, uid

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalBackend]:
    with ended(tmp_path_factory.mktemp("faults") / "data") as folder:
        async with tidied(folder) as backend:
            await backend.create(cluster("one", workers=2))
            yield backend


async def ready(backend: LocalBackend) -> Observation:
    return await until(backend, Kind.CLUSTER, "one", is_ready)


async def kill(mark: str, victim: str) -> None:
    """Kill -9 the one process with that mark and name, which may come a moment after its node is ready."""
    async with asyncio.timeout(60):
        while not (found := pids(mark, victim)):
            await asyncio.sleep(0.1)
    (pid,) = found
    os.kill(pid, signal.SIGKILL)


def created_by(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_workers_that_start_at_once_stay_and_every_process_of_a_cluster_can_be_told_by_its_mark(backend: LocalBackend):
    """Ray's processes rename themselves; the mark, which proves whose they are, must survive that."""
    seen = await ready(backend)
    assert not [event for event in seen.events if event.warning], "Ray lets two of them take the same sockets"
    sessions = sessions_of(uid(seen))
    async with asyncio.timeout(60):
        while not pids(uid(seen), "ray::DashboardAgent"):
            await asyncio.sleep(0.1)
    assert set(in_sessions(sessions)) <= set(marked(uid(seen)))


@pytest.mark.parametrize("victim", ["raylet/raylet", "launch", "ray::DashboardAgent"])
async def test_a_killed_worker_is_ended_whole_started_again_and_said(backend: LocalBackend, victim: str):
    seen = await ready(backend)
    worker = next(node for node in seen.nodes if node.group == "small")
    mark = f"{uid(seen)}/{worker.name}"
    before = set(marked(mark))
    await kill(mark, victim)

    def noticed(now: Observation) -> bool:
        return any(node.name == worker.name and node.restarts == worker.restarts + 1 for node in now.nodes)

    broken = await until(backend, Kind.CLUSTER, "one", noticed)
    assert not before & set(marked(mark)), "the rest of the node was ended"
    again = await ready(backend)
    event = next(event for event in again.events if event.reason == "BackOff")
    assert event.about == worker.name and event.warning
    (node,) = [node for node in broken.nodes if node.name == worker.name]
    assert node.ready or (node.reason in ("Error", "ContainerCreating") and (not node.message or "ended" in event.message))
    assert [node.name for node in again.nodes] == [node.name for node in seen.nodes]
    assert condition(again, "HeadPodReady")["status"] == "True"


async def test_a_killed_part_of_the_dashboard_comes_back(backend: LocalBackend):
    """They are forked, which is not how Ray starts them."""
    seen = await ready(backend)
    parts = pids(uid(seen), "ray-dashboard-")
    assert len(parts) > 5 and len({created_by(pid) for pid in parts}) == 1
    assert list(backend.store.bell.folder.glob("*/pymp-*/listener-*")), "what they leave is removed with Ray's temporary files"
    (pid,) = pids(uid(seen), "ray-dashboard-JobHead-0")
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(30):
        while not pids(uid(seen), "ray-dashboard-JobHead-1"):
            await asyncio.sleep(0.1)
    await backend.create(job("asked", "echo hello", "one"))
    await until(backend, Kind.JOB, "asked", lambda now: now.status.get("jobDeploymentStatus") == "Complete")


# With its agent a raylet goes, too, in all politeness, and without one a head would seem ready for ever.
@pytest.mark.parametrize(("victim", "told_of"), [("gcs_server", "gcs_server"), ("ray::DashboardAgent", "raylet")])
async def test_a_killed_head_fails_the_cluster_with_its_last_words_and_suspending_and_resuming_mends_it(
    backend: LocalBackend, victim: str, told_of: str
):
    seen = await ready(backend)
    ports, sessions = seen.status["endpoints"], sessions_of(uid(seen))
    await kill(f"{uid(seen)}/one-head", victim)
    failed = await until(backend, Kind.CLUSTER, "one", lambda now: now.status.get("state") == "failed")
    await none_left(uid(seen), sessions)
    told = condition(failed, "HeadPodReady")
    assert told["status"] == "False" and told["reason"] == "HeadFailed" and told_of in told["message"]
    assert failed.status["reason"] == told["message"] and not any(node.ready for node in failed.nodes)
    assert supervisor_of(backend, "one").alive
    with pytest.raises(Unreachable):
        async with backend.reach("one", CLIENT_PORT):
            pass

    # At once one after the other, as a person would: nobody waits in between.
    fewer = {"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 1}
    await backend.patch(Kind.CLUSTER, "one", [{"op": "add", "path": "/spec/suspend", "value": True}, fewer])
    await backend.patch(Kind.CLUSTER, "one", [{"op": "replace", "path": "/spec/suspend", "value": False}])
    again = await until(backend, Kind.CLUSTER, "one", is_ready)
    assert again.status["endpoints"] == ports, "on the same ports"
    assert "reason" not in again.status and again.status["state"] == "ready"


async def test_what_ray_does_not_end_of_a_job_that_is_deleted_is_ended(backend: LocalBackend):
    """Ray signals the processes that it sees below the job's shell, and takes the job for stopped."""
    mark = uid(await ready(backend))
    holds = "import ray, time; a = ray.remote(num_cpus=0)(type('Held', (), {})).remote(); time.sleep(998)"
    await backend.create(job("leaves", f'(python -c "{holds}" &); exec sleep 997', "one"))
    async with asyncio.timeout(60):
        while not pids(mark, "ray::Held"):
            await asyncio.sleep(0.1)
    await gone(backend, Kind.JOB, "leaves")
    async with asyncio.timeout(30):
        while pids(mark, "sleep 997") or pids(mark, "sleep(998)") or pids(mark, "ray::Held"):
            await asyncio.sleep(0.1)


async def test_a_killed_supervisor_is_noticed_at_the_next_look_its_processes_are_ended_and_a_patch_mends_it(backend: LocalBackend):
    seen = await ready(backend)
    birth, sessions = supervisor_of(backend, "one"), sessions_of(uid(seen))
    os.kill(birth.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        while created(birth.pid):
            await asyncio.sleep(0.01)
    found = await backend.get(Kind.CLUSTER, "one")
    await none_left(uid(seen), sessions)
    told = condition(found, "HeadPodReady")
    assert found.status["state"] == "failed" and told["reason"] == "SupervisorDied" and str(birth.pid) in told["message"]
    assert found.events[0].reason == "SupervisorDied" and {node.reason for node in found.nodes} == {"SupervisorDied"}
    assert not list(backend.store.bell.folder.glob("*/session*")), "Ray's temporary files are gone"

    await backend.patch(Kind.CLUSTER, "one", [{"op": "add", "path": "/spec/suspend", "value": True}])
    await backend.patch(Kind.CLUSTER, "one", [{"op": "replace", "path": "/spec/suspend", "value": False}])
    await until(backend, Kind.CLUSTER, "one", is_ready)
