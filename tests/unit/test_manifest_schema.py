"""Whatever can be asked for is something that KubeRay takes, and can be read back."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from jupyter_kuberay import manifest
from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.observation import Bundle
from jupyter_kuberay.spec import Application, ClusterSpec, HeadSpec, JobSpec, ServiceSpec, Toleration, WorkerGroup
from tests.schema import violations
from tests.specs import clusters, jobs, services

# The strategies are large, so making one takes a moment on a busy machine.
many = settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def travelled(bundle: Bundle):
    """The resource as it arrives: JSON has no tuples and no shared parts."""
    return json.loads(json.dumps(bundle.resource, allow_nan=False))


@many
@given(clusters())
def test_every_cluster_is_one_that_kuberay_takes_and_can_be_read_back(spec: ClusterSpec):
    resource = travelled(manifest.cluster_bundle(spec))
    assert violations(resource) == []
    assert manifest.read_cluster(resource) == spec


@many
@given(services())
def test_every_service_is_one_that_kuberay_takes_and_can_be_read_back(spec: ServiceSpec):
    resource = travelled(manifest.service_bundle(spec))
    assert violations(resource) == []
    assert manifest.read_service(resource) == spec


@many
@given(jobs())
def test_every_job_is_one_that_kuberay_takes_and_can_be_read_back(spec: JobSpec):
    resource = travelled(manifest.job_bundle(spec))
    assert violations(resource) == []
    assert manifest.read_job(resource) == spec


# The text summarizer that this project began with: one GPU node with a taint, one CPU node, Ray 2.7.
WORKING_DIR = "https://github.com/ray-project/serve_config_examples/archive/refs/heads/master.zip"
SUMMARIZER = ServiceSpec(
    name="text-summarizer",
    applications=(
        Application(
            name="text_summarizer",
            import_path="text_summarizer.text_summarizer:deployment",
            runtime_env={"working_dir": WORKING_DIR},
        ),
    ),
    service_unhealthy_seconds=900,
    deployment_unhealthy_seconds=300,
    cluster=ClusterSpec(
        name="text-summarizer",
        ray_version="2.7.0",
        image="rayproject/ray-ml:2.7.0",
        auth="disabled",
        head=HeadSpec(cpu="2", memory="8G", ports={"gcs-server": 6379, "dashboard": 8265, "client": 10001, "serve": 8000}),
        worker_groups=(
            WorkerGroup(
                name="gpu-group",
                replicas=1,
                minimum=1,
                maximum=10,
                cpu="4",
                memory="16G",
                gpus=1,
                tolerations=(Toleration(key="ray.io/node-type", operator="Equal", value="worker", effect="NoSchedule"),),
            ),
        ),
    ),
)
HEAD = ("spec", "rayClusterConfig", "headGroupSpec")
HEAD_CONTAINER = (*HEAD, "template", "spec", "containers", 0)
GROUP = ("spec", "rayClusterConfig", "workerGroupSpecs", 0)
WORKER = (*GROUP, "template", "spec", "containers", 0)

WRITTEN_BY_HAND: dict[tuple[str | int, ...], Any] = {
    ("apiVersion",): "ray.io/v1",
    ("kind",): "RayService",
    ("metadata", "name"): "text-summarizer",
    ("spec", "serviceUnhealthySecondThreshold"): 900,
    ("spec", "deploymentUnhealthySecondThreshold"): 300,
    ("spec", "rayClusterConfig", "rayVersion"): "2.7.0",
    (*HEAD, "rayStartParams"): {"dashboard-host": "0.0.0.0"},
    (*HEAD_CONTAINER, "image"): "rayproject/ray-ml:2.7.0",
    (*HEAD_CONTAINER, "ports"): [
        {"name": "gcs-server", "containerPort": 6379},
        {"name": "dashboard", "containerPort": 8265},
        {"name": "client", "containerPort": 10001},
        {"name": "serve", "containerPort": 8000},
    ],
    (*HEAD_CONTAINER, "resources", "limits"): {"cpu": "2", "memory": "8G"},
    (*HEAD_CONTAINER, "resources", "requests"): {"cpu": "2", "memory": "8G"},
    (*GROUP, "groupName"): "gpu-group",
    (*GROUP, "replicas"): 1,
    (*GROUP, "minReplicas"): 1,
    (*GROUP, "maxReplicas"): 10,
    (*GROUP, "rayStartParams"): {},
    (*WORKER, "image"): "rayproject/ray-ml:2.7.0",
    (*WORKER, "resources", "limits"): {"cpu": "4", "memory": "16G", "nvidia.com/gpu": 1},
    (*GROUP, "template", "spec", "tolerations"): [
        {"key": "ray.io/node-type", "operator": "Equal", "value": "worker", "effect": "NoSchedule"}
    ],
}


def at(manifest: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        manifest = manifest[step]
    return manifest


@pytest.mark.parametrize(
    ("path", "value"), WRITTEN_BY_HAND.items(), ids=lambda path: ".".join(map(str, path)) if isinstance(path, tuple) else ""
)
def test_the_text_summarizer_that_was_written_by_hand_can_be_asked_for_whole(path, value):
    assert at(travelled(manifest.service_bundle(SUMMARIZER)), path) == value


def test_the_text_summarizer_says_nothing_that_was_not_written_by_hand():
    resource = travelled(manifest.service_bundle(SUMMARIZER))
    assert violations(resource) == []
    assert manifest.read_service(resource) == SUMMARIZER
    assert set(resource["spec"]) == {
        "serveConfigV2",
        "rayClusterConfig",
        "serviceUnhealthySecondThreshold",
        "deploymentUnhealthySecondThreshold",
    }
    assert set(resource["spec"]["rayClusterConfig"]) == {"rayVersion", "headGroupSpec", "workerGroupSpecs"}, "no authOptions for Ray 2.7"
    (application,) = yaml.safe_load(resource["spec"]["serveConfigV2"])["applications"]
    assert application == {
        "name": "text_summarizer",
        "route_prefix": "/",
        "import_path": "text_summarizer.text_summarizer:deployment",
        "runtime_env": {"working_dir": WORKING_DIR},
    }


def test_the_text_summarizer_is_warned_of_what_is_no_longer_good():
    warnings = " ".join(SUMMARIZER.warnings())
    assert "asks for no token" in warnings
    assert "service_unhealthy_seconds, which is deprecated" in warnings
    assert "deployment_unhealthy_seconds, which is deprecated" in warnings


def test_with_a_ray_of_today_the_text_summarizer_asks_for_its_token():
    today = SUMMARIZER.changed(cluster=SUMMARIZER.cluster.changed(ray_version="2.58.0", auth="token"))
    resource = travelled(manifest.service_bundle(today))
    assert resource["spec"]["rayClusterConfig"]["authOptions"] == {"mode": "token"}
    with pytest.raises(InvalidSpec, match="knows no tokens"):
        SUMMARIZER.cluster.changed(auth="token")


def test_what_another_tool_wrote_comes_out_again_as_it_was():
    """Details that no field of ours has: a log volume, requests below limits, ports by other names, no route."""
    by_hand = travelled(manifest.service_bundle(SUMMARIZER))
    by_hand["metadata"].pop("labels")
    by_hand["spec"]["serveConfigV2"] = "applications:\n  - name: text_summarizer  # the first one\n    import_path: a.b:c\n"
    head = at(by_hand, HEAD)["template"]["spec"]
    head["volumes"] = [{"name": "ray-logs", "emptyDir": {}}]
    head["containers"][0] |= {
        "volumeMounts": [{"name": "ray-logs", "mountPath": "/tmp/ray"}],
        "ports": [{"name": "gcs", "containerPort": 6379}, {"containerPort": 8265}],
    }
    at(by_hand, WORKER)["resources"]["requests"] = {"cpu": "3", "memory": "12Gi", "nvidia.com/gpu": "1"}
    assert violations(by_hand) == []

    spec = manifest.read_service(by_hand)
    assert (spec.cluster.worker_groups[0].gpus, spec.applications[0].name) == (1, "text_summarizer")
    again = travelled(manifest.service_bundle(spec))["spec"]
    # Its text is YAML: layout and remarks are not kept, what it says is.
    assert yaml.safe_load(again.pop("serveConfigV2")) == yaml.safe_load(by_hand["spec"].pop("serveConfigV2"))
    assert again == by_hand["spec"]
