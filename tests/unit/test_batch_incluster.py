"""What a job carries so that notebooks run in the cluster."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import jupyter_kuberay
from jupyter_kuberay.batch.incluster import job, package
from jupyter_kuberay.batch.sent import REQUEST, Sent

ROOT = Path(jupyter_kuberay.__file__).parents[1]


def _imported(text: str) -> set[str]:
    """Modules of this package that are imported as soon as this one is."""
    found: set[str] = set()

    class Reading(ast.NodeVisitor):
        def visit_If(self, node: ast.If) -> None:
            if "TYPE_CHECKING" not in ast.unparse(node.test):
                self.generic_visit(node)

        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return

        visit_AsyncFunctionDef = visit_FunctionDef

        def visit_Import(self, node: ast.Import) -> None:
            found.update(each.name for each in node.names)

        def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
            found.update({str(node.module), *(f"{node.module}.{each.name}" for each in node.names)})

    Reading().visit(ast.parse(text))
    return {name for name in found if name.startswith("jupyter_kuberay")}


def test_whatever_runs_in_the_cluster_has_all_that_it_imports():
    carried = package()
    for name, content in carried.items():
        if not name.endswith(".py"):
            continue
        for module in _imported(content.decode()):
            paths = {f"{module.replace('.', '/')}.py", f"{module.replace('.', '/')}/__init__.py"}
            if any((ROOT / path).is_file() for path in paths):
                assert paths & carried.keys(), f"{name} imports {module}, which is not carried"


def test_the_driver_starts_with_nothing_but_what_is_carried(tmp_path: Path):
    for name, content in package().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    sent = Sent("run", "none.ipynb", "/here/none.ipynb", str(tmp_path / "out.ipynb"), job="j")
    (tmp_path / REQUEST).write_text(json.dumps(sent.json()))
    code = "import sys; from jupyter_kuberay.batch import driver; print(driver.__file__); sys.exit(driver.main())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and str(tmp_path) in done.stdout.splitlines()[0]
    assert "There is no notebook" in done.stderr and "Traceback" not in done.stderr


def test_a_job_leaves_room_for_a_notebook_of_200_kilobytes():
    text = "".join(f"value_{number} = {number * 7919 % 1000}\n" for number in range(11500))
    cell = {"cell_type": "code", "source": text, "metadata": {}, "outputs": [], "execution_count": None, "id": "a"}
    notebook = json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()
    assert len(notebook) > 200_000
    spec = job(Sent("run", "n.ipynb", "/n.ipynb", "/out.ipynb", job="n-1", user="alice"), {"n.ipynb": notebook}, "mine")
    assert spec.cluster == "mine" and spec.name == "n-1" and len(spec.entrypoint) < 131_072


def test_what_was_sent_is_read_as_it_was():
    sent = Sent("sweep", "n.ipynb", "/n.ipynb", "s3://b/out", {"lr": 0.1}, points=[{"number": 0}], at_once=3, resume=True)
    assert Sent.read(json.dumps(sent.json())) == sent
