"""What Ray says is in use, from either of the two answers that its dashboard gives."""

import pytest

from jupyter_kuberay.backends.accounting import used, used_by_workers
from jupyter_kuberay.errors import Unreachable
from jupyter_kuberay.observation import Usage


def slots(amount):
    return {"resourceSlots": [{"slot": "0", "allocation": amount}]}


def node(workers, state="ALIVE", **total):
    return {"raylet": {"state": state, "resourcesTotal": total, "coreWorkersStats": [{"usedResources": used} for used in workers]}}


def test_workers_use_is_added_up_over_the_nodes_that_live():
    head = node([{}, {"CPU": slots(0.5)}], CPU=1.0, memory=100.0)
    worker = node([{"CPU": slots(1.0), "GPU": slots(1.0), "memory": slots(10.0)}], CPU=2.0, GPU=1.0, memory=50.0)
    gone = node([{"CPU": slots(9.0)}], state="DEAD", CPU=9.0)
    found = used_by_workers({"data": {"summary": [head, worker, gone]}})
    assert found == Usage(cpus_used=1.5, cpus=3, gpus_used=1, gpus=1, memory_used=10, memory=150)


def test_what_is_used_of_a_placement_group_counts_once():
    groups = {"CPU_group_0_1a2b": slots(1.0), "CPU_group_1a2b": slots(1.0), "bundle_group_0_1a2b": slots(0.001)}
    assert used_by_workers({"data": {"summary": [node([groups], CPU=2.0)]}}).cpus_used == 1


def test_the_sum_that_ray_makes_is_taken_as_it_is():
    report = {"usage": {"CPU": [1.0, 3.0], "memory": [5.0, 100.0]}}
    found = used({"data": {"clusterStatus": {"loadMetricsReport": report}}})
    assert found == Usage(cpus_used=1, cpus=3, gpus_used=0, gpus=0, memory_used=5, memory=100)


@pytest.mark.parametrize(
    ("told", "answer"), [(used, {"data": {"clusterStatus": None}}), (used_by_workers, {"data": {"summary": []}}), (used_by_workers, {})]
)
def test_before_ray_has_counted_that_is_said(told, answer):
    with pytest.raises(Unreachable, match="has not counted"):
        told(answer)
