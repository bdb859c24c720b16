"""Which reports each step sees, how fast it learns, and how the tokenizer spells."""

from pathlib import Path

import pytest

from jupyter_kuberay.lifecycle._plan import Plan
from jupyter_kuberay.lifecycle.training import make_tokenizer


def lengths(rows: int) -> list[int]:
    """Of so many documents, in no order."""
    return [50 + row * 37 % 71 for row in range(rows)]


@pytest.mark.parametrize(("rows", "batch", "world"), [(100, 10, 1), (103, 10, 1), (96, 8, 2), (7, 16, 1)])
def test_in_an_epoch_no_report_is_seen_twice_and_hardly_any_is_left_out(rows: int, batch: int, world: int):
    plan = Plan(lengths(rows), batch, world, epochs=2)
    seen = [row for rank in range(world) for step in plan.batches(0, rank, seed=1) for row in step]
    assert len(seen) == len(set(seen)) >= min(rows, rows - batch * world + 1)


def test_workers_take_as_many_steps_as_each_other():
    plan = Plan(lengths(101), 8, 3, epochs=1)
    assert {len(plan.batches(0, rank, seed=1)) for rank in range(3)} == {plan.steps}


def test_the_order_follows_from_seed_and_epoch():
    plan = Plan(lengths(50), 5, 1, epochs=3)
    assert plan.batches(1, 0, seed=3) == plan.batches(1, 0, seed=3)
    assert plan.batches(1, 0, seed=3) != plan.batches(2, 0, seed=3) != plan.batches(2, 0, seed=4)


def test_documents_of_like_length_are_padded_together_and_batches_come_in_no_order_of_length():
    plan = Plan(lengths(800), 16, 1, epochs=1)
    batches = plan.batches(0, 0, seed=1)
    longest = [max(plan.lengths[row] for row in batch) for batch in batches]
    assert sum(16 * most for most in longest) < 1.05 * sum(plan.lengths)
    assert longest not in (sorted(longest), sorted(longest, reverse=True))


def test_learning_begins_gently_rises_once_and_ends_almost_still():
    plan = Plan(lengths(1600), 16, 1, epochs=10)
    rates = [plan.warmth(step) for step in range(plan.total)]
    peak = rates.index(max(rates))
    assert rates[0] < 0.05 and max(rates) == pytest.approx(1) and 0 < rates[-1] < 0.05
    assert rates[:peak] == sorted(rates[:peak]) and rates[peak:] == sorted(rates[peak:], reverse=True)


@pytest.mark.parametrize("text", ["A full disk left login in São Paulo slow.", "🔥 日本語 ümlaut", "tabs\tand\nlines", "x"])
def test_the_tokenizer_learned_from_a_few_reports_spells_any_text(tmp_path: Path, text: str):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "split=train").mkdir()
    rows = pa.table({"document": ["The disk was full."] * 3, "summary": ["Full disk."] * 3, "key": ["1", "2", "3"]})
    pq.write_table(rows, tmp_path / "split=train/0.parquet")
    tokenizer = make_tokenizer(str(tmp_path))
    tokens = tokenizer(text)["input_ids"]
    assert tokens[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(tokens, skip_special_tokens=True).strip() == text
