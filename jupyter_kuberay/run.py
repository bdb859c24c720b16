"""A function, whole, on the cluster: its output, its result or its own error, and an end when asked for.

Ray Data does not work over Ray Client, and data had better stay where it is.
So a function goes to the cluster and runs there as one Ray task.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import queue
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any, Generic, TextIO, TypeVar

from jupyter_kuberay import remote
from jupyter_kuberay.attach import Attachment
from jupyter_kuberay.connection import lost
from jupyter_kuberay.errors import Failed, KubeRayError, TimedOut
from jupyter_kuberay.provision import runtime_env

T = TypeVar("T")

CANCEL_SECONDS = 5.0  # what a cancelled function has to clean up before its process is ended
LAST_OUTPUT_SECONDS = 2.0
NOTICE_SECONDS = 10.0  # without a sign that it began, a person is told what it waits for


def run(
    attachment: Attachment,
    function: Callable[..., T],
    /,
    *args: Any,
    num_cpus: float = 0,
    num_gpus: float = 0,
    resources: Mapping[str, float] | None = None,
    env: Mapping[str, str] | None = None,
    install: bool = False,
    **kwargs: Any,
) -> T:
    """Run ``function(*args, **kwargs)`` on the cluster and return what it returns.

    What it prints appears here as it comes. Ctrl-C ends it there, with the
    tasks and actors that it started. Its module and the person's own modules
    that it imports go along.

    Parameters
    ----------
    num_cpus, num_gpus, resources
        What the function itself occupies, beside what it asks Ray for.
    env
        Environment variables for it and for the tasks that it starts.
    install
        Have the cluster install the packages that it lacks in the kernel's
        versions (by pip, into an environment of their own; takes a while).

    Raises
    ------
    MissingPackages
        The cluster lacks packages that the function imports. Nothing ran.
    Unreachable
        The connection is lost; a function that ran for it has ended with it.
    Failed
        The process that ran it died, or what it raised cannot be shown otherwise.
    Exception
        Whatever the function raises, with the cluster's traceback as a note.
    """
    running = submit(
        attachment, function, *args, num_cpus=num_cpus, num_gpus=num_gpus, resources=resources, env=env, install=install, **kwargs
    )
    try:
        return running.result()
    except KeyboardInterrupt:
        running.cancel()
        running.settle()
        raise


def submit(
    attachment: Attachment,
    function: Callable[..., T],
    /,
    *args: Any,
    num_cpus: float = 0,
    num_gpus: float = 0,
    resources: Mapping[str, float] | None = None,
    env: Mapping[str, str] | None = None,
    install: bool = False,
    **kwargs: Any,
) -> Running[T]:
    """Begin what `run` does, and return at once with something to wait for or to cancel."""
    attachment.check()
    output = _output(attachment)  # Its process starts while the cluster is asked what it has.
    prepared = runtime_env(attachment, function, env=env or {}, install=install)
    import ray

    remote.by_value()
    task = ray.remote(remote.task).options(
        name=getattr(function, "__qualname__", type(function).__name__),
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        resources=dict(resources or {}),
        max_retries=0,  # it may have written half of its files; running it again is for a person to decide
        **({"runtime_env": prepared} if prepared else {}),
    )
    name = uuid.uuid4().hex
    asked = {"CPU": num_cpus, "GPU": num_gpus, **(resources or {})}
    return Running(attachment, task.remote(*remote.pack((function, args, kwargs)), output, name), output, name, asked)


class Running(Generic[T]):
    """A function that runs on the cluster. `submit` makes it."""

    def __init__(self, attachment: Attachment, task: Any, output: Any, name: str, asked: Mapping[str, float]) -> None:
        self._attachment = attachment
        self._task = task
        self._output = output
        self._name = name
        self._asked = asked
        self._cancelled = False
        self._heard = False
        self._printed_all = False
        self._answer: Future[tuple[str, bytes, list[Any]]] = task.future()
        self._events: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._answer.add_done_callback(self._events.put)
        self._read()

    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._answer.done()

    def cancel(self) -> None:
        """End it, and the tasks and actors that it started, and return at once.

        It gets a KeyboardInterrupt and `CANCEL_SECONDS` to clean up; then its process is ended.
        """
        if self.done() or self._cancelled:
            return
        self._cancelled = True
        self._interrupt()
        threading.Thread(target=self.settle, name="jupyter-kuberay-cancel", daemon=True).start()

    def settle(self, seconds: float = CANCEL_SECONDS) -> None:
        """Wait for the end of what was cancelled, and end its process after ``seconds``."""
        if not self._ends_within(seconds):
            self._interrupt(force=True)
            self._ends_within(seconds)

    def _interrupt(self, *, force: bool = False) -> None:
        import ray

        with contextlib.suppress(ConnectionError, KubeRayError):
            ray.cancel(self._task, force=force, recursive=True)

    def _ends_within(self, seconds: float) -> bool:
        return bool(concurrent.futures.wait([self._answer], timeout=seconds).done)

    def result(self, timeout: float | None = None) -> T:
        """Wait for it, print what it prints meanwhile, and return or raise what it did; see `run`.

        Raises
        ------
        TimedOut
            It has not ended after ``timeout`` seconds. It goes on.
        concurrent.futures.CancelledError
            It was cancelled.
        """
        self._print_until_done(timeout)
        try:
            kind, packed, references = self._answer.result()
        except Exception as error:
            raise self._explained(error) from error
        if kind == "value":
            return self._unpacked(packed, references)  # type: ignore[no-any-return]
        raised, name, text = self._unpacked(packed, references)
        if self._cancelled:
            raise CancelledError("The function was cancelled.")
        if raised is None:
            raise Failed(f"The function ended with {name}", f"Its traceback on the cluster:\n{text}")
        raised.add_note(f"\nOn the cluster:\n{text}")
        raise raised

    # -- output

    def _read(self, seconds: float = remote.READ_SECONDS) -> None:
        self._output.read.remote(self._name, seconds).future().add_done_callback(self._events.put)

    def _print_until_done(self, timeout: float | None) -> None:
        waiter = _Patience(timeout)
        while not self._answer.done() or not self._printed_all:
            limit = LAST_OUTPUT_SECONDS if self._answer.done() else waiter.left(None if self._heard else NOTICE_SECONDS)
            try:
                event = self._events.get(timeout=limit)
            except queue.Empty:
                if self._answer.done():
                    return  # The rest of its output is lost, with the process that had it.
                waiter.check()
                self._notice()
                continue
            if event is not self._answer:
                self._print(event)

    def _print(self, event: Future[Any]) -> None:
        if event.exception() is not None:
            self._printed_all = True  # There is nobody to read from any more.
            return
        pieces, ended = event.result()
        for stream, text in pieces:
            _show(sys.stderr if stream == "err" else sys.stdout, text)
        self._heard = self._heard or bool(pieces)
        self._printed_all = ended
        if not ended:
            self._read()

    def _notice(self) -> None:
        """Say once what it waits for, if it does."""
        self._heard = True
        wanted = {name: amount for name, amount in self._asked.items() if amount}
        if not wanted:
            return
        import ray

        total, free = ray.cluster_resources(), ray.available_resources()
        short = [f"{amount:g} {name} ({free.get(name, 0):g} of {total.get(name, 0):g} free)" for name, amount in wanted.items()]
        if any(free.get(name, 0) < amount for name, amount in wanted.items()):
            _show(sys.stderr, f"Waiting for {', '.join(short)}.\n")

    # -- endings

    def _unpacked(self, packed: bytes, references: list[Any]) -> Any:
        try:
            return remote.unpack(packed, references)
        except Exception as error:
            raise Failed(
                f"What the function returned or raised cannot be made here: {type(error).__name__}: {error}",
                "Return plain values, or install the package that it comes from in this kernel.",
            ) from error

    def _explained(self, error: Exception) -> Exception:
        from ray import exceptions

        if self._cancelled or isinstance(error, exceptions.TaskCancelledError):
            return CancelledError("The function was cancelled.")
        if isinstance(error, ConnectionError) or not self._attachment.alive:
            return lost(self._attachment.cluster)
        if isinstance(error, exceptions.OutOfMemoryError):
            return Failed("The function needed more memory than its node has.", "Use a profile with more memory, or less data at a time.")
        if isinstance(error, exceptions.RuntimeEnvSetupError):
            return Failed(f"The cluster could not prepare what goes along with the function: {error}", "See its head's runtime_env log.")
        if isinstance(error, exceptions.WorkerCrashedError | exceptions.NodeDiedError):
            return Failed("The process that ran the function died.", "See the log of its node; often the memory was not enough.")
        return Failed(f"Ray could not run the function: {error}", "See the cluster's log.")


def _show(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()


class _Patience:
    """How long to wait yet."""

    def __init__(self, seconds: float | None) -> None:
        import time

        self._now = time.monotonic
        self._until = None if seconds is None else self._now() + seconds

    def left(self, at_most: float | None) -> float | None:
        left = None if self._until is None else max(0.0, self._until - self._now())
        return min((each for each in (left, at_most) if each is not None), default=None)

    def check(self) -> None:
        if self._until is not None and self._now() >= self._until:
            raise TimedOut("The function has not ended in the time given; it goes on.", "Call result() again, or cancel().")


def _output(attachment: Attachment) -> Any:
    import ray

    with attachment.lock:
        if attachment.output is None:
            remote.by_value()
            attachment.output = ray.remote(remote.Output).options(num_cpus=0, max_restarts=-1).remote()
        return attachment.output
