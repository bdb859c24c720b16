"""``%kuberay`` in IPython; nothing here starts a cluster."""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from jupyter_kuberay import cluster as clusters
from jupyter_kuberay.errors import InvalidSpec, NotFound
from jupyter_kuberay.faces import magics
from jupyter_kuberay.faces.answers import Listing
from jupyter_kuberay.faces.commands import kuberay
from jupyter_kuberay.faces.face import WrongUse
from jupyter_kuberay.source import find_source
from jupyter_kuberay.status import ClusterStatus, Phase


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("JUPYTER_KUBERAY_DATA_DIR", raising=False)
    monkeypatch.setattr(clusters, "_client", None)  # one of this test's folders
    InteractiveShell.clear_instance()
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    assert shell.run_cell("%load_ext jupyter_kuberay").success
    yield shell
    InteractiveShell.clear_instance()


def run(shell: InteractiveShell, cell: str) -> Any:
    done = shell.run_cell(cell)
    done.raise_error()
    return done.result


def test_loading_the_extension_adds_the_magic_and_unloading_takes_it_away(shell: InteractiveShell) -> None:
    assert "kuberay" in shell.magics_manager.magics["line"]
    run(shell, "%unload_ext jupyter_kuberay")
    assert "kuberay" not in shell.magics_manager.magics["line"]


def test_a_result_can_be_kept_in_a_variable_and_is_an_object(shell: InteractiveShell) -> None:
    run(shell, "profiles = %kuberay profiles")
    profiles = shell.user_ns["profiles"]
    assert isinstance(profiles, Listing)
    assert [profile.name for profile in profiles] == ["cpu-small", "cpu", "gpu"]
    assert profiles[2].limits.gpus == 8


def test_a_list_is_a_table_in_a_notebook_and_text_elsewhere(shell: InteractiveShell) -> None:
    shown, _ = shell.display_formatter.format(run(shell, "%kuberay profiles"))
    assert "<table>" in shown["text/html"] and "cpu-small" in shown["text/html"]
    assert shown["text/plain"].lstrip().startswith("NAME")


def test_a_status_is_a_card_in_a_notebook_and_text_elsewhere(shell: InteractiveShell) -> None:
    status = ClusterStatus(name="alice-1", phase=Phase.READY, ready={"gpu": 2}, wanted={"gpu": 2}, gpus=2, simulated_gpus=True)
    shown, _ = shell.display_formatter.format(status)
    assert "<b>alice-1</b>" in shown["text/html"] and "2 simulated" in shown["text/html"]
    assert "2 of 2 gpu" in shown["text/plain"]


def test_json_gives_plain_values(shell: InteractiveShell) -> None:
    assert run(shell, "%kuberay list -o json") == []
    assert run(shell, "%kuberay profiles -o json")[0]["name"] == "cpu-small"


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("up Alice", InvalidSpec, "'Alice'"),
        ("up a --memory '8 G'", InvalidSpec, "8 G"),
        ("up a --profile nonsense", InvalidSpec, "nonsense"),
        ("up a --backend slurm", WrongUse, "no backend"),
        ("status a", NotFound, "There is no cluster 'a'"),
        ("attach", NotFound, "There is no cluster"),
        ("nonsense", WrongUse, "nonsense"),
        ("up a 'b", WrongUse, "quotation"),
    ],
)
def test_an_error_is_one_message_and_one_hint(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], line: str, error: type[Exception], message: str
) -> None:
    done = shell.run_cell(f"%kuberay {line}")
    assert isinstance(done.error_in_exec, error)
    said = capsys.readouterr()
    first, hint, *rest = (said.out + said.err).strip().splitlines()
    assert first.startswith(f"{error.__name__}: ") and message in first
    assert hint and not rest
    assert "Traceback" not in said.out + said.err


def test_the_traceback_can_still_be_asked_for(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_cell("%kuberay status a")
    capsys.readouterr()
    shell.run_cell("%tb")
    said = capsys.readouterr().out
    assert "Traceback" in said and "client.py" in said


def test_the_magic_has_the_command_lines_help(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    for name in kuberay.commands:
        run(shell, f"%kuberay {name} --help")
        assert capsys.readouterr().out.startswith(f"Usage: %kuberay {name}")


@pytest.mark.parametrize(
    ("line", "found"),
    [("%kuberay st", "status"), ("%kuberay up a --profile g", "gpu"), ("x = %kuberay up a --pro", "--profile"), ("kuberay res", "resume")],
)
def test_commands_options_and_names_are_completed(shell: InteractiveShell, line: str, found: str) -> None:
    _, matches = shell.complete("", line, len(line))
    assert found in matches


@pytest.mark.parametrize(
    ("cell", "error", "message"),
    [
        ("%%kuberay status\nx", WrongUse, "%%kuberay status takes no cell"),
        ("%%kuberay\nx", WrongUse, "%%kuberay takes no cell"),
        ("%%kuberay job a\nprint(1)", NotFound, "There is no cluster"),
        ("%%kuberay job a --cluster b\nprint(1)", NotFound, "There is no cluster 'b'"),
        ("%%kuberay job a --cluster b --workers 2\nprint(1)", WrongUse, "Both"),
        ("%%kuberay job A --cluster b\nprint(1)", InvalidSpec, "'A'"),
        ("%%kuberay job a --cluster b\n%time x", InvalidSpec, "line 1"),
        ("%%kuberay job a --cluster b\nprint(elsewhere)", InvalidSpec, "elsewhere, which other cells have defined"),
        ("%kuberay job", WrongUse, "No job is named"),
        ("%kuberay job a --cluster b", WrongUse, "Nothing is there to run"),
        ("%kuberay job a", NotFound, "There is no job 'a'"),
        ("%kuberay stop a", NotFound, "There is no job 'a'"),
        ("%kuberay app a", WrongUse, "No application is there"),
        ("%kuberay publish a", WrongUse, "--app"),
        ("%%kuberay app a\nx = 1", WrongUse, "defines no 'app'"),
        ("%%kuberay app a\nprint(elsewhere)", InvalidSpec, "elsewhere, which other cells have defined"),
    ],
)
def test_an_error_of_a_cell_is_one_message_and_one_hint_and_has_its_traceback(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], cell: str, error: type[Exception], message: str
) -> None:
    run(shell, "elsewhere = 1")
    done = shell.run_cell(cell)
    assert isinstance(done.error_in_exec, error), done.error_in_exec
    said = capsys.readouterr()
    first, hint, *rest = (said.out + said.err).strip().splitlines()
    assert first.startswith(f"{error.__name__}: ") and message in first
    assert hint and not rest
    shell.run_cell("%tb")
    assert "Traceback" in capsys.readouterr().out


def test_an_error_in_an_applications_cell_is_shown_as_in_any_other_cell(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(shell.run_cell("%%kuberay app a\nx = 1\n1 / 0").error_in_exec, ZeroDivisionError)
    assert "----> 2 1 / 0" in re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)


def test_a_cell_that_is_too_large_to_travel_is_refused_with_the_sizes(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    cell = f"%%kuberay job a --cluster b\nx = '{random.Random(4711).randbytes(500_000).hex()}'"
    assert isinstance(shell.run_cell(cell).error_in_exec, InvalidSpec)
    assert re.search(r"has \d+ KB when it is packed; \d+ KB fit", capsys.readouterr().out)


def test_help_of_a_cells_command_is_the_command_lines(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    run(shell, "%%kuberay job --help\nx")
    assert capsys.readouterr().out.startswith("Usage: %kuberay job")


def test_an_application_is_kept_with_its_cells_source_and_completed(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "words_4711.py").write_text("GREETING = 'hello'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    run(
        shell,
        """%%kuberay app greeter-1 --app main --no-publish
from ray import serve
from words_4711 import GREETING

@serve.deployment
class Greeter:
    def __call__(self, request):
        return GREETING

main = Greeter.bind()
""",
    )
    assert "%kuberay publish greeter-1" in capsys.readouterr().out
    assert "Greeter" in shell.user_ns
    assert "greeter-1" in shell.complete("", "%kuberay publish gr", 19)[1]
    made = magics._applications["greeter-1"]
    with made.written() as app:
        found = find_source(app)
    assert found.app == "greeter_1_app:main" and set(found.files) == {"greeter_1_app.py", "words_4711.py"}
    assert [each.name for each in found.deployments] == ["Greeter"]


def test_an_application_that_is_not_bound_yet_is_said_to_be_so(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    cell = "%%kuberay app a\nfrom ray import serve\n@serve.deployment\ndef app(request):\n    return 1\n"
    assert isinstance(shell.run_cell(cell).error_in_exec, WrongUse)
    assert "app = app.bind()" in capsys.readouterr().out


def test_jobs_are_a_table_also_when_there_is_none(shell: InteractiveShell) -> None:
    assert "There is no job" in shell.display_formatter.format(run(shell, "%kuberay jobs"))[0]["text/html"]


def test_models_that_runs_have_left_are_completed(shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs" / "7" / "model").mkdir(parents=True)
    (tmp_path / "runs" / "7" / "training.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    line = "%kuberay publish a --model ru"
    assert "runs/7/model" in shell.complete("", line, len(line))[1]


def test_other_errors_keep_their_traceback(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_cell("1 / 0")
    assert "Traceback" in capsys.readouterr().out


@pytest.mark.parametrize(("module", "name"), magics.SHOWN)
def test_what_a_notebook_shows_as_a_table_is_known_by_the_module_that_its_class_says(module: str, name: str) -> None:
    assert getattr(importlib.import_module(module), name).__module__ == module
