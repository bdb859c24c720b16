"""The contract that every substrate keeps; tests/contract holds it to account.

A backend makes the world match resources (KubeRay v1 custom resources, as plain
JSON) and reports what it observes. It decides nothing about people, profiles or
phases: names come valid, manifests come whole, and `jupyter_kuberay.status`
judges what it saw.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from datetime import UTC, datetime
from typing import ClassVar

from jupyter_kuberay.errors import KubeRayError
from jupyter_kuberay.observation import Bundle, Change, Endpoint, Json, Kind, Observation, Usage

CLIENT_PORT = 10001
DASHBOARD_PORT = 8265
SERVE_PORT = 8000
GCS_PORT = 6379
METRICS_PORT = 8080  # of the head's own node, in Prometheus' text format; asks for no token


class Backend(ABC):
    """A place where Ray clusters, services and jobs live.

    Instances are cheap, hold no state of the world, and may be used from one
    event loop at a time. Everything here may raise `Unreachable` (nothing
    answers) and `Forbidden` (the user lacks a right).
    """

    name: ClassVar[str]  # "local" or "kuberay"

    @abstractmethod
    async def create(self, bundle: Bundle) -> Observation:
        """Ask for a resource and what goes along with it; return without waiting for it to run.

        Of `Kind.REVISION` too: ``data`` is any JSON object, immutable, and goes
        when the RayService that owns it goes (``metadata.ownerReferences``).

        Raises
        ------
        Conflict
            One of that kind and name exists already. Nothing was changed.
        Refused
            The world cannot take it (a read-only or full disk, a quota).
        """

    async def rehearse(self, cluster: Json) -> str:
        """Let the world say whether it would take a RayCluster and its pods, without making any of them.

        Returns
        -------
        What could not be tried, in a sentence; "" where all was.

        Raises
        ------
        InvalidSpec, Refused, Forbidden
            It would not take it: its words.
        """
        return ""  # on this machine nothing runs in an image; that one was asked for is said by itself

    @abstractmethod
    async def patch(self, kind: Kind, name: str, patch: Sequence[Json]) -> Observation:
        """Change a resource by an RFC 6902 JSON patch, all of it or nothing.

        Raises
        ------
        NotFound
        Conflict
            A ``test`` of the patch failed: somebody else changed it meanwhile.
        """

    @abstractmethod
    async def get(self, kind: Kind, name: str) -> Observation:
        """The resource as it is now, or `NotFound`."""

    @abstractmethod
    async def list(self, kind: Kind, selector: Mapping[str, str] | None = None) -> list[Observation]:
        """All of a kind whose labels equal ``selector``, ordered by name."""

    @abstractmethod
    def watch(self, kind: Kind, selector: Mapping[str, str] | None = None) -> AsyncIterator[Change]:
        """Every change of a kind, as it happens, without an end of its own.

        Begins with an ADDED for each that exists, then one SYNCED. Survives
        what a network does: when that lasts, BEHIND says so, and SYNCED that
        it is over. Intermediate states may be left out; the last one never
        is. Close it with ``aclose`` or by cancelling.
        """

    @abstractmethod
    async def delete(self, kind: Kind, name: str) -> None:
        """Begin to delete; the watch tells when it is gone. `NotFound` if there is none."""

    async def usage(self, name: str) -> Usage:
        """CPU, GPU and memory in use on a RayCluster, as Ray accounts for them, and since when nothing ran there."""
        async with aclosing(self.usages(name, 0.0)) as usages:
            return await anext(usages)

    async def usages(self, name: str, every: float) -> AsyncGenerator[Usage, None]:
        """The same every so many seconds, over the same connections; raises when these end."""
        from jupyter_kuberay.backends.accounting import usage
        from jupyter_kuberay.backends.dashboard import Dashboard

        async with AsyncExitStack() as opened:
            at = await opened.enter_async_context(self.reach(name, DASHBOARD_PORT))
            dashboard, idle = Dashboard(at.host, at.port, at.token), await self._idling(opened, name)
            while True:
                used, since = await asyncio.gather(usage(dashboard), idle(self.now()))
                yield used.model_copy(update={"idle_since": since})
                await asyncio.sleep(every)

    async def _idling(self, opened: AsyncExitStack, name: str) -> Callable[[datetime], Awaitable[datetime | None]]:
        from jupyter_kuberay.backends.idling import idling, unknown

        try:
            at = await opened.enter_async_context(self.reach(name, GCS_PORT))
        except KubeRayError:
            return unknown  # a pod made by somebody else need not have that port
        return (await opened.enter_async_context(idling(at))).since

    @abstractmethod
    def reach(self, name: str, port: int) -> AbstractAsyncContextManager[Endpoint]:
        """Where ``port`` of the head of RayCluster ``name`` answers from this process.

        ``port`` is the one that KubeRay gives it (`CLIENT_PORT`,
        `DASHBOARD_PORT`, `SERVE_PORT`, `GCS_PORT`, `METRICS_PORT`), wherever it
        is in truth.
        The endpoint works until the context ends. It also tells Ray's token.

        Raises
        ------
        NotFound
        Unreachable
            The cluster has no such port open now.
        """

    @abstractmethod
    def reach_worker(self, name: str, ip: str, port: int) -> AbstractAsyncContextManager[Endpoint]:
        """Where ``port`` of the worker of RayCluster ``name`` that has the address ``ip`` answers from this process.

        ``port`` is the one that it listens at. `Unreachable` where no such worker runs.
        """

    @abstractmethod
    def logs(self, name: str, node: str = "", *, kind: Kind = Kind.CLUSTER, follow: bool = False, tail: int = 200) -> AsyncIterator[str]:
        """Lines of a node's log (``""``: the head's; of a job: what it printed), oldest first.

        ``tail`` is how many of the old lines to begin with. With ``follow`` it
        ends when the node does. The log of a node that ended can still be read.
        """

    def now(self) -> datetime:
        """The time by the clock that resources are dated with."""
        return datetime.now(UTC)

    def user(self) -> str:
        """Who asks, as the substrate knows them; "" where it knows nobody. May ask over the network, and blocks meanwhile."""
        return ""

    async def close(self) -> None:
        """Let go of connections. What was made stays."""
        return None
