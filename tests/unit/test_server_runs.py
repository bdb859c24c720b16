"""What a page is told of the runs of notebooks, as far as it needs no server."""

import asyncio
import os
from pathlib import Path

import pytest

from jupyter_kuberay.batch import records
from jupyter_kuberay.batch.records import RunRecord, RunState
from jupyter_kuberay.errors import Conflict, NotFound
from jupyter_kuberay.faces.server import runs
from jupyter_kuberay.faces.server.runs import Runs, shown, told


@pytest.fixture(autouse=True)
def listed(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("JUPYTER_KUBERAY_DATA_DIR", str(tmp_path / "data"))
    return records.index()


def run(number: int = 1, **fields) -> RunRecord:
    given = {"notebook": "/files/03_training.ipynb", "output": f"/files/out/{number}.ipynb", "state": RunState.SUCCEEDED}
    return RunRecord(id=f"20261101-120000-{number:06}", started=records.now(), **given | fields)


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("/files/out/1.ipynb", "out/1.ipynb"),
        ("/files/1.ipynb", "1.ipynb"),
        ("/filesystem/1.ipynb", ""),
        ("/elsewhere/1.ipynb", ""),
        ("/files/.hidden/1.ipynb", ""),
        ("/files/out/.1.ipynb", ""),
        ("s3://bucket/files/1.ipynb", ""),
        ("1.ipynb", ""),
        ("", ""),
    ],
)
def test_a_place_is_named_as_the_file_browser_shows_it_or_not_at_all(place, path):
    assert shown(place, Path("/files")) == path


def test_a_root_that_is_the_whole_disk_shows_everything():
    assert shown("/files/1.ipynb", Path("/")) == "files/1.ipynb"


def test_a_place_that_a_link_leads_to_is_named_below_the_root(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    assert shown(str(tmp_path / "disk" / "1.ipynb"), tmp_path / "home") == "1.ipynb"
    assert shown(str(tmp_path / "home" / "1.ipynb"), tmp_path / "disk") == "1.ipynb"


def test_long_values_are_cut_and_others_told_as_they_are():
    seen = told(run(parameters={"text": "x" * 1_000_000, "lr": 1e-4, "on": True, "names": ["a", "é"]}, error="e" * 9000), Path("/files"))
    assert len(seen.parameters["text"]) == 200 and seen.parameters["text"].endswith("…")
    assert {name: seen.parameters[name] for name in ("lr", "on", "names")} == {"lr": "0.0001", "on": "true", "names": '["a", "é"]'}
    assert len(seen.error) == 2000


class Heard:
    """What `Runs` tells, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str | None, int]] = []
        self.runs = Runs(Path("/files"), self._changed, lambda: None)
        self._news = asyncio.Event()

    def _changed(self, name, now):
        self.told.append((name, now and now.state, now.done if now else 0))
        self._news.set()

    async def next(self):
        async with asyncio.timeout(20):
            while not self.told:
                self._news.clear()
                await self._news.wait()
        return self.told.pop(0)


def test_each_change_of_a_run_is_told_while_somebody_looks_and_nothing_else_is():
    one, other = run(1, state=RunState.RUNNING, cells=2), run(2)
    records.note(one)
    records.note(other)

    async def look():
        heard = Heard()
        assert heard.runs.all is None
        heard.runs.see(True)
        await heard.runs.wait(20)
        assert [each.id for each in heard.runs.all] == [other.id, one.id]
        records.note(one.changed(done=1))
        assert await heard.next() == (one.id, "Running", 1)
        records.note(one.changed(done=1, heartbeat=records.now()))  # only its runner's sign of life
        records.note(one.changed(done=2, state=RunState.FAILED))
        assert await heard.next() == (one.id, "Failed", 2)
        runs.forget(lambda record: record.id == other.id, "run")
        assert await heard.next() == (other.id, None, 0)
        assert [each.id for each in heard.runs.all] == [one.id]
        heard.runs.end()
        assert heard.runs.all is None

    asyncio.run(look())


def test_a_file_of_the_list_that_is_none_is_passed_over(listed):
    records.note(run(1))
    (listed / "broken.json").write_text("{")
    for name, field in (
        ("a", '"parameters": 3'),
        ("b", '"started": "yesterday"'),
        ("c", '"cells": "many"'),
        ("d", '"started": "2026-01-01"'),
    ):
        (listed / f"{name}.json").write_text(f'{{"id": "{name}", "notebook": "n", "output": "o", {field}}}')
    assert [each.id for each in runs.newest(Path("/files"), 10)] == [run(1).id]


def test_a_run_leaves_the_list_and_its_files_stay(listed, tmp_path):
    output = tmp_path / "1.ipynb"
    output.write_text("{}")
    records.note(run(1, output=str(output)))
    runs.forget(lambda record: record.id == run(1).id, "run")
    assert os.listdir(listed) == [] and output.exists()
    with pytest.raises(NotFound):
        runs.forget(lambda record: record.id == run(1).id, "run")


def test_of_a_sweep_what_goes_on_stays_in_the_list():
    going = run(1, group="lr", state=RunState.RUNNING)
    records.note(going)
    records.note(run(2, group="lr"))
    records.note(run(3, group="other"))
    runs.forget(lambda record: record.group == "lr", "run of lr")
    assert [each.id for each in records.records()] == [run(3).id, going.id]
    with pytest.raises(Conflict, match="still goes on"):
        runs.forget(lambda record: record.group == "lr", "run of lr")
