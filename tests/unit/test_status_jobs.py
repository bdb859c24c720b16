"""What a person is told about jobs; KubeRay's words are those of 1.6.1."""

from datetime import UTC, datetime

import pytest

from jupyter_kuberay.observation import Event, Kind, Node, Observation
from jupyter_kuberay.status import JobPhase, job_status

SELECTED = {"clusterSelector": {"ray.io/cluster": "ada"}}
NOT_FOUND = "RayCluster alice/ada set in the clusterSelector is not found. It must be created manually"
LATE = datetime(2026, 11, 25, 11, 0, tzinfo=UTC)


def job(status=None, spec=None, nodes=(), events=()):
    metadata = {"name": "j", "namespace": "alice", "generation": 1, "creationTimestamp": "2026-11-25T10:00:00Z"}
    resource = {"kind": Kind.JOB, "metadata": metadata, "spec": SELECTED if spec is None else spec, "status": status or {}}
    return Observation(resource=resource, nodes=tuple(nodes), events=tuple(events))


def initializing(**below):
    return {"jobDeploymentStatus": "Initializing", "rayClusterName": "ada", "rayClusterStatus": {"desiredCPU": "0", "head": {}} | below}


@pytest.mark.parametrize(
    ("deployment", "state", "phase"),
    [
        ("", "", JobPhase.PENDING),
        ("Initializing", "", JobPhase.PENDING),
        ("Running", "RUNNING", JobPhase.RUNNING),
        ("Complete", "SUCCEEDED", JobPhase.SUCCEEDED),
        ("Failed", "RUNNING", JobPhase.FAILED),  # a deadline that passed
        ("Complete", "FAILED", JobPhase.FAILED),
        ("Complete", "STOPPED", JobPhase.STOPPED),
        ("Retrying", "FAILED", JobPhase.RETRYING),
        ("ValidationFailed", "", JobPhase.FAILED),
    ],
)
def test_a_job_is_what_its_deployment_and_its_own_state_say_together(deployment, state, phase):
    status = {"jobDeploymentStatus": deployment, "jobStatus": state, "message": "m", "jobId": "j"}
    told = job_status(Observation(resource={"kind": Kind.JOB, "metadata": {"name": "j"}, "spec": SELECTED, "status": status}))
    assert (told.phase, told.cluster, told.job_id) == (phase, "ada", "j")
    assert (told.cause is not None) == (phase is JobPhase.FAILED)
    assert phase.over == (phase in (JobPhase.SUCCEEDED, JobPhase.FAILED, JobPhase.STOPPED))


def test_a_job_that_waits_for_a_cluster_that_is_not_there_says_so():
    told = job_status(job(events=[Event(reason="RayClusterNotFound", message=NOT_FOUND, warning=True)]))
    assert (told.phase, told.cause.what) == (JobPhase.PENDING, NOT_FOUND)
    assert "bring it up" in told.cause.remedy


QUOTA = 'FailedCreateWorkerPod\npods "w" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2'
HEAD_READY = {"type": "HeadPodReady", "status": "True", "reason": "HeadPodRunningAndReady"}


@pytest.mark.parametrize(
    ("below", "what"),
    [
        (
            {"conditions": [HEAD_READY], "desiredWorkerReplicas": 2},
            "It waits for cluster 'ada', of which 0 of 2 workers are ready.",
        ),
        (
            {"conditions": [{"type": "HeadPodReady", "status": "False", "message": "containers with unready status: [ray-head]"}]},
            "It waits for cluster 'ada', whose head is not ready: containers with unready status: [ray-head]",
        ),
        (
            {"conditions": [{"type": "HeadPodReady", "status": "False", "reason": "HeadPodNotFound"}]},
            "It waits for cluster 'ada', whose head is not ready.",
        ),
        (
            {
                "conditions": [
                    {
                        "type": "ReplicaFailure",
                        "status": "True",
                        "message": QUOTA,
                    }
                ]
            },
            "The namespace's quota 'q' has no room for another pod: it needs pods=1 with 2 of 2 in use.",
        ),
    ],
)
def test_a_job_on_a_cluster_that_is_not_ready_says_what_the_cluster_lacks(below, what):
    """KubeRay leaves it in Initializing for ever, without a word. An event from before the cluster was there is over."""
    told = job_status(job(initializing(**below), events=[Event(reason="RayClusterNotFound", message=NOT_FOUND)]))
    assert (told.phase, told.cause.what) == (JobPhase.PENDING, what)


def test_a_job_on_a_cluster_that_is_ready_waits_for_nothing():
    below = {"conditions": [HEAD_READY], "desiredWorkerReplicas": 1, "readyWorkerReplicas": 1}
    assert job_status(job(initializing(**below))).cause is None


def test_a_job_with_a_cluster_of_its_own_says_what_keeps_that_from_starting():
    head = Node(name="j-abcde-head", group="head", reason="Unschedulable", message="0/1 nodes are available: 1 Insufficient cpu.")
    told = job_status(job(initializing(), {"rayClusterSpec": {}}, [head]))
    assert told.cause.what == "The head cannot be placed: 0/1 nodes have enough cpu free."
    refused = Event(reason="FailedToCreateRayCluster", message="Failed to create RayCluster alice/j-abcde: quota", warning=True)
    assert job_status(job(initializing(), {"rayClusterSpec": {}}, events=[refused])).cause.what == refused.message


@pytest.mark.parametrize(
    ("status", "what", "remedy"),
    [
        (
            {"reason": "ValidationFailed", "jobDeploymentStatus": "ValidationFailed", "message": "BackoffLimit is incompatible"},
            "BackoffLimit is incompatible",
            "Change the request",
        ),
        (
            {"reason": "DeadlineExceeded", "jobStatus": "RUNNING", "message": "The RayJob has passed the activeDeadlineSeconds."},
            "The RayJob has passed the activeDeadlineSeconds.",
            "It goes on running on cluster 'ada' until the job is deleted.",
        ),
        (
            {"reason": "DeadlineExceeded", "jobStatus": "STOPPED", "message": "too long"},
            "too long",
            "Give it more time, or make it shorter.",
        ),
        ({"reason": "SubmissionFailed", "message": "Job submission has failed."}, "Job submission has failed.", "Ray did not take the job"),
        (
            {"reason": "AppFailed", "jobStatus": "FAILED", "message": "exit code 1: KeyError: 'x'"},
            "exit code 1: KeyError: 'x'",
            "Read its log",
        ),
        ({"reason": "", "jobStatus": "FAILED"}, "It ended with an error.", "Read its log"),
    ],
)
def test_a_job_that_failed_says_how_and_what_to_do(status, what, remedy):
    told = job_status(job({"jobDeploymentStatus": "Failed"} | status))
    assert (told.phase, told.cause.what) == (JobPhase.FAILED, what)
    assert remedy in told.cause.remedy


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ({"jobDeploymentStatus": "Retrying", "jobStatus": "FAILED"}, JobPhase.RETRYING),
        ({"jobDeploymentStatus": "", "jobStatus": ""}, JobPhase.RETRYING),  # all of the last try is wiped
        ({"jobDeploymentStatus": "Initializing"}, JobPhase.RETRYING),
        ({"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}, JobPhase.RUNNING),
    ],
)
def test_a_job_that_is_tried_again_says_which_try_it_is(status, phase):
    told = job_status(job(status | {"failed": 1}, {"backoffLimit": 2, "rayClusterSpec": {}}))
    assert (told.phase, told.notes) == (phase, ("1 of 3 tries failed.",))


def test_a_job_whose_cluster_went_while_it_ran_has_failed_though_kuberay_calls_it_running():
    status = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING", "rayJobInfo": {"startTime": "2026-11-25T10:05:00Z"}}
    before, after = (Event(reason="RayClusterNotFound", message=NOT_FOUND, time=f"2026-11-25T10:0{minute}:00Z") for minute in (1, 9))
    told = job_status(job(status, events=[after]))
    assert (told.phase, told.cause.what) == (JobPhase.FAILED, "Its cluster 'ada' went while it ran.")
    assert job_status(job(status, events=[before])).phase is JobPhase.RUNNING


@pytest.mark.parametrize(("state", "what"), [("Suspended", "It is suspended."), ("Waiting", "It waits for a job of Ray to follow.")])
def test_a_job_that_waits_for_a_person_says_so(state, what):
    assert job_status(job({"jobDeploymentStatus": state})).cause.what == what


def test_a_job_for_which_no_operator_cares_says_so():
    assert "the KubeRay operator does not answer" in job_status(job(), LATE).cause.what
    assert job_status(job()).cause is None
