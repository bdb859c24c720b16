"""The requests that a service has logged, as `jupyter_kuberay.serving` writes them: JSON Lines, one file after the other by replica."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.lifecycle._run import LifecycleError

if TYPE_CHECKING:
    import pandas as pd

# What each line holds; where no text is logged, the two texts are "".
COLUMNS = ("when", "request", "revision", "status", "seconds", "document_words", "summary_words", "document", "summary")
_FILES = "requests-*.jsonl"


def read_requests(log: str, window: int, since: datetime | None = None, storage_options: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """The newest requests below a folder or URL, the oldest first.

    Files are read from the newest on, until there are enough. A line that was cut off, by a replica that was killed, is passed over.

    Raises
    ------
    LifecycleError
        There is no such place, or nothing in it.
    """
    import fsspec
    import pandas as pd

    try:
        filesystem, folder = fsspec.core.url_to_fs(log, **(storage_options or {}))
        found = filesystem.glob(f"{folder.rstrip('/')}/{_FILES}", detail=True)
    except (OSError, ValueError, ImportError) as error:
        raise LifecycleError(f"{log} cannot be read: {error}.", "Give the place that the service logs its requests to.") from error
    if not found:
        raise LifecycleError(f"There is no request in {log}.", 'Publish with settings={"log": …}, and ask the service something.')
    rows: list[dict[str, Any]] = []
    for path in sorted(found, key=lambda path: _changed(found[path]), reverse=True):
        with filesystem.open(path, "rb") as file:
            rows.extend(_lines(file, since))
        if len(rows) >= 2 * window:  # replicas write side by side, so their files overlap
            break
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).dropna(axis="columns", how="all")
    for name in ("status", "seconds", "revision", "when"):
        if name not in frame:
            frame[name] = pd.Series(dtype=object)
    return frame.sort_values("when", kind="stable").tail(window).reset_index(drop=True)


def _lines(file: Any, since: datetime | None) -> Iterator[dict[str, Any]]:
    first = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S") if since else ""
    for line in file:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and str(row.get("when", "")) >= first:
            yield row


def _changed(about: Mapping[str, Any]) -> float:
    """When a file was last written, in whatever way its store says so."""
    for name in ("mtime", "LastModified", "updated", "last_modified"):
        value = about.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return 0.0
