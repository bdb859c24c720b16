"""kill -9, on every kind of process that there is: it is noticed, mended as far as can be, and said."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from jupyter_kuberay.backends.local import LocalBackend, supervision
from jupyter_kuberay.backends.local.files import write_json
from jupyter_kuberay.backends.local.processes import MARK, Birth, created, marked
from jupyter_kuberay.observation import Kind, Observation
from tests.contract.resources import cluster, condition, gone, until

from .conftest import none_left, pids, sessions_of, supervisor_of, uid

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(600)]


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
