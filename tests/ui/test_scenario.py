"""The whole way in the panel on this machine, by mouse and keyboard only: from nothing to a model that was taken back."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from playwright.sync_api import expect

from jupyter_kuberay.backends.local.processes import marked

from . import pictures
from .browser import ARTIFACTS, Faults
from .lab import Lab
from .panel import Panel
from .shots import Shot
from .way import MINUTES_MS, Way

pytestmark = [pytest.mark.timeout(900), pytest.mark.ray]

GREETER = '''"""A service that greets."""

from ray import serve
from starlette.requests import Request

EXAMPLE = "/?name=Ada"


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Greeter:
    async def __call__(self, request: Request) -> str:
        return f"WORD, {request.query_params.get('name', 'you')}!"


app = Greeter.bind()
'''


def test_from_nothing_to_a_model_that_was_taken_back(lab: Lab, panel: Panel, shot: Shot, faults: Faults) -> None:
    faults.expect("422 .*manifests")  # a name that is none, while it is typed
    way = Way(panel, "training", shot)
    way.new_cluster("Workers with one GPU each")
    way.wait()
    way.open_dashboard()
    expect(way.card).to_contain_text("GPUs are simulated")
    way.attach()
    way.run_a_task()

    worker = next(node["name"] for node in lab.client.get("/clusters/training").json()["nodes"] if node["group"] != "head")
    kept = lab.store.find("RayCluster", "training")
    assert kept is not None
    for pid in marked(f"{kept.uid}/{worker}"):
        os.kill(pid, signal.SIGKILL)
    way.see_named(worker, "killed by SIGKILL")
    way.scale(2)
    way.run_a_task()

    def publish(word: str) -> None:
        (lab.home / "work" / "greeter.py").write_text(GREETER.replace("WORD", word))
        dialog = panel.dialog
        dialog.get_by_role("button", name="Publish", exact=True).click()
        expect(dialog.get_by_text("greeter answers at")).to_be_visible(timeout=MINUTES_MS)

    service = panel.card("greeter")
    panel.node.get_by_role("button", name="Publish model…").last.click()
    form = panel.dialog
    form.get_by_label("Name").fill("greeter")
    form.get_by_text("More", exact=True).click()
    form.get_by_label("Application").fill("greeter.py:app")
    shot("publish")
    publish("Hello")
    shot("published")
    panel.dialog.get_by_role("button", name="Insert a cell that asks it").click()
    panel.dialog.get_by_role("button", name="Close").click()
    expect(way.notebook).to_contain_text('Service("greeter").reach()')

    def answers(word: str) -> None:
        service.get_by_role("button", name="Send").click()
        expect(service.locator("pre")).to_have_text(f"{word}, Ada!", timeout=60_000)
        expect(service).to_contain_text("1 of 1 replica", timeout=30_000)

    service.get_by_role("button", name="Try", exact=True).click()
    expect(service.get_by_label("Path and query")).to_have_value("?name=Ada", timeout=60_000)
    answers("Hello")
    shot("tried")

    panel.more("greeter", "Upgrade…")
    expect(panel.dialog.get_by_label("Name")).to_have_value("greeter")
    publish("Goodbye")
    panel.dialog.get_by_role("button", name="Close").click()
    expect(service.get_by_text("revision 2", exact=True)).to_be_visible(timeout=MINUTES_MS)
    answers("Goodbye")
    shot("upgraded")

    panel.more("greeter", "Revisions…")
    shot("revisions")
    panel.dialog.get_by_role("button", name="Roll Back").click()
    expect(panel.dialog.get_by_text("greeter answers at")).to_be_visible(timeout=MINUTES_MS)
    panel.dialog.get_by_role("button", name="Close").click()
    expect(service.get_by_text("revision 1", exact=True)).to_be_visible(timeout=MINUTES_MS)
    answers("Hello")
    shot("rolled-back")

    panel.more("greeter", "Upgrade…")
    panel.dialog.get_by_text("More", exact=True).click()
    panel.dialog.get_by_label("Called within it").fill("loud")
    publish("HELLO")
    panel.dialog.get_by_role("button", name="Close").click()
    loud = service.get_by_text("loud · RUNNING · revision 1")
    expect(loud).to_be_visible(timeout=MINUTES_MS)
    answers("Hello")
    shot("two-applications")
    service.get_by_role("button", name="Unpublish loud of greeter").click()
    expect(panel.dialog).to_contain_text("What else greeter has stays.")
    panel.dialog.get_by_role("button", name="Unpublish").click()
    expect(loud).to_have_count(0, timeout=MINUTES_MS)
    answers("Hello")

    panel.more("training", "Delete…")
    expect(panel.dialog).to_contain_text("Untitled.ipynb is attached and loses its objects.")
    shot("delete")
    panel.dialog.get_by_role("button", name="Delete").click()
    way.is_gone()
    panel.more("greeter", "Unpublish…")
    panel.dialog.get_by_role("button", name="Unpublish").click()
    expect(service).to_have_count(0, timeout=MINUTES_MS)
    shot("all-gone")
    if pictures.FOLDER:
        pictures.keep(ARTIFACTS / "steps", Path(pictures.FOLDER))
