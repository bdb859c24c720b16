"""A pipeline's run as one HTML page, and the graph in it."""

import base64
import html.parser
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from jupyter_kuberay.batch.graph import Node, layers, svg
from jupyter_kuberay.batch.opening import open_pipeline
from jupyter_kuberay.batch.piping import PipelineRun, StepRequest, Told, run_pipeline
from jupyter_kuberay.batch.records import RunRecord
from jupyter_kuberay.batch.report import notebook_html, write_report
from tests.unit.notebooks import Runner, write_notebook

TEXT = """
name: letters & <more>
description: From letters to a count
parameters: {text: b a c}
output: out
steps:
  data: {notebook: data.ipynb, parameters: {text: "${text}"}, outputs: [letters]}
  sorting: {notebook: sorting.ipynb, parameters: {letters: "${data.letters}"}, outputs: [ordered]}
  telling: {notebook: telling.ipynb, parameters: {said: "${sorting.ordered}"}}
"""


async def run(folder: Path) -> PipelineRun:
    write_notebook(folder / "data.ipynb", "text = ''", "record('letters', text.split())")
    write_notebook(folder / "sorting.ipynb", "letters = []", "raise ValueError('<b>no order</b>')")
    write_notebook(folder / "telling.ipynb", "said = ''")
    (folder / "pipeline.yaml").write_text(TEXT, encoding="utf-8")
    runner = Runner()

    async def step(request: StepRequest, told: Told) -> RunRecord:
        return await runner.run(request.step, request.notebook, request.parameters, request.output, told, request.group)

    return await run_pipeline(open_pipeline(folder), step)


class Page(html.parser.HTMLParser):
    """A page's tags with their attributes, and the texts by the tag that they are in."""

    VOID = frozenset({"meta", "img", "br", "hr", "path", "rect", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for one, attributes in self.tags if one == tag]


@pytest.mark.asyncio
async def test_the_report_tells_the_whole_run_in_one_file(tmp_path: Path):
    done = await run(tmp_path)
    where = write_report(done)
    assert where == str(tmp_path / "out" / "report.html")
    text = Path(where).read_text(encoding="utf-8")
    page = Page(text)
    said = [words for _, words in page.texts]
    assert "letters & <more>" in said and "From letters to a count" in said
    for words in ("Failed", "Skipped", "ada", "demo", "ray 2.55.1, python 3.11.7", "ValueError: <b>no order</b>"):
        assert words in said, words
    assert "text = b a c" in said and '["b","a","c"]' in said
    assert [one["id"] for one in page.all("section")] == ["step-data", "step-sorting", "step-telling"]
    # What failed is open, and each notebook that ran is inside and beside.
    assert ["open" in one for one in page.all("details")] == [False, True, False]
    assert [one["href"] for one in page.all("a") if one["href"].endswith(".ipynb")] == ["data.ipynb", "sorting.ipynb"]
    assert len(page.all("template")) == 2


@pytest.mark.asyncio
async def test_the_report_asks_nobody_and_runs_nothing(tmp_path: Path):
    text = Path(write_report(await run(tmp_path))).read_text(encoding="utf-8")
    page = Page(text)
    policy = next(one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';") and "script" not in policy and "http" not in policy
    assert not page.all("script") and not page.all("link")
    assert not re.search(r"url\(|@import|//", "".join(words for tag, words in page.texts if tag == "style"))


@pytest.mark.asyncio
async def test_a_report_is_made_although_an_output_is_gone_or_broken(tmp_path: Path):
    done = await run(tmp_path)
    (tmp_path / "out" / "data.ipynb").unlink()
    (tmp_path / "out" / "sorting.ipynb").write_text("{")
    page = Page(Path(write_report(done, tmp_path / "elsewhere.html")).read_text(encoding="utf-8"))
    assert any("There is nothing at" in words for _, words in page.texts)
    assert not page.all("template")


# --- a notebook ------------------------------------------------------------


def notebook(*outputs: object, cells: tuple[object, ...] = ()) -> str:
    import nbformat

    content = new_notebook(cells=[*cells, new_code_cell("show()", outputs=list(outputs))])
    return notebook_html(nbformat.writes(content).encode())


def test_pictures_are_inside_and_words_are_words():
    picture = base64.b64encode(b"picture").decode()
    shown = notebook(new_output("display_data", data={"image/png": picture}), new_output("stream", text="<b>1 < 2</b>"))
    assert f"data:image/png;base64,{picture}" in shown and "&lt;b&gt;1 &lt; 2&lt;/b&gt;" in shown


def test_an_output_of_a_hundred_megabytes_is_cut_and_says_so():
    shown = notebook(
        new_output("stream", text="begin" + "x" * 100_000_000 + "end"),
        new_output("display_data", data={"text/html": "<p>" + "y" * 6_000_000}),
    )
    assert len(shown) < 200_000
    assert "99,940,008 characters are left out" in shown and "begin" in shown and "end</pre>" in shown
    assert "6 MB of text/html are in the notebook." in shown


def test_an_output_cannot_leave_its_place_in_the_page():
    assert "</template" not in notebook(new_output("display_data", data={"text/html": "</template></TEMPLATE ><h1>out</h1>"})).lower()


def test_papermills_own_words_about_a_failure_are_left_out():
    tagged = new_markdown_cell("An Exception was encountered", metadata={"tags": ["papermill-error-cell-tag"]})
    shown = notebook(cells=(tagged, new_markdown_cell("## Kept")))
    assert "Exception was encountered" not in shown and "Kept" in shown


# --- the graph -------------------------------------------------------------


def test_a_step_is_right_of_all_that_it_needs():
    assert layers({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": ["a", "d"], "f": []}) == [["a", "f"], ["b", "c"], ["d"], ["e"]]


def test_lines_that_need_not_cross_do_not():
    needs = {"a1": [], "b1": [], "a2": ["b1"], "b2": ["a1"]}
    first, second = layers(needs)
    assert [needs[name] for name in second] == [[name] for name in first]


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"step{number}" for number in range(draw(st.integers(0, 9)))]
    return {name: draw(st.lists(st.sampled_from(names[:number]), unique=True)) if number else [] for number, name in enumerate(names)}


@given(graphs())
def test_any_graph_is_drawn_whole_and_nothing_lies_over_anything_else(graph: dict[str, list[str]]):
    placed = layers(graph)
    depth = {name: number for number, layer in enumerate(placed) for name in layer}
    assert sorted(depth) == sorted(graph)
    assert all(depth[need] < depth[name] for name, needs in graph.items() for need in needs)
    page = Page(svg([Node(name, needs, "good", "succeeded, 1 min 15 s") for name, needs in graph.items()]))
    boxes = [tuple(float(one[side]) for side in ("x", "y", "width", "height")) for one in page.all("rect")]
    (picture,) = page.all("svg")
    assert len(boxes) == len(graph)
    assert len(page.all("path")) == sum(map(len, graph.values()))
    for index, (x, y, width, height) in enumerate(boxes):
        assert x >= 0 and y >= 0 and x + width <= float(picture["width"]) and y + height <= float(picture["height"])
        for left, top, wide, high in boxes[index + 1 :]:
            assert x + width < left or left + wide < x or y + height < top or top + high < y


def test_a_steps_name_is_text_in_the_picture():
    assert "&lt;b&gt;" in svg([Node("<b>", [], "", "")]) and "<b>" not in svg([Node("<b>", [], "", "")])
