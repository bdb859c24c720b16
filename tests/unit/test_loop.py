"""Synchronous code over the one background loop, in a process that may have a loop of its own."""

import asyncio
import concurrent.futures._base
import contextvars
import itertools
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType, SimpleNamespace

import pytest

from jupyter_kuberay import loop
from jupyter_kuberay.loop import background_loop, run_sync

SLOW_TO_LET_GO = (threading.__file__, concurrent.futures._base.__file__)


async def in_which_thread() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


def test_a_coroutine_runs_on_the_background_loop_and_gives_its_result():
    assert run_sync(in_which_thread()) == "jupyter-kuberay"


def test_an_error_of_a_coroutine_reaches_the_caller_as_it_was_raised():
    async def fails() -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        run_sync(fails())


@pytest.mark.asyncio
async def test_it_works_where_an_event_loop_runs_already_as_in_a_notebook():
    assert run_sync(in_which_thread()) == "jupyter-kuberay"


def test_calls_share_one_loop():
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert run_sync(loop()) is run_sync(loop())


def test_a_coroutine_sees_the_callers_context():
    name = contextvars.ContextVar("name", default="")
    name.set("ada")

    async def read() -> str:
        return name.get()

    assert run_sync(read()) == "ada"


def test_ctrl_c_cancels_the_coroutine_waits_for_its_cleanup_and_is_raised():
    events: list[str] = []

    async def waits() -> None:
        try:
            # The signal goes out only when the coroutine certainly runs.
            threading.Timer(0, interrupt).start()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            await asyncio.sleep(0.05)
            events.append("cleaned up")
            raise

    def interrupt() -> None:
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_sync(waits())
    assert events == ["cancelled", "cleaned up"]


def test_ctrl_c_that_does_not_wake_the_waiting_thread_is_noticed_all_the_same():
    """As when it comes in the moment before Python blocks; here, another thread gets it."""

    events: list[str] = []

    async def waits() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        try:
            await asyncio.sleep(20)
            events.append("ended by itself")
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    with pytest.raises(KeyboardInterrupt):
        run_sync(waits())
    assert events == ["cancelled"]


def test_who_is_told_of_a_ctrl_c_may_send_the_next_at_once_and_each_is_told_in_order():
    told: list[KeyboardInterrupt] = []
    enough = asyncio.Event()

    def interrupt() -> None:
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    def interrupted(error: KeyboardInterrupt) -> None:
        told.append(error)
        if len(told) < 200:
            interrupt()
        else:
            enough.set()

    async def waits() -> str:
        interrupt()
        await enough.wait()
        return "ended by itself"

    assert run_sync(waits(), interrupted) == "ended by itself"
    assert len({id(error) for error in told}) == 200


def test_ctrl_c_amid_one_of_pythons_locks_does_not_stop_the_loop():
    def interrupt(frame: FrameType, event: str, _: object) -> None:
        # Where Python's own code has just taken a lock, and its caller has not yet seen to letting go of it.
        if event == "return" and frame.f_code.co_name == "__enter__" and frame.f_code.co_filename in SLOW_TO_LET_GO:
            sys.setprofile(None)
            raise KeyboardInterrupt

    run_sync(in_which_thread())  # the loop is there
    sys.setprofile(interrupt)
    try:
        with suppress(KeyboardInterrupt):
            run_sync(asyncio.sleep(0.2))
    finally:
        sys.setprofile(None)
    assert background_loop().submit(in_which_thread()).result(timeout=5) == "jupyter-kuberay"


def test_waiting_for_the_loop_on_the_loop_is_refused_instead_of_hanging():
    async def nested() -> None:
        run_sync(in_which_thread())

    with pytest.raises(RuntimeError, match="await"):
        run_sync(nested())


def test_work_can_be_handed_over_without_waiting():
    assert background_loop().submit(in_which_thread()).result(timeout=5) == "jupyter-kuberay"


@pytest.mark.asyncio
async def test_much_work_at_once_leaves_the_loop_to_others_every_few_milliseconds(monkeypatch):
    milliseconds = itertools.count()  # each look at the clock is a millisecond later
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(milliseconds) / 1000))
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    turn = loop.Turn()
    for _ in range(100):
        await turn.others()
    beside.cancel()
    assert 100 / 6 <= turns <= 100 / 4
