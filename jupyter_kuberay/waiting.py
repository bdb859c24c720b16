"""What ends a kernel's waiting in ``ray.get`` and ``ray.wait`` before its time: Ctrl-C, and a lost connection."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any


def cancel_what_is_awaited(worker: Any) -> None:
    """Have ``worker`` (Ray Client's) cancel the tasks of a ``get`` that is interrupted, with the tasks that they started.

    Ray Client by itself only stops waiting; the tasks go on, and keep what they occupy.
    """
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


def tell_a_loss(worker: Any, lost: Callable[[], Exception | None]) -> None:
    """Have whoever waits for ``worker`` told of a lost connection by what ``lost`` gives, rather than that a client shuts down."""

    def telling(call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def told(*arguments: Any, **options: Any) -> Any:
            from ray.exceptions import RayError

            try:
                return call(*arguments, **options)
            except ConnectionError as error:
                # What a task raises is also a ConnectionError where that is what it raised.
                if isinstance(error, RayError) or (loss := lost()) is None:
                    raise
                raise loss from error

        return told

    worker.get, worker.wait = telling(worker.get), telling(worker.wait)
