"""A notebook with widgets in it, wherever it is shown: JupyterLab, Notebook 7, or Voila."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page, expect

from .lab import TOKEN, Lab, until
from .way import HAS_KERNEL

LOADS_MS, HEARS_MS = 120_000, 5_000
PLACES = {"lab": "/lab/workspaces/widgets/tree/{}?reset&", "notebook": "/notebooks/{}?", "voila": "/voila/render/{}?"}
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


class Book:
    """One, with these cells."""

    def __init__(self, page: Page, lab: Lab, *cells: str, name: str = "widgets.ipynb") -> None:
        self.page, self.lab, self.name = page, lab, name
        nbformat.write(new_notebook(cells=[new_code_cell(each) for each in cells], metadata={"kernelspec": KERNEL}), self.path)

    @property
    def path(self) -> Any:
        return self.lab.home / "work" / self.name

    def open(self, app: str, more: str = "") -> None:
        """Load its page; in Voila, that runs it."""
        self.page.goto(f"{self.lab.url}{PLACES[app].format(self.name)}token={TOKEN}{more}", timeout=LOADS_MS)
        if app != "voila":
            expect(self.page.locator(".jp-CodeCell").first).to_be_visible(timeout=LOADS_MS)
            idle = self.page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").first
            expect(idle).to_be_attached(timeout=LOADS_MS)
        if app == "lab":
            # Who runs a cell before that is asked which kernel is meant.
            self.page.wait_for_function(HAS_KERNEL, timeout=LOADS_MS)

    def show(self, app: str, more: str = "") -> None:
        """Load its page, and run all of it."""
        self.open(app, more)
        if app != "voila":
            self._heard(0, lambda: self.menu("Run", "Run All Cells"))

    def run(self, number: int) -> None:
        """One cell, by its keys."""

        def press() -> None:
            self.cell(number).locator(".cm-content").click()
            self.page.keyboard.press("Control+Enter")

        self._heard(number, press)

    def _heard(self, number: int, ask: Callable[[], None]) -> None:
        """A kernel that has just become idle may not hear the first request yet."""
        for _ in range(5):
            ask()
            with suppress(AssertionError):
                expect(self.cell(number).locator(".jp-InputPrompt")).not_to_have_text("[ ]:", timeout=HEARS_MS)
                return
        raise AssertionError(f"the kernel does not run cell {number}")

    def menu(self, menu: str, item: str) -> None:
        self.page.locator(".lm-MenuBar-item", has_text=menu).first.click()
        self.page.get_by_role("menuitem", name=item, exact=True).click()

    def cell(self, number: int) -> Locator:
        return self.page.locator(".jp-CodeCell").nth(number)

    def save(self) -> None:
        """By its keys; returns when it is written."""
        before = self.path.stat().st_mtime_ns
        self.cell(0).locator(".cm-content").click()
        self.page.keyboard.press("Control+s")
        until(lambda: self.path.stat().st_mtime_ns != before, 30, "the notebook is written")

    @property
    def panel(self) -> Locator:
        return self.page.locator(".jk-panel")

    def card(self, name: str) -> Locator:
        return self.panel.locator(f'.jk-card[data-name="{name}"]')

    @property
    def live(self) -> Locator:
        return self.page.locator(".jk .jk-live").first

    def leave(self) -> None:
        """Before its server's kernels end: a page without its server complains."""
        self.page.goto("about:blank")
        self.lab.end_kernels()
