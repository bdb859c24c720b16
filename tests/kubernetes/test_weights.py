"""Weights from an S3 store, with credentials that only a Secret has."""

from __future__ import annotations

import json
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import jupyter_kuberay as jk
from jupyter_kuberay.backends.kuberay import KubeRayBackend, rights
from jupyter_kuberay.client import Client
from jupyter_kuberay.config import KubeRay
from jupyter_kuberay.errors import Failed
from jupyter_kuberay.loop import run_sync
from jupyter_kuberay.spec import ClusterSpec, HeadSpec, SecretKey
from tests.testbed import s3
from tests.testbed.faults import Testbed

from .conftest import MakeNamespace
from .people import Person

pytestmark = pytest.mark.timeout(600)

APP = """
    import os
    import fsspec
    from ray import serve

    @serve.deployment(ray_actor_options={"num_cpus": 0.1})
    class Weights:
        def reconfigure(self, user_config):
            with fsspec.open(f"{user_config['model']}/words.txt") as file:
                self.words = file.read().decode()

        async def __call__(self, request):
            return {"words": self.words, "as": os.environ["AWS_ACCESS_KEY_ID"]}

    app = Weights.bind()
"""
SECRET = {"AWS_ACCESS_KEY_ID": "known-to-the-secret", "AWS_SECRET_ACCESS_KEY": "only"}


@pytest.fixture
def store(testbed: Testbed) -> Iterator[str]:
    with s3.served() as server:
        server.put("models")
        for number in (1, 2):
            server.put(f"models/{number}/words.txt", f"weights {number}".encode())
        yield server.address


def test_weights_come_from_s3_with_a_secrets_credentials_and_a_missing_object_is_told(
    admin: Person, alice: Person, image: str, make_namespace: MakeNamespace, store: str, tmp_path: Path
) -> None:
    namespace = make_namespace(alice, rights.rules())
    admin.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3", "namespace": namespace}, "stringData": SECRET})
    (tmp_path / "weights.py").write_text(textwrap.dedent(APP))
    env: dict[str, Any] = {"AWS_ENDPOINT_URL": store, **{key: SecretKey(secret="s3", key=key) for key in SECRET}}
    cluster = ClusterSpec(name="stored", image=image, head=HeadSpec(cpu="1", memory="2Gi", env=env))
    client = Client(KubeRayBackend(namespace=namespace, kubeconfig=str(alice.kubeconfig)), KubeRay(user="alice"))
    try:
        published = jk.publish("stored", app=f"{tmp_path}/weights.py:app", model="s3://models/1", cluster=cluster, client=client)
        with jk.Service("stored", client).reach() as url:
            assert ask(url) == {"words": "weights 1", "as": "known-to-the-secret"}
            second = jk.publish("stored", app=f"{tmp_path}/weights.py:app", model="s3://models/2", client=client)
            assert ask(url)["words"] == "weights 2"
            with pytest.raises(Failed, match=r"did not pass its try-out.*models/3/words.txt.*Nothing was changed"):
                jk.publish("stored", app=f"{tmp_path}/weights.py:app", model="s3://models/3", client=client)
            assert ask(url)["words"] == "weights 2"
        assert (published.revision.model, second.revision.number) == ("s3://models/1", 2)
        service = json.dumps(alice.read("rayservice/stored", f"--namespace={namespace}"))
        assert "secretKeyRef" in service and SECRET["AWS_ACCESS_KEY_ID"] not in service
    finally:
        run_sync(client.close())


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as response:
        return json.load(response)
