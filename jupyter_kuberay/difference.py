"""What two revisions of an application differ in: code by file, settings by key, the model, metrics, replicas. Pure."""

from __future__ import annotations

import base64
import difflib
import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from jupyter_kuberay.revision import Revision

LONGEST_TEXT = 200_000  # characters of all files' differences together; what is longer is told without its lines

_MOST_BYTES = 50 * 2**20  # unpacked; what is published has less
# What of a revision is one value, and what it is called.
_FACTS = ("app", "model", "model_version")


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class FileChange(_Value):
    """One file of the code."""

    path: str
    change: Literal["added", "removed", "changed"]
    text: str = Field(default="", description="Its unified diff; '' where the file is no text, or all of them are too long.")


class Change(_Value):
    """One value; null where there is none."""

    key: str
    before: Any = None
    after: Any = None


class MetricChange(_Value):
    """One measure; null where it was not measured."""

    key: str
    before: float | None = None
    after: float | None = None
    difference: float | None = Field(default=None, description="After less before; null where one of them is not known.")


class Difference(_Value):
    """From one revision to another."""

    application: str
    before: int = Field(description="The number of the revision that is compared.")
    after: int = Field(description="The number of the one that it is compared with.")
    same_code: bool
    files: tuple[FileChange, ...] = ()
    code_note: str = Field(default="", description="Why the files cannot be told, where the code differs.")
    facts: tuple[Change, ...] = Field(default=(), description="Of app, model and model_version, those that differ.")
    settings: tuple[Change, ...] = ()
    scaling: tuple[Change, ...] = Field(default=(), description="Replicas, bounds of autoscaling, and GPUs.")
    metrics: tuple[MetricChange, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs at all."""
        return self.same_code and not (self.facts or self.settings or self.scaling or self.metrics)


def difference(before: Revision, after: Revision) -> Difference:
    """What has to change to get from ``before`` to ``after``.

    Of code that lies at a URI only its digest is compared.
    """
    same = (before.sha256, before.code if not before.sha256 else "") == (after.sha256, after.code if not after.sha256 else "")
    files, note = ((), "") if same else _files(before, after)
    old, new = (each.scaling.model_dump(exclude_none=True) for each in (before, after))
    return Difference(
        application=after.application or before.application,
        before=before.number,
        after=after.number,
        same_code=same,
        files=files,
        code_note=note,
        facts=_changes({key: getattr(before, key) or None for key in _FACTS}, {key: getattr(after, key) or None for key in _FACTS}),
        settings=_changes(before.settings, after.settings),
        scaling=_changes(old, new),
        metrics=_metrics(before.metrics, after.metrics),
    )


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    keys = dict.fromkeys([*before, *after])
    found = [Change(key=key, before=before.get(key), after=after.get(key)) for key in keys]
    # 1 and True are equal and not the same; a key that is there with null differs from one that is not.
    return tuple(each for each in found if (each.key in before, repr(each.before)) != (each.key in after, repr(each.after)))


def _metrics(before: Mapping[str, float], after: Mapping[str, float]) -> tuple[MetricChange, ...]:
    found = []
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if old != new:
            found.append(MetricChange(key=key, before=old, after=new, difference=None if old is None or new is None else new - old))
    return tuple(found)


def _files(before: Revision, after: Revision) -> tuple[tuple[FileChange, ...], str]:
    for each in (before, after):
        if not each.code:
            return (), f"Revision {each.number} has its code in the image, or at an address that is not kept with it."
        if "://" in each.code:
            return (), f"The code of revision {each.number} lies at {each.code}; only digests were compared."
    old, new = _unzipped(before.code), _unzipped(after.code)
    if old is None or new is None:
        return (), f"The code of revision {(before if old is None else after).number} cannot be read."
    found = [_file(path, old.get(path), new.get(path)) for path in sorted({*old, *new}) if old.get(path) != new.get(path)]
    if sum(len(each.text) for each in found) > LONGEST_TEXT:
        return tuple(each.model_copy(update={"text": ""}) for each in found), "The files differ in too many lines to show them."
    return tuple(found), ""


def _unzipped(code: str) -> dict[str, bytes] | None:
    try:
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(code, validate=True))) as archive:
            if sum(each.file_size for each in archive.infolist()) > _MOST_BYTES:
                return None
            return {name: archive.read(name) for name in archive.namelist()}
    except (ValueError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError):
        return None


def _file(path: str, before: bytes | None, after: bytes | None) -> FileChange:
    change: Literal["added", "removed", "changed"] = "added" if before is None else "removed" if after is None else "changed"
    return FileChange(path=path, change=change, text=_text(path, before, after))


def _text(path: str, before: bytes | None, after: bytes | None) -> str:
    try:
        old, new = ((content or b"").decode("utf-8") for content in (before, after))
    except UnicodeDecodeError:
        return ""
    if "\0" in old + new:
        return ""
    names = ("/dev/null" if before is None else f"a/{path}", "/dev/null" if after is None else f"b/{path}")
    lines: list[str] = []
    for line in difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), *names):
        lines.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(lines)
