"""What Ray Data needs no more is left to end before it is cancelled.

It cancels what it still runs when it has the rows that it wanted (a limit, a schema), or one of its tasks failed. A task that is
cancelled in the moment in which it is done takes its owner along: Ray 2.58 then ends the whole process, with exit code 1 and
"Tried to complete task that was not pending" (docs/decisions/0112).
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

_ENDING_S = 1.0  # what reads a small file is done by then; what goes on has long to go
_LOOK_S = 0.02


def let_end() -> None:
    """Have this process's Ray Data wait a second for tasks that are about to be done. Again, it changes nothing."""
    from ray.data._internal.execution.interfaces import physical_operator

    operator = physical_operator.PhysicalOperator
    if hasattr(operator, "_cancel_active_tasks"):  # else a Ray that cancels them otherwise
        operator._cancel_active_tasks = _cancel_what_goes_on


def _cancel_what_goes_on(self: Any, force: bool) -> None:
    import ray

    tasks = {_end_of(task): task for task in self.get_active_tasks()}
    going_on = [*tasks]
    until = time.monotonic() + _ENDING_S
    while going_on and time.monotonic() < until:
        for end in going_on:
            _take(tasks[end].get_waitable())
        _, going_on = ray.wait(going_on, num_returns=len(going_on), timeout=_LOOK_S, fetch_local=False)
    for end in going_on:
        tasks[end]._cancel(force=force)
    if force and going_on:
        ray.wait(going_on, num_returns=len(going_on), fetch_local=False)


def _end_of(task: Any) -> Any:
    """What is there when the task is done, whatever became of it."""
    given = task.get_waitable()
    return given.completed() if hasattr(given, "completed") else given


def _take(given: Any) -> None:
    """Take what a task gives meanwhile: one that is ahead waits for that, and would not end."""
    if hasattr(given, "_next_sync"):
        with suppress(Exception):  # its end, or what it failed of: nobody asks for that any more
            while not given._next_sync(0).is_nil():
                pass
