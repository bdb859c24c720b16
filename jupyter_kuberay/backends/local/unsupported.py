"""What is asked for and cannot be had on one machine: said, and otherwise left alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jupyter_kuberay.accelerators import is_accelerator, taint

Json = dict[str, Any]

QUEUE = "kueue.x-k8s.io/queue-name"


def only_on_kubernetes(resource: Json, ray: str, python: str) -> list[str]:
    """A sentence for each thing. ``ray`` and ``python`` are the versions here: "2.58.0" and "3.11"."""
    spec = resource["spec"]
    groups = [spec.get("headGroupSpec") or {}, *(spec.get("workerGroupSpecs") or [])]
    pods = [(group.get("template") or {}).get("spec") or {} for group in groups]
    said = []
    if spec.get("enableInTreeAutoscaling"):
        said.append("Autoscaling works on Kubernetes only: here the number of workers stays as it is asked for.")
    for image in sorted(set(_other_images(pods, ray, python))):
        said.append(f"Images work on Kubernetes only: here Ray {ray} runs in this environment's Python {python}, and not in {image}.")
    if any(pod.get("nodeSelector") or pod.get("affinity") for pod in pods):
        said.append("Node selectors work on Kubernetes only: here there is one machine.")
    if any(_chosen_tolerations(pod) for pod in pods):
        said.append("Tolerations work on Kubernetes only: here there is one machine.")
    if QUEUE in (resource["metadata"].get("labels") or {}):
        said.append("Queues work on Kubernetes only: here a cluster starts as soon as there is memory for it.")
    return said


def _chosen_tolerations(pod: dict[str, Any]) -> list[Any]:
    """Tolerations but for those that every pod with a GPU has."""
    limits = [(container.get("resources") or {}).get("limits") or {} for container in pod.get("containers") or []]
    usual = {taint(resource) for resource in set().union(*limits) if is_accelerator(resource)}
    return [toleration for toleration in pod.get("tolerations") or [] if toleration.get("key") not in usual]


def _other_images(pods: list[Json], ray: str, python: str) -> Iterator[str]:
    same = re.compile(rf"(.*/)?rayproject/ray:{re.escape(ray)}-py{python.replace('.', '')}(-.*)?")
    for pod in pods:
        for container in (pod.get("containers") or [])[:1]:
            image = str(container.get("image") or "")
            if image and not same.fullmatch(image):
                yield image
