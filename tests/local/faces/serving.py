"""A Jupyter server with the extension, as another process, and what its page would hear."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx

from .conftest import CommandLine

TOKEN = "a-token-of-tests"
STARTS_S = 60
EVENT = "urn:jupyter-kuberay:change"


class Server:
    """A running one."""

    def __init__(self, pid: int, url: str, log: Path) -> None:
        self.pid, self.url, self._log = pid, url.rstrip("/"), log
        self.client = httpx.Client(base_url=f"{self.url}/jupyter-kuberay", headers={"Authorization": f"token {TOKEN}"}, timeout=60)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @asynccontextmanager
    async def events(self) -> AsyncIterator[Events]:
        """What a page hears from now on."""
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"token {TOKEN}"}) as session,
            session.ws_connect(f"{self.url}/api/events/subscribe") as socket,
        ):
            yield Events(socket)


class Events:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.heard: list[dict[str, Any]] = []

    async def until(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 20) -> dict[str, Any]:
        """The first change that is as wanted; all that were heard meanwhile are in ``heard``."""
        async with asyncio.timeout(seconds):
            while True:
                event = json.loads((await self._socket.receive()).data)
                if event["schema_id"] != EVENT:
                    continue
                self.heard.append(event)
                for change in event["changes"]:
                    if wanted(change):
                        return dict(change)


@contextmanager
def serving(kuberay: CommandLine, *options: str, name: str = "server") -> Iterator[Server]:
    """A server of its own configuration in the folders of these tests; it is gone in the end."""
    home = kuberay.home / name
    runtime = home / "runtime"
    config = home / "config" / "jupyter_server_config.d"
    for folder in (runtime, config):
        folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "jupyter", "server", "--no-browser", "--ip=127.0.0.1", "--port=0", f"--ServerApp.root_dir={home}"]
    if os.geteuid() == 0:
        command.append("--allow-root")
    environment = {**kuberay.environment, "JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_TOKEN": TOKEN}
    with (home / "log").open("w") as log:
        process = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield Server(process.pid, _address(process, runtime, home / "log"), home / "log")
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError("the server did not end within 15 s of SIGTERM") from None


def _address(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    deadline = time.monotonic() + STARTS_S
    while time.monotonic() < deadline and process.poll() is None:
        for told in runtime.glob("jpserver-*.json"):
            try:
                url = str(json.loads(told.read_text())["url"])
                httpx.get(f"{url}api", timeout=5)
                return url
            except (ValueError, httpx.TransportError):
                continue  # half written, or not listening yet
        time.sleep(0.05)
    raise AssertionError(f"no server came up:\n{log.read_text()}")
