"""The widgets in a browser: in JupyterLab, in Notebook 7, and in Voila. Nothing of Ray runs: the clusters are suspended."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from jupyter_kuberay.batch.records import RunRecord, RunState, new_id, note, now

from . import axe
from .book import Book
from .browser import ARTIFACTS, Faults
from .lab import Lab
from .panel import DARK, LIGHT, Panel

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

APPS = ("lab", "notebook", "voila")
PANEL = "from jupyter_kuberay import ClusterPanel\nClusterPanel()"
LATE_MS = 30_000

Open = Callable[..., Book]


@pytest.fixture
def book(lab: Lab, page: Page, faults: Faults) -> Iterator[Open]:
    """Opens a notebook with these cells."""
    faults.expect("reading 'schema'|filebrowser:open-path")  # Notebook's own, also without this extension
    # In a checkout, JupyterLab's half is a link, which Voila does not follow; nothing of it is needed there.
    faults.expect("voila/labextensions/jupyter-kuberay")
    opened: list[Book] = []

    def open_book(*cells: str) -> Book:
        opened.append(Book(page, lab, *cells))
        return opened[-1]

    yield open_book
    for each in opened:
        each.leave()


def ill(lab: Lab, name: str, message: str) -> None:
    """A cluster whose head does not run, and says why."""
    lab.asleep(name)
    lab.store.patch("RayCluster", name, [{"op": "replace", "path": "/spec/suspend", "value": False}])
    lab.says(name, message)


def look(page: Page, name: str, *, themes: bool = True) -> None:
    """Keep a picture for whoever wants to see how it looks, in light and dark where the page can be both."""
    folder = ARTIFACTS / "widgets"
    folder.mkdir(parents=True, exist_ok=True)
    for word, theme in (("dark", DARK), ("light", LIGHT)) if themes else (("", ""),):
        if theme:
            Panel(page).theme(theme)
        page.screenshot(path=folder / f"{name}{'-' if word else ''}{word}.png", animations="disabled")


@pytest.mark.parametrize("app", APPS)
def test_a_panel_shows_what_there_is_and_each_change_and_does_what_is_asked(book: Open, lab: Lab, app: str) -> None:
    lab.asleep("one")
    lab.asleep("two")
    opened = book(PANEL)
    opened.show(app)
    expect(opened.card("one")).to_contain_text("Suspended", timeout=LATE_MS * 4)
    expect(opened.live).to_be_visible()
    lab.want("one", 3)
    expect(opened.card("one")).to_contain_text("0 of 3")
    lab.asleep("three")
    expect(opened.card("three")).to_be_visible()
    look(opened.page, f"panel-{app}", themes=app == "lab")
    opened.card("two").get_by_role("button", name="Delete two").click()
    question = opened.card("two").get_by_role("alertdialog")
    expect(question).to_contain_text("Delete two? What runs there, and what is in its memory, is lost.")
    question.get_by_role("button", name="Delete", exact=True).click()
    expect(opened.card("two")).to_have_count(0, timeout=LATE_MS)
    assert [kept.name for kept in lab.clusters()] == ["one", "three"]


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_a_click_is_obeyed_while_a_cell_runs(book: Open, lab: Lab, app: str) -> None:
    lab.asleep("one")
    opened = book(PANEL, "import time\ntime.sleep(120)")
    opened.show(app)
    expect(opened.live).to_be_visible(timeout=LATE_MS * 4)
    expect(opened.cell(1).locator(".jp-InputPrompt")).to_have_text("[*]:")
    opened.card("one").get_by_role("button", name="Delete one").click()
    opened.card("one").get_by_role("alertdialog").get_by_role("button", name="Delete", exact=True).click()
    expect(opened.card("one")).to_have_count(0, timeout=LATE_MS)
    expect(opened.cell(1).locator(".jp-InputPrompt")).to_have_text("[*]:")


def test_a_new_cluster_is_asked_for_by_a_form_that_says_beside_the_field_what_cannot_be(book: Open, lab: Lab) -> None:
    lab.asleep("one")
    opened = book(PANEL)
    opened.show("lab")
    opened.panel.get_by_role("button", name="New cluster…").click(timeout=LATE_MS * 4)
    form = opened.panel.get_by_role("form", name="New cluster")
    name, create = form.get_by_role("textbox", name="Name"), form.get_by_role("button", name="Create")
    expect(name).to_be_focused()
    expect(name).to_have_value("cluster")
    expect(create).to_be_enabled()
    name.fill("No such Name")
    expect(form.locator("label", has=opened.page.get_by_role("textbox", name="Name"))).to_contain_text(
        "Lower-case letters, digits and hyphens"
    )
    expect(create).to_be_disabled()
    name.fill("one")
    expect(form).to_contain_text("There is a cluster one already.")
    expect(create).to_be_disabled()
    name.fill("mine")
    workers = form.get_by_role("spinbutton", name="Workers (at most 8)")
    workers.fill("9")
    expect(form.locator(".jk-field", has_text="Workers")).to_contain_text("At most 8.")
    look(opened.page, "new-cluster")
    form.get_by_text("GPU", exact=True).first.click()
    expect(form.get_by_role("spinbutton", name="Workers (at most 4)")).to_have_value("1")
    expect(name).to_have_value("mine")
    name.press("Escape")
    expect(form).to_have_count(0)
    expect(opened.panel.get_by_role("button", name="New cluster…")).to_be_focused()


def test_a_notebook_that_is_opened_without_its_kernel_shows_what_was_there(book: Open, lab: Lab) -> None:
    lab.asleep("one")
    opened = book(PANEL)
    opened.show("lab")
    expect(opened.live).to_be_visible(timeout=LATE_MS * 4)
    still = opened.page.locator(".jk-still")
    expect(still).to_be_hidden()  # the live one is seen
    opened.save()
    opened.leave()
    opened.open("lab")
    expect(still).to_be_visible(timeout=LATE_MS)
    expect(still).to_contain_text("one")
    expect(still).to_contain_text("As it was on")
    expect(opened.page.get_by_text("Error displaying widget")).to_be_hidden()
    look(opened.page, "without-a-kernel")


def test_a_notebook_of_somebody_else_shows_what_was_there_before_it_is_trusted(book: Open, lab: Lab) -> None:
    lab.asleep("one")
    opened = book(PANEL)
    opened.show("lab")
    expect(opened.live).to_be_visible(timeout=LATE_MS * 4)
    opened.save()
    opened.leave()
    written = json.loads(opened.path.read_text())
    written["cells"][0]["source"] = ["# changed elsewhere\n", *written["cells"][0]["source"]]
    opened.path.write_text(json.dumps(written))
    opened.open("lab")
    expect(opened.page.locator(".jk-still, table").first).to_contain_text("one", timeout=LATE_MS)


def test_the_pieces_stand_alone_and_follow_what_they_are_about(book: Open, lab: Lab) -> None:
    lab.asleep("one")
    began = now()
    run = RunRecord(id=new_id(), notebook="nb/sweep.ipynb", output="out/sweep.ipynb", state=RunState.FAILED, cells=9, done=6)
    run = run.changed(error="Cell 7 raised: CUDA out of memory.", hint="Ask for a larger GPU.", parameters={"lr": 0.001}, started=began)
    runs = lab.home / "k" / "runs"
    note(run.changed(ended=now()), runs)
    cells = ("from jupyter_kuberay import ClusterCard, RunsTable, ServiceCard\nClusterCard('one')", "ServiceCard('nobody')", "RunsTable()")
    opened = book(*cells)
    opened.show("lab")
    card, service, table = (opened.cell(number).locator(".jk") for number in range(3))
    expect(card).to_contain_text("Suspended", timeout=LATE_MS * 4)
    expect(service).to_contain_text("There is no service nobody.", timeout=LATE_MS)
    expect(table).to_contain_text("Ask for a larger GPU.", timeout=LATE_MS)
    expect(table).to_contain_text("lr 0.001")
    lab.asleep("two")
    lab.want("one", 2)
    expect(card).to_contain_text("0 of 2")
    expect(card.locator(".jk-card")).to_have_count(1)
    note(run.changed(id=new_id(), state=RunState.RUNNING, error="", hint="", heartbeat=now(), cell="Train"), runs)
    expect(table.locator(".jk-card").first).to_contain_text(re.compile("Running.*6/9.*Train"))
    look(opened.page, "pieces")


def test_what_is_told_is_shown_as_text_whatever_it_holds(book: Open, lab: Lab) -> None:
    ill(lab, "one", "<img src=x onerror=\"document.title='taken'\"> & <b>bold</b>")
    opened = book(PANEL)
    opened.show("lab")
    expect(opened.card("one")).to_contain_text("<b>bold</b>", timeout=LATE_MS * 4)
    assert opened.page.locator(".jk img, .jk-still img").count() == 0
    assert opened.page.title() != "taken"


def test_a_panel_is_usable_where_there_is_little_room_and_by_whoever_does_not_see_it(book: Open, lab: Lab) -> None:
    lab.asleep("one")
    ill(lab, "two", "No module named 'torch'")
    opened = book(PANEL, "RunsTable()")
    opened.show("lab")
    expect(opened.live).to_be_visible(timeout=LATE_MS * 4)
    opened.panel.get_by_role("button", name="Publish model…").click()
    expect(opened.panel.get_by_role("form", name="Publish a model")).to_be_visible()
    for theme in (DARK, LIGHT):
        Panel(opened.page).theme(theme)
        found = axe.violations(opened.page, ".jk-panel")
        assert not found, axe.told(found)
    opened.page.evaluate("document.querySelector('.jk-panel').style.width = '220px'")
    assert opened.panel.evaluate("node => node.scrollWidth <= node.clientWidth")
    look(opened.page, "narrow")
