"""What all widgets of this process show: watched once, on the background loop, for as long as one of them is open.

One watch a kind, however many widgets there are (`Feed` holds them). Everything
here runs on the loop, except what says otherwise.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
import weakref
from collections.abc import Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.faces.server.rest import Rest
from jupyter_kuberay.faces.widget import told
from jupyter_kuberay.faces.widget.told import Change, Told
from jupyter_kuberay.loop import background_loop, run_sync

if TYPE_CHECKING:
    from jupyter_kuberay.client import Client

HERE = "kernel"  # the view that keeps the watches while a widget is open
_RENEW_S = 240.0  # the feed forgets a view after ten minutes
_ENDS_S = 2.0
_RUNS_S = 2.0  # so long whoever joins waits for the list of runs
_MOST_RUNS = 200

# Called with the changes, and with all that is told after them.
Hear = Callable[[list[Change], Told], None]


class World:
    """The clusters and services of one client.

    Parameters
    ----------
    root
        What paths of models and applications are relative to.
    """

    def __init__(self, client: Client, root: Path) -> None:
        self.client = client
        self.rest = Rest(client, self._changed, root)
        self.told: Told = told.NOTHING  # replaced, never changed: any thread may read it
        self._open: dict[str, weakref.WeakMethod[Hear]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._runs: asyncio.Task[None] | None = None

    async def join(self, view: str, hear: Hear, *, runs: bool = False) -> None:
        """Tell ``hear``, a bound method that is held weakly, of each change from now on; return when what there is is known, or soon."""
        self._open[view] = weakref.WeakMethod(hear)
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._renew())
        if runs and (self._runs is None or self._runs.done()):
            known = asyncio.Event()
            self._runs = asyncio.create_task(self._follow_runs(known))
            with suppress(TimeoutError):
                async with asyncio.timeout(_RUNS_S):
                    await known.wait()
        try:
            # Where somebody looks already, all that there is has been told.
            if len(self._open) == 1 or not self.told["synced"] or self.told["problem"]:
                await self._look()
        except BaseException:
            await self.leave(view)
            raise
        self.attached()

    async def leave(self, view: str) -> None:
        """Tell no more; with the last one, all watches end."""
        self._open.pop(view, None)
        if not self._open:
            await self.end()

    async def end(self) -> None:
        """Watch nothing any more."""
        for task in (self._keeper, self._runs):
            if task is not None:
                task.cancel()
        self._keeper = self._runs = None
        await self.rest.unwatch()
        self.told = told.NOTHING

    async def see(self, page: str, clusters: list[str], services: list[str]) -> None:
        """A page shows these now, for some minutes: what they use is measured."""
        if not clusters and not services:
            await self.rest.leave(page)
        elif self._open:
            await self.rest.look(page, {"clusters": clusters, "services": services})

    def attached(self) -> None:
        """Tell which cluster this process is attached to, if that is another than before."""
        from jupyter_kuberay.attach import attached

        held = attached()
        name = held.cluster if held is not None and held.alive else ""
        if name != self.told["attached"]:
            self._tell([{"type": "attached", "name": name}])

    async def _follow_runs(self, known: asyncio.Event) -> None:
        from jupyter_kuberay.batch.records import watch_records

        try:
            async with aclosing(watch_records()) as lists:  # type: ignore[type-var]
                async for records in lists:
                    runs = [told.run(record) for record in records[:_MOST_RUNS]]
                    if runs != self.told["runs"]:
                        self._tell([{"type": "runs", "runs": runs}])
                    known.set()
        except OSError as error:  # the list is on a disk that is full, or is not ours
            logging.getLogger(__name__).warning("The list of runs cannot be watched: %s", error)
        finally:
            known.set()

    # --- what is heard ---

    async def _look(self) -> None:
        snapshot = await self.rest.look(HERE, {})
        self.told = told.from_snapshot(snapshot.model_dump(mode="json"), self.told)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            await self._look()

    def _changed(self, event: dict[str, Any]) -> None:
        changes = [change for change in event["changes"] if change["type"] != "looked"]
        if any(change["type"] == "synced" for change in changes):
            asyncio.get_running_loop().create_task(self._all_anew())
        elif changes:
            self._tell(changes)

    async def _all_anew(self) -> None:
        """After a gap single changes are not told: all of it is."""
        await self._look()
        self._tell([{"type": "all"}])

    def _tell(self, changes: list[Change]) -> None:
        self.told = told.applied(self.told, changes)
        for view, weak in list(self._open.items()):
            hear = weak()
            if hear is None:
                asyncio.get_running_loop().create_task(self.leave(view))
            else:
                hear(changes, self.told)


_lock = threading.Lock()
_world: World | None = None


def world() -> World:
    """The one that this process shares, from any thread but the loop's; made at its first use from the configuration."""
    global _world
    with _lock:
        if _world is None:
            run_sync(_made())
        assert _world is not None
        return _world


async def _made() -> None:
    from jupyter_kuberay.cluster import default_client

    global _world
    _world = World(default_client(), Path.cwd())
    atexit.register(_let_go, _world)
    _after_each_cell(_world)


def _after_each_cell(seen: World) -> None:
    """A cell may have attached or detached: no watch tells of it."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None:
        shell.events.register("post_run_cell", lambda *_: background_loop().submit(_on_loop(seen.attached)))


async def _on_loop(act: Callable[[], None]) -> None:
    act()


def _let_go(seen: World) -> None:
    with suppress(Exception):  # the process ends; nobody could be told
        run_sync(_ended(seen))


async def _ended(seen: World) -> None:
    async with asyncio.timeout(_ENDS_S):
        await seen.end()
