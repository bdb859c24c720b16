"""Notebooks that run in the cluster, beside an S3 store, and go on when whoever sent them is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import nbformat
import pytest

from jupyter_kuberay.backends.kuberay import rights
from jupyter_kuberay.batch import Place, Run, RunRecord, RunRequest, RunState, read_record, run_now
from jupyter_kuberay.batch.records import records_below
from tests.testbed import images, s3
from tests.testbed.faults import Testbed

from .conftest import MakeNamespace
from .people import Person, grant
from .shared import CLAIM, PACKAGES, install, pods_of, storage

pytestmark = pytest.mark.timeout(900)

SECRET = {"AWS_ACCESS_KEY_ID": "known-to-the-secret", "AWS_SECRET_ACCESS_KEY": "only"}
WAIT_S = 300.0

TRAIN = (
    "lr = 1e-3\nseed = 0",
    """
    import socket, time
    import ray
    import jupyter_kuberay as jk

    time.sleep(4)  # long enough that somebody can be killed in the middle
    loss = ray.get(ray.remote(num_cpus=0.1)(lambda: lr * 1000 + seed).remote())
    jk.record("loss", loss)
    jk.record("host", socket.gethostname())
    """,
)
DATA = (
    "folder = ''",
    """
    import fsspec
    import jupyter_kuberay as jk

    with fsspec.open(f"{folder}/words.txt", "w") as file:
        file.write("one two three")
    jk.record("words", f"{folder}/words.txt")
    """,
)
COUNT = (
    "words = ''\nletter = ''",
    """
    import time
    import fsspec
    import ray
    import jupyter_kuberay as jk

    time.sleep(6)
    with fsspec.open(words, "r") as file:
        text = file.read()
    jk.record("count", ray.get(ray.remote(num_cpus=0.1)(lambda: text.count(letter)).remote()))
    """,
)
SUM = ("left = 0\nright = 0", "import jupyter_kuberay as jk\njk.record('sum', left + right)")
PIPELINE = """
name: counts
parameters: {folder: s3://runs/files}
output: s3://runs/counts
steps:
  data: {notebook: data.ipynb, parameters: {folder: "${folder}"}, outputs: [words]}
  e: {notebook: count.ipynb, parameters: {words: "${data.words}", letter: e}, outputs: [count]}
  o: {notebook: count.ipynb, parameters: {words: "${data.words}", letter: o}, outputs: [count]}
  sum: {notebook: sum.ipynb, parameters: {left: "${e.count}", right: "${o.count}"}, outputs: [sum]}
"""


class Submitter:
    """Somebody's command line, whose machine knows the store's credentials by itself."""

    def __init__(self, person: Person, namespace: str, image: str, store: str, folder: Path, **head: Any) -> None:
        env: dict[str, Any] = {"AWS_ENDPOINT_URL": store, **{key: {"secret": "s3", "key": key} for key in SECRET}} if store else {}
        profile = {"name": "small", "cluster": {"image": image, "head": {"cpu": "2", "memory": "4Gi", "env": env, **head}}}
        settings = {"backend": "kuberay", "namespace": namespace, "profiles": [profile], "default_profile": "small"}
        (folder / "jupyter_kuberay_config.json").write_text(json.dumps({"KubeRay": settings}))
        self.folder = folder
        self._environment = {
            **os.environ,
            **SECRET,
            "AWS_ENDPOINT_URL": store,
            "KUBECONFIG": str(person.kubeconfig),
            "JUPYTER_CONFIG_DIR": str(folder),
            "JUPYTER_KUBERAY_DATA_DIR": str(folder / "data"),
            "JUPYTER_NO_CONFIG": "",
        }

    def begin(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "jupyter_kuberay.faces.cli", *words]
        return subprocess.Popen(
            command, cwd=self.folder, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1, umask=0
        )

    def __call__(self, *words: str, code: int = 0) -> str:
        process = self.begin(*words)
        said, _ = process.communicate(timeout=WAIT_S)
        assert process.returncode == code, said
        return said

    def killed_when_it_says(self, told: str, *words: str) -> str:
        """What it said, before it was ended with kill -9."""
        with self.begin(*words) as process:
            assert process.stdout is not None
            said = ""
            for line in process.stdout:
                said += line
                if told in line:
                    process.kill()
                    return said
        raise AssertionError(f"It ended without saying {told!r}:\n{said}")

    def notebook(self, name: str, cells: tuple[str, str]) -> None:
        parameters, cell = (nbformat.v4.new_code_cell(textwrap.dedent(text).strip()) for text in cells)
        parameters.metadata["tags"] = ["parameters"]
        nbformat.write(nbformat.v4.new_notebook(cells=[parameters, cell]), self.folder / name)


@pytest.fixture
def store(testbed: Testbed, monkeypatch: pytest.MonkeyPatch) -> Iterator[s3.Server]:
    with s3.served() as server:
        server.put("runs")
        for name, value in {"AWS_ENDPOINT_URL": server.address, **SECRET}.items():
            monkeypatch.setenv(name, value)  # this process looks, too
        yield server


@pytest.fixture
def submitter(admin: Person, alice: Person, image: str, make_namespace: MakeNamespace, store: s3.Server, tmp_path: Path) -> Submitter:
    namespace = make_namespace(alice, rights.rules())
    admin.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3", "namespace": namespace}, "stringData": SECRET})
    return Submitter(alice, namespace, image, store.address, tmp_path)


def succeeded(folder: str) -> list[RunRecord]:
    return [one for one in records_below(folder) if one.state is RunState.SUCCEEDED]


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, f"Not within {WAIT_S:g} s: {what}"
        time.sleep(1)


def test_a_sweep_and_a_pipeline_in_the_cluster_go_on_when_who_sent_them_is_killed(submitter: Submitter):
    for name, cells in (("train", TRAIN), ("data", DATA), ("count", COUNT), ("sum", SUM)):
        submitter.notebook(f"{name}.ipynb", cells)
    (submitter.folder / "pipeline.yaml").write_text(PIPELINE)
    submitter("up", "beside", "--timeout", str(WAIT_S))

    where = ("--cluster", "beside", "--in-cluster")
    sweep = ("run", "train.ipynb", "--sweep", "lr=1e-3,1e-4", "--sweep", "seed=0:3", "--out", "s3://runs/sweep")
    submitter.killed_when_it_says("1 of 6 succeeded", *sweep, *where)
    assert len(succeeded("s3://runs/sweep")) < 6, "it was killed when all of it was done: nothing is shown by that"
    wait_until(lambda: len(succeeded("s3://runs/sweep")) == 6, "all six runs")
    runs = succeeded("s3://runs/sweep")
    assert sorted(run.values["loss"] for run in runs) == pytest.approx([0.1, 1, 1.1, 2, 2.1, 3])
    assert {run.values["host"] for run in runs} == {next(iter(runs)).values["host"]} != {os.uname().nodename}
    for run in runs:
        assert "loss = " in Place.of(run.output).read().decode()
    # Whoever comes back has nothing left to run.
    assert submitter(*sweep, *where, "--resume").count("before") == 6
    assert {run.id for run in succeeded("s3://runs/sweep")} == {run.id for run in runs}

    submitter.killed_when_it_says("1 succeeded", "pipeline", *where)
    assert len(succeeded("s3://runs/counts")) < 4
    wait_until(Place.of("s3://runs/counts/report.html").exists, "the pipeline's report")
    assert {run.values["sum"] for run in succeeded("s3://runs/counts") if "sum" in run.values} == {5}
    report = Place.of("s3://runs/counts/report.html").read().decode()
    assert "Succeeded" in report and "sum = 5" in report
    again = submitter("pipeline", *where)
    assert "4 unchanged" in again and "sum = 5" in again
    submitter("down", "beside", "--yes")


PUBLISH = (
    "answer = ''",
    """
    import urllib.request
    import jupyter_kuberay as jk

    jk.publish("from-within", app="greeting.py:app", model=answer)
    with jk.Service("from-within").reach() as url, urllib.request.urlopen(f"{url}?name=Ada", timeout=60) as said:
        jk.record("said", said.read().decode())
    jk.record("who", [each.who for each in jk.Service("from-within").revisions()])
    """,
)
GREETING = """
from ray import serve


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Greeting:
    def reconfigure(self, config):
        self.words = config["model"]

    async def __call__(self, request):
        return f"{self.words}, {request.query_params['name']}!"


app = Greeting.bind()
"""


@pytest.fixture
def folder_of_pods() -> Iterator[Path]:
    """A folder of this machine that pods, which run as another user, may write into."""
    with tempfile.TemporaryDirectory(prefix="jupyter-kuberay-shared-", dir="/var/tmp", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o777)
        yield Path(made)


def test_a_notebook_in_the_cluster_publishes_with_the_rights_that_its_pods_have(
    testbed: Testbed, admin: Person, alice: Person, image: str, make_namespace: MakeNamespace, folder_of_pods: Path, tmp_path: Path
):
    namespace, shared = make_namespace(alice, rights.rules()), folder_of_pods
    install(shared / PACKAGES, images.AS_THEY_STAND)
    admin.create(*storage(namespace, shared))
    volumes = [{"name": CLAIM, "mount_path": str(shared), "claim": CLAIM}]
    submitter = Submitter(alice, namespace, image, "", tmp_path, volumes=volumes, env={"PYTHONPATH": str(shared / PACKAGES)})
    submitter.notebook("publishes.ipynb", PUBLISH)
    (tmp_path / "greeting.py").write_text(GREETING)
    submitter("up", "beside", "--timeout", str(WAIT_S))
    words = ("run", "publishes.ipynb", "--cluster", "beside", "--in-cluster", "-p", "answer", "Hello")

    said = submitter(*words, "--out", str(shared / "refused.ipynb"), code=1)
    assert "publishes.ipynb failed in cell" in said and "Forbidden" in said and "Traceback" not in said, said
    admin.create(*grant(namespace, pods_of(namespace), rights.rules(), "pods"))
    submitter(*words, "--out", str(shared / "published.ipynb"))
    record = read_record(str(shared / "published.ipynb"))
    assert record is not None and record.values["said"] == "Hello, Ada!" and record.values["who"] == [alice.login]
    assert "from-within" in submitter("services")
    submitter("unpublish", "from-within", "--yes")
    submitter("down", "beside", "--yes")
    admin.kubectl("delete", "persistentvolume", namespace, "--wait=false")


@pytest.mark.slow
def test_a_store_that_answers_nobody_for_a_minute_gets_everything_when_it_answers_again(
    store: s3.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("JUPYTER_KUBERAY_DATA_DIR", str(tmp_path / "data"))
    cells = ("print('one')", "import time; time.sleep(15)", "print('two')")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    Place("s3://runs/in/n.ipynb").write(nbformat.writes(notebook).encode())
    output = Place("s3://runs/out/n.ipynb")
    silence = ExitStack()
    seen: list[str] = []

    def told(record: RunRecord) -> None:
        if record.done == 1 and not seen:
            seen.append(output.read().decode())
            silence.enter_context(store.silent())
            threading.Timer(60, silence.close).start()

    run = Run(RunRequest(Place("s3://runs/in/n.ipynb"), output, attach=False, folder=tmp_path), told)
    run.prepare()
    began = time.monotonic()
    assert run_now(run).state is RunState.SUCCEEDED
    assert 60 < time.monotonic() - began < 150
    assert '"two' not in seen[0] and "two\\n" in output.read().decode()
    assert [one.state for one in records_below("s3://runs/out")] == [RunState.SUCCEEDED]
