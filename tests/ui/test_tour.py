"""notebooks/00_tour.ipynb in JupyterLab: all of its cells run, and its widgets do what their buttons say."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .book import Book
from .browser import ARTIFACTS, Faults
from .lab import Lab, until
from .way import MINUTES_MS

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

TOUR = Path(__file__).parents[2] / "notebooks" / "00_tour.ipynb"
STARTS_S = 180


@pytest.fixture
def tour(lab: Lab, page: Page, faults: Faults) -> Iterator[Book]:
    """The tour, opened beside a cluster that is there."""
    faults.expect("409|422")
    made = lab.client.post("/clusters", json={"name": "alice-1", "profile": "cpu-small", "workers": 1})
    assert made.status_code == 201, made.text
    until(lambda: lab.client.get("/clusters/alice-1").json()["phase"] == "Ready", STARTS_S, "the cluster is ready")
    book = Book(page, lab, name=TOUR.name)
    shutil.copy(TOUR, book.path)
    yield book
    book.leave()


def test_all_cells_of_the_tour_run_and_its_panel_scales_the_cluster(tour: Book) -> None:
    def picture(name: str) -> None:
        (ARTIFACTS / "tour").mkdir(parents=True, exist_ok=True)
        tour.page.screenshot(path=ARTIFACTS / "tour" / f"{name}.png", animations="disabled")

    tour.show("lab")
    last = tour.page.locator(".jp-CodeCell").last
    expect(last.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]:"), timeout=MINUTES_MS)
    assert tour.page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
    expect(tour.page.locator(".jp-CodeCell", has_text="%kuberay run")).to_contain_text("3 of 3 succeeded")
    card = tour.card("alice-1")
    card.scroll_into_view_if_needed()
    expect(card).to_contain_text("Attached: this kernel")
    picture("panel")
    card.get_by_role("button", name="Scale alice-1").click()
    card.get_by_role("spinbutton", name="Workers").fill("2")
    card.locator("form").get_by_role("button", name="Scale").click()
    expect(card).to_contain_text("2 of 2", timeout=MINUTES_MS)
    picture("scaled")
    runs = tour.page.locator(".jp-CodeCell", has_text="jk.RunsTable()")
    runs.scroll_into_view_if_needed()
    expect(runs).to_contain_text("small.ipynb")
    picture("runs")
