"""Small files that are whole or not there: atomic JSON, locks, and errors that name the path."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jupyter_kuberay.errors import KubeRayError, Refused

Json = dict[str, Any]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what a disk says into `Refused`, with the path and what to do."""
    try:
        yield
    except OSError as error:
        raise _refusal(error, path) from error


def _refusal(error: OSError, path: Path) -> KubeRayError:
    if error.errno in _FULL:
        return Refused(f"The disk that holds {path} is full.", "Make some room on it, and try again.")
    if error.errno in _CLOSED:
        return Refused(f"{path} cannot be written to ({error.strerror}).", "Make it writable, or choose another data directory.")
    return Refused(f"{path} cannot be used: {error.strerror or error}.", "Check the disk, or choose another data directory.")


def read_json(path: Path) -> Json | None:
    """What the file holds; None when there is none, or when it is no JSON object."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: Path, value: Json, *, durable: bool = False) -> None:
    """Replace the file as a whole, or leave it as it was. ``durable``: it also survives a power cut."""
    write_bytes(path, json.dumps(value, separators=(",", ":")).encode(), durable=durable)


def write_bytes(path: Path, content: bytes, *, mode: int = 0o600, durable: bool = False) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(3).hex()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` alone. FileNotFoundError when its folder is gone."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def try_lock(path: Path) -> int | None:
    """A descriptor that holds ``path`` until it is closed, or None when somebody else holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def is_held(path: Path) -> bool:
    """Whether some process holds the lock file ``path``: the kernel knows, whatever became of process ids."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def remove_tree(path: Path) -> None:
    """Remove a folder as one act for those who look, then what it held."""
    gone = path.with_name(f".gone-{os.urandom(4).hex()}")
    try:
        path.rename(gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone, ignore_errors=True)
