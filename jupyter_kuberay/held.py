"""What a person's variables hold on a cluster, which goes with the connection."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

_MOST_ITEMS = 1000  # of a list or mapping that are looked at


def names_lost(namespace: Mapping[str, Any]) -> list[str]:
    """Variables of a person's that hold object references or handles of actors, or hold some within a list, tuple, set or mapping."""
    if "ray" not in sys.modules:
        return []
    from ray import ObjectRef
    from ray.actor import ActorHandle
    from ray.util.client.common import ClientActorHandle, ClientActorRef, ClientObjectRef

    kinds = (ObjectRef, ActorHandle, ClientObjectRef, ClientActorRef, ClientActorHandle)
    return sorted(name for name, value in list(namespace.items()) if not name.startswith("_") and _holds(value, kinds))


def _holds(value: Any, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, kinds):
        return True
    if type(value) is dict:
        value = list(value.values())
    if type(value) not in (list, tuple, set, frozenset):
        return False
    return any(isinstance(item, kinds) for _, item in zip(range(_MOST_ITEMS), value, strict=False))
