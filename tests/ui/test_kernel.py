"""Attaching a notebook whose kernel is busy, restarts, or does not run any more."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from .browser import Faults
from .lab import Lab, running, until
from .panel import Panel
from .way import Way

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

STARTS_S, ATTACHES_MS = 120, 60_000


def nothing(name: str) -> None:
    """These tests take no pictures."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Lab]:
    """A JupyterLab with a cluster that is only a head, and kernels that stay dead."""
    with running(options=("--KernelRestarter.restart_limit=0",)) as lab:
        made = lab.client.post("/clusters", json={"name": "head", "profile": "cpu-small", "workers": 0})
        assert made.status_code == 201, made.text
        until(lambda: lab.client.get("/clusters/head").json()["phase"] == "Ready", STARTS_S, "the cluster is ready")
        yield lab


@pytest.fixture
def way(cluster: Lab, page: Page) -> Iterator[Way]:
    """An empty notebook of this test's own beside the panel."""
    panel = Panel(page)
    with panel.within(cluster):
        panel.open()
        made = Way(panel, "head", nothing)
        made.open_notebook()
        yield made
        cluster.end_kernels()


def test_a_busy_kernel_attaches_when_it_is_free(way: Way) -> None:
    way.type("import time\ntime.sleep(6)\nprint('slept')")
    expect(way.notebook.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute("data-status", "busy")
    way.press_attach()
    attaching = way.notebook.locator(".jp-CodeCell", has_text="%kuberay attach head")
    expect(attaching.locator(".jp-InputPrompt")).to_have_text("[*]:")
    expect(way.toolbar).not_to_contain_text("head")
    expect(way.toolbar).to_contain_text("Ray: head", timeout=ATTACHES_MS)
    expect(way.notebook).to_contain_text("slept")


def test_a_kernel_that_restarts_is_no_longer_attached_and_attaches_when_it_is_back(way: Way) -> None:
    way.press_attach()
    expect(way.toolbar).to_contain_text("Ray: head", timeout=ATTACHES_MS)
    way.page.evaluate("void jupyterapp.commands.execute('kernelmenu:restart')")
    way.panel.dialog.get_by_role("button", name="Confirm Kernel Restart").click()
    expect(way.toolbar).not_to_contain_text("head")
    way.press_attach()
    expect(way.toolbar).to_contain_text("Ray: head", timeout=ATTACHES_MS)
    # The same cell again, not a second one.
    expect(way.notebook.locator(".jp-CodeCell", has_text="%kuberay attach")).to_have_count(1)


def test_a_dead_kernel_is_said_to_be_and_started_again_if_wanted(way: Way, faults: Faults) -> None:
    faults.expect("requestDebug")  # Lab's debugger asks the dead one, too
    way.type("import os\nprint(f'pid {os.getpid()}.')")
    output = way.notebook.locator(".jp-OutputArea").first
    expect(output).to_contain_text("pid ")
    os.kill(int(output.inner_text().split("pid ")[1].split(".")[0]), signal.SIGKILL)
    expect(way.notebook.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute("data-status", "disconnected", timeout=30_000)
    way.press_attach()
    expect(way.panel.dialog).to_contain_text("The kernel is dead")
    way.panel.dialog.get_by_role("button", name="Cancel").click()
    expect(way.panel.dialog).to_have_count(0)
    expect(way.notebook).not_to_contain_text("%kuberay attach")
    way.press_attach()
    way.panel.dialog.get_by_role("button", name="Start Again and Attach").click()
    expect(way.toolbar).to_contain_text("Ray: head", timeout=ATTACHES_MS)


def test_the_card_of_the_cluster_that_a_notebook_is_attached_to_lets_it_go(way: Way) -> None:
    button = way.card.locator(".jp-kuberay-Actions").get_by_role("button").first
    expect(button).to_have_text("Attach")
    button.focus()
    way.page.keyboard.press("Enter")
    expect(button).to_have_text("Detach", timeout=ATTACHES_MS)
    button.focus()  # it is in the notebook, where the cell ran
    way.page.keyboard.press("Enter")
    expect(way.toolbar).to_contain_text("not attached", timeout=ATTACHES_MS)
    expect(button).to_have_text("Attach")
    expect(way.notebook.locator(".jp-CodeCell", has_text="%kuberay detach")).to_have_count(1)


def test_a_cluster_says_for_how_long_nothing_has_run_on_it(way: Way) -> None:
    way.press_attach()
    expect(way.toolbar).to_contain_text("Ray: head", timeout=ATTACHES_MS)
    expect(way.card).to_contain_text(re.compile(r"Idle for \d+ min"), timeout=120_000)  # a notebook that is attached does nothing by that
    way.type("import ray, time\nray.get(ray.remote(lambda: time.sleep(20)).remote())")
    expect(way.card).not_to_contain_text("Idle", timeout=20_000)


def test_a_kernel_that_was_shut_down_is_started(way: Way, faults: Faults) -> None:
    faults.expect("requestDebug|jupyterlab-manager")  # these two ask a kernel that goes while they begin, as they do without us
    way.page.evaluate("void jupyterapp.commands.execute('kernelmenu:shutdown')")
    expect(way.notebook.locator(".jp-Toolbar-kernelName")).to_have_text("No Kernel")
    expect(way.toolbar).to_contain_text("not attached")
    way.press_attach()
    expect(way.toolbar).to_contain_text("Ray: head", timeout=ATTACHES_MS)
