"""The check that the other tests rely on: it takes what KubeRay's API server takes, and nothing else."""

import json
from typing import Any

import pytest

from tests.schema import violations

CONTAINER = {
    "name": "ray-head",
    "image": "rayproject/ray:2.58.0",
    "resources": {"limits": {"cpu": "2", "memory": "8Gi", "nvidia.com/gpu": 1}},
}
POD = {"metadata": {"labels": {"jupyter-kuberay/name": "ada"}}, "spec": {"containers": [CONTAINER]}}
CLUSTER: dict[str, Any] = {
    "apiVersion": "ray.io/v1",
    "kind": "RayCluster",
    "metadata": {"name": "ada", "labels": {"jupyter-kuberay/user": "ada"}},
    "spec": {
        "rayVersion": "2.58.0",
        "headGroupSpec": {"rayStartParams": {"dashboard-host": "0.0.0.0"}, "template": POD},
        "workerGroupSpecs": [{"groupName": "gpu", "replicas": 2, "rayStartParams": {}, "template": POD}],
    },
}


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    manifest = json.loads(json.dumps(CLUSTER))  # head and workers share no pod in it
    at: Any = manifest
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = to
    return manifest


WORKERS = ("spec", "workerGroupSpecs", 0)
HEAD_CONTAINER = ("spec", "headGroupSpec", "template", "spec", "containers", 0)


def test_a_right_cluster_has_no_violation_though_it_leaves_out_what_has_a_default():
    assert violations(CLUSTER) == []


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        pytest.param(changed(*WORKERS, "replica", to=2), "'replica' was unexpected", id="a field that would be dropped"),
        pytest.param(changed(*WORKERS, "replicas", to="2"), "'2' is not of type 'integer'", id="text for a number"),
        pytest.param(changed(*WORKERS, "replicas", to=2**31), "maximum", id="a number beyond int32"),
        pytest.param(changed("spec", "headGroupSpec", to={}), "'template' is a required property", id="a head without a pod"),
        pytest.param(changed(*HEAD_CONTAINER, "resources", "limits", "memory", to="8 G"), "'8 G' does not match", id="no quantity"),
        pytest.param(changed(*HEAD_CONTAINER, "resources", "limits", "memory", to="8G\n"), "does not match", id="a line break after it"),
        pytest.param(changed(*HEAD_CONTAINER, "resources", "limits", "cpu", to=0.5), "is not of type", id="a fraction that is not text"),
        pytest.param(changed(*HEAD_CONTAINER, "env", to=[{"name": "A"}, {"name": "A"}]), "occurs twice", id="the same variable twice"),
        pytest.param(changed("spec", "authOptions", to={"mode": "off"}), "'off' is not one of", id="no such choice"),
        pytest.param(changed("metadata", "name", to="Ada"), "'Ada' does not match", id="a name in capitals"),
        pytest.param(changed("metadata", "name", to="a" * 54), "is too long", id="a name that KubeRay's suffixes make too long"),
        pytest.param(changed("metadata", "labels", "jupyter-kuberay/user", to="ada lovelace"), "does not match", id="a label with a space"),
        pytest.param(changed("kind", to="RayCronJob"), "none of ours", id="another kind"),
    ],
)
def test_what_kuberay_would_not_take_is_told_with_its_place(manifest, told):
    (violation,) = violations(manifest)
    assert told in violation


def test_a_port_may_be_declared_for_each_protocol_once():
    both = [{"containerPort": 1, "protocol": "TCP"}, {"containerPort": 1, "protocol": "UDP"}]
    assert violations(changed(*HEAD_CONTAINER, "ports", to=both)) == []
    (violation,) = violations(changed(*HEAD_CONTAINER, "ports", to=[{"containerPort": 1}, {"containerPort": 1, "protocol": "TCP"}]))
    assert "occurs twice" in violation


def test_what_only_a_newer_kuberay_takes_is_told():
    """Both that are tested with are looked at, so nothing goes into a manifest that one of them would drop."""
    named = changed("spec", "authOptions", to={"mode": "token", "secretName": "mine"})
    assert violations(named, ("1.6.1",)) == []
    (violation,) = violations(named)
    assert "'secretName' was unexpected" in violation
