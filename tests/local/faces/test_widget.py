"""The widgets in a real kernel, as a page has to do with them. Nothing of Ray runs: the clusters are suspended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from jupyter_kuberay.backends.local.store import Store
from tests.local.faces.kernels import Kernel, kernel
from tests.ui.lab import Lab

MAKE = "from jupyter_kuberay import ClusterCard, ClusterPanel, ServiceCard; made = ClusterPanel()"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Of local clusters."""
    return Lab(tmp_path_factory.mktemp("widgets"), {})


@pytest.fixture
def world(folder: Lab) -> Iterator[Lab]:
    """Two clusters that are suspended."""
    folder.asleep("one")
    folder.asleep("two")
    yield folder
    folder.forget()


@pytest.fixture(scope="module")
def shared(folder: Lab) -> Iterator[Kernel]:
    with kernel(folder.home / "k") as made:
        yield made


@pytest.fixture
def page(shared: Kernel, world: Lab) -> Iterator[Kernel]:
    """A kernel without widgets."""
    shared.forget()
    yield shared
    shared.run("import ipywidgets; ipywidgets.Widget.close_all()")


def wanted(store: Store, name: str) -> int:
    return int(store.read("RayCluster", name).resource["spec"]["workerGroupSpecs"][0]["replicas"])


def test_a_panel_begins_with_what_there_is(page: Kernel) -> None:
    shown = page.opened[page.widget(MAKE)]["shown"]
    assert sorted(shown["clusters"]) == ["one", "two"] and shown["clusters"]["one"]["phase"] == "Suspended"
    assert shown["synced"] and shown["backend"] == "local" and shown["services"] == {}


def test_a_change_in_the_world_reaches_the_panel_and_the_card_of_it_and_no_other(page: Kernel, world: Lab) -> None:
    panel, one, two = page.widget(MAKE), page.widget("one = ClusterCard('one')"), page.widget("two = ClusterCard('two')")
    world.want("one", 3)
    page.until(lambda: page.heard(panel, '"wanted": {"workers": 3}') and page.heard(one, '"wanted": {"workers": 3}'))
    assert not page.heard(two, '"wanted": {"workers": 3}')
    world.store.remove("RayCluster", "two")
    page.until(lambda: any(change["type"] == "gone" for change in page.changes(two)))
    assert {change.get("name") or change["status"]["name"] for change in page.changes(two)} == {"two"}


def test_a_click_is_obeyed_while_a_cell_runs(page: Kernel, world: Lab) -> None:
    panel = page.widget(MAKE)
    cell = page.begin("import time\ntime.sleep(60)")
    assert page.ask(panel, "scale", name="one", body={"replicas": 4, "group": ""})()["value"]["wanted"] == {"workers": 4}
    assert wanted(world.store, "one") == 4
    assert page.runs(cell)
    page.interrupt(cell)


def test_what_is_sent_while_a_cell_runs_does_not_turn_later_clicks_to_the_cells_thread(page: Kernel, world: Lab) -> None:
    panel = page.widget(MAKE)
    page.ask(panel, "profiles")()
    cell = page.begin("import time\ntime.sleep(60)")
    world.want("two", 2)
    page.until(lambda: page.heard(panel, '"wanted": {"workers": 2}'))
    assert page.ask(panel, "profiles")()["value"]
    page.interrupt(cell)


def test_a_page_without_a_thread_of_its_own_is_heard_between_cells(page: Kernel) -> None:
    assert page.ask(page.widget(MAKE), "profiles", beside=False)()["value"][0]["name"] == "cpu-small"


def test_what_cannot_be_is_answered_with_a_sentence_and_what_to_do(page: Kernel) -> None:
    panel = page.widget(MAKE)
    too_many = page.ask(panel, "create", body={"name": "big", "profile": "cpu-small", "workers": 99})()["problem"]
    assert too_many["kind"] == "LimitExceeded" and "8 workers" in too_many["message"] and too_many["hint"]
    gone = page.ask(panel, "resume", name="nobody")()["problem"]
    assert gone["kind"] == "NotFound" and "one, two" in gone["hint"]
    unknown = page.ask(panel, "explode")()["problem"]
    assert "explode" in unknown["message"]


def test_many_widgets_share_one_watch_and_the_last_that_is_closed_ends_it(page: Kernel) -> None:
    page.run(MAKE)
    page.run("""
import asyncio
from jupyter_kuberay.faces.widget.world import world
from jupyter_kuberay.loop import background_loop, run_sync
async def watches():
    return sum(1 for task in asyncio.all_tasks() if "_Kind.follow" in repr(task.get_coro()))
more = [ClusterPanel(), ClusterCard("one"), ServiceCard("x")]
""")
    assert page.run("print(run_sync(watches()))") == "3\n"  # one of each kind: clusters, services, jobs
    page.run("for each in more: each.close()")
    assert page.run("print(run_sync(watches()))") == "3\n"
    page.run("made.close()")
    # Leaving again waits until the watches have ended.
    assert page.run("run_sync(world().leave('none')); print(run_sync(watches()))") == "0\n"


def test_a_widget_that_is_closed_leaves_a_picture_of_what_was_there(page: Kernel, world: Lab) -> None:
    comm = page.widget(MAKE)
    page.run("display(made)")
    assert any("application/vnd.jupyter.widget-view+json" in output for output in page.outputs)
    assert "one" in page.outputs[0]["text/html"] and "As it was on" in page.outputs[0]["text/html"]
    world.asleep("three")
    page.until(lambda: page.heard(comm, '"three"'))
    page.run("made.close()")
    assert comm in page.closed and "three" in page.outputs[-1]["text/html"]
    assert "three" in page.run("print(made)")


def test_a_notebooks_saved_state_and_a_page_that_comes_later_have_what_is_there_now(page: Kernel, world: Lab) -> None:
    comm = page.widget(MAKE)
    world.want("one", 5)
    page.until(lambda: page.heard(comm, '"wanted": {"workers": 5}'))
    page.run("import json; from ipywidgets.embed import embed_data")

    def saved() -> Any:
        return json.loads(page.run("print(json.dumps(embed_data([made])['manager_state']['state'][made.model_id]['state']['shown']))"))

    def told() -> int:
        last = page.told[-1][1]
        return int(last["shown"]["seq"] if last["type"] == "all" else last["seq"])

    page.until(lambda: saved()["seq"] == told())
    assert saved()["clusters"]["one"]["wanted"] == {"workers": 5}


def test_a_kernel_that_ends_leaves_nothing(folder: Lab, world: Lab) -> None:
    with kernel(folder.home / "k") as other:
        other.widget(MAKE)
        listening = set(world.store.bell.folder.iterdir())
        assert listening
    there = set(world.store.bell.folder.iterdir()) if world.store.bell.folder.exists() else set()
    assert not there & listening


def test_it_sits_beside_codeflares_widgets_in_one_notebook(page: Kernel) -> None:
    pytest.importorskip("codeflare_sdk")
    panel = page.widget(MAKE)
    page.run("""
from codeflare_sdk.common.widgets.widgets import cluster_apply_down_buttons
cluster_apply_down_buttons(cluster=None)  # what it shows for a cluster; nothing of it is pressed
display(made)
""")
    named = {state.get("description") for state in page.opened.values()}
    assert {"Cluster Apply", "Cluster Down"} <= named
    assert page.ask(panel, "profiles")()["value"]
