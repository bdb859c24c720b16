"""What docs/ shows can be done, and comes out as it is shown; the tour runs by itself.

Which examples are not run, and why, stands in docs/index.md. The order counts: in the end the cluster is taken down.
"""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

from tests import examples
from tests.local.faces.conftest import CommandLine, printed

from .conftest import NAME
from .reader import Reader

pytestmark = pytest.mark.timeout(900)

TOUR = Path(__file__).parents[3] / "notebooks" / "00_tour.ipynb"
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.mark.parametrize("page", examples.PAGES)
def test_each_example_of_a_page_does_what_the_page_says(reader: Reader, page: str) -> None:
    reader.follow(page)


def test_the_tour_runs_by_itself_on_a_cluster_that_is_there_and_leaves_it(kuberay: CommandLine, tmp_path: Path) -> None:
    out = tmp_path / "tour.ipynb"
    done = kuberay("run", str(TOUR), "--cluster", NAME, "-p", "run_dir", str(tmp_path), "--out", str(out), "-o", "json")
    assert done.code == 0, done.err
    values = json.loads(done.out)["values"]
    assert values["total"] == sum(number**2 for number in range(8)) and 2.9 < values["pi"] < 3.4
    shown = "\n".join(printed(out))
    assert "the job sees 2 CPUs" in shown and "3 of 3 succeeded" in shown
    outputs = [output for cell in nbformat.read(out, as_version=4).cells for output in cell.get("outputs", ())]
    assert sum(WIDGET in output.get("data", {}) for output in outputs) == 2
    assert kuberay("status", NAME, "-o", "json").json["phase"] == "Ready"


def test_the_cluster_of_the_first_page_is_taken_down_as_it_says(reader: Reader) -> None:
    reader.follow("index", last=True)
    assert NAME not in reader.command("jupyter kuberay list").stdout
