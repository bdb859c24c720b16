"""Requests that a service logged, beside the data that its model was trained on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jupyter_kuberay.lifecycle import incidents, monitoring
from jupyter_kuberay.lifecycle._features import features, known_words
from jupyter_kuberay.lifecycle._requests import read_requests
from jupyter_kuberay.lifecycle._run import LifecycleError, write_json

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def reports() -> list[dict[str, str]]:
    return list(incidents.reports(600))


@pytest.fixture
def run(tmp_path: Path, reports: list[dict[str, str]]) -> Path:
    """A run folder whose training data are the first 400 reports."""
    folder = tmp_path / "run"
    train = folder / "data/split=train"
    train.mkdir(parents=True)
    rows = [{**report, "key": f"{number:032x}"} for number, report in enumerate(reports[:400])]
    pq.write_table(pa.Table.from_pylist(rows), train / "0.parquet")
    write_json(folder / "data/manifest.json", {"path": str(folder / "data")})
    return folder


def logged(folder: Path, rows: list[dict[str, str]], *, text: bool = True, name: str = "requests-a-0.jsonl", **more: object) -> str:
    folder.mkdir(exist_ok=True)
    lines = []
    for number, row in enumerate(rows):
        line = {
            "when": (NOW - timedelta(seconds=len(rows) - number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "request": f"r{number}",
            "revision": 1,
            "status": 200,
            "seconds": 0.02,
            "document_words": len(row["document"].split()),
            "summary_words": len(str(row["summary"]).split()),
        }
        lines.append(json.dumps({**line, **(row if text else dict.fromkeys(row, "")), **more}))
    (folder / name).write_text("\n".join(lines) + "\n")
    return str(folder)


def drifted(record: dict) -> set[str]:
    return {each["feature"] for each in record["drift"] if each["drifted"]}


def test_more_of_the_same_does_not_drift(run: Path, reports: list[dict[str, str]], tmp_path: Path):
    record = monitoring.monitor(str(run), logged(tmp_path / "log", reports[400:]))
    assert record["steady"] and drifted(record) == set()
    assert (tmp_path / "run/monitoring/drift.html").stat().st_size > 10_000
    assert monitoring.require_steady(str(run)) == record


def test_other_texts_drift_and_the_features_are_named(run: Path, reports: list[dict[str, str]], tmp_path: Path):
    others = [{"document": f"Quarterly revenue grew by {n} percent while costs fell.", "summary": "Revenue grew."} for n in range(200)]
    record = monitoring.monitor(str(run), logged(tmp_path / "log", others))
    assert {"document_words", "summary_words", "unknown_words"} <= drifted(record) and not record["steady"]
    with pytest.raises(monitoring.Drifted, match=r"of the features drift, and at most 30% may: .*document_words 7\d.* → 9;"):
        monitoring.require_steady(str(run))


def test_without_texts_lengths_are_compared(run: Path, reports: list[dict[str, str]], tmp_path: Path):
    record = monitoring.monitor(str(run), logged(tmp_path / "log", reports[400:], text=False))
    assert {each["feature"] for each in record["drift"]} == {"document_words", "summary_words"}
    assert record["steady"]


def test_answers_that_are_no_texts_are_compared_too(run: Path, reports: list[dict[str, str]], tmp_path: Path):
    log = logged(tmp_path / "log", [{**report, "summary": {"label": "disk", "score": 0.9}} for report in reports[400:]], summary_words=2)
    assert "copied" in {each["feature"] for each in monitoring.monitor(str(run), log)["drift"]}


def test_errors_and_latencies_are_told_by_revision(run: Path, reports: list[dict[str, str]], tmp_path: Path):
    log = logged(tmp_path / "log", reports[400:500])
    logged(tmp_path / "log", reports[500:520], name="requests-b-0.jsonl", revision=2, status=500, seconds=2.0)
    logged(tmp_path / "log", reports[520:540], name="requests-b-1.jsonl", revision=2, status=429)
    first, second = monitoring.monitor(str(run), log)["requests"]
    assert (first["revision"], first["requests"], first["errors"], first["p95_s"]) == (1, 100, 0, 0.02)
    assert (second["revision"], second["requests"], second["errors"], second["refused"], second["p95_s"]) == (2, 40, 20, 20, None)


def test_one_revision_is_looked_at_alone(run: Path, reports: list[dict[str, str]], tmp_path: Path):
    log = logged(tmp_path / "log", reports[400:500])
    logged(tmp_path / "log", [{"document": "No.", "summary": "No."}] * 50, name="requests-b-0.jsonl", revision=2)
    assert monitoring.monitor(str(run), log, revision=1)["steady"]
    assert not monitoring.monitor(str(run), log, revision="2")["steady"]


def test_the_newest_requests_are_the_window(tmp_path: Path, reports: list[dict[str, str]]):
    log = logged(tmp_path / "log", reports[:50])
    assert read_requests(log, 10)["request"].tolist() == [f"r{number}" for number in range(40, 50)]
    assert len(read_requests(log, 1000, since=NOW - timedelta(seconds=5))) in (4, 5, 6)


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path, reports: list[dict[str, str]]):
    log = logged(tmp_path / "log", reports[:5])
    with (tmp_path / "log/requests-a-0.jsonl").open("a") as file:
        file.write('{"when": "2026-01-01T00:00:00Z", "requ')
    assert len(read_requests(log, 10)) == 5


@pytest.mark.parametrize("place", ["{}/nowhere", "nosuch://bucket/log"])
def test_a_log_that_is_not_there_is_named(run: Path, tmp_path: Path, place: str):
    with pytest.raises(LifecycleError, match=r"no request in .*nowhere|nosuch://bucket/log cannot be read"):
        monitoring.monitor(str(run), place.format(tmp_path))


def test_of_a_few_requests_nothing_is_said(run: Path, reports: list[dict[str, str]], tmp_path: Path):
    with pytest.raises(LifecycleError, match="has 29 answered requests; of fewer than 30"):
        monitoring.monitor(str(run), logged(tmp_path / "log", reports[:29]))


def test_features_of_hostile_texts_are_numbers():
    known = known_words(["the disk was full"])
    for text in ("", "\x00", "🔥" * 100, "\ud800", "a" * 100_000):
        assert all(0 <= value == value for value in features(text, text, known).values())


def test_features_tell_what_is_new():
    known = known_words(["the disk was full"])
    found = features("the moon was full 42", "full full full full full", known)
    assert found["unknown_words"] == 0.4 and found["copied"] == 1.0 and found["digits"] == pytest.approx(0.1)
    assert found["repeated"] == pytest.approx(2 / 3)


def test_importing_evidently_leaves_pandas_as_it_was():
    from pandas.core.dtypes import common

    before = hasattr(common, "infer_dtype_from_object")
    monitoring.compare(pd.DataFrame({"a": range(50)}), pd.DataFrame({"a": range(50)}))
    assert hasattr(common, "infer_dtype_from_object") == before
