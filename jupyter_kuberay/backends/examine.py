"""Asks the world behind a backend what would keep a user from working there."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, TypeAlias

from jupyter_kuberay.backends.base import Backend
from jupyter_kuberay.observation import Bundle

if TYPE_CHECKING:
    from jupyter_kuberay.backends.kuberay.answers import Answers as KubernetesAnswers
    from jupyter_kuberay.backends.local.answers import Answers as MachineAnswers

Answers: TypeAlias = "KubernetesAnswers | MachineAnswers"


async def examine(
    backend: Backend, *, claims: Collection[str] = (), routes: Collection[str] = (), try_out: Bundle | None = None
) -> Answers:
    """What `jupyter_kuberay.doctor` makes findings of; each substrate has its own questions.

    Parameters
    ----------
    claims
        Names of PersistentVolumeClaims to look for, where there are such things.
    routes
        By which kinds services get an address outside, where they do: "Ingress", "HTTPRoute".
    try_out
        A suspended RayCluster, which is made and deleted again to see that the KubeRay operator answers.
    """
    from jupyter_kuberay.backends.local import LocalBackend

    if isinstance(backend, LocalBackend):
        from jupyter_kuberay.backends.local.examine import examine as examine_machine

        return await examine_machine(backend)
    from jupyter_kuberay.backends.kuberay import KubeRayBackend
    from jupyter_kuberay.backends.kuberay.examine import examine as examine_kubernetes

    if not isinstance(backend, KubeRayBackend):
        raise TypeError(f"No questions are known for {type(backend).__name__}.")
    return await examine_kubernetes(backend, claims=claims, routes=routes, try_out=try_out)
