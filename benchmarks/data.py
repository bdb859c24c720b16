"""Preparing data with Ray Data, beside pandas on one core, in a cluster whose memory for objects is a tenth of the data.

    python benchmarks/data.py [--rows 1000000]

Both read the same JSON Lines, hash and split each document, leave repeated ones out, check the rows by the same schema and write
Parquet by split. Ray has two processors here, pandas one. Memory is what all of Ray's processes have for themselves at the most,
shared pages counted by their share (PSS), over what they had before.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from _pairs import report, timed

SMALLEST_STORE = 78_643_200  # bytes; Ray takes no less
FILE_ROWS = 50_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    import ray

    short = tempfile.mkdtemp(prefix="jk-", dir="/tmp")  # sockets have short paths only
    with tempfile.TemporaryDirectory() as scratch:
        ray.init(
            address="local", num_cpus=2, object_store_memory=SMALLEST_STORE, include_dashboard=False, log_to_driver=False, _temp_dir=short
        )
        try:
            return 0 if measured(Path(scratch), rows) else 1
        finally:
            ray.shutdown()


def measured(scratch: Path, rows: int) -> bool:
    from jupyter_kuberay.lifecycle import data

    sizes = [rows // 100, rows // 10, rows]
    sources = {size: written(scratch / f"source-{size}", size) for size in sizes}
    data.prepare(str(sources[sizes[0]]), str(scratch / "warm"))  # workers are there, and have imported what they need
    pace, peak, bare = {}, {}, {}
    for size in sizes:
        with Memory() as memory:
            took = timed(lambda size=size: data.prepare(str(sources[size]), str(scratch / f"ray-{size}")))
        pace[size], peak[size] = size / took, memory.peak
        bare[size] = size / timed(lambda size=size: by_pandas(sources[size], scratch / f"pandas-{size}"))
        print(f"      {size:>9,} rows: {pace[size]:>8,.0f} a second, pandas {bare[size]:>8,.0f}; {peak[size] / 2**20:,.0f} MiB", flush=True)
    bytes_ = sum(path.stat().st_size for path in sources[rows].iterdir())
    kept = data.load_split(scratch / f"ray-{rows}" / "data", "test").num_rows
    ratio, linear = pace[rows] / bare[rows], pace[rows] / pace[sizes[1]]
    growth = peak[rows] - peak[sizes[1]]
    return all(
        [
            report("rows a second of Ray on 2 cores, by pandas' on one", f"{ratio:.2f}", goal="told", met=True),
            report("rows a second of all, by those of a tenth", f"{linear:.2f}", goal="at least 0.8: linear", met=linear >= 0.8),
            report(
                "memory at the most, all less a tenth of the rows",
                f"{growth / 2**20:,.0f} MiB",
                goal="at most 64 bytes a row and 300 MiB",
                met=growth <= 64 * rows + 300 * 2**20,
            ),
            report(
                "data by memory for objects",
                f"{bytes_ / SMALLEST_STORE:.1f}",
                goal="10 times its size passes",
                met=kept > 0 and bytes_ >= 10 * SMALLEST_STORE * rows / 1_000_000,
                detail=f"{bytes_ / 1e6:,.0f} MB of JSON; {kept:,} rows in the test split",
            ),
        ]
    )


def written(folder: Path, rows: int) -> Path:
    """Reports with a number of their own, one in a hundred twice."""
    from jupyter_kuberay.lifecycle.incidents import reports

    folder.mkdir()
    some = list(reports(2000))
    for first in range(0, rows, FILE_ROWS):
        with (folder / f"{first:09d}.jsonl").open("w") as file:
            for number in range(first, min(first + FILE_ROWS, rows)):
                one, other = some[number % 2000], some[(number * 7 + 1) % 2000]
                own = number - 1 if number % 100 == 99 else number
                base = some[own % 2000]
                one = base if own != number else one
                other = some[(own * 7 + 1) % 2000]
                document = f"Case {own}. {one['document']} {other['document'][:260]}"
                file.write(json.dumps({"document": document, "summary": one["summary"]}) + "\n")
    return folder


def by_pandas(source: Path, folder: Path) -> None:
    import pandas as pd

    from jupyter_kuberay.lifecycle._quality import schema
    from jupyter_kuberay.lifecycle.data import mark

    rows = pd.concat([pd.read_json(path, lines=True) for path in sorted(source.iterdir())], ignore_index=True)
    marked = mark(rows, 0.1, schema())
    kept = marked[marked["key"] != ""].sort_values("digest").drop_duplicates("key")
    kept.drop(columns=["digest", "reason"]).to_parquet(folder, partition_cols=["split"])


class Memory:
    """The most that Ray's processes below this one have had, over what they had at the beginning."""

    def __enter__(self) -> Memory:
        self.before, self.peak, self._over = used(), 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(0.25):
            self.peak = max(self.peak, used() - self.before)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def used() -> int:
    total = 0
    for process in psutil.Process(os.getpid()).children(recursive=True):
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total


if __name__ == "__main__":
    started = time.monotonic()
    code = main()
    print(f"      {time.monotonic() - started:.0f} s")
    sys.exit(code)
