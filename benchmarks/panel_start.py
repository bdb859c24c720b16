"""What the server extension adds to the start of a Jupyter server that nobody asks for Ray. Goals: at most 50 ms, at most 10 MiB.

From the process to the first answer of /api, with this extension and without, no other in either. The processor's time counts:
other work on the same cores does not make it longer. What is not loaded by then is loaded at the first use.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from _home import own_home
from _pairs import Pairs, pairs, report

NUMBER, GOAL_MS, GOAL_MIB, STARTS_S = 11, 50, 10, 60
OURS = "jupyter_kuberay"
LATER = ("pydantic", "kubernetes", "ray")
# Asked in the server's own process, since what it has loaded cannot be seen from outside.
TELLS = """
import json, sys
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp

def _load_jupyter_server_extension(app):
    class Modules(JupyterHandler):
        def get(self):
            self.finish(json.dumps(sorted(sys.modules)))
    app.web_app.add_handlers(".*", [("/loaded-modules", Modules)])
"""


@dataclass(frozen=True)
class Start:
    """One start: seconds by the clock and of the processor, MiB, and the modules that were loaded."""

    wall: float
    cpu: float
    mib: float
    modules: frozenset[str]


def extensions() -> list[str]:
    """All that this environment would load."""
    folders = [Path(sys.prefix) / "etc" / "jupyter" / "jupyter_server_config.d"]
    told = [json.loads(path.read_text()) for folder in folders for path in folder.glob("*.json")]
    return sorted({name for each in told for name in each.get("ServerApp", {}).get("jpserver_extensions", {})} | {OURS})


def start(home: Path, ours: bool) -> Start:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    chosen = dict.fromkeys(extensions(), False) | {OURS: ours, "tells_modules": True}
    options = [f"--ServerApp.jpserver_extensions={name}={loaded}" for name, loaded in chosen.items()]
    command = [sys.executable, "-m", "jupyter", "server", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token="]
    if os.geteuid() == 0:
        command.append("--allow-root")
    environment = {**os.environ, "PYTHONPATH": str(home)}
    begin = time.perf_counter()
    server = subprocess.Popen([*command, *options], cwd=home, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _answers(port):
            if server.poll() is not None or time.perf_counter() - begin > STARTS_S:
                raise RuntimeError("no server came up")
            time.sleep(0.002)
        wall, (cpu, mib) = time.perf_counter() - begin, _used(server.pid)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/loaded-modules", timeout=5) as answer:
            return Start(wall, cpu, mib, frozenset(json.load(answer)))
    finally:
        server.terminate()
        server.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _used(pid: int) -> tuple[float, float]:
    """Seconds of the processor's time, and MiB of memory."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return ticks / os.sysconf("SC_CLK_TCK"), resident * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    with own_home() as home:
        (home / "tells_modules.py").write_text(TELLS)
        start(home, True)  # writes the bytecode
        found: dict[bool, list[Start]] = {True: [], False: []}

        def one(ours: bool) -> float:
            found[ours].append(start(home, ours))
            return found[ours][-1].cpu

        cpu = pairs(lambda: one(True), lambda: one(False), NUMBER)
    with_it, without = found[True], found[False]
    wall = Pairs(tuple(each.wall for each in with_it), tuple(each.wall for each in without))
    memory = Pairs(tuple(each.mib for each in with_it), tuple(each.mib for each in without))
    added = cpu.difference * 1000
    detail = f"{wall.difference * 1000:+.0f} ms by the clock; ratio {cpu.ratio:.2f}"
    early = {name.partition(".")[0] for each in with_it for name in each.modules} & {*LATER}
    loaded = [f"{OURS}.faces.server.app" in each.modules for each in (*with_it, *without)]
    if loaded != [True] * len(with_it) + [False] * len(without):
        raise RuntimeError("the extension was loaded where it should not be, or not where it should")
    good = [
        report(
            "a Jupyter server's start",
            f"{added:+.0f} ms of the processor",
            goal=f"at most {GOAL_MS} ms",
            met=added <= GOAL_MS,
            detail=detail,
        ),
        report("its memory", f"{memory.difference:+.1f} MiB", goal=f"at most {GOAL_MIB} MiB", met=memory.difference <= GOAL_MIB),
        report("loaded before the first use", ", ".join(sorted(early)) or "nothing", goal=f"none of {', '.join(LATER)}", met=not early),
    ]
    return not all(good)


if __name__ == "__main__":
    sys.exit(main())
