"""kill -9, on every kind of process that there is: it is noticed, mended as far as can be, and said."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from jupyter_kuberay.backends.base import CLIENT_PORT, Backend
from jupyter_kuberay.backends.local import LocalBackend, supervision
from jupyter_kuberay.backends.local.files import write_json
from jupyter_kuberay.backends.local.processes import MARK, Birth, created, marked
from jupyter_kuberay.errors import Unreachable
from jupyter_kuberay.observation import Kind, Observation
from tests.contract.resources import cluster, condition, gone, is_ready, until

from .conftest import in_sessions, pids, sessions_of, supervisor_of, uid

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(600)]


async def none_left(mark: str, sessions: set[int], timeout: float = 2) -> None:
    """What has just been killed needs a moment to be gone."""
    async with asyncio.timeout(timeout):
        while marked(mark) or in_sessions(sessions):
            await asyncio.sleep(0.02)


async def up(backend: Backend, name: str, workers: int = 0) -> Observation:
    await backend.create(cluster(name, workers))
    return await until(backend, Kind.CLUSTER, name, is_ready)


async def test_a_killed_head_fails_the_cluster_with_its_last_words_and_suspending_and_resuming_mends_it(backend: LocalBackend):
    seen = await up(backend, "one", workers=1)
    ports, sessions = seen.status["endpoints"], sessions_of(uid(seen))
    (pid,) = pids(f"{uid(seen)}/one-head", "gcs_server")
    os.kill(pid, signal.SIGKILL)
    failed = await until(backend, Kind.CLUSTER, "one", lambda now: now.status.get("state") == "failed")
    await none_left(uid(seen), sessions)
    told = condition(failed, "HeadPodReady")
    assert told["status"] == "False" and told["reason"] == "HeadFailed" and "gcs_server" in told["message"]
    assert failed.status["reason"] == told["message"] and not any(node.ready for node in failed.nodes)
    assert supervisor_of(backend, "one").alive
    with pytest.raises(Unreachable):
        async with backend.reach("one", CLIENT_PORT):
            pass

    # At once one after the other, as a person would: nobody waits in between.
    await backend.patch(Kind.CLUSTER, "one", [{"op": "add", "path": "/spec/suspend", "value": True}])
    await backend.patch(Kind.CLUSTER, "one", [{"op": "replace", "path": "/spec/suspend", "value": False}])
    again = await until(backend, Kind.CLUSTER, "one", is_ready)
    assert again.status["endpoints"] == ports, "on the same ports"
    assert "reason" not in again.status and again.status["state"] == "ready"


async def test_a_killed_supervisor_is_noticed_at_the_next_look_its_processes_are_ended_and_a_patch_mends_it(backend: LocalBackend):
    seen = await up(backend, "one", workers=1)
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


async def test_the_death_of_a_supervisor_wakes_who_watches(backend: LocalBackend):
    await backend.create(cluster("one", workers=1))
    await until(backend, Kind.CLUSTER, "one", lambda seen: bool(seen.nodes))

    def died(seen: Observation) -> bool:
        return condition(seen, "HeadPodReady")["reason"] == "SupervisorDied"

    watching = asyncio.create_task(until(backend, Kind.CLUSTER, "one", died, timeout=20))
    await asyncio.sleep(0)
    os.kill(supervisor_of(backend, "one").pid, signal.SIGKILL)
    await watching


async def test_processes_end_with_their_supervisor_even_if_nobody_looks(backend: LocalBackend):
    seen = await backend.create(cluster("one"))
    async with asyncio.timeout(60):
        while not pids(uid(seen), "gcs_server"):
            await asyncio.sleep(0.05)
    sessions = sessions_of(uid(seen))
    os.kill(supervisor_of(backend, "one").pid, signal.SIGKILL)
    await none_left(uid(seen), sessions, timeout=30)


async def test_a_supervisor_that_is_told_to_end_ends_its_cluster_first(backend: LocalBackend):
    seen = await backend.create(cluster("one"))
    birth = supervisor_of(backend, "one")
    os.kill(birth.pid, signal.SIGTERM)
    async with asyncio.timeout(30):
        while birth.alive:
            await asyncio.sleep(0.02)
    assert not marked(uid(seen))
    assert condition(await backend.get(Kind.CLUSTER, "one"), "HeadPodReady")["reason"] == "SupervisorDied"


async def test_a_reused_process_id_is_never_touched(backend: LocalBackend):
    """As after a restart of the machine: the ids on record now belong to somebody else."""
    seen = await backend.create(cluster("one", suspend=True))
    birth = supervisor_of(backend, "one")
    os.kill(birth.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        while created(birth.pid):
            await asyncio.sleep(0.01)
    environment = {key: value for key, value in os.environ.items() if key != MARK}
    innocent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], env=environment)
    folder = backend.store.folder("RayCluster", "one")
    backend.store.write_status("RayCluster", "one", {"state": "ready"}, [{"name": "one-head", "group": "head", "ready": True}])
    write_json(folder / supervision.RECORD, Birth(innocent.pid, created(innocent.pid), "an earlier boot").json())
    try:
        found = await backend.get(Kind.CLUSTER, "one")
        assert condition(found, "HeadPodReady")["reason"] == "SupervisorDied"
        assert "started again" in condition(found, "HeadPodReady")["message"]
        await gone(backend, Kind.CLUSTER, "one")
        assert innocent.poll() is None, "it is somebody else's"
    finally:
        innocent.kill()
        innocent.wait()
    assert not marked(uid(seen))


async def test_deleting_a_cluster_whose_supervisor_died_leaves_nothing(backend: LocalBackend):
    seen = await backend.create(cluster("one"))
    os.kill(supervisor_of(backend, "one").pid, signal.SIGKILL)
    await gone(backend, Kind.CLUSTER, "one")
    assert not marked(uid(seen)) and not backend.store.folder("RayCluster", "one").exists()


async def test_what_runs_inside_a_cluster_does_not_count_as_the_cluster(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch):
    """A job may bring up a cluster of its own, and must not take it along when it ends."""
    monkeypatch.setenv(MARK, "some-other-uid/head")
    await backend.create(cluster("one", suspend=True))
    assert supervisor_of(backend, "one").pid not in marked("some-other-uid")
