"""From documents with summaries, in any place and format, to checked Parquet splits."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.lifecycle._run import Json, LifecycleError, write_json

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from ray.data import Dataset

SPLITS = ("train", "validation", "test")
_READERS = {"parquet": "read_parquet", "jsonl": "read_json", "ndjson": "read_json", "json": "read_json", "csv": "read_csv"}
_COMPRESSED = (".gz", ".bz2", ".zst")


def prepare(
    source: str,
    run_dir: str,
    *,
    document: str = "document",
    summary: str = "summary",
    held_out: float = 0.1,
    limit: int | None = None,
) -> Json:
    """Read, check and split documents with their summaries into ``run_dir/data``.

    Rows with an empty text and repeated documents are left out and counted.
    The split of a document follows from its content, so that no document is
    ever in two splits, also when the data grow and are prepared again.

    Parameters
    ----------
    source
        A path or any fsspec URL, of a file or a folder: Parquet, JSON Lines or
        CSV by its ending, the last two also compressed (.gz).
    document, summary
        Names of the two columns.
    held_out
        Share of the documents for validation, and again for test; up to 0.45.
    limit
        Read no more rows than this.

    Returns
    -------
    What is also written to ``data/manifest.json``: path, rows by split, what was left out, lengths in words, seconds.

    Raises
    ------
    LifecycleError
        Nothing is there, of another format, a column is missing, or a split would be empty.
    """
    if not 0 < held_out <= 0.45:
        raise LifecycleError(f"held_out is {held_out}.", "Give a share above 0 and up to 0.45.")
    started = time.monotonic()
    folder = Path(run_dir) / "data"
    rows = _checked_columns(read(source), source, {"document": document, "summary": summary})
    if limit is not None:
        rows = rows.limit(limit)
    marked = rows.map_batches(mark, fn_kwargs={"held_out": held_out}, batch_format="pandas").materialize()
    kept, left_out = _without_repeats(marked)
    _write(kept, folder)
    lengths = _describe(folder)
    rows_by_split = {split: lengths[split].pop("rows") for split in SPLITS}
    manifest: Json = {
        "source": source,
        "path": str(folder),
        "rows": rows_by_split,
        "left_out": left_out,
        "words": lengths,
        "held_out": held_out,
        "seconds": round(time.monotonic() - started, 1),
    }
    empty = [split for split, count in rows_by_split.items() if not count]
    if empty:
        raise LifecycleError(f"No document is left for {', '.join(empty)}.", "Give more documents, or a larger held_out.")
    write_json(folder / "manifest.json", manifest)
    return manifest


def read(source: str) -> Dataset:
    """The rows of ``source`` (see `prepare`) as a Ray Dataset."""
    import fsspec
    import ray.data
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    quiet()
    try:
        filesystem, path = fsspec.core.url_to_fs(source)
        reader = _READERS[_format(path, filesystem)]
        opened = None if "file" in filesystem.protocol else PyFileSystem(FSSpecHandler(filesystem))
        return getattr(ray.data, reader)(path, filesystem=opened)
    except (FileNotFoundError, KeyError, ImportError, ValueError) as error:
        raise LifecycleError(f"{source} cannot be read: {error}.", "Check the path or URL, and that the nodes can reach it.") from error


def quiet() -> None:
    """Keep Ray Data's plans and progress bars out of what a phase prints."""
    import logging

    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # warns that they are off


def split_of(key: str, held_out: float = 0.1) -> str:
    """The split that the document with this content hash belongs to."""
    place = int(key[:8], 16) / 2**32
    if place < held_out:
        return "test"
    return "validation" if place < 2 * held_out else "train"


def content_key(document: str) -> str:
    """A hash of the document's words; case and white space do not count."""
    return hashlib.sha256(" ".join(document.lower().split()).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def mark(batch: pd.DataFrame, held_out: float) -> pd.DataFrame:
    """Add each row's content key and split; the key of a row that lacks a text is ""."""
    texts = {column: batch[column].astype(object) for column in ("document", "summary")}
    batch = batch.assign(**{column: found.where(found.notna(), "").astype(str).str.strip() for column, found in texts.items()})
    complete = (batch["document"] != "") & (batch["summary"] != "")
    keys = batch["document"].map(content_key).where(complete, "")
    return batch.assign(key=keys, split=keys.map(lambda key: split_of(key, held_out) if key else ""))


def _format(path: str, filesystem: Any) -> str:
    """The format that the name tells; of a folder, the names within."""
    names = [path]
    if filesystem.isdir(path):
        names = [name for name in filesystem.find(path) if not Path(name).name.startswith((".", "_"))]
    elif not filesystem.exists(path) and "*" not in path:
        raise FileNotFoundError("there is nothing")
    for name in names:
        for ending in _COMPRESSED:
            name = name.removesuffix(ending)
        ending = Path(name).suffix.lstrip(".").lower()
        if ending in _READERS:
            return ending
    raise ValueError(f"its name ends in none of {', '.join(sorted(_READERS))} (.gz may follow)")


def _checked_columns(rows: Dataset, source: str, columns: Mapping[str, str]) -> Dataset:
    schema = rows.schema()
    found = [] if schema is None else list(schema.names)
    missing = [name for name in columns.values() if name not in found]
    if missing:
        raise LifecycleError(
            f"{source} has no column {' and no column '.join(missing)}; it has {', '.join(found) or 'no columns'}.",
            "Name the columns to read with document= and summary=.",
        )
    selected = rows.select_columns(list(columns.values()))
    renamed = {given: ours for ours, given in columns.items() if given != ours}
    return selected.rename_columns(renamed) if renamed else selected


def _without_repeats(marked: Dataset) -> tuple[Dataset, Json]:
    """Of documents that are there several times, keep one.

    Only the keys (32 bytes a row) come to this process; of the rows themselves
    only the repeated ones, which are few. So no shuffle of the data is needed.
    """
    import pandas as pd

    batches = marked.select_columns(["key"]).iter_batches(batch_format="pandas", batch_size=None)
    keys = pd.concat([batch["key"] for batch in batches] or [pd.Series(dtype=str)])
    empty = int((keys == "").sum())
    counts = keys[keys != ""].value_counts()
    repeated = frozenset(counts[counts > 1].index)
    conflicting = 0
    kept = marked.map_batches(_only, fn_kwargs={"without": repeated | {""}}, batch_format="pandas")
    if repeated:
        import ray.data

        copies = marked.map_batches(_only, fn_kwargs={"among": repeated}, batch_format="pandas").to_pandas()
        conflicting = int((copies.groupby("key")["summary"].nunique() > 1).sum())
        first = copies.sort_values(["key", "summary", "document"]).drop_duplicates("key")
        kept = kept.union(ray.data.from_pandas(first))
    return kept, {"empty": empty, "repeated": int(counts[counts > 1].sum() - len(repeated)), "of_which_differ": conflicting}


def _only(batch: pd.DataFrame, among: frozenset[str] | None = None, without: frozenset[str] = frozenset()) -> pd.DataFrame:
    chosen = ~batch["key"].isin(without) if among is None else batch["key"].isin(among)
    return batch[chosen]


def _write(rows: Dataset, folder: Path) -> None:
    # The old splits go first: files of an earlier run beside the new ones would mix both.
    (folder / "manifest.json").unlink(missing_ok=True)
    for split in SPLITS:
        shutil.rmtree(folder / f"split={split}", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(str(folder), partition_cols=["split"])


def _describe(folder: Path) -> dict[str, Json]:
    return {split: _lengths(load_split(folder, split)) for split in SPLITS}


def load_split(folder: str | Path, split: str) -> pa.Table:
    """The rows of a split, ordered by key, so that they are the same however they were written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted((Path(folder) / f"split={split}").glob("*.parquet"))
    if not files:
        return pa.table({name: pa.array([], pa.string()) for name in ("document", "summary", "key")})
    return pa.concat_tables(pq.ParquetFile(file).read() for file in files).sort_by("key")


def _lengths(rows: pa.Table) -> Json:
    words = {column: [len(text.split()) for text in rows[column].to_pylist()] for column in ("document", "summary")}
    mean = {column: round(sum(counts) / len(counts), 1) if counts else 0.0 for column, counts in words.items()}
    return {"rows": rows.num_rows, **mean, "longest_document": max(words["document"], default=0)}
