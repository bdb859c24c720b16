"""GPUs and their like, by the names under which Kubernetes counts them, such as ``nvidia.com/gpu``. Pure.

Sources: the device plugins' names, NVIDIA's and Google's taints, Kubernetes' ExtendedResourceToleration (a taint is called
like its resource), and what KubeRay 1.5 to 1.7 hands on to Ray (controllers/ray/utils/resources.go, common/pod.go).
"""

from __future__ import annotations

import re

NVIDIA, TPU = "nvidia.com/gpu", "google.com/tpu"

_MULTI_INSTANCE = re.compile(r"nvidia\.com/mig-\d+g\.\d+gb")


def is_accelerator(resource: str) -> bool:
    """Whether a resource is a GPU, a part of one (MIG, time slices), or a TPU."""
    return "/" in resource and any(word in resource for word in ("gpu", "mig-", "tpu"))


def taint(resource: str) -> str:
    """The key of the taint that keeps others off the nodes with this resource, where there is one."""
    return NVIDIA if resource.startswith("nvidia.com/") else resource


def is_counted_by_kuberay(resource: str) -> bool:
    """Whether KubeRay tells Ray how many there are; of others `ray start` has to be told."""
    return resource.endswith("gpu") or resource == TPU or _MULTI_INSTANCE.fullmatch(resource) is not None
