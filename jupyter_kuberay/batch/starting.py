"""One notebook's run as sweeps and pipelines start it: a coroutine that says by a record how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from jupyter_kuberay.batch.records import RunRecord
from jupyter_kuberay.batch.running import Run, RunRequest


async def run_one(request: RunRequest, told: Callable[[RunRecord], None], stop: asyncio.Event | None = None) -> RunRecord:
    """Run a notebook, and give its last record.

    Parameters
    ----------
    told
        Called in the loop's thread with the record at each change.
    stop
        When it is set, the notebook ends after the cell that runs.

    Raises
    ------
    KubeRayError
        It could not begin (`Run.prepare`), or its output could not be written at the end.

    Cancelling ends the kernel; the output has what ran.
    """
    run = Run(request)
    told(await asyncio.to_thread(run.prepare))
    run.told = told
    stopping = asyncio.create_task(_stopped(run, stop)) if stop else None
    try:
        return await run.go()
    except asyncio.CancelledError as error:
        if not run.begun:
            await asyncio.shield(asyncio.to_thread(run.give_up, error))
        raise
    finally:
        if stopping:
            stopping.cancel()
            with suppress(asyncio.CancelledError):
                await stopping


async def _stopped(run: Run, stop: asyncio.Event) -> None:
    await stop.wait()
    run.stop()
