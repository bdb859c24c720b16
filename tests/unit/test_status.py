"""What a person is told about clusters.

The messages are those that Kubernetes 1.34 and KubeRay 1.6.1 give.
"""

import pytest

from jupyter_kuberay.observation import Event, Kind, Node, Observation
from jupyter_kuberay.status import JobPhase, Phase, cluster_status, judge

HEAD = Node(name="ada-head", group="head", ready=True)
WORKER = Node(name="ada-gpu-1", group="gpu", ready=True)
NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
QUOTA = 'pods "ada-gpu-1" is forbidden: exceeded quota: rq, requested: requests.memory=16Gi'
WAS_READY = {"type": "RayClusterProvisioned", "status": "True"}


def cluster(*nodes: Node, workers: int = 1, conditions=(), events=(), metadata=None, spec=None, state=None, **group):
    limits = {"cpu": "4", "nvidia.com/gpu": 1}
    template = {"spec": {"containers": [{"name": "ray-worker", "resources": {"limits": limits}}]}}
    groups = [{"groupName": "gpu", "replicas": workers, "template": template} | group]
    resource = {
        "kind": Kind.CLUSTER,
        "metadata": {"name": "ada", "labels": {"jupyter-kuberay/name": "ada"}} | (metadata or {}),
        "spec": {"workerGroupSpecs": groups, "rayVersion": "2.58.0"} | (spec or {}),
        "status": {"conditions": list(conditions)} | ({"state": state} if state else {}),
    }
    return Observation(resource=resource, nodes=nodes, events=tuple(events))


def test_a_cluster_is_ready_when_its_head_and_all_wanted_workers_are():
    status = cluster_status(cluster(HEAD, WORKER))
    assert (status.phase, status.ready, status.wanted, status.cause) == (Phase.READY, {"gpu": 1}, {"gpu": 1}, None)
    assert (status.gpus, status.ray_version, status.foreign, status.usable) == (1, "2.58.0", False, True)


def test_a_cluster_without_its_head_is_not_ready_whatever_its_workers_say():
    status = cluster_status(cluster(WORKER, conditions=[WAS_READY]))
    assert status.phase is Phase.STARTING
    assert status.cause is not None


def test_a_worker_that_cannot_be_placed_is_named_with_its_reason():
    waiting = Node(name="ada-gpu-1", group="gpu", reason="Unschedulable", message=NO_GPU)
    status = cluster_status(cluster(HEAD, waiting))
    assert status.phase is Phase.STARTING
    assert status.cause.what == "1 of 1 gpu worker cannot be placed: 0/3 nodes have nvidia.com/gpu free."
    assert "Ask for less" in status.cause.remedy


def test_a_cluster_that_lost_a_worker_is_degraded_and_still_usable():
    lost = Node(name="ada-gpu-2", group="gpu", reason="OOMKilled")
    status = cluster_status(cluster(HEAD, WORKER, lost, workers=2, conditions=[WAS_READY]))
    assert (status.phase, status.ready, status.usable) == (Phase.DEGRADED, {"gpu": 1}, True)
    assert "memory" in status.cause.remedy


def test_a_head_that_died_for_good_is_told_with_its_last_words():
    dead = {"type": "HeadPodReady", "status": "False", "reason": "HeadFailed", "message": "The head ended: GCS was killed."}
    status = cluster_status(cluster(conditions=[WAS_READY, dead], state="failed"))
    assert (status.phase, status.cause.what) == (Phase.FAILED, "The head ended: GCS was killed.")
    assert "up again" in status.cause.remedy


def test_a_head_that_is_started_again_is_not_judged_by_how_the_last_one_ended():
    dead = {"type": "HeadPodReady", "status": "False", "reason": "HeadFailed", "message": "The head ended."}
    ended = Event(reason="HeadFailed", message="The head ended.", warning=True, time="2026-01-01T00:00:00Z")
    starting = Node(name="ada-head", group="head", reason="ContainerCreating")
    begun = cluster(starting, events=[ended])
    assert cluster_status(begun).phase is Phase.STARTING
    # The moment after it was asked for, when the last status is still that of the failure.
    asked = cluster(conditions=[dead], events=[ended], state="failed", metadata={"generation": 3})
    asked.resource["status"]["observedGeneration"] = 2
    assert cluster_status(asked).phase is Phase.PENDING


def test_the_state_that_kuberay_calls_ready_is_not_believed():
    assert cluster_status(cluster(state="ready")).phase is Phase.PENDING


@pytest.mark.parametrize(
    ("reason", "message", "phase"),
    [
        ("FailedCreateWorkerPod", QUOTA, Phase.STARTING),  # more quota mends it
        ("InvalidRayClusterSpec", "worker group w has minReplicas 3 greater than maxReplicas 1", Phase.FAILED),
    ],
)
def test_what_only_an_event_says_is_said(reason, message, phase):
    status = cluster_status(cluster(HEAD, events=[Event(reason="Pulled", message="x"), Event(reason=reason, message=message)]))
    assert (status.phase, status.cause.what) == (phase, message)


def test_a_quota_is_told_from_the_condition():
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreateWorkerPod", "message": QUOTA}
    assert cluster_status(cluster(HEAD, conditions=[failure])).cause.what == QUOTA


def test_while_nothing_is_wrong_the_cause_is_how_far_it_got():
    waiting = Node(name="ada-gpu-1", group="gpu")
    assert cluster_status(cluster(HEAD, waiting, workers=2)).cause.what == "The head is up; 0 of 2 workers have joined."
    assert cluster_status(cluster()).cause.what == "It has been asked for, and nothing runs yet."


@pytest.mark.parametrize(
    ("metadata", "spec", "phase"),
    [
        ({}, {"suspend": True}, Phase.SUSPENDED),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, {}, Phase.STOPPING),
    ],
)
def test_what_the_user_asked_for_is_no_problem(metadata, spec, phase):
    status = cluster_status(cluster(metadata=metadata, spec=spec))
    assert (status.phase, status.cause) == (phase, None)


def test_a_cluster_that_is_being_suspended_is_stopping_while_nodes_still_run():
    assert cluster_status(cluster(HEAD, WORKER, spec={"suspend": True})).phase is Phase.STOPPING


@pytest.mark.parametrize(
    ("replicas", "minimum", "maximum", "wanted"), [(5, 0, 2, 2), (0, 1, 3, 1), (2, None, None, 2), (None, None, None, 0)]
)
def test_wanted_is_what_kuberay_keeps_and_not_what_is_written(replicas, minimum, maximum, wanted):
    status = cluster_status(cluster(HEAD, replicas=replicas, minReplicas=minimum, maxReplicas=maximum))
    assert status.wanted == {"gpu": wanted}


def test_what_only_kubernetes_can_do_is_noted_once_each():
    notes = [Event(reason="NotOnThisMachine", message=text) for text in ("no image", "no autoscaling", "no image")]
    assert cluster_status(cluster(HEAD, WORKER, events=notes)).notes == ("no image", "no autoscaling")


def test_a_cluster_that_another_tool_made_is_marked():
    assert cluster_status(cluster(HEAD, metadata={"labels": {}})).foreign
    below_a_service = cluster_status(cluster(HEAD, metadata={"labels": {"ray.io/originated-from-cr-name": "summarizer"}}))
    assert (below_a_service.foreign, below_a_service.owner) == (False, "summarizer")


def test_the_user_is_told_in_their_own_words_rather_than_the_labels():
    metadata = {"labels": {"jupyter-kuberay/user": "ada--1"}, "annotations": {"jupyter-kuberay/user": "Ada 🚀"}}
    assert cluster_status(cluster(HEAD, metadata=metadata)).user == "Ada 🚀"


def test_every_kind_is_judged_by_its_own_judge():
    assert judge(cluster(HEAD)).name == "ada"
    assert judge(Observation(resource={"kind": Kind.SERVICE, "metadata": {"name": "s"}})).applications == ()
    assert judge(Observation(resource={"kind": Kind.JOB, "metadata": {"name": "j"}})).phase is JobPhase.PENDING
