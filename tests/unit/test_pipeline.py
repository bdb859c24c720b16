"""Pipelines as they are written: read, refused, put in order."""

import graphlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kuberay.batch import parameters_of
from jupyter_kuberay.batch.pipeline import Pipeline, check_parameters, fingerprint, missing_outputs, parse_pipeline
from jupyter_kuberay.batch.references import Reference, filled, references
from jupyter_kuberay.errors import InvalidSpec

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TEXT = """
name: summarizer
parameters: {run_dir: runs/x, lr: 1e-3}
output: ${run_dir}/notebooks
steps:
  training:
    notebook: 03_training.ipynb
    parameters: {data: "${data.path}", lr: "${lr}", title: "of ${data.rows} rows with ${lr}"}
    outputs: [model]
  data:
    notebook: 02_data.ipynb
    parameters: {run_dir: "${run_dir}"}
    outputs: [path, rows]
  look:
    notebook: look.ipynb
    after: [data]
"""


def pipeline(text: str = TEXT, **parameters: object) -> Pipeline:
    return parse_pipeline(text, "pipeline.yaml", parameters)


def test_references_and_afters_make_the_order():
    found = pipeline()
    assert [step.name for step in found.steps] == ["data", "training", "look"]
    assert found["training"].needs == ("data",) and found["look"].needs == ("data",) and found["data"].needs == ()
    assert found["training"].takes == (Reference("data", "path"), Reference("data", "rows"))
    assert found.after("data") == ("training", "look") and found.after("training") == ()


def test_its_parameters_are_overridden_and_reach_its_output():
    assert pipeline().output == "runs/x/notebooks"
    found = pipeline(run_dir="s3://bucket/a", lr=[1])
    assert found.output == "s3://bucket/a/notebooks" and found.parameters == {"run_dir": "s3://bucket/a", "lr": [1]}


def test_without_an_output_it_has_a_folder_of_its_name():
    assert pipeline("name: My first/one\nsteps: {a: {notebook: a.ipynb}}").output == "runs/My-first-one"
    assert parse_pipeline("steps: {a: {notebook: a.ipynb}}", "x/nightly.yaml").output == "runs/nightly"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${lr}", 0.001),
        ("${data.splits}", ["a", "b"]),
        ("${ data.path }", "s3://b/x"),
        ("${data.path}/train", "s3://b/x/train"),
        ("${lr} and ${data.splits}", '0.001 and ["a","b"]'),
        ("$${lr}", "${lr}"),
        ("$${lr} ${lr}", "${lr} 0.001"),
        ("${nothing", "${nothing"),
        ("$lr", "$lr"),
        ({"a": ["${lr}", 7]}, {"a": [0.001, 7]}),
        (None, None),
        (3, 3),
    ],
)
def test_a_whole_reference_keeps_its_type_and_one_within_a_text_becomes_part_of_it(value: object, expected: object):
    assert filled(value, {"lr": 0.001}, {"data": {"splits": ["a", "b"], "path": "s3://b/x"}}) == expected


def test_a_value_that_looks_like_a_reference_is_not_filled_again():
    assert filled("${a}", {"a": "${b}", "b": 1}, {}) == "${b}"


@given(st.recursive(st.text("${}a.b") | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_what_refers_to_nothing_is_left_as_it_is_but_for_its_escapes(value: object):
    if not references(value) and "$$" not in repr(value):
        assert filled(value, {}, {}) == value


def step(more: str, others: str = "") -> str:
    data = "data: {notebook: d.ipynb, outputs: [splits]}"
    return f"parameters: {{lr: 1}}\nsteps:\n  {data}\n  training: {{notebook: t.ipynb, {more}}}\n{others}"


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("", "pipeline.yaml is not a pipeline", "Such as"),
        ("steps: {}", "steps is not a mapping of steps", "Such as"),
        ("steps: [a]", "steps is not a mapping of steps", "Such as"),
        ("steps:\n  a: [\n", "pipeline.yaml, line", ""),
        ("steps:\n  a: {notebook: a}\n  a: {notebook: b}\n", "line 3: 'a' is there twice", "It says: a: {notebook: b}"),
        ("stepps: {a: {notebook: a}}", "pipeline.yaml has no key 'stepps'", "Did you mean steps?"),
        ("steps: {a: {notebok: a}}", "step a has no key 'notebok'", "Did you mean notebook?"),
        ("steps: {a: {parameters: {}}}", "step a names no notebook", "Add notebook"),
        ("steps: {a: null}", "step a is not a mapping", ""),
        ("steps: {'a.b': {notebook: a}}", "'a.b' is no name of a step", "Letters"),
        ("steps: {a: {notebook: a}, A: {notebook: a}}", "steps a and A differ in capitals only", "Rename"),
        ("parameters: [a]\nsteps: {a: {notebook: a}}", "parameters is not a mapping", ""),
        ("parameters: {a b: 1}\nsteps: {a: {notebook: a}}", "'a b' is no name of a parameter", ""),
        ("parameters: {a: '${b}'}\nsteps: {a: {notebook: a}}", "cannot refer to others", ""),
        ("output: '${a.b}'\nsteps: {a: {notebook: a}}", r"output refers to \$\{a.b\}", ""),
        ("output: 3\nsteps: {a: {notebook: a}}", "output is no folder", ""),
        (step("after: [dat]"), "training comes after dat, which is no step", "Did you mean data?"),
        (step("after: data"), "after is not a list", "Such as"),
        (step("parameters: {x: '${dat.splits}'}"), r"refers to \$\{dat.splits\}, but there is no step dat", "Did you mean data?"),
        (step("parameters: {x: '${data.split}'}"), "step data does not declare that output", "Did you mean splits?"),
        (step("parameters: {x: '${training.y}'}"), "step training does not declare that output", "Add outputs: [y] to step training."),
        (step("parameters: {x: ['${l}']}"), r"refers to \$\{l\}, which is no parameter of the pipeline", "Did you mean lr?"),
        (step("parameters: {x: '${data}'}"), "no parameter of the pipeline", "A value of a step is ${data.NAME}."),
        (step("parameters: {x: 1}, inputs: [y]"), "inputs names y, which is none of its parameters", "There is: x."),
        (step("after: [training]"), "wait for each other: training → training", "Remove"),
        (step("after: [b]", "  b: {notebook: b, after: [c]}\n  c: {notebook: c, after: [training]}"), "wait for each other: ", "Remove"),
    ],
)
def test_what_cannot_run_is_refused_in_a_sentence_before_anything_runs(text: str, said: str, hint: str):
    with pytest.raises(InvalidSpec, match=said) as refused:
        pipeline(text)
    assert hint in refused.value.hint
    assert "Error" not in refused.value.message


def test_a_circle_is_named_in_the_order_in_which_it_would_run():
    text = "steps:\n" + "".join(f"  {name}: {{notebook: n, after: [{need}]}}\n" for name, need in ("ac", "ba", "cb", "da"))
    with pytest.raises(InvalidSpec) as refused:
        pipeline(text)
    assert refused.value.message == "pipeline.yaml: these steps wait for each other: a → b → c → a."


def test_a_parameter_that_the_pipeline_lacks_is_refused_with_the_nearest_that_it_has():
    with pytest.raises(InvalidSpec, match=r"pipeline\.yaml has no parameter run_di") as refused:
        pipeline(run_di="x")
    assert refused.value.hint == "Did you mean run_dir?"


def test_a_parameter_that_a_notebook_lacks_is_refused_with_step_and_notebook():
    known = {"data": {"run_dir"}, "training": {"data", "lr", "titel"}, "look": set()}
    with pytest.raises(InvalidSpec, match=r"Step training: 03_training\.ipynb has no parameter title") as refused:
        check_parameters(pipeline(), known)
    assert refused.value.hint == "Did you mean titel?"
    check_parameters(pipeline(), known | {"training": {"data", "lr", "title"}})


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"s{number}" for number in range(draw(st.integers(1, 12)))]
    return {name: draw(st.lists(st.sampled_from(names), unique=True, max_size=3)) for name in names}


@given(graphs())
def test_any_graph_is_put_in_order_or_has_its_circle_named(graph: dict[str, list[str]]):
    text = "steps:\n" + "".join(f"  {name}: {{notebook: n.ipynb, after: [{', '.join(needs)}]}}\n" for name, needs in graph.items())
    try:
        list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError:
        with pytest.raises(InvalidSpec) as refused:
            pipeline(text)
        circle = refused.value.message.removesuffix(".").split(": ")[-1].split(" → ")
        assert len(circle) > 1 and circle[0] == circle[-1]
        assert all(before in graph[after] for before, after in pairwise(circle))
    else:
        order = [one.name for one in pipeline(text).steps]
        assert sorted(order) == sorted(graph)
        assert all(order.index(need) < order.index(name) for name, needs in graph.items() for need in needs)


def test_a_fingerprint_changes_with_each_thing_that_a_step_is_made_from():
    made = ("s", {"lr": 1}, {"/data": "a"}, {"data": "1"})
    changed = [("t", *made[1:]), (made[0], {"lr": 1.0}, *made[2:]), (*made[:2], {"/data": "b"}, made[3]), (*made[:3], {"data": "2"})]
    assert fingerprint(*made) == fingerprint("s", {"lr": 1}, {"/data": "a"}, {"data": "1"})
    assert len({fingerprint(*made), *(fingerprint(*one) for one in changed)}) == 5


def test_a_declared_output_that_was_not_recorded_is_found():
    assert missing_outputs(pipeline()["data"], {"rows": 1, "other": 2}) == ("path",)


def test_the_lifecycles_pipeline_fits_its_notebooks():
    text = (NOTEBOOKS / "pipeline.yaml").read_text(encoding="utf-8")
    found = parse_pipeline(text, "pipeline.yaml")
    check_parameters(found, {one.name: parameters_of(NOTEBOOKS / one.notebook) for one in found.steps})
    assert {one.notebook for one in found.steps} == {path.name for path in NOTEBOOKS.glob("0[1-9]_*.ipynb")}
    assert found.after("data") == ("tuning", "training", "evaluation", "validation", "serving", "monitoring")
    for one in found.steps:
        source = (NOTEBOOKS / one.notebook).read_text(encoding="utf-8")
        assert all(f'record(\\"{name}\\"' in source for name in one.outputs), one.name
