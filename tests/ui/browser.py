"""Chromium, and pages of it that fail their test when something of ours goes wrong in them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright

ARTIFACTS = Path(os.environ.get("JUPYTER_KUBERAY_TEST_ARTIFACTS") or Path(__file__).parent / ".artifacts")
CHROMIUM = os.environ.get("JUPYTER_KUBERAY_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
# Where each page was, action by action, for `playwright show-trace`: a third more time for each.
TRACES = bool(os.environ.get("JUPYTER_KUBERAY_TEST_TRACES"))
OURS = re.compile(r"jupyter-kuberay|kuberay", re.IGNORECASE)


def launched(playwright: Playwright) -> Browser:
    """Chromium with a new, empty profile."""
    assert CHROMIUM, "there is no Chromium: apt-get install chromium, or name one in JUPYTER_KUBERAY_TEST_CHROMIUM"
    return playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])


class Faults:
    """What went wrong in pages: what nobody caught, and errors on the console that are ours."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.expected: list[re.Pattern[str]] = []

    def expect(self, pattern: str) -> None:
        """Such as "503": what a test causes itself."""
        self.expected.append(re.compile(pattern))

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self._take(f"uncaught in the page: {error.stack or error}"))
        page.on("console", self._console)

    def _console(self, message: ConsoleMessage) -> None:
        where = message.location.get("url", "")
        if message.type == "error" and OURS.search(f"{where} {message.text}"):
            self._take(f"on the console: {message.text} ({where})")

    def _take(self, words: str) -> None:
        if not any(pattern.search(words) for pattern in self.expected):
            self.seen.append(words)


@contextmanager
def context(browser: Browser, name: str, failed: Any, **options: Any) -> Iterator[BrowserContext]:
    """A context of which pictures, and with JUPYTER_KUBERAY_TEST_TRACES a trace, are kept when ``failed()`` says that its test failed.

    Parameters
    ----------
    name
        Of the files in the artefacts.
    """
    made = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="no-preference", **options)
    if TRACES:
        made.tracing.start(screenshots=True, snapshots=True)
    try:
        yield made
    finally:
        if failed():
            picture(made, name)
            if TRACES:
                made.tracing.stop(path=ARTIFACTS / f"{name}.zip")
        made.close()


def picture(of: BrowserContext, name: str) -> None:
    """Of each page of it that shows something, in the artefacts."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    for number, page in enumerate(of.pages):
        if page.url != "about:blank":
            page.screenshot(path=ARTIFACTS / f"{name}-{number}.png")
