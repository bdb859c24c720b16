"""Where a published service answers: its address to show, and the way to it from this process."""

from __future__ import annotations

import asyncio
import base64
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from jupyter_kuberay import serveconfig, source
from jupyter_kuberay.backends.base import SERVE_PORT, Backend
from jupyter_kuberay.errors import InvalidSpec, NotFound, Unreachable
from jupyter_kuberay.manifest import URL, parse_serve_config, read_service, serve_service
from jupyter_kuberay.observation import Json, Kind, Observation
from jupyter_kuberay.status import service_status


@dataclass(frozen=True)
class Address:
    """Where a service answers."""

    url: str
    call: str  # to paste into a shell
    application: str  # the name of what answers there


async def service_if_there(backend: Backend, name: str) -> Observation | None:
    """The service of that name, or None."""
    try:
        return await backend.get(Kind.SERVICE, name)
    except NotFound:
        return None


async def service(backend: Backend, name: str) -> Observation:
    """The service of that name, or `NotFound` with the names of those that there are."""
    found = await service_if_there(backend, name)
    if found is None:
        names = ", ".join(each.name for each in await backend.list(Kind.SERVICE))
        raise NotFound(f"There is no service {name!r}.", f"There are: {names}." if names else "There is no service at all.")
    return found


async def address(backend: Backend, seen: Observation, example: str | None = None, application: str = "") -> Address:
    """Where a service answers: outside if it has an address there, otherwise inside its Kubernetes cluster, or on this machine.

    Parameters
    ----------
    example
        Path and query of a request that it answers; default: what its code says, where that travels with the service.
    application
        Which one; default: the one that is called like the service, or the first one.

    Raises
    ------
    NotFound, Unreachable
        On this machine, where it has no cluster that answers now.
    """
    url = await _address(backend, seen) + _route(seen, application)
    token = ' -H "Authorization: Bearer $TOKEN"' if read_service(seen.resource).bearer else ""
    asked = await asyncio.to_thread(_example, seen, application) if example is None else example
    quoted = (asked or "/").replace("'", "%27")  # it is pasted into a shell, and is somebody's code's word
    return Address(url, f"curl{token} '{url}{quoted}'", str(_main(seen, application).get("name") or "default"))


def _example(seen: Observation, application: str) -> str:
    try:
        name = str(_main(seen, application).get("name") or "default")
        revision = serveconfig.read(str(seen.spec.get("serveConfigV2") or ""), name)
        code = "" if "://" in revision.code else revision.code
        return source.of_zip(revision.app, base64.b64decode(code)).example if code else ""
    except (InvalidSpec, ValueError, RuntimeError, zlib.error):
        return ""  # another tool's, or what its code says cannot be read


def _main(seen: Observation, application: str) -> Json:
    listed = parse_serve_config(str(seen.spec.get("serveConfigV2") or ""))["applications"]
    applications = [each for each in listed if isinstance(each, dict)]
    if application:
        named = [each for each in applications if each.get("name", "default") == application]
        if not named:
            raise serveconfig.missing(str(seen.spec["serveConfigV2"]), application)
        return named[0]
    if not applications:
        raise InvalidSpec(f"Service {seen.name!r} has no application.", "Publish one.")
    return next((each for each in applications if each.get("name") == seen.name), applications[0])


def _route(seen: Observation, application: str = "") -> str:
    return str(_main(seen, application).get("route_prefix") or "/").rstrip("/")


@asynccontextmanager
async def reach(backend: Backend, name: str, application: str = "") -> AsyncIterator[str]:
    """Where a service answers from this process, as "http://host:port/route", for as long as the context lasts.

    Parameters
    ----------
    application
        As in `address`.

    Raises
    ------
    NotFound, Unreachable
        There is no such service, or it has no cluster that answers now.
    """
    seen = await service(backend, name)
    cluster = service_status(seen).cluster
    if not cluster:
        raise Unreachable(f"Service {name!r} has no cluster now.", "Wait until it answers; its status tells why it does not.")
    async with backend.reach(cluster, SERVE_PORT) as at:
        yield f"http://{at.address}{_route(seen, application)}"


async def _address(backend: Backend, seen: Observation) -> str:
    if outside := (seen.resource["metadata"].get("annotations") or {}).get(URL):
        return str(outside)
    if backend.name != "local":
        return f"http://{serve_service(seen.name)}.{seen.resource['metadata'].get('namespace', 'default')}:{SERVE_PORT}"
    async with backend.reach(service_status(seen).cluster, SERVE_PORT) as at:
        return f"http://{at.address}"
