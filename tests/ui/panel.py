"""The side panel as a person finds it: by its tab, its words, and its cards."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Locator, Page, expect

from .lab import TOKEN, Lab

LIGHT, DARK, CONTRAST = "JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"
LOADS_MS = 60_000
_names = itertools.count()


class Panel:
    """The panel in one page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.node = page.locator("#jupyter-kuberay-panel")
        self.tab = page.locator('li.lm-TabBar-tab[data-id="jupyter-kuberay-panel"]')

    def card(self, name: str) -> Locator:
        return self.node.locator(f'li.jp-kuberay-Card[data-name="{name}"]')

    @property
    def cards(self) -> Locator:
        return self.node.locator("li.jp-kuberay-Card")

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    @property
    def live(self) -> Locator:
        return self.node.locator(".jp-kuberay-Foot .jp-mod-live")

    @contextmanager
    def within(self, lab: Lab) -> Iterator[Panel]:
        """Loaded, and left before ``lab`` ends: a page without its server complains."""
        self.load(lab)
        yield self
        self.page.goto("about:blank")

    def load(self, lab: Lab) -> None:
        """JupyterLab from the beginning, with nothing remembered of other pages."""
        self.page.goto(f"{lab.url}/lab/workspaces/t{next(_names)}?reset&token={TOKEN}")
        expect(self.tab).to_be_visible(timeout=LOADS_MS)
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0, timeout=LOADS_MS)
        # The launcher takes the focus, as the last of all.
        self.page.wait_for_function("document.activeElement?.matches('.jp-Launcher')", timeout=LOADS_MS)

    def open(self) -> None:
        """By its tab; returns when what there is is shown and changes arrive."""
        self.show()
        expect(self.live).to_be_visible(timeout=15_000)

    def show(self) -> None:
        if not self.node.is_visible():
            self.tab.click()
        expect(self.node).to_be_visible()

    def more(self, name: str, item: str) -> None:
        """An entry of a card's menu."""
        self.card(name).get_by_role("button", name=f"More actions for {name}").click()
        self.page.get_by_role("menuitem", name=re.compile(f"^{re.escape(item)}")).click()

    def theme(self, name: str) -> None:
        """As the settings menu does it; returns when its colours are there."""
        self.page.evaluate("name => jupyterapp.commands.execute('apputils:change-theme', { theme: name })", name)
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-name", name, timeout=15_000)
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)

    def width(self, pixels: int) -> None:
        """As somebody who drags the panel's edge."""
        handle = self.page.locator("#jp-main-split-panel > .lm-SplitPanel-handle:not(.lm-mod-hidden)").first
        at, side = handle.bounding_box(), self.node.bounding_box()
        assert at and side
        self.page.mouse.move(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
        self.page.mouse.down()
        self.page.mouse.move(side["x"] + pixels, at["y"] + at["height"] / 2, steps=4)
        self.page.mouse.up()
