"""What can be done with a published service: its history, the way back, the difference of two revisions, its end.

Everywhere ``application`` is one of the service's applications; default: the one that is called like it, or the only one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jupyter_kuberay import history, serveconfig
from jupyter_kuberay.address import address, service
from jupyter_kuberay.backends.base import Backend
from jupyter_kuberay.difference import Difference, difference
from jupyter_kuberay.errors import Conflict, NotFound, TimedOut
from jupyter_kuberay.manifest import NAME
from jupyter_kuberay.observation import Kind, Observation, originated_from
from jupyter_kuberay.revision import Again, Revision
from jupyter_kuberay.rollout import Clock, Progress, Step, is_code_of, upgrade, watched
from jupyter_kuberay.serveconfig import swap
from jupyter_kuberay.status import service_status

UPGRADE_SECONDS = 300.0
GONE_SECONDS = 60.0


@dataclass(frozen=True)
class Published:
    """A revision that answers."""

    name: str
    url: str
    revision: Revision
    call: str  # to paste into a shell or a notebook
    timeline: tuple[Step, ...]


async def rollback(
    backend: Backend,
    name: str,
    to: int | None = None,
    *,
    application: str = "",
    who: str = "",
    why: str = "",
    progress: Progress | None = None,
    timeout: float = UPGRADE_SECONDS,
) -> Published:
    """Put revision ``to`` in again; default: the one before the current one.

    It keeps its number, and its history tells that, when, by whom and why it was put in again. The one that was in last is not tried
    out: replicas have its weights still. An older one is, where only weights or settings differ, and replicas load it before they
    have to take it over. When it does not start now, the one that is in stays in. How many replicas there are stays as it is.

    Raises
    ------
    NotFound
        There is no such service, application or revision.
    Failed, Conflict, TimedOut
        As in `jupyter_kuberay.publishing.publish`.
    """
    clock = Clock(progress)
    there = await service(backend, name)
    text = config_of(there)
    application = serveconfig.chosen(text, name, application)
    known = await recorded(backend, there, application)
    wanted = history.earlier(known, to).model_copy(update={"current": True})
    again = Again(who=who, when=history.now(), why=why, instead_of=history.current_number(known))
    text = serveconfig.put_in(text, wanted, application)
    is_old = wanted.number != history.replaced_number(known) and is_code_of(wanted, there)
    seen = await upgrade(backend, there, wanted, text, clock, timeout, again=again, try_out=is_old)
    wanted = wanted.model_copy(update={"again": (*wanted.again, again)})
    return await answering(backend, seen, wanted, clock)


async def revisions(backend: Backend, name: str, *, application: str = "") -> list[Revision]:
    """All revisions of an application, the oldest first; `NotFound` when there is no such service or application."""
    there = await service(backend, name)
    if application:
        serveconfig.chosen(config_of(there), name, application)
    return await recorded(backend, there, application)


async def diff(backend: Backend, name: str, before: int | None = None, after: int | None = None, *, application: str = "") -> Difference:
    """What two revisions differ in.

    Parameters
    ----------
    before
        Default: the one before ``after``.
    after
        Default: the current one.

    Raises
    ------
    NotFound
        There is no such service, application or revision.
    """
    known = await revisions(backend, name, application=application)
    last = history.earlier(known, history.current_number(known) if after is None else after)
    first = history.earlier(known, before if before is not None else history.number_before(known, last.number))
    return difference(first, last)


async def unpublish(backend: Backend, name: str, *, application: str = "", wait: bool = True, timeout: float = GONE_SECONDS) -> bool:
    """Remove a service, its revisions, and the cluster below it; with ``application`` that one only.

    Returns
    -------
    Whether the service itself goes: also where ``application`` was its last one.

    Raises
    ------
    NotFound
        There is no such service or application.
    Conflict
        Somebody else changed it meanwhile.
    TimedOut
        It is not gone in time; it goes on ending.
    """
    there = await service(backend, name)
    if application:
        rest = serveconfig.applications(serveconfig.taken_out(config_of(there), application))
        if rest:
            await _take_out(backend, there, application, wait=wait, timeout=timeout)
            return False
    await backend.delete(Kind.SERVICE, name)
    if wait:
        await _gone(backend, name, timeout)
    return True


async def _gone(backend: Backend, name: str, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            async for _ in watched(backend, Kind.SERVICE, name):
                pass
            # Those whose head has a Redis end after it (backends/kuberay).
            for below in await backend.list(Kind.CLUSTER, originated_from(Kind.SERVICE, name)):
                async for _ in watched(backend, Kind.CLUSTER, below.name):
                    pass
    except TimeoutError:
        raise TimedOut(f"Service {name!r} is not gone after {timeout:.0f} s.", "Wait; its processes are being ended.") from None


async def _take_out(backend: Backend, there: Observation, application: str, *, wait: bool, timeout: float) -> None:
    """The application from the configuration, then its records: a new one of that name begins with revision 1."""
    before = config_of(there)
    try:
        steps = swap({"serveConfigV2": before}, {"serveConfigV2": serveconfig.taken_out(before, application)})
        await backend.patch(Kind.SERVICE, there.name, steps)
    except Conflict:
        raise Conflict(f"Somebody else changed service {there.name!r} meanwhile.", "Look at it, and try again.") from None
    for each in history.records_of(await _records(backend, there), there.resource, application):
        with suppress(NotFound):
            await backend.delete(Kind.REVISION, each)
    if not wait:
        return
    try:
        async with asyncio.timeout(timeout):
            async for seen in watched(backend, Kind.SERVICE, there.name):
                if application not in [each.name for each in service_status(seen).applications]:
                    return
    except TimeoutError:
        raise TimedOut(
            f"Application {application!r} of service {there.name!r} is not gone after {timeout:.0f} s.",
            "Wait; its replicas are being ended.",
        ) from None


def config_of(seen: Observation) -> str:
    """A service's ``serveConfigV2``."""
    return str(seen.spec.get("serveConfigV2") or "")


async def recorded(backend: Backend, there: Observation, application: str = "") -> list[Revision]:
    """What `history.recorded` makes of all records of a service."""
    return history.recorded(await _records(backend, there), there.resource, application)


async def _records(backend: Backend, there: Observation) -> list[dict[str, Any]]:
    kinds = (NAME, history.AGAIN)
    found = await asyncio.gather(*(backend.list(Kind.REVISION, {label: there.name}) for label in kinds))
    return [each.resource for listed in found for each in listed]


async def answering(backend: Backend, seen: Observation, wanted: Revision, clock: Clock, example: str | None = None) -> Published:
    """What is told of a revision that answers."""
    found = await address(backend, seen, example, wanted.application)
    return Published(seen.name, found.url, wanted, found.call, tuple(clock.steps))
