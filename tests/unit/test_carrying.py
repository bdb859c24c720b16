"""What lies here and is needed in the cluster: carried, found there too, or refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from jupyter_kuberay.batch import Place
from jupyter_kuberay.batch.opening import Opened, open_pipeline
from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.faces.carrying import CARRIED_BYTES, EVERYTHING, carried_pipeline, check_output

PIPELINE = """
name: p
parameters: {data: data/large.bin, gates: gates.yaml, base: models/t5, word: models, run_dir: ../runs, url: "s3://data/x", number: 1}
output: ${run_dir}/notebooks
steps:
  look: {notebook: look.ipynb}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "notebooks"
    (made / "data").mkdir(parents=True)
    (made / "models/t5").mkdir(parents=True)
    (made / "data/large.bin").write_bytes(b"0" * (CARRIED_BYTES + 1))
    (made / "gates.yaml").write_text("size: {}")
    (made / "own.py").write_text("X = 1")
    (made / "pipeline.yaml").write_text(PIPELINE)
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), made / "look.ipynb")
    return made


def opened(folder: Path) -> tuple[Opened, Place]:
    file = Place.of(folder / "pipeline.yaml")
    return open_pipeline(file.url), file


def test_a_small_file_goes_along_and_of_all_else_the_absolute_path_is_given(folder: Path):
    name, files, changed = carried_pipeline(*opened(folder), EVERYTHING)
    assert name == "pipeline.yaml" and set(files) == {"pipeline.yaml", "look.ipynb", "own.py", "gates.yaml"}
    runs = str(folder.parent / "runs")
    assert changed == {"data": str(folder / "data/large.bin"), "base": str(folder / "models/t5"), "run_dir": runs}


def test_what_the_cluster_sees_at_the_same_path_is_found_there(folder: Path):
    assert carried_pipeline(*opened(folder), [str(folder.parent)])[2]["run_dir"] == str(folder.parent / "runs")


@pytest.mark.parametrize(("seen", "where"), [([], "such as s3://"), (["/claims"], "such as below /claims")])
def test_what_it_does_not_see_is_refused_with_the_parameter_and_what_to_do(folder: Path, seen: list[str], where: str):
    with pytest.raises(InvalidSpec, match=f"The parameter data names data/large.bin, which lies on this machine.*{where}.*-p data"):
        carried_pipeline(*opened(folder), seen)


def test_an_output_goes_to_a_url_or_where_a_claim_is_mounted():
    check_output(Place.of("s3://runs/out.ipynb"), [])
    check_output(Place.of("/claims/out.ipynb"), ["/claims"])
    with pytest.raises(InvalidSpec, match=r"does not write.*s3://…, or a path below /claims"):
        check_output(Place.of("/tmp/out.ipynb"), ["/claims"])
    with pytest.raises(InvalidSpec, match=r"Name a URL that both reach: --out s3://…$"):
        check_output(Place.of("/tmp/out.ipynb"), [])
