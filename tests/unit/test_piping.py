"""Pipelines that run: in order, side by side, again only where something changed, on from where they failed."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from jupyter_kuberay.batch.inputs import marks
from jupyter_kuberay.batch.many import Runs
from jupyter_kuberay.batch.opening import open_pipeline
from jupyter_kuberay.batch.piping import PipelineRun, StepRequest, StepState, Told, run_pipeline
from jupyter_kuberay.batch.places import Place
from jupyter_kuberay.batch.records import RunRecord, read_record
from jupyter_kuberay.batch.running import RunRequest
from jupyter_kuberay.errors import InvalidSpec, KubeRayError, NotFound, Refused
from tests.unit.notebooks import Runner, write_notebook

pytestmark = pytest.mark.asyncio

TEXT = """
name: letters
parameters: {text: b a c, out: ../out}
output: ${out}
steps:
  data:
    notebook: data.ipynb
    parameters: {text: "${text}"}
    outputs: [letters]
  sorting:
    notebook: sorting.ipynb
    parameters: {letters: "${data.letters}"}
    outputs: [ordered]
  counting:
    notebook: counting.ipynb
    parameters: {letters: "${data.letters}"}
    outputs: [count]
  telling:
    notebook: telling.ipynb
    parameters: {said: "${sorting.ordered} are ${counting.count}"}
  looking:
    notebook: looking.ipynb
    after: [counting]
"""


class Pipes:
    """A folder with a pipeline, which is run again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "notebooks"
        self.file = self.folder / "pipeline.yaml"
        self.runner = Runner()
        self.told: list[PipelineRun] = []
        self.notebook("data", "text = ''", "record('letters', text.split())")
        self.notebook("sorting", "letters = []", "record('ordered', sorted(letters))")
        self.notebook("counting", "letters = []", "record('count', len(letters))")
        self.notebook("telling", "said = ''", "record('said', said)")
        self.notebook("looking", "x = 1", "x += 1")
        self.write(TEXT)

    def write(self, text: str) -> None:
        self.file.write_text(text, encoding="utf-8")

    def notebook(self, name: str, parameters: str, *cells: str) -> None:
        write_notebook(self.folder / f"{name}.ipynb", parameters, *cells)

    async def step(self, request: StepRequest, told: Told) -> RunRecord:
        return await self.runner.run(request.step, request.notebook, request.parameters, request.output, told, request.group)

    async def run(self, parameters: dict[str, object] | None = None, **more: object) -> tuple[PipelineRun, list[str]]:
        """The pipeline afterwards, and the steps that ran."""
        self.runner.begun.clear()
        opened = open_pipeline(self.file, parameters)
        done = await run_pipeline(opened, self.step, told=self.told.append, **more)  # type: ignore[arg-type]
        return done, list(self.runner.begun)


@pytest.fixture
def pipes(tmp_path: Path) -> Pipes:
    return Pipes(tmp_path)


def states(run: PipelineRun) -> dict[str, str]:
    return {one.step.name: str(one.state) for one in run.steps}


ALL = ["data", "sorting", "counting", "telling", "looking"]


async def test_it_runs_in_order_and_hands_values_on_with_their_types(pipes: Pipes):
    done, ran = await pipes.run()
    assert sorted(ran) == sorted(ALL) and ran[0] == "data" and ran.index("telling") > max(ran.index("sorting"), ran.index("counting"))
    assert set(states(done).values()) == {"Succeeded"} and done.exit_code == 0
    assert done["sorting"].parameters == {"letters": ["b", "a", "c"]} and done["sorting"].values == {"ordered": ["a", "b", "c"]}
    assert done["telling"].values == {"said": '["a","b","c"] are 3'}
    assert read_record(pipes.folder.parent / "out" / "telling.ipynb").group == "letters"  # type: ignore[union-attr]


async def test_what_is_independent_runs_side_by_side_but_not_more_than_allowed(pipes: Pipes):
    pipes.runner.meet = {"sorting", "counting"}
    await pipes.run(at_once=2)
    assert frozenset({"sorting", "counting"}) in pipes.runner.together
    pipes.runner.together.clear()
    await pipes.run(force=True, at_once=1)
    assert {len(one) for one in pipes.runner.together} == {1}


async def test_unchanged_nothing_is_run_again(pipes: Pipes):
    first, _ = await pipes.run()
    again, ran = await pipes.run()
    assert ran == [] and set(states(again).values()) == {"Unchanged"} and again.exit_code == 0
    assert again["telling"].record == first["telling"].record


async def test_another_notebook_runs_again_with_what_comes_after_it_but_not_beside_it(pipes: Pipes):
    await pipes.run()
    pipes.notebook("counting", "letters = []", "record('count', 10 * len(letters))")
    done, ran = await pipes.run()
    assert sorted(ran) == ["counting", "looking", "telling"]
    assert done["telling"].values == {"said": '["a","b","c"] are 30'}


async def test_prose_and_outputs_of_a_notebook_run_nothing_again(pipes: Pipes):
    await pipes.run()
    file = pipes.folder / "data.ipynb"
    notebook = nbformat.read(file, as_version=4)
    notebook.cells[0].source = "# Other words"
    notebook.cells[1].execution_count = 7
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="seen")]
    nbformat.write(notebook, file)
    assert (await pipes.run())[1] == []
    notebook.cells[2].source += "\n"
    nbformat.write(notebook, file)
    assert (await pipes.run())[1] == ["data"]


async def test_a_step_that_ran_again_and_recorded_the_same_leaves_what_only_takes_its_values(pipes: Pipes):
    await pipes.run()
    pipes.notebook("counting", "letters = []", "count = len(letters)", "record('count', count)")
    _, ran = await pipes.run()
    assert ran == ["counting", "looking"]  # looking is after it, whatever it recorded


async def test_another_parameter_runs_again_what_it_reaches(pipes: Pipes):
    await pipes.run()
    done, ran = await pipes.run({"text": "x y z"})
    assert sorted(ran) == ["counting", "data", "looking", "sorting", "telling"]
    _, ran = await pipes.run({"text": "x  y  z"})
    assert ran == ["data"]  # the letters are the same
    assert done["data"].parameters == {"text": "x y z"}


async def test_forced_everything_or_what_is_named_runs_again(pipes: Pipes):
    await pipes.run()
    _, ran = await pipes.run(force=True)
    assert sorted(ran) == sorted(ALL)
    done, ran = await pipes.run(force=["sorting"])
    assert ran == ["sorting"] and states(done)["telling"] == "Unchanged"
    with pytest.raises(InvalidSpec, match="letters has no step sort") as refused:
        await pipes.run(force=["sort"])
    assert refused.value.hint == "Did you mean sorting?"


@pytest.mark.parametrize("name", ["sorting.ipynb", "sorting.run.json", "sorting.step.json"])
async def test_an_output_or_record_that_is_gone_or_broken_is_made_again(pipes: Pipes, name: str):
    await pipes.run()
    file = pipes.folder.parent / "out" / name
    file.unlink()
    _, ran = await pipes.run()
    assert ran == ["sorting"]
    if file.suffix == ".json":
        file.write_text("[1, 2")
        _, ran = await pipes.run()
        assert ran == ["sorting"]


async def test_a_step_that_fails_keeps_back_only_what_needs_it_and_the_next_run_goes_on_there(pipes: Pipes):
    pipes.notebook("sorting", "letters = []", "1 / 0")
    done, ran = await pipes.run()
    assert states(done) == {"data": "Succeeded", "sorting": "Failed", "counting": "Succeeded", "telling": "Skipped", "looking": "Succeeded"}
    assert done["sorting"].error == "ZeroDivisionError: division by zero" and done.exit_code == 1
    assert done["telling"].error == "It was skipped: sorting, which it needs, failed."
    assert "telling" not in ran
    pipes.notebook("sorting", "letters = []", "record('ordered', sorted(letters))")
    done, ran = await pipes.run()
    assert ran == ["sorting", "telling"] and done.exit_code == 0


async def test_a_failure_that_the_world_caused_is_tried_again_though_nothing_changed(pipes: Pipes, tmp_path: Path):
    flag = tmp_path / "there"
    pipes.notebook("sorting", "letters = []", f"open({str(flag)!r})", "record('ordered', letters)")
    done, _ = await pipes.run()
    assert states(done)["sorting"] == "Failed"
    flag.touch()
    done, ran = await pipes.run()
    assert ran == ["sorting", "telling"] and done.exit_code == 0


async def test_a_declared_output_that_is_not_recorded_fails_the_step_in_a_sentence(pipes: Pipes):
    pipes.notebook("counting", "letters = []", "record('cuont', 3)")
    for _ in range(2):  # and it is not taken for done the next time
        done, ran = await pipes.run()
        assert "counting" in ran
        one = done["counting"]
        assert one.state is StepState.FAILED
        assert one.error == "counting.ipynb ran to its end without recording count, which the pipeline declares as its output."
        assert one.hint == 'Add record("count", …) to it.'
    assert states(done)["telling"] == "Skipped"


async def test_an_output_declared_later_is_recorded_by_running_again(pipes: Pipes):
    await pipes.run()
    pipes.write(TEXT.replace("outputs: [count]", "outputs: [count, most]"))
    done, ran = await pipes.run()
    assert ran == ["counting"] and "without recording most" in done["counting"].error


async def test_a_run_that_cannot_begin_is_that_steps_failure(pipes: Pipes):
    async def run(request: StepRequest, told: Told) -> RunRecord:
        if request.step == "counting":
            raise Refused("The disk is full.", "Free some.")
        if request.step == "sorting":
            raise ZeroDivisionError("division by zero")
        return await pipes.step(request, told)

    done = await run_pipeline(open_pipeline(pipes.file), run)
    assert states(done) == {"data": "Succeeded", "sorting": "Failed", "counting": "Failed", "telling": "Skipped", "looking": "Skipped"}
    assert (done["counting"].error, done["counting"].hint) == ("The disk is full.", "Free some.")
    assert done["sorting"].error == "ZeroDivisionError: division by zero"


async def test_stopped_once_what_runs_ends_after_its_cell_and_the_next_run_goes_on(pipes: Pipes):
    pipes.runner.gate = asyncio.Event()
    going = asyncio.create_task(pipes.run(stop=pipes.runner.stop))
    await _until(lambda: pipes.runner.begun == ["data"] and bool(pipes.told) and pipes.told[-1]["data"].record is not None)
    pipes.runner.stop.set()
    await _until(lambda: pipes.told[-1].stopping)  # said while it still runs
    pipes.runner.gate.set()
    done, ran = await going
    assert ran == ["data"] and done.ended
    assert states(done) == {"data": "Interrupted", "sorting": "Skipped", "counting": "Skipped", "telling": "Skipped", "looking": "Skipped"}
    pipes.runner.stop.clear()
    done, ran = await pipes.run()
    assert sorted(ran) == sorted(ALL) and done.exit_code == 0


async def test_cancelled_what_runs_is_cancelled_and_what_is_done_stays_done(pipes: Pipes):
    await pipes.run(force=["data"])
    pipes.notebook("sorting", "letters = []", "record('ordered', [])")
    pipes.runner.gate = asyncio.Event()
    going = asyncio.create_task(pipes.run())
    await _until(lambda: "sorting" in pipes.runner.running)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert not pipes.runner.running and states(pipes.told[-1])["sorting"] == "Interrupted"
    pipes.runner.gate.set()
    _, ran = await pipes.run()
    assert ran == ["sorting", "telling"]


async def test_each_change_is_told_as_a_value_with_progress_by_cell(pipes: Pipes):
    await pipes.run(at_once=1)
    seen = [(str(one["data"].state), one["data"].record.done if one["data"].record else 0) for one in pipes.told]
    assert list(dict.fromkeys(seen)) == [("Running", 0), ("Running", 1), ("Running", 2), ("Succeeded", 2)]
    assert str(pipes.told[0]["telling"].state) == "Pending"


async def test_as_text_and_in_a_notebook_it_is_a_table(pipes: Pipes):
    pipes.notebook("sorting", "letters = []", "raise ValueError('<b>')")
    done, _ = await pipes.run()
    lines = [line.rstrip() for line in repr(done).splitlines()]
    assert lines[0] == "letters: 3 succeeded, 1 failed, 1 skipped"
    assert lines[2].split()[:2] == ["data", "Succeeded"] and lines[2].endswith('letters = ["b","a","c"]')
    assert "sorting: ValueError: <b>" in lines
    assert "&lt;b&gt;" in done._repr_html_() and "<b>'" not in done._repr_html_()


async def test_notebooks_run_in_kernels_stop_after_their_cell_and_the_next_run_goes_on(pipes: Pipes):
    importing = "from jupyter_kuberay.recording import record"
    pipes.notebook("data", "text = ''", f"{importing}\nrecord('letters', text.split())")
    pipes.notebook("sorting", "letters = []", f"{importing}\nrecord('ordered', sorted(letters))", "1 + 1")
    pipes.write(TEXT[: TEXT.index("  counting:")])
    runs, stopping = Runs(), True

    async def run(request: StepRequest, told: Told) -> RunRecord:
        def heard(record: RunRecord) -> None:
            told(record)
            if stopping and "ordered" in record.values:
                runs.stop()

        notebook = RunRequest(Place.of(request.notebook), Place.of(request.output), request.parameters, attach=False, group=request.group)
        return await runs.one(notebook, heard)

    done = await run_pipeline(open_pipeline(pipes.file), run, stop=runs.stopping)
    assert states(done) == {"data": "Succeeded", "sorting": "Interrupted"}
    assert done["sorting"].error == "Interrupted after 3 of 4 cells."
    runs, stopping = Runs(), False
    done = await run_pipeline(open_pipeline(pipes.file), run, stop=runs.stopping)
    assert states(done) == {"data": "Unchanged", "sorting": "Succeeded"} and done["sorting"].values == {"ordered": ["a", "b", "c"]}


# --- what a step is made from ----------------------------------------------

FILES = """
output: ../out
steps:
  making: {notebook: making.ipynb, parameters: {folder: made}, outputs: [folder]}
  reading: {notebook: reading.ipynb, parameters: {table: table.csv, made: "${making.folder}"}}
  writing: {notebook: writing.ipynb, parameters: {target: written.txt, work: work}}
"""


@pytest.fixture
def files(pipes: Pipes) -> Pipes:
    making = ["import os", f"os.makedirs({str(pipes.folder / 'made')!r}, exist_ok=True)", "record('folder', folder)"]
    pipes.notebook("making", "folder = ''", "\n".join(making))
    pipes.notebook("reading", "table = ''\nmade = ''", "1")
    writing = ["import os, time", f"os.chdir({str(pipes.folder)!r})", "open(target, 'w').write(str(time.time_ns()))"]
    pipes.notebook("writing", "target = ''\nwork = ''", "\n".join(writing))
    pipes.write(FILES)
    (pipes.folder / "table.csv").write_text("a,b\n")
    (pipes.folder / "work").mkdir()
    return pipes


async def test_a_file_that_a_parameter_names_counts_by_its_content(files: Pipes):
    await files.run()
    os.utime(files.folder / "table.csv", (1, 1))
    assert (await files.run())[1] == []
    (files.folder / "table.csv").write_text("a,c\n")
    assert (await files.run())[1] == ["reading"]


async def test_a_folder_that_another_step_recorded_counts_by_what_is_in_it(files: Pipes):
    await files.run()
    (files.folder / "made" / "deep").mkdir()
    (files.folder / "made" / "deep" / "part").write_text("1")
    assert (await files.run())[1] == ["reading"]
    assert (await files.run())[1] == []


async def test_what_a_step_writes_itself_is_none_of_its_inputs_until_somebody_else_changes_it(files: Pipes):
    await files.run()
    (files.folder / "work" / "scratch").write_text("a folder that a plain parameter names is there to be written to")
    assert (await files.run())[1] == []
    (files.folder / "written.txt").unlink()
    assert (await files.run())[1] == ["writing"]
    assert (await files.run())[1] == []


async def test_a_folder_counts_where_the_pipeline_says_that_it_is_an_input(files: Pipes):
    files.write(FILES.replace("work: work}}", "work: work}, inputs: [work]}"))
    await files.run()
    assert (await files.run())[1] == []
    (files.folder / "work" / "scratch").write_text("new")
    assert (await files.run())[1] == ["writing"]


async def test_a_url_counts_by_what_its_store_says_of_it():
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe_file("/marks/a/x", b"1")
    found = {"one": "memory://marks/a/x", "all": ["memory://marks/a"], "none": "memory://marks/b", "other": "ray://head:10001"}
    before = marks(found, ".", {"all"})
    assert set(before) == {"memory://marks/a/x", "memory://marks/a"}
    assert marks(found, ".", {"all"}) == before
    store.pipe_file("/marks/a/x", b"12")
    after = marks(found, ".", {"all"})
    assert all(after[text] != before[text] for text in before)


async def test_a_store_that_cannot_be_asked_is_never_taken_for_unchanged():
    found = {"one": "ftp://127.0.0.1:9/x"}  # nobody listens at port 9
    assert marks(found, ".") != marks(found, ".")


async def test_into_a_store_it_writes_and_finds_again_what_is_unchanged(pipes: Pipes):
    into = {"out": "memory://piping/letters"}
    await pipes.run(into)
    assert (await pipes.run(into))[1] == []
    assert sorted((await pipes.run({**into, "text": "b a c d"}))[1]) == sorted(ALL)


# --- before anything runs ----------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (TEXT.replace("sorting.ipynb", "sortng.ipynb"), NotFound, r"pipeline\.yaml: step sorting names sortng\.ipynb"),
        (TEXT.replace("{said:", "{sad:"), InvalidSpec, r"Step telling: telling\.ipynb has no parameter sad"),
        (TEXT.replace("looking.ipynb", "pipeline.yaml"), InvalidSpec, "is no notebook"),
        (TEXT.replace("after: [counting]", "after: [looking]"), InvalidSpec, "looking → looking"),
    ],
)
async def test_what_cannot_run_is_found_before_anything_does(pipes: Pipes, text: str, kind: type[KubeRayError], said: str):
    pipes.write(text)
    with pytest.raises(kind, match=said):
        await pipes.run()
    assert pipes.runner.begun == [] and not (pipes.folder.parent / "out").exists()


async def test_a_pipeline_that_is_not_there_is_told_in_a_sentence(tmp_path: Path):
    with pytest.raises(NotFound, match="There is no pipeline"):
        open_pipeline(tmp_path)


async def test_a_pipeline_is_found_by_its_folder_and_written_elsewhere_when_asked(pipes: Pipes, tmp_path: Path):
    opened = open_pipeline(pipes.folder, output=str(tmp_path / "elsewhere"))
    assert opened.outputs["data"] == str(tmp_path / "elsewhere" / "data.ipynb")
    assert opened.notebooks["data"] == str(pipes.folder / "data.ipynb")


async def _until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.001)
