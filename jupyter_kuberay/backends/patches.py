"""RFC 6902 JSON patches: all of a patch or nothing. Pure."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from jupyter_kuberay.errors import Conflict, InvalidSpec

Json = dict[str, Any]

_HINT = "Look at the resource as it is now, and ask again."


def apply_patch(document: Json, patch: Sequence[Json]) -> Json:
    """A copy of ``document`` with every operation of ``patch`` done, in order.

    Raises
    ------
    Conflict
        A ``test`` failed.
    InvalidSpec
        An operation is unknown, or its path does not exist.
    """
    result = {"": copy.deepcopy(document)}  # so that the root, too, has a parent
    for operation in patch:
        _apply(result, operation)
    return result[""]


def _apply(root: Json, operation: Json) -> None:
    op, path = operation.get("op"), operation.get("path")
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise InvalidSpec(f"A patch's path must be a JSON pointer, and {path!r} is none.", "Begin it with '/'.")
    keys = _keys(path)
    if op == "test":
        found = _find(root, keys, path)
        if found != operation.get("value"):
            raise Conflict(f"{path} is {found!r} and not {operation.get('value')!r} any more.", _HINT)
    elif op == "remove":
        _remove(root, keys, path)
    elif op in ("add", "replace"):
        if "value" not in operation:
            raise InvalidSpec(f"The operation {op!r} on {path} has no value.", "Give it one.")
        if op == "replace":
            _find(root, keys, path)
        _put(root, keys, path, copy.deepcopy(operation["value"]), insert=op == "add")
    elif op in ("move", "copy"):
        origin = str(operation.get("from", ""))
        value = copy.deepcopy(_find(root, _keys(origin), origin))
        if op == "move":
            _remove(root, _keys(origin), origin)
        _put(root, keys, path, value, insert=True)
    else:
        raise InvalidSpec(f"A patch cannot {op!r}.", "Allowed are add, replace, remove, move, copy and test.")


def _keys(path: str) -> list[str]:
    return ["", *(part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:])]


def _absent(path: str) -> InvalidSpec:
    return InvalidSpec(f"There is no {path} to patch.", _HINT)


def _step(at: Any, key: str, path: str) -> Any:
    try:
        return at[_index(key)] if isinstance(at, list) else at[key]
    except (KeyError, IndexError, TypeError, ValueError):
        raise _absent(path) from None


def _index(key: str) -> int:
    if not (key.isascii() and key.isdigit()):
        raise ValueError(key)
    return int(key)


def _find(root: Json, keys: Sequence[str], path: str) -> Any:
    at: Any = root
    for key in keys:
        at = _step(at, key, path)
    return at


def _remove(root: Json, keys: Sequence[str], path: str) -> None:
    parent = _find(root, keys[:-1], path)
    _step(parent, keys[-1], path)
    if isinstance(parent, list):
        del parent[_index(keys[-1])]
    else:
        del parent[keys[-1]]


def _put(root: Json, keys: Sequence[str], path: str, value: Any, *, insert: bool) -> None:
    parent, key = _find(root, keys[:-1], path), keys[-1]
    if isinstance(parent, dict):
        parent[key] = value
        return
    try:
        at = len(parent) if key == "-" and insert else _index(key)
    except (TypeError, ValueError):
        raise _absent(path) from None
    if not isinstance(parent, list) or at > len(parent) - (not insert):
        raise _absent(path)
    if insert:
        parent.insert(at, value)
    else:
        parent[at] = value
