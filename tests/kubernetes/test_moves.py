"""A published service that gets another cluster: KubeRay makes it beside the one that answers, and switches over."""

from __future__ import annotations

import json
import textwrap
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import jupyter_kuberay as jk
from jupyter_kuberay.backends.kuberay import KubeRayBackend, rights
from jupyter_kuberay.client import Client
from jupyter_kuberay.config import KubeRay
from jupyter_kuberay.errors import Conflict, Failed
from jupyter_kuberay.loop import run_sync
from jupyter_kuberay.observation import Kind
from jupyter_kuberay.rollout import Step
from jupyter_kuberay.spec import ClusterSpec, HeadSpec
from jupyter_kuberay.status import service_status
from tests.contract.resources import until

from .conftest import MakeNamespace
from .people import Person

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

APP = """
    import os
    from ray import serve

    @serve.deployment(ray_actor_options={"num_cpus": 0.1})
    class Hello:
        def reconfigure(self, user_config):
            self.model = user_config["model"]
            if self.model != os.environ["WANTED"] and self.model != "any":
                raise ValueError(f"{self.model} is not wanted here")

        async def __call__(self, request):
            return {"model": self.model, "where": os.environ["WANTED"]}

    app = Hello.bind()
"""


@pytest.fixture
def client(alice: Person, make_namespace: MakeNamespace) -> Iterator[Client]:
    client = Client(
        KubeRayBackend(namespace=make_namespace(alice, rights.rules()), kubeconfig=str(alice.kubeconfig)), KubeRay(user="alice")
    )
    yield client
    run_sync(client.close())


@pytest.fixture
def app(tmp_path: Path) -> str:
    (tmp_path / "hello.py").write_text(textwrap.dedent(APP))
    return f"{tmp_path}/hello.py:app"


def cluster(image: str, wanted: str) -> ClusterSpec:
    return ClusterSpec(name="hello", image=image, head=HeadSpec(cpu="1", memory="2Gi", env={"WANTED": wanted}))


class Caller:
    """Asks all the time, and keeps what it heard."""

    def __init__(self, url: str) -> None:
        self.url, self.failed, self.heard = url, 0, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while not self._stop.wait(0.05):
            try:
                ask(self.url)
                self.heard += 1
            except OSError:
                self.failed += 1

    def __enter__(self) -> Caller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as response:
        return json.load(response)


def answer(client: Client) -> Any:
    with jk.Service("hello", client).reach() as url:
        return ask(url)


def test_a_change_of_its_pods_is_refused_with_its_cost_and_where_allowed_moves_it_while_it_answers(
    image: str, client: Client, app: str
) -> None:
    jk.publish("hello", app=app, model="one", cluster=cluster(image, "one"), client=client)
    before = run_sync(client.service("hello")).cluster
    with pytest.raises(Conflict, match=r"head.env.WANTED is 'one', not 'two'.*needs 1 pod more"):
        jk.publish("hello", app=app, model="two", cluster=cluster(image, "two"), client=client)
    assert run_sync(client.service("hello")).cluster == before and answer(client) == {"model": "one", "where": "one"}

    steps: list[Step] = []
    with jk.Service("hello", client).reach() as url, Caller(url) as caller:
        moved = jk.publish(
            "hello", app=app, model="two", cluster=cluster(image, "two"), new_cluster=True, client=client, progress=steps.append
        )
        assert "needs 1 pod more" in steps[0].message  # before anything begins
        assert any("The second cluster" in step.message for step in steps)
    assert moved.revision.number == 2
    assert answer(client) == {"model": "two", "where": "two"}
    assert run_sync(client.service("hello")).cluster != before
    assert caller.heard > 0 and caller.failed == 0


def test_a_second_cluster_that_does_not_start_the_application_leaves_the_first_one_answering(image: str, client: Client, app: str) -> None:
    jk.publish("hello", app=app, model="one", cluster=cluster(image, "one"), client=client)
    with pytest.raises(Failed, match=r"two is not wanted here.*The earlier cluster answers as before"):
        jk.publish("hello", app=app, model="two", cluster=cluster(image, "three"), new_cluster=True, client=client)
    assert answer(client) == {"model": "one", "where": "one"}
    assert [each.number for each in jk.Service("hello", client).revisions() if each.current] == [1]
    # KubeRay goes back by one more cluster, which is as the first one was.
    run_sync(until(client.backend, Kind.SERVICE, "hello", lambda seen: service_status(seen).settled, 240))
    assert answer(client) == {"model": "one", "where": "one"}
