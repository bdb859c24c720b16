"""What runs in a cluster, or on one, and fails: a point, a step, the head."""

from __future__ import annotations

import json
import time
from pathlib import Path

import psutil
import pytest

from jupyter_kuberay.backends.local.processes import marked
from jupyter_kuberay.batch import read_record

from .conftest import NAME, CommandLine, Said, Write, printed

pytestmark = pytest.mark.timeout(300)

RECORD = "import jupyter_kuberay as jk"


def test_a_sweep_in_the_cluster_tells_its_first_failure_at_once_and_shows_the_same_table_as_here(
    alice: Said, kuberay: CommandLine, write: Write, tmp_path: Path
) -> None:
    notebook = write("tried", RECORD, "jk.record('half', 1 / (x - 1))", parameters="x = 0")
    words = ("run", str(notebook), "--sweep", "x=0:3", "--out", str(tmp_path / "out"))
    said = kuberay(*words, "--cluster", NAME, "--in-cluster")
    assert said.code == 1, said.err
    failed = "tried.ipynb failed in cell [4] at `jk.record('half', 1 / (x - 1))`: ZeroDivisionError: division by zero"
    assert f"{failed}. The others go on." in said.err and "tried.ipynb: 2 of 3 succeeded, 1 failed" in said.err
    assert [line.split()[:3] for line in said.out.splitlines()[1:4]] == [
        ["0", "0", "Succeeded"],
        ["1", "1", "Failed"],
        ["2", "2", "Succeeded"],
    ]
    assert f"x=1: {failed}" in said.out and "Job" not in said.err
    # What succeeded is not run again, here or there.
    again = kuberay(*words, "--cluster", NAME, "--in-cluster", "--resume")
    assert again.code == 1 and again.out.count("before") == 2


def test_a_pipeline_in_the_cluster_says_which_step_failed_and_which_was_kept_back(
    alice: Said, kuberay: CommandLine, write: Write, tmp_path: Path
) -> None:
    write("first", RECORD, "jk.record('a', 1 / x)", parameters="x = 1")
    write("second", RECORD, "jk.record('b', a + 1)", parameters="a = 0")
    (tmp_path / "pipeline.yaml").write_text(
        "name: two\nparameters: {x: 0}\noutput: out\nsteps:\n"
        "  one: {notebook: first.ipynb, parameters: {x: '${x}'}, outputs: [a]}\n"
        "  two: {notebook: second.ipynb, parameters: {a: '${one.a}'}, outputs: [b]}\n"
    )
    words = ("pipeline", str(tmp_path), "--cluster", NAME, "--in-cluster")
    said = kuberay(*words)
    assert said.code == 1, said.err
    assert "two: 1 failed, 1 skipped" in said.err and str(tmp_path / "out" / "report.html") in said.err
    assert "one: first.ipynb failed in cell [4] at `jk.record('a', 1 / x)`: ZeroDivisionError" in said.out
    assert "two: It was skipped: one, which it needs, failed." in said.out
    mended = kuberay(*words, "-p", "x", "2")
    assert mended.code == 0, mended.err
    assert "b = 1.5" in mended.out and "two: 2 succeeded" in mended.err
    called = kuberay("runs", str(tmp_path / "out"), "-o", "json").json
    assert {run["notebook"] for run in called} == {str(tmp_path / "first.ipynb"), str(tmp_path / "second.ipynb")}


def test_a_head_that_is_killed_in_the_middle_of_a_cell_ends_the_run_with_a_sentence_and_what_ran(
    kuberay: CommandLine, write: Write, tmp_path: Path
) -> None:
    assert kuberay("up", "doomed", "--workers", "0").code == 0
    waits = "import ray, time\nprint('begun', flush=True)\nray.get(ray.remote(lambda: time.sleep(600)).remote())"
    notebook, out = write("waits", "print('kept')", waits), tmp_path / "out.ipynb"
    with kuberay.start("run", str(notebook), "--cluster", "doomed", "--out", str(out)) as process:
        deadline = time.monotonic() + 120
        while "begun\n" not in (printed(out) if out.exists() else ()):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
        (head,) = [each for each in map(psutil.Process, marked(kuberay.uid("doomed"))) if each.name() == "gcs_server"]
        head.kill()
        killed = time.monotonic()
        _, err = process.communicate()
    assert process.returncode == 1 and time.monotonic() - killed < 60
    last = err.strip().splitlines()
    assert any("waits.ipynb failed in cell [2]" in line and "doomed" in line and "lost" in line for line in last), err
    assert "Traceback" not in err
    assert printed(out)[0] == "kept\n"
    kuberay("down", "doomed", "--yes")


APP = """
from ray import serve
from starlette.requests import Request


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Greeting:
    def reconfigure(self, config):
        self.words = config["model"]

    async def __call__(self, request: Request):
        return f"{self.words}, {request.query_params['name']}!"


app = Greeting.bind()
"""
PUBLISH = """
import os, time, urllib.request
import jupyter_kuberay as jk
published = jk.publish(service, app="greeting.py:app", model=model, profile="of-the-sender")
with jk.Service(service).reach() as url, urllib.request.urlopen(f"{url}?name=Ada", timeout=30) as answer:
    said = answer.read().decode()
jk.record("said", said)
jk.record("revisions", [(each.number, each.who) for each in jk.Service(service).revisions()])
"""


def clusters(kuberay: CommandLine) -> set[str]:
    """All that there are, those below jobs and services included."""
    return {each.name for each in kuberay.backend.store.all("RayCluster")}


def test_a_pipeline_in_the_cluster_publishes_as_whoever_sent_it_and_what_it_published_outlives_it(
    kuberay: CommandLine, write: Write, tmp_path: Path
) -> None:
    service = "from-within"
    profiles = [{"name": "of-the-sender", "cluster": {"head": {"cpu": "1", "env": {"SENT": "along"}}}}]
    config = kuberay.home / "config" / "jupyter_kuberay_config.json"
    config.write_text(json.dumps({"KubeRay": {"profiles": profiles, "user": "carol"}}))
    (tmp_path / "greeting.py").write_text(APP)
    write("publishes", PUBLISH, parameters="service = ''\nmodel = ''")
    (tmp_path / "pipeline.yaml").write_text(
        f"name: twice\nparameters: {{again: Hi}}\noutput: out\nsteps:\n"
        f"  one: {{notebook: publishes.ipynb, parameters: {{service: {service}, model: Hello}}}}\n"
        f"  two: {{notebook: publishes.ipynb, parameters: {{service: {service}, model: '${{again}}'}}, after: [one]}}\n"
    )
    try:
        before = clusters(kuberay)
        said = kuberay("pipeline", str(tmp_path), "--profile", "of-the-sender", "--workers", "0", "--in-cluster")
        assert said.code == 0, said.err + said.out
        one, two = (read_record(str(tmp_path / "out" / f"{step}.ipynb")) for step in ("one", "two"))
        assert one is not None and one.values == {"said": "Hello, Ada!", "revisions": [[1, "carol"]]}
        assert two is not None and two.values == {"said": "Hi, Ada!", "revisions": [[1, "carol"], [2, "carol"]]}
        deadline = time.monotonic() + 60
        while len(clusters(kuberay) - before) > 1:  # the job's own cluster goes, and the service's stays
            assert time.monotonic() < deadline
            time.sleep(0.5)
        (seen,) = kuberay("services", "-o", "json").json
        assert seen["name"] == service and seen["phase"] == "Ready", seen
        (kept,) = [each for each in kuberay.backend.store.all("RayService") if each.name == service]
        (container,) = kept.resource["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"]
        assert {"name": "SENT", "value": "along"} in container["env"]
    finally:
        config.unlink()
        assert kuberay("unpublish", "--yes", service).code == 0
