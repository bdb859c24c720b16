"""What is kept of runs, and how it is found again."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jupyter_kuberay.backends.local.processes import Birth
from jupyter_kuberay.batch import records
from jupyter_kuberay.batch.records import RunRecord, RunState


def record(number: int = 1, **values: object) -> RunRecord:
    return RunRecord(f"20260101-00000{number}-abc", "/n.ipynb", f"/out/{number}.ipynb").changed(**values)


def test_a_record_is_read_as_it_was_written_and_a_later_versions_too():
    one = record(state=RunState.FAILED, parameters={"lr": 0.1}, values={"loss": 2}, error="It failed.")
    assert RunRecord.read(json.loads(records.as_json(one))) == one
    assert RunRecord.read({**one.json(), "version": 9, "unknown": 1}) == one
    assert [RunRecord.read(each) for each in (None, [], {}, {"id": 1}, {**one.json(), "state": "Odd"})] == [None] * 5


def test_a_run_whose_process_is_gone_is_lost_and_one_that_lives_is_not():
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    birth = Birth.of(ended.pid)
    ended.wait()
    lost = records.judged(record(state=RunState.RUNNING, runner=birth.json(), heartbeat="2026-01-01T00:00:00+00:00"))
    assert lost.state is RunState.LOST and lost.error and lost.hint and lost.ended == "2026-01-01T00:00:00+00:00"
    alive = record(state=RunState.RUNNING, runner=Birth.of(os.getpid()).json())
    assert records.judged(alive) is alive
    over = record(state=RunState.FAILED, runner=birth.json())
    assert records.judged(over) is over


def test_a_run_elsewhere_is_lost_after_three_minutes_of_silence_but_not_while_its_job_waits():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    elsewhere = {"pid": 1, "created": "1", "boot": "x", "host": "another"}

    def at(seconds: float, **values: object) -> RunState:
        heard = (now - timedelta(seconds=seconds)).isoformat()
        return records.judged(record(runner=elsewhere, heartbeat=heard, **{"state": RunState.RUNNING, **values}), now).state

    assert at(170) is RunState.RUNNING and at(190) is RunState.LOST
    assert at(9000, job="j", state=RunState.PENDING) is RunState.PENDING
    assert at(99000, job="j", state=RunState.PENDING) is RunState.LOST
    assert at(190, job="j") is RunState.LOST


def test_the_list_is_newest_first_and_drops_the_oldest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(records, "KEPT", 3)
    for number in range(5):
        records.note(record(number, state=RunState.SUCCEEDED), tmp_path)
    (tmp_path / "broken.json").write_text("{")
    assert [each.id[-5] for each in records.records(tmp_path)] == ["4", "3"]
    assert len(list(tmp_path.iterdir())) == 3
    records.forget([record(4).id], tmp_path)
    assert len(records.records(tmp_path)) == 1


def test_records_beside_outputs_are_found_below_a_folder(tmp_path: Path):
    for name in ("a.ipynb", "deep/b.ipynb"):
        one = RunRecord(records.new_id(), "/n.ipynb", str(tmp_path / name), RunState.SUCCEEDED)
        one.place.write(records.as_json(one))
    (tmp_path / "c.run.json").write_text("no JSON")
    assert {Path(each.output).name for each in records.records_below(tmp_path)} == {"a.ipynb", "b.ipynb"}
    found = records.read_record(tmp_path / "a.ipynb")
    assert found is not None and found.state is RunState.SUCCEEDED
    assert records.read_record(tmp_path / "none.ipynb") is None


def test_a_list_that_cannot_be_written_stops_nothing(tmp_path: Path):
    (tmp_path / "file").write_text("")
    records.note(record(), tmp_path / "file" / "runs")
    assert records.records(tmp_path / "file" / "runs") == []


@pytest.mark.asyncio
async def test_whoever_watches_is_told_of_a_change_and_of_a_runner_that_dies_without_a_word(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        async with asyncio.timeout(60), aclosing(records.watch_records(tmp_path)) as lists:  # type: ignore[type-var]
            assert await anext(lists) == []
            records.note(record(state=RunState.RUNNING, runner=Birth.of(process.pid).json()), tmp_path)
            while not (found := await anext(lists)):
                pass
            assert found[0].state is RunState.RUNNING
            process.kill()
            while (await anext(lists))[0].state is not RunState.LOST:
                pass
    finally:
        process.kill()
        process.communicate()


@pytest.mark.asyncio
async def test_what_runs_in_the_cluster_is_looked_at_where_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(records, "ELSEWHERE_S", 0.1)
    one = RunRecord(records.new_id(), "/n.ipynb", str(tmp_path / "out.ipynb"), RunState.PENDING, job="j", started=records.now())
    one.place.write(records.as_json(one))
    records.note(one, tmp_path / "list")
    async with asyncio.timeout(60), aclosing(records.watch_records(tmp_path / "list")) as lists:  # type: ignore[type-var]
        assert (await anext(lists))[0].state is RunState.PENDING
        one.place.write(records.as_json(one.changed(state=RunState.SUCCEEDED, values={"loss": 1})))
        while (found := await anext(lists))[0].state is not RunState.SUCCEEDED:
            pass
        assert found[0].values == {"loss": 1}
