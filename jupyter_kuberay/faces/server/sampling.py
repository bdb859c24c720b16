"""What has no event in the world, measured every few seconds for what somebody sees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Generic, TypeVar

from jupyter_kuberay.errors import KubeRayError

EVERY_S = 5.0
_AGAIN_S = 10.0

T = TypeVar("T")


class Sampler(Generic[T]):
    """Samples of each thing that somebody sees, one task a thing.

    Parameters
    ----------
    samples
        Gives those of the thing of a name, and ends or raises `KubeRayError` when it cannot be measured.
    sampled
        Called with the name and each sample.
    lost
        Called with the name when it cannot be measured; it is tried again.
    """

    def __init__(
        self, samples: Callable[[str], AsyncGenerator[T, None]], sampled: Callable[[str, T], None], lost: Callable[[str], None]
    ) -> None:
        self._samples, self._sampled, self._lost = samples, sampled, lost
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def see(self, names: frozenset[str]) -> None:
        """From now on these, and no others."""
        for name in self._tasks.keys() - names:
            self._tasks.pop(name).cancel()
        for name in names - self._tasks.keys():
            self._tasks[name] = asyncio.create_task(self._sample(name))

    async def _sample(self, name: str) -> None:
        while True:
            try:
                async with aclosing(self._samples(name)) as samples:
                    async for sample in samples:
                        self._sampled(name, sample)
            except KubeRayError:
                self._lost(name)  # it is starting, suspended or gone: its status says so
            await asyncio.sleep(_AGAIN_S)
