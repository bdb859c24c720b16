"""``%kuberay`` where IPython is no notebook: a script, and a terminal. Processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SAYS = """
profiles = %kuberay profiles -o json
print([profile["name"] for profile in profiles])
%kuberay list
%kuberay status nobody
"""


@pytest.fixture
def ipython(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("JUPYTER_KUBERAY_DATA_DIR", raising=False)

    def run(*words: str, says: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "--HistoryManager.enabled=False", *words]
        return subprocess.run(command, input=says, capture_output=True, text=True, timeout=100, cwd=tmp_path, check=False)

    return run


def test_in_a_terminal_results_are_text_and_an_error_has_no_traceback(ipython: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    said = ipython(
        "--simple-prompt", says=f"%load_ext jupyter_kuberay{SAYS}get_ipython().run_cell_magic('kuberay', 'job a', 'print(1)')\n"
    ).stdout
    assert "['cpu-small', 'cpu', 'gpu']" in said and "There is no cluster. Bring one up" in said
    assert "NotFound: There is no cluster 'nobody'." in said
    assert "NotFound: There is no cluster.\n" in said and "Traceback" not in said


def test_a_script_of_ipython_runs_commands_and_ends_at_the_first_that_fails(
    ipython: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "script.ipy").write_text(f"%load_ext jupyter_kuberay{SAYS}print('went on')\n")
    done = ipython("script.ipy")
    assert "['cpu-small', 'cpu', 'gpu']" in done.stdout
    assert "NotFound: There is no cluster 'nobody'." in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr and "went on" not in done.stdout


def test_a_python_script_calls_the_magic_by_name(ipython: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "shell = get_ipython()\nshell.run_line_magic('load_ext', 'jupyter_kuberay')\n"
        "print([each.name for each in shell.run_line_magic('kuberay', 'profiles')])\n"
        "print(len(shell.run_line_magic('kuberay', 'list')))\n"
    )
    assert ipython("script.py").stdout == "['cpu-small', 'cpu', 'gpu']\n0\n"
