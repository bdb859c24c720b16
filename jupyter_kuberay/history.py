"""The history of an application: its revisions as they are recorded, and when an earlier one was put in again. Pure.

A record holds all that is needed to put its revision in again, and never changes. Going back gives no new revision, and so no
record of that kind: that it happened is a record of its own beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from jupyter_kuberay import serveconfig
from jupyter_kuberay.errors import InvalidSpec, NotFound
from jupyter_kuberay.manifest import NAME
from jupyter_kuberay.observation import API_VERSION, PREFIX, Json, Kind
from jupyter_kuberay.revision import Again, Revision

APPLICATION = f"{PREFIX}/application"
# Of records that an earlier revision was put in again. Not `NAME`: by that revisions are found.
AGAIN = f"{PREFIX}/again"


def now() -> str:
    """This moment, as records are dated."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def record(service: Json, revision: Revision) -> Json:
    """The ControllerRevision that keeps ``revision`` for as long as its service is there."""
    data = revision.model_dump(mode="json", exclude={"current", "again"})
    return _kept(service, revision, f"r{revision.number}", NAME, data)


def record_again(service: Json, revision: Revision, again: Again, mark: str) -> Json:
    """The ControllerRevision that tells that ``revision`` was put in again; ``mark`` tells it from others of that revision."""
    data = {"number": revision.number, "application": revision.application, **again.model_dump(mode="json")}
    return _kept(service, revision, f"r{revision.number}-again-{mark}", AGAIN, data)


def _kept(service: Json, revision: Revision, suffix: str, label: str, data: Json) -> Json:
    metadata = service["metadata"]
    owner = {"apiVersion": API_VERSION, "kind": str(Kind.SERVICE), "name": metadata["name"], "uid": metadata["uid"], "controller": True}
    labels = {
        key: value for key, value in (metadata.get("labels") or {}).items() if key.startswith(f"{PREFIX}/") and key not in (NAME, AGAIN)
    }
    # A service's name has no dot, an application's neither: so no two of them share a record's name.
    other = revision.application not in ("", metadata["name"])
    stem = f"{metadata['name']}.{revision.application.replace('_', '.')}" if other else metadata["name"]
    return {
        "apiVersion": "apps/v1",
        "kind": str(Kind.REVISION),
        "metadata": {
            "name": f"{stem}-{suffix}",
            "labels": labels | {label: metadata["name"]} | ({APPLICATION: revision.application} if other else {}),
            "ownerReferences": [owner],
            **({"namespace": metadata["namespace"]} if metadata.get("namespace") else {}),
        },
        "revision": revision.number,
        "data": data,
    }


def recorded(records: Sequence[Json], service: Json, application: str = "") -> list[Revision]:
    """The revisions of an application, in order; the one that is asked for is marked, and there even without a record.

    Parameters
    ----------
    records
        ControllerRevisions of both kinds, of whatever application or service.
    service
        The RayService as it is now.
    application
        Default: as `serveconfig.chosen` says; where that cannot be said, the one that is called like the service.
    """
    name, text = str(service["metadata"]["name"]), str((service.get("spec") or {}).get("serveConfigV2") or "")
    try:
        application = application or serveconfig.chosen(text, name)
    except (InvalidSpec, NotFound):
        application = name
    own = [each for each in _of(records, service) if (each["data"].get("application") or name) == application]
    found: dict[int, Revision] = {}
    for each in own:
        if AGAIN not in _labels(each):
            revision = Revision(**each["data"])
            found[revision.number] = revision.model_copy(update={"application": application})
    try:
        current = serveconfig.read(text, application)
    except InvalidSpec:
        current = None
    if current is not None and current.number:
        found[current.number] = found.get(current.number, current).model_copy(update={"current": True})
    again = [each["data"] for each in own if AGAIN in _labels(each)]
    return [_with_returns(found[number], again) for number in sorted(found)]


def _of(records: Sequence[Json], service: Json) -> list[Json]:
    uid = service["metadata"]["uid"]
    return [each for each in records if any(owner.get("uid") == uid for owner in each["metadata"].get("ownerReferences") or [])]


def records_of(records: Sequence[Json], service: Json, application: str) -> list[str]:
    """The names of all records of one application."""
    name = str(service["metadata"]["name"])
    return [str(each["metadata"]["name"]) for each in _of(records, service) if (each["data"].get("application") or name) == application]


def _labels(record: Json) -> Json:
    return record["metadata"].get("labels") or {}


def _with_returns(revision: Revision, again: Sequence[Json]) -> Revision:
    mine = sorted((Again(**each) for each in again if each.get("number") == revision.number), key=lambda each: each.when)
    return revision.model_copy(update={"again": tuple(mine)})


def next_number(revisions: Sequence[Revision]) -> int:
    """Of the revision after all that there were."""
    return max((revision.number for revision in revisions), default=0) + 1


def current_number(revisions: Sequence[Revision]) -> int:
    """The number of the one that is asked for; 0 when none is known."""
    return next((revision.number for revision in revisions if revision.current), 0)


def replaced_number(revisions: Sequence[Revision]) -> int:
    """The number of the revision that was in before the current one came, for the first time or again; 0 when there was none."""
    events = [(each.when, each.number) for each in revisions] + [(again.when, each.number) for each in revisions for again in each.again]
    current = current_number(revisions)
    others = [number for _, number in sorted(events) if number != current]
    return others[-1] if others else 0


def number_before(revisions: Sequence[Revision], number: int) -> int:
    """The last number before ``number``, or `NotFound`."""
    found = max((revision.number for revision in revisions if revision.number < number), default=0)
    if not found:
        raise NotFound(f"There is no revision before revision {number}.", "Name two that there are.")
    return found


def earlier(revisions: Sequence[Revision], to: int | None = None) -> Revision:
    """The revision ``to``; default: the one before the current one. `NotFound` when there is none."""
    current = current_number(revisions)
    there = [revision for revision in revisions if (revision.number == to if to is not None else revision.number < current)]
    if not there:
        what = "no revision before the current one" if to is None else f"no revision {to}"
        numbers = ", ".join(str(revision.number) for revision in revisions)
        raise NotFound(f"The service has {what}.", f"There are: {numbers}." if numbers else "It has no revisions at all.")
    return there[-1]
