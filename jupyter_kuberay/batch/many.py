"""Runs that belong together: one place that stops them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from jupyter_kuberay.batch.records import RunRecord
from jupyter_kuberay.batch.running import Run, RunRequest


class _Stoppable(Protocol):
    def stop(self) -> int: ...


class Runs:
    """Runs that are stopped together; to be used on one loop."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self._now: set[_Stoppable] = set()
        self._stops = 0

    def stop(self) -> int:
        """Once: nothing new begins, and each ends after its cell. Again: each is interrupted. How often it was called."""
        self._stops += 1
        self.stopping.set()
        for run in list(self._now):
            run.stop()
        return self._stops

    def begun(self, run: _Stoppable) -> None:
        """It runs from now on."""
        self._now.add(run)

    def ended(self, run: _Stoppable) -> None:
        self._now.discard(run)

    async def one(self, request: RunRequest, told: Callable[[RunRecord], None]) -> RunRecord:
        """Run one notebook to its end, whatever that is; raises what `Run.prepare` and `Run.go` raise."""
        run = Run(request, told)
        await asyncio.to_thread(run.prepare)
        self.begun(run)
        for _ in range(self._stops):  # it was told while this one was prepared
            run.stop()
        try:
            return await run.go()
        finally:
            self.ended(run)
