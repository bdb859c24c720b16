"""What has no event in the world, measured every few seconds for what somebody sees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from jupyter_kuberay.client import Client
from jupyter_kuberay.errors import KubeRayError
from jupyter_kuberay.observation import Usage

EVERY_S = 5.0
_AGAIN_S = 10.0


class Sampler:
    """The use of CPU, GPU and memory on the clusters that somebody sees.

    Parameters
    ----------
    sampled
        Called with a cluster's name and each sample.
    """

    def __init__(self, client: Client, sampled: Callable[[str, Usage], None]) -> None:
        self._client, self._sampled = client, sampled
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def see(self, clusters: frozenset[str]) -> None:
        """From now on these, and no others."""
        for name in self._tasks.keys() - clusters:
            self._tasks.pop(name).cancel()
        for name in clusters - self._tasks.keys():
            self._tasks[name] = asyncio.create_task(self._sample(name))

    async def _sample(self, name: str) -> None:
        while True:
            try:
                async with aclosing(self._client.usages(name, EVERY_S)) as usages:
                    async for usage in usages:
                        self._sampled(name, usage)
            except KubeRayError:
                pass  # it is starting, suspended or gone: its status says so
            await asyncio.sleep(_AGAIN_S)
