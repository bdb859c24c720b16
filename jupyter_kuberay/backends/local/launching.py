"""Starts the nodes of one cluster with the right command line, environment and log, and reads what they say."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from jupyter_kuberay.backends.local.bell import own_folder
from jupyter_kuberay.backends.local.nodes import HEAD, LOOPBACK, Group, environment, head_command, inherited, store_memory, worker_command
from jupyter_kuberay.backends.local.ports import PortBlock
from jupyter_kuberay.backends.local.processes import MARK, spawn
from jupyter_kuberay.backends.local.store import now
from jupyter_kuberay.backends.local.told import Member
from jupyter_kuberay.grammar import SHIM

_STARTED = "Process exit logs will be saved to"  # the last that `ray start` says before it waits for the end of its processes
_KEPT_LOGS = 50  # of nodes that ended


class Launcher:
    """The part of a cluster's keeper that touches the machine.

    Parameters
    ----------
    folder
        The cluster's.
    uid
        The cluster's; part of every process's mark.
    temp_dir
        Ray's; short, because it holds sockets.
    """

    def __init__(self, folder: Path, uid: str, temp_dir: Path) -> None:
        self.folder, self.uid, self.temp_dir = folder, uid, temp_dir
        self.gpus: dict[str, list[str]] = {}  # of a node, by its name

    def log(self, member: Member) -> Path:
        return self.folder / "logs" / f"{member.name}.log"

    def launch(self, member: Member, group: Group, block: PortBlock, nodes: int, *, simulated: bool, token: Path) -> None:
        """Start a node's processes. OSError when the machine does not let us."""
        own_folder(self.temp_dir.parent)
        self.temp_dir.mkdir(exist_ok=True)  # Ray opens it to all; its parent is closed
        store = store_memory(group, _shared_memory(), nodes)
        if member.group == HEAD:
            self._forget_session()
            arguments = head_command(group, block.__getitem__, str(self.temp_dir), store)
        else:
            arguments = worker_command(group, block["gcs"], member.name, store)
        found = environment(group, inherited(os.environ), self._own(member, block, token, simulated), self._config_map, str(SHIM))
        if simulated and group.gpus:
            found.pop("CUDA_VISIBLE_DEVICES", None)  # Ray would count what is there
        log = self.log(member)
        member.log_from = log.stat().st_size if log.exists() else 0
        gated = member.group != HEAD
        command = [sys.executable, "-P", "-m", "jupyter_kuberay.backends.local.launch", str(os.getpid()), "gated" if gated else "now"]
        reader, writer = os.pipe() if gated else (-1, -1)
        try:
            member.pid = spawn([*command, *arguments], found, log, stdin=reader)
        except OSError:
            if gated:
                os.close(writer)
            raise
        finally:
            if gated:
                os.close(reader)
        member.gate, member.started = writer, now()
        self._drop_old_logs()

    def _own(self, member: Member, block: PortBlock, token: Path, simulated: bool) -> dict[str, str]:
        own = {
            MARK: f"{self.uid}/{member.name}",
            # Processes of Ray that rename themselves would write the new name over their environment, and the mark.
            "SPT_NOENV": "1",
            # What looks for Ray by itself must not find another cluster on this machine.
            "RAY_ADDRESS": f"{LOOPBACK}:{block['gcs']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
            # Forks of gRPC now and then make a client's first connection fail.
            "GRPC_ENABLE_FORK_SUPPORT": "0",
            "AUTOSCALER_METRIC_PORT": str(block["autoscaler-metrics"]),
            "DASHBOARD_METRIC_PORT": str(block["dashboard-metrics"]),
            # On a busy machine 30 s can be too few.
            "RAY_NUM_REDIS_GET_RETRIES": "60",
            "RAY_DASHBOARD_SUBPROCESS_MODULE_WAIT_READY_TIMEOUT": "180",
            "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "200",
            # A job's `python` is the one that Ray runs in.
            "PATH": os.pathsep.join((os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath))),
        }
        if sys.platform != "linux":
            own["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "1"
        if not simulated:
            own["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus.get(member.name, []))
        return own

    def _config_map(self, name: str) -> str:
        return str(self.folder / "configmaps" / name)

    def said(self, member: Member) -> bytes:
        """What the present run of a node has written to its log, or the last 64 KiB of it."""
        with suppress(OSError), self.log(member).open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(member.log_from, end - 2**16))
            return log.read()
        return b""

    def last_words(self, member: Member, lines: int = 1) -> str:
        """The last lines of a node's log that say something."""
        return "\n".join(telling(self.said(member).decode(errors="replace"))[-lines:])

    def _forget_session(self) -> None:
        """Remove what an earlier head left, so that nothing joins it."""
        shutil.rmtree(self.temp_dir, ignore_errors=True)
        self.temp_dir.mkdir(exist_ok=True)

    def _drop_old_logs(self) -> None:
        logs = sorted((self.folder / "logs").glob("*.log"), key=lambda path: path.stat().st_mtime)
        for path in logs[:-_KEPT_LOGS]:
            path.unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove Ray's temporary files."""
        shutil.rmtree(self.temp_dir, ignore_errors=True)


def telling(log: str) -> list[str]:
    """The lines that may tell why a node ended: of one that had started, those after it had. Pure."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    started = max((number for number, line in enumerate(lines) if _STARTED in line), default=-1)
    return lines[started + 1 :]


def _shared_memory() -> int:
    """Bytes free where object stores live."""
    place = "/dev/shm" if os.path.isdir("/dev/shm") else "/tmp"
    return shutil.disk_usage(place).free
