"""`ray start`, in a process that ends with its supervisor and can be made ready before its turn.

    python -m jupyter_kuberay.backends.local.launch PARENT now|gated start --block ...

A gated one imports Ray, which takes a second, and then waits for the line "go" on its input:
a worker that asks for a head that has not registered yet would sleep for two.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, cast

# Commands of `ray` that are imported with it, take longer than all the rest, and are no part of `ray start`.
_OTHERS = ("ray.dashboard.modules.job.cli", "ray.serve.scripts", "ray.util.state.state_cli")


def main(parent: int, gate: str, arguments: list[str]) -> None:
    _end_with(parent)
    ray = _ray()
    _end_without_the_raylet()
    if gate == "gated":
        _name_files_by_process()
    elif sys.platform == "linux":
        _start_our_way()
    if gate == "gated" and sys.stdin.readline() != "go\n":
        sys.exit("Its turn did not come.")
    sys.argv = ["ray", *arguments]
    ray()


def _ray() -> Callable[[], None]:
    """Ray's command line, which does without a command that cannot be imported."""
    for name in _OTHERS:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        from ray.scripts.scripts import main as ray
    finally:
        for name in _OTHERS:
            del sys.modules[name]
    return cast("Callable[[], None]", ray)


def _name_files_by_process() -> None:
    """Of workers that start at the same moment, two would take the first name for a socket that is free, and one would end.

    Ray counts up from what there is and lets 30 s pass before it gives up. It has no option for these names.
    """
    from ray._private.node import Node

    counted = getattr(Node, "_make_inc_temp", None)
    if counted is None:  # a Ray that names them otherwise
        return

    def by_process(self: Any, suffix: str = "", prefix: str = "", directory_name: str | None = None) -> Any:
        return counted(self, f".{os.getpid()}{suffix}", prefix, directory_name)

    Node._make_inc_temp = by_process


def _end_without_the_raylet() -> None:
    """Let a node end when its raylet does, however politely, as KubeRay's probes end a pod.

    A raylet whose agent ended goes after it with exit code 0, which `ray start` takes for one that was told to: it would stay, and
    with it a node that seems ready and on which nothing ever runs.
    """
    from ray._private import ray_constants
    from ray._private.node import Node

    dead = getattr(Node, "dead_processes", None)
    if dead is None:  # a Ray that counts them otherwise
        return

    def dead_processes(self: Any) -> list[tuple[str, Any]]:
        found = dead(self)
        for kind, process in found:
            if kind == ray_constants.PROCESS_TYPE_RAYLET and process.returncode == 0:
                process.returncode = 1
        return found  # type: ignore[no-any-return]

    Node.dead_processes = dead_processes


def _start_our_way() -> None:
    """Of what Ray starts for a head, some is started otherwise."""
    from ray._private import ray_constants, services

    from jupyter_kuberay.backends.local.clients import reserving
    from jupyter_kuberay.backends.local.dashboard import forking

    start = getattr(services, "start_ray_process", None)
    if start is None:  # a Ray that starts them otherwise
        return
    changed = {ray_constants.PROCESS_TYPE_DASHBOARD: forking, ray_constants.PROCESS_TYPE_RAY_CLIENT_SERVER: reserving}

    def start_ray_process(command: list[str], process_type: str, *rest: Any, **more: Any) -> Any:
        return start(changed.get(process_type, list)(command), process_type, *rest, **more)

    services.start_ray_process = start_ray_process


def _end_with(parent: int) -> None:
    """Be terminated when the process ``parent`` is, even by a kill that it cannot see coming."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("The supervisor is gone.")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
