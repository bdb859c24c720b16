"""The way from nothing to a scaled cluster with a notebook on it, by mouse and keyboard, wherever the clusters are."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from playwright.sync_api import Locator, Page, expect

from .panel import Panel
from .shots import Shot

# A busy machine with two processors takes its time.
MINUTES_MS = 240_000
TASK = """import ray

@ray.remote(num_gpus=1)
def where():
    return f"on GPU {ray.get_gpu_ids()}"

print(ray.get(where.remote()))"""

HAS_KERNEL = """() => {
  const context = jupyterapp.shell.currentWidget?.sessionContext;
  return context?.isReady && context.session?.kernel?.connectionStatus === 'connected' && context.session.kernel.status === 'idle';
}"""

# What a page gets when it asks with the user's cookies for what is at an address, to read it or to change something.
ASKS = """async address => {
  const get = { credentials: 'include' };
  const post = { ...get, method: 'POST', mode: 'no-cors', body: '{"type": "notebook"}' };
  const read = await fetch(address, get).then(answer => answer.text(), error => `${error.name}`);
  const written = await fetch(address, post).then(answer => answer.type, error => `${error.name}`);
  return [read, written];
}"""


class Way:
    """One person at one page; each method is a step, and takes its picture."""

    def __init__(self, panel: Panel, name: str, shot: Shot) -> None:
        self.panel, self.name, self.shot = panel, name, shot

    @property
    def page(self) -> Page:
        return self.panel.page

    @property
    def card(self) -> Locator:
        return self.panel.card(self.name)

    @property
    def notebook(self) -> Locator:
        return self.page.locator(".jp-NotebookPanel")

    @property
    def toolbar(self) -> Locator:
        return self.notebook.locator(".jp-kuberay-ToolbarItem")

    def new_cluster(self, profile: str) -> None:
        self.panel.open()
        self.shot("nothing-yet")
        self.panel.node.get_by_role("button", name="New cluster", exact=True).click()
        dialog = self.panel.dialog
        dialog.get_by_text(profile).click()
        name = dialog.get_by_role("textbox", name="Name")
        name.fill("No such Name")
        expect(dialog.locator(".jp-kuberay-Mistake")).to_be_visible()
        self.shot("mistake")
        name.fill(self.name)
        expect(dialog.locator(".jp-kuberay-Mistake")).to_have_count(0)
        dialog.get_by_text("YAML", exact=True).click()
        expect(dialog.locator("pre")).to_contain_text("kind: RayCluster")
        self.shot("new-cluster")
        dialog.get_by_role("button", name="Create").click()

    def wait(self) -> None:
        expect(self.card).to_be_visible()
        self.shot("starting")
        self.is_ready()
        expect(self.card.get_by_role("meter").first).to_be_visible(timeout=60_000)
        self.shot("ready")

    def is_ready(self) -> None:
        expect(self.card.locator(".jp-kuberay-Word")).to_have_text("Ready", timeout=MINUTES_MS)

    def open_notebook(self) -> None:
        """A new one, with a kernel that is told to be attached to nothing."""
        self.page.locator('.jp-LauncherCard[data-category="Notebook"]').first.click()
        # What is shown before there is a kernel looks the same: "idle", and "not attached".
        self.page.wait_for_function(HAS_KERNEL, timeout=MINUTES_MS)
        expect(self.notebook.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute("data-status", "idle", timeout=MINUTES_MS)
        expect(self.toolbar).to_contain_text("not attached", timeout=60_000)

    def press_attach(self) -> None:
        self.card.get_by_role("button", name="Attach").click()

    def attach(self) -> None:
        self.open_notebook()
        self.press_attach()
        expect(self.toolbar).to_contain_text(f"Ray: {self.name}", timeout=MINUTES_MS)
        expect(self.notebook.locator(".jp-CodeCell").first).to_contain_text(f"%kuberay attach {self.name}")
        expect(self.card).to_contain_text("Attached: Untitled.ipynb")
        self.shot("attached")

    def type(self, code: str) -> Locator:
        """Run it in the last cell, which is told; another comes below it."""
        cells = self.notebook.locator(".jp-CodeCell")
        cell = cells.nth(cells.count() - 1)
        cell.locator(".cm-content").click()
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Shift+Enter")
        return cell

    def run_a_task(self) -> None:
        cell = self.type(TASK)
        expect(cell.locator(".jp-OutputArea")).to_contain_text(re.compile(r"on GPU \['?\d"), timeout=MINUTES_MS)
        self.shot("task")

    def open_dashboard(self) -> None:
        """Ray's own page in another tab, and what it would find of Jupyter's: nothing."""
        with self.page.context.expect_page() as opened:
            self.panel.more(self.name, "Ray's Dashboard")
        dashboard = opened.value
        expect(dashboard).to_have_title(re.compile("Ray Dashboard"), timeout=60_000)
        expect(dashboard.get_by_text("Jobs").first).to_be_visible(timeout=60_000)
        own, jupyter = (urlsplit(page.url) for page in (dashboard, self.page))
        assert own.netloc != jupyter.netloc and own.hostname != jupyter.hostname
        assert dashboard.evaluate("document.cookie") == "" and dashboard.evaluate("window.opener") is None
        contents = f"{jupyter.scheme}://{jupyter.netloc}/api/contents"
        listed = "() => jupyterapp.serviceManager.contents.get('').then(folder => folder.content.map(each => each.name))"
        before = self.page.evaluate(listed)
        assert dashboard.evaluate(ASKS, contents) == ["TypeError", "TypeError"], "it may ask Jupyter"
        assert self.page.evaluate(listed) == before, "it changed something of Jupyter's"
        dashboard.close()

    def see_named(self, worker: str, words: str) -> None:
        """``worker`` was killed, which is told in ``words``."""
        expect(self.card).to_contain_text(worker, timeout=MINUTES_MS)
        expect(self.card).to_contain_text(words)
        self.shot("worker-killed")

    def scale(self, workers: int) -> None:
        self.is_ready()
        self.card.get_by_role("button", name="Scale…").click()
        field = self.panel.dialog.get_by_role("spinbutton")
        expect(field).to_be_focused()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.type(str(workers))
        self.shot("scale")
        self.page.keyboard.press("Enter")
        expect(self.card.locator(".jp-kuberay-Count")).to_have_text(f"{workers} of {workers}", timeout=MINUTES_MS)
        self.is_ready()
        self.shot("scaled")

    def is_gone(self) -> None:
        """It was deleted, and the notebook says so."""
        expect(self.card).to_have_count(0, timeout=MINUTES_MS)
        expect(self.toolbar.get_by_role("button")).to_have_attribute("title", "The cluster is gone.", timeout=60_000)
