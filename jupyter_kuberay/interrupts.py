"""Ctrl-C while a kernel waits in ``ray.get``: what it waits for is cancelled on the cluster.

Ray Client by itself only stops waiting; the tasks go on, and keep what they occupy.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any


def cancel_what_is_awaited(worker: Any) -> None:
    """Have ``worker`` (Ray Client's) cancel the tasks of a ``get`` that is interrupted, with the tasks that they started."""
    get = worker.get

    def told_get(vals: Any, *, timeout: float | None = None) -> Any:
        try:
            return get(vals, timeout=timeout)
        except KeyboardInterrupt:
            # Beside the kernel, which is free at once: a thousand tasks are a thousand requests.
            waiting = list(vals) if isinstance(vals, list) else [vals]
            threading.Thread(target=_cancel, args=(worker, waiting), name="jupyter-kuberay-cancel", daemon=True).start()
            raise

    worker.get = told_get


def _cancel(worker: Any, references: list[Any]) -> None:
    for reference in references:
        with suppress(Exception):  # a connection that ends takes the tasks along; a task of an actor need not be cancellable
            worker.terminate_task(reference, False, True)
