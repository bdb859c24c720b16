"""Tornado's half: who may, what was asked for, and bytes out.

A class for each path of `routes`, made there and then, so that each method asks
Jupyter's authorizer about its own resource.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import responses
from itertools import groupby
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.iostream import StreamClosedError

from jupyter_kuberay.errors import InvalidSpec, KubeRayError
from jupyter_kuberay.faces.server.background import Background
from jupyter_kuberay.faces.server.routes import OPERATIONS, PREFIX, Operation, Query

BACKGROUND = "jupyter_kuberay_background"  # among the web application's settings
LONGEST_BODY = 1 << 20
_HINTS = {403: "Log in to this Jupyter server, or ask its administrator for that right.", 405: "See /jupyter-kuberay/openapi.json."}


@web.stream_request_body
class _Handler(APIHandler):
    """What all have in common; the body is counted as it comes, so that a large one is never held in memory."""

    def initialize(self) -> None:
        self._body = bytearray()
        self._too_long = False

    async def prepare(self) -> None:  # type: ignore[override]
        await super().prepare()
        length = self.request.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > LONGEST_BODY:
            raise web.HTTPError(413, f"A body has at most {LONGEST_BODY} bytes.")

    def data_received(self, chunk: bytes) -> None:
        self._too_long = self._too_long or len(self._body) + len(chunk) > LONGEST_BODY
        if not self._too_long:
            self._body += chunk

    async def answer(self, operation: Operation, names: dict[str, str]) -> None:
        try:
            arguments = self._arguments(operation) | names | ({"asked": self._asked()} if operation.asked else {})
            if operation.lines:
                await self._stream(operation, arguments)
                return
            answer = await self._background.do(operation.name, arguments)
        except KubeRayError as error:
            self._refuse(error)
            return
        self.set_status(operation.status)
        await self.finish(None if operation.status == 204 else answer)

    def _asked(self) -> dict[str, Any]:
        """The fields of a `dashboards.Asked`."""
        headers, app = self.request.headers, self.serverapp
        assert app is not None
        forwarded = any(name in headers for name in ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"))
        return {
            "host": headers.get("Host", ""),
            "address": "127.0.0.1" if app.sock else app.ip,  # who listens at a socket of the file system is reached from here only
            "agent": headers.get("User-Agent", ""),
            "proxied": bool(forwarded or app.sock),
        }

    @property
    def _background(self) -> Background:
        background: Background = self.settings[BACKGROUND]
        return background

    async def _stream(self, operation: Operation, arguments: dict[str, Any]) -> None:
        """A trouble after the first line ends the lines with what it says: the status has gone out already."""
        self.set_header("Content-Type", f"{operation.lines}; charset=utf-8")
        self.set_header("X-Accel-Buffering", "no")  # a proxy in between is to hand on what comes
        lines = self._background.lines(operation.name, arguments)
        begun = False
        try:
            async for chunk in lines:
                self.write(chunk)
                await self.flush()
                begun = True
        except KubeRayError as error:
            if not begun:
                raise
            self.write(f"\n{error}\n".encode())
        except StreamClosedError:
            return  # nobody reads any more
        finally:
            await lines.aclose()
        await self.finish(set_content_type=f"{operation.lines}; charset=utf-8")

    def _arguments(self, operation: Operation) -> dict[str, Any]:
        found: dict[str, Any] = {query.name: self._query(query) for query in operation.query}
        if self._too_long:
            raise web.HTTPError(413, f"A body has at most {LONGEST_BODY} bytes.")
        if operation.body:
            found["body"] = _object(bytes(self._body))
        return found

    def _query(self, query: Query) -> Any:
        text = self.get_query_argument(query.name, None)
        if text is None:
            return query.default
        if query.type == "boolean":
            if text not in ("true", "false", "1", "0"):
                raise InvalidSpec(f"{query.name}={text!r} is neither true nor false.", "Say one of them.")
            return text in ("true", "1")
        if query.type == "integer":
            # More digits than any number here has are not worth reading.
            if not text.isdecimal() or len(text) > 18:
                raise InvalidSpec(f"{query.name}={text[:40]!r} is no number.", "Say how many.")
            return int(text)
        return text

    def _refuse(self, error: KubeRayError) -> None:
        self.set_status(error.status)
        if error.retry_after:
            self.set_header("Retry-After", str(round(error.retry_after)))
        self.finish(json.dumps({"message": error.message, "hint": error.hint, "kind": type(error).__name__}))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """The same three words for what Tornado and Jupyter refuse."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        told = {"message": "The Jupyter server could not do that.", "hint": "Its log tells more.", "kind": "Unexpected"}
        if isinstance(error, web.HTTPError):
            words = error.log_message or error.reason or responses.get(status_code, "Refused")
            told = {"message": words, "hint": _HINTS.get(status_code, ""), "kind": "HTTPError"}
        self.finish(json.dumps(told))

    def get(self) -> None:  # of a path that has none: 405, not a page
        raise web.HTTPError(405)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise InvalidSpec(f"The body is no JSON: {error}.", "Send a JSON object.") from None
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise InvalidSpec("The body is no JSON object.", "Send fields and their values.")
    return value


def handlers(base_url: str) -> list[tuple[str, type[_Handler]]]:
    """A path's pattern and its handler, for each path."""
    paths = groupby(sorted(OPERATIONS, key=lambda each: each.path), key=lambda each: each.path)
    return [(url_path_join(base_url, PREFIX, _pattern(path)), _made([*operations])) for path, operations in paths]


def _pattern(path: str) -> str:
    # What a name may be is the backend's word; a slash ends it, encoded or not.
    return "/".join(f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else part.replace(".", r"\.") for part in path.split("/")) + "$"


def _made(operations: list[Operation]) -> type[_Handler]:
    members: dict[str, Any] = {each.method: _method(each) for each in operations}
    members["auth_resource"] = operations[0].resource
    members["__doc__"] = " ".join(each.says for each in operations)
    return type(f"{operations[0].name.title().replace('_', '')}Handler", (_Handler,), members)


def _method(operation: Operation) -> Callable[..., Any]:
    async def method(self: _Handler, **names: str) -> None:
        await self.answer(operation, names)

    method.__name__, method.__doc__ = operation.method, operation.says
    return web.authenticated(authorized(method))
