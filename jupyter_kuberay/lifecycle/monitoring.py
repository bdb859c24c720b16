"""How a published model does: what it was asked, how fast and how well it answered, and whether that still looks like its training data."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.lifecycle._features import columns, known_words
from jupyter_kuberay.lifecycle._requests import read_requests
from jupyter_kuberay.lifecycle._run import Json, LifecycleError, read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

WINDOW = 100_000  # requests
_REFERENCE = 10_000  # rows of the training data that are compared with
_LEAST = 30  # requests; of fewer nothing can be said
_LARGE = 1000  # requests; a distance between fewer is mostly chance, of which a test knows, which finds the least difference in more
_TEST, _DISTANCE = ("ks", 0.005), ("wasserstein", 0.1)  # Evidently's names, and from where on a feature drifts
_P = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Drift:
    """One feature of requests or answers, beside the training data."""

    feature: str
    method: str  # by which Evidently compared: a distance, or a test's p-value for a small window
    score: float
    threshold: float
    drifted: bool
    training: float  # mean
    now: float  # mean


def monitor(
    run_dir: str,
    log: str,
    *,
    window: int = WINDOW,
    hours: float = 0,
    revision: int | str = "",
    most_drifted: float = 0.3,
    storage_options: Mapping[str, Any] | None = None,
) -> Json:
    """Compare the last requests of a service with the data that its model was trained on.

    Parameters
    ----------
    log
        Where the service logs its requests: the setting ``log`` that it was published with, a folder or any fsspec URL.
    window
        How many requests at most, the newest ones.
    hours
        Only those of the last so many hours; 0: all that there are.
    revision
        Only what this revision answered; "": all.
    most_drifted
        Which share of the features may drift before `require_steady` objects, from 0 to 1.
    storage_options
        For fsspec.

    Returns
    -------
    What is also written to ``monitoring.json``: requests (by revision: requests, errors, latencies in s), drift (by feature),
    drifted (their share), steady, seconds. Evidently's report lies in ``monitoring/drift.html``.

    Raises
    ------
    LifecycleError
        There are no data, no log, or too few requests to say anything.
    """
    started = time.monotonic()
    run = Path(run_dir)
    manifest = read_json(run / "data" / "manifest.json", made_by="data.prepare")
    since = datetime.now(UTC) - timedelta(hours=hours) if hours else None
    asked = read_requests(log, window, since, storage_options)
    if revision != "":
        asked = asked[asked["revision"].astype(str) == str(revision)]
    answered = asked[asked["status"] == 200]
    if len(answered) < _LEAST:
        raise LifecycleError(f"{log} has {len(answered)} answered requests; of fewer than {_LEAST} nothing can be said.", "Wait for more.")
    reference = _training(manifest["path"])
    known = known_words(reference["document"])
    now, then = columns(answered, known), columns(reference, known)
    with_text = [name for name in then if name in now]
    (run / "monitoring").mkdir(parents=True, exist_ok=True)
    drifts = compare(now[with_text], then[with_text], run / "monitoring" / "drift.html")
    share = sum(drift.drifted for drift in drifts) / len(drifts)
    record: Json = {
        "log": log,
        "from": str(asked["when"].min()),
        "to": str(asked["when"].max()),
        "requests": by_revision(asked),
        "drift": [asdict(drift) for drift in drifts],
        "drifted": round(share, 3),
        "most_drifted": most_drifted,
        "steady": share <= most_drifted,
        "report": str(run / "monitoring" / "drift.html"),
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(run / "monitoring.json", record)
    return record


class Drifted(LifecycleError):
    """What comes in or goes out no longer looks like the training data; the message names the features."""


def require_steady(run_dir: str) -> Json:
    """Give what `monitor` found, or `Drifted` that names what drifted: what starts a training on newer data in a pipeline."""
    record = read_json(Path(run_dir) / "monitoring.json", made_by="monitoring.monitor")
    if not record["steady"]:
        words = "; ".join(f"{each['feature']} {each['training']:.3g} → {each['now']:.3g}" for each in record["drift"] if each["drifted"])
        message = f"{record['drifted']:.0%} of the features drift, and at most {record['most_drifted']:.0%} may: {words}."
        raise Drifted(message, "Train on newer data, or find out who sends other requests.")
    return record


def by_revision(asked: pd.DataFrame) -> list[Json]:
    """Requests, errors and latencies in seconds, by the revision that answered; the oldest first."""
    rows = []
    for revision, part in asked.groupby("revision", sort=False):
        answered = part[part["status"] == 200]
        quantiles = answered["seconds"].quantile(list(_P)) if len(answered) else None
        rows.append(
            {
                "revision": revision,
                "requests": len(part),
                "refused": int(((part["status"] >= 400) & (part["status"] < 500)).sum()),
                "errors": int((part["status"] >= 500).sum()),
                **{f"p{round(100 * p)}_s": round(float(quantiles[p]), 4) if quantiles is not None else None for p in _P},
                "first": str(part["when"].min()),
            }
        )
    return sorted(rows, key=lambda row: row["first"])


def compare(now: pd.DataFrame, then: pd.DataFrame, report: Path | None = None) -> list[Drift]:
    """What of the columns drifts, what does first.

    A window of fewer than a thousand requests is judged by a Kolmogorov-Smirnov test (a p-value below 0.005: some chance is left for
    each of seven features), a larger one by the Wasserstein distance in standard deviations of the training data (0.1 or more).

    Parameters
    ----------
    now, then
        Numbers by feature: of the window, and of the training data.
    report
        Where Evidently's HTML goes.
    """
    with _evidently() as evidently:
        from evidently.presets import DataDriftPreset

        method, threshold = _TEST if len(now) < _LARGE else _DISTANCE
        definition = evidently.DataDefinition(numerical_columns=list(now.columns))
        current, reference = (evidently.Dataset.from_pandas(each.reset_index(drop=True), definition) for each in (now, then))
        found = evidently.Report([DataDriftPreset(num_method=method, num_threshold=threshold)]).run(current, reference)
        if report is not None:
            found.save_html(str(report))
        metrics = found.dict()["metrics"]
    drifts = [_drift(metric, threshold, now, then) for metric in metrics if metric["config"]["type"].endswith("ValueDrift")]
    return sorted(drifts, key=lambda drift: (not drift.drifted, drift.feature))


def _drift(metric: Json, threshold: float, now: pd.DataFrame, then: pd.DataFrame) -> Drift:
    feature, score = metric["config"]["column"], float(metric["value"])
    is_test = len(now) < _LARGE
    # Of a test what counts is how unlikely chance alone is, of a distance how far it is.
    drifted = score < threshold if is_test else score >= threshold
    means = [round(float(rows[feature].mean()), 4) for rows in (then, now)]
    return Drift(feature, "Kolmogorov-Smirnov, p" if is_test else "Wasserstein", round(score, 4), threshold, drifted, *means)


def _training(path: str) -> pd.DataFrame:
    """A sample of the training data: the first rows by key, which is a hash."""
    from jupyter_kuberay.lifecycle.data import load_split

    rows = load_split(path, "train").slice(0, _REFERENCE)
    if not rows.num_rows:
        raise LifecycleError(f"There are no training data in {path}.", "Run data.prepare with this run folder first.")
    return rows.select(["document", "summary"]).to_pandas()


@contextmanager
def _evidently() -> Iterator[Any]:
    """Evidently, telling nobody that it is used.

    Its 0.7 imports for a test that nobody runs here a private function that pandas 3 no longer has.
    """
    from pandas.core.dtypes import common

    os.environ.setdefault("DO_NOT_TRACK", "1")
    lacking = not hasattr(common, "infer_dtype_from_object")
    if lacking:
        common.infer_dtype_from_object = common.pandas_dtype  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what it imports, and about columns that are all alike
            import evidently

            yield evidently
    finally:
        if lacking:
            with suppress(AttributeError):
                del common.infer_dtype_from_object  # type: ignore[attr-defined]


def told(drifts: Sequence[Json]) -> str:
    """One sentence for a notebook or a message."""
    drifted = [each["feature"] for each in drifts if each["drifted"]]
    if not drifted:
        return f"None of {len(drifts)} features drifts."
    return f"{len(drifted)} of {len(drifts)} features drift: {', '.join(drifted)}."
