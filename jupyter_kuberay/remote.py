"""The part of `run` that runs on the cluster.

It goes there by value (`by_value`), so a cluster that has nothing but Ray can
run it: nothing here may use anything but the standard library and Ray.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import inspect
import io
import os
import pickle
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Piece = tuple[str, str]  # ("out" or "err", text)

UNREAD_CHARACTERS = 1_000_000  # of a function's output, kept for whoever reads later
READ_SECONDS = 30.0
SEND_SECONDS = 10.0
PROGRESS_BAR = '{"__magic_token__": "__ray_tqdm_magic_token__"'
IGNORED = {"__pycache__", "node_modules"}


def by_value() -> None:
    """Have this module pickled by value, not by a name that the cluster may not know."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])


# -- values that cross over


def pack(value: Any) -> tuple[bytes, list[Any]]:
    """Pickle ``value``; Ray's references in it are put aside, because only Ray can carry them over.

    Bytes are opaque to the Ray Client server in between, which could not import what a person's function needs.
    """
    from ray import ObjectRef, cloudpickle
    from ray.actor import ActorHandle
    from ray.util.client.common import ClientActorHandle, ClientObjectRef

    references: list[Any] = []

    class Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]
        def persistent_id(self, value: Any) -> int | None:
            if not isinstance(value, (ObjectRef, ActorHandle, ClientObjectRef, ClientActorHandle)):
                return None
            references.append(value)
            return len(references) - 1

    with io.BytesIO() as file:
        Pickler(file, protocol=5).dump(value)
        return file.getvalue(), references


def unpack(data: bytes, references: list[Any]) -> Any:
    """The value that `pack` was given."""

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, index: Any) -> Any:
            return references[index]

    return Unpickler(io.BytesIO(data)).load()


def _pack_error(error: BaseException) -> tuple[bytes, list[Any]]:
    """Give (error or None, its name and message, its traceback): None when it could not be made again elsewhere."""
    from ray.exceptions import RayTaskError

    text = "".join(traceback.format_exception(type(error), error, _without_ours(error)))
    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        error = error.cause  # of a nested task: the person's own error, not Ray's envelope
    name = f"{type(error).__name__}: {error}"
    if isinstance(error, Exception):  # SystemExit would end the kernel that it is raised in.
        for candidate in (error, _Parts(type(error), error.args, error.__dict__)):
            with contextlib.suppress(Exception):
                unpack(*pack(candidate))
                return pack((candidate, name, text))
    return pack((None, name, text))


class _Parts:
    """An error whose class takes other arguments than it hands to Exception; it is put together without being called."""

    def __init__(self, kind: type[Exception], args: tuple[Any, ...], state: dict[str, Any]) -> None:
        self._parts = kind, args, state

    def __reduce__(self) -> Any:
        return _put_together, self._parts


def _put_together(kind: type[Exception], args: tuple[Any, ...], state: dict[str, Any]) -> Exception:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


def _without_ours(error: BaseException) -> Any:
    at = error.__traceback__
    return at.tb_next if at is not None else None


# -- a function, whole


def task(packed: bytes, references: list[Any], output: Any, run: str) -> tuple[str, bytes, list[Any]]:
    """`call` as a Ray task, which ends with its process when it is cancelled.

    Cancelling interrupts Python, not a C call such as sleep; tasks and actors that were started would go on in one.
    Ray ends all of them with the process that started them.
    """
    try:
        return call(packed, references, output, run)
    except KeyboardInterrupt:
        os._exit(1)


def call(packed: bytes, references: list[Any], output: Any, run: str) -> tuple[str, bytes, list[Any]]:
    """Call the packed (function, args, kwargs) and give ("value" or "error", what `pack` made of it)."""
    sender = _Sender(output, run)
    try:
        with sender.instead_of_stdout():
            try:
                function, args, kwargs = unpack(packed, references)
                value = function(*args, **kwargs)
                if inspect.iscoroutine(value):
                    value = asyncio.run(value)
                return ("value", *_pack_result(value))
            except (Exception, SystemExit) as error:
                return ("error", *_pack_error(error))
    finally:
        sender.close()


def _pack_result(value: Any) -> tuple[bytes, list[Any]]:
    try:
        return pack(value)
    except Exception as error:
        raise TypeError(f"What the function returned ({type(value).__name__}) cannot leave the cluster: {error}") from error


# -- its output, as it comes


class Output:
    """An actor to which functions print and from which whoever waits for them reads."""

    def __init__(self) -> None:
        self._tapes: dict[str, _Tape] = {}

    def _tape(self, run: str) -> _Tape:
        return self._tapes.setdefault(run, _Tape())

    async def write(self, run: str, pieces: list[Piece], last: bool) -> None:
        self._tape(run).add(pieces, last)

    async def read(self, run: str, seconds: float = READ_SECONDS) -> tuple[list[Piece], bool]:
        """What was not read yet, waiting up to ``seconds`` for some, and whether it was the last."""
        tape = self._tape(run)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await tape.news.wait()
        if tape.ended:
            self._tapes.pop(run, None)
        return tape.take(), tape.ended


class _Tape:
    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.ended = False
        self._pieces: list[Piece] = []
        self._characters = 0
        self._dropped = 0

    def add(self, pieces: list[Piece], last: bool) -> None:
        self._pieces += pieces
        self._characters += sum(len(text) for _, text in pieces)
        while self._characters > UNREAD_CHARACTERS and len(self._pieces) > 1:
            dropped = len(self._pieces.pop(0)[1])
            self._characters -= dropped
            self._dropped += dropped
        self.ended |= last
        self.news.set()

    def take(self) -> list[Piece]:
        notice = [("err", f"[{self._dropped} characters of output were not read in time and are left out]\n")] if self._dropped else []
        taken = notice + self._pieces
        self._pieces, self._characters, self._dropped = [], 0, 0
        if not self.ended:
            self.news.clear()
        return taken


class _Sender:
    """Sends what is printed to an `Output`, gathering what comes while one message is under way."""

    def __init__(self, output: Any, run: str) -> None:
        self._output = output
        self._run = run
        self._pieces: list[Piece] = []
        self._changed = threading.Condition()
        self._closed = False
        self._broken = False
        self._originals: dict[str, Any] = {"out": sys.stdout, "err": sys.stderr}
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def instead_of_stdout(self) -> Iterator[None]:
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (_Stream(self, name, original) for name, original in self._originals.items())
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before

    def write(self, stream: str, text: str) -> bool:
        with self._changed:
            if self._broken or self._closed:
                return False
            self._pieces.append((stream, text))
            self._changed.notify()
            return True

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(SEND_SECONDS)

    def _send(self) -> None:
        last = False
        while not last:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces or self._closed)
                pieces, self._pieces = self._pieces, []
                last = self._closed
            try:
                # Not ray.get: Ray would count this task as blocked, and lend its CPUs to others.
                self._output.write.remote(self._run, pieces, last).future().result(SEND_SECONDS)
            except Exception:
                self._broken = True
                for stream, text in pieces:  # From now on Ray's own log has it.
                    self._originals[stream].write(text)
                return


class _Stream(io.TextIOBase):
    def __init__(self, sender: _Sender, name: str, original: Any) -> None:
        self._sender = sender
        self._name = name
        self._original = original

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        # Ray's progress bars are messages for a driver's terminal, each written whole; here nobody would draw them.
        if text and not text.startswith(PROGRESS_BAR) and not self._sender.write(self._name, text):
            self._original.write(text)
        return len(text)

    def fileno(self) -> int:
        return int(self._original.fileno())  # for child processes, whose output goes to Ray's log


# -- what is there


def inventory(names: Iterable[str], compared: Iterable[str]) -> dict[str, str | None]:
    """For each top-level module: None if it is not here, its `digest` if it is to be ``compared``, else ``""``."""
    compared = set(compared)
    found: dict[str, str | None] = {}
    for name in names:
        place = locate(name)
        found[name] = None if place is None else digest(place) if name in compared and place.exists() else ""
    return found


def keep(uri: str, data: bytes = b"") -> bool:
    """Store an archive where Ray looks for ``uri``; without data, only say whether it is there already."""
    from ray._private.runtime_env.packaging import pin_runtime_env_uri
    from ray.experimental.internal_kv import _internal_kv_exists, _internal_kv_put

    # Ray drops an archive that nothing uses; this holds it until a process has begun to.
    pin_runtime_env_uri(uri)
    if data:
        _internal_kv_put(uri, data)
    return bool(_internal_kv_exists(uri))


def locate(name: str) -> Path | None:
    """The file or folder of a top-level module; a path that does not exist for one without (built in)."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin or "built-in")


def digest(place: Path) -> str:
    """A hash of a module's files by name and content."""
    summary = hashlib.sha256()
    for name, path in files(place):
        summary.update(f"{name}\0{path.stat().st_size}\0".encode())
        summary.update(path.read_bytes())
    return summary.hexdigest()


def files(place: Path) -> list[tuple[str, Path]]:
    """What a module consists of, as (name within an archive, file), without caches and hidden files."""
    if not place.is_dir():
        return [(place.name, place)]
    keep: Callable[[Path], bool] = lambda path: not any(part.startswith(".") or part in IGNORED for part in path.parts)  # noqa: E731
    below = sorted(path for path in place.rglob("*") if keep(path.relative_to(place)) and path.is_file())
    return [(f"{place.name}/{path.relative_to(place).as_posix()}", path) for path in below]
