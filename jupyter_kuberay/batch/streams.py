"""What cells print, as a notebook can hold it: pieces joined, what a progress bar overwrote gone, and no more than an editor opens.

A cell that prints 100 MB makes a notebook that no browser opens. Its beginning and end stay in the
notebook, and the whole of it goes into a text file beside the output.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any, TextIO

from jupyter_kuberay.batch.places import Place
from jupyter_kuberay.errors import KubeRayError

LIMIT = 1_000_000  # characters of one cell in the notebook
TAIL = 100_000  # of them from its end

_RETURN = re.compile(r"[^\n]*\r(?!\n)(?=.)", re.DOTALL)


class Printed:
    """What one cell prints.

    Parameters
    ----------
    file
        Where everything goes once it is more than the notebook holds.
    """

    def __init__(self, file: Place, limit: int = LIMIT, tail: int = TAIL) -> None:
        self._file = file
        self._limit, self._tail_limit = limit, tail
        self._here = 0  # characters that are in the notebook
        self._all = 0
        self._spool: TextIO | None = None
        self._spooled: Path | None = None
        self._lost = ""  # why the file does not hold everything
        self._tail: list[str] = []
        self._tail_length = 0

    def add(self, outputs: list[Any], name: str, text: str) -> dict[str, Any] | None:
        """Take a piece. What has to be added to ``outputs`` as one of its own, or None if it went elsewhere."""
        self._all += len(text)
        if self._spool is None and self._here + len(text) > self._limit - self._tail_limit:
            self._begin_spool(outputs)
        if self._spool is not None:
            self._keep(text)
            return None
        last = outputs[-1] if outputs else None
        if last is not None and last["output_type"] == "stream" and last["name"] == name:
            before = len(last["text"])
            last["text"] = overwritten(last["text"], text)
            self._here += len(last["text"]) - before
            return None
        self._here += len(text)
        return {"output_type": "stream", "name": name, "text": overwritten("", text)}

    def end(self) -> dict[str, Any] | None:
        """The cell has ended: what comes at the end of its outputs, if anything. Blocks where that has to be uploaded."""
        if self._spool is None:
            return None
        tail = "".join(self._tail)[-self._tail_limit :]
        more = self._all - self._here - len(tail)
        try:
            self._close()
        except (OSError, KubeRayError) as error:
            self._lost = self._lost or str(error)
        where = f"and are lost: {self._lost}" if self._lost else f"all that this cell printed is in {self._file.name}"
        note = f"\n… {more:,} characters are left out here; {where} …\n"
        return {"output_type": "stream", "name": "stdout", "text": note + tail}

    def _begin_spool(self, outputs: list[Any]) -> None:
        if self._file.path is not None:
            self._spooled = self._file.path
        else:
            descriptor, path = tempfile.mkstemp(prefix="jupyter-kuberay-", suffix=".txt")
            os.close(descriptor)
            self._spooled = Path(path)
        self._spool = self._spooled.open("w", encoding="utf-8", errors="replace")
        for output in outputs:
            if output["output_type"] == "stream":
                self._spool.write(output["text"])

    def _close(self) -> None:
        assert self._spool is not None and self._spooled is not None
        try:
            self._spool.close()
            if self._file.path is None:
                self._file.put(self._spooled)
        finally:
            self._spool = None
            if self._file.path is None:
                self._spooled.unlink(missing_ok=True)

    def _keep(self, text: str) -> None:
        assert self._spool is not None
        if not self._lost:
            try:
                self._spool.write(text)
            except OSError as error:  # a full disk ends no run
                self._lost = error.strerror or str(error)
        self._tail.append(text)
        self._tail_length += len(text)
        while self._tail_length - len(self._tail[0]) > self._tail_limit:
            self._tail_length -= len(self._tail.pop(0))


def overwritten(before: str, text: str) -> str:
    """``before`` with ``text`` behind it, as a terminal shows it: what stands before a carriage return is overwritten.

    >>> overwritten("step 1\\r", "step 2\\r")
    'step 2\\r'
    >>> overwritten("a\\n", "b\\r\\n")
    'a\\nb\\r\\n'
    """
    if "\r" not in text and not before.endswith("\r"):
        return before + text
    head, newline, line = before.rpartition("\n")
    return head + newline + _RETURN.sub("", line + text)
