"""doctor on a real cluster: all well, and broken set-ups, each with its own red line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from jupyter_kuberay.backends.kuberay import rights
from jupyter_kuberay.manifest import cluster_bundle
from jupyter_kuberay.spec import ClusterSpec
from tests.kubernetes.people import Person
from tests.testbed import node, places
from tests.testbed.faults import Testbed
from tests.testbed.processes import wait_for

ROLE = rights.rules()
DEPLOY = Path(__file__).parents[2] / "deploy"


@dataclass
class Told:
    """What doctor said in a process of its own."""

    code: int
    lines: list[dict[str, str]]
    seconds: float

    def of(self, check: str) -> list[dict[str, str]]:
        return [line for line in self.lines if line["check"] == check]

    @property
    def red(self) -> list[dict[str, str]]:
        return [line for line in self.lines if line["level"] == "bad"]


class Doctor:
    """Asks as somebody, about a namespace, with what an administrator set."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, who: Person | Path, namespace: str, *words: str, **settings: Any) -> Told:
        folder = self._folder / uuid.uuid4().hex
        folder.mkdir()
        (folder / "jupyter_kuberay_config.json").write_text(json.dumps({"KubeRay": {"namespace": namespace, **settings}}))
        kubeconfig = who if isinstance(who, Path) else who.kubeconfig
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "JUPYTER_CONFIG_DIR": str(folder), "JUPYTER_NO_CONFIG": ""}
        command = [sys.executable, "-m", "jupyter_kuberay.faces.cli", "doctor", "--backend", "kuberay", "-o", "json", *words]
        began = time.monotonic()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.stdout, done.stderr
        return Told(done.returncode, json.loads(done.stdout), time.monotonic() - began)


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    return Doctor(tmp_path)


def changed(person: Person, folder: Path, *, server: str = "", token: str = "") -> Path:
    """Somebody's kubeconfig with another address or another token in it."""
    config = yaml.safe_load(person.kubeconfig.read_text())
    for each in config["clusters"] if server else ():
        each["cluster"]["server"] = server
    for each in config["users"] if token else ():
        each["user"] = {"token": token}
    path = folder / "changed.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    return path


def suspended(name: str) -> dict[str, Any]:
    return cluster_bundle(ClusterSpec(name=name, suspend=True).resolved("2.58.0", "3.11")).resource


# --- well ----------------------------------------------------------------


def test_with_the_role_and_nothing_else_alice_has_no_red_line(doctor, alice, make_namespace):
    namespace = make_namespace(alice, ROLE)
    told = doctor(alice, namespace)
    assert (told.code, told.red) == (0, [])
    levels = {line["check"]: line["level"] for line in told.lines}
    assert {check: levels[check] for check in ("API server", "user", "namespace", "KubeRay", "rights", "image")} == dict.fromkeys(
        ("API server", "user", "namespace", "KubeRay", "rights", "image"), "ok"
    )
    assert levels["GPUs"] == levels["operator"] == "cannot see"
    assert alice.login in told.of("user")[0]["what"] and namespace in told.of("namespace")[0]["what"]
    assert re.search(r"KubeRay 1\.[567] or later", told.of("KubeRay")[0]["what"])


def test_trying_it_out_shows_that_the_operator_answers_and_leaves_nothing(doctor, alice, make_namespace):
    namespace = make_namespace(alice, ROLE)
    told = doctor(alice, namespace, "--try-out")
    assert told.code == 0
    assert told.of("operator")[0]["level"] == "ok"
    left = alice.read("rayclusters", f"--namespace={namespace}")["items"]
    assert [each for each in left if not each["metadata"].get("deletionTimestamp")] == []


def test_what_may_be_done_is_asked_by_one_request(doctor, alice, make_namespace, testbed: Testbed):
    namespace = make_namespace(alice, ROLE)
    with testbed.requests(alice.login) as requests:
        doctor(alice, namespace)
    asked = [request.resource for request in requests if request.resource.startswith("selfsubject") and "r" in request.resource]
    assert sorted(asked) == ["selfsubjectreviews", "selfsubjectrulesreviews"]


def test_a_head_that_runs_is_reached_by_a_tunnel(doctor, alice, image, make_namespace):
    namespace = make_namespace(alice, ROLE)
    head = ClusterSpec(name="ada", image=image, head={"cpu": "500m", "memory": "1Gi"}).resolved("2.58.0", "3.11")
    alice.create({**cluster_bundle(head).resource, "metadata": {"name": "ada", "namespace": namespace}})

    def runs() -> bool:
        pods = alice.read("pods", f"--namespace={namespace}")["items"]
        return [pod["status"].get("phase") for pod in pods] == ["Running"]

    wait_for("A head that runs", runs, 60)
    told = doctor(alice, namespace)
    assert told.of("tunnel")[0]["level"] == "ok"
    assert told.of("operator")[0]["level"] == "ok"


def test_with_the_cluster_roles_it_tells_of_gpus_and_how_many_are_free(doctor, admin, alice, make_namespace, testbed):
    namespace = make_namespace(alice, ROLE)
    name = f"jupyter-kuberay-test-{uuid.uuid4().hex[:8]}"
    seeing, counting = (one["rules"] for one in yaml.safe_load_all((DEPLOY / "clusterrole-doctor.yaml").read_text()))
    try:
        _let_see(admin, alice, f"{name}-nodes", seeing)
        (line,) = doctor(alice, namespace).of("GPUs")
        assert line["level"] == "cannot see" and "2 nvidia.com/gpu on 1 node" in line["what"]
        _let_see(admin, alice, f"{name}-pods", counting)
        (line,) = doctor(alice, namespace).of("GPUs")
        assert re.search(r"[012] of 2 nvidia.com/gpu are free on 1 node", line["what"])
    finally:
        for each in ("clusterrole", "clusterrolebinding"):
            admin.kubectl("delete", each, f"{name}-nodes", f"{name}-pods", "--ignore-not-found")


def _let_see(admin: Person, person: Person, name: str, rules: list[Any]) -> None:
    group = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": name}
    binding = {**role, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [dict(person.subject)]}
    binding.pop("rules")
    admin.create(role, binding)


# --- broken --------------------------------------------------------------


def test_a_wrong_address_is_red_within_five_seconds(doctor, alice, make_namespace, tmp_path):
    told = doctor(changed(alice, tmp_path, server="https://127.0.0.1:1"), make_namespace(alice, ROLE))
    (line,) = told.red
    assert told.code == 1 and told.seconds < 5
    assert line["check"] == "API server" and "127.0.0.1:1" in line["what"] and line["remedy"]


def test_a_token_that_is_not_accepted_is_red(doctor, alice, make_namespace, tmp_path):
    told = doctor(changed(alice, tmp_path, token="expired"), make_namespace(alice, ROLE))
    (line,) = told.red
    assert told.code == 1
    assert line["check"] == "user" and "does not accept who you are" in line["what"] and "Log in" in line["remedy"]


def test_a_namespace_that_is_not_there_is_red_for_who_may_see_that(doctor, admin):
    told = doctor(admin, "jupyter-kuberay-nowhere")
    (line,) = told.red
    assert line["check"] == "namespace" and "'jupyter-kuberay-nowhere'" in line["what"]


@pytest.fixture
def without_kuberay(admin: Person, tmp_path: Path, testbed: Testbed) -> Iterator[Path]:
    """The kubeconfig of a second API server on the testbed, which keeps its things apart and knows no custom resource."""
    # Called from another place, so that whoever looks for the testbed's own does not find this one.
    program = tmp_path / "kube-apiserver"
    program.symlink_to(os.path.realpath(shutil.which("kube-apiserver", path=str(places.BIN)) or ""))
    prefix = f"/without-kuberay-{uuid.uuid4().hex[:8]}"
    arguments = [each for each in testbed.apiserver.arguments if not each.startswith(("--audit", "--secure-port"))]
    node.spawn("without-kuberay", str(program), *arguments, "--secure-port=6444", f"--etcd-prefix={prefix}")
    kubeconfig = changed(admin, tmp_path, server=places.API.replace("6443", "6444"))
    bare = Person(admin.login, kubeconfig, {})

    def ready() -> bool:
        try:
            return bool(bare.kubectl("get", "--raw=/readyz")) and bool(bare.read("namespace", "default"))
        except AssertionError:
            return False

    try:
        wait_for("A second API server", ready, 60, see=places.LOGS / "without-kuberay.log")
        yield kubeconfig
    finally:
        for pid in node.running(str(program)):
            os.kill(pid, 15)
        wait_for("the end of the second API server", lambda: not node.running(str(program)), 70)
        keys = {"key": b64encode(f"{prefix}/".encode()).decode(), "range_end": b64encode(f"{prefix}0".encode()).decode()}
        testbed._etcd("kv/deleterange", keys)


def test_where_kuberay_is_not_installed_that_is_the_red_line(doctor, without_kuberay):
    told = doctor(without_kuberay, "default")
    (line,) = told.red
    assert told.code == 1
    assert line["check"] == "KubeRay" and "no RayCluster" in line["what"] and "install KubeRay" in line["remedy"]


def test_an_operator_that_does_not_run_is_red_by_what_waits_for_it(doctor, alice, make_namespace, testbed: Testbed):
    namespace = make_namespace(alice, ROLE)
    testbed.operator.stop()
    tried = doctor(alice, namespace, "--try-out")
    (line,) = tried.red
    assert tried.code == 1 and line["check"] == "operator" and "nothing happened" in line["what"]
    waiting = suspended("ada")
    alice.create({**waiting, "metadata": {**waiting["metadata"], "namespace": namespace}})
    assert doctor(alice, namespace).red == []  # it may still come
    deadline = time.monotonic() + 30
    while not (told := doctor(alice, namespace)).red and time.monotonic() < deadline:
        pass
    (line,) = told.red
    assert told.code == 1 and line["check"] == "operator"
    assert "RayCluster 'ada'" in line["what"] and "kubectl get pods -A" in line["remedy"]
    testbed.operator.start()

    def at_work() -> bool:
        return doctor(alice, namespace).of("operator")[0]["level"] == "ok"

    wait_for("The operator at work again", at_work, 60)


def test_a_role_without_create_is_red_and_what_it_prints_mends_it(doctor, admin, alice, make_namespace):
    lacking = [rule | {"verbs": [verb for verb in rule["verbs"] if verb != "create"]} for rule in ROLE]
    namespace = make_namespace(alice, lacking)
    told = doctor(alice, namespace)
    (clusters, tunnel) = told.red
    assert told.code == 1 and clusters["check"] == tunnel["check"] == "rights"
    assert f"lack in '{namespace}' for clusters: create rayclusters.ray.io." in clusters["what"]
    assert "create pods/portforward" in tunnel["what"]
    admin.kubectl("apply", "--filename=-", given=clusters["manifest"])
    mended = doctor(alice, namespace)
    assert (mended.code, [line["level"] for line in mended.of("rights")]) == (0, ["ok"])


def test_a_role_that_names_secrets_is_said_to_be_narrow(doctor, alice, make_namespace):
    others = rights.rules([right for right in rights.NEEDED if right.resource != "secrets"])
    named = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["ada"]}
    told = doctor(alice, make_namespace(alice, [*others, named]))
    (line,) = told.of("rights")
    assert told.code == 0 and line["level"] == "warning" and "only ada" in line["what"]


def test_who_may_do_nothing_is_told_so_and_not_more(doctor, bob, make_namespace):
    told = doctor(bob, make_namespace())
    assert told.code == 1
    assert {line["check"] for line in told.red} == {"rights"}


def test_an_image_that_does_not_match_is_red(doctor, alice, make_namespace):
    profiles = [{"name": "old", "cluster": {"image": "rayproject/ray:2.40.0-py39"}}]
    told = doctor(alice, make_namespace(alice, ROLE), profiles=profiles)
    (line,) = told.red
    assert told.code == 1 and line["check"] == "image"
    assert "Ray 2.40.0 and Python 3.9" in line["what"] and "profile old" in line["what"]


def test_a_claim_that_is_not_there_is_red_and_one_that_waits_is_not(doctor, admin, alice, make_namespace):
    seeing = {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["get"]}
    namespace = make_namespace(alice, [*ROLE, seeing])
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    admin.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "waits", "namespace": namespace}, "spec": spec})
    volumes = [{"name": name, "mount_path": f"/{name}", "claim": name} for name in ("waits", "nowhere")]
    told = doctor(alice, namespace, profiles=[{"name": "models", "cluster": {"head": {"volumes": volumes}}}])
    (line,) = told.red
    assert line["check"] == "storage" and "'nowhere'" in line["what"]
    assert {each["level"] for each in told.of("storage")} == {"bad", "warning"}
