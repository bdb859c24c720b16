"""What is asked for and what was seen, as files: one folder a resource.

    <data_dir>/<plural>/<name>/
        resource.json     what is asked for, with metadata as Kubernetes keeps it
        status.json       what its supervisor sees: status, nodes, events
        token             Ray's token, mode 0600
        configmaps/NAME/KEY
        logs/NODE.log

Everything is written whole (a draft that is renamed) under the folder's lock, and every
change rings the bell. Nothing is cached: any process of the user sees the same.
This module is loaded before Ray starts, so it imports nothing heavy.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_kuberay.backends.local.bell import Bell
from jupyter_kuberay.backends.local.files import explained, locked, read_json, remove_tree, write_bytes, write_json
from jupyter_kuberay.backends.patches import apply_patch
from jupyter_kuberay.backends.valid import check_name
from jupyter_kuberay.errors import Conflict, InvalidSpec, NotFound

Json = dict[str, Any]

PLURALS = {"RayCluster": "rayclusters", "RayService": "rayservices", "RayJob": "rayjobs", "ControllerRevision": "controllerrevisions"}
MAX_EVENTS = 100  # kept for a resource, newest first


@dataclass(frozen=True)
class Kept:
    """All that is known of one resource at one moment."""

    resource: Json  # without status
    status: Json = field(default_factory=dict)
    nodes: list[Json] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    version: int = 0  # of the status

    @property
    def kind(self) -> str:
        return str(self.resource["kind"])

    @property
    def name(self) -> str:
        return str(self.resource["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.resource["metadata"]["uid"])

    @property
    def deleting(self) -> bool:
        return "deletionTimestamp" in self.resource["metadata"]

    @property
    def whole(self) -> Json:
        """The resource with its status, and a resourceVersion that counts both."""
        metadata = self.resource["metadata"]
        version = str(int(metadata["resourceVersion"]) + self.version)
        whole = {**self.resource, "metadata": {**metadata, "resourceVersion": version}}
        return {**whole, "status": self.status} if self.kind != "ControllerRevision" else whole


class Store:
    """The folders below one data directory. Synchronous, and safe among processes."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self.bell = Bell(self.data_dir)

    # Look

    def folder(self, kind: str, name: str) -> Path:
        """Where a resource lies; `InvalidSpec` for a name that is none."""
        check_name(kind, name)
        return self.data_dir / PLURALS[kind] / name

    def names(self, kind: str) -> list[str]:
        """Of all resources of a kind, in order."""
        try:
            found = os.listdir(self.data_dir / PLURALS[kind])
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in found if not name.startswith("."))

    def find(self, kind: str, name: str) -> Kept | None:
        """What is known of a resource, or None."""
        folder = self.data_dir / PLURALS[kind] / name
        resource = read_json(folder / "resource.json")
        if resource is None:
            return None
        seen = read_json(folder / "status.json") or {}
        return Kept(resource, seen.get("status", {}), seen.get("nodes", []), seen.get("events", []), seen.get("version", 0))

    def read(self, kind: str, name: str) -> Kept:
        """What is known of a resource, or `NotFound`."""
        self.folder(kind, name)
        kept = self.find(kind, name)
        if kept is None:
            raise NotFound(f"There is no {kind} named {name!r} on this machine.", "List what there is, or create it.")
        return kept

    def all(self, kind: str) -> list[Kept]:
        """All of a kind, in the order of their names."""
        return [kept for name in self.names(kind) if (kept := self.find(kind, name))]

    def owned_by(self, uid: str) -> list[Kept]:
        """What goes when the resource with ``uid`` goes."""
        return [kept for kind in PLURALS for kept in self.all(kind) if any(owner.get("uid") == uid for owner in owners(kept.resource))]

    def stamp(self, kind: str, name: str) -> tuple[int, ...]:
        """Changes whenever the resource or its status does; empty when it is not there."""
        folder = self.data_dir / PLURALS[kind] / name
        stamps: list[int] = []
        for file in ("resource.json", "status.json"):
            with suppress(OSError):
                at = os.stat(folder / file)
                stamps += (at.st_mtime_ns, at.st_ino)
        return tuple(stamps)

    def token(self, kind: str, name: str) -> str:
        """Ray's token of a resource; "" when it has none."""
        try:
            return (self.folder(kind, name) / "token").read_text().strip()
        except (FileNotFoundError, NotADirectoryError):
            return ""

    # Change

    def create(
        self, resource: Json, *, token: str = "", config_maps: Mapping[str, Mapping[str, bytes]] | None = None, local: Json | None = None
    ) -> Kept:
        """Put a new resource down, all of it or nothing. ``local`` is what only this substrate knows of it.

        Raises `Conflict` when there is one of that name, `Refused` when the disk does not take it.
        """
        kind, name = str(resource.get("kind")), str((resource.get("metadata") or {}).get("name"))
        if kind not in PLURALS:
            raise InvalidSpec(f"kind is {kind!r}.", f"Allowed are {', '.join(PLURALS)}.")
        folder = self.folder(kind, name)
        metadata = {key: value for key, value in resource["metadata"].items() if key not in ("managedFields", "deletionTimestamp")}
        metadata |= {"uid": new_uid(), "creationTimestamp": now(), "resourceVersion": "1", "generation": 1}
        fresh = {**{key: value for key, value in resource.items() if key != "status"}, "metadata": metadata}
        with explained(self.data_dir):
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = folder.with_name(f".new-{os.getpid()}-{os.urandom(4).hex()}")
            try:
                self._fill(draft, fresh, token, config_maps or {}, local)
                draft.rename(folder)  # fails when there is one, so of two at once exactly one wins
            except OSError as error:
                shutil.rmtree(draft, ignore_errors=True)
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    raise Conflict(f"There is a {kind} named {name!r} already.", "Choose another name, or delete that one first.") from None
                raise
        self.bell.ring()
        return Kept(fresh)

    def _fill(self, folder: Path, resource: Json, token: str, config_maps: Mapping[str, Mapping[str, bytes]], local: Json | None) -> None:
        folder.mkdir(mode=0o700)
        if resource["kind"] != "ControllerRevision":
            (folder / "logs").mkdir(mode=0o700)
            write_bytes(folder / "token", (token or os.urandom(32).hex()).encode())
        for name, files in config_maps.items():
            check_name("ConfigMap", name)
            (folder / "configmaps" / name).mkdir(parents=True, mode=0o700)
            for key, content in files.items():
                check_name("ConfigMap key", key)
                write_bytes(folder / "configmaps" / name / key, content)
        if local is not None:
            write_json(folder / "local.json", local)
        write_json(folder / "resource.json", resource, durable=True)

    def patch(self, kind: str, name: str, patch: Sequence[Json]) -> Kept:
        """Change a resource by a JSON patch. What the supervisor sees cannot be changed so."""
        with self._changing(kind, name) as kept:
            wanted = apply_patch(kept.whole, patch)
            wanted.pop("status", None)
            if wanted == {**kept.resource, "metadata": kept.whole["metadata"]}:
                return kept
            resource = _next(kept.resource, wanted)
            write_json(self.folder(kind, name) / "resource.json", resource, durable=True)
        self.bell.ring()
        return Kept(resource, kept.status, kept.nodes, kept.events, kept.version)

    def mark_deleted(self, kind: str, name: str) -> Kept:
        """Say that a resource is to go. Whoever keeps it then ends it."""
        with self._changing(kind, name) as kept:
            if kept.deleting:
                return kept
            metadata = kept.resource["metadata"]
            metadata = {**metadata, "deletionTimestamp": now(), "resourceVersion": str(int(metadata["resourceVersion"]) + 1)}
            resource = {**kept.resource, "metadata": metadata}
            write_json(self.folder(kind, name) / "resource.json", resource)
        self.bell.ring()
        return Kept(resource, kept.status, kept.nodes, kept.events, kept.version)

    def write_status(self, kind: str, name: str, status: Json, nodes: Sequence[Json] = (), events: Sequence[Json] = ()) -> bool:
        """Tell what was seen. ``events`` are new ones; those told before are kept. False: nothing had changed."""
        with self._changing(kind, name) as kept:
            if kept.status == status and kept.nodes == [*nodes] and not events:
                return False
            told = [*reversed(events), *kept.events][:MAX_EVENTS]
            seen = {"version": kept.version + 1, "status": status, "nodes": [*nodes], "events": told}
            write_json(self.folder(kind, name) / "status.json", seen)
        self.bell.ring()
        return True

    def tell(self, kind: str, name: str, *events: Json) -> None:
        """Add events, and nothing else. The newest is not told twice in a row."""
        kept = self.read(kind, name)
        if kept.events and len(events) == 1 and _same(kept.events[0], events[0]):
            return
        with suppress(NotFound):
            self.write_status(kind, name, kept.status, kept.nodes, events)

    def remove(self, kind: str, name: str) -> None:
        """Forget a resource that nothing runs of any more."""
        remove_tree(self.folder(kind, name))
        self.bell.ring()

    @contextmanager
    def _changing(self, kind: str, name: str) -> Iterator[Kept]:
        folder = self.folder(kind, name)
        self.read(kind, name)
        with explained(folder):
            try:
                with locked(folder / "lock"):
                    yield self.read(kind, name)
            except FileNotFoundError:
                raise NotFound(f"There is no {kind} named {name!r} any more.") from None


def _next(before: Json, wanted: Json) -> Json:
    """``wanted`` as the successor of ``before``: what nobody may change stays, and what counts is counted."""
    old, new = before["metadata"], wanted.get("metadata") or {}
    if any(wanted.get(key) != before.get(key) for key in ("apiVersion", "kind")) or new.get("name") != old["name"]:
        raise InvalidSpec("A patch cannot change apiVersion, kind or name.", "Create another resource.")
    if before["kind"] == "ControllerRevision" and wanted.get("data") != before.get("data"):
        raise InvalidSpec("data of a ControllerRevision cannot change.", "Create another revision.")
    kept = {key: old[key] for key in ("uid", "creationTimestamp", "deletionTimestamp") if key in old}
    changed = any(wanted.get(key) != before.get(key) for key in ("spec", "data"))
    counted = {"resourceVersion": str(int(old["resourceVersion"]) + 1), "generation": old["generation"] + changed}
    return {**wanted, "metadata": {**new, **kept, **counted}}


def _same(one: Json, other: Json) -> bool:
    return all(one.get(key) == other.get(key) for key in ("reason", "message", "about"))


def owners(resource: Json) -> list[Json]:
    return resource["metadata"].get("ownerReferences") or []


def event(reason: str, message: str, *, warning: bool = False, about: str = "") -> Json:
    """Something that happened now, as `observation.Event` has it."""
    return {"reason": reason, "message": message, "warning": warning, "time": now(), "about": about}


def now() -> str:
    """RFC 3339, UTC, to the second, as Kubernetes writes times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_uid() -> str:
    digits = os.urandom(16).hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
