"""Findings about KubeRay: its definitions, and whether its operator is at work. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from jupyter_kuberay.backends.kuberay.answers import Answers
from jupyter_kuberay.doctor.finding import Finding, bad, broken, ok, unseen
from jupyter_kuberay.errors import Forbidden, KubeRayError, Unreachable
from jupyter_kuberay.observation import API_VERSION, Json

_INSTALL = "Ask your administrator to install KubeRay 1.5 or later: the operator with its custom resource definitions."
_SEE_OPERATOR = "Ask your administrator whether the operator runs: kubectl get pods -A -l app.kubernetes.io/name=kuberay-operator"
_TRY = "Make sure by a suspended cluster, which is taken away again: jupyter kuberay doctor --try-out"
_TOKENS = "authOptions"

_SILENT_S = 10.0  # the operator has answered within one second wherever it was seen to work
_FRESH = timedelta(minutes=10)
_CONTROLLERS = ("raycluster-controller", "rayservice-controller", "rayjob-controller")


def definitions(answers: Answers) -> Finding:
    """Whether KubeRay is installed, and what its RayCluster knows."""
    check, groups, fields = "KubeRay", answers.groups, answers.fields
    if isinstance(groups, KubeRayError):
        return unseen(check, f"Which kinds there are cannot be asked: {groups.message}")
    if API_VERSION not in groups:
        older = sorted(group for group in groups if group.startswith("ray.io/"))
        what = f"only {', '.join(older)}" if older else "no RayCluster"
        return bad(check, f"KubeRay is not installed as it is needed: the API server knows {what}.", _INSTALL)
    if fields == frozenset() and isinstance(answers.resources, Unreachable):
        # Another kind of KubeRay's keeps the group alive: some definitions were removed, or could not be made.
        return bad(check, f"{API_VERSION} is there without a RayCluster. {answers.resources.message}", _INSTALL)
    if isinstance(fields, KubeRayError) or not fields:
        return ok(check, f"{API_VERSION} is there; what its RayCluster knows cannot be seen.")
    if _TOKENS not in fields:
        return bad(check, f"Its RayCluster knows no {_TOKENS}, so clusters would ask for no token: it is older than 1.5.", _INSTALL)
    return ok(check, f"{API_VERSION} is there{_since(fields)}.")


# Fields of a RayCluster's spec by which a release is known; the newest first.
_NEW_IN = (("1.7", "networkPolicy"), ("1.6", "upgradeStrategy"), ("1.5", _TOKENS))


def _since(fields: frozenset[str]) -> str:
    return next(
        (f"; its RayCluster has {field}, as that of KubeRay {release} or later" for release, field in _NEW_IN if field in fields), ""
    )


def operator(answers: Answers) -> Finding:
    """Whether the operator answers to what is there, as far as a user can see."""
    check, tried = "operator", answers.tried
    if isinstance(tried, float):
        return ok(check, f"It answered to a cluster that was made to try it within {tried:.1f} s.")
    if isinstance(tried, Forbidden):
        return unseen(check, f"It could not be tried: {tried.message}")
    if isinstance(tried, Unreachable):
        return bad(check, tried.message, tried.hint or _SEE_OPERATOR)
    if tried is not None:
        return broken(check, tried)
    resources, events = answers.resources, answers.events
    if isinstance(resources, KubeRayError):
        return unseen(check, f"There is nothing to tell it by: {resources.message}")
    now = answers.now or answers.here
    if now is None:
        return unseen(check, "There is no time to tell it by.", _TRY)
    told = [] if isinstance(events, KubeRayError) else events
    if waiting := [thing for thing in resources if _is_silent(thing, told, now)]:
        first = min(waiting, key=lambda thing: str(thing["metadata"]["creationTimestamp"]))
        age = (now - _time(first["metadata"]["creationTimestamp"])).total_seconds()
        what = f"{first['kind']} {first['metadata']['name']!r} was asked for {_ago(age)} ago, and nothing has happened since."
        return bad(check, what, _SEE_OPERATOR)
    signs = sorted(_signs(resources, told))
    if signs and now - signs[-1] < _FRESH:
        return ok(check, f"It was at work {_ago((now - signs[-1]).total_seconds())} ago.")
    last = f" It was last seen at work {_ago((now - signs[-1]).total_seconds())} ago." if signs else ""
    return unseen(check, f"Nothing has been asked of it lately.{last}", _TRY)


def _is_silent(thing: Json, events: list[Json], now: datetime) -> bool:
    metadata = thing["metadata"]
    old = (now - _time(metadata["creationTimestamp"])).total_seconds() > _SILENT_S
    about = {"kind": thing["kind"], "name": metadata["name"]}
    told = any(about.items() <= (event.get("involvedObject") or {}).items() for event in events)
    return old and not thing.get("status") and not told and not (thing.get("spec") or {}).get("managedBy")


def _signs(resources: list[Json], events: list[Json]) -> Iterator[datetime]:
    """When the operator was seen to do something."""
    for event in events:
        source = event.get("reportingComponent") or (event.get("source") or {}).get("component")
        if source in _CONTROLLERS and (when := event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp")):
            yield _time(when)
    for thing in resources:
        status = thing.get("status") or {}
        times = [status.get("lastUpdateTime"), *(each.get("lastTransitionTime") for each in status.get("conditions") or [])]
        yield from map(_time, filter(None, times))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
