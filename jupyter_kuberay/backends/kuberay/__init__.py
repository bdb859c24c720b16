"""Ray on Kubernetes, kept by the KubeRay operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyter_kuberay.backends.kuberay.backend import KubeRayBackend

__all__ = ["KubeRayBackend"]


def __getattr__(name: str) -> Any:
    if name == "KubeRayBackend":
        from jupyter_kuberay.backends.kuberay.backend import KubeRayBackend

        return KubeRayBackend
    raise AttributeError(name)
