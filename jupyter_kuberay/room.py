"""Whether there is room on a cluster for what is to be published, looked up before anything changes."""

from __future__ import annotations

import asyncio
import base64
import zlib
from collections.abc import Sequence

from jupyter_kuberay import fitting, serveconfig, source
from jupyter_kuberay.backends.base import Backend
from jupyter_kuberay.errors import InvalidSpec, KubeRayError
from jupyter_kuberay.fitting import Need, Nodes
from jupyter_kuberay.manifest import LOADER_IMPORT_PATH, parse_serve_config, read_cluster
from jupyter_kuberay.observation import Json, Kind, Observation
from jupyter_kuberay.revision import Revision
from jupyter_kuberay.shipment import weight_of
from jupyter_kuberay.source import Deployment
from jupyter_kuberay.spec import ClusterSpec
from jupyter_kuberay.status import service_status


async def check(
    backend: Backend,
    there: Observation | None,
    cluster: ClusterSpec | None,
    wanted: Revision,
    declared: Sequence[Deployment],
    config: str,
) -> None:
    """Raise `fitting.DoesNotFit` where it is certain that ``wanted`` finds no place.

    Parameters
    ----------
    there
        The service, if it is there.
    cluster
        What it is to run on, where that is another one than it has.
    declared
        The deployments of ``wanted``, as its source says.
    config
        The ``serveConfigV2`` that is to be put in.
    """
    found = await _nodes(backend, there, cluster)
    if not found:
        return
    name = f"cluster {service_status(there).cluster}" if there and cluster is None else "the cluster that is asked for"
    entries = parse_serve_config(config)["applications"]
    mine = next((each for each in entries if isinstance(each, dict) and each.get("name") == wanted.application), {})
    others = [need for each in entries if isinstance(each, dict) and each is not mine for need in _published(each)]
    before = _published(_entry(there, wanted.application)) if there and cluster is None else []
    needs = fitting.needs(declared, mine)
    fitting.refuse(needs, others, before, found, name)
    if there is not None and cluster is None and wanted.deployments:
        await _weights(backend, there, wanted, needs, found, name)


async def _weights(backend: Backend, there: Observation, wanted: Revision, needs: Sequence[Need], found: list[Nodes], name: str) -> None:
    """The new weights are loaded beside the old ones, in replicas that stay, where code and deployments do."""
    try:
        earlier = serveconfig.read(str(there.spec.get("serveConfigV2") or ""), wanted.application)
    except InvalidSpec:
        return  # it is a new application
    if earlier.args != wanted.args or earlier.model == wanted.model:
        return  # replicas are replaced, or nothing is loaded
    new, old = await asyncio.gather(*(asyncio.to_thread(weight_of, each.model) for each in (wanted, earlier)))
    replicas = sum(each.replicas for each in needs if each.name in wanted.deployments)
    if backend.name == "local":  # a node's memory is no limit here, and what answers now has its part already
        import psutil

        found, old, name = [Nodes(1, {"memory": float(psutil.virtual_memory().available)})], 0, "this machine"
    fitting.refuse_weights(replicas, new, old, found, name)


async def _nodes(backend: Backend, there: Observation | None, cluster: ClusterSpec | None) -> list[Nodes]:
    """Of the cluster that is asked for, or of the one that the service has now, whoever has scaled it; none where that is not known."""
    if cluster is None and there is not None:
        try:
            seen = await backend.get(Kind.CLUSTER, service_status(there).cluster)
            cluster = read_cluster(seen.resource)
        except KubeRayError:
            return []
    return fitting.nodes(cluster) if cluster else []


def _entry(there: Observation, application: str) -> Json:
    entries = parse_serve_config(str(there.spec.get("serveConfigV2") or "applications: []"))["applications"]
    return next((each for each in entries if isinstance(each, dict) and each.get("name", "default") == application), {})


def _published(entry: Json) -> list[Need]:
    """What an application that is there takes, as far as its code lies with it."""
    args = entry.get("args") if entry.get("import_path") == LOADER_IMPORT_PATH else None
    code, app = str((args or {}).get("code") or ""), str((args or {}).get("app") or "")
    declared: Sequence[Deployment] = ()
    if code and "://" not in code:
        try:
            declared = source.of_zip(app, base64.b64decode(code)).deployments
        except (InvalidSpec, ValueError, RuntimeError, zlib.error):
            declared = ()
    return fitting.needs(declared, entry)
