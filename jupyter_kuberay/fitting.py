"""Whether what is to be published fits on a cluster: replicas against its nodes' CPUs, GPUs and memory. Pure.

Told is only what is certain: what an application's source or its configuration does not say is taken for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.observation import Json
from jupyter_kuberay.quantity import Quantity
from jupyter_kuberay.scaling import bounds_of
from jupyter_kuberay.source import Deployment
from jupyter_kuberay.spec import ClusterSpec

_UNITS = {"CPU": "CPU", "GPU": "GPU", "memory": "GiB of memory"}
_GIB = 2**30
_SLACK = 1e-6  # fractions of a CPU are added up


class DoesNotFit(InvalidSpec):
    """The cluster is too small for what is to be published; the message says what is short."""


@dataclass(frozen=True)
class Nodes:
    """Nodes that are alike."""

    count: int
    size: Mapping[str, float]  # CPU, GPU, memory in bytes


@dataclass(frozen=True)
class Need:
    """What one deployment takes."""

    name: str
    replicas: int
    each: Mapping[str, float] = field(default_factory=dict)  # as a node's size; what is not known is not in it


def nodes(cluster: ClusterSpec) -> list[Nodes]:
    """The nodes that a cluster has, or may have where it is autoscaled."""
    found = [Nodes(1, _size(cluster.head.cpu, cluster.head.memory, 0, cluster.head.ray_start_params))]
    for group in cluster.worker_groups:
        count = max(group.replicas, group.maximum) if cluster.autoscaling else group.replicas
        found.append(Nodes(count, _size(group.cpu, group.memory, group.gpus, group.started_with)))
    return found


def _size(cpu: Quantity, memory: Quantity, gpus: int, started_with: Mapping[str, str]) -> dict[str, float]:
    size = {"CPU": float(math.ceil(cpu.value)), "GPU": float(gpus), "memory": float(memory.value)}
    for name, parameter in (("CPU", "num-cpus"), ("GPU", "num-gpus"), ("memory", "memory")):
        try:
            size[name] = float(started_with[parameter])
        except (KeyError, ValueError):
            continue
    return size


def needs(declared: Sequence[Deployment], config: Json) -> list[Need]:
    """What the deployments of an application take.

    Parameters
    ----------
    declared
        As its source says.
    config
        Its entry in ``serveConfigV2``, which goes before that.
    """
    said = {str(each.get("name")): each for each in config.get("deployments") or [] if isinstance(each, dict)}
    known = {each.name: each for each in declared}
    found = []
    for name in dict.fromkeys([*known, *said]):
        # Of a deployment that the source does not show only what the configuration says is known.
        source = known.get(name)
        options = {**(source.options if source else {}), **said.get(name, {})}
        actor = {
            **((source.options.get("ray_actor_options") or {}) if source else {}),
            **(said.get(name, {}).get("ray_actor_options") or {}),
        }
        each = {key: float(actor[option]) for key, option in _ACTOR.items() if isinstance(actor.get(option), int | float)}
        if source is not None and source.is_whole:
            each.setdefault("CPU", 1.0)  # Serve's default
        found.append(Need(name, _replicas(options), {key: amount for key, amount in each.items() if amount}))
    return found


_ACTOR = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}


def _replicas(options: Json) -> int:
    config, number = options.get("autoscaling_config"), options.get("num_replicas")
    if isinstance(config, dict):
        return max(1, bounds_of(config)[0])  # also one that goes to zero needs room for one
    return number if isinstance(number, int) else 1


def refuse(mine: Sequence[Need], others: Sequence[Need], before: Sequence[Need], there: Sequence[Nodes], cluster: str) -> None:
    """Raise `DoesNotFit` where it is certain that the replicas will not all find a place.

    Parameters
    ----------
    mine
        What is to be published.
    others
        What else is on the cluster, and stays.
    before
        What ``mine`` takes the place of. What needs no more than that is where it fits already.
    """
    if before and all(_total(mine, key) <= _total(before, key) + _SLACK for key in _UNITS):
        return
    for need in mine:
        room = sum(each.count * _fitting(need.each, each.size) for each in there)
        if need.each and room < need.replicas:
            each = " and ".join(_amount(key, amount) for key, amount in need.each.items())
            raise DoesNotFit(
                f"{need.replicas} {'replica' if need.replicas == 1 else 'replicas'} of {need.name!r} with {each} each "
                f"do not fit on {cluster}: there is room for {room}. {_has(there)}",
                _HINT,
            )
    for key in _UNITS:
        has = sum(each.count * each.size.get(key, 0.0) for each in there)
        wanted, beside = _total(mine, key), _total(others, key)
        if wanted and wanted + beside > has + _SLACK:
            also = f", and what else is published there {_amount(key, beside)}" if beside else ""
            raise DoesNotFit(
                f"It needs {_amount(key, wanted)}{also}; {cluster} has {_amount(key, has)}: {_amount(key, wanted + beside - has)} too few.",
                _HINT,
            )


_HINT = "Ask for fewer or smaller replicas, or scale the cluster first; try_out=False (--no-try-out) puts it in without looking."


def refuse_weights(replicas: int, new: int, old: int, there: Sequence[Nodes], cluster: str) -> None:
    """Raise `DoesNotFit` where weights of ``new`` bytes cannot be loaded beside those of ``old`` bytes, which answer until then."""
    largest = max((each.size.get("memory", 0.0) for each in there if each.count), default=0.0)
    room = sum(each.count * (each.size.get("memory", 0.0) // (new + old)) for each in there) if new + old else math.inf
    if new and room < replicas:
        raise DoesNotFit(
            f"The new weights ({new / _GIB:.2f} GiB) are loaded beside the old ones ({old / _GIB:.2f} GiB), "
            f"in each of {replicas} replicas: {cluster} has memory for {int(room)}; its largest node has {largest / _GIB:.1f} GiB.",
            "Give its nodes more memory, or move it with new_cluster; try_out=False (--no-try-out) puts it in without looking.",
        )


def _fitting(each: Mapping[str, float], size: Mapping[str, float]) -> int:
    return int(min((math.floor(size.get(key, 0.0) / amount + _SLACK) for key, amount in each.items()), default=0))


def _total(found: Iterable[Need], key: str) -> float:
    return sum(each.replicas * each.each.get(key, 0.0) for each in found)


def _amount(key: str, amount: float) -> str:
    number = amount / _GIB if key == "memory" else amount
    unit = _UNITS[key] + ("s" if key != "memory" and number != 1 else "")
    return f"{number:.4g} {unit}"


def _has(there: Sequence[Nodes]) -> str:
    told = []
    for each in there:
        if each.count:
            size = ", ".join(_amount(key, amount) for key, amount in each.size.items() if amount)
            told.append(f"{each.count} {'node' if each.count == 1 else 'nodes'} of {size or 'nothing'}")
    return f"It has {'; '.join(told)}." if told else "It has no node."
