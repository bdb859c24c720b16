"""The way to one cluster's dashboard: opened when it is needed, kept while it is used, and only to that very cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from jupyter_kuberay.backends.base import DASHBOARD_PORT, Backend
from jupyter_kuberay.errors import NotFound, Unreachable
from jupyter_kuberay.observation import Endpoint, Observation
from jupyter_kuberay.status import Phase, cluster_status

_LOOKED_S = 5.0  # so long what was seen of the cluster is believed
_IDLE_S = 120.0  # after which a tunnel that nobody uses is closed; Ray's page asks every few seconds


class Way:
    """To the dashboard of the cluster ``name`` whose uid is ``uid``.

    Parameters
    ----------
    seen
        The cluster as it is now; `NotFound` when it is not there, or not this user's.
    """

    def __init__(self, name: str, uid: str, backend: Backend, seen: Callable[[], Awaitable[Observation]]) -> None:
        self.name, self.uid = name, uid
        self.gone = False  # for ever: a uid does not come back
        self._backend, self._see = backend, seen
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._at: Endpoint | None = None
        self._looked = float("-inf")
        self._users = 0
        self._closing: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def reached(self) -> AsyncIterator[Endpoint]:
        """Where the dashboard answers.

        Raises
        ------
        NotFound
            The cluster is gone; what has its name now is another.
        Unreachable
            It has no dashboard now.
        """
        if self._closing is not None:
            self._closing.cancel()
        self._users += 1
        try:
            async with self._lock:
                await self._look()
                if self._at is None:
                    self._at = await self._stack.enter_async_context(self._backend.reach(self.name, DASHBOARD_PORT))
                at = self._at
            yield at
        finally:
            self._users -= 1
            if not self._users:
                self._closing = asyncio.get_running_loop().call_later(_IDLE_S, self._idle)

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._looked + _LOOKED_S and not self.gone:
            return
        try:
            seen = None if self.gone else await self._see()
        except NotFound:
            seen = None
        except Unreachable:
            if self._at is None:
                raise
            return  # the way that is open may work all the same
        if seen is None or str(seen.resource["metadata"]["uid"]) != self.uid:
            self.gone = True
            await self._let_go()
            raise NotFound(f"The cluster {self.name!r} that this was the dashboard of is gone.", "See in JupyterLab what there is.")
        if cluster_status(seen).phase in (Phase.SUSPENDED, Phase.STOPPING):
            await self._let_go()  # what answers at that port from now on may be anybody
            raise Unreachable(f"Cluster {self.name!r} does not run.", "Resume it in JupyterLab, and load this page again.")
        self._looked = now

    async def lost(self) -> None:
        """What answered there does not, or wants another token: look anew."""
        async with self._lock:
            self._looked = float("-inf")
            await self._let_go()

    async def _let_go(self) -> None:
        self._at = None
        await self._stack.aclose()

    def _idle(self) -> None:
        task = asyncio.ensure_future(self.lost())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
        await self.lost()
