"""Whatever is seen, a status can be told of it, and what is not well has a cause and something to do."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_kuberay import manifest
from jupyter_kuberay.observation import Event, Node, Observation
from jupyter_kuberay.spec import ClusterSpec
from jupyter_kuberay.status import JobPhase, Phase, judge
from jupyter_kuberay.status.causes import OF_NODES, OF_RESOURCES
from tests.specs import clusters, jobs, services

REASONS = st.sampled_from(["", "Unschedulable", "ErrImagePull", "FailedToCreateWorkerPod", "Normal", *OF_NODES, *OF_RESOURCES])
WORDS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["0/3 nodes are available: 1 Insufficient cpu, 2 Too many pods.", 'pods "x" is forbidden: exceeded quota: q, requested: pods=1']
    ),
)
EVENTS = st.lists(st.builds(Event, reason=REASONS, message=WORDS, about=st.sampled_from(["", "a", "gone"])), max_size=3).map(tuple)
CONDITIONS = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["Ready", "HeadPodReady", "ReplicaFailure", "RayClusterProvisioned"]),
            "status": st.sampled_from(["True", "False"]),
            "reason": REASONS,
            "message": WORDS,
        }
    ),
    max_size=3,
)
APPLICATIONS = st.dictionaries(
    st.text(max_size=5), st.fixed_dictionaries({"status": st.sampled_from(["RUNNING", "DEPLOY_FAILED"])}), max_size=2
)
PART = st.fixed_dictionaries({}, optional={"rayClusterName": st.sampled_from(["s-a", "s-b"]), "applicationStatuses": APPLICATIONS})
STATUSES = st.fixed_dictionaries(
    {},
    optional={
        "observedGeneration": st.integers(0, 2),
        "conditions": CONDITIONS,
        "activeServiceStatus": PART,
        "pendingServiceStatus": PART,
        "jobDeploymentStatus": st.sampled_from(
            ["", "Initializing", "Running", "Complete", "Failed", "Retrying", "ValidationFailed", "Waiting"]
        ),
        "jobStatus": st.sampled_from(["", "PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED"]),
        "rayClusterStatus": st.fixed_dictionaries({}, optional={"conditions": CONDITIONS, "desiredWorkerReplicas": st.integers(0, 3)}),
    },
)
BUNDLES = st.one_of(clusters().map(manifest.cluster_bundle), services().map(manifest.service_bundle), jobs().map(manifest.job_bundle))


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data(), bundle=BUNDLES, status=STATUSES, events=EVENTS, generation=st.integers(0, 2))
def test_a_status_is_told_of_everything_and_a_trouble_never_without_its_cause(data, bundle, status, events, generation):
    resource = json.loads(json.dumps(bundle.resource))
    resource["metadata"] |= {"generation": generation, "namespace": "alice", "creationTimestamp": "2026-11-25T10:00:00Z"}
    groups = ["head", *(group["groupName"] for group in resource["spec"].get("workerGroupSpecs") or [])]
    node = st.builds(
        Node, name=st.sampled_from(["a", "s-a-head"]), group=st.sampled_from(groups), ready=st.booleans(), reason=REASONS, message=WORDS
    )
    seen = Observation(resource=resource | {"status": status}, nodes=tuple(data.draw(st.lists(node, max_size=3))), events=events)
    told = judge(seen)
    if isinstance(told.phase, Phase):
        assert (told.cause is None) == (told.phase in (Phase.READY, Phase.SUSPENDED, Phase.STOPPING))
    elif told.phase is JobPhase.FAILED:
        assert told.cause is not None
    if told.cause:
        assert told.cause.what and told.cause.remedy.endswith(".")
    assert type(told).model_validate_json(told.model_dump_json()) == told


def test_an_event_without_a_word_is_no_cause_without_one():
    resource = manifest.cluster_bundle(ClusterSpec(name="a")).resource
    seen = Observation(resource=resource | {"status": {}}, events=(Event(reason="FailedToCreateWorkerPod", message=""),))
    assert judge(seen).cause.what == "A pod cannot be made, and no reason is given."
