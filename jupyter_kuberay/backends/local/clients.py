"""Ray's client server, whose servers for single clients get ports of which nobody else's can be one.

    python -P -m jupyter_kuberay.backends.local.clients [ARGUMENT ...]

Ray looks for a port from 23000 on and starts a server for it a second later. Of two heads on a machine that are asked in that second,
both servers take the same port, which gRPC lets them, and the kernel gives a client the one or the other: it waits for half a minute,
and fails. Here the kernel gives the port, and it is held for as long as the server is there.
docs/decisions/0110-ports-that-the-kernel-gives.md has the numbers.
"""

from __future__ import annotations

import runpy
import socket
import sys
from collections.abc import Iterable, Sequence
from typing import Any

_SERVER = "ray.util.client.server"


def reserving(command: Sequence[str]) -> list[str]:
    """Ray's command for its client server, made one that reserves; as it is where it is none that we know. Pure."""
    at = command.index(_SERVER) if _SERVER in command else 0
    known = at > 0 and command[at - 1] == "-m"
    return [command[0], "-P", "-m", __name__, *command[at + 1 :]] if known else list(command)


class Reserved:
    """Ports that the kernel gave, each held by a socket that listens to nothing."""

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    def another(self, family: int, needed: Iterable[int]) -> int:
        """A port that nobody has and nobody is given any more; of those given before, only ``needed`` stay held.

        A gRPC server of the same user can listen at it all the same: both allow the port to be shared.
        """
        for port in self._held.keys() - set(needed):
            self._held.pop(port).close()
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("", 0))
        port = int(held.getsockname()[1])
        self._held[port] = held
        return port


def main(arguments: Sequence[str]) -> None:
    """Run Ray's client server with reserved ports."""
    from ray.util.client.server import proxier

    reserved = Reserved()

    def unused_port(manager: Any, family: int = socket.AF_INET) -> int:
        with manager.server_lock:
            return reserved.another(family, [server.port for server in manager.servers.values()])

    if hasattr(proxier.ProxyManager, "_get_unused_port"):  # else a Ray that finds them otherwise
        proxier.ProxyManager._get_unused_port = unused_port
    sys.argv = [_SERVER, *arguments]
    runpy.run_module(_SERVER, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
