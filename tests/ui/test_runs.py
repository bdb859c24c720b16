"""Runs of notebooks in the panel: each goes on before one's eyes, says what came of it, and leads to its output."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from jupyter_kuberay.batch import records
from jupyter_kuberay.batch.records import RunRecord, RunState

from . import axe
from .lab import Lab
from .panel import CONTRAST, DARK, LIGHT, Panel
from .shots import Shot

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

LAYOUT = Path(__file__).with_name("layout.js").read_text()
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
WHY = "Cell 7 raised OutOfMemoryError: CUDA out of memory."


class Runs:
    """The list of runs that a Lab's server looks at, written as the runner writes it."""

    def __init__(self, lab: Lab) -> None:
        self.folder, self.work = lab.home / "k" / "runs", lab.home / "work"
        self._count = 0

    def add(self, name: str = "03_training", **fields: Any) -> RunRecord:
        self._count += 1
        output = self.work / "out" / f"{name}-{self._count}.ipynb"
        began = {"started": records.now(), "cells": 20, "cluster": "training"}
        given = {"notebook": str(self.work / f"{name}.ipynb"), "output": str(output), **began}
        return self.now(RunRecord(id=f"20261101-120000-{self._count:06}", **given | fields))

    def now(self, record: RunRecord, **fields: Any) -> RunRecord:
        record = record.changed(**fields)
        records.note(record, self.folder)
        return record


@pytest.fixture
def runs(lab: Lab) -> Any:
    yield Runs(lab)
    records.forget([record.id for record in records.records(lab.home / "k" / "runs")], lab.home / "k" / "runs")


@pytest.fixture
def several(runs: Runs) -> Runs:
    """One of each kind: going on, over, failed, elsewhere, and a sweep."""
    for number in range(20):
        over = RunState.FAILED if number == 7 else RunState.SUCCEEDED
        state = over if number < 12 else RunState.RUNNING if number == 12 else RunState.PENDING
        error = {"error": WHY, "hint": "Ask for a larger GPU."} if state is RunState.FAILED else {}
        runs.add(group="lr-sweep", state=state, parameters={"lr": 10**-number, "seed": number}, **error)
    ended = {"ended": records.now(), "done": 20}
    runs.add("05_validation", state=RunState.SUCCEEDED, values={"rougeL": 0.3127, "passed": True}, parameters={"model": "t5"}, **ended)
    runs.add(state=RunState.FAILED, error=WHY, hint="Ask for a larger GPU.", done=6, ended=records.now(), parameters={"lr": 0.1})
    runs.add("far", output="s3://a-bucket-with-a-long-name/team/project/outputs/far.ipynb", state=RunState.SUCCEEDED, **ended)
    runs.add(state=RunState.INTERRUPTED, done=3, ended=records.now())
    runs.add("02_data", state=RunState.RUNNING, done=12, cell="Tokenise the articles and write them as Parquet", parameters={"n": 1000})
    return runs


def of(panel: Panel, name: str) -> Any:
    return panel.node.locator(
        '[data-kind="run"]', has=panel.page.locator(".jp-kuberay-Name", has_text=re.compile(f"^{re.escape(name)}"))
    ).first


def test_an_empty_list_says_how_to_begin(panel: Panel) -> None:
    panel.open()
    expect(panel.node.get_by_text("jupyter kuberay run NOTEBOOK")).to_be_visible()


def test_a_run_goes_on_in_the_page_cell_by_cell_and_its_output_opens(lab: Lab, runs: Runs, panel: Panel) -> None:
    panel.open()
    expect(panel.node.get_by_text("jupyter kuberay run NOTEBOOK")).to_be_visible()
    run = runs.add(state=RunState.PENDING, parameters={"lr": "1e-4"})
    card = of(panel, "03_training.ipynb")
    expect(card).to_contain_text("Pending")
    expect(card).to_contain_text("lr=1e-4")
    for done, title in ((0, "Read the articles"), (7, "Train"), (19, "Judge")):
        run = runs.now(run, state=RunState.RUNNING, done=done, cell=title)
        expect(card).to_contain_text(title)
        expect(card.get_by_role("progressbar", name=f"{done} of 20 cells have run")).to_be_visible()
    notebook = {"cells": [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": "What came of it"}], "metadata": KERNEL}
    Path(run.output).parent.mkdir(exist_ok=True)
    Path(run.output).write_text(json.dumps(notebook | {"nbformat": 4, "nbformat_minor": 5}))
    runs.now(run, state=RunState.SUCCEEDED, done=20, values={"rougeL": 0.31}, ended=records.now())
    expect(card).to_contain_text("Succeeded")
    expect(card).to_contain_text("rougeL=0.31")
    expect(panel.node.locator("[aria-live=polite]")).to_have_text("03_training.ipynb: Succeeded")
    card.get_by_role("button", name="Open output").click()
    expect(panel.page.locator(".jp-Notebook").get_by_role("paragraph")).to_have_text("What came of it", timeout=30_000)
    lab.end_kernels()


def test_a_run_whose_runner_was_killed_is_lost_without_a_word_of_it(runs: Runs, panel: Panel) -> None:
    import subprocess

    from jupyter_kuberay.backends.local.processes import Birth

    runner = subprocess.Popen(["sleep", "600"])
    try:
        runs.add(state=RunState.RUNNING, done=3, runner=Birth.of(runner.pid).json())
        panel.open()
        expect(of(panel, "03_training.ipynb")).to_contain_text("Running")
    finally:
        runner.kill()
        runner.wait()
    expect(of(panel, "03_training.ipynb")).to_contain_text("Lost")
    expect(of(panel, "03_training.ipynb")).to_contain_text("ended without a word")


def test_a_sweep_is_one_row_that_opens(several: Runs, panel: Panel) -> None:
    panel.open()
    row = panel.node.locator('[data-kind="runs-of"]')
    expect(row).to_contain_text("11 of 20 done · 1 failed · 8 running")
    expect(row.locator("[data-kind=run]")).to_have_count(0)
    row.get_by_role("button", name="lr-sweep", exact=True).click()
    expect(row.locator("[data-kind=run]")).to_have_count(20)
    expect(row).to_contain_text(WHY)


def test_what_failed_is_told_with_its_hint_and_an_output_elsewhere_can_be_copied(several: Runs, panel: Panel) -> None:
    panel.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel.open()
    expect(panel.node.get_by_text(WHY)).to_be_visible()
    expect(panel.node.get_by_text("Ask for a larger GPU.")).to_be_visible()
    far = of(panel, "far.ipynb")
    expect(far.get_by_role("button", name="Open output")).to_have_count(0)
    far.get_by_role("button", name="Copy where the output of far.ipynb is").click()
    assert panel.page.evaluate("navigator.clipboard.readText()").startswith("s3://a-bucket")


def test_what_is_taken_out_of_the_list_is_gone_and_the_focus_stays_in_it(several: Runs, panel: Panel) -> None:
    panel.open()
    take = panel.node.get_by_role("button", name="Take 05_validation.ipynb out of the list")
    take.focus()
    panel.page.keyboard.press("Enter")
    expect(of(panel, "05_validation.ipynb")).to_have_count(0)
    assert panel.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Runs"
    expect(of(panel, "02_data.ipynb").get_by_role("button", name="out of the list")).to_have_count(0)


def test_values_are_told_whole_when_asked_for(several: Runs, panel: Panel) -> None:
    panel.open()
    card = of(panel, "05_validation.ipynb")
    values = card.get_by_role("button", name="Values")
    expect(values).to_have_attribute("aria-expanded", "false")
    values.press("Enter")
    expect(card.locator("dt", has_text="rougeL")).to_be_visible()
    expect(card.locator("dd", has_text="0.3127")).to_be_visible()


def test_text_with_html_is_text(runs: Runs, panel: Panel) -> None:
    harm = '<img src="nowhere" onerror="window.harmed = true">'
    runs.add(state=RunState.FAILED, parameters={harm: harm}, values={"x": harm}, cell=harm, error=harm, hint=harm, group=harm)
    panel.open()
    expect(panel.node.get_by_text(harm).first).to_be_visible()
    assert panel.page.evaluate("window.harmed") is None and panel.page.locator("img[src=nowhere]").count() == 0


@pytest.mark.parametrize("theme", [LIGHT, DARK, CONTRAST])
def test_axe_finds_nothing_wrong_in_runs(several: Runs, panel: Panel, theme: str) -> None:
    panel.open()
    panel.theme(theme)
    panel.node.get_by_role("button", name="lr-sweep", exact=True).click()
    of(panel, "05_validation.ipynb").get_by_role("button", name="Values").click()
    found = axe.violations(panel.page)
    assert not found, axe.told(found)


def test_at_200_pixels_nothing_of_a_run_is_cut_off(several: Runs, panel: Panel) -> None:
    panel.open()
    panel.node.get_by_role("button", name="lr-sweep", exact=True).click()
    panel.width(200)
    assert panel.node.evaluate(LAYOUT) == []


def test_a_thousand_runs_are_drawn_a_page_at_a_time(runs: Runs, panel: Panel) -> None:
    for _ in range(1000):
        runs.add(state=RunState.SUCCEEDED, done=20, parameters={"lr": 0.1}, ended=records.now())
    panel.open()
    cards = panel.node.locator("[data-kind=run]")
    expect(cards).to_have_count(50)
    panel.node.get_by_role("button", name="Show more (950)").click()
    expect(cards).to_have_count(150)
    last = runs.add("07_monitoring", state=RunState.RUNNING, done=1, cell="Watch")
    expect(of(panel, "07_monitoring.ipynb")).to_contain_text("Watch")
    runs.now(last, done=2, cell="Watch on")
    expect(of(panel, "07_monitoring.ipynb")).to_contain_text("Watch on")


def test_pictures_of_runs(several: Runs, panel: Panel, shot: Shot, page: Page) -> None:
    panel.open()
    panel.width(300)
    of(panel, "05_validation.ipynb").get_by_role("button", name="Values").click()
    for section in ("Clusters", "Services"):
        panel.node.locator(".jp-AccordionPanel-title", has_text=section).click()
    shot("runs")
    panel.node.get_by_role("button", name="lr-sweep", exact=True).click()
    panel.node.get_by_role("button", name="lr-sweep", exact=True).evaluate("row => row.scrollIntoView({ block: 'start' })")
    shot("sweep")
