"""What the API server refuses, as an error that a person can act on. Pure.

A refusal is a ``Status`` object; its ``reason`` tells more than the HTTP
status does, and its ``details`` more than its message.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from jupyter_kuberay.errors import Conflict, Failed, Forbidden, InvalidSpec, KubeRayError, NotFound, Refused, Unreachable
from jupyter_kuberay.observation import Json

_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)
_WEBHOOK = re.compile(r'admission webhook "(?P<name>[^"]+)" denied the request(?: without explanation|: (?P<words>.*))', re.DOTALL)
_GATEWAY_API = ".gateway.networking.k8s.io"
_QUOTA = "exceeded quota"
NOT_NOW = (429, 500, 502, 503, 504)  # an API server that is being started says such things, and forbids what it allows


class NotNow(Unreachable):
    """The API server is there and cannot answer now, as while it starts; it has said nothing of what was asked for."""


@dataclass(frozen=True)
class Asked:
    """What a request wanted, in the words of a message."""

    what: str = ""  # such as "RayCluster 'alice-1'"
    place: str = ""  # such as "rayclusters.ray.io"


def refused(status: int, body: bytes, asked: Asked) -> KubeRayError:
    """The error for an answer of 400 and above."""
    answer = _status(body)
    message = str(answer.get("message") or body.decode(errors="replace").strip()[:500] or f"HTTP {status}")
    reason = str(answer.get("reason") or "")
    what = asked.what or asked.place or "The request"
    if status == 401:
        return Forbidden("The API server does not accept who you are.", "Log in again, as for kubectl; then try again.")
    if status == 403:
        return _forbidden(message)
    if status == 404:
        return _not_found(answer, what, asked)
    if status == 409:
        if reason == "AlreadyExists":
            return Conflict(f"{what} exists already.", "Choose another name, or take what is there.")
        return Conflict(f"Somebody else changed {what} meanwhile.", "Look at it again, and try again.")
    if status in (400, 422):
        return _invalid(answer, message, what)
    if status in NOT_NOW:
        return NotNow(f"The API server cannot answer now: {message}", "Try again in a moment.")
    return Failed(f"The API server refuses {what}: {message}", "Ask your administrator.")


def rule(group: str, resource: str, verb: str) -> str:
    """The rule of a Role that would allow it, as YAML in one line."""
    return f'{{apiGroups: ["{group}"], resources: ["{resource}"], verbs: ["{verb}"]}}'


def _status(body: bytes) -> Json:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _forbidden(message: str) -> KubeRayError:
    if webhook := _WEBHOOK.search(message):
        words = (webhook["words"] or "It gives no reason.").strip()
        return Refused(f"The cluster's admission webhook {webhook['name']!r} refuses it: {words}", "Change the request as it says.")
    if _QUOTA in message:
        said = message[message.index(_QUOTA) :]
        return Refused(f"The namespace's quota does not allow it: {said}.", "Ask for less, or ask your administrator for a larger quota.")
    if found := _FORBIDDEN.search(message):
        where = f" in namespace {found['namespace']!r}" if found["namespace"] else ""
        name = f"{found['resource']}.{found['group']}" if found["group"] else found["resource"]
        return Forbidden(
            f"{found['user']} may not {found['verb']} {name}{where}.",
            f"Ask your administrator for a role with this rule: {rule(found['group'], found['resource'], found['verb'])}",
        )
    return Forbidden(f"The API server forbids it: {message}", "Ask your administrator.")


def _not_found(answer: Json, what: str, asked: Asked) -> KubeRayError:
    details = answer.get("details") or {}
    if answer.get("kind") == "Status" and details.get("name"):
        return NotFound(f"There is no {what}.", "Look which there are.")
    # An address that the API server does not know at all: the kind is not installed.
    if asked.place.endswith(_GATEWAY_API):
        return Unreachable(
            f"The Gateway API is not installed here: the API server knows no {asked.place}.",
            "Ask your administrator to install it, or to expose services by an Ingress.",
        )
    return Unreachable(
        f"KubeRay is not installed here: the API server knows no {asked.place or 'such resource'}.",
        "Ask your administrator to install the KubeRay operator with its custom resource definitions.",
    )


def _invalid(answer: Json, message: str, what: str) -> KubeRayError:
    causes = [cause for cause in (answer.get("details") or {}).get("causes") or [] if isinstance(cause, dict)]
    words = [str(cause.get("message") or "") for cause in causes]
    told = " ".join([message, *words])
    if "test failed" in told or "testing value" in told:
        return Conflict(f"Somebody else changed {what} meanwhile.", "Look at it again, and try again.")
    if webhook := _WEBHOOK.search(message):
        return Refused(f"The cluster's admission webhook {webhook['name']!r} refuses it: {(webhook['words'] or '').strip()}", "Change it.")
    named = [f"{cause['field']}: {cause.get('message')}" for cause in causes if cause.get("field") and cause["field"] != "<nil>"]
    return InvalidSpec(f"The API server refuses {what}: {'; '.join(named) or told.strip()}", "Correct what it names.")
