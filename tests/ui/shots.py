"""Pictures of the steps of a way, for whoever wants to see how it looks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from .panel import DARK, LIGHT, Panel

Shot = Callable[[str], None]


def shots(page: Page, folder: Path) -> Shot:
    """Takes a picture of the page as it is now: NN-name-light.png and NN-name-dark.png in ``folder``."""
    numbers, panel = itertools.count(1), Panel(page)
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.glob("*.png"):
        earlier.unlink()

    def take(name: str) -> None:
        number = next(numbers)
        # Light last: the next step goes on in it.
        for word, theme in (("dark", DARK), ("light", LIGHT)):
            panel.theme(theme)
            page.screenshot(path=folder / f"{number:02}-{name}-{word}.png", animations="disabled")

    return take
