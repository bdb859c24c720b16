"""What doctor makes of what a Kubernetes cluster answered, and how it looks."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from jupyter_kuberay.backends.kuberay import rights
from jupyter_kuberay.backends.kuberay.answers import Answers, Target, User
from jupyter_kuberay.backends.kuberay.examine import spec_fields
from jupyter_kuberay.backends.kuberay.rights import Allowed, Purpose, Right
from jupyter_kuberay.backends.local.answers import Answers as MachineAnswers
from jupyter_kuberay.doctor import Finding, Level, Offer, findings, healthy, offers
from jupyter_kuberay.errors import Forbidden, InvalidSpec, NotFound, Refused, Unreachable
from jupyter_kuberay.faces.render import data, html, plain
from jupyter_kuberay.faces.report import Report
from jupyter_kuberay.preflight import Versions
from jupyter_kuberay.profiles import read_profiles

ROOT = Path(__file__).parents[2]
KERNEL = Versions(ray="2.58.0", python="3.11.7")
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
GIB = 2**30
FORBIDDEN = Forbidden("alice may not list nodes.", "Ask your administrator.")
GPU_OFFER = Offer("gpu", "rayproject/ray:2.58.0-py311-gpu", gpus=frozenset({"nvidia.com/gpu"}))


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def node(name: str, gpus: int = 0, *, ready: bool = True, **labels: str) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    status = {"allocatable": {"cpu": "8", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}, "conditions": conditions}
    return {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": status}


def pod(on: str, gpus: int, first: int = 0) -> dict[str, Any]:
    def container(count: int) -> dict[str, Any]:
        return {"resources": {"limits": {"nvidia.com/gpu": str(count)}}}

    return {"metadata": {"name": "x"}, "spec": {"nodeName": on, "containers": [container(gpus)], "initContainers": [container(first)]}}


def ray_cluster(age: float, **more: Any) -> dict[str, Any]:
    return {"kind": "RayCluster", "metadata": {"name": "ada", "creationTimestamp": ago(age)}, **more}


def event(age: float, component: str = "raycluster-controller", about: str = "ada") -> dict[str, Any]:
    involved = {"kind": "RayCluster", "name": about}
    return {"reportingComponent": component, "lastTimestamp": ago(age), "involvedObject": involved}


WELL = Answers(
    target=Target("https://api.example:6443", "work", "alice", inside=False),
    version="v1.34.4",
    user=User("alice", ("users", "system:authenticated")),
    now=NOW,
    here=NOW,
    namespace={"status": {"phase": "Active"}},
    groups=frozenset({"apps/v1", "ray.io/v1"}),
    fields=frozenset({"authOptions", "upgradeStrategy"}),
    allowed=Allowed(),
    resources=[ray_cluster(300, status={"conditions": [{"lastTransitionTime": ago(60)}]})],
    nodes=[node("a", 2)],
    pods=[pod("a", 1)],
    tunnel="ada-head",
)


def found_in(answers: Answers | MachineAnswers, check: str, *offered: Offer) -> list[Finding]:
    return [one for one in findings(answers, KERNEL, offered) if one.check == check]


# --- a Kubernetes cluster ------------------------------------------------


def test_where_all_is_well_every_line_is_ok():
    assert {one.level for one in findings(WELL, KERNEL, (GPU_OFFER,))} == {Level.OK}
    assert healthy(findings(WELL, KERNEL, (GPU_OFFER,)))


LACKING = Allowed(lacking=(Right("ray.io", "rayclusters", ("create",), Purpose.CLUSTERS),))
NO_TUNNEL = Allowed(lacking=(Right("", "pods/portforward", ("create", "get"), Purpose.TUNNEL),))
NO_JOBS = Allowed(lacking=(Right("ray.io", "rayjobs", ("create",), Purpose.JOBS),))
SILENT = [ray_cluster(45)]
TOLD = (
    # what differs from WELL, the line, its level, and words of it
    ({"target": InvalidSpec("There is no kubeconfig.", "Give one.")}, "API server", Level.BAD, ["no kubeconfig", "Give one."]),
    ({"version": Unreachable("It does not answer.", "VPN?")}, "API server", Level.BAD, ["does not answer", "VPN?"]),
    ({"version": Forbidden("x"), "user": Forbidden("It does not accept you.", "Log in.")}, "user", Level.BAD, ["not accept", "Log in."]),
    ({"user": User("system:anonymous")}, "user", Level.BAD, ["nobody"]),
    ({"user": Unreachable("knows no selfsubjectreviews")}, "user", Level.UNSEEN, ["does not tell"]),
    ({}, "user", Level.OK, ["You are alice of users."]),
    ({"here": NOW + timedelta(minutes=10)}, "clock", Level.WARNING, ["10 min ahead"]),
    ({"here": NOW - timedelta(minutes=10)}, "clock", Level.WARNING, ["10 min behind"]),
    ({"namespace": NotFound("no")}, "namespace", Level.BAD, ["no namespace 'alice'"]),
    ({"namespace": FORBIDDEN}, "namespace", Level.OK, ["'alice'", "context 'work'"]),
    ({"namespace": {"status": {"phase": "Terminating"}}}, "namespace", Level.BAD, ["being deleted"]),
    ({"groups": frozenset({"apps/v1"})}, "KubeRay", Level.BAD, ["no RayCluster", "install KubeRay 1.5"]),
    ({"groups": frozenset({"ray.io/v1alpha1"})}, "KubeRay", Level.BAD, ["only ray.io/v1alpha1"]),
    ({"groups": FORBIDDEN}, "KubeRay", Level.UNSEEN, []),
    ({"fields": frozenset({"suspend"})}, "KubeRay", Level.BAD, ["no authOptions", "older than 1.5"]),
    ({"fields": FORBIDDEN}, "KubeRay", Level.OK, ["cannot be seen"]),
    ({"fields": frozenset()}, "KubeRay", Level.OK, ["cannot be seen"]),
    ({"fields": frozenset(), "resources": Unreachable("No rayclusters.")}, "KubeRay", Level.BAD, ["without a RayCluster. No rayclusters."]),
    ({"fields": frozenset({"authOptions"})}, "KubeRay", Level.OK, ["1.5 or later"]),
    ({}, "KubeRay", Level.OK, ["1.6 or later"]),
    ({"fields": frozenset({"authOptions", "upgradeStrategy", "networkPolicy"})}, "KubeRay", Level.OK, ["1.7 or later"]),
    ({"resources": SILENT}, "operator", Level.BAD, ["'ada' was asked for 45 s ago, and nothing has happened", "kubectl get pods -A"]),
    ({"resources": [ray_cluster(5)]}, "operator", Level.UNSEEN, ["--try-out"]),
    ({"resources": SILENT, "events": [event(44)]}, "operator", Level.OK, ["44 s ago"]),
    ({"resources": SILENT, "events": [event(44, about="eve")]}, "operator", Level.BAD, ["'ada'"]),
    ({"resources": [ray_cluster(45, spec={"managedBy": "kueue.x-k8s.io/multikueue"})]}, "operator", Level.UNSEEN, []),
    ({"resources": []}, "operator", Level.UNSEEN, ["Nothing has been asked", "--try-out"]),
    ({"resources": [], "events": [event(7200)]}, "operator", Level.UNSEEN, ["2 h ago"]),
    ({"resources": FORBIDDEN}, "operator", Level.UNSEEN, []),
    ({"resources": SILENT, "tried": 0.4}, "operator", Level.OK, ["0.4 s"]),
    ({"tried": Unreachable("Nothing happened to it.")}, "operator", Level.BAD, ["Nothing happened", "kubectl get pods -A"]),
    ({"tried": Refused("A webhook says no.", "Change it.")}, "operator", Level.BAD, ["webhook"]),
    ({"tried": FORBIDDEN}, "operator", Level.UNSEEN, ["could not be tried: alice may not"]),
    ({"allowed": LACKING}, "rights", Level.BAD, ["lack in 'alice' for clusters: create rayclusters.ray.io.", "jupyter-kuberay-user"]),
    ({"allowed": NO_TUNNEL}, "rights", Level.BAD, ["create, get pods/portforward"]),
    ({"allowed": NO_JOBS}, "rights", Level.WARNING, ["create rayjobs.ray.io"]),
    ({"allowed": FORBIDDEN}, "rights", Level.UNSEEN, []),
    ({"allowed": Allowed(secrets=("ada",))}, "rights", Level.WARNING, ["only ada"]),
    ({}, "rights", Level.OK, ["all that is needed in 'alice'"]),
    ({"tunnel": None}, "tunnel", Level.UNSEEN, ["No head runs"]),
    ({"tunnel": Unreachable("It breaks.", "A proxy?")}, "tunnel", Level.BAD, ["It breaks.", "A proxy?"]),
    ({"nodes": FORBIDDEN}, "GPUs", Level.UNSEEN, ["not yours to see"]),
    ({"pods": FORBIDDEN}, "GPUs", Level.UNSEEN, ["2 nvidia.com/gpu on 1 node", "how many are free is not yours"]),
    ({}, "GPUs", Level.OK, ["1 of 2 nvidia.com/gpu are free on 1 node."]),
    ({"pods": [pod("a", 1), pod("a", 0, first=1)]}, "GPUs", Level.WARNING, ["0 of 2", "waits"]),
    ({"pods": [pod("a", 1, first=1)]}, "GPUs", Level.OK, ["1 of 2"]),
    ({"nodes": [node("a", 2), node("b", 4, ready=False)]}, "GPUs", Level.OK, ["4 more are on nodes that take no pods"]),
    ({"nodes": [node("b")]}, "GPUs", Level.WARNING, ["No node offers nvidia.com/gpu", "profile 'gpu'"]),
    ({"claims": {}}, "storage", Level.OK, ["No profile mounts a claim"]),
    ({"claims": {"models": NotFound("no")}}, "storage", Level.BAD, ["'models'", "wait for it for ever"]),
    ({"claims": {"models": FORBIDDEN}}, "storage", Level.UNSEEN, ["not yours"]),
    ({"claims": {"models": {"status": {"phase": "Pending"}}}}, "storage", Level.WARNING, ["Pending"]),
    ({"claims": {"models": {"status": {"phase": "Bound", "capacity": {"storage": "1Ti"}}}}}, "storage", Level.OK, ["bound, with 1Ti"]),
)  # fmt: skip


@pytest.mark.parametrize(("change", "check", "level", "words"), TOLD)
def test_each_answer_becomes_the_right_line(change, check, level, words):
    (line, *_) = found_in(replace(WELL, **change), check, GPU_OFFER)
    assert line.level is level, line
    assert [word for word in words if word not in f"{line.what} {line.remedy}"] == []


@pytest.mark.parametrize("change", [change for change, *_ in TOLD])
def test_whatever_is_bad_has_a_sentence_that_says_what_to_do_and_ends_with_1(change):
    found = findings(replace(WELL, **change), KERNEL, (GPU_OFFER,))
    bad = [one for one in found if one.level is Level.BAD]
    assert all(one.remedy for one in bad)
    assert Report(found).exit_code == (1 if bad else 0)


@pytest.mark.parametrize("name", ["nodes", "pods", "events", "resources", "groups", "fields", "namespace", "allowed"])
def test_what_is_not_ours_to_see_is_never_bad(name):
    assert healthy(findings(replace(WELL, **{name: FORBIDDEN}), KERNEL, (GPU_OFFER,)))


def test_a_server_that_does_not_answer_is_the_only_red_line():
    lines = findings(Answers(target=WELL.target, version=Unreachable("It does not answer.", "VPN?")), KERNEL, (GPU_OFFER,))
    assert [one.check for one in lines] == ["API server", "image"]


def test_gpus_are_counted_by_type_of_node():
    nodes = [node("a", 8, **{"nvidia.com/gpu.product": "A100"}), node("b", 8, **{"nvidia.com/gpu.product": "A100"}), node("c", 1)]
    lines = found_in(replace(WELL, nodes=nodes, pods=[pod("b", 3), pod("c", 1)]), "GPUs", GPU_OFFER)
    assert [one.what for one in lines] == [
        "0 of 1 nvidia.com/gpu are free on 1 node.",
        "13 of 16 nvidia.com/gpu are free on 2 nodes of type A100.",
    ]


def test_inside_the_cluster_names_count_and_the_tunnel_does_not():
    inside = replace(WELL, target=Target("https://10.96.0.1", "", "alice", inside=True), allowed=NO_TUNNEL, tunnel=None, dns="10.96.0.1")
    assert [one.level for one in findings(inside, KERNEL) if one.check in ("rights", "DNS", "tunnel")] == [Level.OK, Level.OK]
    (line,) = found_in(replace(inside, dns=Unreachable("It has no address.", "See to the DNS.")), "DNS")
    assert line.level is Level.BAD


# --- images --------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "level"),
    [
        ("", Level.OK),
        ("rayproject/ray:2.58.0-py311", Level.OK),
        ("registry.example:5000/team/ray:2.58.0-py311-cu128", Level.OK),
        ("rayproject/ray:2.40.0-py311", Level.BAD),
        ("rayproject/ray:2.58.0-py312", Level.BAD),
        ("rayproject/ray:2.58.0", Level.UNSEEN),
        ("team/notebook:7", Level.UNSEEN),
        ("team/ray@sha256:" + "0" * 64, Level.UNSEEN),
    ],
)
def test_a_profiles_image_is_compared_with_this_kernel_as_far_as_its_name_tells(image, level):
    cluster = {"worker_groups": [{"name": "workers"}]} | ({"image": image} if image else {})
    offered = offers(read_profiles([{"name": "mine", "cluster": cluster}]), KERNEL)
    (line,) = found_in(WELL, "image", *offered)
    assert line.level is level
    assert level is Level.OK or "mine" in line.what


def test_claims_and_gpus_of_profiles_are_looked_for():
    volume = {"name": "models", "mount_path": "/models", "claim": "models"}
    cluster = {"head": {"volumes": [volume]}, "worker_groups": [{"gpus": 1, "gpu_resource": "amd.com/gpu"}]}
    (offer,) = offers(read_profiles([{"name": "mine", "cluster": cluster}]), KERNEL)
    assert (offer.claims, offer.gpus) == ({"models"}, {"amd.com/gpu"})


# --- rights --------------------------------------------------------------


def rule(verbs: str, groups: str, resources: str, *names: str) -> dict[str, Any]:
    return {
        "verbs": verbs.split(),
        "apiGroups": groups.split(",") if groups else [""],
        "resources": resources.split(),
        "resourceNames": [*names],
    }


READ = Right("ray.io", "rayclusters", ("get", "list"), Purpose.CLUSTERS)
LOG = Right("", "pods/log", ("get",), Purpose.LOGS)
SECRET = Right("", "secrets", ("get",), Purpose.CLUSTERS)


@pytest.mark.parametrize(
    ("rules", "right", "lacking"),
    [
        ([], READ, ("get", "list")),
        ([rule("get", "ray.io", "rayclusters")], READ, ("list",)),
        ([rule("get", "ray.io", "rayclusters"), rule("list watch", "ray.io", "rayjobs rayclusters")], READ, ()),
        ([rule("*", "*", "*")], READ, ()),
        ([rule("get list", "", "rayclusters")], READ, ("get", "list")),
        ([rule("get list", "ray.io", "rayclusters", "ada")], READ, ("get", "list")),
        ([rule("get", "", "pods")], LOG, ("get",)),
        ([rule("get", "", "pods/log")], LOG, ()),
        ([rule("get", "", "*/log")], LOG, ()),
        ([rule("get", "", "*")], LOG, ()),
        ([rule("get", "", "secrets", "ada")], SECRET, ()),
    ],
)
def test_rules_are_read_as_the_api_server_reads_them(rules, right, lacking):
    found = rights.allowed(rules, [right])
    assert [one.verbs for one in found.lacking] == ([lacking] if lacking else [])


def test_secrets_that_may_be_read_only_by_name_are_named_unless_another_rule_gives_all():
    named = rule("get", "", "secrets", "ada", "bob")
    assert rights.allowed([named]).secrets == ("ada", "bob")
    assert rights.allowed([named, rule("get", "", "secrets")]).secrets == ()


def test_what_an_authorizer_grants_without_listing_it_is_not_lacking():
    found = rights.without(Allowed(lacking=(READ, LOG)), lambda one: one.verbs == ("get",))
    assert found.lacking == (Right("ray.io", "rayclusters", ("list",), Purpose.CLUSTERS),)


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("Alice@example.com", {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "Alice@example.com"}),
        ("system:serviceaccount:hub:ada", {"kind": "ServiceAccount", "name": "ada", "namespace": "hub"}),
    ],
)
def test_a_user_who_lacks_a_right_gets_the_role_and_its_binding_for_the_administrator(user, subject):
    (line,) = found_in(replace(WELL, allowed=LACKING, user=User(user)), "rights")
    role, binding = yaml.safe_load_all(line.manifest)
    assert role["rules"] == rights.rules()
    assert binding["subjects"] == [subject] and binding["roleRef"]["name"] == role["metadata"]["name"]
    assert {each["metadata"]["namespace"] for each in (role, binding)} == {"alice"}


def test_the_role_is_given_once_however_much_lacks():
    lacking = Allowed(lacking=LACKING.lacking + NO_JOBS.lacking + NO_TUNNEL.lacking)
    assert sorted(bool(one.manifest) for one in found_in(replace(WELL, allowed=lacking), "rights")) == [False, False, True]


# --- what it looks like --------------------------------------------------

LINES = (
    Finding(check="API server", level=Level.OK, what="It answers."),
    Finding(check="rights", level=Level.BAD, what="You may not.", remedy="Ask.", manifest="kind: Role\nrules: []\n"),
)


def test_below_the_table_stands_what_helps_and_yaml_that_can_be_copied():
    head, first, second, *below = plain(Report(LINES)).splitlines()
    assert head.split() == ["CHECK", "STATE", "WHAT"]
    assert first.split()[2:4] == ["ok", "It"] and second.split()[1] == "bad"
    assert "rights: Ask." in below
    assert yaml.safe_load("\n".join(line for line in below if line.startswith("    "))) == {"kind": "Role", "rules": []}
    assert "<table>" in html(Report(LINES))


def test_what_several_lines_need_is_said_once_below_the_table_and_in_each_of_the_data():
    twice = Report((*LINES, LINES[1].model_copy(update={"what": "Nor that.", "manifest": ""})))
    assert plain(twice).count("rights: Ask.") == 1
    assert [line["remedy"] for line in data(twice)] == ["", "Ask.", "Ask."]


def test_as_data_it_is_an_array_of_findings():
    assert [line["level"] for line in data(Report(LINES))] == ["ok", "bad"]


def test_fields_are_read_from_the_api_servers_own_schema():
    auth = {"properties": {"mode": {"type": "string"}}}
    schema = {"x-kubernetes-group-version-kind": [{"kind": "RayCluster"}], "properties": {"spec": {"properties": {"authOptions": auth}}}}
    other = {"x-kubernetes-group-version-kind": [{"kind": "RayJob"}], "properties": {"spec": {"properties": {"entrypoint": {}}}}}
    assert spec_fields({"components": {"schemas": {"a": other, "b": schema}}}) == {"authOptions", "authOptions.mode"}
    assert spec_fields({}) == frozenset()


@pytest.mark.parametrize(("release", "since"), [("1.5.1", "1.5"), ("1.6.1", "1.6")])
def test_a_release_of_kuberay_is_known_by_what_its_rayclusters_have(release, since):
    folder = ROOT / "tests" / "data" / f"kuberay-{release}"
    spec = json.loads((folder / "raycluster.json").read_text())["properties"]["spec"]
    (line,) = found_in(replace(WELL, fields=frozenset(spec["properties"])), "KubeRay")
    assert line.level is Level.OK and f"KubeRay {since} or later" in line.what
