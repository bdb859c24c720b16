"""One cluster for all tests of the command line and the notebook: asking for it is one of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from jupyter_kuberay.backends.local import LocalBackend
from jupyter_kuberay.backends.local.processes import marked

SCRIPT = Path(sys.executable).with_name("jupyter-kuberay")
NAME = "alice-1"

Write = Callable[..., Path]


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Process(subprocess.Popen[str]):
    """One whose test may fail: then nobody waits for its end."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, trace)


class CommandLine:
    """Runs ``jupyter kuberay`` as another process, in folders of these tests."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment: Mapping[str, str] = {
            **{key: value for key, value in os.environ.items() if key not in ("JUPYTERHUB_USER", "JUPYTER_KUBERAY_CLUSTER")},
            "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "JUPYTER_KUBERAY_DATA_DIR": str(home / "kuberay"),
            "IPYTHONDIR": str(home / "ipython"),
        }

    def __call__(self, *words: str) -> Said:
        with self.start(*words) as process:
            out, err = process.communicate()
        return Said(process.returncode, out, err)

    def start(self, *words: str, command: Sequence[str | Path] = (SCRIPT,), folder: Path | None = None) -> Process:
        return Process(
            [*command, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=folder or self.home,
            stdin=subprocess.DEVNULL,
        )

    @property
    def backend(self) -> LocalBackend:
        return LocalBackend(self.home / "kuberay")

    def uid(self, name: str) -> str:
        """By which the processes of a cluster are known."""
        (kept,) = [each for each in self.backend.store.all("RayCluster") if each.name == name]
        return str(kept.uid)


@pytest.fixture(scope="package")
def kuberay() -> Iterator[CommandLine]:
    home = Path(tempfile.mkdtemp(prefix="jkf", dir="/tmp"))
    (home / "config").mkdir()
    command_line = CommandLine(home)
    yield command_line
    uids = [kept.uid for kind in ("RayService", "RayCluster") for kept in command_line.backend.store.all(kind)]
    for kind, verb in (("services", "unpublish"), ("list", "down")):
        names = [one["name"] for one in command_line(kind, "-o", "json").json]
        if names:
            command_line(verb, "--yes", *names)
    assert not [process for uid in uids for process in marked(uid)], "processes are left"
    shutil.rmtree(home)


@pytest.fixture(scope="package")
def alice(kuberay: CommandLine) -> Said:
    """What bringing the shared cluster up said: two workers with a simulated GPU each."""
    said = kuberay("up", NAME, "--profile", "gpu", "--workers", "2", "--cpu", "1", "--memory", "2Gi", "-o", "json")
    assert said.code == 0, said.err
    return said


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a notebook of some code cells, each text one; a text that begins with "#" and a blank is a heading."""

    def written(name: str, *cells: str, parameters: str = "") -> Path:
        made = [new_code_cell(parameters, metadata={"tags": ["parameters"]})] if parameters else []
        made += [new_markdown_cell(text) if text.startswith("# ") else new_code_cell(text) for text in cells]
        path = tmp_path / f"{name}.ipynb"
        # The kernel that it names is nowhere: this interpreter's is taken.
        nbformat.write(
            new_notebook(cells=made, metadata={"kernelspec": {"name": "nowhere", "display_name": "?", "language": "python"}}), path
        )
        return path

    return written


def printed(path: Path) -> list[str]:
    """What each code cell of a notebook printed, showed, or raised."""
    shown = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            texts = [output.get("text") or output.get("evalue") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
            shown.append("".join(texts))
    return shown
