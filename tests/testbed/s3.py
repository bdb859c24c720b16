"""An S3 server on this machine, which pods of the testbed reach, too: moto's, in an environment of its own.

Not in the developers' environment: what it stands on excludes what the Kubernetes client does.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .build import digest, made
from .images import uv
from .places import BUILT, HOST_ADDRESS
from .processes import wait_for

MOTO = "moto[server,s3]==5.2.5"
PORT = 5005


@dataclass(frozen=True)
class Server:
    """It takes any credentials."""

    address: str
    process: subprocess.Popen[bytes]

    def put(self, path: str, content: bytes = b"") -> None:
        """Put an object, as "bucket/key"; or make a bucket."""
        # Without this type it would be taken for a form, and nothing of it kept.
        headers = {"Content-Type": "application/octet-stream"}
        request = urllib.request.Request(f"{self.address}/{path}", data=content, method="PUT", headers=headers)
        with urllib.request.urlopen(request, timeout=20):
            pass

    @contextmanager
    def silent(self) -> Iterator[None]:
        """It takes connections and answers none of them, as a store that is overloaded, or behind a broken line."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def served(host: str = HOST_ADDRESS) -> Iterator[Server]:
    """An empty server, for as long as the context lasts; by default where the testbed's pods see it."""
    folder = BUILT / f"s3-{digest(MOTO.encode(), sys.version.encode())}"
    made(folder, _install)
    port = PORT if host == HOST_ADDRESS else _free_port(host)
    address = f"http://{host}:{port}"
    with tempfile.TemporaryDirectory(prefix="jk-s3-") as scratch:
        log = Path(scratch) / "s3.log"
        command = [str(folder / "bin/python"), "-m", "moto.server", "--host", host, "--port", str(port)]
        with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL) as process:
            try:
                wait_for("The S3 server", lambda: urllib.request.urlopen(address, timeout=5).status == 200, see=log)
                yield Server(address, process)
            finally:
                process.terminate()


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _install(folder: Path) -> None:
    uv("venv", "--quiet", "--relocatable", "--no-project", "--python", sys.executable, str(folder))
    uv("pip", "install", "--quiet", "--python", str(folder / "bin/python"), MOTO)
