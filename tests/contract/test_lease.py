"""A borrowed cluster goes when whoever borrowed it does, however that happens."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from jupyter_kuberay.backends.base import Backend
from jupyter_kuberay.backends.local import LocalBackend
from jupyter_kuberay.client import Client
from jupyter_kuberay.config import KubeRay
from jupyter_kuberay.errors import Conflict, Failed, KubeRayError, NotFound
from jupyter_kuberay.lease import LEASE, Lease, bundle, sweep_up
from jupyter_kuberay.observation import ChangeType, Kind
from jupyter_kuberay.spec import ClusterSpec, HeadSpec
from jupyter_kuberay.status import ClusterStatus

from .conftest import NAME
from .resources import WAIT_S, job, until

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(500)]

GRACE = 12.0
Fresh = Callable[[str], str]


@pytest.fixture
def client(backend: Backend) -> Client:
    return Client(backend, KubeRay(user="tester"))


def spec(name: str) -> ClusterSpec:
    return ClusterSpec(name=name, head={"cpu": "1", "memory": "2Gi"}, image=os.environ.get("JUPYTER_KUBERAY_TEST_IMAGE", ""))


def lease(client: Client, name: str, **more: Any) -> Lease:
    return Lease(client, spec(name), purpose="a test", **{"grace": GRACE, "beat": 2.0, "timeout": WAIT_S, **more})


async def left(backend: Backend, name: str) -> list[str]:
    """What there is of a lease: its job, and clusters of it."""
    jobs = [seen.name for seen in await backend.list(Kind.JOB, {LEASE: "true"}) if seen.name == name]
    return jobs + [seen.name for seen in await backend.list(Kind.CLUSTER) if seen.name.startswith(name)]


async def until_gone(backend: Backend, cluster: str) -> None:
    async with asyncio.timeout(WAIT_S), aclosing(backend.watch(Kind.CLUSTER)) as changes:  # type: ignore[type-var]
        there = False
        async for change in changes:
            if change.seen is not None and change.seen.name == cluster:
                there = change.type is not ChangeType.DELETED
            if not there and change.type in (ChangeType.SYNCED, ChangeType.DELETED):
                return


def somebody_else(backend: Backend, name: str, ready: bool) -> str:
    """A program that borrows a cluster, says its name when it is ``ready`` or before, and works on."""
    if NAME == "local":
        made = f"LocalBackend(__import__('pathlib').Path({str(backend.store.data_dir)!r}))"  # type: ignore[attr-defined]
    else:
        context, namespace, kubeconfig = backend._where  # type: ignore[attr-defined]
        made = f"KubeRayBackend({context!r}, {namespace!r}, {kubeconfig!r})"
    return textwrap.dedent(f"""
        import asyncio
        from jupyter_kuberay.backends.{NAME} import {made.partition("(")[0]}
        from jupyter_kuberay.client import Client
        from jupyter_kuberay.config import KubeRay
        from jupyter_kuberay.lease import Lease

        def told(status, _):
            if status.nodes and (status.usable or not {ready}):
                print(status.name, flush=True)

        async def work():
            client = Client({made}, KubeRay(user="tester"))
            async with Lease(client, {spec(name).model_dump()!r}, grace={GRACE}, beat=2.0, progress=told):
                await asyncio.Event().wait()

        asyncio.run(work())
    """)


async def test_it_lives_for_as_long_as_it_is_held_and_goes_when_it_is_left(backend: Backend, client: Client, fresh: Fresh):
    told: list[ClusterStatus] = []
    async with lease(client, fresh("held"), progress=lambda status, _: told.append(status)) as held:
        assert told[-1].name == held.name and told[-1].usable
        began = await until(backend, Kind.JOB, held.job, lambda seen: bool(seen.status.get("startTime")))
        first = int(began.spec["activeDeadlineSeconds"])
        # Well beyond what it was given at first, and the job that waits has begun.
        beats = await until(
            backend,
            Kind.JOB,
            held.job,
            lambda seen: int(seen.spec["activeDeadlineSeconds"]) > first + GRACE and seen.status.get("jobStatus") == "RUNNING",
        )
        assert beats.resource["metadata"]["annotations"]["jupyter-kuberay/purpose"] == "a test"
        status = await client.cluster(held.name)
        assert status.usable and status.owner == held.job and held.ended is None
        with pytest.raises(Conflict, match=f"belongs to '{held.job}'. It goes with that job"):
            await client.down(held.name)
    assert not await left(backend, held.job)


@pytest.mark.parametrize("ready", [False, True])
async def test_it_goes_when_its_owner_is_killed_and_the_next_one_sweeps_up(backend: Backend, client: Client, fresh: Fresh, ready: bool):
    name = fresh("orphan")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", somebody_else(backend, name, ready), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        async with asyncio.timeout(WAIT_S):
            cluster = (await process.stdout.readline()).decode().strip()
        assert cluster, (await process.stderr.read()).decode()
        assert (await client.cluster(cluster)).usable or not ready
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    await until_gone(backend, cluster)
    over = await until(backend, Kind.JOB, name, lambda seen: seen.status.get("jobDeploymentStatus") == "Failed")
    assert over.status["reason"] == "DeadlineExceeded", over.status
    await backend.create(job(living := fresh("living"), "sleep 60", "nobody"))
    assert await sweep_up(client) == [name]
    await client.wait_gone(name, kind=Kind.JOB)
    assert not await left(backend, name) and (await backend.get(Kind.JOB, living)).name == living


@pytest.mark.parametrize("phase", ["asked for", "made", "starting"])
async def test_a_bring_up_that_is_cancelled_leaves_nothing(backend: Backend, client: Client, fresh: Fresh, phase: str):
    name, begun = fresh("given-up"), asyncio.Event()
    held = lease(client, name, progress=lambda status, _: begun.set() if status.nodes or phase == "made" else None)
    opening = asyncio.ensure_future(held.open())
    if phase == "asked for":
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    else:
        async with asyncio.timeout(WAIT_S):
            await begun.wait()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert not await left(backend, name)


async def test_a_job_that_is_deleted_while_its_cluster_comes_up_is_said_to_be(backend: Backend, client: Client, fresh: Fresh):
    begun = asyncio.Event()
    held = lease(client, fresh("taken"), progress=lambda status, _: begun.set() if status.nodes else None)
    opening = asyncio.ensure_future(held.open())
    async with asyncio.timeout(WAIT_S):
        await begun.wait()
    await backend.delete(Kind.JOB, held.job)
    with pytest.raises(Failed, match="was deleted while its cluster came up"):
        await opening
    assert not await left(backend, held.job)


async def test_a_job_that_is_deleted_by_somebody_else_ends_the_lease_with_a_sentence(backend: Backend, client: Client, fresh: Fresh):
    ended: asyncio.Future[KubeRayError] = asyncio.get_running_loop().create_future()
    async with lease(client, fresh("taken"), beat=0.5, on_end=ended.set_result) as held:
        await backend.delete(Kind.JOB, held.job)
        async with asyncio.timeout(WAIT_S):
            why = await ended
        assert isinstance(why, NotFound) and f"cluster {held.name!r}" in why.message and held.ended is why
    assert not await left(backend, held.job)


async def test_one_that_kuberay_refuses_fails_with_its_reason_and_leaves_nothing(backend: Backend, client: Client, fresh: Fresh):
    held = lease(client, fresh("refused"))
    held._bundle.resource["spec"]["runtimeEnvYAML"] = "- no mapping"
    with pytest.raises(Failed, match=r"(?i)runtimeEnvYAML"):  # KubeRay writes it with a capital letter
        await held.open()
    assert not await left(backend, held.job)


async def test_a_cluster_that_cannot_start_goes_at_the_deadline_too(backend: Backend, client: Client, fresh: Fresh):
    if NAME == "local":
        backend = LocalBackend(backend.store.data_dir, head_memory=2**60)  # type: ignore[attr-defined]
    head = {"cpu": "1", "memory": "2Gi", "node_selector": {} if NAME == "local" else {"nowhere": "at-all"}}
    await backend.create(bundle(client.spec(spec(name := fresh("never")).changed(head=HeadSpec(**head))), grace=3))
    over = await until(backend, Kind.JOB, name, lambda seen: seen.status.get("jobDeploymentStatus") == "Failed")
    assert over.status["reason"] == "DeadlineExceeded", over.status
    await until_gone(backend, str(over.status["rayClusterName"]))
