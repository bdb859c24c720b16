"""Every change of a kind, as it happens: told by the bell, and by the end of supervisors."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress

from jupyter_kuberay.backends.local import supervision
from jupyter_kuberay.backends.local.observe import matches, observed
from jupyter_kuberay.backends.local.processes import Birth
from jupyter_kuberay.backends.local.store import Kept, Store
from jupyter_kuberay.observation import Change, ChangeType, Kind

_UNTOLD_S = 30.0  # where the end of a process tells nothing, supervisors are looked at so often
_LAST_MOMENTS_S = 3.0


async def watch(store: Store, kind: Kind, selector: dict[str, str]) -> AsyncIterator[Change]:
    """See `Backend.watch`."""
    look = _Look(store, kind, selector)
    try:
        for change in await look.changes():
            yield change
        yield Change(type=ChangeType.SYNCED)
        while True:
            await look.wait()
            for change in await look.changes():
                yield change
    finally:
        look.close()


class _Look:
    """What one watch has told, and what wakes it."""

    def __init__(self, store: Store, kind: Kind, selector: dict[str, str]) -> None:
        self.store, self.kind, self.selector = store, kind, selector
        self._loop = asyncio.get_running_loop()
        self._rang = asyncio.Event()
        self._told: dict[str, tuple[tuple[int, ...], Kept | None]] = {}
        self._births: dict[str, tuple[Birth, int]] = {}  # a supervisor, and what is readable when it ended
        self._missed: set[Birth] = set()
        self._listener = store.bell.listen()
        self._loop.add_reader(self._listener.fileno(), self._hear)

    def _hear(self) -> None:
        self._listener.drain()
        self._rang.set()

    async def wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None if hasattr(os, "pidfd_open") else _UNTOLD_S):
                await self._rang.wait()

    async def changes(self) -> list[Change]:
        self._rang.clear()
        changes, gone, births = await asyncio.to_thread(self._compare)
        for name, _ in gone:
            await self._last_moments(name)
        self._watch_supervisors(births)
        return changes + [Change(type=ChangeType.DELETED, seen=observed(kept)) for _, kept in gone]

    def _compare(self) -> tuple[list[Change], list[tuple[str, Kept]], dict[str, Birth]]:
        """What changed, what went, and who keeps what is there."""
        names = self.store.names(self.kind)
        changes = [change for name in names if (change := self._compared(name))]
        gone = []
        for name in [name for name in self._told if name not in names]:
            _, kept = self._told.pop(name)
            if kept is not None:
                gone.append((name, kept))
        return changes, gone, {name: birth for name in self._told if (birth := self._birth(name))}

    def _birth(self, name: str) -> Birth | None:
        kept = self.store.find(self.kind, name)
        root = supervision.root_of(self.store, kept) if kept else None
        return supervision.born(self.store.folder(*root)) if root else None

    def _compared(self, name: str) -> Change | None:
        if not self._alive_or_told(name):
            return None
        stamp = self.store.stamp(self.kind, name)
        before = self._told.get(name)
        if before is not None and before[0] == stamp:
            return None
        kept = self.store.find(self.kind, name)
        if kept is None:
            return None
        old = before[1] if before else None
        shown = kept if matches(kept, self.selector) else None
        self._told[name] = (stamp, shown)
        if shown is None:
            return Change(type=ChangeType.DELETED, seen=observed(old)) if old else None
        if old is not None and old.whole == shown.whole and old.nodes == shown.nodes and old.events == shown.events:
            return None
        return Change(type=ChangeType.ADDED if old is None else ChangeType.MODIFIED, seen=observed(shown))

    def _alive_or_told(self, name: str) -> bool:
        """Let the death of a supervisor be told before its resource is looked at."""
        kept = self.store.find(self.kind, name)
        if kept is None:
            return False
        if root := supervision.root_of(self.store, kept):
            supervision.look_after(self.store, root)
        return True

    def _watch_supervisors(self, wanted: dict[str, Birth]) -> None:
        """Be woken by the end of each supervisor that keeps something here."""
        if not hasattr(os, "pidfd_open"):
            return
        # Of what is removed while this looks, no supervisor is found any more, although there is one, whose end is to be waited for.
        for name in [name for name, (birth, _) in self._births.items() if name not in self._told or wanted.get(name, birth) != birth]:
            self._forget(name)
        for name, birth in wanted.items():
            if name not in self._births:
                try:
                    descriptor = os.pidfd_open(birth.pid)
                except OSError:
                    descriptor = -1
                if descriptor >= 0 and birth.alive:
                    self._births[name] = (birth, descriptor)
                    self._loop.add_reader(descriptor, self._supervisor_ended, name)
                    continue
                if descriptor >= 0:
                    os.close(descriptor)
                if birth not in self._missed:  # it ended since we looked: look once more
                    self._missed.add(birth)
                    self._rang.set()

    def _supervisor_ended(self, name: str) -> None:
        self._forget(name)
        self._rang.set()

    def _forget(self, name: str) -> None:
        _, descriptor = self._births.pop(name)
        self._loop.remove_reader(descriptor)
        os.close(descriptor)

    async def _last_moments(self, name: str) -> None:
        """Wait for the end of the supervisor that just removed its resource, so that no process is left when that is told."""
        deadline = self._loop.time() + _LAST_MOMENTS_S
        while name in self._births and self._births[name][0].alive and self._loop.time() < deadline:
            await asyncio.sleep(0.005)

    def close(self) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for name in [*self._births]:
            self._forget(name)
        self.store.bell.leave()
