"""What a person holds in a notebook: clusters and services, synchronous.

>>> from jupyter_kuberay import Cluster
>>> cluster = Cluster.up("alice-1", profile="cpu-small", workers=2)  # doctest: +SKIP
>>> cluster.run(sum, [1, 2, 3])  # doctest: +SKIP
6
>>> cluster.down()  # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import atexit
import html
import os
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_kuberay.errors import Conflict, NotFound
from jupyter_kuberay.loop import run_sync

if TYPE_CHECKING:
    from jupyter_kuberay.attach import Attachment
    from jupyter_kuberay.client import Client, Progress
    from jupyter_kuberay.observation import Usage
    from jupyter_kuberay.status import ClusterStatus

T = TypeVar("T")
CLUSTER_VARIABLE = "JUPYTER_KUBERAY_CLUSTER"
INSIDE_VARIABLE = "JUPYTER_KUBERAY_INSIDE"  # the cluster in which this process runs
_YOUNG_S, _OPENS_S = 120.0, 15.0

_client: Client | None = None


def default_client() -> Client:
    """The client that this process shares, made at its first use from the configuration."""
    global _client
    if _client is None:
        from jupyter_kuberay.client import Client

        _client = Client()
        atexit.register(_let_go, _client)
    return _client


def _let_go(client: Client) -> None:
    with suppress(Exception):  # the process ends; nobody could be told
        run_sync(_closed(client))


async def _closed(client: Client) -> None:
    async with asyncio.timeout(2):
        await client.close()


def client_of(backend: str = "") -> Client:
    """The shared client, or another where ``backend`` is not the one that it has."""
    client = default_client()
    if not backend or backend == client.backend.name:
        return client
    from jupyter_kuberay.client import Client

    other = Client.on(backend)
    atexit.register(_let_go, other)
    return other


class Cluster:
    """A Ray cluster of one's own, by name; it need not exist yet."""

    def __init__(self, name: str, client: Client | None = None) -> None:
        self.name = name
        self._client = client or default_client()

    @classmethod
    def up(
        cls,
        name_or_spec: object,
        *,
        profile: str = "",
        wait: bool = True,
        timeout: float = 300.0,
        progress: Progress | None = None,
        client: Client | None = None,
        **fields: Any,
    ) -> Cluster:
        """Bring a cluster up and wait until it is ready; one that is up already is taken.

        Parameters
        ----------
        name_or_spec
            A name, to which ``profile`` and ``fields`` (workers, gpus, cpu, memory, image, …) say more;
            or a whole `ClusterSpec`, or codeflare-sdk's ``ClusterConfiguration``.
        timeout
            In seconds.
        progress
            Called with the status and the seconds since the call, at each change.

        Raises
        ------
        InvalidSpec, LimitExceeded, NotFound, Conflict, Failed, TimedOut
            As `jupyter_kuberay.client.Client.up` says. Ctrl-C removes what was made.
        """
        client = client or default_client()
        spec = client.spec(client.request(name_or_spec, profile, **fields) if isinstance(name_or_spec, str) else name_or_spec)
        run_sync(client.up(spec, wait=wait, timeout=timeout, progress=progress))
        return cls(spec.name, client)

    def status(self) -> ClusterStatus:
        """How it is now; `NotFound` if it is not there."""
        return run_sync(self._client.cluster(self.name))

    def wait(self, timeout: float = 300.0, progress: Progress | None = None) -> ClusterStatus:
        """Wait until it is ready."""
        return run_sync(self._client.wait(self.name, timeout=timeout, progress=progress))

    def attach(self, *, timeout: float = 300.0, progress: Progress | None = None, replace: bool = False) -> Attachment:
        """Attach this kernel, so that Ray's own calls go to this cluster; waits until it is ready.

        Raises
        ------
        Conflict
            The kernel is attached to another cluster, and ``replace`` was not asked for.
        VersionMismatch, Forbidden, Unreachable
            As `jupyter_kuberay.attach.attach` says, within seconds.
        """
        from jupyter_kuberay.attach import attach

        run_sync(self._usable(timeout, progress))
        status = self.status()
        reach, opens = partial(self._client.reach, self.name), _OPENS_S if self._is_young(status) else 0.0
        return attach(reach, self.name, ray_version=status.ray_version, replace=replace, opens=opens)

    def _is_young(self, status: ClusterStatus) -> bool:
        """Whether its head may be ready and yet open its client port only in a moment, on a busy machine in seconds."""
        started = [datetime.fromisoformat(node.started) for node in status.nodes if node.group == "head" and node.started]
        return any((self._client.backend.now() - each).total_seconds() < _YOUNG_S for each in started)

    async def _usable(self, timeout: float, progress: Progress | None) -> None:
        await self._client.seen(self.name)
        await self._client.wait(self.name, until=lambda now: now.usable, timeout=timeout, progress=progress)

    def detach(self) -> None:
        """Let this kernel go of the cluster, which goes on."""
        from jupyter_kuberay.attach import attached

        held = attached()
        if held is not None and held.cluster == self.name:
            held.detach()

    def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run ``function(*args, **kwargs)`` whole on the cluster, printing here what it prints there.

        Ray Data and Ray Train work inside, as they do not through Ray Client.
        What it raises is raised here; Ctrl-C ends it there. Attaches if need be.
        """
        from jupyter_kuberay.attach import attached
        from jupyter_kuberay.run import run

        held = attached()
        if held is None or held.cluster != self.name or not held.alive:
            held = self.attach()
        return run(held, function, *args, **kwargs)

    def scale(self, workers: int, group: str = "", *, wait: bool = True, timeout: float = 300.0) -> ClusterStatus:
        """Ask for another number of workers in ``group`` (default: the only one), and wait until they are there."""
        run_sync(self._client.scale(self.name, workers, group))
        # Fewer are there only when those that are too many have gone.
        return run_sync(self._client.wait(self.name, until=lambda now: now.ready == now.wanted, timeout=timeout)) if wait else self.status()

    def suspend(self) -> None:
        """End its processes and keep the rest, so that `resume` brings it back."""
        run_sync(self._client.suspend(self.name))

    def resume(self, *, wait: bool = True, timeout: float = 300.0) -> ClusterStatus:
        """Start it again after `suspend` or after its head failed."""
        run_sync(self._client.resume(self.name))
        return self.wait(timeout) if wait else self.status()

    def logs(self, node: str = "", *, follow: bool = False, tail: int = 200) -> Iterator[str]:
        """Lines of a node's log (default: the head's)."""
        lines = self._client.logs(self.name, node, follow=follow, tail=tail)
        try:
            while True:
                try:
                    yield run_sync(_next(lines))
                except _End:
                    return
        finally:
            run_sync(_close(lines))

    def usage(self) -> Usage:
        """CPU, GPU and memory in use."""
        return run_sync(self._client.usage(self.name))

    def down(self, *, wait: bool = True) -> None:
        """Delete it with all that it holds."""
        self.detach()
        run_sync(self._client.down(self.name, wait=wait))

    def __repr__(self) -> str:
        try:
            status = self.status()
        except NotFound:
            return f"<Cluster {self.name!r}: not there>"
        return f"<Cluster {self.name!r}: {status.phase}, {_workers(status)}>"

    def _repr_html_(self) -> str:
        try:
            status = self.status()
        except NotFound:
            return f"<p>Cluster <b>{html.escape(self.name)}</b> is not there.</p>"
        cause = f"<br>{html.escape(status.cause.what)} {html.escape(status.cause.remedy)}" if status.cause else ""
        return f"<p>Cluster <b>{html.escape(self.name)}</b>: {status.phase}, {html.escape(_workers(status))}{cause}</p>"


def connect(name: str = "", client: Client | None = None, *, backend: str = "") -> Cluster:
    """Take a cluster that is there: ``name``, or the one that JUPYTER_KUBERAY_CLUSTER names, or the user's only one.

    In a program that runs in a cluster (JUPYTER_KUBERAY_INSIDE names it) it is that one; see `jupyter_kuberay.inside`.

    Parameters
    ----------
    backend
        "local" or "kuberay", where it is another than the configuration says.

    Raises
    ------
    NotFound
        There is none of that name, or none at all.
    Conflict
        There are several, and none is named; or this runs in another.
    """
    if client is None and (here := os.environ.get(INSIDE_VARIABLE)):
        from jupyter_kuberay.inside import enter

        return enter(here, name)
    client = client or client_of(backend)
    name = name or os.environ.get(CLUSTER_VARIABLE, "") or _only(client)
    run_sync(client.seen(name))
    return Cluster(name, client)


def _only(client: Client) -> str:
    names = [status.name for status in run_sync(client.clusters()) if not status.owner]
    if not names:
        raise NotFound("There is no cluster.", "Bring one up: jupyter kuberay up NAME, or Cluster.up(name).")
    if len(names) > 1:
        raise Conflict("There are several clusters.", f"Name one of: {', '.join(names)}.")
    return names[0]


def _workers(status: ClusterStatus) -> str:
    groups = [f"{status.ready[group]} of {wanted} {group}" for group, wanted in status.wanted.items()]
    simulated = ", simulated GPUs" if status.simulated_gpus and status.gpus else ""
    return (", ".join(groups) or "no workers") + simulated


class _End(Exception):
    pass


async def _next(lines: Any) -> str:
    try:
        return str(await anext(lines))
    except StopAsyncIteration:
        raise _End from None


async def _close(lines: Any) -> None:
    async with aclosing(lines):
        pass
