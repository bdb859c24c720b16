"""Every refusal names the field, the value, and what is allowed."""

import pytest

from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.spec import Application, ClusterSpec, JobSpec, ServiceSpec, Toleration, Volume, WorkerGroup, as_cluster_spec


def group(**fields):
    return {"worker_groups": [fields]}


@pytest.mark.parametrize(
    ("fields", "field", "value", "allowed"),
    [
        ({"name": "Alice_1"}, "name", "'Alice_1'", "lower-case letters"),
        ({"name": "a" * 54}, "name", "a" * 54, "1 to 53"),
        ({"name": ""}, "name", "''", "1 to 53"),
        ({"name": "1st"}, "name", "'1st'", "beginning with a letter"),
        ({"name": "größe"}, "name", "'größe'", "grosse"),
        ({"name": "a/../b"}, "name", "'a/../b'", "lower-case"),
        (group(memory="8 G"), "worker_groups[0].memory", "'8 G'", "'8G'"),
        (group(gpus=-1), "worker_groups[0].gpus", "-1", "greater than or equal to 0"),
        (group(cpu="banana"), "worker_groups[0].cpu", "'banana'", "'500m'"),
        (group(cpu="0"), "worker_groups[0].cpu", "'0'", "more than 0"),
        (group(replicas=-2), "worker_groups[0].replicas", "-2", "greater than or equal to 0"),
        (group(replicas="many"), "worker_groups[0].replicas", "'many'", "integer"),
        (group(replicas=3, maximum=2), "worker_groups[0]", "3 replicas", "between minimum and maximum"),
        (group(gpu_resource="gpu"), "worker_groups[0].gpu_resource", "'gpu'", "'nvidia.com/gpu'"),
        (group(name="head"), "worker_groups", "'head'", "another name"),
        (group(env={"A=B": "1"}), "worker_groups[0].env", "'A=B'", "'HF_HOME'"),
        (group(labels={"a": "ö"}), "worker_groups[0].labels", "'ö'", "up to 63"),
        ({"worker_groups": [{"name": "a"}, {"name": "a"}]}, "worker_groups", "'a'", "different"),
        ({"ray_version": "2.7.0"}, "ray_version", "'2.7.0'", "auth='disabled'"),
        ({"ray_version": "newest"}, "ray_version", "'newest'", "'2.58.0'"),
        ({"image": "My Image"}, "image", "'My Image'", "rayproject/ray"),
        ({"idle_timeout": -5}, "idle_timeout", "-5", "greater than or equal to 0"),
        ({"auth": "password"}, "auth", "'password'", "'token' or 'disabled'"),
        ({"head": {"ports": {"client": 1}}}, "head.ports", "client", "gcs-server, dashboard and client"),
        ({"replicas": 2}, "replicas", "", "no field that it has"),
    ],
)
def test_a_refusal_names_the_field_the_value_and_what_is_allowed(fields, field, value, allowed):
    with pytest.raises(InvalidSpec) as refused:
        ClusterSpec(**{"name": "ada"} | fields)
    for part in (field, value, allowed):
        assert part in refused.value.message
    assert refused.value.hint


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(InvalidSpec) as refused:
        ClusterSpec(name="A", worker_groups=[{"gpus": -1, "memory": "8 G"}])
    assert all(field in refused.value.message for field in ("name", "worker_groups[0].gpus", "worker_groups[0].memory"))


def test_what_is_missing_is_named():
    with pytest.raises(InvalidSpec, match="name is missing"):
        ClusterSpec()


def test_a_maximum_that_nobody_gave_is_what_is_wanted():
    assert WorkerGroup(replicas=3).maximum == 3
    assert WorkerGroup().maximum == 1
    assert WorkerGroup(replicas=2, minimum=2).maximum == 2


def test_version_and_image_are_those_of_the_kernel_unless_said():
    spec = ClusterSpec(name="ada", worker_groups=[{"gpus": 1}]).resolved("2.58.0", "3.11")
    assert (spec.ray_version, spec.image) == ("2.58.0", "rayproject/ray:2.58.0-py311-gpu")
    assert ClusterSpec(name="ada").resolved("2.58.0", "3.12").image == "rayproject/ray:2.58.0-py312"
    assert ClusterSpec(name="ada", ray_version="2.55.1", image="mine:1").resolved("2.58.0", "3.11").image == "mine:1"


def test_no_token_is_allowed_and_warned_of():
    assert ClusterSpec(name="ada").warnings() == ()
    (warning,) = ClusterSpec(name="ada", auth="disabled").warnings()
    assert "no token" in warning


def test_a_spec_does_not_change():
    spec = ClusterSpec(name="ada")
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "bob"
    assert spec.changed(name="bob").name == "bob"
    with pytest.raises(InvalidSpec):
        spec.changed(name="Bob")


@pytest.mark.parametrize("source", [{}, {"claim": "a", "secret": "b"}])
def test_a_volume_has_exactly_one_source(source):
    with pytest.raises(InvalidSpec, match="give one of claim, secret, config_map, empty"):
        Volume(name="v", mount_path="/v", **source)


@pytest.mark.parametrize("fields", [{"operator": "Exists", "value": "x"}, {"operator": "Equal"}, {"key": "a b"}])
def test_a_toleration_that_makes_no_sense_is_refused(fields):
    with pytest.raises(InvalidSpec):
        Toleration(**fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"import_path": "no colon"}, "import path"),
        ({"import_path": "a:b", "weights": "/m"}, "say which in deployment"),
        ({"import_path": "a:b", "deployment": "D", "settings": {"model": "/m"}}, "weights"),
        ({"import_path": "a:b", "deployment": "D", "gpus": -1}, "greater than or equal to 0"),
        ({"import_path": "a:b", "code": {"source": "x", "sha256": "short"}}, "SHA-256"),
        ({"import_path": "a:b", "route_prefix": "summarize"}, "route prefix"),
    ],
)
def test_an_application_that_cannot_be_is_refused(fields, told):
    with pytest.raises(InvalidSpec, match=told):
        Application(**fields)


def test_a_service_gives_its_name_to_the_cluster_below_it():
    service = ServiceSpec(name="summarizer", applications=[{"import_path": "a:b"}], cluster=ClusterSpec(name="x"))
    assert service.cluster.name == "summarizer"


def test_a_services_name_leaves_room_for_what_kuberay_appends():
    with pytest.raises(InvalidSpec, match="1 to 47"):
        ServiceSpec(name="a" * 48, applications=[{"import_path": "a:b"}], cluster={})


def test_deprecated_thresholds_are_accepted_and_named_as_such():
    service = ServiceSpec(name="s", applications=[{"import_path": "a:b"}], cluster={}, service_unhealthy_seconds=900)
    (warning,) = service.warnings()
    assert "service_unhealthy_seconds" in warning
    assert "deprecated" in warning


def test_two_applications_cannot_share_a_route():
    with pytest.raises(InvalidSpec, match="route_prefix '/' more than once"):
        ServiceSpec(name="s", applications=[{"import_path": "a:b"}, {"import_path": "c:d", "name": "other"}], cluster={})


def test_what_only_a_cluster_of_its_own_can_do_is_refused_for_a_job_on_another():
    assert JobSpec(name="j", entrypoint="true", cluster="ada").cluster == "ada"
    for fields in ({"retries": 1}, {"time_to_live": 10}):
        with pytest.raises(InvalidSpec, match="own"):
            JobSpec(name="j", entrypoint="true", cluster="ada", **fields)


def test_what_is_no_request_for_a_cluster_is_refused():
    assert as_cluster_spec({"name": "ada"}) == as_cluster_spec(ClusterSpec(name="ada"))
    with pytest.raises(InvalidSpec, match="int is no request"):
        as_cluster_spec(3)
