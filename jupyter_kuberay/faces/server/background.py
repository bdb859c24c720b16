"""Where the server extension's work is done: in a thread beside the Jupyter server's, which loads what is slow to load.

The server's own event loop only hands over arguments and writes out bytes. So
neither loading pydantic and kubernetes nor reading long lists holds up a request
that is not ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_kuberay.loop import background_loop

if TYPE_CHECKING:
    from jupyter_kuberay.faces.server.rest import Rest

T = TypeVar("T")
_TOGETHER_S, _TOGETHER = 0.02, 500  # lines that come within it go out together


class Background:
    """One `Rest`, made at the first use.

    Parameters
    ----------
    tell
        Called in the server's thread with each event.
    root
        The folder that the server's file browser shows.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None], root: Path) -> None:
        self._tell, self._root = tell, root
        self._rest: Rest | None = None
        self._making: asyncio.Lock | None = None

    async def do(self, name: str, arguments: dict[str, Any]) -> bytes:
        """What the `Rest` method called ``name`` answers, as JSON; raises `KubeRayError`."""
        server = asyncio.get_running_loop()
        return await _beside(self._do(server, name, arguments))

    async def _do(self, server: asyncio.AbstractEventLoop, name: str, arguments: dict[str, Any]) -> bytes:
        from pydantic_core import to_json

        rest = await self._made(server)
        return to_json(await getattr(rest, name)(**arguments))

    async def lines(self, name: str, arguments: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        """The same of a method that gives lines: some at a time, as they come."""
        server = asyncio.get_running_loop()
        rest = await _beside(self._made(server))
        together = _together(getattr(rest, name)(**arguments))
        try:
            while chunk := await _beside(_next(together)):
                yield chunk
        finally:
            await asyncio.shield(_beside(together.aclose()))

    async def _made(self, server: asyncio.AbstractEventLoop) -> Rest:
        if self._making is None:
            self._making = asyncio.Lock()
        async with self._making:
            if self._rest is None:
                from jupyter_kuberay.client import Client
                from jupyter_kuberay.faces.server.rest import Rest

                client = await asyncio.to_thread(Client)
                self._rest = Rest(client, lambda event: _told(server, self._tell, event), self._root)
        return self._rest

    async def close(self) -> None:
        """Let go of what was opened."""
        if self._rest is not None:
            await _beside(self._rest.close())


def _told(server: asyncio.AbstractEventLoop, tell: Callable[[dict[str, Any]], None], event: dict[str, Any]) -> None:
    if not server.is_closed():
        server.call_soon_threadsafe(tell, event)


async def _beside(work: Coroutine[Any, Any, T]) -> T:
    return await asyncio.wrap_future(background_loop().submit(work))


async def _together(lines: AsyncIterator[str]) -> AsyncGenerator[bytes, None]:
    """Lines that come at once in one piece each."""
    coming = asyncio.ensure_future(_next(lines))
    try:
        while (first := await coming) is not None:
            chunk = [first]
            coming = asyncio.ensure_future(_next(lines))
            while len(chunk) < _TOGETHER:
                await asyncio.wait({coming}, timeout=_TOGETHER_S)
                # What ends the lines, by an error or otherwise, is for the next turn: these go out first.
                if not coming.done() or coming.exception() is not None or (line := coming.result()) is None:
                    break
                chunk.append(line)
                coming = asyncio.ensure_future(_next(lines))
            yield "".join(f"{line}\n" for line in chunk).encode()
    finally:
        coming.cancel()
        await asyncio.wait({coming})
        if isinstance(lines, AsyncGenerator):
            await lines.aclose()


async def _next(items: AsyncIterator[T]) -> T | None:
    return await anext(items, None)
