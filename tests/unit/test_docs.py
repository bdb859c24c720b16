"""The documentation: it is built without a warning, asks no host for anything, and its commands are understood."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tests import examples

# What a browser would fetch: not what a reader may click.
ASKS = re.compile(r"""<(?:script|img|iframe|source|video)\b[^>]*\ssrc=["']?(?:https?:)?//|<link\b[^>]*\shref=["']?(?:https?:)?//""", re.I)
STYLE_ASKS = re.compile(r"""(?:url\(|@import)\s*["']?(?:https?:)?//""", re.I)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "-b", "html"]
    built = subprocess.run([*command, str(examples.DOCS), str(folder)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_the_site_is_built_without_a_warning_and_has_each_page(site: Path) -> None:
    for page in (*examples.PAGES, "json", "shared-namespaces", "decisions/index"):
        assert (site / f"{page}.html").exists(), page


def test_the_site_asks_no_host_for_anything(site: Path) -> None:
    asked = [path.name for path in site.rglob("*.html") if ASKS.search(path.read_text())]
    asked += [path.name for path in site.rglob("*.css") if STYLE_ASKS.search(path.read_text())]
    assert asked == []


def every() -> Iterator[examples.Example]:
    for page in examples.PAGES:
        yield from (example for example in examples.examples(page) if example.language != "{toctree}")


@pytest.mark.parametrize("example", every(), ids=str)
def test_each_example_is_one_that_the_tests_know_how_to_run_and_is_understood(example: examples.Example) -> None:
    assert example.kind, f"{example}: a block of {example.language!r} is none of what tests/examples.py knows"
    for words in examples.spoken(example):
        examples.parse(words)
    if example.kind == "cell":
        compile(TransformerManager().transform_cell(example.text), str(example), "exec")
    elif example.kind == "commands":
        assert examples.commands(example)
    elif example.kind == "notebook":
        nbformat.validate(examples.notebook(example.text))


@pytest.mark.parametrize(
    ("said", "wanted", "same"),
    [
        ("a 1 b\n", "a … b", True),
        ("a\nb\nc", "a\n…c", True),
        ("\x1b[31mred\x1b[0m  \nblue", "red\nblue", True),
        ("a b c", "a … d", False),
        ("before\na", "a", False),
    ],
)
def test_what_is_shown_is_compared_with_what_the_page_has_and_an_ellipsis_is_anything(said: str, wanted: str, same: bool) -> None:
    assert examples.shown_as(said, wanted) is same
