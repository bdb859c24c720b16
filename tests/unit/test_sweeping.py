"""Sweeps that run: many at a time, with failures, stopped and taken up again."""

import asyncio
import html.parser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_kuberay.batch.many import Runs
from jupyter_kuberay.batch.notebook import source_sha256
from jupyter_kuberay.batch.places import Place
from jupyter_kuberay.batch.records import RunRecord, RunState, records_below
from jupyter_kuberay.batch.running import RunRequest
from jupyter_kuberay.batch.sweep import Point, combine, parse_axes, points, resumption
from jupyter_kuberay.batch.sweeping import PointRun, Sweep, Told, sweep
from jupyter_kuberay.errors import Refused
from tests.unit.notebooks import write_notebook

pytestmark = pytest.mark.asyncio
CELLS = 3


class Notebook:
    """Runs in three cells, as a notebook does: a point whose ``x`` is in ``bad`` fails in its second."""

    def __init__(self, bad: set[int] = frozenset(), stop: asyncio.Event | None = None, gate: asyncio.Event | None = None) -> None:
        self.bad = bad
        self.stop = stop
        self.gate = gate
        self.running = 0
        self.most = 0
        self.begun: list[int] = []
        self.ended: list[int] = []

    async def __call__(self, point: Point, told: Told) -> RunRecord:
        x = point.parameters["x"]
        self.begun.append(x)
        self.running += 1
        self.most = max(self.most, self.running)
        record = RunRecord(
            id=str(x),
            notebook="train.ipynb",
            source_sha256="s",
            parameters=point.parameters,
            output=f"out/{point.output}",
            state=RunState.RUNNING,
            cells=CELLS,
            started="2026-01-01T00:00:00+00:00",
        )
        try:
            for cell in range(CELLS):
                told(replace(record, done=cell, cell=f"cell {cell}"))
                if self.gate:
                    await self.gate.wait()
                await asyncio.sleep(0)
                if x in self.bad and cell == 1:
                    return replace(
                        record, state=RunState.FAILED, done=1, error=f"ValueError: {x} <is> bad", ended="2026-01-01T00:00:01+00:00"
                    )
                if self.stop and self.stop.is_set():
                    return replace(record, state=RunState.INTERRUPTED, done=cell + 1)
            return replace(record, state=RunState.SUCCEEDED, done=CELLS, values={"loss": x / 7}, ended="2026-01-01T00:00:02+00:00")
        finally:
            self.running -= 1
            self.ended.append(x)


def numbers(count: int) -> tuple[Point, ...]:
    return points([{"x": number} for number in range(count)])


async def test_a_thousand_points_of_which_ten_fail_leave_990_results_and_10_reasons():
    bad = set(range(50, 1000, 100))
    notebook, first, told = Notebook(bad), [], []
    done = await sweep("train.ipynb", numbers(1000), notebook, at_once=8, told=told.append, failed=first.append)
    assert done.counts == {RunState.SUCCEEDED: 990, RunState.FAILED: 10}
    assert {run.point.number for run in done.failed} == bad
    assert notebook.most == 8 and notebook.begun == list(range(1000))
    assert done.exit_code == 1
    assert [run.values["loss"] for run in done.runs if run.point.number == 70] == [10.0]
    assert [run.point.number for run in first] == [50]


async def test_the_first_failure_is_told_before_the_others_end():
    still_running: list[set[RunState]] = []
    seen: list[Sweep] = []

    def failed(_: PointRun) -> None:
        still_running.append({run.state for run in seen[-1].runs})

    await sweep("train.ipynb", numbers(20), Notebook({2}), at_once=2, told=seen.append, failed=failed)
    assert len(still_running) == 1 and {RunState.RUNNING, RunState.PENDING} <= still_running[0]


async def test_progress_is_told_by_run_and_cell_as_values_that_do_not_change():
    told: list[Sweep] = []
    await sweep("train.ipynb", numbers(2), Notebook(), told=told.append)
    seen = [tuple((str(run.state), run.record.done if run.record else 0) for run in one.runs) for one in told]
    assert seen == [
        (("Running", 0), ("Pending", 0)),
        (("Running", 0), ("Pending", 0)),
        (("Running", 1), ("Pending", 0)),
        (("Running", 2), ("Pending", 0)),
        (("Succeeded", 3), ("Pending", 0)),
        (("Succeeded", 3), ("Running", 0)),
        (("Succeeded", 3), ("Running", 0)),
        (("Succeeded", 3), ("Running", 1)),
        (("Succeeded", 3), ("Running", 2)),
        (("Succeeded", 3), ("Succeeded", 3)),
    ]


async def test_stopped_once_what_runs_ends_after_its_cell_and_nothing_new_begins():
    stop, gate, told = asyncio.Event(), asyncio.Event(), []
    notebook = Notebook(stop=stop, gate=gate)
    going = asyncio.create_task(sweep("train.ipynb", numbers(10), notebook, at_once=3, told=told.append, stop=stop))
    await _until(lambda: len(notebook.begun) == 3)
    stop.set()
    await _until(lambda: bool(told) and told[-1].stopping)  # said before anything has ended
    assert not notebook.ended
    gate.set()
    done = await going
    assert done.counts == {RunState.PENDING: 7, RunState.INTERRUPTED: 3}
    assert all(run.record and run.record.done == 1 for run in done.runs[:3])


async def test_cancelled_what_runs_is_cancelled_and_waited_for():
    notebook = Notebook(gate=asyncio.Event())
    told: list[Sweep] = []
    going = asyncio.create_task(sweep("train.ipynb", numbers(10), notebook, at_once=3, told=told.append))
    await _until(lambda: len(notebook.begun) == 3)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert sorted(notebook.ended) == [0, 1, 2] and notebook.running == 0
    assert told[-1].counts == {RunState.PENDING: 7, RunState.INTERRUPTED: 3}


async def test_a_run_that_cannot_begin_is_that_runs_failure_and_keeps_no_other_back():
    async def run(point: Point, told: Told) -> RunRecord:
        if point.number == 1:
            raise Refused("The disk is full.", "Free some.")
        if point.number == 2:
            raise ZeroDivisionError("division by zero")
        return await Notebook()(point, told)

    done = await sweep("train.ipynb", numbers(4), run, at_once=2)
    assert [str(run.state) for run in done.runs] == ["Succeeded", "Failed", "Failed", "Succeeded"]
    assert (done.runs[1].error, done.runs[1].hint) == ("The disk is full.", "Free some.")
    assert done.runs[2].error == "ZeroDivisionError: division by zero"


async def test_taken_up_again_only_what_failed_runs_and_the_whole_is_shown():
    runs = numbers(6)
    first = await sweep("train.ipynb", runs, Notebook({2, 4}), at_once=2)
    plan = resumption(runs, [run.record for run in first.runs if run.record], "s")
    again = Notebook()
    done = await sweep("train.ipynb", plan.points, again, found=plan.found)
    assert again.begun == [2, 4]
    assert done.exit_code == 0 and done.counts == {RunState.SUCCEEDED: 6}
    assert [run.before for run in done.runs] == [True, True, False, True, False, True]


async def test_its_table_has_parameters_state_and_recorded_values():
    runs = points(combine(parse_axes(["x=0:2", "kind=a,<b>"])), {"epochs": 3})
    done = await sweep("train.ipynb", runs, Notebook({1}), at_once=4)
    lines = [line.rstrip() for line in repr(done).splitlines()]
    assert lines[0] == "train.ipynb: 2 of 4 succeeded, 2 failed"
    assert lines[1].split() == ["#", "x", "kind", "state", "time", "loss"]
    assert lines[2].split() == ["0", "0", "a", "Succeeded", "2.0", "s", "0"]
    assert lines[5].split() == ["3", "1", "<b>", "Failed", "1.0", "s"]
    assert "x=1, kind=a: ValueError: 1 <is> bad" in lines
    page = done._repr_html_()
    assert "&lt;b&gt;" in page and "<is>" not in page and "<b>" in page
    assert _balanced(page)


async def test_a_large_table_shows_the_failures_and_says_what_it_leaves_out():
    done = await sweep("train.ipynb", numbers(1000), Notebook({999}), at_once=8)
    shown = done.table()
    assert len(shown.rows) == 60 and shown.rows[-1][0].text == "999"
    assert shown.below[-1].text == "… and 940 more: to_frame(), to_dicts()"


async def test_as_rows_and_as_a_frame_it_has_everything():
    done = await sweep("train.ipynb", numbers(3), Notebook({1}))
    rows = done.to_dicts()
    assert rows[2] == {
        "number": 2,
        "x": 2,
        "state": "Succeeded",
        "seconds": 2.0,
        "loss": 2 / 7,
        "output": "out/002-x=2.ipynb",
        "error": "",
    }
    frame = done.to_frame()
    assert list(frame.index) == [0, 1, 2] and frame.loc[2, "loss"] == 2 / 7 and frame["error"][1] == "ValueError: 1 <is> bad"


async def test_a_recorded_value_with_a_parameters_name_hides_nothing():
    runs = points([{"x": 1}])

    async def run(point: Point, told: Told) -> RunRecord:
        return replace(await Notebook()(point, told), values={"x": 5, "state": "odd", "loss": 1})

    (row,) = (await sweep("train.ipynb", runs, run)).to_dicts()
    assert (row["x"], row["value.x"], row["state"], row["value.state"], row["loss"]) == (1, 5, "Succeeded", "odd", 1)


async def test_notebooks_run_in_kernels_some_at_a_time_and_a_sweep_taken_up_again_finds_them(tmp_path: Path):
    notebook = write_notebook(
        tmp_path / "train.ipynb",
        "x = 0\nbad = 2",
        "from jupyter_kuberay.recording import record\nrecord('square', x * x)",
        "if x == bad:\n    raise ValueError('bad')",
    )
    out = Place.of(tmp_path / "out")

    async def run(point: Point, told: Told) -> RunRecord:
        return await Runs().one(RunRequest(Place.of(notebook), out.child(point.output), point.parameters, attach=False), told)

    runs = points([{"x": number} for number in range(4)])
    done = await sweep("train.ipynb", runs, run, at_once=2)
    assert [(str(one.state), one.values) for one in done.runs] == [
        ("Succeeded", {"square": 0}),
        ("Succeeded", {"square": 1}),
        ("Failed", {"square": 4}),
        ("Succeeded", {"square": 9}),
    ]
    assert "ValueError: bad" in done.runs[2].error
    plan = resumption(runs, records_below(tmp_path / "out"), source_sha256(notebook.read_bytes()))
    assert [point.number for point in plan.left] == [2]
    assert [one.values["square"] for one in plan.found.values()] == [0, 1, 9]


async def _until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0)


def _balanced(page: str) -> bool:
    opened: list[str] = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    Reader().feed(page)
    return not opened
