"""The backend under test, by JUPYTER_KUBERAY_TEST_BACKEND: "local" unless it says otherwise."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from jupyter_kuberay.backends.base import Backend
from jupyter_kuberay.errors import NotFound
from jupyter_kuberay.observation import Kind

from .resources import cluster, gone, is_ready, until

NAME = os.environ.get("JUPYTER_KUBERAY_TEST_BACKEND", "local")

MakeBackend = Callable[[], Backend]


@pytest.fixture(scope="session")
def make_backend(tmp_path_factory: pytest.TempPathFactory) -> MakeBackend:
    """Makes one that sees the same world as the others: nothing is kept in a backend."""
    if NAME == "local":
        from jupyter_kuberay.backends.local import LocalBackend

        data_dir = Path(tmp_path_factory.mktemp("contract"))
        return lambda: LocalBackend(data_dir)
    if NAME == "kuberay":
        from jupyter_kuberay.backends.kuberay import KubeRayBackend

        # Of the kubeconfig that KUBECONFIG names: the user whose rights are enough has to be enough.
        return lambda: KubeRayBackend(namespace=os.environ.get("JUPYTER_KUBERAY_TEST_NAMESPACE", ""))
    raise pytest.UsageError(f"JUPYTER_KUBERAY_TEST_BACKEND is {NAME!r}; it can be local or kuberay.")


@pytest_asyncio.fixture
async def backend(make_backend: MakeBackend) -> AsyncIterator[Backend]:
    backend = make_backend()
    yield backend
    await backend.close()


@pytest_asyncio.fixture
async def fresh(backend: Backend) -> AsyncIterator[Callable[[str], str]]:
    """Gives names that nothing else has, and removes what has them in the end."""
    given: list[str] = []

    def fresh_name(stem: str) -> str:
        given.append(f"{stem}-{uuid.uuid4().hex[:6]}")
        return given[-1]

    yield fresh_name
    for kind in (Kind.JOB, Kind.SERVICE, Kind.CLUSTER, Kind.REVISION):
        for name in [seen.name for seen in await backend.list(kind) if seen.name in given]:
            try:
                await gone(backend, kind, name)
            except NotFound:
                continue


@pytest.fixture(scope="package")
def running(make_backend: MakeBackend) -> Iterator[str]:
    """The name of a cluster with one worker that runs, for tests that leave it as it is."""
    name = f"shared-{uuid.uuid4().hex[:6]}"

    async def up() -> None:
        backend = make_backend()
        await backend.create(cluster(name, workers=1, gpus=1))
        await until(backend, Kind.CLUSTER, name, is_ready)
        await backend.close()

    async def down() -> None:
        backend = make_backend()
        await gone(backend, Kind.CLUSTER, name)
        await backend.close()

    asyncio.run(up())
    yield name
    asyncio.run(down())
