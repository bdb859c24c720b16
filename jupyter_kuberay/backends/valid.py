"""Which names a resource may have here: those that KubeRay takes, and nothing that leaves its folder."""

from __future__ import annotations

import re

from jupyter_kuberay.errors import InvalidSpec

_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KEY = re.compile(r"(?!\.\.)[-._a-zA-Z0-9]+")

_RULES = {
    "RayCluster": (_LABEL, 53),
    "RayService": (_LABEL, 47),
    "RayJob": (_LABEL, 47),
    "ControllerRevision": (_SUBDOMAIN, 253),
    "ConfigMap": (_SUBDOMAIN, 253),
    "ConfigMap key": (_KEY, 253),
}


def check_name(kind: str, name: str) -> None:
    """Raise `InvalidSpec` unless ``name`` is one for that kind."""
    pattern, longest = _RULES[kind]
    if len(name) > longest:
        raise InvalidSpec(f"The {kind} name {name!r} has {len(name)} characters.", f"At most {longest} are allowed.")
    if not pattern.fullmatch(name):
        raise InvalidSpec(f"{name!r} is no name for a {kind}.", "Use lower-case letters, digits and hyphens, beginning with a letter.")
