"""What of a publication travels, and what cannot."""

from pathlib import Path

import pytest

from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.shipment import model_uri, shared_folders
from jupyter_kuberay.spec import ClusterSpec, HeadSpec, Volume, WorkerGroup

RUNS = Volume(name="runs", mount_path="/runs", claim="runs")
CACHE = Volume(name="cache", mount_path="/cache", empty="1Gi")


@pytest.mark.parametrize("model", ["", "s3://models/one", "facebook/bart-large-cnn"])
def test_what_is_no_path_of_this_machine_stays_as_it_is(model: str):
    assert model_uri(model, shared=[]) == model


def test_a_path_that_the_cluster_sees_too_becomes_an_address(tmp_path: Path):
    assert model_uri(str(tmp_path), shared=["/elsewhere", str(tmp_path.parent)]) == f"file://{tmp_path}"


@pytest.mark.parametrize(("shared", "hint"), [(["/runs"], "below /runs"), ([], "to a store")])
def test_a_path_that_it_does_not_see_is_refused_with_where_to_put_it(tmp_path: Path, shared: list[str], hint: str):
    with pytest.raises(InvalidSpec, match=hint):
        model_uri(str(tmp_path), shared=shared)


def test_a_claim_that_every_node_mounts_is_shared_and_nothing_else():
    with_claim = WorkerGroup(name="a", volumes=(RUNS,))
    assert shared_folders(ClusterSpec(name="c", head=HeadSpec(volumes=(RUNS, CACHE)), worker_groups=(with_claim,))) == ["/runs"]
    assert shared_folders(ClusterSpec(name="c", head=HeadSpec(volumes=(RUNS,)), worker_groups=(WorkerGroup(name="b"),))) == []
