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
from jupyter_kuberay.batch.whole import is_whole
from jupyter_kuberay.config import KubeRay, elsewhere
from jupyter_kuberay.spec import HeadSpec, SecretKey

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


def unpacked(folder: Path, version: str = "") -> Path:
    """What is carried, where a job would have it, as of ``version``."""
    for name, content in package().items():
        if name.endswith("METADATA") and version:
            content = content.replace(jupyter_kuberay.__version__.encode(), version.encode())
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_the_driver_starts_with_nothing_but_what_is_carried(tmp_path: Path):
    unpacked(tmp_path, "0.0.1")  # where the image has another version
    sent = Sent("run", "none.ipynb", "/here/none.ipynb", str(tmp_path / "out.ipynb"), job="j")
    (tmp_path / REQUEST).write_text(json.dumps(sent.json()))
    code = "import sys; from jupyter_kuberay.batch import driver; print(driver.__file__); sys.exit(driver.main())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and str(tmp_path) in done.stdout.splitlines()[0]
    assert len(done.stdout.splitlines()) == 2 and "There is no notebook" in done.stderr and "Traceback" not in done.stderr


def test_what_is_carried_gives_way_to_the_same_version_where_the_image_has_it_whole(tmp_path: Path):
    unpacked(tmp_path)
    sent = Sent("run", "none.ipynb", "/here/none.ipynb", str(tmp_path / "out.ipynb"), job="j")
    (tmp_path / REQUEST).write_text(json.dumps(sent.json()))
    code = "import sys; from jupyter_kuberay.batch import driver; print(driver.__file__, flush=True); sys.exit(driver.main())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    first, second = (Path(line) for line in done.stdout.splitlines() if line.endswith("driver.py"))
    assert done.returncode == 1 and first.is_relative_to(tmp_path) and second.is_relative_to(ROOT)
    assert [path.name for path in tmp_path.iterdir()] == [REQUEST]


def test_only_the_whole_package_is_given_way_to(tmp_path: Path):
    carried, image = unpacked(tmp_path / "carried"), tmp_path / "image"
    assert not is_whole(carried, [str(carried), "", str(image)])
    told = image / f"jupyter_kuberay-{jupyter_kuberay.__version__}.dist-info/METADATA"
    told.parent.mkdir(parents=True)
    told.write_text(f"Metadata-Version: 2.1\nName: jupyter-kuberay\nVersion: {jupyter_kuberay.__version__}\n")
    assert not is_whole(carried, [str(carried), str(image)])  # it was removed by hand
    (image / "jupyter_kuberay").mkdir()
    (image / "jupyter_kuberay/__init__.py").touch()
    assert is_whole(carried, [str(carried), str(image)]) and not (carried / "jupyter_kuberay").exists()
    assert not is_whole(carried, [str(carried), str(image)])  # once


def test_publishing_with_what_is_carried_alone_is_a_sentence(tmp_path: Path):
    unpacked(tmp_path)
    code = "import jupyter_kuberay as jk\ntry:\n    jk.publish\nexcept jk.KubeRayError as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("`publish` needs all of jupyter-kuberay, and the image of this cluster does not have version "), (
        done.stderr
    )


def test_a_job_finds_what_is_configured_where_it_was_sent_from(tmp_path: Path):
    head = HeadSpec(cpu="3", env={"KEY": SecretKey(secret="s3", key="KEY")})
    settings = KubeRay(backend="kuberay", context="mine", profiles=[{"name": "small", "cluster": {"head": head}}], default_profile="small")
    sent = elsewhere(settings, "alice")
    assert "context" not in sent and sent["user"] == "alice" and sent["backend"] == "kuberay"
    read = KubeRay(**json.loads(json.dumps(sent)))
    assert read.default_profile == "small" and HeadSpec.model_validate(read.offered()[0].cluster["head"]) == head
    assert elsewhere(KubeRay(backend="local", data_dir=str(tmp_path)), "alice")["data_dir"] == str(tmp_path)


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
