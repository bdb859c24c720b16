"""What a page is told: all that there is as plain JSON, and how a change makes the next of it. Pure.

``page/told.js`` does the same in the browser, so that a change travels alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from jupyter_kuberay.recording import shortened

if TYPE_CHECKING:
    from jupyter_kuberay.batch.records import RunRecord

# JSON; what did not change is the same object before and after.
Told: TypeAlias = Mapping[str, Any]
Change: TypeAlias = Mapping[str, Any]

NOTHING: Told = {
    "backend": "",
    "user": "",
    "synced": False,
    "problem": None,
    "since": "",
    "attached": "",
    "clusters": {},
    "services": {},
    "usage": {},
    "traffic": {},
    "publications": {},
    "runs": [],
}
_LONGEST_VALUE = 80  # characters, as a table has room for
ALL = "*"  # no name: those that a person made, not those below services and jobs
_NAMED = {"cluster": "clusters", "service": "services"}
_BESIDE = {"usage": "usage", "traffic": "traffic", "publication": "publications"}
_GOES_ALONG = {"cluster": "usage", "service": "traffic"}


@dataclass(frozen=True)
class Scope:
    """What one widget shows: everything, or one thing by name."""

    cluster: str | None = ALL  # None: none
    service: str | None = ALL
    runs: str | None = None  # of this group

    def has(self, change: Change) -> bool:
        """Whether ``change`` is one of what is shown."""
        kind = change["type"]
        if kind == "runs":
            return self.runs is not None
        if kind in ("problem", "attached"):
            return True
        name = change.get("name") or (change.get("status") or {}).get("name", "")
        if kind in ("status", "gone"):
            owner = (change.get("status") or {}).get("owner", "")
            return change["kind"] in _NAMED and self._names(_NAMED[change["kind"]], name, owner)
        return kind in _BESIDE and self._names("clusters" if kind == "usage" else "services", name)

    def narrowed(self, change: Change) -> Change:
        """Of a change that tells all, what is shown."""
        return {**change, "runs": self.among(change["runs"])} if change["type"] == "runs" else change

    def among(self, runs: list[Any]) -> list[Any]:
        """Of ``runs`` those that are shown."""
        return [run for run in runs if self.runs in (ALL, run["group"])]

    def _names(self, which: str, name: str, owner: str = "") -> bool:
        wanted = self.cluster if which == "clusters" else self.service
        return name == wanted or (wanted == ALL and not owner)

    def of(self, told: Told) -> Told:
        """What of ``told`` is shown."""
        clusters = {name: one for name, one in told["clusters"].items() if self._names("clusters", name, one["owner"])}
        services = {name: one for name, one in told["services"].items() if self._names("services", name)}
        return {
            **told,
            "clusters": clusters,
            "services": services,
            "usage": {name: one for name, one in told["usage"].items() if self._names("clusters", name)},
            "traffic": {name: one for name, one in told["traffic"].items() if self._names("services", name)},
            "publications": {name: one for name, one in told["publications"].items() if self._names("services", name)},
            "runs": self.among(told["runs"]),
        }


def from_snapshot(snapshot: Mapping[str, Any], before: Told) -> Told:
    """``snapshot`` (as `Rest.look` answers, in JSON) as what is told; what it does not speak of stays as ``before``."""
    same = {key: snapshot[key] for key in ("backend", "user", "synced", "problem", "since")}
    if not snapshot["synced"] and before["synced"]:
        # What was known stays until all is known again.
        return {**before, **same, "synced": True}
    named = {key: {one["name"]: one for one in snapshot[key]} for key in ("clusters", "services", "publications")}
    return {**before, **same, **named, "usage": snapshot["usage"], "traffic": snapshot["traffic"]}


def run(record: RunRecord) -> dict[str, Any]:
    """What is told of a run."""
    values = {name: shortened(value, _LONGEST_VALUE) for name, value in record.values.items()}
    parameters = {name: shortened(value, _LONGEST_VALUE) for name, value in record.parameters.items()}
    kept = ("id", "notebook", "output", "cells", "done", "cell", "cluster", "started", "ended", "error", "hint", "group")
    return {name: getattr(record, name) for name in kept} | {"state": str(record.state), "parameters": parameters, "values": values}


def applied(told: Told, changes: Iterable[Change]) -> Told:
    """What is told after ``changes``."""
    for change in changes:
        told = _applied(told, change)
    return told


def _applied(told: Told, change: Change) -> Told:
    kind = change["type"]
    if kind == "status" and change["kind"] in _NAMED:
        return _with(told, _NAMED[change["kind"]], change["status"]["name"], change["status"])
    if kind == "gone" and change["kind"] in _NAMED:
        without = _without(told, _NAMED[change["kind"]], change["name"])
        return _without(without, _GOES_ALONG[change["kind"]], change["name"])
    if kind in _BESIDE:
        return _with(told, _BESIDE[kind], change["name"], change[kind])
    if kind == "problem":
        return {**told, "problem": change["problem"], "since": change["since"]}
    if kind == "attached":
        return {**told, "attached": change["name"]}
    if kind == "runs":
        return {**told, "runs": change["runs"]}
    return told


def _with(told: Told, key: str, name: str, value: Any) -> Told:
    return {**told, key: {**told[key], name: value}}


def _without(told: Told, key: str, name: str) -> Told:
    return {**told, key: {other: one for other, one in told[key].items() if other != name}}
