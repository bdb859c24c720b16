"""One at a time: who changes the bed, and who has it for a while."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from .places import CACHE

CHANGE = "change"  # held while something is built, loaded, started or ended
USE = "use"  # held as long as somebody's tests run on the bed, and to take it away


@contextmanager
def held(name: str) -> Iterator[None]:
    """Wait for a lock and hold it; the kernel lets it go with its holder, whatever happens to that."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            print(f"Waiting for process {file.read().strip() or 'of somebody else'}, which has the testbed …", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
