"""What runs on a kept cluster ends when it is told to, whatever happens at the same moment."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jupyter_kuberay.backends.local.store import Kept, Store
from jupyter_kuberay.backends.local.tenants import JobTenant, _Tenant


class Idle(_Tenant):
    kind = "RayService"
    steps = 0

    async def _step(self, kept: Kept) -> float:
        self.steps += 1
        return 60


@pytest.fixture
def tenant(tmp_path: Path) -> Any:
    store = Store(tmp_path)
    store.create({"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "bob-1"}, "spec": {}})
    return lambda: Idle(store, "bob-1", SimpleNamespace())


# The end comes so many turns of the loop after the news: before, while, or after it is taken up.
@pytest.mark.asyncio
@pytest.mark.parametrize("turns", range(6))
async def test_a_tenant_that_is_cancelled_as_it_is_woken_ends(tenant: Any, turns: int) -> None:
    kept = tenant()
    while not kept.steps:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    kept.wake()
    for _ in range(turns):
        await asyncio.sleep(0)
    kept.cancel()
    done, _ = await asyncio.wait([kept.task], timeout=5)
    assert done and kept.task.cancelled()


@pytest.mark.asyncio
@pytest.mark.parametrize("failure", [None, ("HeadFailed", "The head ended.")])
async def test_a_jobs_deadline_holds_also_while_its_cluster_does_not_come_or_has_failed(tmp_path: Path, failure: Any) -> None:
    store, deadline = Store(tmp_path), {"op": "add", "path": "/spec/activeDeadlineSeconds"}
    spec = {"entrypoint": "true", "rayClusterSpec": {}, "activeDeadlineSeconds": 1000}
    store.create({"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "bob-1"}, "spec": spec})
    kept = JobTenant(store, "bob-1", SimpleNamespace(name="bob-1-abcde", block=None, failure=failure))
    while not store.read("RayJob", "bob-1").status.get("startTime"):
        await asyncio.sleep(0)
    store.patch("RayJob", "bob-1", [{**deadline, "value": 1}])
    kept.wake()
    async with asyncio.timeout(30):
        await kept.task
    told = store.read("RayJob", "bob-1").status
    assert (told["jobDeploymentStatus"], told["reason"]) == ("Failed", "DeadlineExceeded")
    assert told["endTime"] and told["rayClusterName"] == "bob-1-abcde"
