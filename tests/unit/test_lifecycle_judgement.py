"""What evaluation measures, and what validation makes of it."""

import pandas as pd
import pytest

from jupyter_kuberay.lifecycle._run import LifecycleError, write_json
from jupyter_kuberay.lifecycle.evaluation import lead1, rouge, score
from jupyter_kuberay.lifecycle.validation import Gate, NotGoodEnough, gates, require

WANTED = {"least": 0.85, "over_lead1": 0.1, "below_published": 0.01, "latency": 1.0}
GOOD = {"model": {"rougeL": 0.95}, "lead1": {"rougeL": 0.17}}
WELL = {"inputs": [{"ok": True}, {"ok": True}], "latency": {"p95": 0.05}}


def failed(scores: dict, seen: dict) -> list[str]:
    return [gate.name for gate in gates(scores, seen, WANTED) if not gate.passed]


@pytest.mark.parametrize(
    ("document", "first"),
    [
        ("It failed. We mended it.", "It failed."),
        ("It failed", "It failed"),
        ("  Did it fail? Yes! ", "Did it fail?"),
        ("Version 2.1 failed. So what.", "Version 2.1 failed."),
        ("", ""),
    ],
)
def test_lead1_is_the_first_sentence(document: str, first: str):
    assert lead1(document) == first


def test_rouge_of_the_right_summary_is_one_and_of_another_nothing():
    assert rouge("a full disk", "a full disk") == {"rouge1": 1.0, "rouge2": 1.0, "rougeL": 1.0}
    assert set(rouge("a full disk", "").values()) == {0.0}


def test_rouge_l_is_worked_out_as_by_hand():
    # Longest common subsequence "a disk stopped" is 3 of 5 and 3 of 4 words: F = 2·(3/5)(3/4) / (3/5 + 3/4).
    assert rouge("a full disk stopped login", "a disk stopped everything")["rougeL"] == pytest.approx(2 / 3)


def test_scores_are_means_and_the_worst_come_first():
    told = pd.DataFrame({"document": ["d0", "d1", "d2"], "summary": ["a b", "c d", "e f"], "model": ["a b", "x", "e"], "lead1": ["x"] * 3})
    found = score(told, worst=2)
    assert found["reports"] == 3
    assert found["scores"]["model"]["rougeL"] == pytest.approx((1 + 0 + 2 / 3) / 3, abs=1e-4)
    assert found["scores"]["lead1"]["rougeL"] == 0
    assert [case["document"] for case in found["worst"]] == ["d1", "d2"]
    assert "published" not in found["scores"]


def test_what_is_published_is_scored_beside():
    told = pd.DataFrame({"document": ["d"], "summary": ["a b"], "model": ["a b"], "lead1": ["x"], "published": ["a"]})
    assert score(told)["scores"]["published"]["rougeL"] == pytest.approx(2 / 3, abs=1e-4)


def test_a_good_model_passes_all_gates():
    assert failed(GOOD, WELL) == []


@pytest.mark.parametrize(
    ("scores", "seen", "gate"),
    [
        ({"model": {"rougeL": 0.84}, "lead1": {"rougeL": 0.1}}, WELL, "ROUGE-L"),
        ({"model": {"rougeL": 0.9}, "lead1": {"rougeL": 0.85}}, WELL, "ROUGE-L over Lead-1"),
        (GOOD | {"published": {"rougeL": 0.97}}, WELL, "ROUGE-L below the published revision"),
        (GOOD, WELL | {"latency": {"p95": 1.2}}, "latency of one report, 95th percentile in seconds"),
        (GOOD, WELL | {"inputs": [{"ok": True}, {"ok": False}]}, "odd inputs that break it"),
    ],
)
def test_each_gate_stops_what_it_is_there_for_and_nothing_else(scores: dict, seen: dict, gate: str):
    assert failed(scores, seen) == [gate]


@pytest.mark.parametrize("published", [0.5, 0.95, 0.96])
def test_a_model_as_good_as_what_is_published_passes(published: float):
    assert failed(GOOD | {"published": {"rougeL": published}}, WELL) == []


def test_a_failed_gate_says_by_how_much():
    assert str(Gate("ROUGE-L", 0.6, 0.85, True)) == "ROUGE-L: 0.6, at least 0.85 (failed by 0.25)"
    assert "passed" in str(Gate("ROUGE-L", 0.9, 0.85, True))


def record(*checked: Gate) -> dict:
    return {"gates": [{**gate._asdict(), "passed": gate.passed, "verdict": str(gate)} for gate in checked]}


def test_a_model_that_failed_may_not_be_published_and_every_reason_is_named(tmp_path):
    write_json(
        tmp_path / "validation.json", record(Gate("ROUGE-L", 0.6, 0.85, True), Gate("latency", 3, 1, False), Gate("other", 1, 1, True))
    )
    with pytest.raises(NotGoodEnough) as raised:
        require(str(tmp_path))
    assert "failed by 0.25" in str(raised.value) and "latency: 3, at most 1 (failed by 2)" in str(raised.value)
    assert "other" not in raised.value.message
    assert "validation.json" in raised.value.hint


def test_a_model_that_passed_may_be_published(tmp_path):
    write_json(tmp_path / "validation.json", record(Gate("ROUGE-L", 0.9, 0.85, True)))
    assert require(str(tmp_path))["gates"][0]["passed"]


def test_a_model_that_was_not_validated_may_not_be_published(tmp_path):
    with pytest.raises(LifecycleError, match=r"validation\.validate"):
        require(str(tmp_path))
