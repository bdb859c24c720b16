"""Resources that bring a cluster of their own."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Callable

import pytest

from jupyter_kuberay.backends.base import SERVE_PORT, Backend
from jupyter_kuberay.observation import Kind, Observation

from .resources import LABEL, condition, gone, job, serve_config, service, until

Fresh = Callable[[str], str]

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(600)]


def answers(seen: Observation) -> bool:
    return condition(seen, "Ready")["status"] == "True"


def application(seen: Observation) -> dict[str, str]:
    parts = [seen.status.get(key) or {} for key in ("activeServiceStatus", "pendingServiceStatus")]
    found = [(part.get("applicationStatuses") or {}).get("greeting") for part in parts]
    return next((each for each in found if each), {"status": "", "message": ""})


async def ask(address: str) -> str:
    def get() -> str:
        with urllib.request.urlopen(f"http://{address}/", timeout=20) as answer:
            return str(answer.read().decode())

    return await asyncio.to_thread(get)


async def test_a_service_answers_is_changed_in_place_tells_what_is_wrong_and_goes_with_its_cluster(backend: Backend, fresh: Fresh):
    name = fresh("service")
    await backend.create(service(name, "hello"))
    seen = await until(backend, Kind.SERVICE, name, answers)
    owned = seen.status["activeServiceStatus"]["rayClusterName"]
    cluster = await backend.get(Kind.CLUSTER, owned)
    assert cluster.labels["ray.io/originated-from-cr-name"] == name and cluster.labels[LABEL] == name
    assert cluster.resource["metadata"]["ownerReferences"][0]["name"] == name

    async with backend.reach(owned, SERVE_PORT) as at:
        assert await ask(at.address) == "hello"
        await backend.patch(Kind.SERVICE, name, [{"op": "replace", "path": "/spec/serveConfigV2", "value": serve_config("good bye")}])
        async with asyncio.timeout(60):
            while await ask(at.address) != "good bye":
                await asyncio.sleep(0.1)
    steady = await until(backend, Kind.SERVICE, name, lambda seen: seen.status.get("observedGeneration") == 2)
    assert steady.status["activeServiceStatus"]["rayClusterName"] == owned

    broken = serve_config("never", import_path="nowhere:app")
    await backend.patch(Kind.SERVICE, name, [{"op": "replace", "path": "/spec/serveConfigV2", "value": broken}])
    failed = await until(backend, Kind.SERVICE, name, lambda seen: application(seen)["status"] == "DEPLOY_FAILED")
    assert "nowhere" in application(failed)["message"]

    await gone(backend, Kind.SERVICE, name)
    assert owned not in [each.name for each in await backend.list(Kind.CLUSTER)]


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
