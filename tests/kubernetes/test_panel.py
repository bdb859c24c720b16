"""The panel on Kubernetes, in a browser: from nothing to a scaled cluster with a notebook on it, and what became of a pod."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page, expect, sync_playwright

from tests.testbed import audit
from tests.testbed.faults import Testbed
from tests.ui.browser import ARTIFACTS, Faults, context, launched
from tests.ui.lab import Lab, running
from tests.ui.panel import Panel
from tests.ui.shots import shots
from tests.ui.way import Way

from .conftest import MakeNamespace
from .people import Person

pytestmark = pytest.mark.timeout(900)

RULES = yaml.safe_load((Path(__file__).parents[2] / "deploy" / "role.yaml").read_text())["rules"]
CONFIG = """
c.KubeRay.backend = "kuberay"
c.KubeRay.user = "alice"
c.KubeRay.namespace = {namespace!r}
c.KubeRay.profiles = [
    {{
        "name": "gpu",
        "title": "GPU",
        "description": "Workers with one GPU each.",
        "cluster": {{
            "image": {image!r},
            "head": {{"cpu": "1", "memory": "2Gi"}},
            "worker_groups": [{{"name": "gpu", "cpu": "1", "memory": "1Gi", "gpus": 1}}],
        }},
        "limits": {{"workers": 4}},
    }}
]
"""


@pytest.fixture
def namespace(alice: Person, make_namespace: MakeNamespace) -> str:
    return make_namespace(alice, RULES)


@pytest.fixture
def lab(alice: Person, namespace: str, image: str) -> Iterator[Lab]:
    """Alice's JupyterLab."""
    with running(environment={"KUBECONFIG": str(alice.kubeconfig)}, config=CONFIG.format(namespace=namespace, image=image)) as lab:
        yield lab


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    faults = Faults()
    # A name that is none, while it is typed.
    faults.expect("422 .*manifests")
    failed = request.session.testsfailed
    with (
        sync_playwright() as playwright,
        launched(playwright) as browser,
        context(browser, request.node.name, lambda: request.session.testsfailed > failed) as tab,
    ):
        tab.on("page", faults.watch)
        yield tab.new_page()
    assert not faults.seen, "\n".join(faults.seen)


def test_from_nothing_to_a_scaled_cluster_with_a_notebook_on_it(lab: Lab, page: Page, admin: Person, namespace: str) -> None:
    panel = Panel(page)
    with panel.within(lab):
        way = Way(panel, "training", shots(page, ARTIFACTS / "steps-kubernetes"))
        way.new_cluster("Workers with one GPU each")
        way.wait()
        way.open_dashboard()
        way.attach()
        way.run_a_task()

        worker = next(node["name"] for node in lab.client.get("/clusters/training").json()["nodes"] if node["group"] != "head")
        admin.kubectl("delete", "pod", worker, f"--namespace={namespace}", "--grace-period=0", "--force", "--wait=false")
        way.see_named(worker, f"{worker} is gone")
        way.scale(2)
        way.run_a_task()
        panel.more("training", "Delete…")
        panel.dialog.get_by_role("button", name="Delete").click()
        way.is_gone()


IDLE_S, BROWSERS = 30, 20


def test_an_open_idle_panel_asks_kubernetes_for_nothing_however_many_look(lab: Lab, page: Page, alice: Person, testbed: Testbed) -> None:
    asked = {"name": "asleep", "more": {"suspend": True}}
    assert lab.client.post("/clusters", json=asked).status_code == 201
    panel = Panel(page)
    with panel.within(lab):
        panel.open()
        expect(panel.card("asleep")).to_contain_text("Suspended", timeout=60_000)
        page.wait_for_timeout(5000)  # what opening it asks for has been asked
        with audit.requests(alice.login) as idle:
            page.wait_for_timeout(IDLE_S * 1000)
        with audit.requests(alice.login) as crowded:
            views = [f"view-{number:02}" for number in range(BROWSERS)]
            told = [lab.client.put(f"/views/{view}", json={"clusters": ["asleep"]}).json() for view in views]
            assert all([cluster["name"] for cluster in each["clusters"]] == ["asleep"] for each in told)
            for view in views:
                lab.client.delete(f"/views/{view}")
        with audit.requests(alice.login) as scaled:
            lab.client.post("/clusters/asleep/scale", json={"replicas": 2})
            expect(panel.card("asleep")).to_contain_text("of 2")
    # A watch that its server ended is begun again.
    assert [request for request in (*idle, *crowded) if request.verb != "watch"] == []
    assert [request.verb for request in scaled if request.verb == "patch"] == ["patch"], "it counts"
