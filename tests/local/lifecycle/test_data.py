"""Data on a real Ray: from whatever place and format, and what is wrong with it."""

from __future__ import annotations

import json
import sqlite3
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pandas as pd
import pytest

from jupyter_kuberay.lifecycle import data
from jupyter_kuberay.lifecycle._run import LifecycleError, read_json
from tests.testbed import s3

from .conftest import keys

pytestmark = pytest.mark.timeout(300)


def test_every_document_is_in_one_split(prepared: Path, reports: list[dict[str, str]]):
    parts = [keys(prepared, split) for split in data.SPLITS]
    assert sum(map(len, parts)) == len(set().union(*parts)) == len(reports)
    assert all(parts)


def test_what_was_left_out_is_counted_and_said(prepared: Path):
    manifest = read_json(prepared / "data/manifest.json")
    assert manifest["left_out"] == {"empty": 1, "repeated": 2, "of_which_differ": 1}
    assert sum(manifest["rows"].values()) == 240
    lying = pd.concat(pd.read_parquet(path) for path in (prepared / "data/left_out").glob("*.parquet"))
    assert lying[["document", "reason"]].values.tolist() == [["No summary.", "empty"]]


FORMATS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "reports.csv": lambda rows, path: rows.to_csv(path, index=False),
    "reports.csv.gz": lambda rows, path: rows.to_csv(path, index=False),
    "reports.jsonl": lambda rows, path: rows.to_json(path, orient="records", lines=True),
    "reports.parquet": lambda rows, path: rows.to_parquet(path),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_splits(prepared: Path, reports: list[dict[str, str]], tmp_path: Path, name: str):
    FORMATS[name](pd.DataFrame(reports).rename(columns={"document": "article", "summary": "highlights"}), tmp_path / name)
    manifest = data.prepare(str(tmp_path / name), str(tmp_path / "run"), document="article", summary="highlights")
    assert all(keys(tmp_path / "run", split) == keys(prepared, split) for split in data.SPLITS)
    assert manifest["sha256"].keys() == set(data.SPLITS)


def test_the_same_data_have_the_same_hash_in_whatever_order_and_format(reports: list[dict[str, str]], tmp_path: Path):
    pd.DataFrame(reports).to_csv(tmp_path / "one.csv", index=False)
    pd.DataFrame(reports[::-1]).to_parquet(tmp_path / "two.parquet")
    pd.DataFrame([{**report, "summary": report["summary"] + "!"} for report in reports]).to_parquet(tmp_path / "three.parquet")
    one, two, three = (data.prepare(str(path), str(tmp_path / path.stem)) for path in sorted(tmp_path.glob("*.*"), key=lambda p: p.suffix))
    assert len({one["sha256"]["train"], two["sha256"]["train"], three["sha256"]["train"]}) == 2


def test_files_are_listed_with_their_hashes(prepared: Path):
    import hashlib

    manifest = read_json(prepared / "data/manifest.json")
    assert sum(file["rows"] for file in manifest["files"]) == 240
    for file in manifest["files"]:
        assert hashlib.sha256((prepared / "data" / file["path"]).read_bytes()).hexdigest() == file["sha256"]


def test_any_url_that_fsspec_knows_is_read(prepared: Path, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(prepared / "reports.jsonl.gz", "reports.jsonl.gz")
    manifest = data.prepare(f"zip://reports.jsonl.gz::file://{tmp_path}/all.zip", str(tmp_path / "run"))
    assert manifest["rows"] == read_json(prepared / "data/manifest.json")["rows"]


def test_a_database_is_read_by_a_query(prepared: Path, reports: list[dict[str, str]], tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "reports.db")) as base, base:
        base.execute("create table reports (body text, short text, severity integer)")
        base.executemany("insert into reports values (?, ?, ?)", [(each["document"], each["summary"], 1) for each in reports])
    query = "select body as document, short as summary, severity from reports where severity = 1"
    manifest = data.prepare(f"sqlite:///{tmp_path}/reports.db", str(tmp_path / "run"), query=query, keep=["severity"])
    assert manifest["query"] == query
    assert keys(tmp_path / "run", "test") == keys(prepared, "test")
    assert set(data.load_split(tmp_path / "run/data", "test")["severity"].to_pylist()) == {1}


@pytest.mark.parametrize(
    ("source", "query", "said"),
    [
        ("sqlite:///{}/reports.db", "select * from absent", "no such table: absent"),
        ("nosuch://me:secret@host/reports", "select 1", "nosuch"),
    ],
)
def test_a_database_that_does_not_answer_is_told_in_its_own_words(tmp_path: Path, source: str, query: str, said: str):
    with pytest.raises(LifecycleError, match=said) as refused:
        data.prepare(source.format(tmp_path), str(tmp_path / "run"), query=query)
    assert "secret" not in str(refused.value)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[s3.Server]:
    with s3.served("127.0.0.1") as server:
        at_s3(monkeypatch, server.address)
        server.put("corpus")
        yield server


def at_s3(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    known = {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    for name, value in known.items():
        monkeypatch.setenv(name, value)


def on_node(function: Callable[..., Any], *args: Any, **more: Any) -> Any:
    """Run it as a task of Ray with this environment: its processes have that of their start otherwise."""
    import os

    import ray

    known = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return ray.get(ray.remote(function).options(num_cpus=0, runtime_env={"env_vars": known}).remote(*args, **more))


def test_an_object_store_is_read(prepared: Path, bucket: s3.Server, tmp_path: Path):
    bucket.put("corpus/reports.jsonl.gz", (prepared / "reports.jsonl.gz").read_bytes())
    manifest = on_node(data.prepare, "s3://corpus/reports.jsonl.gz", str(tmp_path))
    assert manifest["rows"] == read_json(prepared / "data/manifest.json")["rows"]


def test_a_store_without_permission_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with forbidding() as address:
        at_s3(monkeypatch, address)
        with pytest.raises(LifecycleError, match=r"s3://corpus/reports\.csv cannot be read: access is denied\. Give the cluster's nodes"):
            data.prepare("s3://corpus/reports.csv", str(tmp_path))


@contextmanager
def forbidding() -> Iterator[str]:
    """A server that answers as S3 does whom it does not know."""

    class Answer(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_preparing_again_replaces_what_was_there(prepared: Path, tmp_path: Path):
    for limit in (240, 120):
        data.prepare(str(prepared / "reports.jsonl.gz"), str(tmp_path), limit=limit)
    assert sum(len(keys(tmp_path, split)) for split in data.SPLITS) == 120
    assert not (tmp_path / "data/.draft").exists()


@pytest.fixture
def cancelled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What of Ray's tasks is cancelled."""
    import ray

    found: list[Any] = []
    cancel = ray.cancel

    def tell(task: Any, **how: Any) -> None:
        found.append(task)
        cancel(task, **how)

    monkeypatch.setattr(ray, "cancel", tell)
    return found


def test_a_task_that_is_about_to_be_done_is_left_to_end(prepared: Path, tmp_path: Path, cancelled: list[Any]):
    """Cancelled in that moment, it takes this whole process along."""
    manifest = data.prepare(str(prepared / "reports.jsonl.gz"), str(tmp_path), limit=120)
    assert sum(manifest["rows"].values()) == 120
    assert not cancelled


def test_a_task_that_goes_on_although_another_failed_is_cancelled(tmp_path: Path, cancelled: list[Any]):
    import ray.data

    begun = tmp_path / "begun"

    def work(row: dict[str, Any]) -> dict[str, Any]:
        if row["id"] == 1:
            begun.touch()
        while row["id"] == 1 or not begun.exists():
            time.sleep(0.1)  # a whole one could not be interrupted
        raise ValueError("spoiled")

    data.quiet()
    with pytest.raises(ValueError, match="spoiled"):
        ray.data.range(2, override_num_blocks=2).map(work, num_cpus=0.5).materialize()
    assert len(cancelled) == 1


def test_data_that_cannot_be_prepared_leave_the_earlier_ones(prepared: Path, tmp_path: Path):
    data.prepare(str(prepared / "reports.jsonl.gz"), str(tmp_path))
    before = read_json(tmp_path / "data/manifest.json"), keys(tmp_path, "train")
    (tmp_path / "bad.csv").write_text("document,summary\n,\n,\n")
    with pytest.raises(LifecycleError, match=r"100% of 2 rows fail the checks \(2 empty\); at most 20% may"):
        data.prepare(str(tmp_path / "bad.csv"), str(tmp_path))
    assert (read_json(tmp_path / "data/manifest.json"), keys(tmp_path, "train")) == before


# What is wrong with data


def test_a_missing_column_is_named_with_those_that_there_are(prepared: Path, tmp_path: Path):
    with pytest.raises(LifecycleError, match="no column highlights; it has document, summary"):
        data.prepare(str(prepared / "reports.jsonl.gz"), str(tmp_path), summary="highlights")


@pytest.mark.parametrize("source", ["{}/nothing.csv", "{}/reports.txt", "{}", "nosuch://bucket/reports.csv"])
def test_what_cannot_be_read_is_named(tmp_path: Path, source: str):
    (tmp_path / "reports.txt").write_text("text")
    with pytest.raises(LifecycleError, match="cannot be read"):
        data.prepare(source.format(tmp_path), str(tmp_path / "run"))


@pytest.mark.parametrize("name", ["reports.csv", "reports.jsonl", "reports.parquet"])
def test_an_empty_file_is_called_empty(tmp_path: Path, name: str):
    (tmp_path / name).touch()
    with pytest.raises(LifecycleError, match="it is empty"):
        data.prepare(str(tmp_path / name), str(tmp_path / "run"))


def test_a_file_with_a_header_and_no_row_has_no_rows(tmp_path: Path):
    (tmp_path / "reports.csv").write_text("document,summary\n")
    with pytest.raises(LifecycleError, match=r"reports\.csv has no rows"):
        data.prepare(str(tmp_path / "reports.csv"), str(tmp_path / "run"))


@pytest.mark.parametrize("name", ["reports.csv", "reports.jsonl"])
def test_another_encoding_is_told_with_how_to_convert_it(reports: list[dict[str, str]], tmp_path: Path, name: str):
    frame = pd.DataFrame([{**report, "document": f"Café. {report['document']}"} for report in reports])
    text = frame.to_csv(index=False) if name.endswith("csv") else frame.to_json(orient="records", lines=True, force_ascii=False)
    (tmp_path / name).write_bytes(text.encode("latin1"))
    with pytest.raises(LifecycleError, match=r"its text is not UTF-8.*iconv"):
        data.prepare(str(tmp_path / name), str(tmp_path / "run"))


@pytest.mark.parametrize("name", ["reports.csv", "reports.jsonl", "reports.parquet"])
def test_a_row_of_ten_megabytes_is_left_out_and_the_others_are_there(reports: list[dict[str, str]], tmp_path: Path, name: str):
    frame = pd.DataFrame([*reports, {"document": "word " * 2_000_000, "summary": "Long."}])
    FORMATS[name](frame, tmp_path / name)
    manifest = data.prepare(str(tmp_path / name), str(tmp_path / "run"))
    assert manifest["left_out"]["too long"] == 1 and sum(manifest["rows"].values()) == len(reports)


def test_a_document_with_lines_of_its_own_is_one_document(reports: list[dict[str, str]], tmp_path: Path):
    frame = pd.DataFrame([{**report, "document": report["document"].replace(". ", ".\n")} for report in reports])
    frame.to_csv(tmp_path / "reports.csv", index=False)
    assert sum(data.prepare(str(tmp_path / "reports.csv"), str(tmp_path / "run"))["rows"].values()) == len(reports)


def test_a_document_that_is_in_many_files_is_in_one_split_once(reports: list[dict[str, str]], tmp_path: Path):
    source = tmp_path / "source"
    source.mkdir()
    for number in range(4):
        text = "".join(
            json.dumps({**report, "document": report["document"].title() if number % 2 else report["document"]}) + "\n"
            for report in reports
        )
        (source / f"{number}.jsonl").write_text(text)
    manifest = data.prepare(str(source), str(tmp_path / "run"))
    assert manifest["left_out"] == {"empty": 0, "repeated": 3 * len(reports), "of_which_differ": 0}
    parts = [keys(tmp_path / "run", split) for split in data.SPLITS]
    assert sum(map(len, parts)) == len(set().union(*parts)) == len(reports)


def test_checks_of_ones_own_are_counted_by_their_names(prepared: Path, tmp_path: Path):
    import pandera.pandas as pa

    def mentions_a_time(texts: pd.Series) -> pd.Series:
        return texts.str.contains("hour")

    checks = pa.DataFrameSchema({"summary": pa.Column(str, pa.Check(mentions_a_time, name="no duration"))})
    manifest = data.prepare(str(prepared / "reports.jsonl.gz"), str(tmp_path), checks=checks, most_left_out=1.0)
    lying = pd.concat(pd.read_parquet(path) for path in (tmp_path / "data/left_out").glob("*.parquet"))
    assert 0 < manifest["left_out"]["no duration"] == len(lying)
    assert not lying["summary"].str.contains("hour").any()
