"""``%kuberay`` in IPython; nothing here starts a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from jupyter_kuberay import cluster as clusters
from jupyter_kuberay.errors import InvalidSpec, NotFound
from jupyter_kuberay.faces.answers import Listing
from jupyter_kuberay.faces.commands import kuberay
from jupyter_kuberay.faces.face import WrongUse
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


def test_other_errors_keep_their_traceback(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_cell("1 / 0")
    assert "Traceback" in capsys.readouterr().out
