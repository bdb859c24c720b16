"""The panel without a mouse: everything is reached, seen to be reached, and does what a click does."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .lab import Lab
from .panel import DARK, LIGHT, Panel

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

# The element that has the focus, in words; one of Lab's toolbar buttons keeps it within itself.
FOCUSED = """() => {
  const node = document.activeElement;
  if (!node?.closest('#jupyter-kuberay-panel')) return null;
  return node.getAttribute('aria-label') || node.title || node.textContent.trim();
}"""
CARD = "() => document.activeElement?.closest('.jp-kuberay-Card')?.dataset.name ?? null"
# How what has the focus looks: of itself, of what is within it, and of what it is in.
LOOKS = """node => {
  const around = node.parentElement ?? node.getRootNode().host;
  const all = [node, ...(node.shadowRoot?.querySelectorAll("*") ?? []), around];
  return JSON.stringify(all.map(each => {
    const style = getComputedStyle(each);
    return [style.outlineStyle, style.outlineWidth, style.outlineColor, style.boxShadow, style.borderColor, style.backgroundColor];
  }));
}"""


def walked(panel: Panel, most: int = 60) -> list[str]:
    """What Tab reaches within the panel, in order, beginning at its tab."""
    panel.tab.focus()
    found: list[str] = []
    for _ in range(most):
        panel.page.keyboard.press("Tab")
        name = panel.page.evaluate(FOCUSED)
        if name is None and found:
            break
        if name is not None:
            found.append(name)
    return found


def tabbed_to(panel: Panel, name: str) -> None:
    """Tab until the focus is on what is called ``name``."""
    panel.tab.focus()
    for _ in range(60):
        panel.page.keyboard.press("Tab")
        if panel.page.evaluate(FOCUSED) == name:
            return
    raise AssertionError(f"Tab never reaches {name}")


def test_tab_reaches_each_control_once_in_the_order_of_reading(lab: Lab, panel: Panel) -> None:
    lab.asleep("one")
    lab.asleep("two")
    panel.open()
    reached = walked(panel)
    wanted = ["New cluster…", "Resume", "More actions for one", "Resume", "More actions for two"]
    assert [name for name in reached if name in wanted] == wanted, reached


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_what_has_the_focus_looks_so(lab: Lab, panel: Panel, theme: str) -> None:
    lab.asleep("one")
    panel.open()
    panel.theme(theme)
    unseen = []
    for name in ("New cluster…", "Resume", "More actions for one"):
        button = panel.node.get_by_role("button", name=name).first
        tabbed_to(panel, name)
        panel.page.wait_for_timeout(200)  # Lab's own buttons change over 150 ms
        focused = button.evaluate(LOOKS)
        panel.page.evaluate("document.activeElement.blur()")
        panel.page.wait_for_timeout(200)
        if button.evaluate(LOOKS) == focused:
            unseen.append(name)
    assert not unseen


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_key_presses_what_has_the_focus(panel: Panel, key: str) -> None:
    panel.open()
    tabbed_to(panel, "New cluster")
    panel.page.keyboard.press(key)
    expect(panel.dialog.locator(":focus")).to_have_count(1)
    panel.page.keyboard.press("Escape")
    expect(panel.dialog).to_have_count(0)
    assert panel.page.evaluate(FOCUSED) == "New cluster"


def test_a_cluster_is_scaled_and_deleted_without_a_mouse(lab: Lab, panel: Panel) -> None:
    lab.asleep("one")
    panel.open()
    chosen(panel, "More actions for one", "Scale…")
    expect(panel.dialog.get_by_role("spinbutton")).to_be_focused()
    panel.page.keyboard.press("ControlOrMeta+A")
    panel.page.keyboard.type("3")
    panel.page.keyboard.press("Enter")
    expect(panel.card("one")).to_contain_text("of 3")
    expect(panel.dialog).to_have_count(0)
    assert panel.page.evaluate(CARD) == "one", "after the dialog, the focus is where it was"

    chosen(panel, "More actions for one", "Delete…")
    expect(panel.dialog.get_by_role("button", name="Cancel")).to_be_focused()
    panel.page.keyboard.press("Tab")
    panel.page.keyboard.press("Enter")
    expect(panel.card("one")).to_have_count(0)


def chosen(panel: Panel, button: str, item: str) -> None:
    """An entry of a menu, by Enter and arrows."""
    tabbed_to(panel, button)
    panel.page.keyboard.press("Enter")
    menu = panel.page.get_by_role("menu")
    expect(menu).to_be_visible()
    active = menu.locator(".lm-mod-active")
    while not (active.count() and item in active.inner_text()):
        panel.page.keyboard.press("ArrowDown")
    panel.page.keyboard.press("Enter")


def test_escape_closes_a_cards_menu_and_the_focus_is_on_its_button_again(lab: Lab, panel: Panel) -> None:
    lab.asleep("one")
    panel.open()
    tabbed_to(panel, "More actions for one")
    panel.page.keyboard.press("Enter")
    expect(panel.page.get_by_role("menu")).to_be_visible()
    panel.page.keyboard.press("Escape")
    expect(panel.page.get_by_role("menu")).to_have_count(0)
    assert panel.page.evaluate(FOCUSED) == "More actions for one"


def test_the_focus_stays_when_its_card_is_shown_anew(lab: Lab, panel: Panel) -> None:
    lab.asleep("one")
    lab.asleep("two")
    panel.open()
    tabbed_to(panel, "More actions for two")
    lab.want("two", 3)
    expect(panel.card("two")).to_contain_text("of 3")
    lab.asleep("before-both")  # comes above it
    expect(panel.cards).to_have_count(3)
    assert panel.page.evaluate(FOCUSED) == "More actions for two"


def test_the_focus_stays_in_its_card_when_its_button_goes(lab: Lab, panel: Panel) -> None:
    lab.asleep("one")
    panel.open()
    tabbed_to(panel, "Resume")
    lab.store.patch("RayCluster", "one", [{"op": "replace", "path": "/spec/suspend", "value": False}])
    expect(panel.card("one")).to_contain_text("Pending")
    expect(panel.card("one").get_by_role("button", name="Resume")).to_have_count(0)
    assert panel.page.evaluate(CARD) == "one"
