"""What happens to a cluster whose folder somebody removes by hand."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from jupyter_kuberay.backends.local import LocalBackend
from jupyter_kuberay.backends.local.processes import marked
from jupyter_kuberay.observation import Kind
from tests.contract.resources import cluster, is_ready, until

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(600)]


async def test_a_cluster_whose_folder_was_removed_by_hand_leaves_no_process(backend: LocalBackend):
    await backend.create(cluster("one", 0))
    seen = await until(backend, Kind.CLUSTER, "one", is_ready)
    uid = str(seen.resource["metadata"]["uid"])
    assert marked(uid)
    shutil.rmtree(backend.store.folder("RayCluster", "one"))
    async with asyncio.timeout(60):
        # Its supervisor, which removes what is temporary, ends last and bears no mark.
        while marked(uid) or backend.store.bell.folder.exists():
            await asyncio.sleep(0.1)
    assert await backend.list(Kind.CLUSTER) == []
