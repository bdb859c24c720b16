"""What a function is found to import, from source alone."""

import textwrap

import pytest

from jupyter_kuberay.packages import Needs, Source, needs, uses_in


def read(uses, **modules: str) -> Needs:
    """The needs of ``uses`` where ``modules`` (``__`` for a dot; ``pkg___init`` for a package) are the person's own."""
    own = {}
    for name, text in modules.items():
        is_package = name.endswith("___init")
        own[name.removesuffix("___init").replace("__", ".")] = Source(textwrap.dedent(text), is_package)
    return needs(uses, own.get)


@pytest.mark.parametrize(
    ("text", "installed"),
    [
        ("import torch", {"torch"}),
        ("import torch.nn.functional as F", {"torch"}),
        ("from torch import nn, optim", {"torch"}),
        ("import os, json, numpy", {"numpy"}),
        ("if True:\n    import torch", {"torch"}),
        ("with open('x'):\n    import torch", {"torch"}),
        ("class Model:\n    import torch", {"torch"}),
        ("def train():\n    import torch", set()),
        ("try:\n    import torch\nexcept ImportError:\n    torch = None", set()),
        ("try:\n    import torch\nexcept (ImportError, OSError):\n    import numpy", {"numpy"}),
        ("try:\n    import torch\nfinally:\n    pass", {"torch"}),
        ("try:\n    import torch\nexcept KeyError:\n    pass", {"torch"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\nelse:\n    import numpy", {"numpy"}),
        ("import typing\nif typing.TYPE_CHECKING:\n    import torch", set()),
    ],
)
def test_importing_a_module_needs_what_its_top_level_imports_for_sure(text: str, installed: set[str]):
    assert read([("work", None)], work=text).installed == installed


def test_using_a_function_needs_what_it_and_the_functions_it_names_import():
    work = """
        def train():
            import torch
            return build()

        def build():
            from transformers import AutoModel

        def draw():
            import matplotlib
    """
    assert read([("work", "train")], work=work).installed == {"torch", "transformers"}
    assert read([("work", "build")], work=work).installed == {"transformers"}


def test_using_a_class_needs_what_its_methods_import():
    work = """
        class Model:
            def fit(self):
                import torch
    """
    assert read([("work", "Model")], work=work).installed == {"torch"}


def test_needs_go_through_the_persons_own_modules_but_only_where_they_are_used():
    found = read(
        [("work", "train")],
        work="""
            import helpers
            from pets import dog

            def train():
                helpers.build()
                dog.bark()
        """,
        helpers="""
            def build():
                import torch

            def draw():
                import matplotlib
        """,
        pets___init="import numpy",
        pets__dog="""
            from .cat import meow

            def bark():
                return meow()
        """,
        pets__cat="""
            from .. import nothing_of_ours
            from . import dog

            def meow():
                import pandas
        """,
    )
    assert found.own == {"work", "helpers", "pets"}
    assert found.installed - {"nothing_of_ours", ""} == {"torch", "numpy", "pandas"}


def test_a_submodule_imported_by_name_is_followed():
    found = read([("work", None)], work="from pets import dog", pets___init="", pets__dog="import torch")
    assert found == Needs(frozenset({"work", "pets"}), frozenset({"torch"}))


def test_modules_that_import_each_other_come_to_an_end():
    found = read([("a", "f")], a="import b\ndef f(): b.g()", b="import a, torch\ndef g(): a.f()")
    assert found == Needs(frozenset({"a", "b"}), frozenset({"torch"}))


def test_a_name_that_a_module_of_ones_own_does_not_have_is_no_package():
    assert read([("work", None)], work="from helpers import something", helpers="something = 1").installed == set()


def test_a_star_import_uses_everything():
    assert read([("work", None)], work="from helpers import *", helpers="def f():\n    import torch").installed == {"torch"}


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("def f():\n    import torch", {("torch", None)}),
        ("def f():\n    from work import train", {("work", "train")}),
        ("def f():\n    import work\n    work.train()", {("work", None), ("work", "train")}),
        ("def f():\n    return 1", set()),
    ],
)
def test_a_function_of_a_notebook_is_read_from_its_own_text(text: str, uses: set[tuple[str, str | None]]):
    assert uses_in(text) == uses
