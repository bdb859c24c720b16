"""What happens around a panel that is open: the server, the connection, other people."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, WebSocketRoute, expect

from .browser import Faults
from .lab import Lab, running
from .panel import Panel

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

NOTICES_MS, RECOVERS_MS = 30_000, 60_000
OPACITY = """card => {
  let seen = 1;
  for (let node = card; node; node = node.parentElement) seen *= getComputedStyle(node).opacity;
  return seen;
}"""


@pytest.fixture
def mortal() -> Iterator[Lab]:
    """A JupyterLab of the test's own, to be killed."""
    with running() as lab:
        yield lab


def test_a_server_that_is_killed_is_said_and_what_was_there_stays_until_it_is_back(mortal: Lab, page: Page, faults: Faults) -> None:
    faults.expect("ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|WebSocket connection")
    with Panel(page).within(mortal) as panel:
        panel.open()
        mortal.asleep("stays")
        expect(panel.card("stays")).to_be_visible()

        mortal.end(signal.SIGKILL)
        expect(panel.live).to_have_count(0, timeout=NOTICES_MS)
        expect(panel.node.get_by_text("last seen")).to_be_visible()
        expect(panel.card("stays")).to_be_visible()
        assert panel.card("stays").evaluate(OPACITY) < 1, "it looks as if it were so now"

        mortal.asleep("meanwhile")
        mortal.start()
        expect(panel.live).to_be_visible(timeout=RECOVERS_MS)
        expect(panel.card("meanwhile")).to_be_visible()
        expect(panel.node.get_by_text("last seen")).to_have_count(0)
        # Changes arrive again, too.
        mortal.want("stays", 3)
        expect(panel.card("stays")).to_contain_text("of 3")


def test_what_one_tab_does_the_other_shows(lab: Lab, panel: Panel, tab: BrowserContext) -> None:
    lab.asleep("shared")
    other = Panel(tab.new_page())
    other.load(lab)
    panel.open()
    other.open()
    scaled(panel, "shared", 3)
    expect(other.card("shared")).to_contain_text("of 3")
    scaled(other, "shared", 2)
    expect(panel.card("shared")).to_contain_text("of 2")
    panel.more("shared", "Delete")
    panel.dialog.get_by_role("button", name="Delete").click()
    expect(other.card("shared")).to_have_count(0)
    expect(panel.card("shared")).to_have_count(0)


def scaled(panel: Panel, name: str, workers: int) -> None:
    panel.more(name, "Scale")
    panel.dialog.get_by_role("spinbutton").first.fill(str(workers))
    panel.dialog.get_by_role("button", name="Scale").click()


@pytest.mark.parametrize("action", ["Scale", "Delete"])
def test_a_cluster_that_goes_while_its_dialog_is_open_is_said_to_be_gone(lab: Lab, panel: Panel, faults: Faults, action: str) -> None:
    faults.expect("404")
    lab.asleep("goes")
    panel.open()
    panel.more("goes", action)
    if action == "Scale":
        panel.dialog.get_by_role("spinbutton").first.fill("3")
    lab.forget()
    expect(panel.card("goes")).to_have_count(0)
    button = panel.dialog.get_by_role("button", name=action, exact=True)
    if button.is_visible():  # it may have closed by itself
        button.click()
        expect(panel.dialog).to_contain_text("There is no cluster 'goes'.")
        panel.page.keyboard.press("Escape")
        expect(panel.dialog).to_have_count(0)
    expect(panel.live).to_be_visible()


# --- the way that changes take ---


class Stream:
    """The event stream of a page, which can be cut, held, and let through again."""

    def __init__(self, page: Page) -> None:
        self._page, self.open, self.deaf = page, True, False
        self._routes: list[WebSocketRoute] = []
        page.route_web_socket("**/api/events/subscribe**", self._connected)

    def _connected(self, route: WebSocketRoute) -> None:
        if not self.open:
            route.close(code=1001)
            return
        self._routes.append(route)
        server = route.connect_to_server()
        server.on_message(lambda message: None if self.deaf else route.send(message))

    def wait_until_open(self) -> None:
        """Lab tries again every 30 s at the latest."""
        for _ in range(RECOVERS_MS // 100):
            if self._routes:
                return
            self._page.wait_for_timeout(100)
        raise AssertionError("Lab did not open it again")

    def cut(self) -> None:
        self.open = False
        for route in self._routes:
            route.close(code=1001)
        self._routes.clear()


def test_what_changed_while_the_event_stream_was_away_is_shown_when_it_is_back(lab: Lab, page: Page) -> None:
    stream = Stream(page)
    panel = Panel(page)
    panel.load(lab)
    panel.open()
    lab.asleep("before")
    expect(panel.card("before")).to_be_visible()
    stream.cut()
    lab.asleep("meanwhile")
    lab.want("before", 4)
    page.wait_for_timeout(60_000)  # as of a laptop that was asleep: who tries again waits longer each time
    stream.open = True
    expect(panel.card("meanwhile")).to_be_visible(timeout=RECOVERS_MS)
    expect(panel.card("before")).to_contain_text("of 4")
    stream.wait_until_open()
    expect(panel.live).to_be_visible()


def test_a_page_that_hears_nothing_does_not_say_that_it_is_live(lab: Lab, page: Page) -> None:
    stream = Stream(page)
    stream.deaf = True
    panel = Panel(page)
    panel.load(lab)
    lab.asleep("there")
    panel.show()
    expect(panel.card("there")).to_be_visible()
    page.wait_for_timeout(5000)  # the word that does not come is waited for for 3 s
    expect(panel.live).to_have_count(0)
    stream.deaf = False
    expect(panel.live).to_be_visible(timeout=RECOVERS_MS)


def test_a_machine_that_comes_back_to_the_network_looks_again(lab: Lab, panel: Panel, tab: BrowserContext, faults: Faults) -> None:
    faults.expect("ERR_INTERNET_DISCONNECTED")
    lab.asleep("there")
    panel.open()
    tab.set_offline(True)
    lab.asleep("meanwhile")
    tab.set_offline(False)
    expect(panel.card("meanwhile")).to_be_visible(timeout=RECOVERS_MS)
    expect(panel.live).to_be_visible()
