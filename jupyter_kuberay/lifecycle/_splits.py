"""The splits on disk: repeated documents taken out file by file, counted, hashed, and put in the place of the earlier ones."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.lifecycle._run import Json

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SPLITS = ("train", "validation", "test")
LEFT_OUT = "left_out"
_MARKS = ("digest", "reason", "document_words", "summary_words")  # columns that are needed no more in the end


@dataclass(frozen=True)
class Found:
    """What lies in the splits, and what does not."""

    rows: dict[str, int]
    left_out: dict[str, int]
    words: dict[str, Json]
    content: dict[str, str]  # by split, of its documents and summaries in whatever order
    read: int  # rows that there were


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A draft of the splits below ``folder``, which takes their place when all went well; otherwise they stay."""
    draft = folder / ".draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        # Without a manifest nobody takes half of the old and half of the new for whole.
        (folder / "manifest.json").unlink(missing_ok=True)
        for name in (*(f"split={split}" for split in SPLITS), LEFT_OUT):
            shutil.rmtree(folder / name, ignore_errors=True)
            if (draft / name).exists():
                (draft / name).rename(folder / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def tidy(draft: Path) -> Found:
    """Take repeated documents out of what was just written, and the marks, and say what there is.

    Of a document that is there several times the same row stays, in whatever order rows came. One file at a time is in memory,
    and of all rows their hashes.
    """
    import numpy as np
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    reasons: dict[str, int] = {}
    for path in sorted((draft / f"split={LEFT_OUT}").glob("*.parquet")):
        for counted in pc.value_counts(pq.ParquetFile(path).read(columns=["reason"])["reason"]).to_pylist():
            reasons[counted["values"]] = reasons.get(counted["values"], 0) + counted["counts"]
    if (draft / f"split={LEFT_OUT}").exists():
        (draft / f"split={LEFT_OUT}").rename(draft / LEFT_OUT)
    rows, words, content = {}, {}, {}
    repeated, differ, read = 0, 0, sum(reasons.values())
    for split in SPLITS:
        paths = sorted((draft / f"split={split}").glob("*.parquet"))
        kept = _Kept(paths)
        lengths = [kept.write(path) for path in paths]
        read, repeated, differ = read + kept.read, repeated + kept.read - len(kept.digests), differ + kept.differ
        rows[split] = len(kept.digests)
        content[split] = hashlib.sha256(np.sort(kept.digests).tobytes()).hexdigest()
        words[split] = _told(lengths, rows[split])
    left_out = {"empty": 0, **reasons, "repeated": repeated, "of_which_differ": differ}
    return Found(rows, left_out, words, content, read)


class _Kept:
    """Which rows of a split's files stay: of each document the one whose digest is the smallest, once."""

    def __init__(self, paths: list[Path]) -> None:
        import numpy as np

        hashes = [_hashes(path) for path in paths]
        keys = np.concatenate([keys for keys, _ in hashes]) if hashes else np.array([], "S32")
        digests = np.concatenate([digests for _, digests in hashes]) if hashes else np.array([], "S32")
        self.read = len(keys)
        order = np.lexsort((digests, keys))
        first = np.ones(len(order), bool)
        first[1:] = keys[order][1:] != keys[order][:-1]
        self.stays = np.zeros(len(order), bool)
        self.stays[order[first]] = True
        self.digests: np.ndarray[Any, Any] = digests[self.stays]
        self._repeated = np.unique(keys[order][~first])
        self._summaries: dict[bytes, set[bytes]] = {}
        self._at = 0

    @property
    def differ(self) -> int:
        """How many of the repeated documents have summaries that differ."""
        return sum(len(found) > 1 for found in self._summaries.values())

    def write(self, path: Path) -> tuple[int, int, int]:
        """Write the file's rows that stay; gives words of documents and of summaries, and of the longest document."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        table = pq.ParquetFile(path).read()
        stays = self.stays[self._at : self._at + table.num_rows]
        self._at += table.num_rows
        if len(self._repeated):
            self._note(table)
        table = table.filter(pa.array(stays))
        counts = [int(pc.sum(table[f"{column}_words"]).as_py() or 0) for column in ("document", "summary")]
        longest = int(pc.max(table["document_words"]).as_py() or 0)
        if table.num_rows:
            pq.write_table(table.drop_columns([name for name in _MARKS if name in table.column_names]), path)
        else:
            path.unlink()
        return counts[0], counts[1], longest

    def _note(self, table: pa.Table) -> None:
        import numpy as np

        keys = _fixed(table["key"])
        for row in np.flatnonzero(np.isin(keys, self._repeated)):
            summary = table["summary"][int(row)].as_py().encode("utf-8", "surrogatepass")
            self._summaries.setdefault(bytes(keys[row]), set()).add(hashlib.sha256(summary).digest())


def _hashes(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path).read(columns=["key", "digest"])
    return _fixed(table["key"]), _fixed(table["digest"])


def _fixed(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Hashes as 32 bytes each; Python's own strings take three times as much."""
    import numpy as np

    return np.asarray(column.to_numpy(), dtype="S32") if len(column) else np.array([], "S32")


def _told(lengths: list[tuple[int, int, int]], rows: int) -> Json:
    documents, summaries = sum(each[0] for each in lengths), sum(each[1] for each in lengths)
    mean = {"document": round(documents / rows, 1), "summary": round(summaries / rows, 1)} if rows else {"document": 0.0, "summary": 0.0}
    return {**mean, "longest_document": max((each[2] for each in lengths), default=0)}


def files(folder: Path) -> list[Json]:
    """The splits' files with rows, bytes and sha256, by which whoever has a copy knows that it is one."""
    import pyarrow.parquet as pq

    found = []
    for path in sorted(path for split in SPLITS for path in (folder / f"split={split}").glob("*.parquet")):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        rows = pq.ParquetFile(path).metadata.num_rows
        found.append({"path": str(path.relative_to(folder)), "rows": rows, "bytes": path.stat().st_size, "sha256": digest})
    return found


def load_split(folder: str | Path, split: str) -> pa.Table:
    """The rows of a split, ordered by key, so that they are the same however they were written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = sorted((Path(folder) / f"split={split}").glob("*.parquet"))
    if not paths:
        return pa.table({name: pa.array([], pa.string()) for name in ("document", "summary", "key")})
    return pa.concat_tables(pq.ParquetFile(path).read() for path in paths).sort_by("key")
