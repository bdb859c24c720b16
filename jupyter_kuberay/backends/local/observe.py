"""From what lies in the folders to what is observed. Pure."""

from __future__ import annotations

from jupyter_kuberay.backends.local.store import Kept
from jupyter_kuberay.observation import Event, Node, Observation


def observed(kept: Kept) -> Observation:
    """What a backend tells of a resource."""
    return Observation(
        resource=kept.whole,
        nodes=tuple(Node(**node) for node in kept.nodes),
        events=tuple(Event(**event) for event in kept.events),
    )


def matches(kept: Kept, selector: dict[str, str]) -> bool:
    """Whether a resource's labels equal ``selector``, as far as that goes."""
    labels = kept.resource["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in selector.items())
