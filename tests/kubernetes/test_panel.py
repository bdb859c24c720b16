"""The panel on Kubernetes, in a browser: from nothing to a scaled cluster with a notebook on it, and what became of a pod."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page, sync_playwright

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
