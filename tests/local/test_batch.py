"""Notebooks that run in kernels of their own, and what can go wrong with them. None of these needs a cluster."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest

from jupyter_kuberay.batch import Place, Run, RunRecord, RunRequest, RunState, read_record, records, run_now, saving
from jupyter_kuberay.batch.parameters import Text
from jupyter_kuberay.batch.places import Unwritable
from jupyter_kuberay.errors import Conflict, InvalidSpec, NotFound, Refused
from jupyter_kuberay.loop import run_sync

pytestmark = pytest.mark.timeout(300)


class Bench:
    """A folder with notebooks that run, and this machine's list of runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out.ipynb"
        self.told: list[RunRecord] = []

    def notebook(self, *cells: str, parameters: str = "", name: str = "n.ipynb") -> Path:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in cells])
        if parameters:
            cell = nbformat.v4.new_code_cell(textwrap.dedent(parameters))
            cell.metadata["tags"] = ["parameters"]
            notebook.cells.insert(0, cell)
        path = self.folder / name
        nbformat.write(notebook, path)
        return path

    def request(self, source: Path, **values: Any) -> RunRequest:
        return RunRequest(Place.of(source), Place.of(self.out), values, attach=False)

    def run(self, request: RunRequest, told: Callable[[Run, RunRecord], None] = lambda *_: None) -> RunRecord:
        def both(record: RunRecord) -> None:
            self.told.append(record)
            told(run, record)

        run = Run(request, both)
        run.prepare()
        return run_now(run)

    def output(self) -> Any:
        return nbformat.read(self.out, as_version=4)

    def printed(self) -> str:
        return "".join(each.get("text", "") for cell in self.output().cells for each in cell.get("outputs", []))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("JUPYTER_KUBERAY_DATA_DIR", str(tmp_path / "data"))
    return Bench(tmp_path)


def test_a_run_tells_each_cell_keeps_what_is_recorded_and_leaves_a_record_beside_its_output(bench: Bench):
    source = bench.notebook(
        "import os; print(os.getcwd(), x)", "from jupyter_kuberay import record\nrecord('double', 2 * x)", parameters="x: int = 1"
    )
    done = bench.run(bench.request(source, x=Text("4")))
    assert (done.state, done.done, done.cells, done.values, done.parameters) == (RunState.SUCCEEDED, 4, 4, {"double": 8}, {"x": 4})
    assert f"{bench.folder} 4" in bench.printed()
    assert [each.done for each in bench.told] == sorted(each.done for each in bench.told) and bench.told[0].state is RunState.PENDING
    kept = read_record(bench.out)
    assert kept is not None and replace(kept, heartbeat="") == replace(done, heartbeat="")
    assert [each.id for each in records.records()] == [done.id]
    paper = bench.output().metadata.papermill
    assert paper["parameters"] == {"x": 4} and paper["exception"] is None
    assert [cell.metadata.papermill["status"] for cell in bench.output().cells] == ["completed"] * 4


def test_what_is_recorded_is_in_mlflow_with_the_runs_parameters_where_that_is_set_up(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    source = bench.notebook("import jupyter_kuberay as jk\njk.record('loss', 0.5)\njk.record('who', 'me')", parameters="x = 1")
    where = bench.folder / "mlruns"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", where.as_uri())
    refused = bench.run(bench.request(source, x=2))  # which MLflow does not keep in a folder any more, unless it is told to
    assert refused.state is RunState.SUCCEEDED and refused.values == {"loss": 0.5, "who": "me"}
    assert "'loss' is recorded, and not in MLflow: " in bench.printed() and not where.exists()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert bench.run(bench.request(source, x=3)).state is RunState.SUCCEEDED
    (run,) = [path.parent for path in where.glob("*/*/params")]
    assert (run / "metrics/loss").read_text().split()[1] == "0.5"
    assert {path.name: path.read_text() for path in (run / "params").iterdir()} == {"x": "3", "who": "me"}
    assert "run_name: out\n" in (run / "meta.yaml").read_text()


def test_an_mlflow_that_is_away_is_a_warning_and_holds_nobody_up(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    values = "import os\nprint(sorted(name for name in os.environ if name.startswith('MLFLOW_')))"
    done = bench.run(bench.request(bench.notebook("import jupyter_kuberay as jk\njk.record('loss', 0.5)", values, parameters="x = 1"), x=2))
    assert done.state is RunState.SUCCEEDED and done.values == {"loss": 0.5}
    assert "'loss' is recorded, and not in MLflow: API request to http://127.0.0.1:9/" in bench.printed()
    assert "['MLFLOW_TRACKING_URI']" in bench.printed()  # what we set for our own calls is no setting of the user's


VALUES = ['"', "'''", "a\\nb", "a\nb", "ü…\U0001f600", "\\", "{x}", "x" * 1_000_000, ["a'b", {"k": 'v"'}], 1e300, -0.0, True, None]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_parameter_arrives_as_it_was_given(bench: Bench, value: Any):
    source = bench.notebook("import json, pathlib; pathlib.Path('x.json').write_text(json.dumps(x))", parameters="x = compute = None")
    assert bench.run(bench.request(source, x=value)).state is RunState.SUCCEEDED
    assert json.loads((bench.folder / "x.json").read_text()) == value


def test_what_cannot_run_is_refused_before_anything_is_written(bench: Bench):
    source = bench.notebook("1", parameters="x: int = 1")
    (bench.folder / "broken.ipynb").write_text('{"cells": [')
    (bench.folder / "other.ipynb").write_text('{"cells": 1}')
    for path, values, kind, said in (
        (source, {"y": 1}, InvalidSpec, "n.ipynb has no parameter y. It has: x."),
        (source, {"x": Text("a")}, InvalidSpec, "Parameter x of n.ipynb is of type int, and 'a' is none."),
        (bench.notebook("1", name="bare.ipynb"), {"x": 1}, InvalidSpec, "Tag the cell that has them with 'parameters'."),
        (bench.folder / "broken.ipynb", {}, InvalidSpec, "is no notebook"),
        (bench.folder / "other.ipynb", {}, InvalidSpec, "is no notebook"),
        (bench.folder / "none.ipynb", {}, NotFound, "There is no notebook"),
    ):
        with pytest.raises(kind) as refused:
            Run(bench.request(path, **values)).prepare()
        assert said in str(refused.value)
    with pytest.raises(Conflict, match="is the notebook itself"):
        Run(replace(bench.request(source), output=Place.of(source))).prepare()
    assert not bench.out.exists() and not records.records()


def test_an_output_that_cannot_be_written_is_found_before_the_run(bench: Bench):
    source = bench.notebook("1")
    (bench.folder / "file").write_text("")
    with pytest.raises(Unwritable, match="Name another place"):
        Run(replace(bench.request(source), output=Place.of(bench.folder / "file" / "out.ipynb"))).prepare()
    (bench.folder / "folder.ipynb").mkdir()
    with pytest.raises(Conflict, match="is a folder"):
        Run(replace(bench.request(source), output=Place.of(bench.folder / "folder.ipynb"))).prepare()


def test_two_runs_never_write_to_one_output(bench: Bench):
    source = bench.notebook("1")
    first = Run(bench.request(source))
    first.prepare()
    with pytest.raises(Conflict, match=r"Another run writes to .*out.ipynb' since \d{4}-"):
        Run(bench.request(source)).prepare()
    assert run_now(first).state is RunState.SUCCEEDED
    assert bench.run(bench.request(source)).state is RunState.SUCCEEDED, "it is free again"


def test_a_cell_that_raises_ends_the_run_and_names_its_line(bench: Bench):
    done = bench.run(bench.request(bench.notebook("print('before')", "x = 1\n1 / (x - 1)", "print('after')")))
    assert done.state is RunState.FAILED and done.done == 1
    assert done.error == "n.ipynb failed in cell [2] at `1 / (x - 1)`: ZeroDivisionError: division by zero"
    assert "before" in bench.printed() and "after" not in bench.printed()
    assert any("An Exception was encountered" in cell.source for cell in bench.output().cells), "as papermill marks it"


def test_stopped_once_it_ends_after_its_cell_and_everything_is_written(bench: Bench):
    source = bench.notebook("import time; time.sleep(1); print('whole')", "print('never')")

    def stop(run: Run, record: RunRecord) -> None:
        if record.cell and record.done == 0:
            run.stop()

    done = bench.run(bench.request(source), stop)
    assert (done.state, done.error) == (RunState.INTERRUPTED, "Interrupted after 1 of 2 cells.")
    assert "whole" in bench.printed() and "never" not in bench.printed()


def test_stopped_twice_the_cell_is_interrupted_and_shows_where(bench: Bench):
    source = bench.notebook("import time\nprint('begun', flush=True)\ntime.sleep(600)", "print('never')")

    def stop(run: Run, record: RunRecord) -> None:
        if record.cell and record.done == 0:
            asyncio.get_running_loop().call_later(1.5, run.stop)
            asyncio.get_running_loop().call_later(1.6, run.stop)

    began = time.monotonic()
    done = bench.run(bench.request(source), stop)
    assert done.state is RunState.INTERRUPTED and time.monotonic() - began < 120
    errors = [each for cell in bench.output().cells for each in cell.get("outputs", []) if each.output_type == "error"]
    assert [each.ename for each in errors] == ["KeyboardInterrupt"] and "begun" in bench.printed()


def test_a_cell_that_never_ends_is_ended_after_its_time(bench: Bench):
    source = bench.notebook("print('begun', flush=True)\nwhile True:\n    pass", "1")
    done = bench.run(replace(bench.request(source), cell_timeout=2.0))
    assert (done.state, done.error) == (RunState.FAILED, "n.ipynb failed: code cell 1 took longer than 2 s.")
    assert "begun" in bench.printed()


def test_a_cell_that_ignores_interrupts_is_ended_all_the_same(bench: Bench):
    source = bench.notebook(
        """
        import time
        while True:
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                print("not me", flush=True)
        """
    )
    done = bench.run(replace(bench.request(source), cell_timeout=1.0))
    assert done.state is RunState.FAILED and "took longer than 1 s" in done.error


def test_a_kernel_that_is_killed_fails_the_run_and_what_ran_is_written(bench: Bench):
    done = bench.run(bench.request(bench.notebook("print('before')", "import os; os.kill(os.getpid(), 9)", "1")))
    assert done.state is RunState.FAILED and "n.ipynb failed: its kernel died." in done.error
    assert "before" in bench.printed()


def test_a_cell_that_prints_100_megabytes_leaves_a_notebook_that_opens_and_a_file_with_all_of_it(bench: Bench):
    done = bench.run(bench.request(bench.notebook("for _ in range(1250): print(('x' * 79 + '\\n') * 999 + 'y' * 79)", "print('end')")))
    assert done.state is RunState.SUCCEEDED
    assert bench.out.stat().st_size < 2_000_000 and bench.printed().endswith("end\n")
    assert "all that this cell printed is in out.cell-1.txt" in bench.printed()
    assert (bench.folder / "out.cell-1.txt").stat().st_size == 1250 * 1000 * 80


RUNNER = """
import signal, sys
from jupyter_kuberay.batch import Place, Run, RunRequest, run_now
request = RunRequest(Place.of(sys.argv[1]), Place.of(sys.argv[2]), attach=False)
run = Run(request, lambda record: print(record.state, record.cell, flush=True))
run.prepare()
done = run_now(run, lambda count: print("stops", count, flush=True))
print(done.state, done.error, flush=True)
"""


def runner(bench: Bench, source: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", RUNNER, str(source), str(bench.out)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Running print('begun'"):
            return process
    raise AssertionError("it did not begin")


def test_ctrl_c_ends_a_run_after_its_cell(bench: Bench):
    process = runner(bench, bench.notebook("print('begun')\nimport time; time.sleep(3); print('whole')", "print('never')"))
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert "stops 1\n" in said and "Interrupted Interrupted after 1 of 2 cells." in said and "whole" in bench.printed()


def test_a_runner_that_is_killed_leaves_what_ran_and_its_run_is_lost(bench: Bench):
    process = runner(bench, bench.notebook("print('begun', flush=True)\nimport time; time.sleep(600)"))
    try:
        deadline = time.monotonic() + 60
        while "begun" not in (bench.printed() if bench.out.exists() else "") and time.monotonic() < deadline:
            time.sleep(0.2)
        assert "begun" in bench.printed(), "it is written while the cell runs"
        process.kill()
        process.wait()
        lost = read_record(bench.out)
        assert lost is not None and lost.state is RunState.LOST and lost.error == "Whatever ran it ended without a word."
        assert [each.state for each in records.records()] == [RunState.LOST]
        assert bench.run(bench.request(bench.notebook("1"))).state is RunState.SUCCEEDED, "its output is free"
    finally:
        process.kill()
        process.wait()
        end_kernels_of(process.pid)


def end_kernels_of(runner: int) -> None:
    """ipykernel ends by itself when its parent is gone; what is left after a while is ended."""
    deadline = time.monotonic() + 30
    while left := [int(name) for name in os.listdir("/proc") if name.isdigit() and _parent_variable(name) == str(runner)]:
        if time.monotonic() > deadline:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            raise AssertionError("the killed runner's kernel goes on")
        time.sleep(0.2)


def _parent_variable(pid: str) -> str:
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    return next((each.partition(b"=")[2].decode() for each in entries if each.startswith(b"JPY_PARENT_PID=")), "")


class Failing:
    """A place's writing, which fails for as long as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
        self.fails = False
        self.failed = 0
        write = Place.write

        def failing(place: Place, content: bytes) -> None:
            if self.fails and "rescued" not in place.url:
                self.failed += 1
                raise Unwritable(f"{place.url!r} cannot be written: {error.strerror}.", "Make room.") from error
            write(place, content)

        monkeypatch.setattr(Place, "write", failing)


def test_a_store_that_is_away_for_a_while_gets_everything_when_it_is_back(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(saving, "ELSEWHERE_S", 0.2)
    store = Failing(monkeypatch, OSError(errno.ECONNREFUSED, "Connection refused"))
    request = replace(
        bench.request(bench.notebook("print('one')", "import time; time.sleep(2)", "print('two')")), output=Place("memory://b/o.ipynb")
    )

    def told(run: Run, record: RunRecord) -> None:
        store.fails = record.done >= 1 and not record.state.over
        if record.state.over:
            store.fails = True
            asyncio.get_running_loop().call_later(3, lambda: setattr(store, "fails", False))

    done = bench.run(request, told)
    assert done.state is RunState.SUCCEEDED and store.failed > 1
    assert "two" in Place("memory://b/o.ipynb").read().decode()
    assert json.loads(Place("memory://b/o.run.json").read())["state"] == "Succeeded"


def test_a_full_disk_ends_no_run_and_what_ran_is_kept_elsewhere(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    disk = Failing(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))

    def told(run: Run, record: RunRecord) -> None:
        disk.fails = record.done >= 1

    with pytest.raises(Refused, match="No space left on device") as refused:
        bench.run(bench.request(bench.notebook("print('one')", "print('two')")), told)
    rescued = Path(refused.value.hint.removeprefix("What ran is in ").partition(";")[0])
    assert rescued.parent == bench.folder / "data" / "rescued"
    assert "two" in json.dumps(nbformat.read(rescued, as_version=4))
    assert records.records()[0].state is RunState.FAILED


def test_a_notebook_is_written_to_a_url_at_intervals_and_whole_at_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(saving, "ELSEWHERE_S", 1.0)
    written: list[str] = []
    write = Place.write

    def counting(place: Place, content: bytes) -> None:
        written.append(place.name)
        write(place, content)

    monkeypatch.setattr(Place, "write", counting)
    request = replace(bench.request(bench.notebook(*["1"] * 40, "print('end')")), output=Place("memory://c/o.ipynb"))
    assert bench.run(request).state is RunState.SUCCEEDED
    assert 2 <= written.count("o.ipynb") < 40
    notebook = nbformat.reads(Place("memory://c/o.ipynb").read().decode(), as_version=4)
    nbformat.validate(notebook)
    assert "end" in json.dumps(notebook)


def test_many_runs_go_side_by_side_in_one_process(bench: Bench):
    source = bench.notebook("import time; time.sleep(2)", parameters="x = 0")

    async def all_of_them() -> list[RunRecord]:
        runs = [Run(replace(bench.request(source, x=number), output=Place.of(bench.folder / f"{number}.ipynb"))) for number in range(3)]
        for run in runs:
            await asyncio.to_thread(run.prepare)
        return list(await asyncio.gather(*(run.go() for run in runs)))

    done = run_sync(all_of_them())
    assert [each.state for each in done] == [RunState.SUCCEEDED] * 3
    began, ended = max(each.started for each in done), min(each.ended for each in done)
    assert began < ended
