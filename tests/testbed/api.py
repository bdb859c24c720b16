"""The testbed's API server, as its administrator asks it; only what bringing the bed up needs."""

from __future__ import annotations

import json
import ssl
import urllib.request
from typing import Any

from .places import API, NODE, PKI
from .users import USERS, token

JSON_PATCH = "application/json-patch+json"
# No proxy of the site leads there.
_DIRECT = urllib.request.ProxyHandler({})


def request(path: str, method: str = "GET", body: object = None, content_type: str = "application/json") -> Any:
    """The answer, as JSON where it is an object. OSError when it is a refusal, or none."""
    asked = urllib.request.Request(API + path, method=method, data=None if body is None else json.dumps(body).encode())
    asked.add_header("Authorization", f"Bearer {token(USERS['admin'])}")
    asked.add_header("Content-Type", content_type)
    trusted = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(PKI / "ca.crt")))
    with urllib.request.build_opener(_DIRECT, trusted).open(asked, timeout=5) as response:
        text = response.read().decode()
    return json.loads(text) if text.startswith("{") else text


def says_ok(where: str) -> bool:
    """Whether a path of the API server, or another address, answers with 200."""
    try:
        if where.startswith("/"):
            request(where)
        else:
            urllib.request.build_opener(_DIRECT).open(where, timeout=5).close()
    except OSError:
        return False
    return True


def node_is_ready() -> bool:
    """Whether pods can be placed on the node."""
    status = request(f"/api/v1/nodes/{NODE}")["status"]
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", []))


def advertise(resource: str, count: int) -> None:
    """Let the scheduler believe in so many pieces of an extended resource, such as ``nvidia.com/gpu``."""
    path = f"/status/capacity/{resource.replace('~', '~0').replace('/', '~1')}"
    request(f"/api/v1/nodes/{NODE}/status", "PATCH", [{"op": "add", "path": path, "value": str(count)}], JSON_PATCH)
