"""Who comes from codeflare-sdk brings what they have; what that library lets pass is named here."""

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from jupyter_kuberay import codeflare
from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.manifest import cluster_bundle, read_cluster
from jupyter_kuberay.quantity import Quantity
from jupyter_kuberay.spec import ClusterSpec, Toleration, Volume, as_cluster_spec
from tests.schema import violations


@pytest.fixture(scope="module")
def sdk():
    """codeflare-sdk itself, without what its import does to the root logger."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        from codeflare_sdk.ray.cluster import config
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
    return config


@pytest.fixture(scope="module")
def k8s(sdk):
    from kubernetes import client

    return client


def template(spec: ClusterSpec, group: str = "") -> dict[str, Any]:
    resource = cluster_bundle(spec).resource
    assert violations(resource) == []
    body = resource["spec"]
    groups = {item["groupName"]: item for item in body["workerGroupSpecs"]} | {"": body["headGroupSpec"]}
    return groups[group]["template"]


def container(spec: ClusterSpec, group: str = "") -> dict[str, Any]:
    (only,) = template(spec, group)["spec"]["containers"]
    return only


def test_its_smallest_request_means_what_it_meant(sdk):
    spec = codeflare.cluster_spec(sdk.ClusterConfiguration(name="ada"))
    (workers,) = spec.worker_groups
    assert (spec.name, spec.image, workers.name) == ("ada", "", "small-group-ada")
    assert (workers.replicas, workers.maximum, workers.gpus) == (1, 1, 0)
    assert container(spec)["resources"] == {"limits": {"cpu": "2", "memory": "8G"}, "requests": {"cpu": "1", "memory": "5G"}}
    assert container(spec, "small-group-ada")["resources"] == {
        "limits": {"cpu": "1", "memory": "6G"},
        "requests": {"cpu": "1", "memory": "3G"},
    }


def test_it_is_taken_wherever_a_cluster_spec_is(sdk):
    config = sdk.ClusterConfiguration(name="ada", num_workers=3)
    assert codeflare.is_codeflare(config)
    assert as_cluster_spec(config) == codeflare.cluster_spec(config)
    assert as_cluster_spec(config).workers == 3


def test_a_class_of_the_same_name_from_elsewhere_is_not_taken():
    class ClusterConfiguration:
        pass

    assert not codeflare.is_codeflare(ClusterConfiguration())
    with pytest.raises(InvalidSpec, match="ClusterConfiguration is no request for a cluster"):
        as_cluster_spec(ClusterConfiguration())


# What is asked for, and what of our spec says the same.
FIELDS: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "image": ({"image": "quay.io/modh/ray:1"}, lambda spec: spec.image, "quay.io/modh/ray:1"),
    "head_cpu_limits": ({"head_cpu_limits": 4, "head_cpu_requests": "4"}, lambda spec: spec.head.cpu, Quantity("4")),
    "head_memory in GB": ({"head_memory_limits": 16}, lambda spec: spec.head.memory, Quantity("16G")),
    "head_memory as text in GB": ({"head_memory_limits": "16"}, lambda spec: spec.head.memory, Quantity("16G")),
    "worker_memory": ({"worker_memory_limits": "12Gi"}, lambda spec: spec.worker_groups[0].memory, Quantity("12Gi")),
    "worker_cpu": ({"worker_cpu_requests": "250m"}, lambda spec: spec.worker_groups[0].cpu, Quantity("1")),
    "num_workers": ({"num_workers": 4}, lambda spec: spec.workers, 4),
    "no workers": ({"num_workers": 0}, lambda spec: spec.workers, 0),
    "labels": ({"labels": {"team": "nlp"}}, lambda spec: (spec.head.labels, spec.worker_groups[0].labels), ({"team": "nlp"},) * 2),
    "local_queue": ({"local_queue": "lq"}, lambda spec: spec.queue, "lq"),
    "the queue's label": ({"labels": {"kueue.x-k8s.io/queue-name": "lq"}}, lambda spec: (spec.queue, spec.head.labels), ("lq", {})),
    "envs": ({"envs": {"A": "1"}}, lambda spec: spec.worker_groups[0].env, {"A": "1", "RAY_USAGE_STATS_ENABLED": "0"}),
    "enable_usage_stats": ({"enable_usage_stats": True}, lambda spec: spec.head.env, {"RAY_USAGE_STATS_ENABLED": "1"}),
    "annotations": ({"annotations": {"a": "b"}}, lambda spec: template(spec)["metadata"]["annotations"], {"a": "b"}),
    "image_pull_secrets": ({"image_pull_secrets": ["s"]}, lambda spec: template(spec)["spec"]["imagePullSecrets"], [{"name": "s"}]),
    "GPUs": (
        {"worker_extended_resource_requests": {"nvidia.com/gpu": 2}},
        lambda spec: (spec.worker_groups[0].gpus, spec.worker_groups[0].gpu_resource),
        (2, "nvidia.com/gpu"),
    ),
    "GPUs of another maker, as text": (
        {"worker_extended_resource_requests": {"amd.com/gpu": "1"}},
        lambda spec: (spec.worker_groups[0].gpus, spec.worker_groups[0].gpu_resource),
        (1, "amd.com/gpu"),
    ),
    "GPUs of the head": (
        {"head_extended_resource_requests": {"nvidia.com/gpu": 1}},
        lambda spec: container(spec)["resources"]["limits"],
        {"cpu": "2", "memory": "8G", "nvidia.com/gpu": 1},
    ),
    "GPUs by a name of one's own": (
        {
            "worker_extended_resource_requests": {"example.com/accelerator": 2},
            "extended_resource_mapping": {"example.com/accelerator": "GPU"},
        },
        lambda spec: (spec.worker_groups[0].gpus, spec.worker_groups[0].ray_start_params),
        (2, {"num-gpus": "2"}),
    ),
    "what is no GPU": (
        {"worker_extended_resource_requests": {"google.com/tpu": 4}},
        lambda spec: (spec.worker_groups[0].gpus, spec.worker_groups[0].ray_start_params),
        (0, {"resources": '"{\\"TPU\\": 4}"'}),
    ),
    "autoscaling": (
        {"enable_autoscaling": True, "min_workers": 1, "max_workers": 5},
        lambda spec: (spec.autoscaling, spec.worker_groups[0].replicas, spec.worker_groups[0].minimum, spec.worker_groups[0].maximum),
        (True, 1, 1, 5),
    ),
    "fault tolerance": (
        {"enable_gcs_ft": True, "redis_address": "redis:6379", "redis_password_secret": {"name": "n", "key": "k"}},
        lambda spec: cluster_bundle(spec).resource["spec"]["gcsFaultToleranceOptions"],
        {"redisAddress": "redis:6379", "redisPassword": {"valueFrom": {"secretKeyRef": {"name": "n", "key": "k"}}}},
    ),
    "fault tolerance's storage": (
        {"enable_gcs_ft": True, "redis_address": "redis:6379", "external_storage_namespace": "ns"},
        lambda spec: spec.overrides,
        {"gcsFaultToleranceOptions": {"redisAddress": "redis:6379", "externalStorageNamespace": "ns"}},
    ),
}


@pytest.mark.parametrize(("asked", "look", "expected"), FIELDS.values(), ids=FIELDS)
def test_each_of_its_fields_is_taken_over(sdk, asked, look, expected):
    spec = codeflare.cluster_spec(sdk.ClusterConfiguration(name="ada", **asked))
    assert look(spec) == expected
    resource = cluster_bundle(spec).resource
    assert violations(resource) == []
    assert cluster_bundle(read_cluster(resource)).resource == resource


def test_tolerations_and_volumes_are_taken_over_with_all_their_details(sdk, k8s):
    taint = k8s.V1Toleration(key="gpu", operator="Exists", effect="NoSchedule")
    patient = k8s.V1Toleration(key="gpu", value="yes", effect="NoExecute", toleration_seconds=30)
    data = k8s.V1Volume(name="data", persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name="corpus"))
    memory = k8s.V1Volume(name="shm", empty_dir=k8s.V1EmptyDirVolumeSource(medium="Memory", size_limit="2Gi"))
    spec = codeflare.cluster_spec(
        sdk.ClusterConfiguration(
            name="ada",
            head_tolerations=[patient],
            worker_tolerations=[taint],
            volumes=[data, memory],
            volume_mounts=[
                k8s.V1VolumeMount(name="data", mount_path="/data", read_only=True),
                k8s.V1VolumeMount(name="shm", mount_path="/dev/shm"),
            ],
        )
    )
    assert spec.worker_groups[0].tolerations == (Toleration(key="gpu", operator="Exists", effect="NoSchedule"),)
    assert template(spec)["spec"]["tolerations"] == [{"key": "gpu", "value": "yes", "effect": "NoExecute", "tolerationSeconds": 30}]
    assert spec.head.volumes == (Volume(name="data", mount_path="/data", claim="corpus", read_only=True),)
    volumes = {volume["name"]: volume for volume in template(spec)["spec"]["volumes"]}
    assert volumes["shm"] == {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}
    assert {mount["mountPath"] for mount in container(spec)["volumeMounts"]} == {"/data", "/dev/shm"}


def test_further_groups_inherit_from_the_cluster_what_they_do_not_say(sdk, k8s):
    taint = k8s.V1Toleration(key="gpu", operator="Exists")
    groups = [
        sdk.WorkerGroup("big", replicas=2, max_replicas=4, gpu_type="nvidia.com/gpu", gpu_count=8, memory_limits=64, envs={"A": "2"}),
        sdk.WorkerGroup("other", image="img:1", labels={"team": "vision"}, tolerations=[], extended_resource_requests={"intel.com/gpu": 1}),
    ]
    spec = codeflare.cluster_spec(
        sdk.ClusterConfiguration(
            name="ada", envs={"A": "1"}, labels={"team": "nlp"}, worker_tolerations=[taint], additional_worker_groups=groups
        )
    )
    _, big, other = spec.worker_groups
    assert (big.replicas, big.maximum, big.gpus, big.memory, big.env["A"]) == (2, 4, 8, Quantity("64G"), "2")
    assert (big.labels, [toleration.key for toleration in big.tolerations]) == ({"team": "nlp"}, ["gpu"])
    assert (other.labels, other.tolerations, other.env["A"]) == ({"team": "vision"}, (), "1")
    assert (other.gpus, other.gpu_resource) == (1, "intel.com/gpu")
    assert container(spec, "other")["image"] == "img:1"
    assert "image" not in container(spec, "big")


def test_its_worker_group_is_taken_wherever_a_worker_group_is(sdk):
    group = sdk.WorkerGroup("big", replicas=2, max_replicas=4, gpu_type="nvidia.com/gpu", gpu_count=8, memory_limits=64)
    spec = ClusterSpec(name="ada", worker_groups=[group, {"name": "small"}])
    big, small = spec.worker_groups
    assert (big.name, big.replicas, big.maximum, big.gpus, big.memory) == ("big", 2, 4, 8, Quantity("64G"))
    assert small.name == "small"
    with pytest.raises(InvalidSpec, match=r"worker_groups\[0\]\.name: 'W_x'"):
        ClusterSpec(name="ada", worker_groups=[{"name": "W_x"}, group])
    with pytest.raises(InvalidSpec, match=r"worker_groups\[0\]"):
        ClusterSpec(name="ada", worker_groups=[3])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        pytest.param({"name": None}, "name is missing", id="no name"),
        pytest.param({"name": "a" * 70}, "a" * 70, id="a name of 70 characters"),
        pytest.param({"name": "ada.lovelace"}, "ada.lovelace", id="a name with a dot"),
        pytest.param({"num_workers": -3}, "num_workers is -3", id="fewer than no workers"),
        pytest.param({"worker_cpu_limits": "banana"}, "worker_cpu_limits: 'banana' is no quantity", id="no number of CPUs"),
        pytest.param({"head_memory_limits": "8 G"}, "head_memory_limits: '8 G' has a space in it", id="a space"),
        pytest.param(
            {"head_cpu_requests": 4}, "head_cpu_requests is '4', which is more than head_cpu_limits '2'", id="more than the limit"
        ),
        pytest.param({"worker_extended_resource_requests": {"nvidia.com/gpu": -1}}, "nvidia.com/gpu'] is -1", id="fewer than no GPUs"),
        pytest.param(
            {"worker_extended_resource_requests": {"nvidia.com/gpu": 1, "amd.com/gpu": 1}},
            "worker_extended_resource_requests is",
            id="two kinds of GPU in a group",
        ),
        pytest.param({"namespace": "nlp"}, "namespace is 'nlp', which cannot be taken over", id="a namespace"),
        pytest.param({"write_to_file": True}, "write_to_file is True", id="a file"),
        pytest.param({"redis_address": "redis:6379"}, "redis_address is 'redis:6379'", id="fault tolerance by half"),
        pytest.param({"image": "no image"}, "no image", id="no image's name"),
        pytest.param({"labels": {"team": "a b"}}, "'a b'", id="no label"),
    ],
)
def test_what_it_lets_pass_and_cannot_be_is_refused_by_name(sdk, asked, told):
    with pytest.raises(InvalidSpec) as refused:
        codeflare.cluster_spec(sdk.ClusterConfiguration(**{"name": "ada"} | asked))
    assert told in refused.value.message
    assert refused.value.hint


@pytest.mark.filterwarnings("ignore:min_workers")
def test_a_range_without_autoscaling_is_refused_rather_than_ignored(sdk):
    with pytest.raises(InvalidSpec, match="max_workers is 5"):
        codeflare.cluster_spec(sdk.ClusterConfiguration(name="ada", max_workers=5))


def test_connections_that_are_not_verified_are_refused(sdk, capsys):
    with pytest.raises(InvalidSpec, match="verify_tls is False"):
        codeflare.cluster_spec(sdk.ClusterConfiguration(name="ada", verify_tls=False))


def test_a_mount_without_its_volume_is_refused(sdk, k8s):
    with pytest.raises(InvalidSpec, match="names the volume 'data', but volumes has none"):
        codeflare.cluster_spec(sdk.ClusterConfiguration(name="ada", volume_mounts=[k8s.V1VolumeMount(name="data", mount_path="/data")]))


def test_a_mistake_in_a_further_group_is_named_with_its_group(sdk):
    group = sdk.WorkerGroup("big")
    group.cpu_limits = "banana"
    with pytest.raises(InvalidSpec, match=r"additional_worker_groups\['big'\]\.cpu_limits: 'banana'"):
        codeflare.cluster_spec(sdk.ClusterConfiguration(name="ada", additional_worker_groups=[group]))


def test_no_field_of_the_installed_version_is_unknown(sdk):
    import dataclasses

    ours = codeflare._USED | codeflare._DONE_BY_ITS_CONSTRUCTOR | set(codeflare._REFUSED)
    assert {field.name for field in dataclasses.fields(sdk.ClusterConfiguration)} == ours
    assert {field.name for field in dataclasses.fields(sdk.WorkerGroup)} == codeflare._USED_OF_A_GROUP


def test_a_field_of_a_later_version_is_refused_when_it_is_used(sdk):
    import dataclasses

    later = dataclasses.make_dataclass(
        "ClusterConfiguration", [("spot", bool, False)], bases=(sdk.ClusterConfiguration,), namespace={"__module__": "codeflare_sdk.later"}
    )
    assert codeflare.cluster_spec(later(name="ada")).name == "ada"
    with pytest.raises(InvalidSpec, match="spot is True"):
        codeflare.cluster_spec(later(name="ada", spot=True))


def test_nothing_is_printed_and_the_root_logger_stays_as_it_is_and_the_sdk_is_not_imported():
    program = """
import json, logging, sys
from jupyter_kuberay import codeflare
from jupyter_kuberay.spec import ClusterSpec, as_cluster_spec
before = (logging.getLogger().level, list(logging.getLogger().handlers))
taken = codeflare.is_codeflare(object()), as_cluster_spec({"name": "ada"}).name
after = (logging.getLogger().level, list(logging.getLogger().handlers))
heavy = [name for name in ("codeflare_sdk", "kubernetes", "ray") if name in sys.modules]
print(json.dumps([before == after, heavy, taken]))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(told.stdout) == [True, [], [False, "ada"]]
    assert told.stderr == ""


def test_taking_a_request_over_prints_nothing_and_touches_no_logger(sdk, capfd, caplog):
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    codeflare.cluster_spec(sdk.ClusterConfiguration(name="ada"))
    assert (root.level, list(root.handlers)) == before
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
