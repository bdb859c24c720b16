"""Patches of Kubernetes objects as people write them, and the patch between two objects.

A patch is a part of the object: mappings merge, None removes, and lists whose
elements Kubernetes tells apart by a key (containers by name, volume mounts by
path) merge by that key, with ``{"name": …, "$patch": "delete"}`` to remove one.
Other lists are replaced. ``[{"$patch": "replace"}, …]`` replaces a keyed list.
Source: Kubernetes' strategic merge patch, of which this is the part that is needed.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_KEYS = {
    "containers": "name",
    "deployments": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ports": "name",
    "volumeMounts": "mountPath",
    "volumes": "name",
    "workerGroupSpecs": "groupName",
}
_DIRECTIVE = "$patch"


def apply(base: Json, patch: Json) -> Json:
    """Give ``base`` with ``patch`` merged in; neither is changed.

    >>> apply({"a": 1, "env": [{"name": "X", "value": "1"}]}, {"a": None, "env": [{"name": "X", "value": "2"}]})
    {'env': [{'name': 'X', 'value': '2'}]}
    """
    merged = dict(base)
    for field, value in patch.items():
        if value is None:
            merged.pop(field, None)
        else:
            merged[field] = _merge(field, merged.get(field), value)
    return merged


def difference(base: Json, target: Json) -> Json:
    """Give the patch that makes ``target`` of ``base``: ``apply(base, difference(base, target)) == target``.

    ``target`` holds no None.
    """
    patch: Json = {field: None for field in base if field not in target}
    for field, value in target.items():
        if field not in base:
            patch[field] = value if apply({}, {field: value}) == {field: value} else _whole(field, value)
        elif base[field] != value:
            patch[field] = _change(field, base[field], value)
    return patch


def _merge(field: str, old: Any, new: Any) -> Any:
    if isinstance(new, dict):
        return apply(old if isinstance(old, dict) else {}, new)
    key = _KEYS.get(field)
    if key is None or not isinstance(new, list):
        return new
    if new and isinstance(new[0], dict) and new[0].get(_DIRECTIVE) == "replace":
        return new[1:]
    before = old if isinstance(old, list) else []
    if not (_keyed(before, key) and _keyed(new, key)):
        return new
    changes = {item[key]: item for item in new}
    merged = [_merged_item(item, changes.pop(item[key])) if item[key] in changes else item for item in before]
    added = [item for item in changes.values() if item.get(_DIRECTIVE) != "delete"]
    return [item for item in merged if item is not None] + added


def _merged_item(item: Json, change: Json) -> Json | None:
    return None if change.get(_DIRECTIVE) == "delete" else apply(item, change)


def _change(field: str, old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return difference(old, new)
    key = _KEYS.get(field)
    if key is None or not isinstance(new, list):
        return new
    if _keyed(old, key) and _keyed(new, key):
        patch = _list_change(key, old, new)
        if _merge(field, old, patch) == new:
            return patch
    return _whole(field, new)


def _list_change(key: str, old: list[Json], new: list[Json]) -> list[Json]:
    before, after = ({item[key]: item for item in items} for items in (old, new))
    gone = [{key: name, _DIRECTIVE: "delete"} for name in before if name not in after]
    changed = [{key: name} | difference(before[name], item) for name, item in after.items() if name in before and before[name] != item]
    return gone + changed + [item for name, item in after.items() if name not in before]


def _whole(field: str, new: Any) -> Any:
    return [{_DIRECTIVE: "replace"}, *new] if isinstance(new, list) and field in _KEYS else new


def _keyed(items: Any, key: str) -> bool:
    return (
        isinstance(items, list)
        and all(isinstance(item, dict) and isinstance(item.get(key), str) for item in items)
        and len({item[key] for item in items}) == len(items)
    )
