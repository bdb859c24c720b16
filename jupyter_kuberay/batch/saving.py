"""A run's output and record, written as they grow: often enough to be looked at, seldom enough to cost nothing."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from jupyter_kuberay.batch import records
from jupyter_kuberay.batch.places import Place, Unwritable
from jupyter_kuberay.batch.records import RunRecord
from jupyter_kuberay.errors import KubeRayError

HERE_S, ELSEWHERE_S = 1.0, 10.0  # how old what is written may be: on this machine, at a URL
SHARE = 0.05  # of the time, that writing may take
BEAT_S = 30.0  # after which a record says that its runner lives, although nothing happened
PATIENCE_S = 300.0  # how long a store that is away is waited for at the end
_FIRST_RETRY_S, _LONGEST_RETRY_S = 1.0, 20.0


class Saving:
    """Writes the notebook and the record of one run. Call `changed` at each change, and `finish` at the end.

    Parameters
    ----------
    notebook
        The notebook's text as it is now; called in the loop's thread.
    record
        The record as it is now.
    """

    def __init__(
        self, output: Place, notebook: Callable[[], str], record: Callable[[], RunRecord], *, patience: float = PATIENCE_S
    ) -> None:
        self.output = output
        self._notebook, self._record = notebook, record
        self._patience = patience
        self._every = HERE_S if output.path is not None else ELSEWHERE_S
        self._new = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.trouble: KubeRayError | None = None  # why the last try to write failed

    def changed(self) -> None:
        """Something is new. It is written soon."""
        self._new.set()

    async def begin(self) -> None:
        """Write both for the first time, or raise `Unwritable`: before anything runs."""
        await self._write()
        self._task = asyncio.create_task(self._keep())

    async def finish(self) -> None:
        """Write both as they are at the end. `Unwritable` when that cannot be, with where they are instead."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        began, wait = time.monotonic(), _FIRST_RETRY_S
        while True:
            try:
                await self._write()
                return
            except KubeRayError as error:
                # A disk of this machine does not come back; a store may.
                if self.output.path is not None or time.monotonic() - began >= self._patience:
                    raise await asyncio.to_thread(self._rescued, error) from error
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_RETRY_S)

    async def _keep(self) -> None:
        every = self._every
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._new.wait()
            try:
                took = await self._write()
                every = max(self._every, took / SHARE)
            except KubeRayError:
                self._new.set()
                every = min(max(2 * every, _FIRST_RETRY_S), _LONGEST_RETRY_S)
            await asyncio.sleep(every)

    async def _write(self) -> float:
        """Seconds that it took."""
        began = time.monotonic()
        self._new.clear()
        text, record = self._notebook(), self._record()
        try:
            await asyncio.to_thread(self._put, text, record)
        except KubeRayError as error:
            self.trouble = error
            raise
        self.trouble = None
        return time.monotonic() - began

    def _put(self, text: str, record: RunRecord) -> None:
        self.output.write(text.encode("utf-8", "replace"))  # half a character that a cell printed is no reason to lose the rest
        record.place.write(records.as_json(record))

    def _rescued(self, error: KubeRayError) -> Unwritable:
        """Nothing that ran is lost because its place is."""
        record = self._record()
        for folder in (records.index().with_name("rescued"), Path(tempfile.gettempdir())):
            kept = Place.of(folder / f"{record.id}-{self.output.name}")
            try:
                kept.write(self._notebook().encode("utf-8", "replace"))
            except KubeRayError:
                continue
            return Unwritable(error.message, f"What ran is in {kept}; copy it from there.")
        return Unwritable(error.message, "What ran could be written nowhere: every disk is full, or closed.")
