"""What the benchmarks share: pairs measured in turn, in one run, and one line for each number.

A machine's pace differs by more than 10 % from one minute to the next, so what is compared is measured alternately and the
median of the pairs' ratios counts, not the ratio of two medians.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Pairs:
    """Seconds of the one and of the other, measured in turn."""

    ours: tuple[float, ...]
    bare: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Ours by theirs: the median over the pairs."""
        return statistics.median(one / other for one, other in zip(self.ours, self.bare, strict=True))

    @property
    def difference(self) -> float:
        """Ours less theirs in seconds: the median over the pairs."""
        return statistics.median(one - other for one, other in zip(self.ours, self.bare, strict=True))


def pairs(ours: Callable[[], float], bare: Callable[[], float], number: int) -> Pairs:
    """Run both ``number`` times, each first as often as second. Both return seconds."""
    measured: dict[str, list[float]] = {"ours": [], "bare": []}
    for turn in range(number):
        order = [("ours", ours), ("bare", bare)]
        for name, run in order if turn % 2 else reversed(order):
            measured[name].append(run())
    return Pairs(tuple(measured["ours"]), tuple(measured["bare"]))


def timed(act: Callable[[], object]) -> float:
    """How many seconds ``act`` takes."""
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that ``percent`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def report(what: str, value: str, *, goal: str, met: bool, detail: str = "") -> bool:
    """Print one number with its goal; give ``met`` back."""
    print(f"{'ok  ' if met else 'MISS'}  {what}: {value} (goal: {goal}){f'; {detail}' if detail else ''}", flush=True)
    return met


@dataclass
class Load:
    """What came back from clients that asked without a pause."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    answers: list[tuple[float, str]] = field(default_factory=list)  # when (time.perf_counter), what

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def p99(self) -> float:
        """In seconds."""
        return percentile(self.latencies, 99)


async def load(ask: Callable[[int], Awaitable[str]], clients: int, until: Callable[[], bool]) -> Load:
    """Let ``clients`` ask one after the other until ``until()``; ``ask(number)`` gives an answer or raises."""
    found = Load()
    begin = time.perf_counter()
    numbers = iter(range(2**62))

    async def client() -> None:
        # Not all in step: real clients are not, and batching would look better than it is.
        await asyncio.sleep(random.random() * 0.05)
        while not until():
            start = time.perf_counter()
            try:
                answer = await ask(next(numbers))
            except Exception as error:
                found.failures.append(f"{type(error).__name__}: {error}")
            else:
                end = time.perf_counter()
                found.latencies.append(end - start)
                found.answers.append((end, answer))

    await asyncio.gather(*(client() for _ in range(clients)))
    found.seconds = time.perf_counter() - begin
    return found


def for_seconds(seconds: float) -> Callable[[], bool]:
    """An ``until`` that is true after ``seconds`` from now."""
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() >= end
