"""The demo's orchestration, with notebooks of this test instead of the lifecycle's (those `make demo` runs)."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
import yaml

from jupyter_kuberay.backends.local.processes import marked

from .conftest import CommandLine, Process, Write

pytestmark = pytest.mark.timeout(400)

PUBLISH = """
import jupyter_kuberay as jk
published = jk.publish(service, app=app, model=run_dir, workers=0)
"""
APP = """
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Echo:
    def __init__(self):
        self.model = ""

    def reconfigure(self, config):
        self.model = config["model"]

    async def __call__(self, request: Request):
        return JSONResponse("In short: " + request.query_params["text"][:20])


app = Echo.bind()
"""
EVALUATED = """
import json, pathlib
run = pathlib.Path(run_dir)
(run / "evaluation").mkdir(parents=True)
(run / "model").mkdir()
(run / "evaluation.json").write_text(json.dumps({"reports": 7, "scores": {"model": {"rougeL": 0.5}, "lead1": {"rougeL": 0.25}}}))
import pyarrow as pa, pyarrow.parquet as pq
pq.write_table(pa.table({"document": ["A disk was full."], "summary": ["Full disk."]}), run / "evaluation" / "summaries.parquet")
"""
MAIN = """
import sys
from functools import partial
from pathlib import Path
from jupyter_kuberay.faces import cli, demo
class Short(demo.Demo):
    def __init__(self, face, **options):
        super().__init__(face, pipeline=sys.argv[1], **options)
demo.Demo, demo.wanted = Short, partial(demo.wanted, workers=0)  # what workers do is not what these tests are about
cli.main(sys.argv[2:])
"""


def demo(kuberay: CommandLine, folder: Path, notebooks: str, *words: str) -> Process:
    """Its pipeline runs these notebooks one after the other, each with those of the pipeline's parameters that it has."""
    steps, before = {}, ""
    for name in notebooks.split(","):
        text = (folder / f"{name}.ipynb").read_text() if (folder / f"{name}.ipynb").exists() else ""
        parameters = {key: f"${{{key}}}" for key in ("run_dir", "service") if f"{key} = ''" in text}
        steps[f"s{name}"] = {"notebook": f"{name}.ipynb", "parameters": parameters, "after": [before] if before else []}
        before = f"s{name}"
    (folder / "pipeline.yaml").write_text(yaml.safe_dump({"parameters": {"run_dir": "", "service": ""}, "steps": steps}))
    command = (sys.executable, "-c", MAIN, str(folder))
    return kuberay.start("demo", "--run-dir", str(folder / "run"), *words, command=command, folder=folder)


def uids(kuberay: CommandLine) -> list[str]:
    return [str(kept.uid) for kind in ("RayService", "RayCluster") for kept in kuberay.backend.store.all(kind)]


def test_it_runs_the_notebooks_asks_the_service_twice_says_where_things_lie_and_leaves_nothing(
    kuberay: CommandLine, write: Write, tmp_path: Path
) -> None:
    before = set(uids(kuberay))
    (tmp_path / "echo_app.py").write_text(APP)
    write("1_look", "import jupyter_kuberay as jk\nprint(jk.connect().run(sum, [1, 2]))")
    write("2_evaluate", EVALUATED, parameters="run_dir = ''")
    write("3_publish", f"app = {str(tmp_path / 'echo_app.py')!r} + ':app'\n{PUBLISH}", parameters="run_dir = ''\nservice = ''")
    with demo(kuberay, tmp_path, "1_look,2_evaluate,3_publish") as process:
        said, news = process.communicate()
        assert process.returncode == 0, news
    for name in ("1_look", "2_evaluate", "3_publish"):
        assert (tmp_path / "run" / "notebooks" / f"s{name}.ipynb").exists()
    assert "pipeline: 3 succeeded" in news
    assert (tmp_path / "run" / "notebooks" / "report.html").exists()
    assert "A disk was full." in said and "Full disk." in said
    assert "In short: A disk was full." in said and "In short: A large language mod" in said
    assert "outside the small model's training data" in said
    assert said.count(" ms over HTTP") == 2
    assert "ROUGE-L on 7 held-out reports: 0.500 (Lead-1 has 0.250)" in said
    assert "run/notebooks" in said
    assert "were taken down again" in said
    assert set(uids(kuberay)) == before


def test_a_notebook_that_fails_ends_it_with_code_1_and_leaves_nothing(kuberay: CommandLine, write: Write, tmp_path: Path) -> None:
    before = set(uids(kuberay))
    write("1_broken", "1 / 0")
    with demo(kuberay, tmp_path, "1_broken") as process:
        _, said = process.communicate()
        assert process.returncode == 1
    assert "1_broken.ipynb failed in cell [1]" in said and "1 failed" in said
    assert "was taken down." in said
    assert set(uids(kuberay)) == before


def test_ctrl_c_leaves_nothing_and_says_so(kuberay: CommandLine, write: Write, tmp_path: Path) -> None:
    before = set(uids(kuberay))
    write("1_long", "import time\ntime.sleep(600)")
    with demo(kuberay, tmp_path, "1_long") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "1 running (s1_long)" in line:
                break
        (uid,) = set(uids(kuberay)) - before
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait() == 130
    assert "1 interrupted" in said and "was taken down." in said
    assert not marked(uid)
    assert set(uids(kuberay)) == before


def test_what_is_missing_is_said_before_anything_is_started(kuberay: CommandLine, tmp_path: Path) -> None:
    before = set(uids(kuberay))
    with demo(kuberay, tmp_path, "9_nowhere") as process:
        _, said = process.communicate()
        assert process.returncode == 1
    assert "9_nowhere" in said
    assert set(uids(kuberay)) == before


def test_a_run_folder_that_cannot_be_written_is_said_before_anything_is_started(kuberay: CommandLine, write: Write, tmp_path: Path) -> None:
    before = set(uids(kuberay))
    write("1_look", "print(1)")
    (tmp_path / "file").write_text("no folder can be below: unlike rights, this stops root too")
    with demo(kuberay, tmp_path, "1_look", "--run-dir", str(tmp_path / "file" / "run")) as process:
        _, said = process.communicate()
    assert process.returncode == 1 and "cannot be written" in said and "--run-dir" in said
    assert set(uids(kuberay)) == before
