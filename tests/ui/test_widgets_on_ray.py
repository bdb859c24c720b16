"""The panel of a notebook from nothing to a service that was tried, with nothing but its own buttons."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from .book import Book
from .browser import ARTIFACTS, Faults
from .lab import Lab
from .way import MINUTES_MS

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

PANEL = "from jupyter_kuberay import ClusterPanel\nClusterPanel()"
TASK = "import ray\nprint('six times seven is', ray.get(ray.remote(lambda: 6 * 7).remote()))"
APP = """
from ray import serve

@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Echo:
    async def __call__(self, request):
        return f"You said {request.query_params.get('word', 'nothing')}."

app = Echo.bind()
"""


@pytest.fixture
def book(lab: Lab, page: Page, faults: Faults) -> Iterator[Book]:
    faults.expect("409|422")
    (lab.home / "work" / "echo.py").write_text(APP)
    made = Book(page, lab, PANEL, TASK)
    yield made
    made.leave()


def test_a_cluster_is_made_attached_scaled_and_deleted_and_a_model_published_and_tried(book: Book, lab: Lab) -> None:
    def picture(name: str) -> None:
        (ARTIFACTS / "widgets").mkdir(parents=True, exist_ok=True)
        book.page.screenshot(path=ARTIFACTS / "widgets" / f"way-{name}.png", animations="disabled")

    book.open("lab")
    book.run(0)
    book.panel.get_by_role("button", name="New cluster…").click(timeout=MINUTES_MS)
    form = book.panel.get_by_role("form", name="New cluster")
    form.get_by_role("textbox", name="Name").fill("mine")
    form.get_by_role("button", name="Create").click()
    mine = book.card("mine")
    expect(mine).to_contain_text("Starting", timeout=MINUTES_MS)
    picture("starting")
    expect(mine).to_contain_text("Ready", timeout=MINUTES_MS)
    mine.get_by_role("button", name="Attach this kernel to mine").click()
    expect(mine).to_contain_text("Attached: this kernel", timeout=MINUTES_MS)
    picture("attached")
    book.run(1)
    expect(book.cell(1)).to_contain_text("six times seven is 42", timeout=MINUTES_MS)
    mine.get_by_role("button", name="Scale mine").click()
    mine.get_by_role("spinbutton", name="Workers").fill("0")
    mine.locator("form").get_by_role("button", name="Scale").click()
    expect(mine).to_contain_text("0 of 0", timeout=MINUTES_MS)
    mine.get_by_role("button", name="Delete mine").click()
    expect(mine.get_by_role("alertdialog")).to_contain_text("This kernel is attached and loses its objects.")
    picture("delete")
    mine.get_by_role("alertdialog").get_by_role("button", name="Delete", exact=True).click()
    expect(mine).to_have_count(0, timeout=MINUTES_MS)

    book.panel.get_by_role("button", name="Publish model…").click()
    form = book.panel.get_by_role("form", name="Publish a model")
    form.get_by_role("textbox", name="Name").fill("echo")
    form.get_by_role("textbox", name="Application").fill("echo.py:app")
    form.get_by_role("button", name="Publish").click()
    echo = book.card("echo")
    expect(echo).to_contain_text("Being published", timeout=MINUTES_MS)
    picture("publishing")
    expect(echo.get_by_role("button", name="Try echo")).to_be_visible(timeout=MINUTES_MS)
    echo.get_by_role("button", name="Try echo").click()
    echo.get_by_role("textbox", name="Path and query").fill("?word=hello")
    echo.get_by_role("button", name="Send").click()
    expect(echo).to_contain_text("You said hello.", timeout=MINUTES_MS)
    picture("tried")

    book.panel.get_by_role("button", name="Publish model…").click()
    form.get_by_role("textbox", name="Name").fill("echo")
    form.get_by_role("textbox", name="Application", exact=True).fill("echo.py:app")
    form.get_by_text("More", exact=True).click()
    form.get_by_role("textbox", name="Called within it").fill("Loud")
    form.get_by_role("spinbutton", name="At least").fill("1")
    form.get_by_role("spinbutton", name="At most").fill("0")
    form.get_by_role("button", name="Publish").click()
    expect(form).to_contain_text("Lower-case letters, digits and hyphens")
    expect(form).to_contain_text("At least 1.")
    picture("what-cannot-be")
    form.get_by_role("textbox", name="Called within it").fill("loud")
    form.get_by_role("spinbutton", name="At most").fill("1")
    form.get_by_role("button", name="Publish").click()
    expect(echo).to_contain_text("loud · RUNNING · revision 1 · 1 to 1 replica · /loud", timeout=MINUTES_MS)
    picture("two-applications")
    echo.get_by_role("button", name="Unpublish loud of echo").click()
    echo.get_by_role("alertdialog").get_by_role("button", name="Unpublish", exact=True).click()
    expect(echo).not_to_contain_text("loud", timeout=MINUTES_MS)
    expect(echo.get_by_role("button", name="Try echo")).to_be_visible()

    echo.get_by_role("button", name="Unpublish echo").click()
    echo.get_by_role("alertdialog").get_by_role("button", name="Unpublish", exact=True).click()
    expect(echo).to_have_count(0, timeout=MINUTES_MS)
