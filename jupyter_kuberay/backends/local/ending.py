"""How the processes of a node end, and what that is called."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence

from jupyter_kuberay.backends.local.processes import end_now, marked, send

GRACE_S = 3.0


async def end_politely(mark: str, leaders: Sequence[int], grace: float = GRACE_S) -> None:
    """SIGTERM to each `ray start`, and when these are done, or after ``grace`` seconds, SIGKILL to all that carry ``mark``.

    A `ray start` ends its processes first and itself last; parts of the dashboard look for its end only once a second.
    """
    for pid in leaders:
        send(pid, mark, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while not set(leaders).isdisjoint(marked(mark)) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    await asyncio.to_thread(end_now, mark)


def how(status: int) -> str:
    """The status that `os.waitpid` gave, as the end of a sentence."""
    if os.WIFSIGNALED(status):
        return f"it was killed by {signal.Signals(os.WTERMSIG(status)).name}."
    return f"it ended with exit code {os.waitstatus_to_exitcode(status)}."
