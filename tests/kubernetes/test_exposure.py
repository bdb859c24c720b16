"""A published service's address outside, and the token that callers show."""

from __future__ import annotations

import json
import textwrap
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import jupyter_kuberay as jk
from jupyter_kuberay.backends.kuberay import KubeRayBackend, rights
from jupyter_kuberay.client import Client
from jupyter_kuberay.config import KubeRay
from jupyter_kuberay.errors import Forbidden, Unreachable
from jupyter_kuberay.exposure import Exposure
from jupyter_kuberay.loop import run_sync
from jupyter_kuberay.manifest import URL, service_bundle
from jupyter_kuberay.observation import Kind
from jupyter_kuberay.spec import Application, ClusterSpec, Code, HeadSpec, SecretKey, ServiceSpec

from .conftest import MakeNamespace
from .people import Person

pytestmark = pytest.mark.timeout(400)

APP = """
    from ray import serve

    @serve.deployment(ray_actor_options={"num_cpus": 0.1})
    class Hello:
        def reconfigure(self, user_config):
            self.model = user_config["model"]

        async def __call__(self, request):
            return {"model": self.model}

    app = Hello.bind()
"""
INGRESS = Exposure(host="{name}-{user}.models.example.org")
GATEWAY = Exposure(kind="HTTPRoute", host="{name}.models.example.org", gateway="gateways/public")
RULES = rights.rules(rights.needed_with(["Ingress", "HTTPRoute"]))


@pytest.fixture
def app(tmp_path: Path) -> str:
    (tmp_path / "hello.py").write_text(textwrap.dedent(APP))
    return f"{tmp_path}/hello.py:app"


@pytest.fixture
def namespace(alice: Person, make_namespace: MakeNamespace) -> str:
    return make_namespace(alice, RULES)


@pytest.fixture
def client(alice: Person, namespace: str) -> Iterator[Client]:
    client = Client(KubeRayBackend(namespace=namespace, kubeconfig=str(alice.kubeconfig)), KubeRay(user="alice"))
    yield client
    run_sync(client.close())


def cluster(image: str) -> ClusterSpec:
    return ClusterSpec(name="hello", image=image, head=HeadSpec(cpu="1", memory="2Gi"))


@pytest.mark.slow
def test_callers_show_the_token_of_the_secret_and_the_ingress_comes_and_goes_with_the_service(
    admin: Person, image: str, client: Client, namespace: str, app: str
) -> None:
    secret = {"name": "callers", "namespace": namespace}
    admin.create({"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": {"token": "tell no one"}})
    bearer = SecretKey(secret="callers", key="token")
    published = jk.publish("hello", app=app, model="m1", cluster=cluster(image), exposure=INGRESS, bearer=bearer, client=client)
    assert published.url == "https://hello-alice.models.example.org"
    assert published.call == "curl -H \"Authorization: Bearer $TOKEN\" 'https://hello-alice.models.example.org/'"

    ingress = admin.read("ingress/hello", f"--namespace={namespace}")
    (rule,) = ingress["spec"]["rules"]
    to = rule["http"]["paths"][0]["backend"]["service"]
    (owner,) = ingress["metadata"]["ownerReferences"]
    service = admin.read("rayservice/hello", f"--namespace={namespace}")
    assert owner["uid"] == service["metadata"]["uid"] and "tell no one" not in json.dumps(service)
    ports = admin.read(f"service/{to['name']}", f"--namespace={namespace}")["spec"]["ports"]
    assert to["port"]["number"] in [port["port"] for port in ports]

    with jk.Service("hello", client).reach() as url:
        assert ask(url, "tell no one") == {"model": "m1"}
        for shown in ("", "guessed"):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                ask(url, shown)
        # A new revision is tried out and asked about on ways of its own.
        jk.publish("hello", app=app, model="m2", client=client)
        assert ask(url, "tell no one") == {"model": "m2"}
    jk.Service("hello", client).unpublish()
    admin.kubectl("wait", "--for=delete", "ingress/hello", f"--namespace={namespace}", "--timeout=60s")


def test_without_the_right_to_expose_nothing_is_left_and_the_rule_is_named(
    alice: Person, image: str, make_namespace: MakeNamespace, app: str
) -> None:
    client = Client(
        KubeRayBackend(namespace=make_namespace(alice, rights.rules()), kubeconfig=str(alice.kubeconfig)), KubeRay(user="alice")
    )
    try:
        with pytest.raises(Forbidden, match=r"may not create ingresses.networking.k8s.io") as caught:
            jk.publish("hello", app=app, model="m1", cluster=cluster(image), exposure=INGRESS, client=client)
        assert "networking.k8s.io" in caught.value.hint
        run_sync(client.wait_gone("hello", kind=Kind.SERVICE))
    finally:
        run_sync(client.close())


def test_where_the_gateway_api_is_not_installed_that_is_said_and_nothing_is_left(
    admin: Person, image: str, client: Client, app: str
) -> None:
    if "httproutes" in admin.kubectl("api-resources", "--api-group=gateway.networking.k8s.io", "--output=name"):
        pytest.skip("this cluster has the Gateway API")
    with pytest.raises(Unreachable, match="The Gateway API is not installed here"):
        jk.publish("hello", app=app, model="m1", cluster=cluster(image), exposure=GATEWAY, client=client)
    run_sync(client.wait_gone("hello", kind=Kind.SERVICE))


def test_an_httproute_is_made_where_there_are_such(admin: Person, image: str, client: Client, namespace: str, gateway_api: None) -> None:
    application = Application(name="hello", import_path="hello:app", code=Code(source="none", sha256="0" * 64))
    bundle = service_bundle(ServiceSpec(name="hello", cluster=cluster(image), applications=(application,)), GATEWAY)
    made = run_sync(client.backend.create(bundle))
    route = admin.read("httproutes.gateway.networking.k8s.io/hello", f"--namespace={namespace}")
    assert route["spec"]["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    assert [owner["uid"] for owner in route["metadata"]["ownerReferences"]] == [made.resource["metadata"]["uid"]]
    assert made.resource["metadata"]["annotations"][URL] == "https://hello.models.example.org"


@pytest.fixture
def gateway_api(admin: Person) -> Iterator[None]:
    """The kind alone, of whatever content: no controller, and none of its checks."""
    if "httproutes" in admin.kubectl("api-resources", "--api-group=gateway.networking.k8s.io", "--output=name"):
        yield
        return
    group, names = "gateway.networking.k8s.io", {"kind": "HTTPRoute", "plural": "httproutes"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {
        "group": group,
        "scope": "Namespaced",
        "names": names,
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }
    metadata = {
        "name": f"httproutes.{group}",
        "annotations": {"api-approved.kubernetes.io": "unapproved, a stand-in for tests of jupyter-kuberay"},
    }
    admin.create({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata, "spec": spec})
    admin.kubectl("wait", "--for=condition=Established", f"crd/httproutes.{group}", "--timeout=30s")
    yield
    admin.kubectl("delete", f"crd/httproutes.{group}")


def ask(url: str, token: str) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)
