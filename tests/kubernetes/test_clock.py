"""A clock of this machine's that is ten minutes off changes nothing of what is told."""

from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime, timedelta, tzinfo

import pytest

from jupyter_kuberay.backends.kuberay import KubeRayBackend, api, backend, rights
from jupyter_kuberay.client import Client
from jupyter_kuberay.config import KubeRay
from jupyter_kuberay.faces.render import show
from jupyter_kuberay.spec import ClusterSpec
from jupyter_kuberay.status import Phase
from tests.testbed.faults import Testbed

from .conftest import MakeNamespace
from .people import Person

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(200)]

OFF = pytest.mark.parametrize("off", [timedelta(minutes=10), -timedelta(minutes=10)], ids=["ahead", "behind"])


@pytest.fixture
def clock(off: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets it, for all that our backend reads it for."""

    class Off(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + off

    for module in (api, backend):
        monkeypatch.setattr(module, "datetime", Off)
    assert abs(backend.datetime.now(UTC) - datetime.now(UTC)) > timedelta(minutes=9)


@OFF
async def test_an_operator_that_does_not_run_is_told_after_ten_seconds_and_not_before(
    alice: Person, image: str, make_namespace: MakeNamespace, testbed: Testbed, clock: None
):
    here = KubeRayBackend(namespace=make_namespace(alice, rights.rules()), kubeconfig=str(alice.kubeconfig))
    client = Client(here, KubeRay(user="alice"))
    await asyncio.to_thread(testbed.operator.stop)
    try:
        began = asyncio.get_running_loop().time()
        status = await client.up(ClusterSpec(name="late", image=image, suspend=False), wait=False)
        told = []
        async with asyncio.timeout(60):
            while not (status.cause and "operator" in status.cause.what.lower()):
                told.append(asyncio.get_running_loop().time() - began)
                await asyncio.sleep(0.5)
                status = await client.cluster("late")
        assert status.phase is Phase.PENDING
        assert told and 8 < told[-1] + 0.5 < 30, "seconds until it was told"
        assert abs(here.now() - datetime.now(UTC)) < timedelta(seconds=5), "the API server's clock, which is this machine's true one"
    finally:
        await here.close()


@OFF
async def test_ages_are_counted_by_the_api_servers_clock(alice: Person, image: str, make_namespace: MakeNamespace, clock: None):
    from rich.console import Console

    here = KubeRayBackend(namespace=make_namespace(alice, rights.rules()), kubeconfig=str(alice.kubeconfig))
    client = Client(here, KubeRay(user="alice"))
    try:
        await client.up(ClusterSpec(name="young", image=image, suspend=True), wait=False)
        status = await client.cluster("young")
        console = Console(width=200, file=io.StringIO())
        show(status, "table", console, client.backend.now())
        (age,) = [line.split()[-1] for line in console.file.getvalue().splitlines() if line.startswith("age")]
        assert age.endswith("s") and int(age[:-1]) < 60
    finally:
        await here.close()
