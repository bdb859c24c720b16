"""What widgets are told, in Python and in the browser, and the picture that is left of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kuberay.batch.records import RunRecord, RunState
from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.faces.widget import told as telling
from jupyter_kuberay.faces.widget.still import still
from jupyter_kuberay.faces.widget.told import ALL, NOTHING, Scope, applied, from_snapshot
from jupyter_kuberay.observation import Node
from jupyter_kuberay.status import Cause, ClusterStatus, Phase, ServiceStatus

PAGE = Path(telling.__file__).parent / "page"
NODE = Path(sys.executable).with_name("node")
SCOPES = [Scope(), Scope("a", None), Scope(None, "b"), Scope(None, None, ALL), Scope(None, None, "a")]
NOW = datetime(2026, 11, 27, 14, 2, tzinfo=UTC)


def cluster(name: str, **fields: Any) -> dict[str, Any]:
    made = ClusterStatus(**{"name": name, "phase": Phase.READY, "ready": {"gpu": 1}, "wanted": {"gpu": 2}} | fields)
    return made.model_dump(mode="json")


def service(name: str) -> dict[str, Any]:
    return ServiceStatus(name=name, phase=Phase.READY, revision=3, model="runs/1/model").model_dump(mode="json")


def status(kind: str, one: dict[str, Any]) -> dict[str, Any]:
    return {"type": "status", "kind": kind, "name": one["name"], "status": one}


# --- changes -------------------------------------------------------------

names = st.sampled_from(["a", "b", "c"])
changes = st.one_of(
    st.builds(lambda name, phase: status("cluster", cluster(name, phase=phase)), names, st.sampled_from(Phase)),
    st.builds(lambda name: status("service", service(name)), names),
    st.builds(lambda name: {"type": "status", "kind": "job", "name": name, "status": {"name": name}}, names),
    st.builds(lambda kind, name: {"type": "gone", "kind": kind, "name": name}, st.sampled_from(["cluster", "service", "job"]), names),
    st.builds(lambda name, used: {"type": "usage", "name": name, "usage": {"cpus_used": used}}, names, st.integers(0, 9)),
    st.builds(lambda name: {"type": "traffic", "name": name, "traffic": {"url": f"http://{name}"}}, names),
    st.builds(lambda name: {"type": "publication", "name": name, "publication": {"name": name, "state": "running"}}, names),
    st.builds(lambda words: {"type": "problem", "problem": words and {"message": words}, "since": ""}, st.sampled_from([None, "lost"])),
    st.builds(lambda name: {"type": "attached", "name": name}, names),
    st.builds(lambda runs: {"type": "runs", "runs": runs}, st.lists(st.fixed_dictionaries({"id": names, "group": names}))),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """What the page's script makes of changes: one line of JSON in, one out."""
    program = (
        (PAGE / "told.js").read_text()
        + """
require("readline").createInterface({ input: process.stdin }).on("line", line => {
  const [told, changes] = JSON.parse(line);
  console.log(JSON.stringify(changes.reduce(applied, told)));
});"""
    )
    node = subprocess.Popen([NODE, "-e", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert node.stdin and node.stdout

    def after(told: Any, changes: Any) -> Any:
        node.stdin.write(json.dumps([told, changes]) + "\n")
        node.stdin.flush()
        return json.loads(node.stdout.readline())

    yield after
    node.stdin.close()
    node.wait(20)
    node.stdout.close()


@given(st.lists(changes, max_size=12))
def test_the_kernel_and_the_browser_make_the_same_of_every_change(browser, happened):
    assert browser(NOTHING, happened) == applied(NOTHING, happened)


@given(
    st.lists(changes, max_size=12),
    st.sampled_from(SCOPES),
)
def test_whoever_is_told_only_what_it_shows_knows_the_same_as_whoever_is_told_all(happened, scope):
    mine = [scope.narrowed(change) for change in happened if scope.has(change)]
    assert applied(scope.of(NOTHING), mine) == scope.of(applied(NOTHING, happened))


def test_a_cluster_below_a_service_is_no_card_of_the_panel():
    below = status("cluster", cluster("below", owner="summarizer"))
    assert not Scope().has(below)
    assert Scope().of(applied(NOTHING, [below]))["clusters"] == {}
    assert Scope(cluster="below", service=None).has(below)


def test_what_was_known_stays_until_all_is_known_again():
    known = applied({**NOTHING, "synced": True}, [status("cluster", cluster("a"))])
    empty = {"backend": "local", "user": "ada", "synced": False, "problem": None, "since": "", "clusters": [], "services": []}
    again = from_snapshot(empty | {"publications": [], "usage": {}, "traffic": {}}, known)
    assert "a" in again["clusters"] and again["synced"]


def test_a_parameter_of_a_megabyte_is_told_in_a_line():
    run = telling.run(RunRecord(id="1", notebook="a.ipynb", output="b.ipynb", parameters={"text": "x" * 2**20, "lr": 0.001}))
    assert len(run["parameters"]["text"]) <= 80 and run["parameters"]["lr"] == "0.001"


# --- pictures ------------------------------------------------------------


def test_a_picture_says_what_was_there_and_when():
    known = applied(NOTHING, [status("cluster", cluster("training")), status("service", service("summarizer"))])
    html, text = still(known, Scope(), NOW)
    for words in ("training", "Ready", "summarizer", "As it was on 2026-11-27 at 14:02 UTC."):
        assert words in html and words in text


def test_a_picture_of_one_cluster_tells_its_cause_and_of_none_that_there_is_none():
    cause = Cause(what="1 of 2 gpu workers <cannot> be placed.", remedy="Ask for less.")
    one = cluster("sweep", phase=Phase.STARTING, cause=cause, nodes=(Node(name="n", group="head", ready=True),))
    scope = Scope(cluster="sweep", service=None)
    html, _ = still(scope.of(applied(NOTHING, [status("cluster", one)])), scope, NOW)
    assert "&lt;cannot&gt;" in html and "Ask for less." in html and "ervice" not in html
    assert "There is no cluster" in still(NOTHING, scope, NOW)[1]


def test_a_picture_of_runs_is_the_table_of_the_command_line():
    record = RunRecord(
        id="1", notebook="nb/sweep.ipynb", output="out.ipynb", state=RunState.FAILED, cells=9, done=6, error="Cell 7 raised."
    )
    known = applied(NOTHING, [{"type": "runs", "runs": [telling.run(record)]}])
    html, text = still(known, Scope(None, None, ALL), NOW)
    assert "sweep.ipynb" in text and "6/9" in text and "Cell 7 raised." in html


# --- pieces --------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "*", None, 3])
def test_a_card_without_a_name_is_refused_with_what_to_do(name):
    from jupyter_kuberay import ClusterCard, ServiceCard

    for card in (ClusterCard, ServiceCard):
        with pytest.raises(InvalidSpec, match="is no name") as refused:
            card(name)
        assert "ClusterPanel()" in refused.value.hint


def test_the_pages_script_is_one_module_that_can_be_loaded():
    from jupyter_kuberay.faces.widget.live import _script

    checked = subprocess.run([NODE, "--check", "--input-type=module", "-"], input=_script(), text=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr
    assert len(_script()) < 64 * 1024  # it travels with each widget
