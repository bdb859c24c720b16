"""A cluster's whole life on the command line, each command a process of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from jupyter_kuberay.backends.local.processes import marked
from tests.schema import violations

from .conftest import NAME, CommandLine, Said, Write, printed

pytestmark = pytest.mark.timeout(300)


def test_up_answers_with_the_ready_cluster_and_tells_how_it_went(alice: Said) -> None:
    assert alice.json["phase"] == "Ready"
    assert alice.json["ready"] == alice.json["wanted"] == {"gpu": 2}
    assert (alice.json["gpus"], alice.json["simulated_gpus"]) == (2, True)
    news = alice.err.splitlines()
    assert all(line.startswith(f"{NAME}: ") and line.endswith(" s)") for line in news)
    assert "The head is starting." in alice.err and "It is ready." in news[-1]


def test_any_other_process_finds_it(alice: Said, kuberay: CommandLine) -> None:
    (listed,) = kuberay("list", "-o", "json").json
    assert listed == kuberay("status", "-o", "json").json == kuberay("status", NAME, "-o", "json").json == alice.json
    table = kuberay("list").out.splitlines()
    assert table[1].split()[:5] == [NAME, "Ready", "2/2", "2", "simulated"]


def test_up_of_what_is_up_takes_it_as_it_is(alice: Said, kuberay: CommandLine) -> None:
    again = kuberay("up", NAME, "--profile", "gpu", "--workers", "2", "--cpu", "1", "--memory", "2Gi", "-o", "json")
    assert again.code == 0
    assert again.json == alice.json


def test_up_of_what_is_up_with_another_spec_says_what_differs_and_changes_nothing(alice: Said, kuberay: CommandLine) -> None:
    said = kuberay("up", NAME, "--profile", "gpu", "--workers", "1", "--cpu", "1", "--memory", "4Gi")
    assert said.code == 1
    assert "replicas is 2, not 1" in said.err and "'2Gi', not '4Gi'" in said.err
    assert kuberay("status", NAME, "-o", "json").json == alice.json


def test_its_manifest_is_the_one_that_was_made_from_the_options(alice: Said, kuberay: CommandLine) -> None:
    (own,) = yaml.safe_load_all(kuberay("manifest", NAME).out)
    options = ["--profile", "gpu", "--workers", "2", "--cpu", "1", "--memory", "2Gi"]
    (made,) = yaml.safe_load_all(kuberay("manifest", NAME, *options).out)
    assert own == made
    assert not violations(own)


def test_attach_prints_what_to_paste_and_no_token(alice: Said, kuberay: CommandLine, write: Write, tmp_path: Path) -> None:
    said = kuberay("attach", "-o", "json")
    assert said.code == 0
    assert said.json["client"].startswith("ray://127.0.0.1:") and said.json["dashboard"].startswith("http://127.0.0.1:")
    token = next(kuberay.home.rglob("token")).read_text().strip()
    assert token and token not in said.out + said.err
    notebook = write("pasted", said.json["code"], "import ray\nprint(int(ray.cluster_resources()['GPU']))")
    assert kuberay("run", str(notebook), "--cluster", NAME, "--out", str(tmp_path / "out.ipynb")).code == 0
    assert printed(tmp_path / "out.ipynb")[-1] == "2\n"


def test_logs_are_the_heads_or_the_named_nodes(alice: Said, kuberay: CommandLine) -> None:
    head = kuberay("logs", NAME)
    assert head.code == 0 and head.out
    worker = next(node["name"] for node in alice.json["nodes"] if node["group"] == "gpu")
    assert kuberay("logs", NAME, "--node", worker, "--tail", "1").out.count("\n") == 1
    nobody = kuberay("logs", NAME, "--node", "nobody")
    assert nobody.code == 1 and "nobody" in nobody.err


def test_names_of_clusters_are_completed(alice: Said, kuberay: CommandLine) -> None:
    words = {"COMP_WORDS": "jupyter-kuberay status a", "COMP_CWORD": "2", "_JUPYTER_KUBERAY_COMPLETE": "bash_complete"}
    environment = {**kuberay.environment, **words}
    script = shutil.which("jupyter-kuberay", path=str(Path(__import__("sys").executable).parent))
    assert script
    done = subprocess.run([script], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == [f"plain,{NAME}"]


def test_down_asks_and_where_nobody_can_answer_it_takes_nothing_down(alice: Said, kuberay: CommandLine) -> None:
    said = kuberay("down", NAME)
    assert said.code == 2
    assert "--yes" in said.err
    assert kuberay("status", NAME, "-o", "json").json["phase"] == "Ready"


def test_scale_waits_until_the_workers_are_there_and_says_which_limit_stops_it(alice: Said, kuberay: CommandLine) -> None:
    refused = kuberay("scale", NAME, "5")
    assert refused.code == 2 and "allows 4 workers, and 5" in refused.err
    assert kuberay("scale", NAME, "1", "--group", "nobody").code == 2
    fewer = kuberay("scale", NAME, "1", "-o", "json")
    assert fewer.code == 0 and fewer.json["ready"] == {"gpu": 1}
    more = kuberay("scale", NAME, "2", "-o", "json")
    assert more.code == 0 and more.json["ready"] == {"gpu": 2}


# --- Ctrl-C --------------------------------------------------------------


@pytest.mark.parametrize("after", ["asked for", "The head is starting."])
def test_ctrl_c_during_up_leaves_nothing_and_says_so(kuberay: CommandLine, after: str) -> None:
    with kuberay.start("up", "bob-2") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if after in line:
                break
        uid = kuberay.uid("bob-2")
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130
    assert rest.splitlines()[-1] == "Interrupted. Cluster 'bob-2' was taken down again; nothing of it is left."
    assert not marked(uid)
    assert "bob-2" not in kuberay("list").out


def test_sigterm_during_up_cleans_up_like_ctrl_c(kuberay: CommandLine) -> None:
    with kuberay.start("up", "bob-3") as process:
        assert process.stderr is not None
        process.stderr.readline()
        uid = kuberay.uid("bob-3")
        process.terminate()
        assert "nothing of it is left" in process.stderr.read()
        assert process.wait() == 143
    assert not marked(uid)


def test_ctrl_c_during_publish_leaves_nothing_and_says_so(kuberay: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "greeting.py").write_text(
        "from ray import serve\n\n@serve.deployment\nclass Greeting:\n    pass\n\napp = Greeting.bind()\n"
    )
    before = {kept.uid for kept in kuberay.backend.store.all("RayCluster")}
    with kuberay.start("publish", "bob-4", "--app", f"{tmp_path / 'greeting.py'}:app", "--workers", "0") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "The head is starting." in line or "Asked for." in line:
                break
        uids = {kept.uid for kind in ("RayService", "RayCluster") for kept in kuberay.backend.store.all(kind)} - before
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130
    assert rest.splitlines()[-1] == "Interrupted. Service 'bob-4' was removed again; nothing of it is left."
    assert uids and not [process for uid in uids for process in marked(uid)]
    assert "bob-4" not in kuberay("services").out + kuberay("list", "--all").out


# --- notebooks -----------------------------------------------------------


def test_a_notebook_runs_on_the_named_cluster_with_its_parameters(alice: Said, kuberay: CommandLine, write: Write, tmp_path: Path) -> None:
    notebook = write("sum", "import os\nprint(os.environ['JUPYTER_KUBERAY_CLUSTER'], x + 1)", parameters="x = 1")
    out = tmp_path / "results" / "sum.ipynb"
    said = kuberay("run", str(notebook), "-p", "x", "41", "--cluster", NAME, "--out", str(out), "-o", "json")
    assert said.code == 0, said.err
    (listed,) = kuberay("runs", str(out.parent), "-o", "json").json
    assert (listed["state"], listed["parameters"], listed["cluster"], listed["user"]) == ("Succeeded", {"x": 41}, NAME, "root")
    assert said.json | {"seconds": 0} == {
        "id": listed["id"],
        "values": {},
        "notebook": str(notebook),
        "output": str(out),
        "cells": 3,  # one has the parameters that were given
        "seconds": 0,
        "cluster": NAME,
        "kept": True,
    }
    assert printed(out)[-1] == f"{NAME} 42\n"
    assert "sum: 3 of 3 cells" in said.err


def test_a_cell_that_raises_keeps_all_up_to_there_and_has_code_1(alice: Said, kuberay: CommandLine, write: Write, tmp_path: Path) -> None:
    notebook = write("broken", "print('before')", "y = 2\nraise ValueError('no such thing')", "print('after')")
    out = tmp_path / "out.ipynb"
    said = kuberay("run", str(notebook), "--cluster", NAME, "--out", str(out))
    assert said.code == 1
    *_, message, hint = said.err.splitlines()
    assert message == "Error: broken.ipynb failed in cell [2] at `raise ValueError('no such thing')`: ValueError: no such thing"
    assert str(out) in hint
    assert printed(out) == ["before\n", "no such thing", ""]


def test_a_parameter_that_the_notebook_lacks_is_named_with_those_that_it_has(kuberay: CommandLine, write: Write) -> None:
    said = kuberay("run", str(write("sum", "print(x)", parameters="x = 1")), "-p", "z", "1", "--cluster", NAME)
    assert said.code == 2
    assert "no parameter z" in said.err and "It has: x." in said.err


# nbclient looks every second whether the kernel lives: here it has the time to find it dead.
ENDS_SLOWLY = """
import asyncio
from jupyter_client.manager import AsyncKernelManager
end = AsyncKernelManager.cleanup_resources
async def slowly(self, restart=False):
    await asyncio.sleep(1.5)
    await end(self, restart)
AsyncKernelManager.cleanup_resources = slowly
from jupyter_kuberay.faces.cli import main
main()
"""


def test_ctrl_c_twice_while_a_cell_runs_ends_the_kernel_and_keeps_its_output(
    alice: Said, kuberay: CommandLine, write: Write, tmp_path: Path
) -> None:
    cell = "import os, time\nprint(os.getpid(), flush=True)\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)"
    notebook = write("long", cell)
    out = tmp_path / "out.ipynb"
    command = (sys.executable, "-c", ENDS_SLOWLY)
    with kuberay.start("run", str(notebook), "--cluster", NAME, "--out", str(out), command=command) as process:
        pid = int(_content(tmp_path / "pid"))
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        for line in process.stderr:
            if line == "long stops after this cell; Ctrl-C again interrupts it.\n":
                break
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait() == 130
    assert said.splitlines()[-1].startswith("Interrupted in long.ipynb; what ran is in ")
    assert not Path(f"/proc/{pid}").exists()
    assert printed(out)[0].startswith(f"{pid}\n")
    assert kuberay("status", NAME, "-o", "json").json["phase"] == "Ready"


def _content(path: Path) -> str:
    """Of a file, as soon as there is any."""
    from watchfiles import watch

    if not (path.exists() and path.read_text()):
        for _ in watch(path.parent, yield_on_timeout=True, rust_timeout=1000):
            if path.exists() and path.read_text():
                break
    return path.read_text()


def test_a_cluster_that_was_brought_up_for_a_notebook_goes_also_when_a_cell_raises(
    kuberay: CommandLine, write: Write, tmp_path: Path
) -> None:
    notebook = write("broken", "import jupyter_kuberay as jk\nprint(jk.connect().name)\n1 / 0")
    said = kuberay("run", str(notebook), "--workers", "0", "--out", str(tmp_path / "out.ipynb"))
    assert said.code == 1
    assert "ZeroDivisionError" in said.err
    name = printed(tmp_path / "out.ipynb")[0].split()[0]
    assert name.startswith("broken-")
    assert f"The cluster {name!r} was taken down." in said.err
    assert name not in kuberay("list").out


def test_ctrl_c_while_a_cluster_comes_up_for_a_notebook_leaves_nothing_and_says_so(kuberay: CommandLine, write: Write) -> None:
    before = {kept.uid for kept in kuberay.backend.store.all("RayCluster")}
    with kuberay.start("run", str(write("early", "1")), "--workers", "0") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "The head is starting." in line:
                break
        uids = {kept.uid for kept in kuberay.backend.store.all("RayCluster")} - before
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130
    said = rest.splitlines()[-1]
    assert said.startswith("Interrupted. The cluster 'early-") and said.endswith("was taken down again; nothing of it is left.")
    assert len(uids) == 1 and not [process for uid in uids for process in marked(uid)]
    assert not kuberay.backend.store.all("RayJob") and "early-" not in kuberay("list", "--all").out
