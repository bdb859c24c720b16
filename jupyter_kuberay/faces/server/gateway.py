"""A web server beside Jupyter's, of another origin, that hands requests on to Ray's dashboards and adds their tokens.

One listener for all clusters; each has a host name or a path of its own. Nothing is
answered but to who brings a key from JupyterLab, or the cookie that it was
exchanged for. See docs/decisions/0083.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

from jupyter_kuberay.errors import KubeRayError, Refused
from jupyter_kuberay.faces.server.admission import Admission
from jupyter_kuberay.faces.server.forwarding import GUARDS, OPEN, by_another_page, led_to, to_browser, to_dashboard
from jupyter_kuberay.faces.server.way import Way

_AGAIN = "Open the dashboard from JupyterLab again: this link has been used, is too old, or belongs to another browser."
_CONNECT_S = 10.0
_PORTS_TRIED = 8
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


@dataclass(frozen=True)
class Site:
    """One cluster's dashboard, as a browser finds it."""

    way: Way
    host: str  # what the Host header names, without a port
    prefix: str  # before each path, "" or as "/training-1a2b3c4d"
    scheme: str
    cookie: str  # its name
    admission: Admission = field(default_factory=Admission)

    def link(self, netloc: str) -> str:
        """A URL that opens once."""
        return f"{self.scheme}://{netloc}{self.prefix}{OPEN}?key={self.admission.key()}"


class Gateway:
    """The listener.

    Parameters
    ----------
    address
        Where it listens; "" is everywhere. "127.0.0.1" is also "::1", which names below localhost lead to as well.
    port
        0 for any that is free.
    """

    def __init__(self, address: str, port: int = 0) -> None:
        self.address, self.port = address, port
        self._sites: dict[tuple[str, str], Site] = {}
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        """Listen. `Refused` when the port is taken."""
        try:
            sockets = _listening(self.address, self.port)
        except OSError as error:
            where = f"Port {self.port} at {self.address or 'all addresses'}"
            raise Refused(
                f"{where} cannot be had for dashboards ({error.strerror or error}).", "Set another c.KubeRay.dashboard_port."
            ) from error
        self.port = int(sockets[0].getsockname()[1])
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        # An access log would have keys in it.
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None, handler_cancellation=True), shutdown_timeout=0.5)
        await self._runner.setup()
        for each in sockets:
            await web.SockSite(self._runner, each).start()

    def site(self, host: str, prefix: str) -> Site | None:
        return self._sites.get((host, prefix))

    async def put(self, site: Site) -> None:
        """From now on ``site`` is answered for; those that nobody may see any more are forgotten."""
        for key, each in [*self._sites.items()]:
            if each.admission.over:
                del self._sites[key]
                await each.way.close()
        self._sites[site.host, site.prefix] = site

    async def close(self) -> None:
        """Let go of ports and connections; all sessions are over."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()
        for site in self._sites.values():
            await site.way.close()
        self._sites.clear()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        target = request.raw_path
        found = self._asked(request.headers.get("Host", ""), target)
        # Whoever may not learns nothing, not even which clusters there are.
        if found is None:
            return _told(403, _AGAIN)
        site = found
        target = target[len(site.prefix) :]
        path, _, query = target.partition("?")
        origin = f"{site.scheme}://{request.headers['Host']}"
        if by_another_page(request.method, request.headers, path, origin):
            return _told(403, "Another page asked for this, which it may not.")
        if path == OPEN and request.method == "GET":
            return _admitted(site, request, query)
        if not site.admission.knows(_cookie(request, site.cookie)):
            return _told(403, _AGAIN)
        if "Upgrade" in request.headers:
            return _told(501, "No websockets are carried here; Ray's dashboard needs none.")
        return await self._forwarded(site, request, target, f"{origin}{site.prefix}")

    def _asked(self, host: str, target: str) -> Site | None:
        name = _name(host)
        if not name or not target.startswith("/"):
            return None
        first = "/" + target[1:].partition("?")[0].partition("/")[0]
        return self._sites.get((name, "")) or (self._sites.get((name, first)) if target.startswith(f"{first}/") else None)

    async def _forwarded(self, site: Site, request: web.BaseRequest, target: str, here: str) -> web.StreamResponse:
        try:
            try:
                return await self._once(site, request, target, here)
            except aiohttp.ClientConnectorError:  # nothing has been sent: where it answers may have changed
                await site.way.lost()
                return await self._once(site, request, target, here)
        except KubeRayError as error:
            return _told(502, str(error))
        except (aiohttp.ClientError, OSError, TimeoutError):
            return _told(502, f"The dashboard of cluster {site.way.name!r} does not answer. See in JupyterLab how the cluster is.")

    async def _once(self, site: Site, request: web.BaseRequest, target: str, here: str) -> web.StreamResponse:
        assert self._session is not None
        async with site.way.reached() as at:
            url = f"http://{at.host}:{at.port}{target}"
            asking = self._session.request(
                request.method,
                URL(url, encoded=True),
                headers=to_dashboard(request.headers.items(), at.token),
                data=request.content if request.can_read_body else None,
                allow_redirects=False,
            )
            async with asking as answer:
                if answer.status == 401:
                    await site.way.lost()  # the token has changed; what the page asks next gets the new one
                return await _handed_on(request, answer, url, here)


async def _handed_on(request: web.BaseRequest, answer: aiohttp.ClientResponse, asked: str, here: str) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status)
    for name, value in to_browser(answer.headers.items()):
        response.headers.add(name, value)
    if "Location" in answer.headers:
        response.headers["Location"] = to = led_to(answer.headers["Location"], asked, here)
        if not to:
            return _told(502, "Ray's dashboard led to another host, where this page does not follow.")
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
    except (aiohttp.ClientError, OSError, TimeoutError):
        # It is in the middle of its answer: only a connection that breaks says that more should have come.
        if request.transport is not None:
            request.transport.abort()
    return response


def _admitted(site: Site, request: web.BaseRequest, query: str) -> web.StreamResponse:
    """The key's exchange for a cookie. A link that is loaded twice by who is in already leads in again."""
    session = site.admission.admit((parse_qs(query).get("key") or [""])[0])
    if not session and not site.admission.knows(_cookie(request, site.cookie)):
        return _told(403, _AGAIN)
    response = web.Response(status=303, headers={**GUARDS, "Location": f"{site.prefix}/", "Cache-Control": "no-store"})
    if session:
        # Strict would not be sent on the way from JupyterLab's page to this one.
        secure = site.scheme == "https"
        response.set_cookie(site.cookie, session, path=f"{site.prefix}/", httponly=True, samesite="Lax", secure=secure)
    return response


def _told(status: int, sentence: str) -> web.Response:
    return web.Response(status=status, text=f"{sentence}\n", headers={**GUARDS, "Cache-Control": "no-store"})


def _cookie(request: web.BaseRequest, name: str) -> str:
    # Not request.cookies: one cookie that cannot be read, of somebody else's, must not hide the others.
    for header in request.headers.getall("Cookie", []):
        for part in header.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value
    return ""


def _name(host: str) -> str:
    """A Host header's name without the port, in lower case; "" when it is none."""
    try:
        parts = urlsplit(f"//{host}")
        return (parts.hostname or "") if parts.netloc == host and "@" not in host and parts.port != 0 else ""
    except ValueError:
        return ""


def _listening(address: str, port: int) -> list[socket.socket]:
    """Sockets that listen. The port of both loopbacks is ours: a name below localhost leads to either."""
    if address != "127.0.0.1":
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if not address and socket.has_dualstack_ipv6():
            return [socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)]
        return [socket.create_server((address, port), family=family)]
    for last in [False] * (_PORTS_TRIED - 1) + [True]:
        first = socket.create_server((address, port))
        try:
            second = socket.create_server(("::1", first.getsockname()[1]), family=socket.AF_INET6)
        except OSError as error:
            if error.errno in _NO_IPV6:
                return [first]
            first.close()
            if port or last:
                raise
        else:
            return [first, second]
    raise AssertionError
