"""What is there, against what is asked for: where they differ, and what it would cost to bring one to the other. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from jupyter_kuberay.errors import Conflict
from jupyter_kuberay.exposure import Exposure
from jupyter_kuberay.manifest import URL, cluster_bundle, read_cluster, read_service
from jupyter_kuberay.observation import Json, Observation
from jupyter_kuberay.spec import ClusterSpec, SecretKey
from jupyter_kuberay.status import pods_and_gpus

# Of a service's cluster: who it is for and how long it may idle is nothing that its pods know of.
_ONLY_SAID = {"name", "user", "profile", "suspend", "idle_timeout", "queue", "simulated_gpus"}


def refuse_another(spec: ClusterSpec, there: Observation) -> None:
    """Raise `Conflict` when the RayCluster that is there was asked for otherwise."""
    differing = differences(_comparable(read_cluster(there.resource)), _comparable(spec))
    if differing:
        raise Conflict(
            f"Cluster {spec.name!r} is there already with another spec: {_shown(differing)}.",
            "Choose another name, take it down first, or scale it.",
        )


def change_of_service(
    there: Observation,
    cluster: ClusterSpec | None,
    exposure: Exposure | None,
    bearer: SecretKey | None,
    *,
    defaults: Collection[str],
    new_cluster: bool,
    on_kubernetes: bool,
) -> tuple[ClusterSpec | None, SecretKey | None, list[str]]:
    """What of a service that is there is to become another than it is.

    Parameters
    ----------
    cluster, exposure, bearer
        What is asked for; None: as it is.
    defaults
        Which of "cluster", "exposure" and "bearer" nobody asked for by name: they are a profile's, for a new service.
    new_cluster
        Whether a second cluster may be made, which then takes over.

    Returns
    -------
    The cluster that it is to move to and the token that callers are to show there, or None when it stays where it is; and
    what is to be said about it.

    Raises
    ------
    Conflict
        It would have to change in a way that was not allowed or is not possible; the message says which, and what it costs.
    """
    name, runs_on = there.name, read_service(there.resource)
    token = bearer if "bearer" not in defaults else None
    wanted = cluster if cluster is not None and "cluster" not in defaults else None
    address = exposure.url(name, runs_on.cluster.user) if exposure and "exposure" not in defaults else ""
    if address and address != (outside := str(_annotations(there).get(URL, ""))):
        raise Conflict(
            f"The address of service {name!r} outside is {outside or 'none'}, not {address}; it is given when a service is made.",
            "Unpublish it and publish it again, or make the Ingress or HTTPRoute yourself.",
        )
    differing = differences(_pods(runs_on.cluster), _pods(wanted)) if wanted else []
    if token is not None and token != runs_on.bearer:
        differing.append(("bearer", _secret(runs_on.bearer), _secret(token)))
    if not differing:
        return None, None, _forgone(there, runs_on.bearer, cluster, exposure, bearer)
    if not on_kubernetes:
        raise Conflict(
            f"Service {name!r} is there on another cluster than asked for: {_shown(differing)}.",
            "On this machine a service stays on its cluster: unpublish it first, or leave out what is not to change.",
        )
    goal = wanted or runs_on.cluster
    if replicas_only(differing):
        raise Conflict(
            f"Service {name!r} is there with other workers than asked for: {_shown(differing)}.",
            f"Scale its cluster: jupyter kuberay scale {_cluster_of(there)} N.",
        )
    cost = f"a second cluster beside the one that answers, which needs {needs(goal)} more until it has taken over and for a minute after"
    if not new_cluster:
        raise Conflict(
            f"Service {name!r} is there on another cluster than asked for: {_shown(differing)}. To change that makes {cost}.",
            "Allow it with new_cluster (--new-cluster), or leave out what is not to change.",
        )
    return goal, token or runs_on.bearer, [f"It moves, because {_shown(differing)}. That makes {cost}."]


def _forgone(
    there: Observation, has: SecretKey | None, cluster: ClusterSpec | None, exposure: Exposure | None, bearer: SecretKey | None
) -> list[str]:
    """What its profile says of new services by now, and this one is without."""
    if cluster is None or cluster.profile != read_service(there.resource).cluster.profile:
        return []
    lacks = []
    if bearer is not None and has is None:
        lacks.append("asks callers for no token")
    if exposure is not None and URL not in _annotations(there):
        lacks.append("has no address outside")
    return [f"It {' and '.join(lacks)}, as it was made before its profile said so; publish it anew for that."] if lacks else []


def needs(spec: ClusterSpec) -> str:
    """What a cluster takes, such as "3 pods and 2 GPUs"."""
    return pods_and_gpus(cluster_bundle(spec).resource["spec"])


def replicas_only(differing: Collection[tuple[str, Any, Any]]) -> bool:
    """Whether only numbers of workers differ, for which KubeRay makes no other cluster, and changes nothing in the one that is there."""
    return all(
        path.startswith("worker_groups[") and path.rpartition(".")[2] in ("replicas", "minimum", "maximum") for path, *_ in differing
    )


def differences(before: Any, after: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """Where two JSON-like values differ, as (path, before, after)."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = list(dict.fromkeys([*before, *after]))
        return [found for key in keys for found in differences(before.get(key), after.get(key), f"{path}.{key}".lstrip("."))]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [found for at, pair in enumerate(zip(before, after, strict=True)) for found in differences(*pair, f"{path}[{at}]")]
    return [] if before == after else [(path, before, after)]


def _shown(differing: Collection[tuple[str, Any, Any]]) -> str:
    return "; ".join(f"{path} is {before!r}, not {after!r}" for path, before, after in differing)


def _comparable(spec: ClusterSpec) -> Json:
    fields = spec.model_dump(mode="json", exclude={"suspend", "user"})
    fields["overrides"].pop("suspend", None)  # "suspend: false", where something was resumed, says nothing
    return fields


def _pods(spec: ClusterSpec) -> Json:
    return spec.model_dump(mode="json", exclude=_ONLY_SAID)


def _annotations(there: Observation) -> Json:
    return there.resource["metadata"].get("annotations") or {}


def _secret(key: SecretKey | None) -> str:
    return f"{key.secret}/{key.key}" if key else "none"


def _cluster_of(there: Observation) -> str:
    return str((there.status.get("activeServiceStatus") or {}).get("rayClusterName") or "CLUSTER")
