"""Clients in a process of their own, as cheap as Python can have them: what they cost is taken from what is measured.

    python _load.py HOST:PORT CLIENTS SECONDS < paths

Each of the clients asks for one path after the other over one connection. Prints one line of JSON, as `Told` reads it.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Told:
    """What clients saw."""

    seconds: float
    latencies: list[float]  # of answers with 200, in seconds, sorted
    statuses: dict[str, int] = field(default_factory=dict)  # "0": no answer at all

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def p99(self) -> float:
        """In seconds."""
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * 0.99))] if self.latencies else float("inf")

    @property
    def failed(self) -> int:
        """Requests that were answered with anything but 200, or not at all."""
        return sum(count for status, count in self.statuses.items() if status != "200")


def load(address: str, paths: Sequence[str], clients: int, seconds: float) -> Told:
    """Let ``clients`` ask ``host:port`` for ``seconds``, without a pause, in another process."""
    command = [sys.executable, __file__, address, str(clients), str(seconds)]
    done = subprocess.run(command, input="\n".join(paths), capture_output=True, text=True, check=True)
    return Told(**json.loads(done.stdout))


class _Client(asyncio.Protocol):
    def __init__(
        self, requests: Sequence[bytes], until: float, found: list[float], statuses: Counter[str], ended: asyncio.Future[None]
    ) -> None:
        self._requests, self._until, self._found, self._statuses, self._ended = requests, until, found, statuses, ended
        self._number = random.randrange(len(requests))
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        # Not all in step: real clients are not, and batching would look better than it is.
        asyncio.get_running_loop().call_later(random.random() * 0.05, self._ask)

    def _ask(self) -> None:
        self._began = time.perf_counter()
        if self._began >= self._until:
            self._end()
            return
        self._number = (self._number + 1) % len(self._requests)
        self._transport.write(self._requests[self._number])  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        if b"content-length:" in lower:
            whole = len(body) >= int(lower.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        else:
            whole = body.endswith(b"0\r\n\r\n")
        if not whole:
            return
        self._buffer = b""
        status = head[9:12].decode()
        self._statuses[status] += 1
        if status == "200":
            self._found.append(time.perf_counter() - self._began)
            self._ask()
        else:
            asyncio.get_running_loop().call_later(1.0, self._ask)  # as Retry-After says, at least

    def connection_lost(self, error: Exception | None) -> None:
        if not self._ended.done():
            self._statuses["0"] += 1
        self._end()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
        self._transport.close()


async def _main(address: str, clients: int, seconds: float, paths: Sequence[str]) -> None:
    loop = asyncio.get_running_loop()
    host, _, port = address.partition(":")
    requests = [f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode() for path in paths]
    found: list[float] = []
    statuses: Counter[str] = Counter()
    began = time.perf_counter()
    ended: list[asyncio.Future[None]] = [loop.create_future() for _ in range(clients)]
    for each in ended:
        await loop.create_connection(lambda each=each: _Client(requests, began + seconds, found, statuses, each), host, int(port))  # type: ignore[misc]
    await asyncio.gather(*ended)
    told = Told(time.perf_counter() - began, sorted(found), dict(statuses))
    print(json.dumps(told.__dict__))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.stdin.read().split("\n")))
