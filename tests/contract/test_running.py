"""A cluster that runs: it can be reached, read, counted, and given jobs. The same one for all of these."""

from __future__ import annotations

import asyncio
import json
import random
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime, timedelta

import pytest
import yaml

from jupyter_kuberay.backends.base import CLIENT_PORT, DASHBOARD_PORT, GCS_PORT, METRICS_PORT, Backend
from jupyter_kuberay.carried import carried
from jupyter_kuberay.errors import NotFound, Unreachable
from jupyter_kuberay.observation import Endpoint, Kind, Usage

from .resources import cluster, condition, gone, is_ready, job, until

Fresh = Callable[[str], str]

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(600)]


def version(at: Endpoint, token: str) -> int:
    request = urllib.request.Request(
        f"http://{at.address}/api/version", headers={"x-ray-authorization": f"Bearer {token}"} if token else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            json.load(answer)
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


async def test_a_ready_cluster_shows_every_node_and_true_conditions(backend: Backend, running: str):
    seen = await backend.get(Kind.CLUSTER, running)
    assert sorted(node.group for node in seen.nodes) == ["head", "small"] and all(node.ready and node.started for node in seen.nodes)
    assert condition(seen, "HeadPodReady")["status"] == condition(seen, "RayClusterProvisioned")["status"] == "True"
    assert seen.status["state"] == "ready" and seen.status["readyWorkerReplicas"] == seen.status["desiredWorkerReplicas"] == 1


@pytest.mark.parametrize("port", [CLIENT_PORT, GCS_PORT, DASHBOARD_PORT, METRICS_PORT])
async def test_the_ports_of_kuberay_are_reached_wherever_they_are(backend: Backend, running: str, port: int):
    async with backend.reach(running, port) as at:
        _, writer = await asyncio.open_connection(at.host, at.port)
        writer.close()
        assert len(at.token) >= 32 and at.token not in repr(at)


async def test_the_head_tells_what_it_measures_in_prometheus_words(backend: Backend, running: str):
    def told() -> str:
        with urllib.request.urlopen(f"http://{at.address}/metrics", timeout=20) as answer:
            return str(answer.read().decode())

    async with backend.reach(running, METRICS_PORT) as at, asyncio.timeout(60):
        while "\nray_" not in await asyncio.to_thread(told):  # its processes tell every ten seconds
            await asyncio.sleep(0.5)


async def test_the_dashboard_wants_the_token(backend: Backend, running: str):
    async with backend.reach(running, DASHBOARD_PORT) as at:
        assert await asyncio.to_thread(version, at, at.token) == 200
        assert await asyncio.to_thread(version, at, "") in (401, 403)
        assert await asyncio.to_thread(version, at, "wrong") in (401, 403)


async def test_a_port_that_no_cluster_has_is_unreachable(backend: Backend, running: str):
    with pytest.raises(Unreachable):
        async with backend.reach(running, 4711):
            pass


async def counted(backend: Backend, name: str) -> Usage | None:
    try:
        return await backend.usage(name)
    except Unreachable:
        return None


async def test_use_is_told_as_ray_accounts_for_it(backend: Backend, running: str):
    async with asyncio.timeout(60):
        while (use := await counted(backend, running)) is None or use.cpus < 3:  # Ray sums up every few seconds
            await asyncio.sleep(0.5)
    assert (use.cpus, use.gpus) == (3, 1) and use.cpus_used == use.gpus_used == 0
    assert use.memory >= 3 * 2**30 and use.memory_used == 0


async def test_since_when_nothing_runs_is_told(backend: Backend, running: str, fresh: Fresh):
    async def idle(so: Callable[[datetime | None], bool]) -> datetime | None:
        async with asyncio.timeout(90), aclosing(backend.usages(running, 0.5)) as usages:
            return await anext(use.idle_since async for use in usages if so(use.idle_since))

    before = await idle(lambda since: since is not None)
    assert before is not None and before < backend.now()
    name = fresh("holds")
    holds = "import ray, time; a = ray.remote(num_cpus=1)(type('A', (), {})).remote(); time.sleep(999)"
    # By exec, since Ray overlooks what a shell has only just started when it stops a job, which only on one machine we can mend.
    await backend.create(job(name, f'exec python -c "{holds}"', running))
    await idle(lambda since: since is None)
    started = backend.now()
    await gone(backend, Kind.JOB, name)
    since = await idle(lambda since: since is not None)
    assert since is not None and since > max(started - timedelta(seconds=15), before)


async def test_the_log_of_each_node_can_be_read_and_cut(backend: Backend, running: str):
    nodes = (await backend.get(Kind.CLUSTER, running)).nodes
    for node in nodes:
        assert any("Ray runtime started" in line for line in [line async for line in backend.logs(running, node.name)])
    assert len([line async for line in backend.logs(running, tail=2)]) == 2
    with pytest.raises(NotFound):
        async for _ in backend.logs(running, "nobody"):
            pass


async def test_a_job_runs_on_a_cluster_that_is_there_and_its_output_is_kept(backend: Backend, running: str, fresh: Fresh):
    name = fresh("job")
    await backend.create(job(name, "python -c 'print(6*7)'", running))
    printed = [line async for line in backend.logs(name, kind=Kind.JOB, follow=True)]
    seen = await until(backend, Kind.JOB, name, lambda seen: seen.status.get("jobDeploymentStatus") == "Complete")
    assert "42" in printed and seen.status["jobStatus"] == "SUCCEEDED" and seen.status["rayClusterName"] == running
    assert "42" in [line async for line in backend.logs(name, kind=Kind.JOB)]


@pytest.mark.parametrize("size", [1_000, 140_000])
async def test_a_job_carries_its_files_along_to_all_that_it_starts(backend: Backend, running: str, fresh: Fresh, size: int):
    name = fresh("carried")
    main = "import beside, os, ray\nprint(ray.get(ray.remote(beside.size).remote()), 'JUPYTER_KUBERAY_CARRIED' in os.environ)\n"
    files = {"main.py": main, "beside.py": "import os\ndef size():\n    return os.path.getsize('data')\n"}
    data = {"data": random.Random(4711).randbytes(size)}
    entrypoint, variables = carried({path: text.encode() for path, text in files.items()} | data, ["python", "main.py"], everywhere=True)
    assert bool(variables) == (size > 100_000)
    more = {"runtimeEnvYAML": yaml.safe_dump({"env_vars": variables})} if variables else {}
    await backend.create(job(name, entrypoint, running, **more))
    printed = [line async for line in backend.logs(name, kind=Kind.JOB, follow=True)]
    assert f"{size} False" in printed


async def test_a_job_that_fails_says_with_what(backend: Backend, running: str, fresh: Fresh):
    name = fresh("failing")
    await backend.create(job(name, "python -c 'raise ValueError(4711)'", running))
    seen = await until(backend, Kind.JOB, name, lambda seen: seen.status.get("jobDeploymentStatus") == "Failed")
    assert seen.status["jobStatus"] == "FAILED" and "4711" in seen.status["message"]


async def test_a_job_that_is_deleted_stops(backend: Backend, running: str, fresh: Fresh):
    name = fresh("endless")
    await backend.create(job(name, "python -c 'import time; time.sleep(999)'", running))
    seen = await until(backend, Kind.JOB, name, lambda seen: seen.status.get("jobStatus") == "RUNNING")
    await gone(backend, Kind.JOB, name)
    async with backend.reach(running, DASHBOARD_PORT) as at, asyncio.timeout(60):
        request = urllib.request.Request(
            f"http://{at.address}/api/jobs/{seen.status['jobId']}", headers={"x-ray-authorization": f"Bearer {at.token}"}
        )
        while json.load(await asyncio.to_thread(urllib.request.urlopen, request))["status"] != "STOPPED":
            await asyncio.sleep(0.2)


async def test_a_job_with_a_cluster_of_its_own_takes_it_along_when_it_is_done(backend: Backend, fresh: Fresh):
    name = fresh("own")
    await backend.create(job(name, "python -c 'print(6*7)'", shutdownAfterJobFinishes=True))
    seen = await until(backend, Kind.JOB, name, lambda seen: seen.status.get("jobDeploymentStatus") == "Complete")
    owned = seen.status["rayClusterName"]
    async with asyncio.timeout(60):
        while owned in [each.name for each in await backend.list(Kind.CLUSTER)]:
            await asyncio.sleep(0.1)
    assert (await backend.get(Kind.JOB, name)).status["jobStatus"] == "SUCCEEDED"
    await gone(backend, Kind.JOB, name)


async def test_workers_come_and_go_as_asked_and_the_cluster_sleeps_and_wakes(backend: Backend, fresh: Fresh):
    """One cluster for all of it: each start takes a while."""
    name = fresh("breathing")
    await backend.create(cluster(name))
    await until(backend, Kind.CLUSTER, name, is_ready)
    async with backend.reach(name, CLIENT_PORT) as at:
        token = at.token

    replicas = "/spec/workerGroupSpecs/0/replicas"
    await backend.patch(Kind.CLUSTER, name, [{"op": "replace", "path": replicas, "value": 2}])
    # KubeRay counts some moments after the pods are ready, and leaves the number out while it is 0.
    await until(backend, Kind.CLUSTER, name, lambda seen: len(seen.nodes) == 3 and seen.status.get("readyWorkerReplicas") == 2)

    await backend.patch(Kind.CLUSTER, name, [{"op": "replace", "path": replicas, "value": 0}])
    await until(backend, Kind.CLUSTER, name, lambda seen: is_ready(seen) and len(seen.nodes) == 1)

    await backend.patch(Kind.CLUSTER, name, [{"op": "add", "path": "/spec/suspend", "value": True}])
    await until(backend, Kind.CLUSTER, name, lambda seen: condition(seen, "RayClusterSuspended")["status"] == "True" and not seen.nodes)
    with pytest.raises(Unreachable):
        async with backend.reach(name, CLIENT_PORT):
            pass

    await backend.patch(Kind.CLUSTER, name, [{"op": "replace", "path": "/spec/suspend", "value": False}])
    await until(backend, Kind.CLUSTER, name, is_ready)
    async with backend.reach(name, CLIENT_PORT) as at:
        assert at.token == token
