"""The one event loop behind everything synchronous: a daemon thread a process.

In a notebook the main thread runs an event loop of its own, so nothing here
ever calls ``asyncio.run``. All coroutines of a process share this loop, which
lets them share connections.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextvars
import os
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

CANCEL_SECONDS = 5.0  # how long an interrupted call waits for its coroutine to clean up
_SIGNAL_SECONDS = 0.25
_TURN_SECONDS = 0.004  # others on the loop wait for at most a few of these


class Turn:
    """Work in a coroutine that has much to do without waiting for anything, and should not keep all others from theirs."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    async def others(self) -> None:
        """Let others have the loop, if this has had it for some milliseconds. Call it often."""
        if time.monotonic() - self._began >= _TURN_SECONDS:
            await asyncio.sleep(0)
            self._began = time.monotonic()


class BackgroundLoop:
    """An event loop in a daemon thread, which works from its first use until the process ends."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="jupyter-kuberay", daemon=True)
        self._thread.start()

    @property
    def usable(self) -> bool:
        """Whether its thread runs in this process (a fork has the object without the thread)."""
        return self._pid == os.getpid() and self._thread.is_alive()

    def run(self, coroutine: Coroutine[Any, Any, T], interrupted: Callable[[KeyboardInterrupt], None] | None = None) -> T:
        """Run ``coroutine`` on the loop and return its result, or raise what it raised.

        A KeyboardInterrupt here cancels the coroutine, waits up to
        `CANCEL_SECONDS` for it to clean up, and is raised. With ``interrupted``,
        that is called on the loop instead, each time, and the waiting goes on.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("This is the loop's own thread: await the coroutine instead.")
        result: concurrent.futures.Future[T] = concurrent.futures.Future()
        tasks: list[asyncio.Task[T]] = []
        context = contextvars.copy_context()
        # Nothing that this thread holds may be what the loop's thread waits for. Python's own conditions are: an
        # interrupt in the middle of one leaves it locked, and then the loop stands still for ever. Of this one here
        # the loop only lets go.
        gate = threading.Lock()
        gate.acquire()
        over: list[bool] = []

        def begin() -> None:
            task = self._loop.create_task(coroutine, context=context)
            tasks.append(task)
            task.add_done_callback(end)

        def end(task: asyncio.Task[T]) -> None:
            _hand_over(task, result)
            over.append(True)
            gate.release()

        def cancel() -> None:
            for task in tasks:
                task.cancel()

        heard: collections.deque[KeyboardInterrupt] = collections.deque()

        def hear() -> None:
            while heard and interrupted is not None:
                interrupted(heard.popleft())

        asked = False
        try:
            while True:
                try:
                    # Within both: an interrupt may come as soon as the coroutine runs, and wherever Python jumps back.
                    if not asked:
                        asked = True
                        self._loop.call_soon_threadsafe(begin)
                    # The loop is told here and not where the interrupt is caught: who is told of the first may send
                    # the second at once, and there it would end the waiting.
                    if heard:
                        self._loop.call_soon_threadsafe(hear)
                    # A signal that comes just before Python blocks, or to another thread, does not end a wait: a wait
                    # without an end would answer Ctrl-C only when the coroutine is done.
                    while not gate.acquire(timeout=_SIGNAL_SECONDS):
                        pass
                    return result.result()
                except KeyboardInterrupt as interrupt:
                    if interrupted is None or over or not tasks:
                        raise
                    heard.append(interrupt)
        except BaseException:
            if not over:
                self._loop.call_soon_threadsafe(cancel)
                gate.acquire(timeout=CANCEL_SECONDS)
            raise

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run ``coroutine`` on the loop without waiting for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)


_lock = threading.Lock()
_shared: BackgroundLoop | None = None


def background_loop() -> BackgroundLoop:
    """The loop that this process shares."""
    global _shared
    with _lock:
        if _shared is None or not _shared.usable:
            _shared = BackgroundLoop()
        return _shared


def run_sync(coroutine: Coroutine[Any, Any, T], interrupted: Callable[[KeyboardInterrupt], None] | None = None) -> T:
    """Run ``coroutine`` on the shared loop from synchronous code; see `BackgroundLoop.run`.

    >>> async def answer() -> int:
    ...     return 42
    >>> run_sync(answer())
    42
    """
    return background_loop().run(coroutine, interrupted)


def _hand_over(ended: asyncio.Task[T], result: concurrent.futures.Future[T]) -> None:
    if ended.cancelled():
        result.set_exception(concurrent.futures.CancelledError())
    elif (error := ended.exception()) is not None:
        result.set_exception(error)
    else:
        result.set_result(ended.result())
