"""The runs of notebooks, as the Jupyter server tells of them to whoever looks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_kuberay.batch import records
from jupyter_kuberay.batch.records import RunRecord, RunState

from .conftest import CommandLine
from .serving import Server, serving

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server(kuberay: CommandLine) -> Iterator[Server]:
    with serving(kuberay, name="runs-server") as running:
        yield running


@pytest.fixture
def folder(kuberay: CommandLine) -> Iterator[Path]:
    """That of the list, which is empty before and after."""
    found = Path(kuberay.environment["JUPYTER_KUBERAY_DATA_DIR"]) / "runs"
    records.forget([each.id for each in records.records(found)], found)  # other tests run notebooks
    yield found
    records.forget([each.id for each in records.records(found)], found)


def run(kuberay: CommandLine, number: int = 1, **fields: Any) -> RunRecord:
    root = kuberay.home / "runs-server"
    given = {"notebook": str(root / "a.ipynb"), "output": str(root / "out" / f"{number}.ipynb"), "state": RunState.RUNNING, "cells": 3}
    return RunRecord(id=f"20261101-120000-{number:06}", started=records.now(), **given | fields)


@pytest.mark.asyncio
async def test_a_page_that_shows_runs_hears_of_each_cell_and_one_that_does_not_is_told_none(
    kuberay: CommandLine, server: Server, folder: Path
) -> None:
    one = run(kuberay, parameters={"lr": 0.1})
    records.note(one, folder)
    assert server.client.put("/views/page-0", json={}).json()["runs"] is None
    async with server.events() as events:
        (told,) = server.client.put("/views/page-1", json={"runs": True}).json()["runs"]
        assert (told["id"], told["output_path"], told["parameters"], told["state"]) == (one.id, "out/1.ipynb", {"lr": "0.1"}, "Running")
        await events.until(lambda change: change == {"type": "looked", "view": "page-1"})
        for done in (1, 2):
            records.note(one.changed(done=done, cell=f"Cell {done}"), folder)
            changed = await events.until(lambda change: change["type"] == "run")
            assert (changed["run"]["id"], changed["run"]["done"], changed["run"]["cell"]) == (one.id, done, f"Cell {done}")
        records.forget([one.id], folder)
        await events.until(lambda change: change == {"type": "gone", "kind": "run", "name": one.id})
        numbers = [event["seq"] for event in events.heard]
        assert numbers == [*range(numbers[0], numbers[0] + len(numbers))]
    for view in ("page-0", "page-1"):
        server.client.delete(f"/views/{view}")


def test_runs_are_listed_the_newest_first_and_taken_out_one_by_one_or_a_sweep_at_once(
    kuberay: CommandLine, server: Server, folder: Path
) -> None:
    over = {"state": RunState.SUCCEEDED, "ended": records.now()}
    for number in range(5):
        records.note(run(kuberay, number, group="lr" if number > 2 else "", **over), folder)
    listed = [each["id"] for each in server.client.get("/runs", params={"last": 3}).json()]
    assert listed == [run(kuberay, number).id for number in (4, 3, 2)]
    assert server.client.delete("/runs", params={"group": "lr", "folder": "/elsewhere"}).status_code == 404
    assert server.client.delete("/runs", params={"group": "lr"}).status_code == 204
    assert server.client.delete(f"/runs/{run(kuberay, 0).id}").status_code == 204
    assert [each["id"] for each in server.client.get("/runs").json()] == [run(kuberay, number).id for number in (2, 1)]
    assert server.client.delete(f"/runs/{run(kuberay, 0).id}").status_code == 404


def test_a_run_that_goes_on_stays_in_the_list(kuberay: CommandLine, server: Server, folder: Path) -> None:
    records.note(run(kuberay), folder)
    refused = server.client.delete(f"/runs/{run(kuberay).id}")
    assert refused.status_code == 409 and "still goes on" in refused.json()["message"]


@pytest.mark.parametrize("name", ["..%2F..%2Fkept", "%2Fetc%2Fpasswd", "nobodys", "*"])
def test_a_name_that_is_a_path_takes_nothing_out(kuberay: CommandLine, server: Server, folder: Path, name: str) -> None:
    kept = folder.parent / "kept.json"
    folder.mkdir(exist_ok=True)
    (folder.parent.parent / "kept.json").write_text("{}")
    kept.write_text("{}")
    assert server.client.delete(f"/runs/{name}").status_code in (404, 405)
    assert kept.exists() and (folder.parent.parent / "kept.json").exists()


@pytest.mark.parametrize(
    ("method", "query"),
    [("GET", {"last": "0"}), ("GET", {"last": "1001"}), ("GET", {"last": "x"}), ("DELETE", {}), ("DELETE", {"group": ""})],
)
def test_what_cannot_be_asked_of_runs_is_told_in_words(server: Server, method: str, query: dict[str, str]) -> None:
    answer = server.client.request(method, "/runs", params=query)
    assert answer.status_code == 422 and answer.json()["kind"] == "InvalidSpec", answer.text
