"""Requests to one API server: a connection pool, credentials that are renewed, refusals as errors.

What `kubernetes.aio` generates for each kind takes seconds to import and gives
models; this asks for JSON, a line at a time where there is much of it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.backends.kuberay.credentials import Credentials, load
from jupyter_kuberay.backends.kuberay.refusals import NOT_NOW, Asked, NotNow, refused
from jupyter_kuberay.errors import Forbidden, KubeRayError, Unreachable
from jupyter_kuberay.loop import Turn
from jupyter_kuberay.observation import Json

if TYPE_CHECKING:
    import aiohttp

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
FIELD_MANAGER = "jupyter-kuberay"

_TIMEOUT_S = 30.0
PATIENCE_S = 15.0  # an API server that is started again needs about seven
AGAIN_S = 0.25
LONGEST_PAUSE_S = 5.0


class Lost(Unreachable):
    """The API server could not be reached, or ended a connection in the middle of an answer."""


@dataclass(frozen=True)
class _Answer:
    """What came back; ``lost`` when nothing did, and the request can be sent again."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    lost: KubeRayError | None = None


class Api:
    """An API server as one user sees it.

    Parameters
    ----------
    context, namespace, kubeconfig
        As `credentials.load` takes them.
    """

    def __init__(self, context: str = "", namespace: str = "", kubeconfig: str = "") -> None:
        self._asked_for = (context, namespace, kubeconfig)
        self._credentials: Credentials | None = None
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()
        self._in_trouble_until = 0.0
        self.ahead = timedelta()  # how far the server's clock is ahead of ours, by its last answer

    async def credentials(self) -> Credentials:
        """Those in use, with the namespace and the server's address."""
        await self._opened()
        assert self._credentials is not None
        return self._credentials

    async def namespace(self) -> str:
        return (await self.credentials()).namespace

    async def request(
        self,
        method: str,
        path: str,
        *,
        asked: Asked | None = None,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        timeout: float = _TIMEOUT_S,
    ) -> Json:
        """One request, with its answer as JSON.

        Tried again for some seconds while the server is being started or throttles; a request that may have
        been carried out is not sent twice.

        Raises
        ------
        KubeRayError
            What `refusals` makes of the answer, or `Unreachable` when there is none.
        """
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        began, renewed, doubted = time.monotonic(), False, False
        while True:
            answer = await self._once(method, path, query, data, content_type, timeout)
            if answer.lost is None and answer.status < 400:
                return _json(answer.body)
            if answer.status == 401 and not renewed:
                renewed = True
                await self._renew()
                continue
            patient = time.monotonic() - began < PATIENCE_S
            if patient and (answer.lost is not None or self._may_change(answer.status, method, doubted)):
                doubted = True
                await asyncio.sleep(_pause(answer.headers))
                continue
            raise answer.lost or refused(answer.status, answer.body, asked or Asked())

    def _may_change(self, status: int, method: str, doubted: bool) -> bool:
        """Whether the same request may soon be answered otherwise."""
        if status == 403:
            return self._in_trouble or (method == "GET" and not doubted)
        return status in NOT_NOW

    @property
    def _in_trouble(self) -> bool:
        return time.monotonic() < self._in_trouble_until

    async def _once(
        self, method: str, path: str, query: Mapping[str, str] | None, data: bytes | None, content_type: str, timeout: float
    ) -> _Answer:
        import aiohttp

        limit, headers = aiohttp.ClientTimeout(total=timeout), {"content-type": content_type}
        try:
            async with self._ask(method, path, query, timeout=limit, data=data, headers=headers) as response:
                return _Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._in_trouble_until = time.monotonic() + PATIENCE_S
            unreachable = self._unreachable(error)
            certificate = isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError)
            never_sent = isinstance(error, aiohttp.ClientConnectorError)
            if certificate or isinstance(error, TimeoutError) or not (never_sent or method == "GET"):
                raise unreachable from error
            return _Answer(lost=unreachable)

    def _unreachable(self, error: BaseException) -> Lost:
        host = self._credentials.host if self._credentials else ""
        words = str(error) or type(error).__name__
        told = Lost(f"The API server at {host} does not answer: {words}.", "Check your network, VPN and kubeconfig: kubectl version.")
        told.__cause__ = error
        return told

    def is_away(self, error: BaseException) -> bool:
        """Whether ``error`` says nothing of what was asked for: the server itself could not be reached, or has only just come back."""
        import aiohttp

        if isinstance(error, aiohttp.WSServerHandshakeError):
            return self._in_trouble and (error.status == 403 or error.status in NOT_NOW)
        return isinstance(error, Lost) or self.is_not_now(error)

    def is_not_now(self, error: BaseException) -> bool:
        """Whether the server itself has answered, and may soon answer otherwise: it throttles, or has only just come back."""
        return isinstance(error, NotNow) or (isinstance(error, Forbidden) and self._in_trouble)

    @asynccontextmanager
    async def _ask(self, method: str, path: str, query: Mapping[str, str] | None, **more: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        session, credentials = await self._opened()
        headers = {**more.pop("headers", {}), **await credentials.headers(), "accept": JSON}
        arguments = _transport(credentials) | more
        async with session.request(method, credentials.host + path, params=query, headers=headers, **arguments) as response:
            self._compare_clocks(response.headers.get("Date", ""))
            yield response

    def _compare_clocks(self, date: str) -> None:
        with suppress(ValueError):
            if date:
                self.ahead = parsedate_to_datetime(date) - datetime.now(UTC)

    async def lines(
        self,
        path: str,
        *,
        asked: Asked,
        query: Mapping[str, str],
        silence: float | None,
        timeout: float | None = None,
        opened: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[bytes, None]:
        """The lines of an answer, as they come; once, without another try.

        Parameters
        ----------
        silence
            Seconds without a byte after which the connection is taken for lost; None: never.
        timeout
            Seconds for all of it.
        opened
            Called when the server begins to answer; the first line may be long in coming.

        Raises
        ------
        KubeRayError
            The server refuses; `Unreachable` when the connection is lost.
        """
        import aiohttp

        limits = aiohttp.ClientTimeout(total=timeout, sock_connect=10, sock_read=silence)
        renewed = False
        while True:
            try:
                async with self._ask("GET", path, query, timeout=limits) as response:
                    if response.status == 401 and not renewed:
                        renewed = True
                        await self._renew()
                        continue
                    if response.status >= 400:
                        refusal = refused(response.status, await response.read(), asked)
                        refusal.retry_after = _retry_after(response.headers)
                        raise refusal
                    opened()
                    turn = Turn()
                    async for line in _split(response.content):
                        yield line
                        await turn.others()  # of a list that has come, all lines are there at once
                    return
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self._in_trouble_until = time.monotonic() + PATIENCE_S
                raise self._unreachable(error) from error

    @asynccontextmanager
    async def websocket(self, path: str, query: Mapping[str, str], protocol: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A websocket to a pod, through the API server. ``aiohttp.WSServerHandshakeError`` when it is refused, or `Unreachable`."""
        import aiohttp

        session, credentials = await self._opened()
        headers = await credentials.headers()
        try:
            socket = await session.ws_connect(
                credentials.host + path,
                params=query,
                headers=headers,
                protocols=(protocol,),
                max_msg_size=0,
                compress=0,
                autoping=True,
                **_transport(credentials),
            )
        except (aiohttp.ClientConnectionError, TimeoutError, OSError) as error:
            self._in_trouble_until = time.monotonic() + PATIENCE_S
            raise self._unreachable(error) from error
        async with socket:
            yield socket

    async def _opened(self) -> tuple[aiohttp.ClientSession, Credentials]:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            if self._loop is not loop:
                self._opening, self._loop, self._session = asyncio.Lock(), loop, None
            async with self._opening:
                if self._session is None:
                    await self._renew()
        assert self._session is not None and self._credentials is not None
        return self._session, self._credentials

    async def _renew(self) -> None:
        """Read the credentials anew: a token may have expired, or somebody may have logged in again."""
        import aiohttp

        credentials = await load(*self._asked_for)
        before, self._credentials = self._session, credentials
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=_tls(credentials.configuration)),
            read_bufsize=2**21,  # one object may be one long line
            trust_env=True,
        )
        if before is not None:
            # Others may be in the middle of an answer on it.
            asyncio.get_running_loop().call_later(60, lambda: asyncio.ensure_future(before.close()))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _tls(configuration: Any) -> Any:
    import ssl

    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert, cadata=getattr(configuration, "ca_cert_data", None))
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # Python 3.13 refuses certificates of older clusters otherwise.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _transport(credentials: Credentials) -> dict[str, Any]:
    configuration = credentials.configuration
    more: dict[str, Any] = {}
    if configuration.proxy:
        more["proxy"] = configuration.proxy
    if configuration.tls_server_name:
        more["server_hostname"] = configuration.tls_server_name
    return more


def _json(answer: bytes) -> Json:
    try:
        value = json.loads(answer)
    except ValueError as error:
        raise Unreachable("What answers is no Kubernetes API server.", "Check the server's address in your kubeconfig.") from error
    return value if isinstance(value, dict) else {}


def _retry_after(headers: Mapping[str, str]) -> float:
    text = headers.get("Retry-After", "")
    return float(text) if text.isdigit() else 0.0


def _pause(headers: Mapping[str, str]) -> float:
    return min(_retry_after(headers) or AGAIN_S, LONGEST_PAUSE_S)


async def _split(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: `StreamReader.readline` gives up on long ones."""
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
        for line in whole:
            yield line
    if rest:
        yield rest
