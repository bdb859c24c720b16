"""Which real GPUs a node may use: those that are here, that the user was given, and that no other node has."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jupyter_kuberay.backends.local.leases import Lease, hold

_VISIBLE = "CUDA_VISIBLE_DEVICES"


@cache
def listed() -> tuple[str, ...]:
    """The ids of this machine's GPUs, in its own order; none without NVIDIA's driver."""
    if not shutil.which("nvidia-smi"):
        return ()
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(line.strip() for line in found.stdout.splitlines() if line.strip().startswith("GPU-"))


def given(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Those that this user may use: CUDA_VISIBLE_DEVICES (of a batch system, for instance) narrows the list."""
    allowed = environment.get(_VISIBLE)
    if allowed is None:
        return listed()
    chosen = []
    for name in (part.strip() for part in allowed.split(",")):
        if name.isdigit() and int(name) < len(listed()):
            chosen.append(listed()[int(name)])
        elif len(same := [gpu for gpu in listed() if name and gpu.startswith(name)]) == 1:
            chosen += same
        else:
            break  # as CUDA does: what follows an unknown one is not seen
    return tuple(dict.fromkeys(chosen))


def take(count: int, folder: Path | None = None) -> dict[str, Lease] | None:
    """Lease ``count`` GPUs, by id, or None when so many are not free."""
    taken: dict[str, Lease] = {}
    for gpu in given():
        if len(taken) < count and (lease := hold(f"gpu-{gpu}", folder)):
            taken[gpu] = lease
    if len(taken) == count:
        return taken
    for lease in taken.values():
        lease.release()
    return None
