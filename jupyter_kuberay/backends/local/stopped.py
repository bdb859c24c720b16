"""Jobs that Ray was asked to stop, until nothing of them runs.

Ray signals the processes that its entrypoint's shell has in one moment, and then takes the
job for stopped. A program that this shell starts in the next moment runs on, with all that
it holds; most easily where a job is stopped before it began, since Ray then starts the
shell and stops it at once.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from jupyter_kuberay.backends.dashboard import Dashboard
from jupyter_kuberay.backends.local.ending import GRACE_S
from jupyter_kuberay.backends.local.processes import leaderless, marked, send_if, variable_of
from jupyter_kuberay.errors import KubeRayError, NotFound

RAY_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")  # Ray's words for a job of which nothing more is to come
_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # in which Ray tells an entrypoint which job it is
_LOOK_S, _LATER_S = 0.2, 2.0
_STILL_S = 1.0  # so long nothing is found before nothing is there: a process that becomes another program carries nothing


class Stopped:
    """Sees to it that the jobs of one cluster end when they are stopped.

    Parameters
    ----------
    mark
        What all processes of the cluster carry.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def stop(self, dashboard: Dashboard, job_id: str) -> None:
        """Ask Ray to stop a job, and go on until it is: in the background, and past the end of whatever asked. Raises nothing."""
        with suppress(KubeRayError):
            await dashboard.stop_job(job_id)
        if job_id not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._see_out(dashboard, job_id))
            self._tasks[job_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(job_id, None))

    def cancel(self) -> None:
        """No more of it: the cluster ends, and all of its processes with it."""
        for task in self._tasks.values():
            task.cancel()

    async def _see_out(self, dashboard: Dashboard, job_id: str) -> None:
        """A job that waits to begin, be it for a package or for a free CPU, is stopped when it begins: that can be long."""
        delay = _LOOK_S
        while True:
            try:
                info = await dashboard.job(job_id)
                if info.get("status") in RAY_ENDED:
                    break
                await dashboard.stop_job(job_id)
            except NotFound:
                return  # it never came to be, or its head is another one now
            except KubeRayError:
                pass  # busy, or about to go
            await asyncio.sleep(delay)
            delay = min(delay * 1.5, _LATER_S)
        await end_left(self._mark, job_id)


async def end_left(mark: str, job_id: str, grace: float = GRACE_S) -> None:
    """End what is left of a job that was stopped: SIGTERM to each, and after ``grace`` seconds SIGKILL.

    Parameters
    ----------
    mark
        Of the job's cluster.
    job_id
        As Ray calls its submission.
    """
    told: set[int] = set()
    began = quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < _STILL_S:
        left = await asyncio.to_thread(left_of, mark, job_id)
        if left:
            quiet_since = time.monotonic()
        for pid, is_left in left.items():
            if time.monotonic() - began > grace:
                send_if(pid, is_left, signal.SIGKILL)
            elif pid not in told:
                told.add(pid)
                send_if(pid, is_left, signal.SIGTERM)
        await asyncio.sleep(_LOOK_S)


def left_of(mark: str, job_id: str) -> dict[int, Callable[[], bool]]:
    """Processes of a job whose shell is gone, each with how to see that it still is one. What began a session of its own is none."""
    found = {pid: partial(_is_left, pid, job_id) for pid in marked(mark)}
    return {pid: is_left for pid, is_left in found.items() if is_left()}


def _is_left(pid: int, job_id: str) -> bool:
    try:
        config = json.loads(variable_of(pid, _CONFIG) or "{}")
        return bool(config["metadata"]["job_submission_id"] == job_id) and leaderless(pid)
    except (ValueError, KeyError, TypeError):
        return False
