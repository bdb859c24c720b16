"""A published model, as a person holds it: publish, ask, upgrade, roll back, unpublish; synchronous.

>>> import jupyter_kuberay as jk
>>> published = jk.publish("summarizer", app="jupyter_kuberay.serving.summarizer:app", model="runs/1/model")  # doctest: +SKIP
>>> published.url  # doctest: +SKIP
'http://127.0.0.1:24006/'
"""

from __future__ import annotations

import asyncio
import html
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.cluster import default_client
from jupyter_kuberay.errors import NotFound
from jupyter_kuberay.loop import run_sync

if TYPE_CHECKING:
    from jupyter_kuberay.client import Client
    from jupyter_kuberay.difference import Difference
    from jupyter_kuberay.exposure import Exposure
    from jupyter_kuberay.metering import Sample
    from jupyter_kuberay.publishing import Published
    from jupyter_kuberay.revision import Revision
    from jupyter_kuberay.rollout import Progress
    from jupyter_kuberay.spec import SecretKey
    from jupyter_kuberay.status import ServiceStatus


def publish(
    name: str,
    *,
    app: str,
    model: str | os.PathLike[str] = "",
    cluster: object = None,
    profile: str = "",
    workers: int | None = None,
    image: str | None = None,
    client: Client | None = None,
    settings: Mapping[str, Any] | None = None,
    replicas: int | None = None,
    gpus: float | None = None,
    exposure: Exposure | None = None,
    bearer: SecretKey | None = None,
    why: str = "",
    metrics: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    timeout: float | None = None,
    **more: Any,
) -> Published:
    """Publish a model as a service in one step, or put a new revision into the service that is there.

    Parameters
    ----------
    name
        The service's: up to 47 lower-case letters, digits and hyphens.
    app
        The Serve application, as "module:attribute" or "file.py:attribute"; its code goes along.
    model
        The weights: a path here, or a URI that the cluster can read.
    cluster
        What it runs on: a `ClusterSpec` or what stands for one; default: what ``profile``, ``workers`` and ``image`` say, and
        if nothing is said, the default profile for a new service, and the cluster that it has for one that is there.
    exposure, bearer
        As `jupyter_kuberay.publishing.publish` says; default: for a new service, the profile's (of ``cluster``, where that
        names one).
    settings, replicas, gpus, why, metrics, timeout, more
        As `jupyter_kuberay.publishing.publish` says; ``application``, ``route_prefix``, ``min_replicas``, ``max_replicas``, ``gates``,
        ``registry`` are among the others.

    Raises
    ------
    Failed
        It does not start, or did not pass its try-out. What was published before goes on answering.
    InvalidSpec, LimitExceeded, Conflict, TimedOut
        As there.
    """
    from jupyter_kuberay.publishing import publish

    client = client or default_client()

    async def decided_and_published() -> Published:
        where = await terms(client, name, cluster=cluster, profile=profile, workers=workers, image=image, exposure=exposure, bearer=bearer)
        return await publish(
            client.backend,
            name,
            app=app,
            model=os.fspath(model),
            settings=settings,
            replicas=replicas,
            gpus=gpus,
            why=why,
            metrics=metrics,
            progress=progress,
            timeout=timeout,
            **where,
            **more,
        )

    return run_sync(decided_and_published())


async def terms(
    client: Client,
    name: str,
    *,
    cluster: object = None,
    profile: str = "",
    workers: int | None = None,
    image: str | None = None,
    exposure: Exposure | None = None,
    bearer: SecretKey | None = None,
) -> dict[str, Any]:
    """What a service is to run on, how it is reached, and for whom it is: arguments of `jupyter_kuberay.publishing.publish`.

    Parameters are those of `publish`, with what its ``cluster`` and ``exposure`` say of their defaults.

    Raises
    ------
    NotFound
        There is no such profile.
    InvalidSpec, LimitExceeded, VersionMismatch
        It cannot be made, or the profile does not offer as much.
    """
    return await asyncio.to_thread(_terms, client, name, cluster, profile, {"workers": workers, "image": image}, exposure, bearer)


def _terms(
    client: Client,
    name: str,
    cluster: object,
    profile: str,
    asked: dict[str, Any],
    exposure: Exposure | None,
    bearer: SecretKey | None,
) -> dict[str, Any]:
    """Blocks: the user's name may have to be asked for over the network, and the machine for its GPUs."""
    unsaid = {"cluster": cluster is None and not profile and all(value is None for value in asked.values())}
    unsaid |= {"exposure": exposure is None, "bearer": bearer is None}
    spec = client.spec(cluster if cluster is not None else client.request(name, profile, **asked))
    offered = client.profile(spec.profile) if spec.profile else None
    return {
        "cluster": spec,
        "exposure": exposure or (offered.exposure if offered else None),
        "bearer": bearer or (offered.bearer if offered else None),
        "defaults": [what for what, is_unsaid in unsaid.items() if is_unsaid],
        "who": client.user,
    }


def rollback(
    name: str,
    to: int | None = None,
    *,
    application: str = "",
    why: str = "",
    client: Client | None = None,
    progress: Progress | None = None,
) -> Published:
    """Put an earlier revision in again: ``to``, or the one before the current one. ``why`` is kept with its history."""
    from jupyter_kuberay.published import rollback

    client = client or default_client()
    return run_sync(rollback(client.backend, name, to, application=application, who=client.user, why=why, progress=progress))


class Service:
    """A published service, by name."""

    def __init__(self, name: str, client: Client | None = None) -> None:
        self.name = name
        self._client = client or default_client()

    def status(self) -> ServiceStatus:
        """How it is now; `NotFound` if it is not there."""
        return run_sync(self._client.service(self.name))

    @contextmanager
    def reach(self, application: str = "") -> Iterator[str]:
        """The service's address from here, as "http://host:port", for as long as the context lasts.

        On Kubernetes, from outside, a tunnel carries it meanwhile; what `publish` gives as ``url`` is its address inside.
        It leads to the cluster that answers when it is opened: after a move to another one, open it anew.

        Parameters
        ----------
        application
            Whose route is added; default: the one that is called like the service.
        """
        from jupyter_kuberay.publishing import reach

        context = reach(self._client.backend, self.name, application)
        address = run_sync(context.__aenter__())
        try:
            yield address
        finally:
            run_sync(context.__aexit__(None, None, None))

    def revisions(self, application: str = "") -> list[Revision]:
        """All that was published as ``application`` (default: the one that is called like the service), the oldest first."""
        from jupyter_kuberay.published import revisions

        return run_sync(revisions(self._client.backend, self.name, application=application))

    def metrics(self) -> list[Sample]:
        """What its processes count, for Prometheus and for whoever asks once: Serve's metrics and the application's own.

        ``pandas.DataFrame(service.metrics())`` makes a table of it: name, value, labels.
        """
        from jupyter_kuberay.metering import metrics

        return run_sync(metrics(self._client.backend, self.name))

    def diff(self, before: int | None = None, after: int | None = None, *, application: str = "") -> Difference:
        """What two revisions differ in; default: the current one and the one before it."""
        from jupyter_kuberay.published import diff

        return run_sync(diff(self._client.backend, self.name, before, after, application=application))

    def rollback(self, to: int | None = None, *, application: str = "", why: str = "") -> Published:
        """Put an earlier revision in again: ``to``, or the one before the current one."""
        return rollback(self.name, to, application=application, why=why, client=self._client)

    def unpublish(self, application: str = "") -> None:
        """Remove it with its revisions and the cluster below it; with ``application`` that one only, unless it is the last one."""
        from jupyter_kuberay.published import unpublish

        run_sync(unpublish(self._client.backend, self.name, application=application))

    def __repr__(self) -> str:
        try:
            status = self.status()
        except NotFound:
            return f"<Service {self.name!r}: not there>"
        return f"<Service {self.name!r}: {status.phase}, revision {status.revision}>"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self)[1:-1])}</p>"
