"""Publishing a model: a service made, or one of its applications added or upgraded in place.

A revision reaches a service by its ``serveConfigV2`` alone, and only after all that can be known beforehand was looked at: its
gates, whether it fits, and whether it loads on the service's own cluster. `jupyter_kuberay.published` is about what is there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jupyter_kuberay import gates as judged
from jupyter_kuberay import history, room, serveconfig
from jupyter_kuberay.address import Address, address, reach, service_if_there
from jupyter_kuberay.backends.base import Backend
from jupyter_kuberay.comparison import change_of_service
from jupyter_kuberay.errors import Conflict, InvalidSpec
from jupyter_kuberay.exposure import Exposure
from jupyter_kuberay.fitting import needs
from jupyter_kuberay.manifest import parse_serve_config, read_service, service_bundle, service_pods
from jupyter_kuberay.observation import API_VERSION, Bundle, Json, Kind, Observation
from jupyter_kuberay.published import UPGRADE_SECONDS, Published, answering, config_of, diff, recorded, revisions, rollback, unpublish
from jupyter_kuberay.revision import Again, Revision
from jupyter_kuberay.rollout import Clock, Progress, Step, first, upgrade
from jupyter_kuberay.scaling import Scaling
from jupyter_kuberay.shipment import checked_settings, model_uri, packed, shared_folders
from jupyter_kuberay.source import Deployment
from jupyter_kuberay.spec import Application, ClusterSpec, Code, SecretKey, ServiceSpec

if TYPE_CHECKING:
    from jupyter_kuberay.registry import Registered

FIRST_SECONDS = 600.0  # a cluster may have to be brought up, and images pulled

__all__ = [
    "Address",
    "Again",
    "Published",
    "Revision",
    "Step",
    "address",
    "diff",
    "publish",
    "reach",
    "revisions",
    "rollback",
    "unpublish",
]


async def publish(
    backend: Backend,
    name: str,
    *,
    app: str,
    model: str = "",
    application: str = "",
    route_prefix: str | None = None,
    code: str | os.PathLike[str] | bool | None = None,
    settings: Mapping[str, Any] | None = None,
    deployments: Sequence[str] | None = None,
    replicas: int | None = None,
    min_replicas: int | None = None,
    max_replicas: int | None = None,
    target_ongoing_requests: float | None = None,
    downscale_delay_s: float | None = None,
    gpus: float | None = None,
    cluster: ClusterSpec | None = None,
    exposure: Exposure | None = None,
    bearer: SecretKey | None = None,
    defaults: Collection[str] = (),
    new_cluster: bool = False,
    code_store: str = "",
    try_out: bool = True,
    registry: str = "",
    allow_pickle: bool = False,
    gates: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    despite_gates: bool = False,
    who: str = "",
    why: str = "",
    metrics: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    timeout: float | None = None,
) -> Published:
    """Make a service of an application and a model, add an application to one, or put a new revision into the one that is there.

    Parameters
    ----------
    name
        The service's.
    app
        "module:attribute" (importable here, or in the image), or "file.py:attribute": a bound Serve application, or a
        function that makes one.
    model
        The weights' URI, or a path here; given to ``reconfigure`` as ``user_config["model"]``. Or a registered model, such as
        "models:/summarizer@champion": its alias is resolved once, and the version that it names then is recorded.
    application
        Which one of the service, each of which has revisions of its own; default: the one that is called like the service.
        One that is not there is added, and leaves the others alone.
    route_prefix
        Where a new application answers; default: "/" for the one that is called like the service, "/NAME" for others.
    code
        Default: found from ``app``. A folder, a zip, or a zip's URI instead. False: it is in the image already.
    settings
        Further entries of ``user_config``; changed in place, like the model.
    deployments
        The names of the deployments that take ``user_config``; default: as the source says.
    replicas, gpus
        Of the first of these deployments, and of each of its replicas; default: as the code says, or as before.
    min_replicas, max_replicas, target_ongoing_requests, downscale_delay_s
        Instead of ``replicas``: as many as its queue asks for; see `Scaling`.
    cluster
        What it runs on.
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
        Whether it is looked beforehand whether it fits on its cluster, and a revision of a service that is there is tried out
        there before it is put in.
    registry
        Where registered models are kept (MLflow's tracking URI); default: as MLflow is configured here.
    allow_pickle
        Whether a registered model's weights may be a pickle, which can run anything on the cluster.
    gates
        What its validation said: the path or URL of a ``validation.json``, or what is in it. A registered model tells its own.
    despite_gates
        Whether one that failed some of its gates is published all the same; its history then tells which.
    who, why, metrics
        Kept with the revision. Of a registered model its own metrics are kept, too.
    timeout
        Seconds for all of it; default: `FIRST_SECONDS` or `UPGRADE_SECONDS`.

    Raises
    ------
    InvalidSpec
        The application, its code, or the request cannot be right, it failed its gates (`gates.GatesFailed`), or it does not fit on its
        cluster (`fitting.DoesNotFit`). Nothing was changed.
    Refused, Forbidden
        On Kubernetes: the API server would not take the cluster that it is to run on. Nothing was changed.
    Failed
        The application does not start or did not pass its try-out; the message says why. A service that was made is
        removed, one that was there answers as before.
    Conflict
        Somebody else published meanwhile, or the service is there and cannot become what is asked for, or another application
        has the name or the route prefix. Nothing was changed.
    NotFound, Unreachable
        There is no such registered model, or its registry does not answer. Nothing was changed.
    TimedOut
        As `Failed`.

    Cancelling it removes a half-made service; an upgrade is either in or not, and the last step says which.
    """
    clock = Clock(progress)
    scaling = Scaling(
        replicas=replicas,
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        target_ongoing_requests=target_ongoing_requests,
        downscale_delay_s=downscale_delay_s,
        gpus=gpus,
    )
    registered = await _resolved(model, registry, allow_pickle, clock)
    failed = await asyncio.to_thread(_failed_gates, registered, gates, model)
    if not despite_gates:
        judged.refuse(failed, model)
    there = await service_if_there(backend, name)
    goal, move, words = _change(backend, there, cluster, exposure, bearer, defaults, new_cluster)
    for each in words:
        clock.tell("cluster", each)
    application, route_prefix, is_new = _place(there, name, application, route_prefix)
    found, text, sha256 = await asyncio.to_thread(packed, app, code, code_store)
    names = tuple(deployments) if deployments is not None else tuple(each.name for each in found.deployments if each.configurable)
    place = registered.model if registered else model
    wanted = Revision(
        number=1,
        application=application,
        app=found.app,
        code=text,
        sha256=sha256,
        model=model_uri(place, shared=_shared(backend, there, cluster)),
        model_version=registered.version if registered else "",
        settings=checked_settings(settings),
        deployments=names,
        who=who,
        when=history.now(),
        why=why,
        metrics={**(registered.metrics if registered else {}), **(metrics or {})},
        failed_gates=failed,
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
        entry = serveconfig.application(wanted, application, route_prefix=route_prefix, main=main, scaling=scaling)
        config = serveconfig.written({"applications": [entry]})
        wanted = _scaled(wanted, config)
        bundle = _bundle(name, wanted, entry, cluster, exposure, bearer)
        if try_out:
            await room.check(backend, None, cluster, wanted, found.deployments, config)
            await _rehearsed(backend, bundle.resource["metadata"], bundle.resource["spec"]["rayClusterConfig"], clock)
        seen = await first(backend, bundle, wanted, clock, timeout or FIRST_SECONDS)
    else:
        wanted = wanted.model_copy(update={"number": history.next_number(await recorded(backend, there, application))})
        config = config_of(there)
        if is_new:
            entry = serveconfig.application(wanted, application, route_prefix=route_prefix, main=main, scaling=scaling)
            config = serveconfig.added(config, entry)
        else:
            config = serveconfig.put_in(config, wanted, application, main=main, scaling=scaling)
        wanted = _scaled(wanted, config)
        if not is_new and _pauses(there, wanted, found.deployments, config):
            clock.tell("code", "What it is built of has changed, so its one replica is replaced; requests wait until the new one is there.")
        if try_out:
            await room.check(backend, there, goal, wanted, found.deployments, config)
        if move:
            await _rehearsed(backend, there.resource["metadata"], move, clock)
        limit = timeout or (FIRST_SECONDS if move else UPGRADE_SECONDS)
        seen = await upgrade(backend, there, wanted, config, clock, limit, try_out=try_out, is_new=is_new, move_to=move)
    return await answering(backend, seen, wanted, clock, found.example)


async def _resolved(model: str, uri: str, allow_pickle: bool, clock: Clock) -> Registered | None:
    """The version of a registered model that ``model`` means now; None where it is none."""
    if not model.startswith("models:/"):
        return None
    from jupyter_kuberay import registry

    found = await asyncio.to_thread(registry.resolve, model, tracking_uri=uri, allow_pickle=allow_pickle)
    clock.tell("code", f"{model} is {found.version}." if found.version != model else f"{model} lies at {found.model}.")
    return found


def _failed_gates(registered: Registered | None, gates: str | os.PathLike[str] | Mapping[str, Any] | None, model: str) -> tuple[str, ...]:
    """By the registry's word, and by what is given. Blocks."""
    told = tuple(registered.failed) if registered else ()
    if registered and registered.validated is False and not told:
        told = (f"{registered.version} is registered as one that did not pass.",)
    return told + (judged.read(gates, "" if registered else model) if gates is not None else ())


async def _rehearsed(backend: Backend, service: Json, pods: Json, clock: Clock) -> None:
    """On Kubernetes, let the API server say whether it would take the cluster, before anything is made or changed."""
    name = f"{service['name'][:40]}-dry-run"
    labels = {key: value for key, value in (service.get("labels") or {}).items() if key.startswith("jupyter-kuberay/")}
    resource = {"apiVersion": API_VERSION, "kind": str(Kind.CLUSTER), "metadata": {"name": name, "labels": labels}, "spec": pods}
    if left := await backend.rehearse(resource):
        clock.tell("code", left)


def _place(there: Observation | None, service: str, application: str, route_prefix: str | None) -> tuple[str, str, bool]:
    """The name of the application, where it answers, and whether it is a new one.

    Raises
    ------
    InvalidSpec, Conflict
        It cannot be called so, or answer there.
    """
    text, application = config_of(there) if there else "applications: []", application or service
    if there is not None and not any(each.ours for each in serveconfig.applications(text)):
        serveconfig.published(parse_serve_config(text))  # says that it is another tool's: its pods lack the loader
    is_there = next((each for each in serveconfig.applications(text) if each.name == application), None)
    if is_there is None:
        route_prefix = route_prefix or ("/" if application == service else f"/{application}")
        serveconfig.checked_place(application, route_prefix)
        return application, route_prefix, True
    if route_prefix not in (None, is_there.route_prefix):
        raise Conflict(
            f"Application {application!r} answers at {is_there.route_prefix!r}, not at {route_prefix!r}.",
            "Leave the route prefix out; or take the application out first, and publish it anew.",
        )
    return application, is_there.route_prefix, not is_there.ours


def _pauses(there: Observation, wanted: Revision, declared: Sequence[Deployment], config: str) -> bool:
    """Whether requests wait: Serve ends a replica before it starts the next, and there is no other. Weights alone are swapped."""
    if serveconfig.read(config_of(there), wanted.application).args == wanted.args:
        return False
    entry = serveconfig.published(parse_serve_config(config), wanted.application)
    return any(need.replicas == 1 for need in needs(declared, entry))


def _scaled(wanted: Revision, config: str) -> Revision:
    """With what the configuration says of its replicas, so that its history can tell."""
    return wanted.model_copy(update={"scaling": serveconfig.read(config, wanted.application).scaling})


def _bundle(
    name: str, wanted: Revision, entry: Json, cluster: ClusterSpec | None, exposure: Exposure | None, bearer: SecretKey | None
) -> Bundle:
    if cluster is None:
        raise InvalidSpec(f"There is no service {name!r}, and no cluster to make it on.", "Say what it needs in cluster.")
    # The loader is mounted even where the image has the application: try-outs need it, and a pod template cannot
    # change later without a second cluster.
    code = Code(source=wanted.code or "none", sha256=wanted.sha256 or "0" * 64)
    applications = (Application(name=entry["name"], route_prefix=entry["route_prefix"], import_path=wanted.app, code=code),)
    spec = ServiceSpec(name=name, cluster=cluster, applications=applications, bearer=bearer)
    bundle = service_bundle(spec, exposure)
    text = serveconfig.written({**spec.serve_options, "applications": [entry]})
    return bundle.model_copy(update={"resource": {**bundle.resource, "spec": {**bundle.resource["spec"], "serveConfigV2": text}}})


def _change(
    backend: Backend,
    there: Observation | None,
    cluster: ClusterSpec | None,
    exposure: Exposure | None,
    bearer: SecretKey | None,
    defaults: Collection[str],
    new_cluster: bool,
) -> tuple[ClusterSpec | None, Json | None, Sequence[str]]:
    """The other cluster that a service that is there is to move to, also as its rayClusterConfig, and what to say of it."""
    if there is None:
        return None, None, ()
    on_kubernetes = backend.name != "local"
    if not on_kubernetes:
        exposure = bearer = None
    goal, token, told = change_of_service(
        there, cluster, exposure, bearer, defaults=defaults, new_cluster=new_cluster, on_kubernetes=on_kubernetes
    )
    return goal, service_pods(goal, token) if goal else None, told


def _shared(backend: Backend, there: Observation | None, cluster: ClusterSpec | None) -> list[str]:
    """Which folders are the same here and on the service's cluster."""
    if backend.name == "local":
        return ["/"]
    below = read_service(there.resource).cluster if there else cluster
    return shared_folders(below) if below else []
