"""What opens Ray's dashboard: a link to a page of another origin than Jupyter's, or the command that leads there.

On a laptop that page is at ``CLUSTER-….localhost``, and elsewhere at the second host
that an administrator configured. Where is decided here; `gateway` answers there.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shlex
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jupyter_kuberay.backends.base import DASHBOARD_PORT
from jupyter_kuberay.backends.local import LocalBackend
from jupyter_kuberay.client import Client
from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.faces.server import bodies
from jupyter_kuberay.names import object_name
from jupyter_kuberay.observation import Kind, Observation

if TYPE_CHECKING:
    from jupyter_kuberay.faces.server.gateway import Gateway

_LOCALHOST = "localhost"
_SECRET_NAME_LENGTH = 50  # KubeRay keeps so many of the last characters of a cluster's name
_AT = f"http://localhost:{DASHBOARD_PORT}"
_TOKEN = "The page asks for a token, which this prints:"
_OPENS = "The link opens once, within a minute."
_BY_SSH = " If the browser is on another machine, forward port {port} to it as well."


@dataclass(frozen=True)
class Asked:
    """How a browser reached the Jupyter server."""

    host: str  # the Host header
    address: str  # where the server listens: a name, an IP address, or "" for everywhere
    agent: str = ""  # the browser's name for itself
    proxied: bool = False  # whether a proxy handed it on


@dataclass(frozen=True)
class Place:
    """Where a browser finds the dashboard of one cluster."""

    scheme: str
    host: str
    prefix: str
    port: int  # of the URL; 0: the one that the gateway listens at, -1: none in it


def place(label: str, asked: Asked, host: str, user: str, environment: Mapping[str, str]) -> Place | None:
    """Where the dashboard of the cluster that ``label`` stands for is found; None for nowhere that a browser could reach.

    Parameters
    ----------
    host
        As configured in ``dashboard_host``; "" for none.
    """
    if host:
        scheme, _, name = host.rpartition("://")
        parts = urlsplit(f"//{name}")
        filled = (parts.hostname or "").replace("{user}", object_name(user or "x", max_length=40)).replace("{name}", label)
        return Place(scheme or "https", filled, "" if "{name}" in name else f"/{label}", parts.port or -1)
    if not _on_a_laptop(asked, environment):
        return None
    if "Safari/" in asked.agent and "Chrom" not in asked.agent:
        # It looks names below localhost up, and finds none. A cookie knows its host's name, and nothing of ports.
        return Place("http", "127.0.0.1" if _hostname(asked.host) == _LOCALHOST else _LOCALHOST, f"/{label}", 0)
    return Place("http", f"{label}.{_LOCALHOST}", "", 0)


def label(name: str, uid: str) -> str:
    """What stands for a cluster in a host's name: another one for each cluster that ever had that name."""
    return object_name(f"{name}-{hashlib.sha256(uid.encode()).hexdigest()[:8]}", max_length=63)


def on_kubernetes(seen: Observation) -> tuple[str, str]:
    """The command that brings the dashboard to ``http://localhost:8265``, and a sentence to go with it."""
    namespace = str(seen.resource["metadata"].get("namespace") or "")
    kubectl = f"kubectl -n {namespace}" if namespace else "kubectl"
    service = (seen.status.get("head") or {}).get("serviceName") or f"{seen.name}-head-svc"
    options = seen.spec.get("authOptions") or {}
    secret = options.get("secretName") or seen.name[-_SECRET_NAME_LENGTH:].lstrip("-.")
    token = f" {_TOKEN} {kubectl} get secret {secret} -o go-template='{{{{.data.auth_token|base64decode}}}}'"
    return (
        f"{kubectl} port-forward service/{service} {DASHBOARD_PORT}:{DASHBOARD_PORT}",
        f"Run it on your own machine, and open {_AT}.{token if options.get('mode') == 'token' else ''}",
    )


def by_ssh(machine: str, port: int, token: str) -> tuple[str, str]:
    """The same of a dashboard at ``port`` of the machine that Jupyter runs on, whose token is in the file ``token``."""
    return (
        f"ssh -N -L {DASHBOARD_PORT}:127.0.0.1:{port} {machine}",
        f"Run it on your own machine, logging in as you are used to, and open {_AT}. {_TOKEN} cat {shlex.quote(token)}",
    )


class Dashboards:
    """The dashboards that were opened, over one gateway, which starts with the first.

    Parameters
    ----------
    seen
        The cluster of that name, if it is this user's; otherwise `NotFound`.
    """

    def __init__(self, client: Client, seen: Callable[[str, Kind], Awaitable[Observation]]) -> None:
        self._client, self._seen = client, seen
        self._gateway: Gateway | None = None
        self._lock = asyncio.Lock()
        self._id = secrets.token_hex(4)  # cookies of one host are shared by all its ports

    async def opened(self, name: str, asked: Asked) -> bodies.Dashboard:
        """A link to the dashboard of a cluster, or the command that leads there.

        Raises
        ------
        NotFound
        Unreachable
            The cluster has no dashboard now.
        InvalidSpec
            The configured host or port cannot be.
        Refused
            The configured port is taken.
        """
        seen = await self._seen(name, Kind.CLUSTER)
        uid = str(seen.resource["metadata"]["uid"])
        settings = self._client.settings
        if settings.dashboard_host and not settings.dashboard_port:
            raise InvalidSpec("dashboard_host is configured and dashboard_port is not.", "Set c.KubeRay.dashboard_port, too.")
        found = place(label(name, uid), asked, settings.dashboard_host, self._client.user, os.environ)
        if found is None:
            return await self._led(seen)
        # Where the page is the only way, nobody else may listen; where a proxy leads to it, it listens as Jupyter does.
        address = "127.0.0.1" if not settings.dashboard_host or _is_loopback(asked.address) else asked.address
        gateway = await self._started(address, settings.dashboard_port)
        from jupyter_kuberay.faces.server.gateway import Site
        from jupyter_kuberay.faces.server.way import Way

        async with self._lock:
            site = gateway.site(found.host, found.prefix)
            if site is None or site.way.gone:
                way = Way(name, uid, self._client.backend, partial(self._seen, name, Kind.CLUSTER))
                site = Site(way, found.host, found.prefix, found.scheme, f"jupyter-kuberay-{label(name, uid)}-{self._id}")
            async with site.way.reached():
                pass  # whoever cannot be reached now is told of in JupyterLab, rather than in a new tab
            await gateway.put(site)
        port = found.port or gateway.port
        hint = _OPENS + (_BY_SSH.format(port=gateway.port) if os.environ.get("SSH_CONNECTION") and not found.port else "")
        return bodies.Dashboard(url=site.link(found.host if port < 0 else f"{found.host}:{port}"), hint=hint)

    async def _led(self, seen: Observation) -> bodies.Dashboard:
        backend = self._client.backend
        if isinstance(backend, LocalBackend):
            async with backend.reach(seen.name, DASHBOARD_PORT) as at:
                command, hint = by_ssh(socket.gethostname(), at.port, str(backend.store.folder(Kind.CLUSTER, seen.name) / "token"))
        else:
            command, hint = on_kubernetes(seen)
        return bodies.Dashboard(command=command, hint=hint)

    async def _started(self, address: str, port: int) -> Gateway:
        async with self._lock:
            if self._gateway is None:
                await asyncio.to_thread(import_module, "jupyter_kuberay.faces.server.gateway")  # aiohttp is slow to load
                from jupyter_kuberay.faces.server.gateway import Gateway

                gateway = Gateway(address, port)
                await gateway.start()
                self._gateway = gateway
            return self._gateway

    async def close(self) -> None:
        """End the gateway; all links and sessions are over."""
        if self._gateway is not None:
            await self._gateway.close()


def _on_a_laptop(asked: Asked, environment: Mapping[str, str]) -> bool:
    """Whether the browser is on the machine that the server is on, as far as can be told: nobody else could reach it."""
    if asked.proxied or environment.get("JUPYTERHUB_SERVICE_PREFIX"):
        return False
    return _is_loopback(asked.address) and _is_loopback(_hostname(asked.host))


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    if name == _LOCALHOST:
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
