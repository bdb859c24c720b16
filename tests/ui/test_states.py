"""What the panel says when nothing is there, when nothing can be there, and when what is there means harm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .api_server import ApiServer
from .lab import Lab, running
from .panel import Panel

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

HARM = '<img src="nowhere" onerror="window.harmed = true"><b>bold</b>'


def test_the_panel_opens_from_its_tab_and_offers_a_first_cluster(panel: Panel) -> None:
    assert not panel.node.is_visible()
    panel.open()
    expect(panel.node.get_by_role("button", name="New cluster", exact=True)).to_be_visible()
    expect(panel.cards).to_have_count(0)
    panel.node.get_by_role("button", name="New cluster", exact=True).click()
    expect(panel.dialog.get_by_text("Profile", exact=True)).to_be_visible()


def test_a_cluster_that_is_made_elsewhere_is_shown_and_goes_without_reload(lab: Lab, panel: Panel) -> None:
    panel.open()
    lab.asleep("elsewhere")
    expect(panel.card("elsewhere")).to_contain_text("Suspended")
    lab.forget()
    expect(panel.cards).to_have_count(0)


# --- Kubernetes that cannot be had ---


def test_an_api_server_that_does_not_answer_is_named_with_what_helps(page: Page, tmp_path: Path) -> None:
    silent = ApiServer(0)
    silent.port = 9  # where nobody listens
    with on_kubernetes(silent, tmp_path) as lab, Panel(page).within(lab) as panel:
        panel.show()
        trouble = panel.node.get_by_role("alert")
        expect(trouble).to_contain_text("127.0.0.1:9", timeout=60_000)
        expect(trouble.get_by_role("button", name="Try again")).to_be_visible()
        assert "Check your network, VPN and kubeconfig" in trouble.inner_text()


def test_who_may_not_list_clusters_is_told_what_to_ask_for(page: Page, tmp_path: Path) -> None:
    with ApiServer(2).serving() as api:
        api.forbidden = frozenset({"rayclusters"})
        with on_kubernetes(api, tmp_path) as lab, Panel(page).within(lab) as panel:
            panel.show()
            trouble = panel.node.get_by_role("alert")
            expect(trouble).to_contain_text("rayclusters", timeout=60_000)
            expect(trouble).to_contain_text("administrator")


def on_kubernetes(api: ApiServer, folder: Path) -> AbstractContextManager[Lab]:
    return running(environment={"JUPYTER_KUBERAY_BACKEND": "kuberay", "KUBECONFIG": str(api.kubeconfig(folder / "kubeconfig"))})


# --- HTML is text ---


@pytest.fixture
def harmless(page: Page) -> Iterator[None]:
    yield
    assert page.evaluate("window.harmed") is None, "HTML from outside was taken for HTML"
    assert page.locator("img[src=nowhere]").count() == 0


@pytest.mark.usefixtures("harmless")
def test_a_cause_and_a_group_with_html_are_text(lab: Lab, panel: Panel) -> None:
    lab.asleep("foreign")
    # Kubernetes takes any text for both.
    lab.store.patch(
        "RayCluster",
        "foreign",
        [
            {"op": "replace", "path": "/spec/workerGroupSpecs/0/groupName", "value": HARM},
            {"op": "replace", "path": "/spec/suspend", "value": False},
        ],
    )
    node = {"name": "foreign-head", "group": "head", "ready": False, "reason": "CrashLoopBackOff", "message": HARM, "restarts": 3}
    lab.store.write_status("RayCluster", "foreign", {"observedGeneration": 2}, [node])
    panel.open()
    card = panel.card("foreign")
    expect(card).to_contain_text("The head does not run")
    expect(card.get_by_text(HARM)).to_have_count(2)


@pytest.mark.usefixtures("harmless")
def test_a_log_with_html_is_text(lab: Lab, panel: Panel) -> None:
    lab.asleep("talks")
    node = {"name": "head", "group": "head", "ready": True, "reason": "", "message": "", "restarts": 0}
    lab.store.write_status("RayCluster", "talks", {"observedGeneration": 1}, [node])
    (lab.store.folder("RayCluster", "talks") / "logs" / "head.log").write_text(f"{HARM}\n")
    panel.open()
    panel.more("talks", "Log of head")
    expect(panel.page.get_by_text(HARM)).to_be_visible()


@pytest.mark.usefixtures("harmless")
def test_a_profile_with_html_is_text(page: Page) -> None:
    profile = {"name": "odd", "title": HARM, "description": HARM, "cluster": {"worker_groups": [{"name": "workers", "replicas": 1}]}}
    with running(config=f"c.KubeRay.profiles = [{profile!r}]") as lab, Panel(page).within(lab) as panel:
        panel.open()
        panel.node.get_by_role("button", name="New cluster", exact=True).click()
        expect(panel.dialog.get_by_text(HARM)).to_have_count(2)
