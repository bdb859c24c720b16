"""Pods as Ray nodes, and events with what they are about."""

import pytest

from jupyter_kuberay.backends.kuberay.observe import WAITS_FOR_HEAD, clusters_of, node, observed
from jupyter_kuberay.observation import Kind


def pod(name="one-head-x", node_type="head", group="headgroup", labels=None, **status):
    metadata = {"name": name, "uid": name, "labels": {"ray.io/node-type": node_type, "ray.io/group": group} | (labels or {})}
    return {"metadata": metadata, "spec": {"containers": [{"name": "ray"}]}, "status": status}


def condition(kind, status, **more):
    return {"type": kind, "status": status, **more}


def container(restarts=0, last=None, **state):
    return {"restartCount": restarts, "state": state, "lastState": {"terminated": last} if last else {}}


RUNNING = {"startedAt": "2026-11-25T03:00:00Z"}


def test_a_ready_pod_is_a_ready_node_that_tells_since_when():
    seen = node(pod(conditions=[condition("Ready", "True")], containerStatuses=[container(restarts=2, running=RUNNING)]))
    assert (seen.group, seen.ready, seen.reason, seen.restarts, seen.started) == ("head", True, "", 2, RUNNING["startedAt"])


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (
            {"conditions": [condition("PodScheduled", "False", reason="Unschedulable", message="0/1 nodes: 1 Insufficient cpu.")]},
            "Unschedulable",
            "1 Insufficient cpu",
        ),
        ({"containerStatuses": [container(waiting={"reason": "ContainerCreating"})]}, "", ""),
        (
            {"containerStatuses": [container(waiting={"reason": "ImagePullBackOff", "message": "Back-off pulling image"})]},
            "ImagePullBackOff",
            "Back-off",
        ),
        ({"initContainerStatuses": [container(running=RUNNING)]}, WAITS_FOR_HEAD, "until the head answers"),
        (
            {"initContainerStatuses": [container(waiting={"reason": "ErrImagePull", "message": "no such host"})]},
            "ErrImagePull",
            "no such host",
        ),
        (
            {
                "containerStatuses": [
                    container(5, {"reason": "Error", "exitCode": 1, "message": "a\nlast words"}, waiting={"reason": "CrashLoopBackOff"})
                ]
            },
            "CrashLoopBackOff",
            "exit code 1: last words",
        ),
        (
            {"containerStatuses": [container(1, {"reason": "OOMKilled", "exitCode": 137}, waiting={"reason": "CrashLoopBackOff"})]},
            "OOMKilled",
            "more memory than its limit",
        ),
        ({"containerStatuses": [container(terminated={"reason": "Error", "exitCode": 2})]}, "Error", "exit code 2"),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, "Evicted", "low on memory"),
    ],
)
def test_a_pod_that_is_not_ready_says_why(status, reason, words):
    seen = node(pod(node_type="worker", group="gpu", **status))
    assert (seen.group, seen.ready, seen.reason) == ("gpu", False, reason)
    assert words in seen.message


def test_a_pod_that_is_being_deleted_is_not_ready_whatever_its_condition():
    leaving = pod(conditions=[condition("Ready", "True")])
    leaving["metadata"]["deletionTimestamp"] = "2026-11-25T03:00:00Z"
    assert (node(leaving).ready, node(leaving).reason) == (False, "Terminating")


def test_events_come_newest_first_and_name_the_node_that_they_are_about():
    thing = {"metadata": {"name": "one", "uid": "1", "managedFields": []}, "spec": {}}
    events = [
        {"involvedObject": {"kind": "RayCluster", "name": "one"}, "reason": "CreatedHeadPod", "lastTimestamp": "2026-11-25T03:00:00Z"},
        {
            "involvedObject": {"kind": "Pod", "name": "one-head-x"},
            "reason": "FailedScheduling",
            "type": "Warning",
            "message": " no room\n",
            "eventTime": "2026-11-25T03:00:01.5Z",
        },
    ]
    seen = observed(Kind.CLUSTER, thing, [pod()], events)
    assert [(event.reason, event.warning, event.about, event.message) for event in seen.events] == [
        ("FailedScheduling", True, "one-head-x", "no room"),
        ("CreatedHeadPod", False, "", ""),
    ]
    assert seen.resource["kind"] == "RayCluster" and seen.resource["apiVersion"] == "ray.io/v1"
    assert "managedFields" not in seen.resource["metadata"]


@pytest.mark.parametrize(
    ("kind", "spec", "status", "clusters"),
    [
        (Kind.CLUSTER, {}, {}, ("one",)),
        (Kind.SERVICE, {}, {"activeServiceStatus": {"rayClusterName": "a"}, "pendingServiceStatus": {"rayClusterName": "b"}}, ("a", "b")),
        (Kind.SERVICE, {}, {"pendingServiceStatus": {}}, ()),
        (Kind.JOB, {}, {"rayClusterName": "own"}, ("own",)),
        (Kind.JOB, {"clusterSelector": {"ray.io/cluster": "other"}}, {"rayClusterName": "other"}, ()),
        (Kind.REVISION, {}, {}, ()),
    ],
)
def test_the_nodes_of_a_resource_are_the_pods_of_its_own_clusters(kind, spec, status, clusters):
    assert clusters_of(kind, {"metadata": {"name": "one"}, "spec": spec, "status": status}) == clusters
