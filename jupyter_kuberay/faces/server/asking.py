"""A request to a service on a person's behalf, for the panel's box to try it.

It goes where the service answers and nowhere else: below its route, without
cookies, and no redirect is followed.
"""

from __future__ import annotations

import asyncio
import codecs
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from jupyter_kuberay.address import reach
from jupyter_kuberay.backends.base import Backend
from jupyter_kuberay.errors import Failed, InvalidSpec, TimedOut, Unreachable
from jupyter_kuberay.faces.server.bodies import Question, Reply

if TYPE_CHECKING:
    import aiohttp

LONGEST_TEXT = 64 * 1024
TIMEOUT_S = 60.0
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNQUOTED = "/%:@!$&'()*+,;=~-._"


def below(path: str) -> str:
    """``path``, with what follows a question mark, as it is written after a service's address; "" for the address itself. Pure.

    Raises
    ------
    InvalidSpec
        It leads elsewhere, or may be read so on the way.
    """
    place, mark, query = path.partition("?")
    plain = _decoded(place)
    if _CONTROL.search(path) or _CONTROL.search(plain):
        raise _leads_away(path, "has control characters")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", place) or plain.startswith(("//", "\\", "/\\")):
        raise _leads_away(path, "names another address")
    if "\\" in plain or any(part in ("..", ".") for part in plain.split("/")):
        raise _leads_away(path, "leads out of it")
    if "#" in path:
        raise _leads_away(path, "has a part after '#', which is never sent")
    absolute = f"/{place.removeprefix('/')}" if place else ""
    return quote(absolute, safe=_UNQUOTED) + (f"?{quote(query, safe=_UNQUOTED + '?[]')}" if mark else "")


def _decoded(text: str) -> str:
    """Without percent signs that stand for something, however often they were put in."""
    while (decoded := unquote(text)) != text:
        text = decoded
    return text


def _leads_away(path: str, why: str) -> InvalidSpec:
    return InvalidSpec(f"The path {path[:100]!r} {why}.", "Give it as it follows the service's own address, such as '/?name=Ada'.")


async def ask(backend: Backend, name: str, question: Question) -> Reply:
    """What service ``name`` answers to ``question``.

    Raises
    ------
    InvalidSpec
        The path is not below the service's address.
    NotFound, Unreachable
        There is no such service, or it has no cluster that answers now.
    Failed
        What answers there speaks no HTTP.
    TimedOut
        It has not answered whole within `TIMEOUT_S`.
    """
    import aiohttp
    from yarl import URL

    path = below(question.path)
    # A compressed answer could be of any size once it is not.
    headers = {"Accept-Encoding": "identity"} | ({"Content-Type": question.content_type} if question.body else {})
    body = question.body.encode("utf-8", "replace") or None
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            reach(backend, name) as address,
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, timeout=aiohttp.ClientTimeout()) as session,
        ):
            began = time.monotonic()
            root = "" if path.startswith("/") or address.count("/") > 2 else "/"
            url = URL(f"{address}{root}{path}", encoded=True)
            async with session.request(question.method, url, data=body, headers=headers, allow_redirects=False) as answer:
                content, truncated = await _start(answer.content)
                return Reply(
                    status=answer.status,
                    reason=answer.reason or "",
                    content_type=answer.headers.get("Content-Type", ""),
                    text=_text(content, answer.charset, truncated),
                    truncated=truncated,
                    seconds=round(time.monotonic() - began, 4),
                )
    except TimeoutError:
        raise TimedOut(
            f"Service {name!r} has not answered within {TIMEOUT_S:.0f} s.", "It may be busy, or at work still; see its log."
        ) from None
    except aiohttp.ClientConnectionError as error:
        raise Unreachable(f"Service {name!r} does not answer: {error}.", "Its status tells how it is.") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise Failed(f"Service {name!r} answered what is no HTTP: {error}.", "See its log.") from error


async def _start(content: aiohttp.StreamReader) -> tuple[bytes, bool]:
    """As much as is told, and whether there is more."""
    got = bytearray()
    while len(got) <= LONGEST_TEXT and (chunk := await content.read(LONGEST_TEXT)):
        got += chunk
    return bytes(got[:LONGEST_TEXT]), len(got) > LONGEST_TEXT


def _text(content: bytes, charset: str | None, truncated: bool) -> str:
    """Decoded; of a character that is cut in two, nothing."""
    try:
        decoder = codecs.getincrementaldecoder(charset or "utf-8")(errors="replace")
        return decoder.decode(content, final=not truncated)
    except (LookupError, TypeError):
        return content.decode("utf-8", "replace")
