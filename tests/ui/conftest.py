"""JupyterLab in Chromium, with the panel in it.

``page`` fails its test on what goes wrong in the page; ``shot`` takes a picture of a step, in light and dark; ``figure``
tells a number for the table in the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from . import figures
from .browser import ARTIFACTS, Faults, context, launched, picture
from .figures import Figure
from .lab import Lab, running
from .panel import Panel
from .shots import Shot, shots

_REPORTS = pytest.StashKey[dict[str, pytest.TestReport]]()
_TAB = pytest.StashKey[BrowserContext]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash.setdefault(_REPORTS, {})[report.when] = report
    if report.when == "call" and report.failed and (tab := item.stash.get(_TAB, None)) is not None:
        # Before fixtures lead its pages elsewhere.
        picture(tab, _name(item))
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ()) if report.when == "call"]
    found = figures.collected(reports)
    if found:
        terminalreporter.section("figures of the panel")
        for line in figures.table(found):
            terminalreporter.write_line(line)
        figures.keep(found, ARTIFACTS / "figures.json")


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    # Of the package, not of the session: while it is there, no other test in this process can run an event loop.
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    chromium = launched(playwright)
    yield chromium
    chromium.close()


@pytest.fixture(scope="package")
def server() -> Iterator[Lab]:
    with running() as lab:
        yield lab


@pytest.fixture
def lab(server: Lab) -> Iterator[Lab]:
    """JupyterLab with no cluster, service or job."""
    yield server
    server.forget()


@pytest.fixture
def faults() -> Iterator[Faults]:
    """What goes wrong in the pages of this test, and fails it."""
    seen = Faults()
    yield seen
    assert not seen.seen, "\n".join(seen.seen)


@pytest.fixture
def tab(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A browser of this test's own: no cookies, nothing remembered."""
    with context(browser, _name(request.node), lambda: _failed(request.node)) as made:
        request.node.stash[_TAB] = made
        yield made


def _name(item: pytest.Item) -> str:
    return re.sub(r"[^\w.-]+", "-", item.name)


def _failed(item: pytest.Item) -> bool:
    return any(report.failed for report in item.stash.get(_REPORTS, {}).values())


@pytest.fixture
def page(tab: BrowserContext, faults: Faults) -> Page:
    tab.on("page", faults.watch)
    return tab.new_page()


@pytest.fixture
def panel(lab: Lab, page: Page) -> Panel:
    """The panel, closed, in a JupyterLab that has just been loaded."""
    made = Panel(page)
    made.load(lab)
    return made


@pytest.fixture
def shot(page: Page) -> Shot:
    """Takes a picture of the page as it is now, in light and in dark: artefacts/steps/NN-name-light.png and -dark.png."""
    return shots(page, ARTIFACTS / "steps")


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[..., Figure]:
    """Tells a number: ``figure(what, value, unit, goal=..., met=...)``."""

    def tell(*words: Any, **more: Any) -> Figure:
        made = Figure(*words, **more)
        request.node.user_properties.append(figures.as_property(made))
        return made

    return tell
