"""A sweep's points, from what a person writes to the files' names."""

from pathlib import PurePath

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jupyter_kuberay.batch.records import RunRecord, RunState
from jupyter_kuberay.batch.sweep import (
    MOST_POINTS,
    Axis,
    check_parameters,
    combine,
    file_stem,
    parse_axes,
    parse_axis,
    parse_combinations,
    points,
    resumption,
)
from jupyter_kuberay.batch.values import canonical
from jupyter_kuberay.errors import InvalidSpec


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1e-3,1e-4", [1e-3, 1e-4]),
        ("0:5", [0, 1, 2, 3, 4]),
        ("0:10:4", [0, 4, 8]),
        ("3:0:-1", [3, 2, 1]),
        ("-2:1,7", [-2, -1, 0, 7]),
        ("-1,-2.5,+3,.5,1.", [-1, -2.5, 3, 0.5, 1.0]),
        ("adam,sgd", ["adam", "sgd"]),
        ("true,False,null", [True, False, None]),
        ("no,on,yes", ["no", "on", "yes"]),
        ("010,1_000", [10, "1_000"]),
        ("2026-01-02", ["2026-01-02"]),
        ('"0:5","1"', ["0:5", "1"]),
        ("'a,b',c", ["a,b", "c"]),
        ("'it''s'", ["it's"]),
        ("[64,64],[128]", [[64, 64], [128]]),
        ('["a,b]", 1e-3]', [["a,b]", 0.001]]),
        ('{depth: 2, kind: "x"},{depth: 3}', [{"depth": 2, "kind": "x"}, {"depth": 3}]),
        ("s3://bucket/a b,*.csv,@x,it's", ["s3://bucket/a b", "*.csv", "@x", "it's"]),
        ("a=b", ["a=b"]),
        (" 1 , 2 ", [1, 2]),
        ('""', [""]),
        ("größe,😀", ["größe", "😀"]),
    ],
)
def test_an_axis_is_read_as_people_mean_it(text: str, values: list[object]):
    axis = parse_axis(f"x={text}")
    assert axis.name == "x"
    assert canonical(list(axis.values)) == canonical(values)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr", "'lr' is no axis of a sweep"),
        ("=1", "'' is no name of a parameter"),
        ("a b=1", "'a b' is no name of a parameter"),
        ("lr=", "lr has no value"),
        ("lr=1,,2", "lr has an empty value"),
        ("lr=1,", "lr has an empty value"),
        ("lr=[1,2", "leaves ] open"),
        ("lr='a", "leaves ' open"),
        ("lr=[1 2}]", "flow sequence|expected"),
        ("seed=5:0", "nothing in it"),
        ("seed=0:5:0", "step 0"),
        ("seed=0:1:0.1", "no range"),
        ("seed=1:", "no range"),
        ("seed=0:1000000000", "1,000,000,000 points, more than 10,000"),
        ("x={a: 1, a: 2}", "'a' is there twice"),
    ],
)
def test_what_is_no_axis_is_refused_in_a_sentence(text: str, said: str):
    with pytest.raises(InvalidSpec, match=said) as refused:
        parse_axis(text)
    assert refused.value.hint


def test_where_a_parameters_type_is_known_words_are_read_as_that():
    types = {"version": "str", "lr": "float", "seed": "int"}
    assert parse_axis("version=1.10,0:5,true,'a,b'", types).values == ["1.10", "0:5", "true", "a,b"]
    assert canonical(list(parse_axis("lr=1,0.5,0:2", types).values)) == "[1.0,0.5,0.0,1.0]"
    assert list(parse_axis("seed=0:2", types).values) == [0, 1]


def test_an_axis_that_is_there_twice_is_refused():
    with pytest.raises(InvalidSpec, match="has lr twice"):
        parse_axes(["lr=1", "seed=1", "lr=2"])


@given(
    st.lists(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text(max_size=20)), min_size=1)
)
def test_an_axis_written_as_json_is_read_as_it_was(values: list[object]):
    # A surrogate half is no text that a file or command line could hold.
    assume(all(not isinstance(one, str) or (one.isprintable() and "\x7f" not in one) for one in values))
    written = ",".join(canonical(one) for one in values)
    assert canonical(list(parse_axis(f"x={written}").values)) == canonical(values)


@given(st.text(max_size=40))
def test_any_text_is_an_axis_or_refused_in_a_sentence(text: str):
    said, values = "", ()
    try:
        values = tuple(parse_axis(f"x={text}").values)
    except InvalidSpec as refused:
        said = refused.message
    assert values or said.startswith("The sweep")


# --- files of combinations -------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("- {lr: 1e-3, seed: 1}\n- {lr: 1e-4}\n", [{"lr": 1e-3, "seed": 1}, {"lr": 1e-4}]),
        ("lr: [1e-3, 1e-4]\nseed: [0, 1]\n", [{"lr": lr, "seed": seed} for lr in (1e-3, 1e-4) for seed in (0, 1)]),
        ("grid: {a: [1, 2]}\npoints:\n- {a: 9, b: x}\n", [{"a": 1}, {"a": 2}, {"a": 9, "b": "x"}]),
        ("points: [{a: 1}]", [{"a": 1}]),
        ('{"grid": {"a": [true]}}', [{"a": True}]),
        ("grid: [1, 2]", [{"grid": 1}, {"grid": 2}]),
        ("points: [1, 2]", [{"points": 1}, {"points": 2}]),
        ("grid: [1]\nother: [2]", [{"grid": 1, "other": 2}]),
    ],
)
def test_combinations_are_read_from_a_file(text: str, found: list[dict[str, object]]):
    assert canonical(parse_combinations(text, "sweep.yaml")) == canonical(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "sweep.yaml holds no combinations"),
        ("[]", "holds no combinations"),
        ("{}", "holds no combinations"),
        ("hello", "neither a list of mappings nor a mapping of lists"),
        ("lr: 1e-3", "lr has no list of values"),
        ("lr: []", "lr has no list of values"),
        ("- 1", "point 1 is not a mapping"),
        ("- {}", "point 1 is not a mapping"),
        ("- {1: 2}", "1 is no name of a parameter"),
        ("a: [1\nb: 2", "sweep.yaml, line 2"),
        ("a: [1]\nb: [2]\na: [3]", "line 3: 'a' is there twice"),
        ("a: &x [*x]", "sweep.yaml"),
        ("a: [\x00]", "character that YAML does not allow"),
        ("a: [!!python/object:os.system x]", "sweep.yaml"),
    ],
)
def test_a_file_without_combinations_is_refused_in_a_sentence(text: str, said: str):
    with pytest.raises(InvalidSpec, match=said):
        parse_combinations(text, "sweep.yaml")


# --- points --------------------------------------------------------------


def test_points_come_in_a_stable_order_with_names_that_tell_them():
    found = points(combine(parse_axes(["lr=1e-3,1e-4", "seed=0:2"])), {"epochs": 3})
    assert [point.output for point in found] == [
        "000-lr=0.001,seed=0.ipynb",
        "001-lr=0.001,seed=1.ipynb",
        "002-lr=0.0001,seed=0.ipynb",
        "003-lr=0.0001,seed=1.ipynb",
    ]
    assert found[3].varied == {"lr": 1e-4, "seed": 1} and found[3].parameters == {"epochs": 3, "lr": 1e-4, "seed": 1}


def test_a_point_that_is_there_twice_is_refused_and_named():
    with pytest.raises(InvalidSpec, match=r"twice: seed=2, lr=1 \(number 0 and 2\)"):
        points([{"lr": 1, "seed": 2}, {"lr": 1}, {"seed": 2, "lr": 1}])


def test_a_number_and_a_text_that_look_alike_are_two_points():
    first, second, third = points([{"x": 1}, {"x": "1"}, {"x": 1.0}])
    assert len({PurePath(point.output).stem.split("-", 1)[1] for point in (first, second, third)}) == 3


def test_more_points_than_anybody_means_are_refused_with_their_number():
    with pytest.raises(InvalidSpec, match="10,100 points, more than 10,000"):
        combine([Axis("a", range(101)), Axis("b", range(100))])
    with pytest.raises(InvalidSpec, match="10,001 points, more than 10,000"):
        points([{"a": number} for number in range(MOST_POINTS + 1)])


def test_a_parameter_both_fixed_and_varied_is_refused():
    with pytest.raises(InvalidSpec, match="lr is both fixed and varied"):
        points([{"lr": 1}], {"lr": 2})


def test_no_point_is_refused():
    with pytest.raises(InvalidSpec, match="no point"):
        points(combine([]))


def test_a_parameter_that_the_notebook_lacks_is_refused_with_the_nearest_that_it_has():
    with pytest.raises(InvalidSpec, match=r"train\.ipynb has no parameter learning_rat") as refused:
        check_parameters(points([{"learning_rat": 1}]), {"learning_rate", "seed"}, "train.ipynb")
    assert refused.value.hint == "Did you mean learning_rate?"
    check_parameters(points([{"seed": 1}]), {"learning_rate", "seed"}, "train.ipynb")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(["lr", "seed", "größe", "a" * 90]), VALUES, min_size=1))
def test_a_file_name_is_valid_everywhere(varied: dict[str, object]):
    stem = file_stem(varied)
    assert len(stem) <= 120 and stem.isascii() and stem.isprintable()
    assert not set(stem) & set('/\\:*?"<>|{}%#& ')


@given(VALUES, VALUES)
def test_different_values_give_different_file_names(one: object, other: object):
    assume(canonical(one) != canonical(other))
    assert file_stem({"x": one}) != file_stem({"x": other})


def test_a_value_of_a_megabyte_has_a_short_name():
    assert len(points([{"x": "a" * 1_000_000}])[0].output) < 60


# --- going on ------------------------------------------------------------


def record(parameters: dict[str, object], state: RunState = RunState.SUCCEEDED, source: str = "s", number: int = 0) -> RunRecord:
    output = f"s3://bucket/out/{number:03}-{file_stem(parameters)}.ipynb"
    return RunRecord(id=output, notebook="n.ipynb", source_sha256=source, parameters=parameters, output=output, state=state)


def test_a_sweep_taken_up_again_runs_what_is_missing_or_did_not_succeed():
    runs = points([{"x": number} for number in range(6)])
    records = [
        record({"x": 0}),
        record({"x": 1}, RunState.FAILED),
        record({"x": 2}, RunState.INTERRUPTED),
        record({"x": 3}, RunState.LOST),
        record({"x": 4}, source="another"),
    ]
    plan = resumption(runs, records, "s")
    assert [point.number for point in plan.left] == [1, 2, 3, 4, 5]
    assert set(plan.found) == {0}


def test_other_fixed_parameters_run_all_again():
    runs = points([{"x": 0}, {"x": 1}], {"epochs": 2})
    assert len(resumption(runs, [record({"x": 0, "epochs": 1}), record({"x": 1})], "s").left) == 2


def test_a_sweep_that_got_more_values_keeps_what_it_has_under_its_names():
    before = points(combine(parse_axes(["lr=1,2", "seed=0:2"])))
    after = points(combine(parse_axes(["lr=1,2", "seed=0:3"])))
    records = [record(dict(point.parameters), number=point.number) for point in before]
    plan = resumption(after, records, "s")
    assert [point.varied for point in plan.left] == [{"lr": 1, "seed": 2}, {"lr": 2, "seed": 2}]
    assert {point.output for point in plan.points if point.number in plan.found} == {point.output for point in before}
    assert len({point.output for point in plan.points}) == 6
