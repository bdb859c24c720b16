"""Which modules go along with a function to the cluster, and as what."""

import functools
import sys
import types
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from jupyter_kuberay import modules, remote
from jupyter_kuberay.errors import InvalidSpec


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder beside a notebook, from which modules can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def zoo(beside: Path) -> types.ModuleType:
    (beside / "zoo.py").write_text("import numpy\ndef feed():\n    import torch\n")
    import zoo

    return zoo


def in_a_cell(text: str, **names: object) -> dict[str, object]:
    """What a notebook's cell defines."""
    scope = {"__name__": "__main__", **names}
    exec(text, scope)  # as a kernel does
    return scope


def test_a_module_beside_the_notebook_goes_along_and_its_imports_must_be_there(zoo: types.ModuleType):
    found = modules.needs_of(zoo.feed)
    assert (found.own, found.installed) == ({"zoo"}, {"numpy", "torch"})


@pytest.mark.parametrize("wrap", [functools.partial, lambda function: types.MethodType(function, object()), staticmethod])
def test_a_function_is_found_in_what_wraps_it(zoo: types.ModuleType, wrap):
    assert modules.needs_of(wrap(zoo.feed)).own == {"zoo"}


def test_a_cells_function_needs_what_its_names_stand_for(zoo: types.ModuleType):
    text = "def outer():\n    return inner()\ndef inner():\n    return np.zeros(1), [animal.feed() for _ in 'x'], Cage\n"
    import numpy

    class Cage:
        keeper = zoo.feed

    Cage.__module__ = "__main__"
    scope = in_a_cell(text, np=numpy, animal=zoo, Cage=Cage)
    found = modules.needs_of(scope["outer"])
    assert found.own == {"zoo"}
    assert "numpy" in found.installed


def test_a_closure_needs_what_it_holds(zoo: types.ModuleType):
    def make(function):
        return lambda: function()

    assert modules.needs_of(make(zoo.feed)).own == {"zoo"}


def test_what_is_installed_or_pythons_own_does_not_go_along():
    for name in ("json", "sys", "pydantic", "no_such_module", "__main__"):
        assert modules.own_place(name) is None


def test_a_package_installed_in_editable_form_is_ones_own():
    assert modules.own_place("jupyter_kuberay") == Path(modules.__file__).parent


def test_an_archive_changes_its_name_with_its_content_only(beside: Path):
    (beside / "pets").mkdir()
    (beside / "pets" / "dog.py").write_text("bark = 1")
    (beside / "pets" / "__pycache__").mkdir()
    (beside / "pets" / "__pycache__" / "dog.pyc").write_text("old")
    (beside / "pets" / ".secret").write_text("hidden")
    uri, data = modules.archive({"pets": beside / "pets"})
    assert zipfile.ZipFile(BytesIO(data)).namelist() == ["pets/dog.py"]
    (beside / "pets" / "dog.py").touch()
    assert modules.archive({"pets": beside / "pets"}) == (uri, data)
    (beside / "pets" / "dog.py").write_text("bark = 2")
    assert modules.archive({"pets": beside / "pets"})[0] != uri


def test_data_beside_the_code_is_refused_by_its_size(beside: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(modules, "MAX_BYTES", 10_000_000)
    with (beside / "zoo.py").open("wb") as file:
        file.truncate(11_000_000)
    with pytest.raises(InvalidSpec, match=r"zoo would go along .* 11 MB; at most 10 MB"):
        modules.archive({"zoo": beside / "zoo.py"})


def test_a_cluster_that_has_the_same_files_is_recognized(beside: Path):
    (beside / "zoo.py").write_text("a = 1")
    there = remote.inventory(["zoo", "json", "no_such_module"], compared=["zoo"])
    assert there == {"zoo": remote.digest(beside / "zoo.py"), "json": "", "no_such_module": None}
    (beside / "zoo.py").write_text("a = 2")
    assert remote.digest(beside / "zoo.py") != there["zoo"]


def test_packages_to_install_are_named_in_the_kernels_versions():
    import pydantic

    assert modules.distributions(["pydantic", "no_such_module"]) == [f"pydantic=={pydantic.VERSION}"]
