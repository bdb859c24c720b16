"""The runs of notebooks that this machine knows of, as a page is told of them, and each change of one, while somebody looks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from jupyter_kuberay.batch import records
from jupyter_kuberay.batch.records import RunRecord
from jupyter_kuberay.errors import Conflict, KubeRayError, NotFound, Refused
from jupyter_kuberay.faces.server.bodies import Run
from jupyter_kuberay.recording import shortened

MOST = 1_000  # are told, the newest ones
_LONGEST_VALUE, _LONGEST_ERROR = 200, 2_000
_LINGER_S = 60.0  # who folds the list and opens it again finds it up to date
_AGAIN_S = 5.0


class Runs:
    """One watch of the list, however many look.

    Parameters
    ----------
    root
        The folder that the server's file browser shows.
    changed
        Called with the id of a run that is another than before, and the run; None: it is gone from the list.
    known
        Called when they are known only after who asked has been answered.
    """

    def __init__(self, root: Path, changed: Callable[[str, Run | None], None], known: Callable[[], None]) -> None:
        self._root, self._changed, self._tell_known = root, changed, known
        self._records: dict[str, RunRecord] = {}
        self._runs: dict[str, Run] = {}
        self._known = asyncio.Event()
        self._late = False
        self._following: asyncio.Task[None] | None = None
        self._ending: asyncio.TimerHandle | None = None

    @property
    def all(self) -> tuple[Run, ...] | None:
        """The newest first; None where nobody looks, or where they are not known yet."""
        return tuple(sorted(self._runs.values(), key=lambda run: run.id, reverse=True)) if self._known.is_set() else None

    def see(self, wanted: bool) -> None:
        """Whether somebody looks at them."""
        if wanted:
            if self._ending is not None:
                self._ending.cancel()
                self._ending = None
            if self._following is None or self._following.done():
                self._following = asyncio.create_task(self._follow())
        elif self._following is not None and self._ending is None:
            self._ending = asyncio.get_running_loop().call_later(_LINGER_S, self.end)

    def end(self) -> None:
        """Watch no longer, and forget."""
        if self._ending is not None:
            self._ending.cancel()
        if self._following is not None:
            self._following.cancel()
        self._ending = self._following = None
        self._records, self._runs = {}, {}
        self._known.clear()

    async def wait(self, seconds: float) -> None:
        """Until they are known, if somebody looks, or the time is over."""
        if self._following is not None:
            try:
                async with asyncio.timeout(seconds):
                    await self._known.wait()
            except TimeoutError:
                self._late = True

    async def _follow(self) -> None:
        while True:
            # A list on a disk that is full, or that is not ours, may be had later.
            with suppress(OSError, KubeRayError):
                async with aclosing(records.watch_records()) as lists:  # type: ignore[type-var]
                    async for found in lists:
                        self._take(found[:MOST])
            await asyncio.sleep(_AGAIN_S)

    def _take(self, found: list[RunRecord]) -> None:
        now = {record.id: record for record in found}
        news = {record.id: told(record, self._root) for record in found if self._records.get(record.id) != record}
        # What the runner notes for itself, such as its sign of life, is no news to a page.
        news = {name: run for name, run in news.items() if self._runs.get(name) != run}
        gone = [name for name in self._runs if name not in now]
        self._records = now
        for name in gone:
            del self._runs[name]
        self._runs |= news
        if not self._known.is_set():
            self._known.set()
            if self._late:
                self._late = False
                self._tell_known()
            return
        for name, run in news.items():
            self._changed(name, run)
        for name in gone:
            self._changed(name, None)


def told(record: RunRecord, root: Path) -> Run:
    """A run as a page is told of it. Pure but for links below ``root``, which are followed."""
    return Run(
        id=record.id,
        notebook=record.notebook,
        notebook_path=shown(record.notebook, root),
        output=record.output,
        output_path=shown(record.output, root),
        state=record.state.value,
        parameters=_pairs(record.parameters),
        cells=record.cells,
        done=record.done,
        cell=_short(record.cell),
        values=_pairs(record.values),
        cluster=record.cluster,
        started=record.started,
        ended=record.ended,
        error=shortened(record.error, _LONGEST_ERROR),
        hint=shortened(record.hint, _LONGEST_ERROR),
        group=record.group,
        job=record.job,
    )


def shown(place: str, root: Path) -> str:
    """A place as the file browser names it; "" where that does not show it: it lies elsewhere, or is hidden."""
    if not place or "://" in place:
        return ""
    folder, _, name = place.rpartition("/")
    for path, top in ((folder, str(root)), (_real(folder), _real(str(root)))):
        if os.path.isabs(path) and f"{path}/".startswith(f"{top.rstrip('/')}/"):
            below = f"{path}/{name}"[len(top.rstrip("/")) + 1 :]
            return "" if any(part.startswith(".") for part in below.split("/")) else below
    return ""


@lru_cache(maxsize=1024)
def _real(folder: str) -> str:
    """Asked once: of a thousand runs most lie together, and their disk may be a slow one."""
    return os.path.realpath(folder)


def _short(value: Any) -> str:
    return shortened(value, _LONGEST_VALUE)


def _pairs(values: Mapping[str, Any]) -> dict[str, str]:
    return {_short(name): _short(value) for name, value in values.items()}


def newest(root: Path, most: int) -> list[Run]:
    """Of this machine's list so many, the newest first. Blocks."""
    return [told(record, root) for record in records.records()[:most]]


def forget(wanted: Callable[[RunRecord], bool], what: str) -> None:
    """Take runs out of the list; what they wrote stays. Blocks.

    Raises
    ------
    NotFound
        No run in the list is as ``wanted``.
    Conflict
        All of them go on, and would be in the list again at once; of some that go on and others, the others leave it.
    Refused
        The list cannot be written.
    """
    found = [record for record in records.records() if wanted(record)]
    if not found:
        raise NotFound(f"There is no {what} in the list.", "It has been taken out already, or never ran on this machine.")
    over = [record.id for record in found if record.state.over]
    if not over:
        raise Conflict(f"The {what} still goes on.", "Stop it where it runs, or wait until it has ended.")
    records.forget(over)
    if any((records.index() / f"{each}.json").exists() for each in over):
        raise Refused(f"The {what} stays: {records.index()} cannot be written.", "See whose that folder is, and whether its disk is full.")
