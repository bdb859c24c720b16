"""A drift report on a hundred thousand logged requests, from the log to Evidently's HTML.

    python benchmarks/monitoring.py [--requests 100000]

Beside it what Evidently alone takes on the same features: what is ours is reading the log and making features of texts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from _pairs import report, timed

MOST_S = 30.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    requests = parser.parse_args().requests
    import pyarrow as pa
    import pyarrow.parquet as pq

    from jupyter_kuberay.lifecycle import monitoring
    from jupyter_kuberay.lifecycle._features import columns, known_words
    from jupyter_kuberay.lifecycle._requests import read_requests
    from jupyter_kuberay.lifecycle._run import write_json
    from jupyter_kuberay.lifecycle.incidents import reports

    with tempfile.TemporaryDirectory() as scratch:
        run, log = Path(scratch) / "run", Path(scratch) / "log"
        some = list(reports(12_000))
        (run / "data/split=train").mkdir(parents=True)
        pq.write_table(
            pa.Table.from_pylist([{**row, "key": f"{at:032x}"} for at, row in enumerate(some)]), run / "data/split=train/0.parquet"
        )
        write_json(run / "data/manifest.json", {"path": str(run / "data")})
        written(log, some, requests)
        whole = timed(lambda: monitoring.monitor(str(run), str(log)))
        asked, then = read_requests(str(log), requests), pq.read_table(run / "data/split=train/0.parquet").slice(0, 10_000).to_pandas()
        known = known_words(then["document"])
        now, before = columns(asked, known), columns(then, known)
        alone = timed(lambda: monitoring.compare(now, before, Path(scratch) / "drift.html"))
    met = whole <= MOST_S * requests / 100_000
    detail = f"Evidently alone {alone:.1f} s on the same features"
    return (
        0
        if report(f"a drift report on {requests:,} requests", f"{whole:.1f} s", goal=f"under {MOST_S:.0f} s", met=met, detail=detail)
        else 1
    )


def written(log: Path, some: list[dict[str, str]], requests: int) -> None:
    log.mkdir()
    began = datetime.now(UTC) - timedelta(days=1)
    for replica in range(4):
        with (log / f"requests-{replica}-0.jsonl").open("w") as file:
            for number in range(replica, requests, 4):
                row = some[number % len(some)]
                counts = {f"{name}_words": len(text.split()) for name, text in row.items()}
                told = {"when": (began + timedelta(seconds=number / 2)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "request": str(number)}
                file.write(json.dumps({**told, "revision": 1, "status": 200, "seconds": 0.02, **counts, **row}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
