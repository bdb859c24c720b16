"""One small cluster for all that attaches, with its own data folder."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_kuberay.attach import Attachment, attached
from jupyter_kuberay.backends.local.backend import LocalBackend
from jupyter_kuberay.client import Client
from jupyter_kuberay.cluster import Cluster
from jupyter_kuberay.config import KubeRay
from jupyter_kuberay.spec import ClusterSpec

SPEC = ClusterSpec(name="attached", head={"cpu": "2", "memory": "2Gi"})


@pytest.fixture(scope="package")
def client() -> Iterator[Client]:
    folder = tempfile.mkdtemp(prefix="jka")
    yield Client(LocalBackend(Path(folder)), KubeRay(user="tester"))
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def cluster(client: Client) -> Iterator[Cluster]:
    import ray  # noqa: F401 - takes seconds once, which no test here is about

    try:
        yield Cluster.up(SPEC, client=client, timeout=240)
    finally:
        if held := attached():
            held.detach()
        Cluster(SPEC.name, client).down()


@pytest.fixture
def attachment(cluster: Cluster) -> Attachment:
    return cluster.attach()
