"""What the Ray tasks of a cell do while it takes long: one output that changes, and is empty in the end."""

from __future__ import annotations

import html
import queue
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyter_kuberay.attach import Attachment

LONG_S = 2.0  # what takes less shows nothing
_FIRST_S = 0.25  # Ray tells of a task after up to a second, so what is told by now is of earlier cells
_EVERY_S = 1.0
_SHARE = 10  # of the time at most one part in so many goes into asking
_SETTLES_S = 0.5
_MOST_ROWS = 12


@dataclass(frozen=True)
class Tasks:
    """How many tasks of one name do what."""

    running: int = 0
    waiting: int = 0
    finished: int = 0
    failed: int = 0


def counted(summary: Mapping[str, Any]) -> dict[str, Tasks]:
    """Tasks by name, from what the dashboard answers at ``/api/v0/tasks/summarize``."""
    found: dict[str, Tasks] = {}
    result = ((summary.get("data") or {}).get("result") or {}).get("result") or {}
    for node in (result.get("node_id_to_summary") or {}).values():
        for name, tasks in (node.get("summary") or {}).items():
            found[str(name)] = _tasks(tasks.get("state_counts") or {})
    return found


def _tasks(states: Mapping[str, int]) -> Tasks:
    known = {"FINISHED": "finished", "FAILED": "failed"}
    counts = dict.fromkeys(("running", "waiting", "finished", "failed"), 0)
    for state, number in states.items():
        counts[known.get(state, "running" if state.startswith(("RUNNING", "GETTING_AND_PINNING")) else "waiting")] += int(number)
    return Tasks(**counts)


def since(now: Mapping[str, Tasks], before: Mapping[str, Tasks]) -> dict[str, Tasks]:
    """``now`` without what had ended before, and without names of which nothing is left."""
    left = {}
    for name, tasks in now.items():
        past = before.get(name, Tasks())
        new = Tasks(tasks.running, tasks.waiting, max(0, tasks.finished - past.finished), max(0, tasks.failed - past.failed))
        if new != Tasks():
            left[name] = new
    return left


class Rows:
    """Tasks by name, to look at."""

    def __init__(self, tasks: Mapping[str, Tasks] | None = None) -> None:
        busy = sorted((tasks or {}).items(), key=lambda each: (-each[1].running, -each[1].waiting, each[0]))
        self._rows, self._more = busy[:_MOST_ROWS], max(0, len(busy) - _MOST_ROWS)

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {self._said(tasks)}" for name, tasks in self._rows)

    def _said(self, tasks: Tasks) -> str:
        return ", ".join(f"{number} {what}" for what, number in vars(tasks).items() if number)

    def _repr_html_(self) -> str:
        if not self._rows:
            return ""
        rows = "".join(f"<tr><td style='text-align:left'>{html.escape(name)}</td>{self._cells(tasks)}</tr>" for name, tasks in self._rows)
        more = f"<tr><td style='text-align:left'>and {self._more} more</td></tr>" if self._more else ""
        head = "".join(f"<th>{word}</th>" for word in ("Ray tasks", "running", "waiting", "finished", "failed"))
        return f"<table style='color:#777'><thead><tr>{head}</tr></thead><tbody>{rows}{more}</tbody></table>"

    def _cells(self, tasks: Tasks) -> str:
        shown = [(tasks.running, ""), (tasks.waiting, ""), (tasks.finished, ""), (tasks.failed, ";color:#c5221f")]
        return "".join(f"<td style='text-align:right{style if number else ''}'>{number or ''}</td>" for number, style in shown)


class Progress:
    """Looks, in a thread of its own, at the tasks of the cell that runs. Between cells it sleeps and asks nothing."""

    def __init__(self) -> None:
        # The kernel's thread only ever puts something in: nothing that it could wait for, interrupted or not.
        self._signs: queue.SimpleQueue[Attachment | None] = queue.SimpleQueue()
        self._quiet = threading.Event()
        self._began = 0.0
        self._thread: threading.Thread | None = None

    def begin(self, attachment: Attachment) -> None:
        """A cell begins."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="jupyter-kuberay-progress", daemon=True)
            self._thread.start()
        self._began = time.monotonic()
        self._quiet.clear()
        self._signs.put(attachment)

    def end(self) -> None:
        """It has ended: what was shown is gone when this returns, unless the dashboard is slow just now."""
        if not self._began:
            return
        long, self._began = time.monotonic() - self._began > LONG_S, 0.0
        self._signs.put(None)
        if long:
            self._quiet.wait(_SETTLES_S)

    def _work(self) -> None:
        while True:
            attachment = self._signs.get()
            if attachment is not None:
                with suppress(Exception):  # nobody is helped by an error about this
                    self._watch(attachment)

    def _watch(self, attachment: Attachment) -> None:
        """One cell, until its end."""
        shown: Any = None
        before: dict[str, Tasks] | None = None
        wait, began = _FIRST_S, time.monotonic()
        try:
            while not self._ended(wait):
                asked = time.monotonic()
                tasks = self._ask(attachment)
                took = time.monotonic() - asked
                wait = max(_EVERY_S, _SHARE * took)
                if before is None:
                    before = tasks or {}
                    wait = max(0.0, LONG_S - (time.monotonic() - began))
                elif tasks is not None and (new := since(tasks, before)):
                    if not self._signs.empty():
                        continue
                    shown = _show(shown, Rows(new))
        finally:
            if shown is not None:
                shown.update(Rows())
            self._quiet.set()

    def _ended(self, seconds: float) -> bool:
        try:
            return self._signs.get(timeout=seconds) is None
        except queue.Empty:
            return False

    def _ask(self, attachment: Attachment) -> dict[str, Tasks] | None:
        from jupyter_kuberay.backends.dashboard import Dashboard
        from jupyter_kuberay.errors import KubeRayError
        from jupyter_kuberay.loop import run_sync

        try:
            at = attachment.dashboard_endpoint()
            return counted(run_sync(Dashboard(at.host, at.port, at.token, timeout=5.0).tasks(attachment.job_id)))
        except KubeRayError:
            return None


def _show(shown: Any, rows: Rows) -> Any:
    if shown is not None:
        shown.update(rows)
        return shown
    from IPython.display import display

    return display(rows, display_id=True)  # type: ignore[no-untyped-call]
