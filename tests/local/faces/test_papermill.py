"""papermill's own command with the engine `kuberay`, which brings a cluster up and takes it down."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import nbformat
import pytest

from jupyter_kuberay.backends.local.processes import marked
from jupyter_kuberay.batch import RunState, read_record

from .conftest import CommandLine, Process, Write, printed

pytestmark = pytest.mark.timeout(300)

TASK = "import os, ray\nprint(os.environ['JUPYTER_KUBERAY_CLUSTER'], ray.get(ray.remote(lambda: 6 * x).remote()))"


def papermill(kuberay: CommandLine, *words: str | Path, kernel: str = "python3") -> Process:
    program = Path(sys.executable).with_name("papermill")
    return kuberay.start("--engine", "kuberay", "--no-progress-bar", "-k", kernel, *map(str, words), command=(program,))


def asking(notebook: Path, **wanted: object) -> Path:
    """The notebook, whose metadata says what cluster it wants."""
    found = nbformat.read(notebook, as_version=4)
    found.metadata["kuberay"] = wanted
    nbformat.write(found, notebook)
    return notebook


def uids(kuberay: CommandLine) -> set[str]:
    return {str(kept.uid) for kept in kuberay.backend.store.all("RayCluster")}


@pytest.mark.parametrize("fails", [False, True])
def test_a_cluster_as_the_notebook_asks_is_there_for_its_cells_and_gone_after_them(
    kuberay: CommandLine, write: Write, tmp_path: Path, fails: bool
) -> None:
    before = uids(kuberay)
    notebook = asking(write("paper", TASK, *["1 / 0"] * fails, parameters="x = 1"), profile="cpu-small", workers=0)
    with papermill(kuberay, notebook, tmp_path / "out.ipynb", "-p", "x", "7") as process:
        _, said = process.communicate()
    assert process.returncode == (1 if fails else 0), said
    record = read_record(str(tmp_path / "out.ipynb"))
    assert record is not None and record.state is (RunState.FAILED if fails else RunState.SUCCEEDED)
    assert f"{record.cluster} 42\n" in printed(tmp_path / "out.ipynb") and record.parameters == {"x": 7}
    assert ("ZeroDivisionError" in said) is fails
    assert uids(kuberay) == before


@pytest.mark.parametrize(("profile", "kernel"), [("huge", "python3"), ("cpu-small", "nowhere")])
def test_a_profile_or_a_kernel_that_there_is_not_is_a_sentence(
    kuberay: CommandLine, write: Write, tmp_path: Path, profile: str, kernel: str
) -> None:
    notebook = asking(write("paper", TASK), profile=profile)
    with papermill(kuberay, notebook, tmp_path / "out.ipynb", kernel=kernel) as process:
        _, said = process.communicate()
    wrong = profile if kernel == "python3" else kernel
    assert process.returncode == 1 and repr(wrong) in said and "Traceback" not in said


def test_killed_in_the_middle_of_a_cell_it_leaves_no_cluster(kuberay: CommandLine, write: Write, tmp_path: Path) -> None:
    before = uids(kuberay)
    notebook = asking(write("paper", "import time\nprint('begun', flush=True)\ntime.sleep(600)"), profile="cpu-small", workers=0)
    with papermill(kuberay, notebook, tmp_path / "out.ipynb", "--log-output") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "begun" in line:
                break
        (uid,) = uids(kuberay) - before
        process.kill()
    # Its deadline is not moved any more, and its supervisor takes it down: nobody has to come by.
    deadline = time.monotonic() + 150
    while uid in uids(kuberay):  # forgotten only when its last process has ended
        assert time.monotonic() < deadline, "the cluster goes on"
        time.sleep(1)
    assert not marked(uid)
    assert uids(kuberay) == before
