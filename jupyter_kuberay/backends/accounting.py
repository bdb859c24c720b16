"""What Ray says is in use."""

from __future__ import annotations

from typing import Any

from jupyter_kuberay.backends.dashboard import Dashboard
from jupyter_kuberay.errors import Unreachable
from jupyter_kuberay.observation import Json, Usage


async def usage(dashboard: Dashboard) -> Usage:
    """CPU, GPU and memory in use. Ray itself sums them up every few seconds."""
    return used(await dashboard.cluster_status())


def used(status: Json) -> Usage:
    """The answer of ``/api/cluster_status``, in short. Pure. `Unreachable` while Ray has not summed up yet."""
    report: Any = ((status.get("data") or {}).get("clusterStatus") or {}).get("loadMetricsReport") or {}
    if "usage" not in report:
        raise Unreachable("Ray has not counted its resources yet.", "Try again in a few seconds.")
    amounts = {name: (float(amount[0]), float(amount[1])) for name, amount in report["usage"].items()}
    cpus, gpus, memory = (amounts.get(name, (0.0, 0.0)) for name in ("CPU", "GPU", "memory"))
    return Usage(cpus_used=cpus[0], cpus=cpus[1], gpus_used=gpus[0], gpus=gpus[1], memory_used=int(memory[0]), memory=int(memory[1]))
