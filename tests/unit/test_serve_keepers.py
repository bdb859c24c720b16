"""What is told of a RayService and a RayJob on this machine, from what Ray says of them. Ray's answers are those of 2.58."""

from datetime import UTC, datetime, timedelta

import pytest

from jupyter_kuberay.backends.local.jobs import begun, overdue, past_deadline, problem_of, progressed, submission
from jupyter_kuberay.backends.local.services import adapted, runs, service_status
from jupyter_kuberay.observation import Observation
from jupyter_kuberay.status import Phase
from jupyter_kuberay.status import service_status as judged

CONFIG = """
proxy_location: EveryNode
http_options: {host: 0.0.0.0, port: 8000, request_timeout_s: 5}
applications:
  - {name: tiny, route_prefix: /tiny, import_path: "jupyter_kuberay_loader:build", args: {app: "tiny:app"}}
"""
WANTED = adapted(CONFIG, 24003)
RESOURCE = {"kind": "RayService", "metadata": {"name": "tiny", "generation": 3}, "spec": {"serveConfigV2": CONFIG}}


def details(status="RUNNING", message="", deployment="HEALTHY"):
    deployments = {"Tiny": {"status": deployment, "message": "", "replicas": []}}
    return {"applications": {"tiny": {"status": status, "message": message, "deployments": deployments}}}


def told(found, endpoints=1, refusal=None, before=None):
    status = service_status(RESOURCE, before or {}, WANTED, found, endpoints, refusal)
    ready = next(condition for condition in status["conditions"] if condition["type"] == "Ready")
    return status, ready


def test_serve_is_kept_to_loopback_and_one_proxy_and_the_rest_of_the_configuration_stays():
    assert WANTED["http_options"] == {"host": "127.0.0.1", "port": 24003, "request_timeout_s": 5}
    assert WANTED["proxy_location"] == "HeadOnly"
    assert WANTED["applications"][0]["args"] == {"app": "tiny:app"}
    assert WANTED["applications"][0]["route_prefix"] == "/tiny"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no list"),
        ("a: [b\nc: :", "not YAML.*line 2"),
        ("applications: {}", "no list"),
        ("applications: [{name: x}]", "no import_path"),
    ],
)
def test_a_malformed_configuration_is_told_in_one_sentence(text, what):
    with pytest.raises(ValueError, match=what):
        adapted(text, 24003)


def test_a_generation_is_observed_only_when_its_configuration_runs():
    assert told(details())[0]["observedGeneration"] == 3
    assert "observedGeneration" not in told(details("DEPLOYING"))[0]
    assert told(details("DEPLOYING"), before={"observedGeneration": 2})[0]["observedGeneration"] == 2


def test_while_a_revision_is_put_in_the_service_stays_ready():
    status, ready = told(details("DEPLOYING"))
    assert (ready["status"], ready["reason"], status["numServeEndpoints"]) == ("True", "NonZeroServeEndpoints", 1)


def test_a_revision_that_does_not_start_is_told_while_the_one_before_answers():
    status, ready = told(details("DEPLOY_FAILED", "ModuleNotFoundError: nothing"))
    assert ready["status"] == "True"
    assert status["activeServiceStatus"]["applicationStatuses"]["tiny"]["status"] == "DEPLOY_FAILED"
    judgement = judged(Observation(resource={**RESOURCE, "status": status}))
    assert judgement.phase is Phase.DEGRADED and "ModuleNotFoundError" in judgement.cause.what


def test_a_service_that_never_answered_says_why():
    _, ready = told(details("DEPLOY_FAILED", "ModuleNotFoundError: nothing"), endpoints=0)
    assert (ready["status"], ready["reason"]) == ("False", "Initializing")
    assert "ModuleNotFoundError" in ready["message"]


def test_a_configuration_that_serve_refuses_is_told_and_not_taken_for_the_one_that_runs():
    status, ready = told(details(), refusal=("ValidationFailed", "num_replicas: -3"))
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "ValidationFailed", "num_replicas: -3")
    assert "observedGeneration" not in status


def test_the_time_of_a_condition_is_that_of_its_last_change():
    status, ready = told(details(), endpoints=0)
    status["conditions"][0]["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    assert told(details(), endpoints=0, before=status)[1]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert told(details(), endpoints=1, before=status)[1]["lastTransitionTime"] != "2026-01-01T00:00:00Z"
    assert ready["observedGeneration"] == 3


def test_all_applications_must_run():
    assert not runs(WANTED, {"applications": {}})
    assert runs(WANTED, details())


# Jobs

JOB = {"kind": "RayJob", "metadata": {"name": "sum"}, "spec": {"entrypoint": "python sum.py"}}
BEGUN = begun(JOB, {"rayClusterName": "ada"})


def test_a_job_has_its_name_at_ray_before_it_is_submitted():
    assert BEGUN["jobDeploymentStatus"] == "Initializing" and BEGUN["jobId"].startswith("sum-") and BEGUN["startTime"]
    assert BEGUN["rayClusterName"] == "ada"
    assert begun({**JOB, "spec": {"jobId": "mine"}}, {})["jobId"] == "mine"


def test_a_job_goes_from_pending_over_running_to_complete():
    pending = progressed({}, BEGUN, {"status": "PENDING", "message": "Job has not started yet."})
    assert (pending["jobStatus"], pending["jobDeploymentStatus"]) == ("PENDING", "Running")
    done = progressed({}, pending, {"status": "SUCCEEDED", "message": "Job finished successfully.", "end_time": 1_790_000_000_000})
    assert (done["jobDeploymentStatus"], done["succeeded"], done["failed"]) == ("Complete", 1, 0)
    assert done["endTime"] == "2026-09-21T14:13:20Z"


def test_a_job_that_failed_says_why():
    failed = progressed({}, BEGUN, {"status": "FAILED", "message": "exit code 1 … ZeroDivisionError"})
    assert (failed["jobDeploymentStatus"], failed["reason"], failed["failed"]) == ("Failed", "AppFailed", 1)
    assert "ZeroDivisionError" in failed["message"]


def test_of_several_tries_the_first_error_is_kept():
    spec = {"backoffLimit": 1}
    retrying = progressed(spec, BEGUN, {"status": "FAILED", "message": "the first"})
    assert (retrying["jobDeploymentStatus"], retrying["failed"]) == ("Retrying", 1)
    again = begun({**JOB, "spec": spec}, retrying)
    assert again["jobId"] != BEGUN["jobId"] and again["startTime"] == BEGUN["startTime"]
    running = progressed(spec, again, {"status": "RUNNING", "message": "Job is currently running."})
    ended = progressed(spec, running, {"status": "FAILED", "message": "the second"})
    assert (ended["jobDeploymentStatus"], ended["failed"], ended["message"]) == ("Failed", 2, "the first")


def test_a_job_that_somebody_stopped_is_not_tried_again():
    stopped = progressed({"backoffLimit": 3}, BEGUN, {"status": "STOPPED", "message": "Job was intentionally stopped."})
    assert (stopped["jobStatus"], stopped["jobDeploymentStatus"]) == ("STOPPED", "Complete")


def test_a_job_has_as_long_as_it_was_given():
    spec, start = {"activeDeadlineSeconds": 60}, datetime.fromisoformat(BEGUN["startTime"])
    assert not overdue(spec, BEGUN, start + timedelta(seconds=59))
    assert overdue(spec, BEGUN, start + timedelta(seconds=61))
    assert not overdue({}, BEGUN, datetime.now(UTC) + timedelta(days=1))
    late = past_deadline(spec, BEGUN)
    assert (late["jobDeploymentStatus"], late["reason"]) == ("Failed", "DeadlineExceeded")
    assert "60" in late["message"]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"entrypoint": ""}, "entrypoint"),
        ({"entrypoint": "x", "clusterSelector": {"a": "b"}, "submissionMode": "SidecarMode"}, "SidecarMode"),
        ({"entrypoint": "x", "ttlSecondsAfterFinished": 5}, "TTLSecondsAfterFinished"),
        ({"entrypoint": "x", "runtimeEnvYAML": "a: [b"}, "while parsing"),
        ({"entrypoint": "x", "runtimeEnvYAML": "- a"}, "no mapping"),
        ({"entrypoint": "x", "entrypointResources": "{"}, "Expecting"),
    ],
)
def test_a_job_that_kuberay_would_refuse_is_refused(spec, problem):
    assert problem in problem_of(spec)
    assert problem_of({"entrypoint": "x", "runtimeEnvYAML": "env_vars: {A: b}"}) is None


def test_what_a_job_needs_goes_to_ray_under_rays_names():
    spec = {
        "runtimeEnvYAML": "env_vars: {A: b}",
        "metadata": {"who": "ada"},
        "entrypointNumCpus": 1,
        "entrypointNumGpus": 0.5,
        "entrypointResources": '{"special": 1}',
    }
    assert submission(spec) == {
        "runtime_env": {"env_vars": {"A": "b"}},
        "metadata": {"who": "ada"},
        "entrypoint_num_cpus": 1.0,
        "entrypoint_num_gpus": 0.5,
        "entrypoint_resources": {"special": 1},
    }
