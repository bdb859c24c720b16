"""A Redis on this machine, which pods of the testbed reach: Debian's, installed where it is missing, keeping nothing on disk."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .places import HOST_ADDRESS, Missing
from .processes import wait_for

PORT = 5006


@contextmanager
def served(password: str) -> Iterator[str]:
    """Host and port of an empty one, for as long as the context lasts."""
    program = shutil.which("redis-server") or _installed()
    with tempfile.TemporaryDirectory(prefix="jk-redis-") as scratch:
        config, log = Path(scratch) / "redis.conf", Path(scratch) / "log"
        # In a file: a command line is for all to read.
        config.write_text(f'bind {HOST_ADDRESS}\nport {PORT}\nrequirepass {password}\nsave ""\nappendonly no\ndir {scratch}\n')
        with log.open("wb") as output, subprocess.Popen([program, str(config)], stdout=output, stderr=output) as process:
            try:
                wait_for("Redis", _answers, see=log)
                yield f"{HOST_ADDRESS}:{PORT}"
            finally:
                process.terminate()


def keys(password: str) -> int:
    """How many there are."""
    with socket.create_connection((HOST_ADDRESS, PORT), timeout=2) as connection:
        connection.sendall(f"AUTH {password}\r\nDBSIZE\r\n".encode())
        with connection.makefile("rb") as answers:
            accepted, found = answers.readline(), answers.readline()
    if accepted != b"+OK\r\n":
        raise ValueError(accepted.decode())
    return int(found.removeprefix(b":"))


def _answers() -> bool:
    with socket.create_connection((HOST_ADDRESS, PORT), timeout=2) as connection:
        connection.sendall(b"PING\r\n")
        return bool(connection.recv(64))  # that a password is wanted is an answer, too


def _installed() -> str:
    if os.getuid() or not shutil.which("apt-get"):
        raise Missing("There is no redis-server, and only root on Debian or Ubuntu can have it installed from here.")
    install = ["apt-get", "install", "--yes", "--no-install-recommends", "-qq", "redis-server"]
    # A package brings a service that starts by itself where an init system runs; here only the program is wanted.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    done = subprocess.run(install, env=environment, capture_output=True, check=False)
    if done.returncode:  # the lists of a fresh machine name versions that are gone
        subprocess.run(["apt-get", "update", "-qq"], env=environment, capture_output=True, check=True)
        subprocess.run(install, env=environment, capture_output=True, check=True)
    program = shutil.which("redis-server")
    if not program:
        raise Missing("redis-server was installed, and is not there.")
    return program
