"""Why a cluster on Kubernetes is not well, and what helps: one sentence each.

The texts are those of Kubernetes 1.34, containerd 2 and KubeRay 1.6.1, as they come in pods, events and conditions.
"""

from datetime import UTC, datetime, timedelta

import pytest

from jupyter_kuberay.observation import Event, Kind, Node, Observation
from jupyter_kuberay.status import Phase, cluster_status

HEAD = Node(name="ada-head-8x2vk", group="head", ready=True, started="2026-11-25T10:00:00Z")
WORKER = Node(name="ada-gpu-worker-aaaaa", group="gpu", ready=True)
NO_PREEMPTION = "no new claims to deallocate, preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."
PROVISIONED = {"type": "RayClusterProvisioned", "status": "True", "reason": "AllPodRunningAndReadyFirstTime"}
CREATED = "2026-11-25T09:59:00Z"
NOW = datetime(2026, 11, 25, 10, 5, tzinfo=UTC)


def waiting(reason="", message="", name="ada-gpu-worker-bbbbb", group="gpu", **more):
    return Node(name=name, group=group, reason=reason, message=message, **more)


def cluster(*nodes, replicas=2, conditions=(), events=(), status=None, spec=None, labels=None, **group):
    template = {"spec": {"containers": [{"name": "ray-worker", "resources": {"limits": {"cpu": "4", "nvidia.com/gpu": 1}}}]}}
    whole = {"groupName": "gpu", "replicas": replicas, "minReplicas": 0, "maxReplicas": 4, "template": template} | group
    told = {"observedGeneration": 1, "conditions": list(conditions)} if status is None else status
    metadata = {"name": "ada", "namespace": "alice", "generation": 1, "creationTimestamp": CREATED}
    resource = {
        "kind": Kind.CLUSTER,
        "metadata": metadata | {"labels": {"jupyter-kuberay/name": "ada"} if labels is None else labels},
        "spec": {"rayVersion": "2.58.0", "workerGroupSpecs": [whole]} | (spec or {}),
        "status": told,
    }
    return Observation(resource=resource, nodes=nodes, events=tuple(events))


# --- no place ------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "why", "remedy"),
    [
        pytest.param(
            f"0/3 nodes are available: 3 Insufficient nvidia.com/gpu. {NO_PREEMPTION}",
            "0/3 nodes have nvidia.com/gpu free.",
            "Ask for less",
            id="all GPUs are in use",
        ),
        pytest.param(
            "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) had untolerated taint {nvidia.com/gpu: true}. "
            "preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for "
            "scheduling.",
            "0/3 nodes have nvidia.com/gpu free for it: nvidia.com/gpu is short on 1, 2 have the taint nvidia.com/gpu, which it does not "
            "tolerate.",
            "tolerate the taint nvidia.com/gpu",
            id="GPUs behind a taint",
        ),
        pytest.param(
            "0/2 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 1 node(s) had untolerated "
            "taint {ray.io/node-type: worker}. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling..",
            "0/2 nodes take it: 1 is kept for the control plane, 1 has the taint ray.io/node-type=worker, which it does not tolerate.",
            "Let the group tolerate the taint ray.io/node-type=worker",
            id="a taint without toleration",
        ),
        pytest.param(
            "0/4 nodes are available: 2 Insufficient memory, 3 Insufficient cpu, 4 Insufficient nvidia.com/gpu.",
            "0/4 nodes have enough memory, cpu and nvidia.com/gpu free for it: memory is short on 2, cpu is short on 3, nvidia.com/gpu is "
            "short on 4.",
            "Ask for less",
            id="several things are short",
        ),
        pytest.param(
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. preemption: 0/2 nodes are available: 2 "
            "Preemption is not helpful for scheduling.",
            "0/2 nodes take it: 2 do not match its node selector.",
            "Correct node_selector",
            id="labels that no node has",
        ),
        pytest.param(
            "0/2 nodes are available: 1 node(s) were unschedulable, 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
            "0/2 nodes take it: 1 is cordoned, 1 is not ready.",
            "Wait until nodes are free again",
            id="nodes in repair",
        ),
        pytest.param(
            '0/1 nodes are available: persistentvolumeclaim "models" not found. not found',
            'persistentvolumeclaim "models" not found.',
            "Make the claim first",
            id="a claim that is not there",
        ),
        pytest.param(
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1 nodes are available: 1 "
            "Preemption is not helpful for scheduling.",
            "pod has unbound immediate PersistentVolumeClaims.",
            "nothing gives it a volume",
            id="a claim without a volume",
        ),
        pytest.param("no nodes available to schedule pods", "there are no nodes.", "ask your administrator", id="no nodes"),
        pytest.param(
            "0/1 nodes are available: 1 Insufficient memory. 0.5 GiB are free, and a worker needs 1.0 GiB.",
            "0/1 nodes have enough memory free: 0.5 GiB are free, and a worker needs 1.0 GiB.",
            "Ask for less",
            id="this machine, with its own numbers",
        ),
        pytest.param("The machine is on fire.", "The machine is on fire.", "Ask for less", id="words that nobody knows"),
    ],
)
def test_a_worker_that_finds_no_place_says_what_is_short_on_how_many_nodes(message, why, remedy):
    status = cluster_status(cluster(HEAD, WORKER, waiting("Unschedulable", message), conditions=[PROVISIONED]))
    assert (status.phase, status.cause.what) == (Phase.DEGRADED, f"1 of 2 gpu workers cannot be placed: {why}")
    assert remedy in status.cause.remedy


def test_workers_that_lack_the_same_are_counted_together():
    message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    nodes = (HEAD, waiting("Unschedulable", message, "a"), waiting("Unschedulable", message, "b"), waiting("", "", "c"))
    assert (
        cluster_status(cluster(*nodes, replicas=3)).cause.what == "2 of 3 gpu workers cannot be placed: 0/3 nodes have nvidia.com/gpu free."
    )


def test_a_head_that_finds_no_place_is_the_cause_whatever_its_workers_say():
    head = waiting("Unschedulable", "0/1 nodes are available: 1 Insufficient cpu.", "ada-head", "head")
    status = cluster_status(cluster(waiting("WaitingForHead", "It waits until the head answers."), head))
    assert (status.phase, status.cause.what) == (Phase.STARTING, "The head cannot be placed: 0/1 nodes have enough cpu free.")


def test_workers_that_wait_for_a_head_that_is_still_starting_are_no_fault():
    head = waiting("ContainerCreating", "", "ada-head", "head")
    status = cluster_status(cluster(head, waiting("WaitingForHead", "It waits until the head answers.")))
    assert (status.phase, status.cause.what) == (Phase.STARTING, "The head is starting.")


def test_what_waits_in_a_queue_says_so():
    head = waiting("SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates", "ada-head", "head")
    assert cluster_status(cluster(head)).cause.what.startswith("The head is held back: Scheduling is blocked")


# --- no image ------------------------------------------------------------

NOT_THERE = (
    'Back-off pulling image "rayproject/ray:9.9.9": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image '
    '"docker.io/rayproject/ray:9.9.9": failed to resolve reference "docker.io/rayproject/ray:9.9.9": not found'
)
DENIED = (
    'failed to pull and unpack image "docker.io/nobody/nothing:1": failed to resolve reference "docker.io/nobody/nothing:1": pull access '
    "denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed"
)
NO_REGISTRY = (
    'failed to pull image "registry.nowhere/ray:1": failed to do request: Head "https://registry.nowhere/v2/ray/manifests/1": dial tcp: '
    "lookup registry.nowhere on 10.96.0.10:53: no such host"
)


@pytest.mark.parametrize(
    ("reason", "message", "why", "remedy"),
    [
        ("ImagePullBackOff", NOT_THERE, "there is no rayproject/ray:9.9.9.", "name and tag"),
        ("ErrImagePull", DENIED, "there is no docker.io/nobody/nothing:1, or it cannot be had without a login.", "may pull it"),
        ("ErrImagePull", NO_REGISTRY, "the registry of registry.nowhere/ray:1 cannot be reached from the nodes.", "Wait"),
        ("ErrImagePull", 'image "r/x:1": 401 unauthorized', "the registry does not give r/x:1 to this cluster.", "pull secret"),
        (
            "ErrImagePull",
            'image "r/x:1": toomanyrequests: rate limit',
            "the registry has had too many requests for now.",
            "another registry",
        ),
        ("ErrImagePull", 'image "r/x:1": no match for platform in manifest', "r/x:1 is not made for these nodes' processors.", "for them"),
        ("ErrImagePull", "something else", "something else", "name and tag"),
    ],
)
def test_an_image_that_cannot_be_pulled_is_named_with_the_reason(reason, message, why, remedy):
    status = cluster_status(cluster(waiting(reason, message, "ada-head", "head")))
    assert (status.phase, status.cause.what) == (Phase.STARTING, f"The head cannot pull its image: {why}")
    assert remedy in status.cause.remedy


def test_a_pod_that_only_waits_for_the_next_pull_is_told_with_what_the_last_one_said():
    failed = Event(reason="Failed", message=f'Failed to pull image "nobody/nothing:1": {DENIED}', warning=True, about="ada-head")
    head = waiting("ImagePullBackOff", 'Back-off pulling image "nobody/nothing:1"', "ada-head", "head")
    what = cluster_status(cluster(head, events=[failed])).cause.what
    assert what == "The head cannot pull its image: there is no nobody/nothing:1, or it cannot be had without a login."


def test_an_image_whose_name_is_none_is_hopeless():
    message = 'Failed to apply default image tag "Ray:1": couldn\'t parse image name "Ray:1": invalid reference format'
    status = cluster_status(cluster(HEAD, waiting("InvalidImageName", message)))
    assert (status.phase, status.cause.remedy) == (Phase.FAILED, "Correct the image's name.")


# --- it does not run, or no longer ---------------------------------------


@pytest.mark.parametrize(
    ("reason", "message", "what", "remedy"),
    [
        (
            "CrashLoopBackOff",
            "It ended with exit code 1: ValueError: Total memory exceeds the limit.",
            "1 of 2 gpu workers does not run: It ended with exit code 1: ValueError: Total memory exceeds the limit.",
            "right after its start",
        ),
        (
            "CrashLoopBackOff",
            "It ended with exit code 127: /bin/bash: line 1: ray: command not found",
            "1 of 2 gpu workers does not run: It ended with exit code 127: /bin/bash: line 1: ray: command not found",
            "image that has Ray",
        ),
        (
            "OOMKilled",
            "It ended with exit code 137: it needed more memory than its limit.",
            "1 of 2 gpu workers does not run: It ended with exit code 137: it needed more memory than its limit.",
            "more memory",
        ),
        (
            "CreateContainerConfigError",
            'secret "hf-token" not found',
            '1 of 2 gpu workers does not run: secret "hf-token" not found',
            "Make the Secret",
        ),
        (
            "Evicted",
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 52Mi.",
            "1 of 2 gpu workers was evicted: The node was low on resource: memory. Threshold quantity: 100Mi, available: 52Mi.",
            "a new one takes its place",
        ),
        (
            "NodeLost",
            "Node gpu-1 which was running pod ada-gpu-worker-bbbbb is unresponsive",
            "1 of 2 gpu workers has lost its machine: Node gpu-1 which was running pod ada-gpu-worker-bbbbb is unresponsive",
            "administrator",
        ),
        ("StartError", "no such device", "1 of 2 gpu workers does not run: no such device", "Read the log"),
    ],
)
def test_a_worker_that_does_not_run_says_why(reason, message, what, remedy):
    status = cluster_status(cluster(HEAD, WORKER, waiting(reason, message), conditions=[PROVISIONED]))
    assert (status.phase, status.cause.what) == (Phase.DEGRADED, what)
    assert remedy in status.cause.remedy


@pytest.mark.parametrize(
    ("reason", "node", "message", "told"),
    [
        ("FailedMount", "ContainerCreating", 'MountVolume.SetUp failed for volume "w" : configmap "w" not found', "does not run"),
        ("NodeNotReady", "", "Node is not ready", "has lost its machine"),
        ("TaintManagerEviction", "Terminating", "Marking for deletion Pod alice/ada-gpu-worker-bbbbb", "has lost its machine"),
        ("Preempted", "Terminating", "Preempted by pod 3f9 on node gpu-1", "had to make room for another pod"),
    ],
)
def test_what_a_pod_does_not_say_itself_its_newest_event_says(reason, node, message, told):
    event = Event(reason=reason, message=message, about="ada-gpu-worker-bbbbb")
    status = cluster_status(cluster(HEAD, WORKER, waiting(node), conditions=[PROVISIONED], events=[event]))
    assert status.cause.what == f"1 of 2 gpu workers {told}: {message}"
    # Something newer happened to it: then it is over.
    newer = Event(reason="Pulling", message='Pulling image "rayproject/ray:2.58.0-py311"', about="ada-gpu-worker-bbbbb")
    status = cluster_status(cluster(HEAD, WORKER, waiting(node), conditions=[PROVISIONED], events=[newer, event]))
    assert status.cause.what == "The head is up; 1 of 2 workers have joined."


def test_a_worker_that_went_is_told_while_the_new_one_starts():
    event = Event(reason="Evicted", message="The node was low on resource: memory.", warning=True, about="ada-gpu-worker-zzzzz")
    status = cluster_status(cluster(HEAD, WORKER, waiting("PodInitializing"), conditions=[PROVISIONED], events=[event]))
    what = "The head is up; 1 of 2 workers have joined. ada-gpu-worker-zzzzz was evicted: The node was low on resource: memory."
    assert (status.phase, status.cause.what) == (Phase.DEGRADED, what)
    assert cluster_status(cluster(HEAD, WORKER, replicas=1, events=[event])).cause is None


# --- not let in ----------------------------------------------------------

QUOTA = (
    'pods "ada-gpu-worker-2l8d9" is forbidden: exceeded quota: small, requested: requests.memory=16Gi, used: requests.memory=2Gi, limited: '
    "requests.memory=4Gi"
)
PRIVILEGED = (
    'pods "ada-head-x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container '
    '"ray-head" must set securityContext.allowPrivilegeEscalation=false)'
)
UNDERSCORE = 'Pod "ada-w_x-worker-abc" is invalid: metadata.name: Invalid value: "ada-w_x-worker-abc": a lowercase RFC 1123 subdomain'


@pytest.mark.parametrize(
    ("message", "what", "remedy"),
    [
        (
            QUOTA,
            "The namespace's quota 'small' has no room for another pod: it needs requests.memory=16Gi with 2Gi of 4Gi in use.",
            "larger quota",
        ),
        (
            PRIVILEGED,
            "The namespace takes only pods of Pod Security level 'restricted': allowPrivilegeEscalation != false",
            "pod_security='restricted'",
        ),
        (
            'admission webhook "policy.example.com" denied the request: GPUs need a cost centre',
            "The cluster's admission webhook 'policy.example.com' refuses the pod: GPUs need a cost centre",
            "as it says",
        ),
        (
            'pods "x" is forbidden: maximum memory usage per Container is 4Gi, but limit is 16Gi',
            "The namespace's bounds do not allow it: maximum memory usage per Container is 4Gi, but limit is 16Gi",
            "within these bounds",
        ),
        (
            'pods "x" is forbidden: error looking up service account alice/ray: serviceaccount "ray" not found',
            'error looking up service account alice/ray: serviceaccount "ray" not found',
            "service account that exists",
        ),
        (UNDERSCORE, UNDERSCORE, "makes no such pod"),
    ],
)
def test_a_pod_that_is_not_let_in_is_told_from_condition_and_event_alike(message, what, remedy):
    failure = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreateWorkerPod",
        "message": f"FailedCreateWorkerPod\n{message}",
    }
    by_condition = cluster_status(cluster(HEAD, WORKER, conditions=[PROVISIONED, failure]))
    text = f"Failed to create worker Pod for the cluster alice/ada, {message}"
    event = Event(reason="FailedToCreateWorkerPod", message=text, warning=True, time="2026-11-25T10:01:00Z")
    by_event = cluster_status(cluster(HEAD, WORKER, events=[event]))
    for status in (by_condition, by_event):
        assert status.cause.what.startswith(what)
        assert remedy in status.cause.remedy
    assert by_condition.phase is Phase.DEGRADED


def test_a_quota_that_was_too_small_is_forgotten_once_the_pod_is_made():
    failed = Event(reason="FailedToCreateWorkerPod", message=QUOTA, warning=True, time="2026-11-25T10:01:00Z")
    made = Event(reason="CreatedWorkerPod", message="Created worker Pod alice/ada-gpu-worker-bbbbb", time="2026-11-25T10:02:00Z")
    assert "quota" in cluster_status(cluster(HEAD, WORKER, events=[failed])).cause.what
    for seen in (
        cluster(HEAD, WORKER, waiting("ContainerCreating"), events=[made, failed]),
        cluster(HEAD, WORKER, waiting("ContainerCreating"), conditions=[PROVISIONED], events=[failed]),
    ):
        assert cluster_status(seen).cause.what == "The head is up; 1 of 2 workers have joined."


# --- the operator --------------------------------------------------------


def test_a_refusal_that_only_an_event_tells_is_hopeless_until_the_request_is_corrected():
    message = "The RayCluster spec is invalid alice/ada: worker group gpu has minReplicas 3 greater than maxReplicas 1"
    event = Event(reason="InvalidRayClusterSpec", message=message, warning=True)
    status = cluster_status(cluster(status={}, events=[event]), NOW)
    assert (status.phase, status.cause.what) == (Phase.FAILED, message)
    assert "refuses" in status.cause.remedy
    taken_up = cluster(events=[event])
    assert cluster_status(taken_up).cause.what == "It has been asked for, and nothing runs yet."


def test_a_name_that_the_operator_refuses_is_told():
    message = "The RayCluster metadata is invalid alice/ada: RayCluster name should be no more than 53 characters"
    status = cluster_status(cluster(status={}, events=[Event(reason="InvalidRayClusterMetadata", message=message, warning=True)]))
    assert (status.phase, status.cause.remedy) == (Phase.FAILED, "Choose another name: the operator refuses this one.")


def test_a_change_that_the_operator_refuses_leaves_a_cluster_that_runs_degraded():
    event = Event(reason="InvalidRayClusterSpec", message="worker group gpu has negative minReplicas -1", warning=True)
    seen = cluster(HEAD, WORKER, replicas=1, conditions=[PROVISIONED], events=[event])
    seen.resource["metadata"]["generation"] = 2
    status = cluster_status(seen)
    assert (status.phase, status.cause.what) == (Phase.DEGRADED, event.message)


@pytest.mark.parametrize(
    ("seconds", "told"), [(9, "It has been asked for, and nothing runs yet."), (11, "the KubeRay operator does not answer")]
)
def test_without_an_operator_nothing_happens_and_that_is_said_after_ten_seconds(seconds, told):
    now = datetime.fromisoformat(CREATED) + timedelta(seconds=seconds)
    status = cluster_status(cluster(status={}), now)
    assert status.phase is Phase.PENDING
    assert told in status.cause.what
    if seconds > 10:
        assert "namespace 'alice'" in status.cause.remedy


def test_silence_is_told_of_nothing_that_something_was_heard_of():
    created = Event(reason="CreatedHeadPod", message="Created head Pod alice/ada-head")
    elsewhere = {"managedBy": "kueue.x-k8s.io/multikueue"}
    for seen in (cluster(), cluster(status={}, events=[created]), cluster(waiting(), status={}), cluster(status={}, spec=elsewhere)):
        assert "operator" not in cluster_status(seen, NOW).cause.what
    assert "operator" not in cluster_status(cluster(status={})).cause.what, "without a clock nobody knows"


def test_two_groups_of_one_name_are_told_because_kuberay_says_nothing():
    seen = cluster(HEAD, WORKER, replicas=1, conditions=[PROVISIONED])
    seen.spec["workerGroupSpecs"].append(seen.spec["workerGroupSpecs"][0])
    status = cluster_status(seen)
    assert (status.phase, status.ready, status.wanted) == (Phase.DEGRADED, {"gpu": 1}, {"gpu": 2})
    assert status.cause.what == "2 worker groups are called 'gpu', and KubeRay makes the pods of one only."


def test_kuberays_own_count_of_ready_workers_is_not_needed_and_may_be_absent():
    told = {"state": "ready", "desiredWorkerReplicas": 2, "conditions": [PROVISIONED], "observedGeneration": 1}
    status = cluster_status(cluster(HEAD, WORKER, waiting("Terminating"), status=told))
    assert (status.phase, status.ready, status.wanted) == (Phase.DEGRADED, {"gpu": 1}, {"gpu": 2})


def test_a_suspended_cluster_is_stopping_until_its_last_pod_is_gone():
    assert cluster_status(cluster(waiting("Terminating"), spec={"suspend": True})).phase is Phase.STOPPING
    assert cluster_status(cluster(spec={"suspend": True})).phase is Phase.SUSPENDED


# --- how many ------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "wanted"),
    [
        ({"replicas": 3, "numOfHosts": 4}, 12),
        ({"replicas": 3, "suspend": True}, 0),
        ({"replicas": 3, "maxReplicas": 0}, 0),
        ({"replicas": None, "minReplicas": 2}, 2),
    ],
)
def test_wanted_workers_are_counted_as_kuberay_counts_them(group, wanted):
    assert cluster_status(cluster(HEAD, **group)).wanted == {"gpu": wanted}


@pytest.mark.parametrize(("replicas", "maximum", "said"), [(4, 4, True), (3, 4, False), (5, 4, True)])
def test_with_autoscaling_a_group_at_its_maximum_says_why_there_are_not_more(replicas, maximum, said):
    seen = cluster(HEAD, replicas=replicas, maxReplicas=maximum, spec={})
    seen.spec["enableInTreeAutoscaling"] = True
    expected = ("Group 'gpu' has its maximum of 4: Ray adds no more workers to it.",) if said else ()
    assert cluster_status(seen).notes == expected
    seen.spec["enableInTreeAutoscaling"] = False
    assert cluster_status(seen).notes == ()


def test_gpus_are_counted_by_any_name_that_kubernetes_has_for_them():
    for resource in ("nvidia.com/gpu", "amd.com/gpu", "nvidia.com/mig-1g.5gb", "nvidia.com/gpu.shared", "google.com/tpu"):
        template = {"spec": {"containers": [{"name": "w", "resources": {"limits": {"cpu": "4", "memory": "8Gi", resource: "2"}}}]}}
        assert cluster_status(cluster(HEAD, template=template)).gpus == 4
