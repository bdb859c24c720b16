"""What of a cell can leave its notebook."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.faces.cells import packed, undefined


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("print(x)", {"x"}),
        ("x = 1\nprint(x)", set()),
        ("def f():\n    return np.sum(rows)", {"np", "rows"}),
        ("import numpy as np\ndef f(rows):\n    return np.sum(rows)", set()),
        ("def f():\n    global x\n    x = 1\nf(); print(x)", set()),
        ("class A:\n    y = z\n    def g(self):\n        return self.y, A, __name__", {"z"}),
        ("[i for i in range(n) for j in (i,)]", {"n"}),
        ("from somewhere import *\nprint(x)", set()),
        ("for i in []:\n    pass\nwith open('a') as f, g() as h:\n    print(f, h, i)", {"g"}),
        ("try:\n    pass\nexcept ValueError as e:\n    print(e)", set()),
        ("x += 1", set()),
    ],
)
def test_names_that_a_cell_has_from_elsewhere_are_found(text: str, names: set[str]) -> None:
    assert undefined(text) == names


@given(st.text(max_size=30))
def test_whatever_stands_in_a_cell_it_is_packed_or_refused_with_a_sentence(text: str) -> None:
    try:
        files = packed(text, "cell.py")
    except InvalidSpec as refused:
        files = {"cell.py": text.encode()} if refused.message and refused.hint else {}
    assert files == {"cell.py": text.encode()}


def test_a_cell_that_uses_what_another_cell_defined_is_refused_with_the_names() -> None:
    with pytest.raises(InvalidSpec, match="uses df, np, which other cells have defined"):
        packed("print(np.sum(df), len([]))", "cell.py", there={"np", "df", "len", "other"})


@pytest.mark.parametrize("text", ["%time x", "!ls", "await f()", "def f(:"])
def test_what_is_no_program_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(InvalidSpec, match="no Python program: line 2"):
        packed(f"x = 1\n{text}", "cell.py")


def test_the_persons_own_modules_go_along_with_all_that_they_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_4711").mkdir()
    (tmp_path / "mine_4711" / "__init__.py").write_text("")
    (tmp_path / "mine_4711" / "deep.py").write_text("import beside_4711, json\n")
    (tmp_path / "beside_4711.py").write_text("X = 1\n")
    (tmp_path / "unused_4711.py").write_text("X = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    files = packed("import json, yaml, jupyter_kuberay\nfrom mine_4711 import deep\n", "cell.py")
    assert set(files) == {"cell.py", "mine_4711/__init__.py", "mine_4711/deep.py", "beside_4711.py"}
    assert "mine_4711" not in sys.modules
