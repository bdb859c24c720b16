"""What a user must be allowed to do in their namespace, and what of it they are not. Pure.

This table is the only one: doctor asks by it, and a test holds deploy/role.yaml to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from jupyter_kuberay.names import object_name
from jupyter_kuberay.observation import Json

ROLE = "jupyter-kuberay-user"
_RBAC = "rbac.authorization.k8s.io"
_SERVICE_ACCOUNT = "system:serviceaccount:"


class Purpose(StrEnum):
    """What a right is needed for."""

    CLUSTERS = "clusters"
    TUNNEL = "the tunnel"
    LOGS = "logs"
    SERVICES = "publishing"
    JOBS = "jobs and try-outs"
    EXPOSING = "services' addresses outside"


@dataclass(frozen=True)
class Right:
    """Some verbs on one resource of one API group ("" is the core group)."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    purpose: Purpose

    def __str__(self) -> str:
        return f"{', '.join(self.verbs)} {self.resource}{'.' if self.group else ''}{self.group}"

    def split(self) -> list[Right]:
        """One for each verb."""
        return [replace(self, verbs=(verb,)) for verb in self.verbs]


_ALL = ("create", "delete", "get", "list", "patch", "watch")

NEEDED = (
    Right("ray.io", "rayclusters", _ALL, Purpose.CLUSTERS),
    Right("", "pods", ("get", "list", "watch"), Purpose.CLUSTERS),
    Right("", "events", ("list", "watch"), Purpose.CLUSTERS),
    # Ray's tokens.
    Right("", "secrets", ("get",), Purpose.CLUSTERS),
    # A websocket is asked for by get; from Kubernetes 1.35 on, create is asked for as well.
    Right("", "pods/portforward", ("create", "get"), Purpose.TUNNEL),
    Right("", "pods/log", ("get",), Purpose.LOGS),
    Right("ray.io", "rayservices", _ALL, Purpose.SERVICES),
    Right("apps", "controllerrevisions", _ALL, Purpose.SERVICES),
    # Server-side apply: it creates where there is nothing to patch.
    Right("", "configmaps", ("create", "patch"), Purpose.SERVICES),
    Right("ray.io", "rayjobs", _ALL, Purpose.JOBS),
)


# Only where a profile exposes services so. What was made goes with its RayService.
_EXPOSING = {
    "Ingress": Right("networking.k8s.io", "ingresses", ("create",), Purpose.EXPOSING),
    "HTTPRoute": Right("gateway.networking.k8s.io", "httproutes", ("create",), Purpose.EXPOSING),
}


def needed_with(routes: Iterable[str]) -> tuple[Right, ...]:
    """All that is needed where services are exposed by these kinds: "Ingress", "HTTPRoute"."""
    return (*NEEDED, *(_EXPOSING[kind] for kind in sorted({*routes})))


@dataclass(frozen=True)
class Allowed:
    """What of the needed rights there is."""

    lacking: tuple[Right, ...] = ()  # with the verbs that lack, and no others
    secrets: tuple[str, ...] = ()  # the only ones that may be read; () is all of the namespace's
    needed: tuple[Right, ...] = NEEDED


def allowed(rules: Iterable[Json], needed: Sequence[Right] = NEEDED) -> Allowed:
    """What the ``resourceRules`` of a SelfSubjectRulesReview allow of ``needed``."""
    rules = [*rules]
    lacking, secrets = [], set()
    for right in needed:
        missing = []
        for verb in right.verbs:
            covering = [rule for rule in rules if _covers(rule, right, verb)]
            names = {name for rule in covering for name in rule.get("resourceNames") or ()}
            whole = any(not rule.get("resourceNames") for rule in covering)
            if right.resource == "secrets" and names and not whole:
                secrets |= names
            elif not whole:
                missing.append(verb)
        if missing:
            lacking.append(replace(right, verbs=tuple(missing)))
    return Allowed(tuple(lacking), tuple(sorted(secrets)), tuple(needed))


def without(found: Allowed, granted: Callable[[Right], bool]) -> Allowed:
    """``found`` less what was ``granted``, asked verb by verb, all the same."""
    kept = []
    for right in found.lacking:
        verbs = tuple(one.verbs[0] for one in right.split() if not granted(one))
        if verbs:
            kept.append(replace(right, verbs=verbs))
    return replace(found, lacking=tuple(kept))


def _covers(rule: Json, right: Right, verb: str) -> bool:
    part = right.resource.partition("/")[2]
    resources = {"*", right.resource, *({f"*/{part}"} if part else ())}
    return (
        bool({"*", verb} & set(rule.get("verbs") or ()))
        and bool({"*", right.group} & set(rule.get("apiGroups") or ()))
        and bool(resources & set(rule.get("resources") or ()))
    )


def rules(needed: Sequence[Right] = NEEDED) -> list[Json]:
    """The rules of a Role; resources of one group with the same verbs share one."""
    shared: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for right in needed:
        shared.setdefault((right.group, right.verbs), []).append(right.resource)
    return [{"apiGroups": [group], "resources": [*resources], "verbs": [*verbs]} for (group, verbs), resources in shared.items()]


def role(namespace: str, user: str, needed: Sequence[Right] = NEEDED) -> list[Json]:
    """The Role with all that is needed, and what binds ``user`` (as the API server calls them) to it."""
    metadata = {"name": ROLE, "namespace": namespace}
    made: list[Json] = [{"apiVersion": f"{_RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": rules(needed)}]
    if user:
        reference = {"apiGroup": _RBAC, "kind": "Role", "name": ROLE}
        binding = {"name": object_name(ROLE, user), "namespace": namespace}
        made.append(
            {"apiVersion": f"{_RBAC}/v1", "kind": "RoleBinding", "metadata": binding, "roleRef": reference, "subjects": [_subject(user)]}
        )
    return made


def _subject(user: str) -> Json:
    if user.startswith(_SERVICE_ACCOUNT):
        namespace, _, name = user.removeprefix(_SERVICE_ACCOUNT).partition(":")
        return {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    return {"apiGroup": _RBAC, "kind": "User", "name": user}
