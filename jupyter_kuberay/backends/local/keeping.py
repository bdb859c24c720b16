"""The supervisor at work: one loop that looks at its root resource whenever something happens."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
from contextlib import suppress

from jupyter_kuberay.backends.local.bell import Listener
from jupyter_kuberay.backends.local.cluster import ClusterKeeper, Settings
from jupyter_kuberay.backends.local.files import read_json
from jupyter_kuberay.backends.local.store import Store
from jupyter_kuberay.errors import KubeRayError, NotFound

logger = logging.getLogger(__name__)


def keep(store: Store, kind: str, name: str) -> int:
    """Keep ``kind`` ``name`` until it is deleted."""
    return asyncio.run(Supervisor(store, kind, name).run())


class Supervisor:
    """Keeps one root resource, what it owns, and the jobs on its cluster."""

    def __init__(self, store: Store, kind: str, name: str) -> None:
        self.store, self.kind, self.name = store, kind, name
        self.folder = store.folder(kind, name)
        self.settings = Settings.read(read_json(self.folder / "local.json") or {})
        self._wake = asyncio.Event()
        self._terminated = False
        self.cluster: ClusterKeeper | None = None
        self.begin()

    def begin(self) -> None:
        """Start what takes longest, before anything else is loaded."""
        if self.kind == "RayCluster":
            self.cluster = ClusterKeeper(self.store, self.name, self.settings, self.wake)
            self.cluster.begin(self.store.read(self.kind, self.name))

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for end in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(end, self._terminate)
        listener = self.store.bell.listen()
        loop.add_reader(listener.fileno(), self._hear, listener)
        lock = os.open(self.store.bell.folder, os.O_RDONLY)  # held shared: who tidies /tmp up leaves the folder alone
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_SH)
        self._reap()
        while not self._terminated:
            self._wake.clear()
            kept = self.store.find(self.kind, self.name)
            if kept is None or kept.deleting:
                break
            delay = await self._step()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), None if delay == math.inf else delay)
        await self._end()
        loop.remove_reader(listener.fileno())
        listener.close()
        os.close(lock)
        self.store.bell.leave()
        return 0

    async def _step(self) -> float:
        try:
            return await self.cluster.step() if self.cluster else math.inf
        except KubeRayError as error:
            logger.warning("%s", error)
            return 1.0

    def _hear(self, listener: Listener) -> None:
        listener.drain()
        self.wake()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if self.cluster:
                self.cluster.ended(pid, status)
            self.wake()

    def _terminate(self) -> None:
        self._terminated = True
        self.wake()

    async def _end(self) -> None:
        if self.cluster:
            await self.cluster.end()
        if self._terminated:
            return
        with suppress(NotFound):
            self.store.remove(self.kind, self.name)
