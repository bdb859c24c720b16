"""`ray start`, in a process that ends with its supervisor and can be made ready before its turn.

    python -m jupyter_kuberay.backends.local.launch PARENT now|gated start --block ...

A gated one imports Ray, which takes a second, and then waits for the line "go" on its input:
a worker that asks for a head that has not registered yet would sleep for two.
"""

from __future__ import annotations

import os
import signal
import sys


def main(parent: int, gate: str, arguments: list[str]) -> None:
    _end_with(parent)
    from ray.scripts.scripts import main as ray

    if gate == "gated" and sys.stdin.readline() != "go\n":
        sys.exit("Its turn did not come.")
    sys.argv = ["ray", *arguments]
    ray()


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
