"""The backend under test, by JUPYTER_KUBERAY_TEST_BACKEND: "local" unless it says otherwise.

On Kubernetes all of it is done by somebody who has the rights of deploy/role.yaml in a namespace, and no others.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from jupyter_kuberay.backends.base import Backend
from jupyter_kuberay.errors import NotFound
from jupyter_kuberay.observation import Kind

from .resources import cluster, gone, is_ready, until

NAME = os.environ.get("JUPYTER_KUBERAY_TEST_BACKEND", "local")

MakeBackend = Callable[[], Backend]


ROLE = Path(__file__).parents[2] / "deploy" / "role.yaml"

if NAME == "kuberay":
    from tests.kubernetes.conftest import admin, alice, image, people  # noqa: F401 - fixtures of these tests, too
    from tests.kubernetes.people import grant, namespace_named


@pytest.fixture(scope="session")
def make_backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeBackend]:
    """Makes one that sees the same world as the others: nothing is kept in a backend."""
    if NAME == "local":
        from jupyter_kuberay.backends.local import LocalBackend

        data_dir = Path(tmp_path_factory.mktemp("contract"))
        yield lambda: LocalBackend(data_dir)
        return
    if NAME != "kuberay":
        raise pytest.UsageError(f"JUPYTER_KUBERAY_TEST_BACKEND is {NAME!r}; it can be local or kuberay.")
    from jupyter_kuberay.backends.kuberay import KubeRayBackend

    os.environ["JUPYTER_KUBERAY_TEST_IMAGE"] = request.getfixturevalue("image")
    administrator, user = request.getfixturevalue("admin"), request.getfixturevalue("alice")
    namespace = f"jupyter-kuberay-contract-{uuid.uuid4().hex[:6]}"
    administrator.create(namespace_named(namespace))
    administrator.create(*grant(namespace, user, yaml.safe_load(ROLE.read_text())["rules"]))
    yield lambda: KubeRayBackend(namespace=namespace, kubeconfig=str(user.kubeconfig))
    administrator.kubectl("delete", "namespace", namespace, "--timeout=180s")


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
