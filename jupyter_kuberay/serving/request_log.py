"""What was asked and answered, kept for monitoring: a sample of it, up to a size, with the texts or without.

One row a text, as a line of JSON: ``when`` (RFC 3339, UTC), ``request``, ``revision``, ``status``, ``seconds``, ``document`` and
``summary`` (what was asked and what was answered; "" where no text is kept), ``document_words``, ``summary_words``.
The files are ``requests-<replica>-<n>.jsonl``.
"""

from __future__ import annotations

import json
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_kuberay.serving.settings import Settings

_FLUSH_S = 1.0
_FILE_BYTES = 8 * 2**20  # of one file; at a URL, where nothing can be added to a file, a sixteenth of that
_WAITING = 5000  # rows at most, for a store that is slow
_END_S = 5.0

Lost = Callable[[str, int], None]


class RequestLog:
    """Of one replica. It never makes a request wait, and never makes one fail: what cannot be kept is counted, and said once."""

    def __init__(self, settings: Settings, replica: str, lost: Lost = lambda reason, rows: None) -> None:
        """Keep what ``settings`` say (log, log_share, log_text, log_max_bytes); ``lost`` is told a reason and a number of rows."""
        self.settings, self._lost = settings, lost
        self._rows: queue.Queue[dict[str, Any] | None] = queue.Queue(_WAITING)
        self._full = False
        self._said: set[str] = set()
        self._place = _place(settings.log, replica)
        self._thread = threading.Thread(target=self._write, name="request-log", daemon=True)
        self._thread.start()

    def keep(self, request: str, revision: object, status: int, seconds: float, documents: Sequence[str], answers: Sequence[Any]) -> None:
        """Keep one request, if it is in the sample; ``answers`` may be fewer than the documents."""
        if self._full or random.random() >= self.settings.log_share:
            return
        when = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        same = {"when": when, "request": request, "revision": revision, "status": status, "seconds": round(seconds, 4)}
        for index, document in enumerate(documents):
            answer = answers[index] if index < len(answers) else ""
            try:
                self._rows.put_nowait({**same, "document": document, "summary": answer})
            except queue.Full:
                self._lose("slow", len(documents) - index, "the store is slower than the requests are")
                return

    def close(self) -> None:
        """Write what is there, for some seconds at most."""
        try:
            self._rows.put(None, timeout=_END_S)
        except queue.Full:
            return
        self._thread.join(_END_S)

    def _lose(self, reason: str, rows: int, why: str) -> None:
        self._lost(reason, rows)
        if reason not in self._said:
            self._said.add(reason)
            logging.getLogger("ray.serve").warning("The request log at %s loses rows: %s.", self.settings.log, why)

    def _write(self) -> None:
        """The thread: rows are gathered for a second, and written together."""
        written, ended = 0, False
        while not ended:
            lines, ended = self._gathered()
            kept = []
            for line in lines:
                if written + len(line) > self.settings.log_max_bytes:
                    self._full = True
                    break
                written += len(line)
                kept.append(line)
            if kept:
                try:
                    self._place.add(kept)
                except Exception as error:  # a store can fail in whatever way its driver does
                    self._lose("unwritable", len(kept), f"{type(error).__name__}: {error}")
            if len(kept) < len(lines):
                self._lose("full", len(lines) - len(kept), f"log_max_bytes, {self.settings.log_max_bytes:,}, are written; it ends here")

    def _gathered(self) -> tuple[list[bytes], bool]:
        lines: list[bytes] = []
        until: float | None = None
        while True:
            try:
                row = self._rows.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
            except queue.Empty:
                return lines, False
            if row is None:
                return lines, True
            lines.append(self._line(row))
            until = until or time.monotonic() + _FLUSH_S

    def _line(self, row: dict[str, Any]) -> bytes:
        texts = {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in row.items() if name in ("document", "summary")
        }
        words = {f"{name}_words": len(value.split()) for name, value in texts.items()}
        if not self.settings.log_text:
            texts = dict.fromkeys(texts, "")
        # ASCII, so that half a character, which JSON can spell, is kept as it came.
        return json.dumps({**row, **texts, **words}).encode() + b"\n"


def _place(log: str, replica: str) -> _Folder | _Url:
    safe = "".join(each if each.isalnum() else "-" for each in replica)[-60:]
    if "://" in log and not log.startswith("file://"):
        return _Url(log.rstrip("/"), safe)
    return _Folder(Path(log.removeprefix("file://")).expanduser(), safe)


class _Folder:
    """Files that lines are added to."""

    def __init__(self, folder: Path, replica: str) -> None:
        self._folder, self._replica, self._number = folder, replica, 1

    def add(self, lines: Sequence[bytes]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path()
        while path.exists() and path.stat().st_size >= _FILE_BYTES:
            self._number += 1
            path = self._path()
        with path.open("ab") as file:
            file.write(b"".join(lines))

    def _path(self) -> Path:
        return self._folder / f"requests-{self._replica}-{self._number}.jsonl"


class _Url:
    """Objects of a store. The last one is put again with what has been added, until it is large enough."""

    def __init__(self, url: str, replica: str) -> None:
        self._url, self._replica, self._number = url, replica, 0
        self._content = b""

    def add(self, lines: Sequence[bytes]) -> None:
        import fsspec

        filesystem, path = fsspec.core.url_to_fs(self._url)
        if not self._number:
            filesystem.makedirs(path, exist_ok=True)
            self._number = 1
        content = self._content + b"".join(lines)
        filesystem.pipe_file(f"{path}/requests-{self._replica}-{self._number}.jsonl", content)
        self._content = content
        if len(content) >= _FILE_BYTES // 16:
            self._number, self._content = self._number + 1, b""
