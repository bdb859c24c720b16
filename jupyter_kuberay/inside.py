"""A cluster as its own programs see it: what runs in it as a driver needs no Ray Client, no Kubernetes and no data directory.

What is written for a notebook works there unchanged:

>>> cluster = connect()  # doctest: +SKIP
>>> cluster.run(sum, [1, 2, 3])  # doctest: +SKIP
6
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from jupyter_kuberay.attach import Attachment, attached, hold
from jupyter_kuberay.cluster import Cluster
from jupyter_kuberay.connection import NAMESPACE, lost
from jupyter_kuberay.errors import Conflict, Unreachable
from jupyter_kuberay.observation import Endpoint, Node, Usage

if TYPE_CHECKING:
    from jupyter_kuberay.client import Progress
    from jupyter_kuberay.status import ClusterStatus

_HEAD = "node:__internal_head__"  # a resource that Ray gives heads only
_GROUP = "ray.io/node-group"  # a label that KubeRay gives nodes


class Inside(Attachment):
    """This process as a driver of the cluster that it runs in, with the credentials that it was started with."""

    same = True  # a job's environment is also that of its tasks

    def __init__(self, cluster: str) -> None:
        super().__init__(cluster, _nowhere)
        self._ours = False

    @property
    def alive(self) -> bool:
        import ray

        return bool(ray.is_initialized())

    @property
    def address(self) -> str:
        """Of the cluster's GCS, as ``host:port``."""
        import ray

        self.check()
        return str(ray.get_runtime_context().gcs_address)

    def dashboard_endpoint(self) -> Endpoint:
        """Where the dashboard answers in the cluster, with the token that this process was started with."""
        from ray._private.worker import get_dashboard_url

        self.check()
        host, _, port = str(get_dashboard_url()).rpartition(":")
        return Endpoint(host=host, port=int(port), token=_token())

    def again(self) -> Attachment:
        return InsideCluster(self.cluster).attach()

    def check(self) -> None:
        if not self.alive:
            raise lost(self.cluster)

    def missing(self, *names: str) -> list[str]:
        """Which of the packages ``names`` cannot be imported here, and so not in a task either."""
        from jupyter_kuberay.remote import locate

        return sorted({top for name in names if locate(top := name.partition(".")[0]) is None})

    def detach(self) -> None:
        """Let go of the cluster; tasks and actors that were started from here end."""
        super().detach()
        if self._ours:
            import ray

            self._ours = False
            ray.shutdown()

    def _enter(self) -> None:
        import ray

        if ray.is_initialized():
            return  # by the program itself: then it is the program's to end
        try:
            # The address of the very node, where a job is given one.
            ray.init(os.environ.get("RAY_ADDRESS", "auto"), namespace=NAMESPACE, logging_level=logging.WARNING)
        except ConnectionError as error:
            raise Unreachable(
                f"No Ray answers here, although this is said to run in cluster {self.cluster!r}.",
                "Outside a cluster, unset JUPYTER_KUBERAY_INSIDE.",
            ) from error
        self._ours = True


class InsideCluster(Cluster):
    """The cluster in which this process runs; what only the outside knows or can do is said to be so."""

    def __init__(self, name: str) -> None:
        self.name = name

    def attach(self, *, timeout: float = 300.0, progress: Progress | None = None, replace: bool = False) -> Attachment:
        """Make this process a driver of its cluster, if it is none.

        Raises
        ------
        Unreachable
            No Ray runs here.
        """
        held = attached()
        if isinstance(held, Inside) and held.alive:
            return held
        attachment = Inside(self.name)
        attachment._enter()
        hold(attachment)
        return attachment

    def status(self) -> ClusterStatus:
        """The nodes that run now; how many were asked for is not known here."""
        from jupyter_kuberay.status import ClusterStatus, Phase

        self.attach()
        import ray

        nodes = [_node(each) for each in ray.nodes() if each["Alive"]]
        workers = dict(Counter(node.group for node in nodes if node.group != "head"))
        return ClusterStatus(
            name=self.name,
            phase=Phase.READY,
            ready=workers,
            wanted=workers,
            gpus=int(ray.cluster_resources().get("GPU", 0)),
            ray_version=ray.__version__,
            nodes=tuple(nodes),
            notes=("Seen from inside the cluster: only what runs is known.",),
        )

    def wait(self, timeout: float = 300.0, progress: Progress | None = None) -> ClusterStatus:
        """The status: a cluster in which something runs can be used."""
        return self.status()

    def usage(self) -> Usage:
        """What Ray has given out of CPUs, GPUs and memory."""
        self.attach()
        import ray

        total, free = ray.cluster_resources(), ray.available_resources()
        used = {name: max(0.0, total.get(name, 0.0) - free.get(name, 0.0)) for name in ("CPU", "GPU", "memory")}
        return Usage(
            cpus_used=used["CPU"],
            cpus=total.get("CPU", 0.0),
            gpus_used=used["GPU"],
            gpus=total.get("GPU", 0.0),
            memory_used=int(used["memory"]),
            memory=int(total.get("memory", 0)),
        )

    def scale(self, workers: int, group: str = "", *, wait: bool = True, timeout: float = 300.0) -> ClusterStatus:
        self._only_outside("be scaled")

    def suspend(self) -> None:
        self._only_outside("be suspended")

    def resume(self, *, wait: bool = True, timeout: float = 300.0) -> ClusterStatus:
        return self.status()

    def logs(self, node: str = "", *, follow: bool = False, tail: int = 200) -> Iterator[str]:
        self._only_outside("show its nodes' logs")

    def down(self, *, wait: bool = True) -> None:
        self._only_outside("be taken down")

    def _only_outside(self, what: str) -> NoReturn:
        raise Conflict(f"Cluster {self.name!r} cannot {what} by what runs in it.", "Ask from outside: jupyter kuberay.")


def enter(here: str, name: str = "") -> Cluster:
    """Cluster ``here``, in which this process runs. `Conflict` where ``name`` is another."""
    if name and name != here:
        raise Conflict(f"This runs in cluster {here!r} and reaches no other.", f"Call connect() without {name!r}, or run it outside.")
    return InsideCluster(here)


def _node(told: dict[str, Any]) -> Node:
    labels = told.get("Labels") or {}
    group = "head" if _HEAD in told["Resources"] else str(labels.get(_GROUP) or "workers")
    return Node(name=str(told.get("NodeName") or told["NodeID"]), group=group, ready=True)


def _token() -> str:
    if told := os.environ.get("RAY_AUTH_TOKEN"):
        return told
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return Path(path).read_text().strip() if path else ""


def _nowhere(port: int) -> NoReturn:
    raise Unreachable(f"Port {port} is not asked for inside a cluster.", "Use Ray's own address.")
