"""From documents with summaries, in any place and format, to checked Parquet splits; as a stream, whatever the data's size."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.lifecycle import _splits
from jupyter_kuberay.lifecycle._quality import LONGEST, judge, problems, schema
from jupyter_kuberay.lifecycle._run import Json, LifecycleError, write_json
from jupyter_kuberay.lifecycle._sources import explained, quiet, read, without_password
from jupyter_kuberay.lifecycle._splits import SPLITS, load_split

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa
    from ray.data import Dataset

__all__ = ["LONGEST", "SPLITS", "content_key", "load_split", "prepare", "quiet", "read", "schema", "split_of"]

_SHOWN = 1000  # characters of a text that was left out


def prepare(
    source: str,
    run_dir: str,
    *,
    document: str = "document",
    summary: str = "summary",
    held_out: float = 0.1,
    limit: int | None = None,
    query: str = "",
    keep: Sequence[str] = (),
    longest: int = LONGEST,
    checks: pa.DataFrameSchema | None = None,
    most_left_out: float = 0.2,
) -> Json:
    """Read, check and split documents with their summaries into ``run_dir/data``.

    Rows that fail a check and repeated documents are left out and counted; the former lie in ``data/left_out``, with the reason.
    The split of a document follows from its content, so that no document is ever in two splits, also when the data grow and are
    prepared again. Rows pass through in batches: what has to fit into memory is 64 bytes a row.

    Parameters
    ----------
    source
        A path or any URL of a file or a folder: Parquet, JSON Lines or CSV by its ending, the last two also compressed (.gz). With
        ``query`` a database's URL.
    document, summary
        Names of the two columns. What a model is to give for a text may also be a label.
    held_out
        Share of the documents for validation, and again for test; up to 0.45.
    limit
        Read no more rows than this.
    query
        A SELECT, where the source is a database.
    keep
        Further columns to keep, such as those by which an evaluation is to be split.
    longest
        Of a document, in characters.
    checks
        A pandera schema of the columns document and summary instead of `schema`; a check's name is the reason that is counted.
    most_left_out
        Which share of all rows may fail checks, from 0 to 1. Beyond it something is wrong with the source.

    Returns
    -------
    What is also written to ``data/manifest.json``: path, rows by split, what was left out, lengths in words, the files and their
    sha256, the content's sha256 by split, seconds.

    Raises
    ------
    LifecycleError
        Nothing is there, it cannot be read, a column is missing, too many rows fail the checks, or a split would be empty.
    """
    if not 0 < held_out <= 0.45:
        raise LifecycleError(f"held_out is {held_out}.", "Give a share above 0 and up to 0.45.")
    started = time.monotonic()
    folder = Path(run_dir) / "data"
    told = without_password(source)
    with _splits.replacing(folder) as draft, explained(source):
        rows = _checked_columns(read(source, query), told, {"document": document, "summary": summary}, keep)
        if limit is not None:
            rows = rows.limit(limit)
        marked = rows.map_batches(_Mark(held_out, checks or schema(longest)), batch_format="pandas")
        marked.write_parquet(str(draft), partition_cols=["split"])
        found = _splits.tidy(draft)
        judge(found.left_out, found.read, most_left_out)
        empty = [split for split in SPLITS if not found.rows[split]]
        if empty:
            raise LifecycleError(f"No document of {told} is left for {', '.join(empty)}.", "Give more documents, or a larger held_out.")
    manifest: Json = {
        "source": told,
        **({"query": query} if query else {}),
        "path": str(folder),
        "rows": found.rows,
        "left_out": found.left_out,
        "words": found.words,
        "held_out": held_out,
        "sha256": found.content,
        "files": _splits.files(folder),
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(folder / "manifest.json", manifest)
    return manifest


def split_of(key: str, held_out: float = 0.1) -> str:
    """The split that the document with this content hash belongs to."""
    place = int(key[:8], 16) / 2**32
    if place < held_out:
        return "test"
    return "validation" if place < 2 * held_out else "train"


def content_key(document: str) -> str:
    """A hash of the document's words; case and white space do not count."""
    return _digest(" ".join(document.lower().split()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def mark(batch: pd.DataFrame, held_out: float, wanted: pa.DataFrameSchema | None = None) -> pd.DataFrame:
    """Add to each row its content key, split, lengths in words, and the reason for which it is left out.

    A row with a reason has the key "" and is in the split ``left_out``, with the beginnings of its texts.
    """
    texts = {column: batch[column].astype(object) for column in ("document", "summary")}
    batch = batch.assign(**{column: found.where(found.notna(), "").astype(str).str.strip() for column, found in texts.items()})
    reason = problems(batch, wanted or schema())
    good = reason == ""
    keys = batch["document"].map(content_key).where(good, "")
    words = {f"{column}_words": batch[column].map(lambda text: len(text.split())).astype("int32") for column in ("document", "summary")}
    digests = (batch["document"] + "\0" + batch["summary"]).map(_digest)
    cut = {column: batch[column].where(good, batch[column].str[:_SHOWN]) for column in ("document", "summary")}
    split = keys.map(lambda key: split_of(key, held_out) if key else _splits.LEFT_OUT)
    return batch.assign(**cut, key=keys, digest=digests, **words, reason=reason, split=split)


class _Mark:
    """`mark` for Ray Data, which carries the schema to where batches are."""

    def __init__(self, held_out: float, wanted: pa.DataFrameSchema) -> None:
        self.held_out, self.wanted = held_out, wanted

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        from pyarrow import ArrowException

        try:
            return mark(batch, self.held_out, self.wanted)
        except ArrowException as error:
            # Readers of CSV and JSON pass bytes on as text; it is when they become strings that Arrow looks.
            raise UnicodeError("its text is not UTF-8") from error


def _checked_columns(rows: Dataset, source: str, columns: Mapping[str, str], keep: Sequence[str]) -> Dataset:
    schema: Any = rows.schema()
    found = [] if schema is None else list(schema.names)
    if not found:
        raise LifecycleError(f"{source} has no rows.", "Give a file that has rows.")
    missing = [name for name in [*columns.values(), *keep] if name not in found]
    if missing:
        raise LifecycleError(
            f"{source} has no column {' and no column '.join(missing)}; it has {', '.join(found)}.",
            "Name the columns to read with document= and summary=.",
        )
    selected = rows.select_columns(list(dict.fromkeys([*columns.values(), *keep])))
    renamed = {given: ours for ours, given in columns.items() if given != ours}
    return selected.rename_columns(renamed) if renamed else selected
