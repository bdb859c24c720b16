"""Findings about the GPUs of a Kubernetes cluster, as far as its nodes and pods are ours to see. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from jupyter_kuberay.accelerators import is_accelerator
from jupyter_kuberay.backends.kuberay.answers import Answers
from jupyter_kuberay.doctor.finding import Finding, ok, unseen, warning
from jupyter_kuberay.doctor.offers import Offer
from jupyter_kuberay.errors import KubeRayError
from jupyter_kuberay.observation import Json

# What tells the type of a node, the most exact first.
_TYPES = ("nvidia.com/gpu.product", "amd.com/gpu.product-name", "cloud.google.com/gke-accelerator", "node.kubernetes.io/instance-type")


@dataclass
class _Stock:
    """One kind of GPU on one type of node."""

    nodes: int = 0
    allocatable: int = 0
    taken: int = 0
    out_of_use: int = 0  # on nodes that take no pods now


def findings(answers: Answers, offered: Iterable[Offer]) -> list[Finding]:
    """One line for each type of node, or what of it cannot be seen."""
    wanted = {gpu: offer.profile for offer in offered for gpu in sorted(offer.gpus)}
    if isinstance(answers.nodes, KubeRayError):
        return [unseen("GPUs", "Nodes are not yours to see; a cluster that finds no GPU says so itself.")]
    pods = None if isinstance(answers.pods, KubeRayError) else answers.pods
    stocks = _stocks(answers.nodes, pods or [])
    found = [_stock(kind, where, stock, seen=pods is not None) for (kind, where), stock in sorted(stocks.items())]
    there = {kind for kind, _ in stocks}
    for gpu, profile in wanted.items():
        if gpu not in there:
            what = f"No node offers {gpu}, which profile {profile!r} asks for."
            found.append(warning("GPUs", what, "Choose a profile without GPUs, unless your administrator's autoscaler brings such nodes."))
    return found or [ok("GPUs", "No node offers one, and no profile asks for one.")]


def _stock(kind: str, where: str, stock: _Stock, *, seen: bool) -> Finding:
    nodes = f"{stock.nodes} node{'s' if stock.nodes != 1 else ''}{f' of type {where}' if where else ''}"
    out = f"; {stock.out_of_use} more are on nodes that take no pods now" if stock.out_of_use else ""
    if not seen:
        return unseen("GPUs", f"{stock.allocatable} {kind} on {nodes}; how many are free is not yours to see{out}.")
    free = max(0, stock.allocatable - stock.taken)
    what = f"{free} of {stock.allocatable} {kind} are free on {nodes}{out}."
    return ok("GPUs", what) if free else warning("GPUs", what, "A cluster that asks for one now waits until another is given back.")


def _stocks(nodes: list[Json], pods: list[Json]) -> dict[tuple[str, str], _Stock]:
    taken: Counter[tuple[str, str]] = Counter()
    for pod in pods:
        for kind, count in _asked(pod).items():
            taken[str(pod["spec"].get("nodeName")), kind] += count
    stocks: dict[tuple[str, str], _Stock] = {}
    for node in nodes:
        for kind, amount in ((node.get("status") or {}).get("allocatable") or {}).items():
            if not is_accelerator(kind) or not int(amount):
                continue
            stock = stocks.setdefault((kind, _type(node)), _Stock())
            stock.nodes += 1
            if _takes_pods(node):
                stock.allocatable += int(amount)
                stock.taken += taken[str(node["metadata"]["name"]), kind]
            else:
                stock.out_of_use += int(amount)
    return stocks


def _asked(pod: Json) -> Counter[str]:
    """GPUs that a pod holds; its init containers run before the others and share with them."""
    spec = pod["spec"]
    together: Counter[str] = Counter()
    for container in spec.get("containers") or []:
        together.update(_limits(container))
    for container in spec.get("initContainers") or []:
        together |= _limits(container)
    return together


def _limits(container: Json) -> Counter[str]:
    limits = (container.get("resources") or {}).get("limits") or {}
    return Counter({kind: int(amount) for kind, amount in limits.items() if is_accelerator(kind)})


def _takes_pods(node: Json) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    ready = any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
    return ready and not (node.get("spec") or {}).get("unschedulable")


def _type(node: Json) -> str:
    labels = node["metadata"].get("labels") or {}
    return str(next((labels[label] for label in _TYPES if labels.get(label)), ""))
