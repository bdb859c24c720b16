"""What clients send, and what they get: texts by GET and POST, limits, deadlines, and refusals with a message and a hint."""

from __future__ import annotations

import json
import math
import re
import uuid
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jupyter_kuberay.serving.settings import Settings

TIMEOUT = "x-request-timeout"
ID = "x-request-id"
_ID = re.compile(r"[\x21-\x7e]{1,128}")


class Refused(Exception):
    """A request that cannot be answered; becomes a response."""

    def __init__(self, status: HTTPStatus, message: str, hint: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.message, self.hint = status, message, hint
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> Response:
        """The response that tells it."""
        return JSONResponse({"message": self.message, "hint": self.hint}, self.status, self.headers)


def request_id(request: Request) -> tuple[str, bool]:
    """The id of a request, and whether Serve tells it to the client already.

    Serve takes the client's own, or makes one, for its log and the response. Elsewhere the same is done here,
    if the client's has up to 128 plain characters.
    """
    if found := _serves_id():
        return found, True
    given = request.headers.get(ID, "")
    return given if _ID.fullmatch(given) else uuid.uuid4().hex, False


def _serves_id() -> str:
    try:
        from ray.serve.context import _get_serve_request_context

        return str(_get_serve_request_context().request_id or "")[:128]
    except (ImportError, AttributeError):  # no public interface
        return ""


def timeout_of(request: Request, settings: Settings) -> float:
    """Seconds until the client needs no answer any more: as the settings say, or less where it says so itself."""
    given = request.headers.get(TIMEOUT)
    if given is None:
        return settings.timeout_s
    try:
        wanted = float(given)
    except ValueError:
        wanted = math.nan
    if not wanted > 0:
        raise Refused(HTTPStatus.BAD_REQUEST, f"{TIMEOUT} is {given[:40]!r}.", "Give a number of seconds, such as 2.5.")
    return min(wanted, settings.timeout_s)


async def texts_of(request: Request, settings: Settings) -> list[str]:
    """The texts that are asked about: one by GET, one or more by POST. `Refused` when there are none, or they are too large."""
    if request.method == "GET":
        return [_text_of_query(request.scope["query_string"], settings)]
    return _texts_of_body(await _body(request, settings), settings)


def _text_of_query(query: bytes, settings: Settings) -> str:
    if len(query) > settings.max_bytes:
        raise _too_large(settings)
    try:
        found = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise _not_utf8() from None
    texts = [value for name, value in found if name == "text"]
    if len(texts) != 1:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"There are {len(texts)} texts.", "Give one: ?text=…, or POST several.")
    return _not_empty(texts[0])


async def _body(request: Request, settings: Settings) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > settings.max_bytes:
        raise _too_large(settings)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > settings.max_bytes:
            raise _too_large(settings)
    return bytes(body)


def _texts_of_body(body: bytes, settings: Settings) -> list[str]:
    hint = 'Send {"texts": ["…"]}.'
    try:
        found = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise _not_utf8() from None
    except (ValueError, RecursionError):
        raise Refused(HTTPStatus.BAD_REQUEST, "The body is not JSON.", hint) from None
    texts = found.get("texts") if isinstance(found, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "The body has no list of texts.", hint)
    if not 0 < len(texts) <= settings.max_texts:
        most = f"Send 1 to {settings.max_texts} in one request."
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"There are {len(texts)} texts.", most)
    return [_not_empty(text) for text in texts]


def _not_empty(text: str) -> str:
    # Half of a surrogate pair, which JSON can spell, is no character and would break a tokenizer.
    text = text.encode("utf-8", "replace").decode().strip()
    if not text:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "The text is empty.", "Give some text.")
    return text


def _too_large(settings: Settings) -> Refused:
    hint = "Send the document in parts, each in a request of its own."
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The request is larger than {settings.max_bytes:,} bytes.", hint)


def _not_utf8() -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, "The text is not UTF-8.", "Encode it as UTF-8 first.")


def too_many(what: str, after_s: float) -> Refused:
    """A refusal of one more, to come back after so many seconds."""
    wait = str(max(1, math.ceil(after_s)))
    return Refused(HTTPStatus.TOO_MANY_REQUESTS, what, f"Ask again after {wait} s, or publish with more replicas.", retry_after=wait)


def too_late(timeout_s: float, *, sent: bool) -> Refused:
    """A refusal of what took too long: to send, or to answer."""
    if not sent:
        return Refused(HTTPStatus.REQUEST_TIMEOUT, f"The request did not come whole within {timeout_s:g} s.", "Send its body at once.")
    hint = f"Ask again, with more time in {TIMEOUT}, or with shorter texts."
    return Refused(HTTPStatus.GATEWAY_TIMEOUT, f"There was no answer within {timeout_s:g} s.", hint)


def answered(answer: Any) -> Response:
    """An answer as JSON, in UTF-8."""
    return Response(json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace"), media_type="application/json")
