"""Which processes are ours, and how they end.

Every process of a node carries the node's mark in its environment, and hands it on to
what it starts. A mark holds the resource's random uid, so whoever carries it is provably
ours: a reused process id, or a restart of the machine, cannot fool it. Only what is in
a session that one of these began, or descends from a supervisor, is ended without it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

MARK = "JUPYTER_KUBERAY_MARK"  # <uid of the resource>/<node>
KEEPER = "keeper"  # the mark of supervisors, and of what helps them; each is in a session with its helpers
_PROC = Path("/proc")
_HAS_PROC = (_PROC / "self/environ").exists()


@cache
def boot_id() -> str:
    """One for each start of the machine."""
    with suppress(OSError):
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    import psutil

    return str(int(psutil.boot_time()))


def created(pid: int) -> str:
    """When a process began, exactly; "" when there is none, or only its remains.

    One whose first thread has ended, and another not yet, still has its files, locks and ports.
    """
    with suppress(OSError):
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        ended = fields[0] == "Z" and len(os.listdir(_PROC / str(pid) / "task")) == 1
        return "" if ended else fields[19]
    return "" if _HAS_PROC else _created_elsewhere(pid)


def _created_elsewhere(pid: int) -> str:
    import psutil

    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    return ""


@dataclass(frozen=True)
class Birth:
    """A process that cannot be mistaken for a later one with its id."""

    pid: int
    created: str
    boot: str
    host: str = ""

    @classmethod
    def of(cls, pid: int) -> Birth:
        return cls(pid, created(pid), boot_id(), os.uname().nodename)

    @classmethod
    def read(cls, value: Any) -> Birth | None:
        try:
            return cls(int(value["pid"]), str(value["created"]), str(value["boot"]), str(value.get("host", "")))
        except (KeyError, TypeError, ValueError):
            return None

    def json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def alive(self) -> bool:
        return self.boot == boot_id() and bool(self.created) and created(self.pid) == self.created


def marked(mark: str) -> list[int]:
    """Processes that carry ``mark``: a whole one, or a resource's uid for all of its nodes."""
    return [pid for pid in _own() if _carries(pid, mark)]


def _own() -> Iterable[int]:
    if not _HAS_PROC:
        import psutil

        yield from psutil.pids()
        return
    user = os.getuid()
    for name in os.listdir(_PROC):
        if name.isdigit():
            with suppress(OSError):
                if os.stat(_PROC / name).st_uid == user:
                    yield int(name)


def _carries(pid: int, mark: str) -> bool:
    found = _mark_of(pid)
    return found == mark or found.startswith(f"{mark}/")


def _mark_of(pid: int) -> str:
    return variable_of(pid, MARK)


def variable_of(pid: int, name: str) -> str:
    """What a process was started with as the environment variable ``name``; "" without one."""
    if not _HAS_PROC:
        import psutil

        with suppress(psutil.Error):
            return str(psutil.Process(pid).environ().get(name, ""))
        return ""
    with suppress(OSError):
        environment = (_PROC / str(pid) / "environ").read_bytes()
        for entry in environment.split(b"\0"):
            if entry.startswith(f"{name}=".encode()):
                return entry.partition(b"=")[2].decode(errors="replace")
    return ""


def leaderless(pid: int) -> bool:
    """Whether the process that began its session is gone."""
    session = _session(pid)
    return session > 0 and session != pid and not created(session)


def send(pid: int, mark: str, what: signal.Signals) -> bool:
    """Signal a process if it carries ``mark``, and no other that has its id a moment later."""
    return send_if(pid, lambda: _carries(pid, mark), what)


def send_if(pid: int, is_ours: Callable[[], bool], what: signal.Signals) -> bool:
    """Signal a process if it ``is_ours``, and no other that has its id a moment later."""
    with suppress(ProcessLookupError, PermissionError):
        if not hasattr(os, "pidfd_open"):
            if is_ours():
                os.kill(pid, what)
                return True
            return False
        descriptor = os.pidfd_open(pid)
        try:
            if is_ours():
                signal.pidfd_send_signal(descriptor, what)
                return True
        finally:
            os.close(descriptor)
    return False


def end_now(mark: str, patience: float = 5.0) -> int:
    """Kill all that carry ``mark``, and all of the sessions that one of these leads, and wait until none is left. How many there were.

    In the moment in which it becomes another program, a process carries nothing. It is still in its session, and no
    session goes by the id of an earlier one that has members.
    """
    ended: dict[int, str] = {}
    leaders: dict[int, str] = {}
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = marked(mark)
        leaders |= {pid: birth for pid in found if _session(pid) == pid and (birth := created(pid))}
        ended |= {pid: birth for pid in found if (birth := created(pid)) and send(pid, mark, signal.SIGKILL)}
        others = [pid for pid in _own() if pid not in ended and _led(pid, leaders)] if leaders else []
        ended |= {pid: birth for pid in others if (birth := created(pid)) and send_if(pid, partial(_led, pid, leaders), signal.SIGKILL)}
        # One that is ending has lost its mark already, and still holds its ports.
        if not found and not any(created(pid) == birth for pid, birth in ended.items()):
            break
        time.sleep(0.01)  # nothing tells when
    return len(ended)


def _session(pid: int) -> int:
    with suppress(OSError):
        return os.getsid(pid)
    return -1


def _led(pid: int, leaders: Mapping[int, str]) -> bool:
    """Whether it is in the session of one of these, which lives or is gone."""
    session = _session(pid)
    return session in leaders and created(session) in ("", leaders[session])


def end_descendants(patience: float = 5.0) -> int:
    """Kill whatever this process started, and what that started: ours by descent, whatever it did to its environment.

    Orphans count too, where this process adopts them; but for supervisors, and what they keep: a program in a cluster that publishes
    starts one, and its service is not the cluster's. How many there were.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + patience
    while (found := _descendants(os.getpid())) and time.monotonic() < deadline:
        for pid, birth in found.items():
            if created(pid) == birth:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    ended.add(pid)
        time.sleep(0.01)
    return len(ended)


def _descendants(root: int) -> dict[int, str]:
    """Those that live, with when each began."""
    children: dict[int, list[int]] = {}
    for pid in _own():
        children.setdefault(_parent(pid), []).append(pid)
    found: dict[int, str] = {}
    todo = [root]
    while todo:
        for pid in children.get(todo.pop(), []):
            if _mark_of(pid) == KEEPER and _session(pid) != os.getsid(0):
                continue
            todo.append(pid)
            if birth := created(pid):
                found[pid] = birth
    return found


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    if not _HAS_PROC:
        import psutil

        with suppress(psutil.Error):
            return int(psutil.Process(pid).ppid())
    return 0


def spawn(argv: Sequence[str], environment: Mapping[str, str], log: Path, stdin: int = -1) -> int:
    """Start a process in its own session, its output appended to ``log``. Its id."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    actions: list[Any] = [
        nothing if stdin < 0 else (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    ignored = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE]
    return os.posix_spawn(argv[0], [*argv], {**environment}, file_actions=actions, setsid=True, setsigdef=ignored)


def available_memory() -> int:
    """Bytes that new processes can have, by the machine and by the control group that this runs in."""
    free = _machine_memory()
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        detail = (group / "memory.stat").read_text().splitlines()
        reclaimable = sum(int(line.split()[1]) for line in detail if line.startswith("inactive_file "))
        free = min(free, limit - used + reclaimable)
    return max(0, free)


def _machine_memory() -> int:
    with suppress(OSError):
        for line in (_PROC / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    import psutil

    return int(psutil.virtual_memory().available)
