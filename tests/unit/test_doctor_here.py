"""What doctor finds on this machine, and of servers that are none; all of it real."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from jupyter_kuberay.backends.local import LocalBackend
from jupyter_kuberay.backends.local.answers import Answers, Disk
from jupyter_kuberay.backends.local.examine import examine
from jupyter_kuberay.backends.local.supervision import RECORD
from jupyter_kuberay.doctor import Level, findings
from jupyter_kuberay.errors import Failed, KubeRayError, Refused
from jupyter_kuberay.faces import cli
from jupyter_kuberay.preflight import Versions

KERNEL = Versions(ray="2.58.0", python="3.11.7")
GIB = 2**30

# --- this machine --------------------------------------------------------

MACHINE = Answers(
    data_dir="/data",
    data=Disk(10 * GIB, 100 * GIB),
    temporary_dir="/tmp/jk",
    temporary=Disk(10 * GIB, 100 * GIB),
    memory=8 * GIB,
    head_memory=int(1.2 * GIB),
    worker_memory=int(0.4 * GIB),
    proc=True,
    ray="2.58.0",
    ports=24000,
)
BROKEN: KubeRayError = Refused("It cannot be used.", "Do this.")
OF_MACHINES = (
    ({"proc": False}, "system", Level.BAD, ["no /proc"]),
    ({"ray": Failed("Ray cannot be imported: no module named grpc", "Install it.")}, "Ray", Level.BAD, ["grpc", "Install it."]),
    ({"ray": "2.40.0"}, "Ray", Level.BAD, ["imports Ray 2.40.0, but 2.58.0"]),
    ({}, "Ray", Level.OK, ["2.58.0", "Python 3.11"]),
    ({"data": BROKEN}, "data directory", Level.BAD, ["cannot be used", "Do this."]),
    ({"data": Disk(10 * 2**20, GIB)}, "data directory", Level.BAD, ["Only 10 MiB"]),
    ({"temporary": BROKEN}, "temporary files", Level.BAD, ["cannot be used"]),
    ({"temporary": Disk(10 * 2**20, GIB)}, "temporary files", Level.BAD, ["Only 10 MiB"]),
    ({"temporary": Disk(4 * GIB, 100 * GIB)}, "temporary files", Level.WARNING, ["96.0 % full"]),
    ({"memory": GIB}, "memory", Level.BAD, ["1.0 GiB of memory are free, and a head needs 1.2 GiB"]),
    ({"memory": int(1.4 * GIB)}, "memory", Level.WARNING, ["first worker"]),
    ({}, "memory", Level.OK, ["a head and 17 workers"]),
    ({"ports": BROKEN}, "ports", Level.BAD, ["cannot be used"]),
    ({"gpus": ("GPU-1",)}, "GPUs", Level.OK, ["There are 1."]),
    ({"kept": ("RayCluster 'ada'",)}, "supervisors", Level.OK, ["RayCluster 'ada'"]),
    ({"orphans": ("RayCluster 'ada'",)}, "supervisors", Level.WARNING, ["RayCluster 'ada' ended unexpectedly", "list --all"]),
    ({"strays": (7, 8)}, "supervisors", Level.WARNING, ["process 7, 8", "kill 7 8"]),
)  # fmt: skip


@pytest.mark.parametrize(("change", "check", "level", "words"), OF_MACHINES)
def test_each_answer_of_this_machine_becomes_the_right_line(change, check, level, words):
    (line, *_) = [one for one in findings(replace(MACHINE, **change), KERNEL) if one.check == check]
    assert line.level is level, line
    assert [word for word in words if word not in f"{line.what} {line.remedy}"] == []
    assert line.remedy or level is Level.OK


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTER_KUBERAY_DATA_DIR", str(tmp_path / "state" / "kuberay"))
    return tmp_path / "state" / "kuberay"


def test_on_this_machine_it_looks_and_leaves_nothing_behind(capsys, data_dir):
    code = cli.run(["doctor", "--backend", "local", "-o", "json"])
    told = json.loads(capsys.readouterr().out)
    assert code == (1 if any(line["level"] == "bad" for line in told) else 0)
    assert {line["check"]: line["level"] for line in told}["data directory"] == "ok"
    assert {line["check"] for line in told} == {
        "system",
        "Ray",
        "data directory",
        "temporary files",
        "memory",
        "ports",
        "GPUs",
        "supervisors",
    }
    assert not data_dir.parent.exists()


def test_a_data_directory_that_cannot_be_written_to_is_red_and_ends_with_1(capsys, data_dir):
    data_dir.parent.write_text("a file in its place")
    assert cli.run(["doctor", "--backend", "local"]) == 1
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if line.startswith("data directory ")]
    assert line.split()[2] == "bad" and str(data_dir) in line


@pytest.mark.asyncio
async def test_resources_without_a_supervisor_and_supervisors_without_a_resource_are_found(data_dir):
    backend = LocalBackend(data_dir)
    resource = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "ada"}, "spec": {}}
    backend.store.create(resource)
    (backend.store.folder("RayCluster", "ada") / RECORD).write_text("{}")
    program = "import sys; print(flush=True); sys.stdin.read()"
    words = ["-P", "-m", "jupyter_kuberay.backends.local.supervisor", str(data_dir), "RayCluster", "eve"]
    with subprocess.Popen([sys.executable, "-c", program, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stray:
        assert stray.stdout and stray.stdout.readline()
        answers = await examine(backend)
    assert (answers.kept, answers.orphans, answers.strays) == ((), ("RayCluster 'ada'",), (stray.pid,))


# --- servers that do not do what they should -----------------------------


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def write(server: str, **user: Any) -> None:
        context = {"name": "there", "context": {"cluster": "there", "user": "me", "namespace": "alice"}}
        clusters, users = [{"name": "there", "cluster": {"server": server}}], [{"name": "me", "user": user or {"token": "x"}}]
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": clusters,
            "users": users,
            "contexts": [context],
            "current-context": "there",
        }
        (tmp_path / "config").write_text(json.dumps(config))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))

    return write


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@contextmanager
def web_server(status: int) -> Iterator[int]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html>Welcome!</html>")

        def log_message(self, *_: Any) -> None:
            return None

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, str]], float]:
    import kubernetes.aio.client  # noqa: F401  (seconds for which no server is to blame)

    began = time.monotonic()
    code = cli.run(["doctor", "--backend", "kuberay", "-o", "json"])
    took = time.monotonic() - began
    return code, json.loads(capsys.readouterr().out), took


def red(lines: list[dict[str, str]]) -> list[dict[str, str]]:
    return [line for line in lines if line["level"] == "bad"]


def test_where_nothing_listens_it_is_said_within_five_seconds(capsys, kubeconfig):
    with listening() as server:
        port = server.getsockname()[1]
    kubeconfig(f"https://127.0.0.1:{port}")
    code, lines, took = doctor(capsys)
    (line,) = red(lines)
    assert code == 1 and took < 5
    assert line["check"] == "API server" and str(port) in line["what"] and "kubectl" in line["remedy"]


def test_a_server_that_takes_connections_and_says_nothing_is_given_up_within_five_seconds(capsys, kubeconfig):
    with listening() as server:
        kubeconfig(f"https://127.0.0.1:{server.getsockname()[1]}")
        code, lines, took = doctor(capsys)
    (line,) = red(lines)
    assert code == 1 and took < 5
    assert line["check"] == "API server" and "does not answer" in line["what"]


@pytest.mark.parametrize("status", [200, 404])
def test_a_web_server_is_not_taken_for_an_api_server(capsys, kubeconfig, status):
    with web_server(status) as port:
        kubeconfig(f"http://127.0.0.1:{port}")
        code, lines, _ = doctor(capsys)
    (line,) = red(lines)
    assert code == 1 and line["check"] == "API server"
    assert "no Kubernetes API server" in line["what"] and "address" in line["remedy"]


def test_a_login_that_gives_nothing_is_a_matter_of_the_user(capsys, kubeconfig):
    failing = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/false", "interactiveMode": "Never"}
    kubeconfig("https://127.0.0.1:1", exec=failing)
    code, lines, _ = doctor(capsys)
    (line,) = red(lines)
    assert code == 1 and line["check"] == "user" and "/bin/false" in line["what"]


def test_a_kubeconfig_that_is_not_there_is_named(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    code, lines, _ = doctor(capsys)
    (line,) = red(lines)
    assert code == 1 and str(tmp_path / "nowhere") in line["what"]
