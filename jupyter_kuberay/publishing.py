"""Publishing a model: a service made, upgraded in place, and taken back to an earlier revision.

A revision reaches a service by its ``serveConfigV2`` alone, and only after it was tried out
on the service's own cluster.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jupyter_kuberay import revision as values
from jupyter_kuberay.address import Address, address, reach, service, service_if_there
from jupyter_kuberay.backends.base import Backend
from jupyter_kuberay.comparison import change_of_service
from jupyter_kuberay.errors import InvalidSpec, TimedOut
from jupyter_kuberay.exposure import Exposure
from jupyter_kuberay.manifest import NAME, read_service, service_bundle, service_pods
from jupyter_kuberay.observation import Bundle, Json, Kind, Observation
from jupyter_kuberay.revision import Revision
from jupyter_kuberay.rollout import Clock, Progress, Step, first, upgrade, watched
from jupyter_kuberay.shipment import checked_settings, model_uri, packed, shared_folders
from jupyter_kuberay.spec import Application, ClusterSpec, Code, SecretKey, ServiceSpec

FIRST_SECONDS = 600.0  # a cluster may have to be brought up, and images pulled
UPGRADE_SECONDS = 300.0
GONE_SECONDS = 60.0

__all__ = ["Address", "Published", "Revision", "Step", "address", "publish", "reach", "revisions", "rollback", "unpublish"]


@dataclass(frozen=True)
class Published:
    """A revision that answers."""

    name: str
    url: str
    revision: Revision
    call: str  # to paste into a shell or a notebook
    timeline: tuple[Step, ...]


async def publish(
    backend: Backend,
    name: str,
    *,
    app: str,
    model: str = "",
    code: str | os.PathLike[str] | bool | None = None,
    settings: Mapping[str, Any] | None = None,
    deployments: Sequence[str] | None = None,
    replicas: int | None = None,
    gpus: float | None = None,
    cluster: ClusterSpec | None = None,
    route_prefix: str = "/",
    exposure: Exposure | None = None,
    bearer: SecretKey | None = None,
    defaults: Collection[str] = (),
    new_cluster: bool = False,
    code_store: str = "",
    try_out: bool = True,
    who: str = "",
    why: str = "",
    metrics: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    timeout: float | None = None,
) -> Published:
    """Make a service of an application and a model, or put a new revision into the one that is there.

    Parameters
    ----------
    name
        The service's.
    app
        "module:attribute" (importable here, or in the image), or "file.py:attribute": a bound Serve application, or a
        function that makes one.
    model
        The weights' URI, or a path here; given to ``reconfigure`` as ``user_config["model"]``.
    code
        Default: found from ``app``. A folder, a zip, or a zip's URI instead. False: it is in the image already.
    settings
        Further entries of ``user_config``; changed in place, like the model.
    deployments
        The names of the deployments that take ``user_config``; default: as the source says.
    replicas, gpus
        Of the first of these deployments, and of each of its replicas; default: as the code says, or as before.
    cluster
        What it runs on.
    route_prefix
        Of a new service.
    exposure, bearer
        On Kubernetes: its address outside, and the token that whoever calls it has to show. On this machine it answers
        on loopback only, and asks for none.
    defaults
        Which of "cluster", "exposure" and "bearer" are only for a new service; one that is there keeps its own.
        What is not among them is refused where it is another than the service has, or moves it, see ``new_cluster``.
    new_cluster
        Whether a service that is there may move to another cluster, on Kubernetes: a second one is made beside the one that
        answers, and takes over once it does, too. The first step told says what that costs.
    code_store
        A URI of a folder for code that is too large for the service's configuration; the cluster must be able to read it.
    try_out
        Whether a revision of a service that is there is tried out before it is put in.
    who, why, metrics
        Kept with the revision.
    timeout
        Seconds for all of it; default: `FIRST_SECONDS` or `UPGRADE_SECONDS`.

    Raises
    ------
    InvalidSpec
        The application, its code, or the request cannot be right. Nothing was changed.
    Failed
        The application does not start or did not pass its try-out; the message says why. A service that was made is
        removed, one that was there answers as before.
    Conflict
        Somebody else published meanwhile, or the service is there and cannot become what is asked for. Nothing was changed.
    TimedOut
        As `Failed`.

    Cancelling it removes a half-made service; an upgrade is either in or not, and the last step says which.
    """
    clock = Clock(progress)
    there = await service_if_there(backend, name)
    move, words = _change(backend, there, cluster, exposure, bearer, defaults, new_cluster)
    for each in words:
        clock.tell("cluster", each)
    found, text, sha256 = await asyncio.to_thread(packed, app, code, code_store)
    names = tuple(deployments) if deployments is not None else tuple(each.name for each in found.deployments if each.configurable)
    wanted = Revision(
        number=1,
        app=found.app,
        code=text,
        sha256=sha256,
        model=model_uri(model, shared=_shared(backend, there, cluster)),
        settings=checked_settings(settings),
        deployments=names,
        who=who,
        when=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        why=why,
        metrics=dict(metrics or {}),
        current=True,
    )
    main = next((each.name for each in found.deployments if not names or each.name in names), "")
    files = f"{len(found.files)} file{'' if len(found.files) == 1 else 's'}"
    clock.tell("code", f"{found.app}: {files}, {len(text)} characters." if text else f"{found.app} is in the image.")
    if there is None:
        if backend.name == "local" and (exposure or bearer):
            clock.tell("code", "Addresses outside and tokens of callers are for Kubernetes: here it answers on loopback only.")
            exposure = bearer = None
        if exposure and not bearer and cluster:
            clock.tell("code", f"Whoever reaches {exposure.url(name, cluster.user)} may call it: it asks for no token.")
        options = {"main": main, "route_prefix": route_prefix, "replicas": replicas, "gpus": gpus}
        bundle = _bundle(name, wanted, cluster, exposure, bearer, **options)
        seen = await first(backend, bundle, wanted, clock, timeout or FIRST_SECONDS)
    else:
        wanted = wanted.model_copy(update={"number": values.next_number(await _recorded(backend, there))})
        seen = await upgrade(
            backend,
            there,
            wanted,
            clock,
            timeout or (FIRST_SECONDS if move else UPGRADE_SECONDS),
            try_out=try_out,
            move_to=move,
            main=main,
            replicas=replicas,
            gpus=gpus,
        )
    return await _published(backend, seen, wanted, clock, found.example)


async def rollback(
    backend: Backend, name: str, to: int | None = None, *, progress: Progress | None = None, timeout: float = UPGRADE_SECONDS
) -> Published:
    """Put revision ``to`` in again; default: the one before the current one.

    It is not tried out: it has run before. When it does not start now, the one that is in stays in.

    Raises
    ------
    NotFound
        There is no such service or revision.
    Failed, Conflict, TimedOut
        As in `publish`.
    """
    clock = Clock(progress)
    there = await service(backend, name)
    wanted = values.earlier(await _recorded(backend, there), to).model_copy(update={"current": True})
    seen = await upgrade(backend, there, wanted, clock, timeout, try_out=False, keep=False)
    return await _published(backend, seen, wanted, clock)


async def revisions(backend: Backend, name: str) -> list[Revision]:
    """All revisions of a service, the oldest first; `NotFound` when there is no such service."""
    return await _recorded(backend, await service(backend, name))


async def unpublish(backend: Backend, name: str, *, wait: bool = True, timeout: float = GONE_SECONDS) -> None:
    """Remove a service, its revisions, and the cluster below it."""
    await service(backend, name)
    await backend.delete(Kind.SERVICE, name)
    if not wait:
        return
    try:
        async with asyncio.timeout(timeout):
            async for _ in watched(backend, Kind.SERVICE, name):
                pass
    except TimeoutError:
        raise TimedOut(f"Service {name!r} is not gone after {timeout:.0f} s.", "Wait; its processes are being ended.") from None


def _bundle(
    name: str, wanted: Revision, cluster: ClusterSpec | None, exposure: Exposure | None, bearer: SecretKey | None, **options: Any
) -> Bundle:
    if cluster is None:
        raise InvalidSpec(f"There is no service {name!r}, and no cluster to make it on.", "Say what it needs in cluster.")
    # The loader is mounted even where the image has the application: try-outs need it, and a pod template cannot
    # change later without a second cluster.
    code = Code(source=wanted.code or "none", sha256=wanted.sha256 or "0" * 64)
    applications = (Application(name=name, import_path=wanted.app, code=code),)
    spec = ServiceSpec(name=name, cluster=cluster, applications=applications, bearer=bearer)
    bundle = service_bundle(spec, exposure)
    entry = values.application(wanted, name, **options)
    text = values.written({**spec.serve_options, "applications": [entry]})
    return bundle.model_copy(update={"resource": {**bundle.resource, "spec": {**bundle.resource["spec"], "serveConfigV2": text}}})


def _change(
    backend: Backend,
    there: Observation | None,
    cluster: ClusterSpec | None,
    exposure: Exposure | None,
    bearer: SecretKey | None,
    defaults: Collection[str],
    new_cluster: bool,
) -> tuple[Json | None, Sequence[str]]:
    """The other cluster that a service that is there is to move to, as its rayClusterConfig, and what to say of it."""
    if there is None:
        return None, ()
    on_kubernetes = backend.name != "local"
    if not on_kubernetes:
        exposure = bearer = None
    goal, token, told = change_of_service(
        there, cluster, exposure, bearer, defaults=defaults, new_cluster=new_cluster, on_kubernetes=on_kubernetes
    )
    return service_pods(goal, token) if goal else None, told


def _shared(backend: Backend, there: Observation | None, cluster: ClusterSpec | None) -> list[str]:
    """Which folders are the same here and on the service's cluster."""
    if backend.name == "local":
        return ["/"]
    below = read_service(there.resource).cluster if there else cluster
    return shared_folders(below) if below else []


async def _recorded(backend: Backend, service: Observation) -> list[Revision]:
    records = [each.resource for each in await backend.list(Kind.REVISION, {NAME: service.name})]
    return values.recorded(records, service.resource)


async def _published(backend: Backend, seen: Observation, wanted: Revision, clock: Clock, example: str | None = None) -> Published:
    found = await address(backend, seen, example)
    return Published(seen.name, found.url, wanted, found.call, tuple(clock.steps))
