"""Who sees little, hears instead, uses no mouse, has a narrow window, or wants nothing to move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from . import axe
from .browser import Faults, context
from .lab import Lab
from .panel import CONTRAST, DARK, LIGHT, Panel

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]


@pytest.fixture
def mixed(lab: Lab) -> Lab:
    """Clusters of several phases, one with a trouble, and one with a long name."""
    lab.asleep("asleep")
    lab.asleep("a-name-that-is-as-long-as-it-can-be-and-goes-on", profile="gpu")
    lab.asleep("ill")
    lab.store.patch("RayCluster", "ill", [{"op": "replace", "path": "/spec/suspend", "value": False}])
    message = "back-off 5m0s restarting failed container=ray-head pod=ill-head_alice(0123456789abcdef0123456789abcdef)"
    lab.says("ill", message)
    lab.asleep("pending")
    lab.store.patch("RayCluster", "pending", [{"op": "replace", "path": "/spec/suspend", "value": False}])
    return lab


@pytest.mark.parametrize("theme", [LIGHT, DARK, CONTRAST])
def test_axe_finds_nothing_wrong_in_the_panel_and_its_dialogs(mixed: Lab, panel: Panel, faults: Faults, theme: str) -> None:
    faults.expect("422 .*manifests")
    panel.open()
    expect(panel.cards).to_have_count(4)
    panel.theme(theme)
    found = axe.violations(panel.page)
    for action in ("Scale", "Delete"):
        panel.more("asleep", action)
        expect(panel.dialog).to_be_visible()
        found += axe.violations(panel.page, ".jp-Dialog-content")
        panel.page.keyboard.press("Escape")
        expect(panel.dialog).to_have_count(0)
    panel.node.get_by_role("button", name="New cluster…").click()
    expect(panel.dialog.get_by_text("Workers", exact=True)).to_be_visible()
    panel.dialog.get_by_role("textbox", name="Name").fill("No such Name")
    expect(panel.dialog.locator(".validationErrors").get_by_text("Lower-case letters")).to_be_visible()
    expect(panel.dialog.locator(".jp-kuberay-Mistake")).to_be_visible()
    found += axe.violations(panel.page, ".jp-Dialog-content")
    panel.page.keyboard.press("Escape")
    expect(panel.dialog).to_have_count(0)
    panel.node.get_by_role("button", name="Publish model…").last.click()
    panel.dialog.get_by_text("More", exact=True).click()
    found += axe.violations(panel.page, ".jp-Dialog-content")
    panel.page.keyboard.press("Escape")
    expect(panel.dialog).to_have_count(0)
    assert not found, axe.told(found)


def test_axe_finds_nothing_wrong_in_an_empty_panel(panel: Panel) -> None:
    panel.open()
    found = axe.violations(panel.page)
    assert not found, axe.told(found)


def test_axe_would_find_what_is_wrong(panel: Panel) -> None:
    panel.open()
    panel.node.locator(".jp-kuberay-Empty").first.evaluate(
        """empty => empty.insertAdjacentHTML('beforeend',
             '<p style="color: #ccc; background: #fff">hard to read</p><button></button>')"""
    )
    rules = {each["rule"] for each in axe.violations(panel.page)}
    assert {"color-contrast", "button-name"} <= rules


def test_a_change_of_phase_is_told_to_who_listens_and_nothing_else_is(lab: Lab, panel: Panel) -> None:
    lab.asleep("one")
    panel.open()
    spoken = panel.node.locator("[aria-live=polite]")
    expect(spoken).to_have_count(1)
    lab.want("one", 3)
    expect(panel.card("one")).to_contain_text("of 3")
    lab.store.patch("RayCluster", "one", [{"op": "replace", "path": "/spec/suspend", "value": False}])
    expect(spoken).to_have_text("one is Pending")


# --- narrow, large, still ---

LAYOUT = Path(__file__).with_name("layout.js").read_text()


def test_at_200_pixels_nothing_is_cut_off_or_lies_over_another(mixed: Lab, panel: Panel) -> None:
    panel.open()
    expect(panel.cards).to_have_count(4)
    panel.width(200)
    box = panel.node.bounding_box()
    assert box is not None and box["width"] == pytest.approx(200, abs=2)
    assert panel.node.evaluate(LAYOUT) == []


@pytest.fixture
def large(browser: Browser, faults: Faults, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page at 200 %: half as many pixels, each twice as large."""
    with context(browser, request.node.name, lambda: False, device_scale_factor=2) as made:
        made.on("page", faults.watch)
        page = made.new_page()
        page.set_viewport_size({"width": 640, "height": 400})
        yield page


def test_at_200_percent_nothing_is_cut_off_or_lies_over_another(mixed: Lab, large: Page) -> None:
    panel = Panel(large)
    panel.load(mixed)
    panel.open()
    expect(panel.cards).to_have_count(4)
    assert panel.node.evaluate(LAYOUT) == []
    panel.node.get_by_role("button", name="New cluster…").click()
    create = panel.dialog.get_by_role("button", name="Create")
    create.scroll_into_view_if_needed()
    expect(create).to_be_in_viewport(ratio=1)


def test_who_wants_less_motion_gets_none(lab: Lab, page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    lab.asleep("one")
    panel = Panel(page)
    panel.load(lab)
    panel.open()
    moving = panel.node.evaluate(
        """panel => {
             const bar = document.createElement('div');
             bar.innerHTML = '<div class="jp-kuberay-Bars"><span class="jp-kuberay-Track"><span></span></span></div>';
             panel.append(bar);
             const found = [...panel.querySelectorAll('[class*=jp-kuberay], [class*=jp-kuberay] *')].filter(node => {
               const style = getComputedStyle(node);
               const lasts = style.transitionDuration.split(',').concat(style.animationDuration.split(','));
               return lasts.some(each => parseFloat(each) > 0);
             }).map(node => node.className.baseVal ?? node.className);
             bar.remove();
             return found;
           }"""
    )
    assert moving == []
