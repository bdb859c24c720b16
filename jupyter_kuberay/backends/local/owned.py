"""The RayCluster that a RayService or a RayJob brings: made, changed and made again as its owner asks."""

from __future__ import annotations

import os
from typing import Any

from jupyter_kuberay.backends.local.store import Kept, Store, event

Json = dict[str, Any]

_SPEC_OF = {"RayService": "rayClusterConfig", "RayJob": "rayClusterSpec"}
_FLEXIBLE = ("replicas", "minReplicas", "maxReplicas", "scaleStrategy", "suspend")
_FIXED = (
    "The cluster of a RayService is exchanged without a pause on Kubernetes only: "
    "here the change is taken over when the service is suspended and resumed."
)


def owned_cluster(store: Store, owner: Kept) -> Kept | None:
    """The RayCluster that ``owner`` has now."""
    return next((kept for kept in store.owned_by(owner.uid) if kept.kind == "RayCluster"), None)


def make_cluster(store: Store, owner: Kept, local: Json) -> Kept:
    """Give ``owner`` its RayCluster, with its token and ConfigMaps."""
    folder = store.folder(owner.kind, owner.name)
    maps = {path.name: {file.name: file.read_bytes() for file in path.iterdir()} for path in (folder / "configmaps").glob("*")}
    resource = cluster_resource(owner.resource, f"{owner.name}-{os.urandom(3).hex()[:5]}")
    return store.create(resource, token=store.token(owner.kind, owner.name), config_maps=maps, local=local)


def cluster_resource(owner: Json, name: str) -> Json:
    """The RayCluster of a RayService or RayJob, as KubeRay makes it. Pure."""
    metadata, kind = owner["metadata"], owner["kind"]
    # As observation.originated_from has it, which would bring pydantic into the supervisor's process.
    origin = {"ray.io/originated-from-cr-name": metadata["name"], "ray.io/originated-from-crd": kind}
    reference = {"apiVersion": owner["apiVersion"], "kind": kind, "name": metadata["name"], "uid": metadata["uid"], "controller": True}
    return {
        "apiVersion": owner["apiVersion"],
        "kind": "RayCluster",
        "metadata": {
            "name": name,
            "labels": {**(metadata.get("labels") or {}), **origin},
            "annotations": {**(metadata.get("annotations") or {})},
            "ownerReferences": [reference],
        },
        "spec": wanted_spec(owner),
    }


def wanted_spec(owner: Json) -> Json:
    """The RayCluster's spec as its owner asks for it. Pure."""
    spec = dict(owner["spec"].get(_SPEC_OF[owner["kind"]]) or {})
    if owner["spec"].get("suspend"):
        spec["suspend"] = True
    return spec


def follow(store: Store, owner: Kept, cluster: Kept) -> None:
    """Take a change of the owner over into its cluster, as far as that can be done while it runs."""
    now, wanted = cluster.resource["spec"], wanted_spec(owner.resource)
    if now == wanted:
        return
    if _rigid(now) != _rigid(wanted) and not now.get("suspend"):
        store.tell(owner.kind, owner.name, event("NotOnThisMachine", _FIXED))
        wanted = _flexed(now, wanted)
    if now != wanted:
        store.patch("RayCluster", cluster.name, [{"op": "replace", "path": "/spec", "value": wanted}])


def _rigid(spec: Json) -> Json:
    """What of a cluster cannot change while it runs. Pure."""
    groups = [{key: value for key, value in group.items() if key not in _FLEXIBLE} for group in spec.get("workerGroupSpecs") or []]
    return {key: value for key, value in spec.items() if key not in ("suspend", "workerGroupSpecs")} | {"workerGroupSpecs": groups}


def _flexed(now: Json, wanted: Json) -> Json:
    """``now`` with the numbers of ``wanted``. Pure."""
    numbers = {group["groupName"]: group for group in wanted.get("workerGroupSpecs") or []}
    groups = []
    for group in now.get("workerGroupSpecs") or []:
        rigid = {key: value for key, value in group.items() if key not in _FLEXIBLE}
        source = numbers.get(group["groupName"], group)
        groups.append(rigid | {key: source[key] for key in _FLEXIBLE if key in source})
    flexed = {**now, "workerGroupSpecs": groups}
    flexed.pop("suspend", None)
    return flexed | ({"suspend": True} if wanted.get("suspend") else {})
