"""What a person is told about services.

What KubeRay tells is as seen of 1.6.1; the local substrate tells it in the same words.
"""

from datetime import UTC, datetime

import pytest
import yaml

from jupyter_kuberay.observation import Event, Kind, Node, Observation
from jupyter_kuberay.status import Phase, application_message, service_status

HEAD = Node(name="s-abcde-head", group="head", ready=True, started="2026-11-25T10:00:00Z")
NEW_HEAD = Node(name="s-fghij-head", group="head", ready=True, started="2026-11-25T10:00:00Z")
SOON, LATE = datetime(2026, 11, 25, 10, 0, 30, tzinfo=UTC), datetime(2026, 11, 25, 10, 2, tzinfo=UTC)


def service(
    applications=None,
    *,
    ready=True,
    pending=None,
    generation=2,
    observed=2,
    nodes=(HEAD,),
    user_config=None,
    config=None,
    events=(),
    **spec,
):
    user_config = {"model": "/m", "revision": 3} if user_config is None else user_config
    deployments = [{"name": "Summarizer", "user_config": user_config}]
    text = config if config is not None else yaml.safe_dump({"applications": [{"name": "app", "deployments": deployments}]})
    status = {
        "observedGeneration": observed,
        "conditions": [{"type": "Ready", "status": str(ready), "reason": "x"}],
        "activeServiceStatus": {"rayClusterName": "s-abcde", "applicationStatuses": applications or {}} if applications else {},
        "pendingServiceStatus": {"rayClusterName": "s-fghij", "applicationStatuses": pending} if pending else {},
    }
    return seen(status, nodes, events, generation, serveConfigV2=text, **spec)


def seen(status, nodes=(), events=(), generation=2, **spec):
    metadata = {"name": "s", "namespace": "alice", "generation": generation, "creationTimestamp": "2026-11-25T09:59:00Z"}
    resource = {"kind": Kind.SERVICE, "metadata": metadata, "spec": spec, "status": status}
    return Observation(resource=resource, nodes=nodes, events=tuple(events))


def condition(status, reason, message=""):
    return {"type": "Ready", "status": str(status), "reason": reason, "message": message}


def test_a_service_that_answers_tells_its_revision_and_its_cluster():
    status = service_status(service({"app": {"status": "RUNNING"}}))
    assert (status.phase, status.revision, status.model, status.cluster) == (Phase.READY, 3, "/m", "s-abcde")
    assert (status.settled, status.cause) == (True, None)


def test_an_application_that_takes_no_change_in_place_has_a_revision_too():
    config = yaml.safe_dump({"applications": [{"name": "app", "args": {"settings": {"model": "/m", "revision": 4}}}]})
    status = service_status(service({"app": {"status": "RUNNING"}}, config=config))
    assert (status.revision, status.model) == (4, "/m")


def test_a_service_whose_newest_wish_nobody_has_looked_at_yet_is_not_settled():
    assert not service_status(service({"app": {"status": "RUNNING"}}, observed=1)).settled


def test_a_service_is_not_settled_before_all_that_is_asked_for_runs_on_the_one_cluster_that_it_has():
    """KubeRay takes note of a change before Serve has made it."""
    for applications in (
        {"app": {"status": "DEPLOYING"}},
        {"app": {"status": "RUNNING"}, "old": {"status": "DELETING"}},
        {"other": {"status": "RUNNING"}},
    ):
        assert not service_status(service(applications)).settled
    assert not service_status(service({"app": {"status": "RUNNING"}}, pending={"app": {"status": "RUNNING"}})).settled


def test_an_application_that_cannot_be_imported_is_told_with_its_error():
    failed = {"app": {"status": "DEPLOY_FAILED", "message": "ModuleNotFoundError: No module named 'nowhere'"}}
    status = service_status(service(pending=failed, ready=False))
    assert status.phase is Phase.FAILED
    assert "nowhere" in status.cause.what
    assert "publish it again" in status.cause.remedy
    assert status.cluster == "s-fghij", "the first cluster is the one to look at"


def test_a_failed_upgrade_leaves_the_service_degraded_while_the_old_one_answers():
    failed = {"app": {"status": "UNHEALTHY", "deployments": {"Summarizer": {"status": "UPDATING", "message": "no such file"}}}}
    status = service_status(service(failed, ready=True))
    assert (status.phase, status.settled) == (Phase.DEGRADED, False)
    assert "no such file" in status.cause.what


def test_a_service_below_which_nothing_runs_yet_is_pending():
    assert service_status(service(ready=False, nodes=())).phase is Phase.PENDING


def test_a_service_of_another_tool_and_one_with_broken_yaml_have_no_revision():
    for text in ("applications: [", "", "applications: 3", "[1]", "applications: [{deployments: [{user_config: 3}]}]"):
        status = service_status(service({"app": {"status": "RUNNING"}}, config=text))
        assert (status.revision, status.foreign) == (None, True)


# --- while it starts -----------------------------------------------------

FIRST = {"rayClusterName": "s-fghij", "rayClusterStatus": {"desiredCPU": "0", "head": {}}}
STARTING = {"observedGeneration": 1, "conditions": [condition(False, "Initializing", "RayService is initializing")]}
QUOTA = 'FailedCreateHeadPod\npods "h" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3'
CONFIG = "applications: [{name: app, import_path: 'a:b'}]"
CLUSTER = {"workerGroupSpecs": [{"groupName": "gpu", "replicas": 2, "template": {"spec": {"containers": [{"name": "w"}]}}}]}


def starting(*nodes, pending=FIRST, config=CONFIG, events=(), status=STARTING):
    return seen(status | {"pendingServiceStatus": pending}, nodes, events, 1, serveConfigV2=config, rayClusterConfig=CLUSTER)


@pytest.mark.parametrize(
    ("observation", "phase", "what"),
    [
        pytest.param(starting(), Phase.PENDING, "It is starting.", id="nothing yet"),
        pytest.param(
            starting(Node(name="s-fghij-head", group="head", reason="ContainerCreating")),
            Phase.PENDING,
            "The head is starting.",
            id="its head",
        ),
        pytest.param(starting(NEW_HEAD), Phase.STARTING, "The head is up, and Serve begins.", id="Serve"),
        pytest.param(
            starting(NEW_HEAD, pending=FIRST | {"applicationStatuses": {"app": {"status": "DEPLOYING"}}}),
            Phase.STARTING,
            "Application 'app' is DEPLOYING.",
            id="its application",
        ),
        pytest.param(
            starting(
                NEW_HEAD,
                Node(
                    name="s-fghij-gpu-worker-a",
                    group="gpu",
                    reason="Unschedulable",
                    message="0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
                ),
            ),
            Phase.STARTING,
            "1 of 2 gpu workers cannot be placed: 0/1 nodes have nvidia.com/gpu free.",
            id="a worker without a place",
        ),
        pytest.param(
            starting(
                pending=FIRST
                | {
                    "rayClusterStatus": {
                        "conditions": [
                            {
                                "type": "ReplicaFailure",
                                "status": "True",
                                "reason": "FailedCreateHeadPod",
                                "message": QUOTA,
                            }
                        ]
                    }
                }
            ),
            Phase.PENDING,
            "The namespace's quota 'q' has no room for another pod: it needs pods=1 with 3 of 3 in use.",
            id="no room in the quota",
        ),
        pytest.param(
            starting(
                events=[Event(reason="FailedToCreateRayCluster", message="Failed to create the RayCluster alice/s-fghij: no", warning=True)]
            ),
            Phase.PENDING,
            "Failed to create the RayCluster alice/s-fghij: no",
            id="no cluster",
        ),
        pytest.param(
            starting(NEW_HEAD, config="applications: [\nname: app"),
            Phase.FAILED,
            "serveConfigV2 is not YAML: expected ',' or ']', but got '<stream end>' in line 2.",
            id="a configuration that KubeRay does not check",
        ),
        pytest.param(
            starting(NEW_HEAD, config="name: app"), Phase.FAILED, "serveConfigV2 has no list 'applications'.", id="one without applications"
        ),
    ],
)
def test_a_service_that_does_not_answer_yet_says_why(observation, phase, what):
    status = service_status(observation, SOON)
    assert (status.phase, status.cause.what, status.cluster, status.settled) == (phase, what, "s-fghij", False)
    assert status.cause.remedy


def test_a_service_that_is_refused_says_so_until_it_is_corrected():
    why = "The RayService spec is invalid: spec.UpgradeStrategy.Type value foo is invalid"
    refused = {"conditions": [condition(False, "ValidationFailed", why)]}
    status = service_status(seen(refused, generation=1, serveConfigV2=CONFIG))
    assert (status.phase, status.cause.what) == (Phase.FAILED, why)
    # KubeRay leaves the condition as it is until the service answers.
    corrected = service_status(starting(NEW_HEAD, status=refused | {"observedGeneration": 1}))
    assert (corrected.phase, corrected.cause.what) == (Phase.STARTING, "The head is up, and Serve begins.")


def test_a_service_that_was_given_up_says_that_it_has_to_be_made_anew():
    why = "RayService failed to become ready within the configured timeout of 5m0s."
    status = service_status(starting(status=STARTING | {"conditions": [condition(False, "InitializingTimeout", why)]}))
    assert (status.phase, status.cause.what) == (Phase.FAILED, why)
    assert "publish it again" in status.cause.remedy


def test_a_service_for_which_no_operator_cares_says_so():
    ignored = seen({}, generation=1, serveConfigV2=CONFIG)
    assert "the KubeRay operator does not answer" in service_status(ignored, LATE).cause.what
    assert service_status(ignored).cause.what == "It is starting."


# --- an image without Serve ----------------------------------------------

MISSING = 'Serve dependencies are not installed. Please run `pip install "ray[serve]"`.'


@pytest.mark.parametrize(
    "observation",
    [
        pytest.param(
            starting(NEW_HEAD, pending=FIRST | {"applicationStatuses": {"app": {"status": "DEPLOY_FAILED", "message": MISSING}}}), id="app"
        ),
        pytest.param(starting(NEW_HEAD, status=STARTING | {"conditions": [condition(False, "Initializing", MISSING)]}), id="condition"),
        pytest.param(
            starting(
                NEW_HEAD, events=[Event(reason="FailedToUpdateServeApplications", message=f"501: {MISSING}", time="2026-11-25T10:01:00Z")]
            ),
            id="event",
        ),
    ],
)
def test_an_image_that_lacks_serve_is_told_wherever_it_is_said(observation):
    status = service_status(observation)
    assert status.phase is Phase.FAILED
    assert MISSING in status.cause.what and "ray[serve]" in status.cause.remedy


def test_a_serve_that_never_begins_is_told_after_a_minute_because_nobody_else_says_it():
    assert service_status(starting(NEW_HEAD), SOON).cause.what == "The head is up, and Serve begins."
    cause = service_status(starting(NEW_HEAD), LATE).cause
    assert "Serve has not begun" in cause.what and "ray[serve]" in cause.remedy
    at_it = starting(NEW_HEAD, pending=FIRST | {"applicationStatuses": {"app": {"status": "DEPLOYING"}}})
    assert service_status(at_it, LATE).cause.what == "Application 'app' is DEPLOYING."


@pytest.mark.parametrize(
    ("own", "deployments", "told"),
    [
        ("ImportError: no", {}, "ImportError: no"),
        ("ImportError: no", {"A": {"status": "UNHEALTHY", "message": "not this"}}, "ImportError: no"),
        ("Failed to update the deployments ['A']", {"A": {"status": "DEPLOY_FAILED", "message": "ValueError: no"}}, "ValueError: no"),
        ("Failed to update the deployments ['A']", {"A": {"status": "HEALTHY", "message": ""}}, "Failed to update the deployments ['A']"),
        ("", {"A": {"status": "HEALTHY", "message": "fine"}, "B": {"status": "UPDATING", "message": "no room"}}, "no room"),
        ("", {}, ""),
    ],
)
@pytest.mark.parametrize("kept_as", ["serveDeploymentStatuses", "deployments"])
def test_where_an_application_only_names_its_deployments_theirs_is_what_is_told(own, deployments, told, kept_as):
    assert application_message({"status": "DEPLOY_FAILED", "message": own, kept_as: deployments}) == told


# --- a second cluster ----------------------------------------------------

GPU = {"groupName": "gpu", "replicas": 2, "template": {"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": 1}}}]}}}


def upgrade(applications=None, *nodes, **more):
    conditions = [condition(True, "NonZeroServeEndpoints"), {"type": "UpgradeInProgress", "status": "True"}]
    status = {
        "observedGeneration": 2,
        "conditions": conditions,
        "activeServiceStatus": {"rayClusterName": "s-abcde"},  # KubeRay empties its applications for as long
        "pendingServiceStatus": {"rayClusterName": "s-fghij", "applicationStatuses": applications or {}},
    }
    return seen(status, (HEAD, *nodes), serveConfigV2=CONFIG, rayClusterConfig={"workerGroupSpecs": [GPU]}, **more)


def test_an_upgrade_with_a_second_cluster_is_noted_with_its_cost_while_the_first_one_answers():
    status = service_status(upgrade({"app": {"status": "DEPLOYING"}}, NEW_HEAD))
    assert (status.phase, status.cause, status.cluster, status.settled) == (Phase.READY, None, "s-abcde", False)
    cost = "A second cluster, s-fghij, is made beside s-abcde and takes over once it answers; until then it needs 3 pods and 2 GPUs more."
    assert status.notes == (cost,)


@pytest.mark.parametrize(
    ("observation", "told"),
    [
        (
            upgrade({"app": {"status": "DEPLOY_FAILED", "message": "ImportError: no"}}, NEW_HEAD),
            "Application 'app' is DEPLOY_FAILED: ImportError: no",
        ),
        (
            upgrade(
                {},
                Node(
                    name="s-fghij-head",
                    group="head",
                    reason="Unschedulable",
                    message="0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
                ),
            ),
            "The head cannot be placed: 0/1 nodes have nvidia.com/gpu free.",
        ),
    ],
)
def test_a_second_cluster_that_cannot_take_over_degrades_the_service_that_still_answers(observation, told):
    status = service_status(observation)
    assert (status.phase, status.cluster) == (Phase.DEGRADED, "s-abcde")
    assert status.cause.what == f"The new cluster s-fghij does not take over from s-abcde, which still answers. {told}"
    assert "both clusters keep their pods" in status.cause.remedy


def test_what_is_wrong_with_the_cluster_that_is_replaced_is_not_blamed_on_the_new_one():
    old = Node(name="s-abcde-gpu-worker-x", group="gpu", reason="Evicted", message="low on memory")
    assert service_status(upgrade({}, old, NEW_HEAD)).cause is None


def test_a_change_that_serve_refuses_degrades_a_service_that_answers():
    refused = Event(
        reason="FailedToUpdateServeApplications", message="Failed to update serve applications: 400", time="2026-11-25T11:00:00Z"
    )
    running = {"app": {"status": "RUNNING"}}
    status = service_status(service(running, observed=1, events=[refused]))
    assert (status.phase, status.cause.what) == (Phase.DEGRADED, refused.message)
    taken = Event(reason="UpdatedServeApplications", message="Updated serve applications", time="2026-11-25T11:01:00Z")
    assert service_status(service(running, observed=1, events=[taken, refused])).phase is Phase.READY
    assert service_status(service(running, observed=1, config="a: [")).phase is Phase.DEGRADED
    assert service_status(service(running, observed=2, events=[refused])).phase is Phase.READY
