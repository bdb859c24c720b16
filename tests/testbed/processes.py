"""Which process is which: by when it was born, and by the namespace that it lives in."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .places import TestbedError


@dataclass(frozen=True)
class Birth:
    """A process that cannot be taken for a later one with the same number."""

    pid: int
    ticks: int  # since the machine started
    boot: str

    @classmethod
    def of(cls, pid: int) -> Birth:
        """Raises ProcessLookupError when it is gone, or only waits to be reaped."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            raise ProcessLookupError(pid) from None
        if fields[0] in "ZX":
            raise ProcessLookupError(pid)
        return cls(pid, int(fields[19]), boot)

    @property
    def alive(self) -> bool:
        try:
            return Birth.of(self.pid) == self
        except ProcessLookupError:
            return False


def members(namespace: str) -> list[int]:
    """The processes in a PID namespace, such as ``pid:[4026532197]``, by their numbers out here."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.readlink(f"/proc/{entry}/ns/pid") == namespace:
                    found.append(int(entry))
            except OSError:  # gone meanwhile
                continue
    return found


def is_gone(pid: int) -> bool:
    """Whether nothing of a process is left but what its parent has to collect.

    Of one that was killed the first thread can be gone and another not yet, with the process' ports still open.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state in "ZX" and len(os.listdir(f"/proc/{pid}/task")) == 1
    except OSError:
        return True


def command(pid: int) -> list[str]:
    """What a process was started with; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def wait_for(what: str, is_so: Callable[[], object], seconds: float = 60, *, see: object = "") -> None:
    """Return when ``is_so``; a TestbedError after ``seconds``. That nobody answers yet is no error."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if is_so():
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise TestbedError(f"{what} is not there after {seconds:.0f} s" + (f"; see {see}" if see else ""))
        time.sleep(0.1)
