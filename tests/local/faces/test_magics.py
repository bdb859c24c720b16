"""``%kuberay`` in a kernel, beside a cluster that the command line brought up."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from .conftest import NAME, CommandLine, Said, Write, printed

pytestmark = pytest.mark.timeout(300)

TASK = """
import ray

@ray.remote(num_gpus=1)
def here():
    return ray.get_runtime_context().get_node_id()

print(len(set(ray.get([here.options(scheduling_strategy="SPREAD").remote() for _ in range(2)]))))
"""


@pytest.fixture(scope="module")
def notebook(alice: Said, kuberay: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook that was run with the magics in it."""
    from nbformat.v4 import new_code_cell, new_notebook

    cells = [
        "%load_ext jupyter_kuberay",
        "attachment = %kuberay attach\nprint(attachment.cluster)",
        TASK,
        "%kuberay list",
        "status = %kuberay status\nstatus",
        f"cluster = %kuberay up {NAME} --profile gpu --workers 2 --cpu 1 --memory 2Gi\nprint(type(cluster).__name__)\ncluster",
        "print(cluster.run(sum, [1, 2, 3]))",
        "%kuberay detach\n%kuberay detach\nimport jupyter_kuberay.attach\nprint(jupyter_kuberay.attach.attached())",
    ]
    path = tmp_path_factory.mktemp("magics") / "magics.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
    said = kuberay("run", str(path), "--cluster", NAME, "--out", str(path.with_name("out.ipynb")))
    assert said.code == 0, said.err
    return path.with_name("out.ipynb")


def test_attach_without_a_name_takes_the_only_cluster_and_tasks_run_on_its_gpus(notebook: Path) -> None:
    shown = printed(notebook)
    assert shown[1].endswith(f"{NAME}\n")
    assert shown[2] == "2\n"


def test_a_list_and_a_status_are_tables_in_the_notebook(notebook: Path) -> None:
    cells = nbformat.read(notebook, as_version=4).cells
    for cell in cells[3:5]:
        html = cell.outputs[-1].data["text/html"]
        assert "<table>" in html and NAME in html and "2 simulated" in html


def test_up_gives_a_cluster_to_hold_and_to_run_functions_on(notebook: Path) -> None:
    shown = printed(notebook)
    assert "Cluster\n" in shown[5] and f"<Cluster '{NAME}': Ready" in shown[5]
    assert shown[6] == "6\n"


def test_detach_lets_go_and_does_nothing_twice(notebook: Path) -> None:
    assert printed(notebook)[7] == "None\n"


def test_an_error_in_a_cell_has_no_traceback_and_down_where_nobody_can_answer_takes_nothing(
    alice: Said, kuberay: CommandLine, write: Write, tmp_path: Path
) -> None:
    notebook = write("refused", "%load_ext jupyter_kuberay", f"%kuberay down {NAME}")
    assert kuberay("run", str(notebook), "--cluster", NAME, "--out", str(tmp_path / "out.ipynb")).code == 1
    error = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs[-1]
    assert error.ename == "WrongUse"
    assert len(error.traceback) == 2 and "--yes" in error.traceback[1]
    assert kuberay("status", NAME, "-o", "json").json["phase"] == "Ready"
