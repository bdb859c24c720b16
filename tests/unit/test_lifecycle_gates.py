"""The file with the gates: what is in it, and how a mistake in it is told."""

from pathlib import Path

import pytest

from jupyter_kuberay.lifecycle._run import LifecycleError
from jupyter_kuberay.lifecycle.gates import DEFAULTS, read_gates

EXAMPLE = Path(__file__).parents[2] / "notebooks" / "gates.yaml"


def written(folder: Path, text: str) -> str:
    (folder / "gates.yaml").write_text(text, encoding="utf-8")
    return str(folder / "gates.yaml")


def test_the_file_beside_the_notebooks_says_what_holds_without_one():
    assert read_gates(str(EXAMPLE)) == (DEFAULTS, str(EXAMPLE))


@pytest.mark.parametrize("given", ["", None])
def test_without_a_file_the_defaults_hold(given: str | None):
    assert read_gates(given) == (DEFAULTS, "the defaults")


def test_where_the_file_is_missing_the_defaults_hold_and_that_is_told(tmp_path: Path):
    assert read_gates(str(tmp_path / "gates.yaml")) == (DEFAULTS, f"the defaults: there is no {tmp_path}/gates.yaml")


def test_what_a_file_leaves_out_is_not_judged(tmp_path: Path):
    assert read_gates(written(tmp_path, "latency: {p95_s: 2}"))[0] == {"latency": {"p95_s": 2}}
    assert read_gates(written(tmp_path, ""))[0] == {}


def test_gates_can_be_given_as_values_and_are_held_to_the_same():
    assert read_gates({"latency": {"p95_s": 2}})[0] == {"latency": {"p95_s": 2}}
    with pytest.raises(LifecycleError, match=r"^gates: latency\.p95 is no gate\. There are median_s and p95_s\.$"):
        read_gates({"latency": {"p95": 2}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latency:\n  p95: 1", r"gates\.yaml, line 2: latency\.p95 is no gate\. There are median_s and p95_s\."),
        (
            "metrics:\n  rougeL:\n    at_leest: 1",
            r"line 3: metrics\.rougeL\.at_leest is no gate\. There are at_least, at_most, .* and judged_by",
        ),
        ("latency:\n  p95_s: fast", r"line 2: latency\.p95_s is 'fast'\. It is a number of 0 or more\."),
        ("latency:\n  p95_s: true", r"line 2: latency\.p95_s is True\. It is a number"),
        ("latency:\n  p95_s: -1", r"line 2: latency\.p95_s is -1\."),
        ("latency:\n  p95_s: .nan", r"line 2: latency\.p95_s is nan\."),
        ("latency:\n  p95_s:", r"line 2: latency\.p95_s is empty\."),
        ("metrics:\n\n  rougeL: 0.85", r"line 3: metrics\.rougeL is 0\.85\. Say which bound it is: rougeL: \{at_least: 0\.85\}\."),
        ("metrics:\n  rougeL: {judged_by: median}", r"line 2: metrics\.rougeL\.judged_by is 'median'\. It is mean or interval\."),
        ("speed:\n  p95_s: 1", r"line 1: speed is nothing that is judged\. There are metrics, latency, size, robustness and signature\."),
        ("size: 3", r"line 1: size is 3\. Below it come megabytes and million_parameters\."),
        ("robustness: {inputs: [empty, odd]}", r"line 1: robustness\.inputs is .*It is a list of some of empty, short, noisy and long\."),
        ("robustness: {broken: 0.5}", r"robustness\.broken is 0\.5\. It is a whole number of 0 or more\."),
        ("signature:\n  inputs: {document: text}", r"line 2: signature\.inputs is .*each one of string, integer"),
        ("latency: {p95_s: 1}\nlatency: {p95_s: 2}", r"line 2: latency is there twice\."),
        ("- metrics", r"gates\.yaml holds \['metrics'\]\. It has to hold metrics, latency"),
        ("metrics: {rougeL: [", r"gates\.yaml, line 1 is no YAML"),
        ("metrics:\n\trougeL: 1", r"gates\.yaml, line 2 is no YAML: found character '\\t'"),
        ("!!python/object/apply:os.system [true]", r"gates\.yaml, line 1 is no YAML: could not determine a constructor"),
    ],
)
def test_a_mistake_is_told_with_file_line_field_and_what_is_allowed(tmp_path: Path, text: str, said: str):
    with pytest.raises(LifecycleError, match=said):
        read_gates(written(tmp_path, text))


def test_a_file_that_is_no_text_is_told(tmp_path: Path):
    (tmp_path / "gates.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LifecycleError, match=r"gates\.yaml cannot be read"):
        read_gates(str(tmp_path / "gates.yaml"))
