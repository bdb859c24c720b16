"""Which texts come into one batch: those of like length, and always the one that has waited longest."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kuberay.serving import batching
from jupyter_kuberay.serving.batching import Batch, Batcher, alike, padding

LENGTHS = st.lists(st.integers(1, 500), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("lengths", "size", "chosen"),
    [
        ([5], 4, [0]),
        ([5, 90, 6, 80], 2, [0, 2]),
        ([90, 5, 6, 80], 2, [0, 3]),
        ([10, 11, 300, 12, 9], 3, [0, 1, 4]),
        ([7, 7, 7, 7], 2, [0, 1]),
    ],
)
def test_a_batch_holds_the_first_and_what_is_nearest_to_it_in_length(lengths: list[int], size: int, chosen: list[int]):
    assert alike(lengths, size) == chosen


@given(LENGTHS, st.integers(1, 20))
def test_the_one_that_has_waited_longest_is_in_every_next_batch(lengths: list[int], size: int):
    chosen = alike(lengths, size)
    assert 0 in chosen and len(chosen) == len(set(chosen)) == min(size, len(lengths))


@given(LENGTHS, st.integers(1, 20))
def test_no_other_neighbours_of_the_first_would_be_padded_less(lengths: list[int], size: int):
    ordered = sorted(lengths)
    runs = [ordered[start : start + size] for start in range(max(1, len(ordered) - size + 1))]
    least = min(padded(run) for run in runs if lengths[0] in run)
    assert padded([lengths[index] for index in alike(lengths, size)]) == least


def padded(lengths: list[int]) -> int:
    return len(lengths) * max(lengths) - sum(lengths)


@given(LENGTHS)
def test_padding_is_a_share_of_what_is_computed(lengths: list[int]):
    assert padding(lengths) == pytest.approx(padded(lengths) / (len(lengths) * max(lengths)))


def test_lengths_that_differ_do_not_come_into_one_batch_while_there_is_a_choice():
    first, go_on, batches, told = threading.Event(), threading.Event(), [], []

    def work(items: list[str]) -> list[str]:
        batches.append(items)
        first.set()
        go_on.wait(30)
        return items

    async def ask() -> Any:
        batch = Batcher(work, len, told.append)
        batch.max_size = 2
        alone = asyncio.create_task(batch("x"))
        await asyncio.to_thread(first.wait, 30)
        others = [asyncio.create_task(batch(item)) for item in ("a" * 9, "b", "c" * 8, "d")]
        await asyncio.sleep(0)
        assert batch.waiting == 4 and batch.busy_s > 0
        go_on.set()
        return await asyncio.gather(alone, *others)

    assert asyncio.run(ask()) == ["x", "a" * 9, "b", "c" * 8, "d"]
    assert batches == [["x"], ["a" * 9, "c" * 8], ["b", "d"]]
    assert [(each.size, each.length, each.waiting) for each in told] == [(1, 1, 4), (2, 17, 2), (2, 2, 0)]
    assert isinstance(told[1], Batch) and told[1].padded == pytest.approx(1 / 18)


def test_those_who_come_again_one_after_the_other_are_one_batch_again(monkeypatch):
    monkeypatch.setattr(batching, "_SHARE", 1000.0)
    sizes: list[int] = []

    def work(items):
        sizes.append(len(items))
        time.sleep(0.05)
        return items

    async def scenario():
        batch = Batcher(work)

        async def client(number):
            await batch(number)
            await asyncio.sleep(0.03 * number)
            await batch(number)

        async with asyncio.timeout(40):
            await asyncio.gather(*(client(number) for number in range(8)))
        batch.close()

    asyncio.run(scenario())
    assert sizes == [8, 8]


@pytest.mark.parametrize("wait_s", [0.0, 0.01])
def test_those_who_do_not_come_again_are_not_waited_for_long(wait_s):
    sizes: list[int] = []

    def work(items):
        sizes.append(len(items))
        return items

    async def scenario():
        batch = Batcher(work)
        batch.wait_s = wait_s
        async with asyncio.timeout(20):
            await asyncio.gather(*(batch(number) for number in range(8)))
            await batch(0)
            await batch(0)
        batch.close()

    asyncio.run(scenario())
    assert sizes == [8, 1, 1]
