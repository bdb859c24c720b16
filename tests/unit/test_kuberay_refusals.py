"""What the API server refuses becomes an error that says what to do."""

import json

import pytest

from jupyter_kuberay.backends.kuberay.refusals import Asked, NotNow, refused
from jupyter_kuberay.errors import Conflict, Forbidden, InvalidSpec, NotFound, Refused, Unreachable

CLUSTER = Asked("RayCluster 'alice-1'", "rayclusters.ray.io")


def status(code: int, reason: str, message: str, **details: object) -> bytes:
    answer = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code}
    return json.dumps(answer | {"details": details}).encode()


FORBIDDEN = status(
    403,
    "Forbidden",
    'rayclusters.ray.io is forbidden: User "alice" cannot create resource "rayclusters" in API group "ray.io" in the namespace "default"',
    group="ray.io",
    kind="rayclusters",
)
QUOTA = status(
    403,
    "Forbidden",
    'rayclusters.ray.io "alice-1" is forbidden: exceeded quota: few, requested: count/rayclusters.ray.io=1, used: 2, limited: 2',
)
WEBHOOK = status(403, "Forbidden", 'admission webhook "policy.example.com" denied the request: no GPUs on Fridays')
TEST_FAILED = status(
    422,
    "",
    "the server rejected our request due to an error in our request",
    causes=[{"reason": "UnexpectedServerResponse", "message": "testing value /spec/suspend failed: test failed"}],
)
INVALID = status(
    422,
    "Invalid",
    'RayCluster.ray.io "alice-1" is invalid: spec.headGroupSpec: Required value',
    name="alice-1",
    causes=[{"reason": "FieldValueRequired", "message": "Required value", "field": "spec.headGroupSpec"}],
)


@pytest.mark.parametrize(
    ("code", "body", "kind", "words"),
    [
        (401, status(401, "Unauthorized", "Unauthorized"), Forbidden, ["does not accept who you are", "Log in again"]),
        (403, FORBIDDEN, Forbidden, ["alice may not create rayclusters.ray.io in namespace 'default'", 'verbs: ["create"]']),
        (403, QUOTA, Refused, ["limited: 2", "larger quota"]),
        (403, WEBHOOK, Refused, ["policy.example.com", "no GPUs on Fridays"]),
        (404, status(404, "NotFound", "not found", name="alice-1"), NotFound, ["There is no RayCluster 'alice-1'"]),
        (404, b"404 page not found\n", Unreachable, ["KubeRay is not installed", "rayclusters.ray.io"]),
        (409, status(409, "AlreadyExists", "already exists", name="alice-1"), Conflict, ["'alice-1' exists already"]),
        (409, status(409, "Conflict", "the object has been modified"), Conflict, ["Somebody else changed"]),
        (422, TEST_FAILED, Conflict, ["Somebody else changed RayCluster 'alice-1'"]),
        (422, INVALID, InvalidSpec, ["spec.headGroupSpec: Required value"]),
        (503, b"apiserver not ready", NotNow, ["cannot answer now", "Try again"]),
        (500, b"", NotNow, ["HTTP 500"]),
    ],
)
def test_a_refusal_says_what_happened_and_what_to_do(code, body, kind, words):
    error = refused(code, body, CLUSTER)
    assert type(error) is kind
    for word in words:
        assert word in str(error)
    assert error.hint
