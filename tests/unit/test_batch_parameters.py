"""What a notebook's parameters are, and what fits them."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_kuberay.batch.parameters import Parameter, Text, checked, declared
from jupyter_kuberay.errors import InvalidSpec

CELL = """
lr: float = 1e-3
name = "a"
steps: int = 10
some = 1
layers = [64,
          64]
base: str | None = None
flag = False
made = compute()
"""


def test_a_cells_assignments_are_parameters_with_their_types_and_defaults():
    found = declared([CELL])
    assert {name: each.type for name, each in found.items()} == {
        "lr": "float",
        "name": "str",
        "steps": "int",
        "some": "int",
        "layers": "list",
        "base": "str",
        "flag": "bool",
        "made": "",
    }
    assert found["layers"].default == [64, 64] and found["base"].optional and not found["lr"].optional


def test_a_comparison_or_a_call_is_no_parameter_and_a_cell_with_a_magic_gives_its_names():
    assert declared(["print(x == 1)\nassert y == 2"]) == {}
    assert declared(["%time pass\nlr = 1\nx == 2"]) == {"lr": Parameter("lr")}


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("lr", "1e-4", 1e-4),
        ("lr", "1", 1.0),
        ("name", "007", "007"),
        ("name", "true", "true"),
        ("name", "2026-01-01", "2026-01-01"),
        ("steps", "5", 5),
        ("some", "0.5", 0.5),  # its default says less than a type
        ("layers", "[1, 2]", [1, 2]),
        ("base", "null", None),
        ("base", "t5", "t5"),
        ("flag", "true", True),
        ("made", "{a: 1}", {"a": 1}),
        ("made", "2026-01-01", "2026-01-01"),
    ],
)
def test_what_is_typed_means_what_its_parameter_takes(name: str, typed: str, value: Any):
    assert checked(declared([CELL]), {name: Text(typed)}, "n.ipynb") == {name: value}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lr": Text("fast")}, "lr of n.ipynb is of type float, and 'fast' is none. Its default is 0.001."),
        ({"lr": True}, "is of type float, and True is none"),
        ({"steps": Text("1.5")}, "is of type int, and 1.5 is none"),
        ({"flag": Text("yes please")}, "is of type bool"),
        ({"name": 7}, "is of type str, and 7 is none"),
        ({"made": {1, 2}}, "made of n.ipynb cannot be set"),
        ({"layer": 1}, "n.ipynb has no parameter layer. Did you mean layers?"),
        ({"x": 1}, "n.ipynb has no parameter x. It has: base, flag, layers,"),
        ({"made": Text("[1, 2")}, "Parameter made of n.ipynb: "),
    ],
)
def test_what_does_not_fit_is_refused_with_the_type_and_the_default(given: dict[str, Any], said: str):
    with pytest.raises(InvalidSpec) as refused:
        checked(declared([CELL]), given, "n.ipynb")
    assert said in str(refused.value)


def test_a_notebook_without_a_parameters_cell_says_how_to_have_one():
    with pytest.raises(InvalidSpec, match="Tag the cell that has them with 'parameters'"):
        checked({}, {"x": 1}, "n.ipynb")
