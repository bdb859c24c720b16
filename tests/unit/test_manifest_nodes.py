"""What the pods of head and workers are given so that they find a place: GPUs, taints, how many, and how safe."""

import pytest

from jupyter_kuberay import manifest
from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.spec import ClusterSpec, HeadSpec, Toleration, WorkerGroup
from tests.schema import violations


def resource(**fields):
    made = manifest.cluster_bundle(ClusterSpec(name="ada", ray_version="2.58.0", **fields)).resource
    assert violations(made) == []
    return made


def group(made):
    return made["spec"]["workerGroupSpecs"][0]


def pod(part):
    return part["template"]["spec"]


SPOT = Toleration(key="spot", effect="NoSchedule")


@pytest.mark.parametrize(
    ("name", "taint", "params"),
    [
        ("nvidia.com/gpu", "nvidia.com/gpu", {}),
        ("nvidia.com/mig-1g.5gb", "nvidia.com/gpu", {}),
        ("nvidia.com/gpu.shared", "nvidia.com/gpu", {"num-gpus": "2"}),
        ("nvidia.com/mig-1g.10gb.me", "nvidia.com/gpu", {"num-gpus": "2"}),
        ("amd.com/gpu", "amd.com/gpu", {}),
        ("gpu.intel.com/i915", "gpu.intel.com/i915", {"num-gpus": "2"}),
        ("google.com/tpu", "google.com/tpu", {}),
    ],
)
def test_workers_with_gpus_tolerate_the_taint_of_their_nodes_and_ray_counts_them(name, taint, params):
    """KubeRay counts those whose names it knows; of others `ray start` is told."""
    made = resource(worker_groups=[{"gpus": 2, "gpu_resource": name}])
    assert pod(group(made))["tolerations"] == [{"key": taint, "operator": "Exists", "effect": "NoSchedule"}]
    assert pod(group(made))["containers"][0]["resources"]["limits"][name] == 2
    assert group(made)["rayStartParams"] == params
    assert manifest.read_cluster(made).worker_groups[0] == WorkerGroup(gpus=2, gpu_resource=name)


def test_neither_the_head_nor_workers_without_gpus_tolerate_anything_by_themselves():
    made = resource(worker_groups=[{"gpus": 1}, {"name": "plain"}])
    assert "tolerations" not in pod(made["spec"]["headGroupSpec"])
    assert "tolerations" not in pod(made["spec"]["workerGroupSpecs"][1])


@pytest.mark.parametrize("given", [(), (SPOT,), (SPOT, Toleration(key="nvidia.com/gpu", effect="NoSchedule"))])
def test_who_says_what_is_tolerated_gets_that_and_nothing_else(given):
    spec = ClusterSpec(name="ada", ray_version="2.58.0", worker_groups=[{"gpus": 1, "tolerations": given}])
    made = manifest.cluster_bundle(spec).resource
    assert [toleration["key"] for toleration in pod(group(made)).get("tolerations", [])] == [toleration.key for toleration in given]
    assert manifest.read_cluster(made) == spec


def test_saying_what_goes_without_saying_makes_no_difference():
    said = WorkerGroup(gpus=1, tolerations=[{"key": "nvidia.com/gpu", "effect": "NoSchedule"}])
    assert said == WorkerGroup(gpus=1)
    assert WorkerGroup(tolerations=()) == WorkerGroup() and HeadSpec(tolerations=()) == HeadSpec()
    assert said.changed(gpu_resource="amd.com/gpu").tolerated == (Toleration(key="amd.com/gpu", effect="NoSchedule"),)
    assert said.changed(gpus=0).tolerated == ()


def test_tpus_without_their_kind_and_topology_are_warned_of():
    tpus = {"gpus": 4, "gpu_resource": "google.com/tpu"}
    (warning,) = ClusterSpec(name="ada", worker_groups=[tpus]).warnings()
    assert "node_selector" in warning
    selector = {"cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice", "cloud.google.com/gke-tpu-topology": "2x2"}
    assert ClusterSpec(name="ada", worker_groups=[tpus | {"node_selector": selector}]).warnings() == ()


def test_a_pod_keeps_its_last_words_when_it_ends():
    made = resource(worker_groups=[{}])
    for part in (made["spec"]["headGroupSpec"], group(made)):
        assert pod(part)["containers"][0]["terminationMessagePolicy"] == "FallbackToLogsOnError"


# --- autoscaling ---------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({}, {"version": "v2"}),
        ({"worker_idle_timeout": 20}, {"version": "v2", "idleTimeoutSeconds": 20}),
        ({"worker_idle_timeout": 0, "pod_security": "restricted"}, {"version": "v2", "idleTimeoutSeconds": 0, "securityContext": ...}),
        ({"ray_version": "2.10.0", "auth": "disabled"}, {"version": "v2"}),
        ({"ray_version": "2.9.3", "auth": "disabled"}, None),
        ({"ray_version": "2.9.3", "auth": "disabled", "worker_idle_timeout": 5}, {"idleTimeoutSeconds": 5}),
    ],
)
def test_autoscaling_uses_the_second_autoscaler_where_ray_has_it(fields, options):
    spec = ClusterSpec(**{"name": "ada", "autoscaling": True, "worker_groups": [{"replicas": 0, "maximum": 4}]} | fields)
    made = manifest.cluster_bundle(spec).resource
    assert violations(made) == [] and manifest.read_cluster(made) == spec
    found = made["spec"].get("autoscalerOptions")
    if options and "securityContext" in options:
        options = options | {"securityContext": found["securityContext"]}
        assert found["securityContext"]["allowPrivilegeEscalation"] is False
    assert (found, made["spec"]["enableInTreeAutoscaling"]) == (options, True)
    assert (group(made)["minReplicas"], group(made)["maxReplicas"]) == (0, 4)


def test_an_idle_time_of_workers_without_autoscaling_is_refused():
    with pytest.raises(InvalidSpec, match="worker_idle_timeout 20 is for autoscaling"):
        ClusterSpec(name="ada", worker_idle_timeout=20)


# --- Pod security --------------------------------------------------------


def test_pods_that_keep_the_restricted_level_say_all_that_it_asks_for():
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    made = resource(worker_groups=[{"gpus": 1}], pod_security="restricted")
    for part in (made["spec"]["headGroupSpec"], group(made)):
        context = pod(part)["securityContext"]
        assert context["runAsNonRoot"] is True and context["seccompProfile"] == {"type": "RuntimeDefault"}
        of_container = pod(part)["containers"][0]["securityContext"]
        assert of_container["allowPrivilegeEscalation"] is False and of_container["capabilities"] == {"drop": ["ALL"]}
    assert manifest.read_cluster(made).pod_security == "restricted"
    assert "securityContext" not in pod(resource()["spec"]["headGroupSpec"])


def test_of_a_cluster_that_keeps_it_in_part_only_nothing_is_lost():
    made = resource(worker_groups=[{}], pod_security="restricted")
    pod(group(made)).pop("securityContext")
    read = manifest.read_cluster(made)
    assert read.pod_security == "restricted"
    assert manifest.cluster_bundle(read).resource["spec"] == made["spec"]
