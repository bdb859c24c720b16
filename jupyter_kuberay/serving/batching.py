"""Dynamic batching: what arrives while one batch is computed becomes the next one, texts of like length together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

_SHARE = 0.1  # of what a batch takes

Work = Callable[[list[Any]], list[Any]]


@dataclass(frozen=True)
class Batch:
    """A batch that was computed."""

    size: int
    length: int  # of its items together
    padded: float  # the share of what was computed that is padding, if all are padded to the longest
    waiting: int  # items that wait now
    seconds: float


@dataclass(eq=False)
class _Waiting:
    item: Any
    length: int
    answer: asyncio.Future[Any]


class Batcher:
    """Computes items in batches, in one thread. Used within one event loop.

    The item that has waited longest is in every next batch, beside those that are nearest to it in length. So
    none waits for more batches than there were items before it.
    """

    def __init__(self, work: Work, length: Callable[[Any], int] = lambda item: 1, done: Callable[[Batch], None] | None = None) -> None:
        """Compute by ``work``, which gives one result for each item of a list; a result that is an exception is raised for its item.

        Parameters
        ----------
        length
            Of an item, in whatever a batch is padded to, such as tokens.
        done
            Told of each batch.
        """
        self._work, self._length, self._done = work, length, done
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batch")
        self._waiting: list[_Waiting] = []
        self._running: asyncio.Task[None] | None = None
        self._since: float | None = None
        self._crowd = 1  # how many were answered last
        self._took, self._ended = 0.0, float("-inf")  # for how long, in seconds, and when, as time.monotonic tells
        self._wanted = 0  # how many are waited for, and what then ends the waiting
        self._there: asyncio.Future[None] | None = None
        self.max_size = 16
        self.wait_s = 0.01
        self.answered = float("-inf")  # when a batch succeeded last, as time.monotonic tells
        self.failed = False  # whether the last one failed

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    @property
    def busy_s(self) -> float:
        """For how long the batch that is computed now has been; 0 when there is none."""
        return time.monotonic() - self._since if self._since is not None else 0.0

    async def __call__(self, item: Any) -> Any:
        """The result for ``item``. Whoever is cancelled before the computation is not computed."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(item, self._length(item), answer))
        if self._there is not None and len(self._waiting) >= self._wanted and not self._there.done():
            self._there.set_result(None)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await answer

    def close(self) -> None:
        """End the thread, once it is idle."""
        self._thread.shutdown(wait=False)

    async def _run(self) -> None:
        while self._waiting:
            await self._gathered()
            # Who has gone meanwhile, or whose time is over, needs no answer.
            self._waiting = [each for each in self._waiting if not each.answer.done()]
            chosen = alike([each.length for each in self._waiting], self.max_size)
            if chosen:
                batch = [self._waiting[index] for index in chosen]
                taken = set(chosen)
                self._waiting = [each for index, each in enumerate(self._waiting) if index not in taken]
                await self._answer(batch)
                self._crowd, self._ended = len(batch), time.monotonic()
                await asyncio.sleep(0)  # lets those who were answered ask again

    async def _gathered(self) -> None:
        """Wait until as many are there as were answered just before, for `wait_s` (0: not at all) or a tenth of what that took.

        Those who were answered together come again together. If the first of them did not wait, it would be a batch of its own, and
        all others would wait for it. Whoever comes alone is not made to wait.
        """
        self._wanted = min(self._crowd, self.max_size)
        left = self._ended + max(self.wait_s, _SHARE * self._took) - time.monotonic()
        if len(self._waiting) >= self._wanted or left <= 0 or not self.wait_s:
            return
        self._there = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._there], timeout=left)
        self._there = None

    async def _answer(self, batch: list[_Waiting]) -> None:
        outcome: list[Any]
        self._since = time.monotonic()
        try:
            outcome = await asyncio.get_running_loop().run_in_executor(self._thread, self._work, [each.item for each in batch])
            self.failed, self.answered = False, time.monotonic()
        except Exception as error:  # the batch's, not the service's
            outcome, self.failed = [error] * len(batch), True
        finally:
            seconds, self._since = self.busy_s, None
            self._took = seconds
        for each, result in zip(batch, outcome, strict=True):
            if each.answer.done():
                continue
            if isinstance(result, Exception):
                each.answer.set_exception(result)
            else:
                each.answer.set_result(result)
        if self._done:
            lengths = [each.length for each in batch]
            self._done(Batch(len(batch), sum(lengths), padding(lengths), len(self._waiting), seconds))


def alike(lengths: Sequence[int], size: int) -> list[int]:
    """Which of ``lengths``, of items in the order of their arrival, go into one batch: the first, and what is nearest to it.

    Of all runs of ``size`` neighbours by length that hold the first item, it is the one with the least padding. Gives indexes, in order.
    """
    if len(lengths) <= size:
        return list(range(len(lengths)))
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    at = order.index(0)
    starts = range(max(0, at - size + 1), min(at, len(order) - size) + 1)
    sums = [0]
    for index in order:
        sums.append(sums[-1] + lengths[index])
    # Of two with as little padding, the one of shorter items.
    best = min(starts, key=lambda start: (size * lengths[order[start + size - 1]] - (sums[start + size] - sums[start]), start))
    return sorted(order[best : best + size])


def padding(lengths: Sequence[int]) -> float:
    """The share of a batch that is padding, from 0 to 1, when all of it is padded to the longest."""
    whole = len(lengths) * max(lengths, default=0)
    return 1 - sum(lengths) / whole if whole else 0.0
