"""What Ray says is in use."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from jupyter_kuberay.backends.dashboard import Dashboard
from jupyter_kuberay.errors import Unreachable
from jupyter_kuberay.observation import Json, Usage

# What a worker uses of a placement group's bundle is told twice: of the bundle with its number, and of the group.
_OF_A_BUNDLE = re.compile(r"(?P<name>CPU|GPU|memory)_group_\d+_[0-9a-f]+")


async def usage(dashboard: Dashboard) -> Usage:
    """CPU, GPU and memory in use. Ray itself sums them up every few seconds."""
    status = await dashboard.cluster_status()
    # KubeRay starts heads without the process that sums up.
    return used(status) if _report(status) else used_by_workers(await dashboard.nodes())


def _report(status: Json) -> Json:
    report: Any = ((status.get("data") or {}).get("clusterStatus") or {}).get("loadMetricsReport") or {}
    return dict(report) if "usage" in report else {}


def used(status: Json) -> Usage:
    """The answer of ``/api/cluster_status``, in short. Pure. `Unreachable` while Ray has not summed up yet."""
    report = _report(status)
    if not report:
        raise Unreachable("Ray has not counted its resources yet.", "Try again in a few seconds.")
    amounts = {name: (float(amount[0]), float(amount[1])) for name, amount in report["usage"].items()}
    return _usage({name: amount[0] for name, amount in amounts.items()}, {name: amount[1] for name, amount in amounts.items()})


def used_by_workers(summary: Json) -> Usage:
    """The answer of ``/nodes?view=summary``: what nodes have, and what their workers use. Pure. `Unreachable` while there is none."""
    there: defaultdict[str, float] = defaultdict(float)
    in_use: defaultdict[str, float] = defaultdict(float)
    for node in (summary.get("data") or {}).get("summary") or []:
        raylet = node.get("raylet") or {}
        if raylet.get("state") != "ALIVE":
            continue
        for name, amount in (raylet.get("resourcesTotal") or {}).items():
            there[name] += float(amount)
        for worker in raylet.get("coreWorkersStats") or []:
            for name, amount in (worker.get("usedResources") or {}).items():
                bundle = _OF_A_BUNDLE.fullmatch(name)
                in_use[bundle["name"] if bundle else name] += sum(float(slot["allocation"]) for slot in amount["resourceSlots"])
    if not there:
        raise Unreachable("Ray has not counted its resources yet.", "Try again in a few seconds.")
    return _usage(in_use, there)


def _usage(in_use: Json, there: Json) -> Usage:
    amounts = {name: (float(in_use.get(name, 0)), float(there.get(name, 0))) for name in ("CPU", "GPU", "memory")}
    cpus, gpus, memory = amounts["CPU"], amounts["GPU"], amounts["memory"]
    return Usage(cpus_used=cpus[0], cpus=cpus[1], gpus_used=gpus[0], gpus=gpus[1], memory_used=int(memory[0]), memory=int(memory[1]))
