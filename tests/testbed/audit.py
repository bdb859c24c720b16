"""Who asked the API server for what: its audit log, as a test reads it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from . import api
from .components import AUDIT_LOG
from .processes import wait_for


@dataclass(frozen=True)
class Request:
    """One request. A watch is one, however long it lasts."""

    id: str
    user: str
    verb: str  # get, list, watch, create, patch, …
    resource: str  # such as pods, or pods/log; empty for what is none
    namespace: str
    uri: str
    agent: str
    code: int  # 0 while it goes on


@contextmanager
def requests(user: str = "") -> Iterator[list[Request]]:
    """The requests that begin or end within the block, of one user or of all; the list is complete after the block.

    Not in it are those of Kubernetes' own parts.
    """
    found: list[Request] = []
    begin = _size()
    yield found
    _settle(begin)
    found += [request for request in _read(begin) if user in ("", request.user)]


def _size() -> int:
    return AUDIT_LOG.stat().st_size if AUDIT_LOG.exists() else 0


def _settle(begin: int) -> None:
    """A request may be answered before it is in the log: ask for something that shows up behind it."""
    mark = f"/version?mark={uuid.uuid4().hex}"
    api.request(mark)
    wait_for("The request in the audit log", lambda: mark.encode() in _bytes(begin), 10, see=AUDIT_LOG)


def _bytes(begin: int) -> bytes:
    with open(AUDIT_LOG, "rb") as log:
        log.seek(begin)
        return log.read()


def _read(begin: int) -> list[Request]:
    by_id: dict[str, Request] = {}
    for line in _bytes(begin).splitlines():
        event = json.loads(line)
        if "/version?mark=" not in event["requestURI"]:
            by_id[event["auditID"]] = _request(event)  # the last that is said of one, and only once
    return list(by_id.values())


def _request(event: dict[str, Any]) -> Request:
    what = event.get("objectRef", {})
    return Request(
        id=event["auditID"],
        user=event["user"]["username"],
        verb=event["verb"],
        resource="/".join(filter(None, (what.get("resource"), what.get("subresource")))),
        namespace=what.get("namespace", ""),
        uri=event["requestURI"],
        agent=event.get("userAgent", ""),
        code=event.get("responseStatus", {}).get("code", 0),
    )
