"""Blocks of TCP ports, each leased by one supervisor for as long as it lives.

They lie below the ephemeral ports (32768) and outside 10002-19999 and 23000-23999, where a Ray
that somebody else started puts its workers and its clients' servers.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from jupyter_kuberay.backends.local.leases import Lease, hold
from jupyter_kuberay.errors import Refused

SIZE = 16
FIRST, END = 24000, 32768

NAMES = (
    "gcs",
    "client",
    "dashboard",
    "serve",
    "metrics",
    "agent",
    "agent-grpc",
    "object-manager",
    "node-manager",
    "runtime-env",
    "autoscaler-metrics",
    "dashboard-metrics",
    "serve-grpc",
)


class PortBlock:
    """The ports of one head, by name."""

    def __init__(self, first: int, lease: Lease) -> None:
        self.first = first
        self._lease = lease

    def __getitem__(self, name: str) -> int:
        return self.first + NAMES.index(name)

    def release(self) -> None:
        self._lease.release()


def claim(preferred: int = 0, *, folder: Path | None = None, but: int = 0) -> PortBlock:
    """Lease a block of which every port can be bound now.

    ``preferred`` is the first port of the one that would be liked; ``but`` that of one that did
    not do. Raises `Refused` when none is free.
    """
    for first in _candidates(preferred):
        lease = hold(f"ports-{first}", folder) if first != but else None
        if lease is None:
            continue
        if all(_can_be_bound(first + offset) for offset in range(len(NAMES))):
            return PortBlock(first, lease)
        lease.release()
    raise Refused(f"No {SIZE} ports in a row are free between {FIRST} and {END}.", "End clusters that you do not need.")


def _candidates(preferred: int) -> Iterator[int]:
    count = (END - FIRST) // SIZE
    start = int.from_bytes(os.urandom(2)) % count  # so that those who start at once rarely meet
    if FIRST <= preferred < END and not (preferred - FIRST) % SIZE:
        yield preferred
    for index in range(count):
        yield FIRST + (start + index) % count * SIZE


def _can_be_bound(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there now."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0
