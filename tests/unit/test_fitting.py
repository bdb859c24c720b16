"""Whether replicas find a place on a cluster's nodes, as far as that is certain."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kuberay.fitting import DoesNotFit, Need, Nodes, needs, nodes, refuse, refuse_weights
from jupyter_kuberay.source import Deployment
from jupyter_kuberay.spec import ClusterSpec, HeadSpec, WorkerGroup

GIB = 2.0**30
CLUSTER = ClusterSpec(
    name="c",
    head=HeadSpec(cpu="1500m", memory="4Gi", ray_start_params={"num-cpus": "0"}),
    worker_groups=(WorkerGroup(name="gpu", replicas=2, cpu="3500m", memory="8Gi", gpus=1, maximum=5),),
)
TWO = [Nodes(1, {"CPU": 0.0, "GPU": 0.0, "memory": 4 * GIB}), Nodes(2, {"CPU": 4.0, "GPU": 1.0, "memory": 8 * GIB})]


def test_a_clusters_nodes_are_what_ray_will_count_on_them():
    assert nodes(CLUSTER) == TWO
    assert [each.count for each in nodes(CLUSTER.changed(autoscaling=True))] == [1, 5]


def test_needs_are_what_source_and_configuration_say_the_configuration_first():
    tiny = Deployment("Tiny", True, {"num_replicas": 3, "ray_actor_options": {"num_cpus": 0.5, "memory": 1024}}, True)
    assert needs([tiny], {}) == [Need("Tiny", 3, {"CPU": 0.5, "memory": 1024.0})]
    config = {
        "deployments": [{"name": "Tiny", "num_replicas": 2, "ray_actor_options": {"num_gpus": 1}}, {"name": "Other", "num_replicas": 4}]
    }
    assert needs([tiny], config) == [Need("Tiny", 2, {"CPU": 0.5, "GPU": 1.0, "memory": 1024.0}), Need("Other", 4, {})]
    assert needs([Deployment("Plain", False, {}, True)], {}) == [Need("Plain", 1, {"CPU": 1.0})]


def test_what_the_source_does_not_show_is_taken_for_nothing():
    assert needs([Deployment("Computed", False, {"num_replicas": 2}, False)], {}) == [Need("Computed", 2, {})]


def test_one_that_scales_needs_room_for_the_fewest_replicas_and_for_one_where_that_is_none():
    scaled = {"deployments": [{"name": "Tiny", "autoscaling_config": {"min_replicas": 0, "max_replicas": 9}}]}
    assert needs([Deployment("Tiny", True, {}, True)], scaled)[0].replicas == 1
    scaled["deployments"][0]["autoscaling_config"]["min_replicas"] = 3
    assert needs([Deployment("Tiny", True, {}, True)], scaled)[0].replicas == 3


@pytest.mark.parametrize(
    ("mine", "others", "words"),
    [
        ([Need("A", 3, {"GPU": 1.0})], [], r"3 replicas of 'A' with 1 GPU each do not fit on it: there is room for 2. It has 1 node"),
        ([Need("A", 1, {"CPU": 5.0})], [], r"1 replica of 'A' with 5 CPUs each.*room for 0"),
        (
            [Need("A", 4, {"CPU": 2.0})],
            [Need("B", 1, {"CPU": 1.0})],
            r"needs 8 CPUs, and what else is published there 1 CPU; it has 8 CPUs: 1 CPU",
        ),
        ([Need("A", 1, {"CPU": 4.0}), Need("B", 2, {"CPU": 4.0})], [], r"It needs 12 CPUs; it has 8 CPUs: 4 CPUs too few"),
        ([Need("A", 3, {"memory": 5 * GIB})], [], r"3 replicas of 'A' with 5 GiB of memory each.*room for 2"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_is_short(mine, others, words):
    with pytest.raises(DoesNotFit, match=words):
        refuse(mine, others, [], TWO, "it")


def test_what_fits_and_what_needs_no_more_than_it_has_already_is_not_refused():
    refuse([Need("A", 2, {"CPU": 4.0, "GPU": 1.0})], [], [], TWO, "it")
    refuse([Need("A", 80, {"CPU": 0.1})], [], [], TWO, "it")
    crowded = [Need("A", 9, {"CPU": 4.0})]
    refuse(crowded, [], crowded, TWO, "it")  # it runs, whatever is counted here
    with pytest.raises(DoesNotFit):
        refuse([Need("A", 10, {"CPU": 4.0})], [], crowded, TWO, "it")


@given(st.integers(1, 20), st.floats(0.05, 8), st.integers(0, 6), st.integers(1, 8))
def test_nothing_is_refused_that_could_be_placed_one_by_one(replicas, each, count, size):
    placed = count * int(size / each + 1e-9)
    there = [Nodes(count, {"CPU": float(size)})]
    if placed >= replicas:
        refuse([Need("A", replicas, {"CPU": each})], [], [], there, "it")
    else:
        with pytest.raises(DoesNotFit):
            refuse([Need("A", replicas, {"CPU": each})], [], [], there, "it")


def test_weights_that_have_no_room_beside_the_old_ones_are_refused_and_unknown_ones_are_not():
    refuse_weights(3, 2 * 2**30, 2 * 2**30, TWO, "it")  # one on the head, two on each worker
    with pytest.raises(DoesNotFit, match=r"\(5.00 GiB\) are loaded beside .* \(2.00 GiB\), in each of 3 replicas: it has memory for 2"):
        refuse_weights(3, 5 * 2**30, 2 * 2**30, TWO, "it")
    refuse_weights(3, 0, 2 * 2**30, TWO, "it")
