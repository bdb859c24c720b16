"""What holds for every notebook in the repository."""

from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))

NAMES = {
    *(
        "00_tour",
        "01_experimentation",
        "02_data",
        "03_training",
        "04_tuning",
        "05_evaluation",
        "06_validation",
        "07_serving",
        "08_monitoring",
    ),
    "09_reinforcement",
}


def test_the_lifecycle_has_its_notebooks():
    assert {path.stem for path in NOTEBOOKS} >= NAMES


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> nbformat.NotebookNode:
    return nbformat.read(request.param, as_version=nbformat.NO_CONVERT)


def test_it_is_valid_in_a_format_with_cell_ids(notebook: nbformat.NotebookNode):
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_it_is_committed_without_outputs(notebook: nbformat.NotebookNode):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def test_it_has_one_cell_of_parameters_and_the_run_folder_among_them(notebook: nbformat.NotebookNode):
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    values: dict[str, object] = {}
    exec(tagged[0].source, values)  # only assignments of plain values
    assert "run_dir" in values


def test_it_begins_with_what_it_is_for(notebook: nbformat.NotebookNode):
    first = notebook.cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")


def test_its_code_compiles(notebook: nbformat.NotebookNode):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            compile(TransformerManager().transform_cell(cell.source), cell.id, "exec")
