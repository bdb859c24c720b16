"""The node: namespaces of its own for processes, mounts and network, which end with their first process.

So whatever happens, ending one process ends them all, and with them every
mount, every address and every rule of the packet filter. Nothing in here can
touch another process of this machine, and `members` are those that are ours.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from . import cgroups, disguise, processes
from .places import HERE, HOST_ADDRESS, LINK_CIDR_LENGTH, LOGS, NODE_ADDRESS, POD_CIDR, RUN, SERVICE_CIDR, TestbedError
from .processes import Birth, members, wait_for

LINK = "kuberaybed0"
BORN = RUN / "node.json"
MADE = RUN / "folders.json"  # what was not there before, on this machine

# Where Kubernetes writes whatever it is told; inside, these lie below RUN.
OWN_FOLDERS = ("/var/log/pods", "/var/log/containers", "/var/lib/cni", "/var/lib/kubelet")


def birth() -> Birth | None:
    """The process that the node lives with; None when there is no node."""
    try:
        born = Birth(**json.loads(BORN.read_text()))
    except FileNotFoundError:
        return None
    return born if born.alive else None


def begin(cpus: int) -> subprocess.Popen[bytes]:
    """Make the node, without anything on it. It ends with the caller, unless the caller calls `stay`."""
    unshare = ["unshare", "--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"]
    with open(LOGS / "node.log", "ab") as log:
        command = [*unshare, sys.executable, "-I", str(HERE / "init.py")]
        first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
    assert first.stdout is not None
    if first.stdout.readline() != b"here\n":
        raise TestbedError("This machine allows no namespaces; in a container it needs to be a privileged one.")
    BORN.write_text(json.dumps(asdict(Birth.of(first.pid))))
    _mounts(cpus)
    _link(first.pid)
    cgroups.make()
    return first


def stay(first: subprocess.Popen[bytes]) -> None:
    """Let the node outlive its maker."""
    assert first.stdin is not None
    first.stdin.write(b"stay")
    first.stdin.close()


def end() -> None:
    """End every process of the node, and wait until they are gone."""
    if born := birth():
        namespace = _namespace(born.pid)
        os.kill(born.pid, signal.SIGKILL)  # its child, which is the namespace's first process, goes with it
        wait_for("the end of the node's processes", lambda: not born.alive and not members(namespace), 30)
    cgroups.remove()
    BORN.unlink(missing_ok=True)
    for folder in json.loads(MADE.read_text()) if MADE.exists() else ():
        with suppress(OSError):  # another Kubernetes of this machine keeps something there by now
            Path(folder).rmdir()
    MADE.unlink(missing_ok=True)


def spawn(name: str, *program: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a program on the node; what it says goes to a file of the bed's log folder. What is given back ends with it."""
    with open(LOGS / f"{name}.log", "ab") as log:
        return subprocess.Popen(
            [*_enter(), *program],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )


def run(*program: str) -> str:
    """Run a program on the node to its end, and return what it printed."""
    done = subprocess.run([*_enter(), *program], cwd="/", capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise TestbedError(f"{' '.join(program)}: {done.stderr.strip()}")
    return done.stdout


def running(path: str) -> list[int]:
    """The node's processes that were started as ``path``."""
    born = birth()
    return [pid for pid in members(_namespace(born.pid)) if processes.command(pid)[:1] == [path]] if born else []


def _namespace(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/pid_for_children")


def _enter() -> list[str]:
    born = birth()
    if born is None:
        raise TestbedError("The testbed is not up: make testbed.")
    return ["nsenter", f"--target={born.pid}", "--mount", "--net", "--ipc", f"--pid=/proc/{born.pid}/ns/pid_for_children", "--"]


def _mounts(cpus: int) -> None:
    run("mount", "--make-rshared", "/")  # kubelet hands mounts on to containers
    # containerd's sockets and network namespaces, and the packet filter's lock.
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    MADE.write_text(json.dumps([folder for folder in OWN_FOLDERS if not Path(folder).exists()]))
    for folder in OWN_FOLDERS:
        own = RUN / "node" / folder.strip("/")
        for each in (own, Path(folder)):
            each.mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", str(own), folder)
    for source, target in (*disguise.settings(RUN / "settings"), *disguise.processors(RUN / "processors", cpus)):
        run("mount", "--bind", str(source), target)


def _link(pid: int) -> None:
    """A cable between this machine and the node. Both ends go with the node."""

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)

    ip("link", "add", LINK, "mtu", "65535", "type", "veth", "peer", "name", "eth0", "mtu", "65535", "netns", str(pid))
    ip("address", "add", f"{HOST_ADDRESS}/{LINK_CIDR_LENGTH}", "dev", LINK)
    ip("link", "set", LINK, "up")
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{NODE_ADDRESS}/{LINK_CIDR_LENGTH}", "dev", "eth0")
    run("ip", "link", "set", "eth0", "up")
    run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
    for network in (POD_CIDR, SERVICE_CIDR):
        ip("route", "add", network, "via", NODE_ADDRESS)
