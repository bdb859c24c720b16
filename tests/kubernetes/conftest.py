"""The cluster under test: the testbed, or that of the kubeconfig's current context; and the people who act on it.

``JUPYTER_KUBERAY_TEST_CLUSTER`` says which; without ``make test-kubernetes`` (or
JUPYTER_KUBERAY_TEST_BACKEND=kuberay) the tests in this folder are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.testbed import bed, images, node
from tests.testbed.faults import Testbed

from .people import CORE, Json, Person, dissolve, grant, namespace_named, of_the_testbed

CLUSTER = os.environ.get("JUPYTER_KUBERAY_TEST_CLUSTER", "testbed")
ON_TESTBED = CLUSTER == "testbed"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("JUPYTER_KUBERAY_TEST_BACKEND") != "kuberay":
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(pytest.mark.skip(reason="needs a Kubernetes: make test-kubernetes"))


@pytest.fixture(scope="session")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """Who may do everything."""
    if CLUSTER not in ("testbed", "current"):
        raise pytest.UsageError(f"JUPYTER_KUBERAY_TEST_CLUSTER is {CLUSTER!r}; it can be testbed or current.")
    if ON_TESTBED:
        if node.birth() is None:
            pytest.fail("The testbed is not up: make testbed.", pytrace=False)
        return of_the_testbed("admin")
    if not shutil.which("kubectl"):
        pytest.fail("On a cluster of yours the tests need kubectl.", pytrace=False)
    kubeconfig = tmp_path_factory.mktemp("people") / "admin.kubeconfig"
    kubeconfig.touch(mode=0o600)
    view = ["kubectl", "config", "view", "--minify", "--flatten", "--raw"]
    kubeconfig.write_text(subprocess.run(view, stdout=subprocess.PIPE, text=True, check=True).stdout)
    person = Person("admin", kubeconfig, {})
    try:
        person.kubectl("get", "crd/rayclusters.ray.io", "--request-timeout=20s")
    except AssertionError as error:
        pytest.fail(f"The cluster of your kubeconfig's current context cannot be tested on: {error}", pytrace=False)
    return person


@pytest.fixture(scope="session")
def people(admin: Person) -> Iterator[Callable[[str], Person]]:
    """Gives somebody who may do nothing until a test grants it, by their name."""
    if ON_TESTBED:
        yield of_the_testbed
        return
    namespace = f"jupyter-kuberay-people-{uuid.uuid4().hex[:6]}"
    admin.create(namespace_named(namespace))
    yield lambda name: _service_account(admin, namespace, name)
    admin.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="session")
def alice(people: Callable[[str], Person]) -> Person:
    return people("alice")


@pytest.fixture(scope="session")
def bob(people: Callable[[str], Person]) -> Person:
    return people("bob")


@pytest.fixture(scope="session")
def image() -> str:
    """An image with this Ray and this Python, which the cluster has or can pull."""
    return os.environ.get("JUPYTER_KUBERAY_TEST_IMAGE") or (images.name("light") if ON_TESTBED else images.public_name())


@pytest.fixture(scope="session")
def _namespaces(admin: Person) -> Iterator[list[str]]:
    """Those to be removed; all have gone in the end."""
    made: list[str] = []
    yield made
    for name in made:
        admin.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")
    for name in made:
        admin.kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=180s")


MakeNamespace = Callable[..., str]


@pytest.fixture
def make_namespace(admin: Person, _namespaces: list[str]) -> Iterator[MakeNamespace]:
    """Makes a namespace in which ``user`` has the rights in ``rules``, and gives its name. It is removed after the test."""
    own: list[str] = []

    def make(user: Person | None = None, rules: Sequence[Json] = (), **labels: str) -> str:
        name = f"jupyter-kuberay-test-{uuid.uuid4().hex[:8]}"
        own.append(name)
        _namespaces.append(name)
        admin.create(namespace_named(name, **labels))
        if user is not None:
            admin.create(*grant(name, user, rules))
        return name

    yield make
    for name in own:
        dissolve(admin, name)


@pytest.fixture
def testbed() -> Iterator[Testbed]:
    """The bed, for tests that break its parts or read its audit log. Whatever they leave broken is mended after them."""
    if not ON_TESTBED:
        pytest.skip("breaks parts of the cluster, or reads its audit log: on the testbed only")
    yield Testbed()
    bed.heal()


def _service_account(admin: Person, namespace: str, name: str) -> Person:
    """On a cluster whose users are not ours to make."""
    admin.create({"apiVersion": CORE, "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}})
    token = admin.kubectl("create", "token", name, f"--namespace={namespace}", "--duration=8h").strip()
    config = json.loads(admin.kubectl("config", "view", "--raw", "--output=json"))
    config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
    kubeconfig = admin.kubeconfig.with_name(f"{name}.kubeconfig")
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(json.dumps(config))
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    return Person(f"system:serviceaccount:{namespace}:{name}", kubeconfig, subject)
