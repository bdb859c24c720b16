"""How documents are told apart, and into which split they go."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kuberay.lifecycle._run import LifecycleError, read_json, write_json
from jupyter_kuberay.lifecycle.data import content_key, load_split, mark, prepare, split_of


@given(st.text(), st.floats(0.01, 0.45))
def test_every_text_has_one_split_whatever_is_in_it(text: str, held_out: float):
    assert split_of(content_key(text), held_out) in {"train", "validation", "test"}


@given(st.text())
def test_a_document_that_leaves_training_never_comes_back_when_more_is_held_out(text: str):
    key = content_key(text)
    if split_of(key, 0.1) == "test":
        assert split_of(key, 0.2) == "test"


@pytest.mark.parametrize("same", ["The disk was full.", "the  disk\twas\nfull.", " THE DISK WAS FULL. "])
def test_case_and_white_space_make_no_other_document(same: str):
    assert content_key(same) == content_key("The disk was full.")


def test_another_word_makes_another_document():
    assert content_key("The disk was full.") != content_key("The disk is full.")


def test_about_as_much_is_held_out_as_was_asked_for():
    splits = [split_of(content_key(f"report {number}"), 0.1) for number in range(5000)]
    assert 0.08 < splits.count("test") / 5000 < 0.12
    assert 0.08 < splits.count("validation") / 5000 < 0.12


@pytest.mark.parametrize(("document", "summary"), [("", "s"), ("  \n", "s"), (None, "s"), ("d", ""), ("d", None), (float("nan"), "s")])
def test_a_row_that_lacks_a_text_belongs_to_no_split(document: object, summary: object):
    row = mark(pd.DataFrame({"document": [document], "summary": [summary]}), 0.1).iloc[0]
    assert (row["key"], row["split"], row["reason"]) == ("", "left_out", "empty")


def test_a_whole_row_gets_its_key_and_split():
    row = mark(pd.DataFrame({"document": [" A disk was full. "], "summary": ["Full disk."]}), 0.1).iloc[0]
    assert row["key"] == content_key("A disk was full.")
    assert row["split"] == split_of(row["key"], 0.1)
    assert row["document"] == "A disk was full."


@pytest.mark.parametrize("held_out", [0, -0.1, 0.5, 1])
def test_holding_out_nothing_or_everything_is_refused(tmp_path, held_out: float):
    with pytest.raises(LifecycleError, match="held_out"):
        prepare("nowhere.csv", str(tmp_path), held_out=held_out)


def test_a_split_that_was_never_written_is_empty(tmp_path):
    assert load_split(tmp_path, "test").num_rows == 0


def test_a_phase_that_comes_too_early_is_told_what_to_run_first(tmp_path):
    with pytest.raises(LifecycleError, match=r"data\.prepare"):
        read_json(tmp_path / "data/manifest.json", made_by="data.prepare")


def test_what_is_written_is_read_back_and_nothing_else_is_left(tmp_path):
    write_json(tmp_path / "below/it.json", {"a": "ü"})
    assert read_json(tmp_path / "below/it.json") == {"a": "ü"}
    assert [path.name for path in (tmp_path / "below").iterdir()] == ["it.json"]


def test_an_error_is_the_same_after_its_way_from_the_cluster():
    import pickle

    error = pickle.loads(pickle.dumps(LifecycleError("What happened.", "What to do.")))
    assert (error.message, error.hint, str(error)) == ("What happened.", "What to do.", "What happened. What to do.")
