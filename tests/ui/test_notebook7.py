"""In Notebook 7, which has no launcher and shows its side bars when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

import nbformat
import pytest
from nbformat.v4 import new_notebook
from playwright.sync_api import Page, Route, expect

from .browser import Faults
from .lab import TOKEN, Lab, running
from .panel import Panel

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

LOADS_MS = 60_000


@pytest.fixture(scope="module")
def server7() -> Iterator[Lab]:
    with running(app="notebook") as server:
        yield server


@pytest.fixture
def notebook7(server7: Lab) -> Iterator[Lab]:
    yield server7
    server7.forget()


@pytest.fixture
def notebook(notebook7: Lab, page: Page, faults: Faults) -> Iterator[Page]:
    """A page that can show a new notebook beside a cluster that is suspended."""
    faults.expect("reading 'schema'")  # Notebook's own, also without this extension
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(metadata={"kernelspec": kernel}), notebook7.home / "work" / "one.ipynb")
    notebook7.asleep("asleep")
    yield page
    page.goto("about:blank")


def load(page: Page, server: Lab) -> None:
    page.goto(f"{server.url}/notebooks/one.ipynb?token={TOKEN}")
    expect(page.locator(".jp-kuberay-ToolbarItem")).to_contain_text("not attached", timeout=LOADS_MS)


def test_a_notebooks_toolbar_attaches_by_a_cell(notebook: Page, notebook7: Lab) -> None:
    load(notebook, notebook7)
    notebook.locator(".jp-kuberay-ToolbarItem").get_by_role("button").click()
    notebook.get_by_role("menuitem", name="asleep").click()
    cell = notebook.locator(".jp-CodeCell").first
    expect(cell).to_contain_text("%kuberay attach asleep")
    # It ran: this cluster has to be resumed first.
    expect(cell.locator(".jp-OutputArea")).to_contain_text("suspended", timeout=30_000)


def test_who_opens_the_menu_before_the_server_has_answered_finds_the_clusters_in_it_too(notebook: Page, notebook7: Lab) -> None:
    held: list[Route] = []
    answers = False
    notebook.route("**/jupyter-kuberay/views/**", lambda route: route.continue_() if answers else held.append(route))
    load(notebook, notebook7)
    notebook.locator(".jp-kuberay-ToolbarItem").get_by_role("button").click()
    expect(notebook.get_by_role("menuitem", name="Publish Model")).to_have_count(0)
    answers = True
    for route in held:
        route.continue_()
    expect(notebook.get_by_role("menuitem", name="asleep")).to_be_visible()


def test_the_panel_opens_from_the_menu_and_shows_what_happens(notebook: Page, notebook7: Lab) -> None:
    load(notebook, notebook7)
    panel = Panel(notebook)
    notebook.locator(".lm-MenuBar").get_by_text("Ray", exact=True).click()
    notebook.get_by_role("menuitem", name="Ray Clusters", exact=True).click()
    expect(panel.live).to_be_visible(timeout=15_000)
    expect(panel.card("asleep")).to_contain_text("Suspended")
    notebook7.want("asleep", 3)
    expect(panel.card("asleep")).to_contain_text("of 3")
    panel.more("asleep", "Scale")
    expect(panel.dialog.get_by_role("spinbutton")).to_be_focused()
