"""From a notebook's kernel to a cluster that runs: check, connect, hold, let go.

A kernel is attached to one cluster at a time, because Ray has one connection a
process. What is held meanwhile (a tunnel) is held here and ends here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias

from jupyter_kuberay.backends.base import CLIENT_PORT, DASHBOARD_PORT
from jupyter_kuberay.connection import Connection, lost
from jupyter_kuberay.errors import Conflict, KubeRayError
from jupyter_kuberay.loop import run_sync
from jupyter_kuberay.observation import Endpoint
from jupyter_kuberay.preflight import Versions, check_answer, check_versions, dashboard_versions, knock_until_open

# `Backend.reach` with the cluster's name given: a port of KubeRay's to where it answers from here.
Reach: TypeAlias = Callable[[int], AbstractAsyncContextManager[Endpoint]]

DASHBOARD_SECONDS = 0.5  # what the dashboard's word on versions may cost an attach; Ray checks them too, only later


class Attachment:
    """What a person holds while this process is attached to a cluster. `attach` makes it."""

    same = False  # whether what runs on the cluster has all that this process has

    def __init__(self, cluster: str, reach: Reach) -> None:
        self.cluster = cluster
        self._held = _Held(cluster, reach)
        self._connection: Connection | None = None
        # What the cluster was found to have; `run` keeps it here, because it is true for this connection only.
        self.inventory: dict[str, str | None] = {}
        self.output: Any = None  # the actor through which functions print
        self.lock = threading.Lock()

    @property
    def alive(self) -> bool:
        """Whether calls reach the cluster, as far as is known."""
        return self._connection is not None and self._connection.alive

    @property
    def lost_at(self) -> datetime | None:
        """When the connection was found to be lost, in local time; None while it lives, or after `detach`."""
        return self._connection.lost_at if self._connection is not None else None

    @property
    def address(self) -> str:
        """Ray Client's address from here, as ``ray://host:port``."""
        return f"ray://{self._held.endpoint(CLIENT_PORT).address}"

    @property
    def dashboard(self) -> str:
        """The dashboard's address from here, as ``http://host:port``; `Unreachable` while there is none."""
        return f"http://{self.dashboard_endpoint().address}"

    def dashboard_endpoint(self) -> Endpoint:
        """The same, with the token that it asks for."""
        return self._held.endpoint(DASHBOARD_PORT)

    @cached_property
    def job_id(self) -> str:
        """Ray's id of what runs on the cluster for this connection, in hexadecimal."""
        import ray

        return str(ray.get_runtime_context().get_job_id())

    def again(self) -> Attachment:
        """Attach to the same cluster once more, after the connection was lost; as `attach` says."""
        return attach(self._held.reach, self.cluster)

    def check(self) -> None:
        """Raise `Unreachable` unless the cluster is still there; takes milliseconds."""
        if self._connection is not None:
            self._connection.check()
        if not self.alive:
            raise lost(self.cluster)

    def missing(self, *names: str) -> list[str]:
        """Which of the packages ``names`` the cluster lacks; without names, of those that the notebook has imported."""
        from jupyter_kuberay.provision import missing

        return missing(self, names)

    def detach(self) -> None:
        """Let go of the cluster, which goes on; what runs on it for this session ends."""
        global _current
        with _lock:
            if _current is self:
                _current = None
        if self._connection is not None:
            self._connection.close()
        self._held.close()

    def _open(self, ray_version: str, opens: float) -> None:
        try:
            endpoint = self._held.endpoint(CLIENT_PORT)
            _preflight(self.cluster, endpoint, self._held, ray_version, opens)
            self._connection = Connection(self.cluster, endpoint, on_end=self._held.close)
            self._connection.open()
        except BaseException:
            self._held.close()
            raise

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()

    def __repr__(self) -> str:
        return f"<Attachment to {self.cluster!r}: {'connected' if self.alive else 'not connected'}>"


_lock = threading.RLock()
_current: Attachment | None = None


def attach(reach: Reach, cluster: str, *, ray_version: str = "", replace: bool = False, opens: float = 0.0) -> Attachment:
    """Attach this process to a cluster that is ready, so that Ray's own calls go there.

    Attaching again to the same cluster gives the same `Attachment` while its
    connection lives, and a new one after it was lost.

    Parameters
    ----------
    reach
        A port of KubeRay's to an endpoint, such as ``partial(backend.reach, name)``.
        What it opens stays open until the end of the attachment.
    cluster
        The name by which messages tell it, and by which two attachments are the same.
    ray_version
        What the cluster is known to run; ``""`` asks it.
    replace
        Let go of another cluster that is attached, instead of refusing.
    opens
        For so many seconds a port that refuses may still open: a head that has just started is ready before that.

    Raises
    ------
    Conflict
        This process is attached to another cluster, or to a Ray of its own.
    Forbidden
        The token is not this cluster's.
    Unreachable
        Nothing answers there.
    VersionMismatch
        Ray, or Python's minor version, differ between here and there.
    """
    global _current
    with _lock:
        before = _current
        if before is not None and before.alive and before._connection is not None:
            before._connection.check()
        if before is not None and before.alive:
            if before.cluster == cluster:
                return before
            if not replace:
                raise Conflict(
                    f"This kernel is attached to cluster {before.cluster!r}, and Ray has one connection a kernel.",
                    "Call detach() first, or attach with replace=True.",
                )
        if before is not None:
            before.detach()
        _refuse_a_foreign_ray()
        attachment = Attachment(cluster, reach)
        attachment._open(ray_version, opens)
        _current = attachment
        return attachment


def attached() -> Attachment | None:
    """What this process is attached to, its connection alive or lost; None if to nothing."""
    return _current


def hold(attachment: Attachment) -> None:
    """Have this process attached by an attachment that was made elsewhere, in place of any other."""
    global _current
    with _lock:
        if _current is not None and _current is not attachment:
            _current.detach()
        _current = attachment


def detach() -> None:
    """Let go of the cluster that this process is attached to, if any."""
    if _current is not None:
        _current.detach()


def _refuse_a_foreign_ray() -> None:
    import sys

    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        raise Conflict("This kernel is connected to a Ray that somebody started or connected to by hand.", "Call ray.shutdown() first.")


def _preflight(cluster: str, endpoint: Endpoint, held: _Held, ray_version: str, opens: float) -> None:
    """Raise what a person can act on before Ray takes half a minute to fail."""
    here = Versions.here()
    check_versions(cluster, Versions(ray=ray_version), here)
    with ThreadPoolExecutor(1, thread_name_prefix="jupyter-kuberay-preflight") as beside:
        # The dashboard knows both versions and comes up seconds after the client port: worth a question, not a wait.
        asked = beside.submit(_ask_dashboard, held)
        check_answer(cluster, endpoint, knock_until_open(endpoint, opens=opens))
        there = asked.result()
    if there is not None:
        check_versions(cluster, there, here)


def _ask_dashboard(held: _Held) -> Versions | None:
    try:
        return dashboard_versions(held.endpoint(DASHBOARD_PORT, seconds=DASHBOARD_SECONDS), seconds=DASHBOARD_SECONDS)
    except (KubeRayError, TimeoutError):
        return None


class _Held:
    """Endpoints that were asked for, kept open in the background until `close`."""

    def __init__(self, cluster: str, reach: Reach) -> None:
        self._cluster = cluster
        self.reach = reach
        self._stack = AsyncExitStack()
        self._endpoints: dict[int, Endpoint] = {}
        self._closed = False
        self._lock = threading.Lock()

    def endpoint(self, port: int, *, seconds: float | None = None) -> Endpoint:
        """Where ``port`` answers from here; `TimeoutError` when that takes longer than ``seconds`` to find out."""
        with self._lock:
            if self._closed:
                raise lost(self._cluster)
            if port not in self._endpoints:
                self._endpoints[port] = run_sync(self._open(port, seconds))
            return self._endpoints[port]

    async def _open(self, port: int, seconds: float | None) -> Endpoint:
        async with asyncio.timeout(seconds):
            return await self._stack.enter_async_context(self.reach(port))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            run_sync(self._stack.aclose())
