"""What a validation said, read from its file, and the refusal to publish what failed."""

import json

import pytest

from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.gates import GatesFailed, read, refuse
from jupyter_kuberay.lifecycle.validation import Gate

PASSED = Gate("ROUGE-L", 0.9, 0.85, True)
FAILED = Gate("ROUGE-L", 0.8, 0.85, True)
SLOW = {"name": "latency", "passed": False, "found": 2.5, "wanted": 1, "at_least": False}


def record(*gates, model="/runs/7/model"):
    told = [{**each._asdict(), "passed": each.passed, "verdict": str(each)} if isinstance(each, Gate) else each for each in gates]
    return {"passed": all(each["passed"] for each in told), "model": model, "gates": told}


def test_what_the_lifecycle_writes_is_what_is_read(tmp_path):
    path = tmp_path / "validation.json"
    path.write_text(json.dumps(record(PASSED, FAILED, SLOW)))
    failed = read(path, "file:///moved/runs/7/model")
    assert failed == ("ROUGE-L: 0.8, at least 0.85 (failed by 0.05)", "latency: 2.5, at most 1 (failed by 1.5)")
    assert read(f"file://{path}") == failed == read(json.loads(path.read_text()))
    assert read(record(PASSED)) == ()


def test_a_refusal_names_every_gate_with_how_much_it_was_missed_by_and_how_to_publish_all_the_same():
    with pytest.raises(GatesFailed, match=r"runs/7/model failed 2 of its gates.*failed by 0.05\); latency: 2.5.*failed by 1.5") as refused:
        refuse(read(record(PASSED, FAILED, SLOW)), "runs/7/model")
    assert "--despite-gates" in refused.value.hint
    refuse((), "runs/7/model")


def test_a_record_that_says_that_it_did_not_pass_is_believed_without_a_gate_that_says_so():
    assert read(record(PASSED) | {"passed": False}) == ("gates says that it did not pass.",)


def test_what_was_judged_must_be_what_is_published():
    with pytest.raises(InvalidSpec, match="is about /runs/7/model, and not about runs/8/model"):
        read(record(PASSED), "runs/8/model")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"gates": "all"}', '{"gates": [{"name": "x"}]}', '{"gates": [1]}', '{"passed": true}'])
def test_what_tells_of_no_gates_is_refused(tmp_path, text):
    path = tmp_path / "validation.json"
    path.write_text(text)
    with pytest.raises(InvalidSpec, match="gates"):
        read(path)
    with pytest.raises(InvalidSpec, match="cannot be read"):
        read(tmp_path / "nothing.json")
