"""What evaluation measures, and what validation makes of it."""

import math

import pandas as pd
import pytest

from jupyter_kuberay.lifecycle import measures, weights
from jupyter_kuberay.lifecycle._run import LifecycleError, write_json
from jupyter_kuberay.lifecycle.evaluation import lead1, measure, refuse_wrong_kind, rouge, score
from jupyter_kuberay.lifecycle.gates import DEFAULTS, Gate, judged
from jupyter_kuberay.lifecycle.validation import NotGoodEnough, markdown, noise, require

GOOD = {"model": {"rougeL": 0.95}, "lead1": {"rougeL": 0.17}}
WELL = {
    "inputs": [{"kind": "empty", "ok": True}, {"kind": "long", "ok": True}],
    "latency": {"p95": 0.05, "median": 0.04},
    "size": {"megabytes": 3.4, "million_parameters": 0.85},
    "signature": {"wrong": 0},
    "noise": {"lost": 0.2},
}


def failed(scores: dict, seen: dict, wanted: dict = DEFAULTS) -> list[str]:
    return [gate.name for gate in judged(wanted, {"scores": scores}, seen) if not gate.passed]


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
        (GOOD, WELL | {"inputs": [{"kind": "long", "ok": True}, {"kind": "empty", "ok": False}]}, "odd inputs that break it"),
        (GOOD, WELL | {"size": {"megabytes": 5000}}, "weights in memory, megabytes"),
        (GOOD, WELL | {"signature": {"wrong": 1}}, "answers that are not as the signature says"),
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
    assert Gate("latency", 3, 1, False).missed_by == 2 and Gate("ROUGE-L", 0.9, 0.85, True).missed_by == 0


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


# Measures


@pytest.mark.parametrize(
    ("document", "text", "share"),
    [
        ("a disk was full", "a disk was full", 0.0),
        ("a disk was full", "a Disk", 0.0),
        ("a disk was full", "the disk was full", 1 / 3),
        ("a disk was full", "nobody could login", 1.0),
    ],
)
def test_novelty_is_the_share_of_pairs_of_words_that_the_document_has_not(document: str, text: str, share: float):
    assert measures.novelty(document, text) == pytest.approx(share)


def test_a_single_word_has_no_novelty():
    assert math.isnan(measures.novelty("a disk", "disk"))


@pytest.mark.parametrize(("text", "share"), [("a b c d e", 0.0), ("a b c a b c", 1 / 4), ("no no no no no", 2 / 3), ("", 0.0)])
def test_repetition_is_the_share_of_triples_that_were_said_before(text: str, share: float):
    assert measures.repetition(text) == pytest.approx(share)


def test_length_is_in_words_and_beside_the_right_summarys():
    found = measures.measured("d", "two words", "these are four words")
    assert (found["words"], found["length_ratio"]) == (4, 2)


def told(rows: int = 40) -> pd.DataFrame:
    """Reports of two services; the model is right about one of them, and what is published about nothing."""
    services = ["login" if row % 2 else "search" for row in range(rows)]
    return pd.DataFrame(
        {
            "document": [f"report {row} of {service} " + "and so on " * row for row, service in enumerate(services)],
            "summary": ["a full disk stopped it"] * rows,
            "model": ["a full disk stopped it" if service == "login" else "nothing" for service in services],
            "lead1": ["a full moon"] * rows,
            "published": ["nobody knows"] * rows,
            "service": services,
        }
    )


def test_a_metric_of_ones_own_is_beside_the_others_for_every_candidate():
    found = score(told(), metrics={"says_disk": lambda document, summary, text: "disk" in text})
    assert found["metrics"][-1] == "says_disk"
    assert {name: scores["says_disk"] for name, scores in found["scores"].items()} == {"model": 0.5, "lead1": 0, "published": 0}


def test_where_a_metric_means_nothing_it_does_not_count():
    found = score(told(), metrics={"odd": lambda document, summary, text: None if text == "nothing" else 3.0})
    assert found["scores"]["model"]["odd"] == 3.0


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"rougeL": len}, "built-in"),
        ({"no name": len}, "is no name"),
        ({"ratio": 3}, "is int, not a function"),
        ({"ratio": lambda document, summary, text: 1 / 0}, "The metric 'ratio' failed: ZeroDivisionError"),
        ({"ratio": lambda document, summary, text: "much"}, "gave 'much', which is no number"),
    ],
)
def test_a_metric_that_cannot_be_is_told_with_its_name(metrics: dict, said: str):
    with pytest.raises(LifecycleError, match=said):
        measure(told(2), measures.checked(metrics))


def test_a_mean_lies_in_its_interval_and_more_reports_make_that_narrower():
    few, many = score(told(20)), score(told(400))
    for found in (few, many):
        low, high = found["intervals"]["model"]["rougeL"]
        assert low < found["scores"]["model"]["rougeL"] < high
    width = [high - low for low, high in (found["intervals"]["model"]["rougeL"] for found in (few, many))]
    assert width[1] < width[0] / 3


def test_the_interval_of_a_share_is_as_wide_as_the_normal_distribution_has_it():
    low, high = score(told(400))["intervals"]["model"]["rougeL"]
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.5 * 0.5 / 400), rel=0.15)


def test_two_candidates_are_compared_report_by_report():
    """Both vary much, always together: the difference is certain."""
    rows = told(60).assign(published=lambda frame: frame["model"] + " once more")
    difference = score(rows)["differences"]["published"]["words"]
    assert (difference["mean"], difference["low"], difference["high"]) == (-2, -2, -2)


def test_slices_are_of_length_and_of_what_one_asks_for():
    rows = told()
    found = score(rows, slices={"service": "service", "late": lambda row: int(row["document"].split()[1]) >= 30})["slices"]
    by = {(each["slice"], each["value"]): each for each in found}
    assert by["service", "login"]["scores"]["model"]["rougeL"] == 1
    assert by["service", "search"]["scores"]["model"]["rougeL"] == 0
    assert by["late", "True"]["reports"] == 10
    lengths = [each for each in found if each["slice"] == "length"]
    assert len(lengths) == 3 and sum(each["reports"] for each in lengths) == len(rows)
    assert lengths[0]["value"].startswith("up to") and lengths[-1]["value"].startswith("more than")


def test_a_slice_that_fails_says_with_what_it_was_called():
    with pytest.raises(LifecycleError, match=r"slice 'team' failed: KeyError: 'team'.*document, summary, model"):
        score(told(4), slices={"team": lambda row: row["team"]})


# What is no summarizer


@pytest.mark.parametrize(
    ("architectures", "said"),
    [
        (["T5ForConditionalGeneration"], ""),
        (["BartForConditionalGeneration"], ""),
        (["MarianMTModel"], ""),
        ([], ""),
        (["T5ForSequenceClassification"], "a classifier"),
        (["BertForMaskedLM"], "a BertForMaskedLM"),
        (["LlamaForCausalLM"], "a decoder alone"),
        (["GPT2LMHeadModel"], "a decoder alone"),
    ],
)
def test_a_model_of_a_wrong_kind_is_told_by_its_configuration(architectures: list[str], said: str):
    assert (
        weights.wrong_kind({"architectures": architectures}).startswith(said)
        if said
        else not weights.wrong_kind({"architectures": architectures})
    )
    if said:
        with pytest.raises(LifecycleError, match=f"The model /m is {said}.*writes no summaries"):
            refuse_wrong_kind("/m", {"architectures": architectures})


# Gates


def test_noise_is_the_same_each_time_and_changes_few_letters():
    text = "The search service was slow on Monday because a disk was full. " * 20
    assert noise(text) == noise(text) != text
    changed = sum(before != after for before, after in zip(text.split(), noise(text).split(), strict=True))
    assert 0 < changed < len(text.split()) / 2


def test_lost_to_noise_is_a_gate_where_it_is_asked_for():
    wanted = DEFAULTS | {"robustness": {"lost_to_noise": 0.15}}
    assert failed(GOOD, WELL, wanted) == ["ROUGE-L lost to noise"]


def test_only_the_kinds_of_odd_input_that_are_asked_for_count():
    seen = WELL | {"inputs": [{"kind": "noisy", "ok": False}, {"kind": "long", "ok": True}]}
    assert failed(GOOD, seen, DEFAULTS | {"robustness": {"inputs": ["long"], "broken": 0}}) == []
    assert failed(GOOD, seen, DEFAULTS | {"robustness": {"broken": 0}}) == ["odd inputs that break it"]


def test_a_gate_judged_by_the_interval_takes_the_end_that_speaks_against_the_model():
    evaluated = {
        "scores": {"model": {"rougeL": 0.86}, "lead1": {"rougeL": 0.7}, "published": {"rougeL": 0.86}},
        "intervals": {"model": {"rougeL": [0.84, 0.88]}},
        "differences": {
            "lead1": {"rougeL": {"mean": 0.16, "low": 0.09, "high": 0.23}},
            "published": {"rougeL": {"mean": 0.0, "low": -0.02, "high": 0.02}},
        },
    }
    bounds = {"at_least": 0.85, "over_lead1": 0.1, "below_published": 0.01}
    by_mean = judged({"metrics": {"rougeL": bounds}}, evaluated, WELL)
    assert all(gate.passed for gate in by_mean)
    surely = judged({"metrics": {"rougeL": bounds | {"judged_by": "interval"}}}, evaluated, WELL)
    assert [(gate.found, gate.passed) for gate in surely] == [(0.84, False), (0.09, False), (0.02, False)]


def test_a_metric_that_has_to_be_low_is_judged_by_its_upper_end_and_by_how_much_it_rose():
    evaluated = {
        "scores": {"model": {"repetition": 0.04}, "lead1": {"repetition": 0}, "published": {"repetition": 0.01}},
        "intervals": {"model": {"repetition": [0.02, 0.06]}},
        "differences": {"published": {"repetition": {"mean": 0.03, "low": 0.01, "high": 0.05}}},
    }
    bounds = {"at_most": 0.05, "above_published": 0.04, "judged_by": "interval"}
    found = judged({"metrics": {"repetition": bounds}}, evaluated, WELL)
    assert [(gate.found, gate.passed) for gate in found] == [(0.06, False), (0.05, False)]


def test_a_gate_on_a_metric_that_was_not_evaluated_says_which_were():
    with pytest.raises(LifecycleError, match=r"metric says_disk, which was not evaluated.*rougeL"):
        judged({"metrics": {"says_disk": {"at_least": 1}}}, {"scores": GOOD}, WELL)


def test_the_table_of_gates_begins_with_what_failed_and_says_by_how_much():
    lines = markdown(record(Gate("ROUGE-L", 0.9, 0.85, True), Gate("latency", 3, 1, False))).splitlines()
    assert lines[0] == "**1 of 2 gates failed.**"
    assert lines[4] == "| ✗ | latency | 3 | ≤ 1 | **failed by 2** |"
    assert lines[5] == "| ✓ | ROUGE-L | 0.9 | ≥ 0.85 | passed |"
