"""Services' addresses outside, and the token that callers show."""

import asyncio

import pytest

from jupyter_kuberay import manifest
from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.exposure import Exposure
from jupyter_kuberay.profiles import Profile, read_profiles
from jupyter_kuberay.serving import loader
from jupyter_kuberay.spec import Application, ClusterSpec, Code, HeadSpec, SecretKey, ServiceSpec, WorkerGroup

CODE = Code(source="UEsFBg==", sha256="0" * 64)
TOKEN = SecretKey(secret="callers", key="token")


def service(**more):
    cluster = ClusterSpec(name="x", user="alice", head=HeadSpec(env={"A": "b"}), worker_groups=(WorkerGroup(name="w"),))
    return ServiceSpec(name="summarizer", applications=(Application(import_path="tiny:app", code=CODE),), cluster=cluster, **more)


def test_an_ingress_leads_to_serves_port():
    exposure = Exposure(host="{name}-{user}.models.example.org", ingress_class="nginx", tls_secret="models", annotations={"a.org/s": "8m"})
    bundle = manifest.service_bundle(service(), exposure)
    assert bundle.routes == (
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {
                "name": "summarizer",
                "labels": {"jupyter-kuberay/name": "summarizer", "jupyter-kuberay/user": "alice"},
                "annotations": {"a.org/s": "8m"},
            },
            "spec": {
                "ingressClassName": "nginx",
                "tls": [{"hosts": ["summarizer-alice.models.example.org"], "secretName": "models"}],
                "rules": [
                    {
                        "host": "summarizer-alice.models.example.org",
                        "http": {
                            "paths": [
                                {
                                    "path": "/",
                                    "pathType": "Prefix",
                                    "backend": {"service": {"name": "summarizer-serve-svc", "port": {"number": 8000}}},
                                }
                            ]
                        },
                    }
                ],
            },
        },
    )
    assert bundle.objects[-1] == bundle.routes[0], "after the service that owns it"
    assert bundle.resource["metadata"]["annotations"]["jupyter-kuberay/url"] == "https://summarizer-alice.models.example.org"


def test_an_httproute_belongs_to_the_gateway_that_is_named():
    exposure = Exposure(kind="HTTPRoute", host="{name}.example.org", gateway="gateways/public", scheme="http")
    (route,) = manifest.service_bundle(service(), exposure).routes
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert route["spec"] == {
        "parentRefs": [{"name": "public", "namespace": "gateways"}],
        "hostnames": ["summarizer.example.org"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [{"name": "summarizer-serve-svc", "port": 8000}],
            }
        ],
    }
    assert exposure.url("summarizer", "alice") == "http://summarizer.example.org"


@pytest.mark.parametrize("user", ["Ada Lovelace", "ada@example.org", "", "x" * 200, "system:serviceaccount:hub:ada"])
def test_a_host_is_valid_whatever_its_user_is_called(user):
    host = Exposure(host="{name}-of-{user}.models.example.org").host_of("s" * 47, user)
    first, *rest = host.split(".")
    assert rest == ["models", "example", "org"] and len(first) <= 63
    assert first == first.lower() and first.replace("-", "").isalnum() and not first.endswith("-")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"host": "models.example.org"}, "the same for all services; let {name} stand in it, such as '{name}.models.example.org'"),
        ({"host": "{name}"}, "is not a host"),
        ({"host": "{name}.example.org", "kind": "HTTPRoute"}, "belongs to a Gateway; say which"),
        ({"host": "{name}.example.org", "gateway": "public"}, "is for an HTTPRoute"),
        ({"host": "{name}.example.org", "kind": "HTTPRoute", "gateway": "a", "tls_secret": "b"}, "an Ingress's"),
        ({"host": "{name}.example.org", "gateway": "a/b/c"}, "is not a Gateway"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(fields, said):
    with pytest.raises(InvalidSpec) as caught:
        Exposure(**fields)
    assert said in str(caught.value)


def test_a_profile_offers_it():
    (profile,) = read_profiles([{"name": "p", "exposure": {"host": "{name}.example.org"}, "bearer": {"secret": "callers", "key": "token"}}])
    assert isinstance(profile, Profile) and profile.bearer == TOKEN
    assert profile.exposure == Exposure(host="{name}.example.org")


# The token


def test_every_node_gets_the_token_by_reference_and_reading_gives_the_same_spec():
    wanted = service(bearer=TOKEN)
    resource = manifest.service_bundle(wanted).resource
    groups = [resource["spec"]["rayClusterConfig"]["headGroupSpec"], *resource["spec"]["rayClusterConfig"]["workerGroupSpecs"]]
    for group in groups:
        env = {one["name"]: one for one in group["template"]["spec"]["containers"][0]["env"]}
        assert env["JUPYTER_KUBERAY_BEARER"]["valueFrom"] == {"secretKeyRef": {"name": "callers", "key": "token"}}
        assert env["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"]["value"] == "jupyter_kuberay_loader:guards"
    read = manifest.read_service(resource)
    assert read == wanted
    assert manifest.service_bundle(read).resource == resource
    assert manifest.read_service(manifest.service_bundle(service()).resource).bearer is None


@pytest.mark.parametrize(("own", "there"), [({}, "0"), ({"RAY_worker_niceness": "5"}, "5")])
def test_replicas_have_the_priority_of_what_starts_them_unless_somebody_says_otherwise(own, there):
    wanted = service().changed(cluster=ClusterSpec(name="s", head=HeadSpec(env=own), worker_groups=(WorkerGroup(name="w", env=own),)))
    resource = manifest.service_bundle(wanted).resource
    below = resource["spec"]["rayClusterConfig"]
    for group in (below["headGroupSpec"], *below["workerGroupSpecs"]):
        env = {one["name"]: one["value"] for one in group["template"]["spec"]["containers"][0]["env"]}
        assert env["RAY_worker_niceness"] == there
    assert manifest.read_service(resource) == wanted


def test_a_token_needs_the_loader_that_asks_for_it():
    with pytest.raises(InvalidSpec, match="needs the loader"):
        ServiceSpec(name="s", applications=(Application(import_path="tiny:app"),), cluster=ClusterSpec(name="s"), bearer=TOKEN)


def answered(guard, scope):
    """What is sent when ``scope`` comes; ["app"] when it was let through."""
    sent = []

    async def send(message):
        sent.append(message)

    async def app(scope, receive, send):
        sent.append("app")

    middleware = guard
    asyncio.run(middleware.cls(app, *middleware.args, **middleware.kwargs)(scope, None, send))
    return sent


@pytest.fixture
def guard(monkeypatch):
    monkeypatch.setenv("JUPYTER_KUBERAY_BEARER", "tell no one\n")  # a file's last newline is in many a Secret
    (found,) = loader.guards()
    return found


def http(*shown, path="/summarize", kind="http"):
    return {"type": kind, "path": path, "headers": [(b"host", b"x"), *((b"authorization", one) for one in shown)]}


@pytest.mark.parametrize(
    "scope",
    [
        http(b"Bearer tell no one"),
        http(b"bearer  tell no one "),
        http(path="/-/healthz"),
        {"type": "lifespan"},
        http(b"Bearer tell no one", kind="websocket"),
    ],
)
def test_who_shows_the_token_is_let_through_and_kubernetes_may_ask_for_health(guard, scope):
    assert answered(guard, scope) == ["app"]


@pytest.mark.parametrize(
    "scope",
    [
        http(),
        http(b"tell no one"),
        http(b"Bearer tell"),
        http(b"Bearer "),
        http(b"Basic tell no one"),
        http(b"Bearer tell no one", b"Bearer tell no one"),
        http(path="/-/routes"),
        http(path="/summarize/-/healthz"),
    ],
)
def test_who_does_not_is_told_so(guard, scope):
    start, body = answered(guard, scope)
    assert start["status"] == 401 and (b"www-authenticate", b"Bearer") in start["headers"]
    assert b"Authorization: Bearer" in body["body"] and b"tell no one" not in body["body"]


def test_a_websocket_without_the_token_is_closed(guard):
    assert answered(guard, http(kind="websocket")) == [{"type": "websocket.close", "code": 1008}]


def test_without_a_token_nothing_starts_and_where_ray_would_not_ask_for_it_nothing_is_built(monkeypatch):
    monkeypatch.setenv("JUPYTER_KUBERAY_BEARER", "")
    with pytest.raises(RuntimeError, match="is empty: see the Secret"):
        loader.guards()
    from ray.serve._private import constants

    monkeypatch.delattr(constants, "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH")
    with pytest.raises(Exception, match="cannot ask callers for a token"):
        loader.build({"app": "tiny:app"})
