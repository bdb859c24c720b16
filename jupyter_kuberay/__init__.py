"""A Ray cluster of one's own from JupyterLab, and the model published from it.

Only names are here: what they need is loaded when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyter_kuberay.attach import Attachment, attached, detach
    from jupyter_kuberay.client import Client
    from jupyter_kuberay.cluster import Cluster, connect
    from jupyter_kuberay.errors import KubeRayError
    from jupyter_kuberay.faces.widget.panels import ClusterCard, ClusterPanel, RunsTable, ServiceCard
    from jupyter_kuberay.recording import record
    from jupyter_kuberay.service import Service, publish, rollback
    from jupyter_kuberay.spec import Application, ClusterSpec, HeadSpec, JobSpec, ServiceSpec, WorkerGroup

__version__ = "0.1.0"

_WHERE = {
    "Application": "spec",
    "Attachment": "attach",
    "Client": "client",
    "Cluster": "cluster",
    "ClusterCard": "faces.widget.panels",
    "ClusterPanel": "faces.widget.panels",
    "ClusterSpec": "spec",
    "HeadSpec": "spec",
    "JobSpec": "spec",
    "KubeRayError": "errors",
    "RunsTable": "faces.widget.panels",
    "Service": "service",
    "ServiceCard": "faces.widget.panels",
    "ServiceSpec": "spec",
    "WorkerGroup": "spec",
    "attached": "attach",
    "connect": "cluster",
    "detach": "attach",
    "publish": "service",
    "record": "recording",
    "rollback": "service",
}

__all__ = [
    "Application",
    "Attachment",
    "Client",
    "Cluster",
    "ClusterCard",
    "ClusterPanel",
    "ClusterSpec",
    "HeadSpec",
    "JobSpec",
    "KubeRayError",
    "RunsTable",
    "Service",
    "ServiceCard",
    "ServiceSpec",
    "WorkerGroup",
    "__version__",
    "attached",
    "connect",
    "detach",
    "publish",
    "record",
    "rollback",
]


def __getattr__(name: str) -> Any:
    # `attach` and `publish` are also modules: a module that was imported stands
    # here under its own name, so only other names are looked up.
    if name in _WHERE:
        module = f"jupyter_kuberay.{_WHERE[name]}"
        try:
            return getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            # A job in a cluster carries a part of this package.
            if error.name != module:
                raise
            raise _part_alone(name) from None
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _part_alone(name: str) -> Exception:
    from jupyter_kuberay.errors import Failed

    return Failed(
        f"`{name}` needs all of jupyter-kuberay, and the image of this cluster does not have version {__version__} of it.",
        "Install that version in the image, or run this notebook without --in-cluster.",
    )


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext jupyter_kuberay``: the magic ``%kuberay``."""
    from jupyter_kuberay.faces.magics import load_ipython_extension

    load_ipython_extension(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext jupyter_kuberay``."""
    from jupyter_kuberay.faces.magics import unload_ipython_extension

    unload_ipython_extension(shell)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """For Jupyter Server: what answers under /jupyter-kuberay."""
    from jupyter_kuberay.faces.server.app import KubeRayApp

    return [{"module": "jupyter_kuberay", "app": KubeRayApp}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """For ``jupyter labextension develop``: what JupyterLab shows, in a checkout. A wheel puts it where JupyterLab looks."""
    return [{"src": "labextension", "dest": "jupyter-kuberay"}]
