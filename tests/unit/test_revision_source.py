"""Which files an application's code is, and what of it takes a model, without importing any of it."""

import ast
import sys
import textwrap
from pathlib import Path

import pytest

from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.revision import inline, zipped
from jupyter_kuberay.source import Deployment, closure, deployments_in, find_source, of_zip

TINY = """
    from ray import serve
    EXAMPLE = "/?text=hello"

    @serve.deployment(num_replicas=2)
    class Tiny:
        def reconfigure(self, user_config): ...

    app = Tiny.bind()
"""


def tree(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def test_what_a_decorator_says_is_known_unless_it_is_computed_or_changed_later():
    written = "@serve.deployment(num_replicas=2, ray_actor_options={'num_cpus': 0.5})\nclass A: ...\n"
    (found,) = deployments_in([ast.parse(written)])
    assert (found.options, found.is_whole) == ({"num_replicas": 2, "ray_actor_options": {"num_cpus": 0.5}}, True)
    (computed,) = deployments_in([ast.parse("@serve.deployment(num_replicas=2, ray_actor_options=OPTIONS)\nclass A: ...")])
    assert (computed.options, computed.is_whole) == ({"num_replicas": 2}, False)
    (changed,) = deployments_in([ast.parse(written + "app = A.options(num_replicas=9).bind()\n")])
    assert not changed.is_whole
    (plain,) = deployments_in([ast.parse("@serve.deployment\nclass A: ...")])
    assert (plain.options, plain.is_whole) == ({}, True)


@pytest.mark.parametrize("app", ["tiny.py:app", "tiny:app"])
def test_a_file_and_an_importable_module_give_the_same_code(app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree(tmp_path, {"tiny.py": TINY, "unrelated.py": "1/0"})
    found = find_source(app)
    assert (found.app, list(found.files)) == ("tiny:app", ["tiny.py"])
    assert found.deployments == (Deployment("Tiny", configurable=True),)
    assert found.example == "/?text=hello"
    assert "tiny" not in sys.modules


def test_a_file_takes_along_what_it_imports_from_beside_it(tmp_path):
    tree(
        tmp_path,
        {
            "tiny.py": "import json\nimport helper\n" + textwrap.dedent(TINY),
            "helper.py": "def f():\n    from words.more import x\n",
            "words/__init__.py": "",
            "words/more.py": "x = 1",
            "words/data.txt": "data",
            "words/__pycache__/more.cpython-311.pyc": "compiled",
            "other.py": "",
        },
    )
    assert sorted(find_source(f"{tmp_path}/tiny.py:app").files) == [
        "helper.py",
        "tiny.py",
        "words/__init__.py",
        "words/data.txt",
        "words/more.py",
    ]


def test_a_package_goes_whole_and_only_what_is_imported_is_searched_for_deployments(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    unused = TINY.replace("Tiny", "Unused")
    tree(tmp_path, {"acme/__init__.py": "", "acme/tiny.py": TINY, "acme/unused.py": unused, "acme/.hidden": "", "acme/prompt.txt": "Say:"})
    found = find_source("acme.tiny:app")
    assert sorted(found.files) == ["acme/__init__.py", "acme/prompt.txt", "acme/tiny.py", "acme/unused.py"]
    assert [each.name for each in found.deployments] == ["Tiny"]


SERVING = ["batching", "metrics", "page", "request_log", "requests", "seq2seq", "served", "settings", "summarizer"]
SERVING += ["t5", "t5_program", "weights"]


def test_of_this_package_only_what_is_needed_goes_along():
    found = find_source("jupyter_kuberay.serving.summarizer:app")
    assert sorted(found.files) == [
        "jupyter_kuberay/__init__.py",
        "jupyter_kuberay/serving/__init__.py",
        *(f"jupyter_kuberay/serving/{name}.py" for name in SERVING),
    ]
    assert found.deployments == (Deployment("Summarizer", configurable=True),)
    assert inline(zipped(found.files))


def test_what_an_application_uses_of_this_package_goes_along_too(tmp_path):
    tree(tmp_path, {"mine.py": "from jupyter_kuberay.serving.summarizer import Summarizer\napp = Summarizer.bind()\n"})
    found = find_source(f"{tmp_path}/mine.py:app")
    assert "jupyter_kuberay/serving/summarizer.py" in found.files and "jupyter_kuberay/client.py" not in found.files
    assert found.deployments == (Deployment("Summarizer", configurable=True),)


@pytest.mark.parametrize(("name", "deployment"), [("classifier", "Classifier"), ("scaled", "Summarizer")])
def test_the_applications_in_the_documentation_take_a_model_and_fit_into_the_configuration(name, deployment, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    tree(tmp_path, {f"{name}.py": page.partition(f"# {name}.py\n")[2].partition("```")[0]})
    found = find_source(f"{tmp_path}/{name}.py:app")
    assert found.deployments == (Deployment(deployment, configurable=True),)
    assert "jupyter_kuberay/serving/served.py" in found.files and inline(zipped(found.files))


def test_an_application_in_the_image_has_no_files_and_its_deployments_are_known_where_it_can_be_read():
    found = find_source("jupyter_kuberay.serving.summarizer:app", code=False)
    assert (dict(found.files), found.deployments) == ({}, (Deployment("Summarizer", configurable=True),))
    assert find_source("not_here.at_all:app", code=False).deployments == ()


@pytest.mark.parametrize(
    ("decorated", "expected"),
    [
        ("@serve.deployment\nclass A:\n    def reconfigure(self, c): ...", [Deployment("A", True)]),
        ("@serve.deployment(name='Named')\nclass A:\n    async def reconfigure(self, c): ...", [Deployment("Named", True)]),
        ("@serve.deployment\nclass A: ...", [Deployment("A", False)]),
        ("@deployment\ndef f(r): ...", [Deployment("f", False)]),
        ("class Base:\n    def reconfigure(self, c): ...\n@serve.deployment\nclass A(Base): ...", [Deployment("A", True)]),
        ("@other\nclass A:\n    def reconfigure(self, c): ...", []),
        ("@serve.ingress(api)\n@serve.deployment\nclass A:\n    def reconfigure(self, c): ...", [Deployment("A", True)]),
    ],
)
def test_a_deployment_takes_a_model_when_its_class_has_reconfigure(decorated, expected, tmp_path):
    (tmp_path / "x.py").write_text(decorated + "\napp = 1\n")
    assert list(find_source(f"{tmp_path}/x.py:app").deployments) == expected


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("tiny", "Name it as"),
        ("missing.py:app", "no file missing.py"),
        ("missing_module:app", "no module 'missing_module'"),
        ("tiny.py:nothing", r"no 'nothing'.*It has Tiny, app"),
        ("broken.py:app", r"broken.py, line 2: invalid syntax"),
        ("math:app", "no module 'math' with its source"),
    ],
)
def test_what_cannot_be_right_is_refused_before_anything_is_asked_of_a_cluster(app, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree(tmp_path, {"tiny.py": "Tiny = 1\napp = 2\n", "broken.py": "app = 1\ndef f(:\n"})
    with pytest.raises(InvalidSpec, match=message):
        find_source(app)


def test_a_zip_and_a_folder_give_the_code_they_hold(tmp_path):
    tree(tmp_path / "code", {"tiny.py": TINY})
    (tmp_path / "code.zip").write_bytes(zipped({"tiny.py": textwrap.dedent(TINY).encode()}))
    folder, archive = (find_source("tiny:app", tmp_path / name) for name in ("code", "code.zip"))
    assert folder == archive == of_zip("tiny:app", (tmp_path / "code.zip").read_bytes())
    with pytest.raises(InvalidSpec, match="no module 'other'"):
        find_source("other:app", tmp_path / "code.zip")


def test_what_is_too_large_for_code_is_refused(tmp_path):
    tree(tmp_path, {"tiny.py": "import data\n" + textwrap.dedent(TINY), "data/__init__.py": ""})
    with (tmp_path / "data" / "weights.bin").open("wb") as file:
        file.truncate(51 * 2**20)
    with pytest.raises(InvalidSpec, match=r"more than 50 MiB.*weights"):
        find_source(f"{tmp_path}/tiny.py:app")


def test_imports_are_followed_wherever_they_stand_and_whatever_they_are_relative_to():
    files = {
        "a/__init__.py": b"",
        "a/b.py": b"from . import c\nfrom ..x import y",
        "a/c.py": b"def f():\n    import a.d.e",
        "a/d/__init__.py": b"",
        "a/d/e.py": b"from ..g import h",
        "a/g.py": b"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a.unused\n",
        "a/unused.py": b"",
    }
    assert sorted(closure(files, "a/b.py")) == ["a/__init__.py", "a/b.py", "a/c.py", "a/d/__init__.py", "a/d/e.py", "a/g.py"]
