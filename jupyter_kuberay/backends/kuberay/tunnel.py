"""A port of a cluster's head on this machine's loopback, carried through the API server.

Each connection to it is one websocket to the head's pod, as kubectl's
port-forward is. The pod is looked up anew when it is gone: a head that was
started again comes back under another name.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from jupyter_kuberay.backends.kuberay.api import Api
from jupyter_kuberay.backends.kuberay.paths import PODS
from jupyter_kuberay.errors import KubeRayError

if TYPE_CHECKING:
    import aiohttp

_PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_CHUNK = 2**18
_TRIES, _AGAIN_S = 2, 0.2
_AWAY_S = 30.0  # as long as Ray Client tries to connect again
_LAST_WORDS_S = 1.0


@asynccontextmanager
async def tunnel(api: Api, head: Callable[[], Awaitable[str]], port: int) -> AsyncIterator[int]:
    """The local port behind which ``port`` of the pod that ``head`` names answers, for as long as the context lasts."""
    carried = _Carried(api, head, port)
    server = await asyncio.start_server(carried.connected, "127.0.0.1", 0, limit=_CHUNK)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await carried.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await server.wait_closed()


class _Carried:
    """The connections of one tunnel."""

    def __init__(self, api: Api, head: Callable[[], Awaitable[str]], port: int) -> None:
        self._api, self._head, self._port = api, head, port
        self._pod = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if await self._carry(reader, writer):
                writer.close()  # what has come is handed on before
                async with asyncio.timeout(_LAST_WORDS_S):
                    await writer.wait_closed()
        except (asyncio.CancelledError, OSError, TimeoutError):
            pass  # the tunnel is closed, or whoever asked has gone; nobody waits for this task
        finally:
            self._tasks.discard(task)
            # Reset, not closed: whoever waits for an answer learns at once that there will be none.
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether there was somebody to talk to.

        While only the API server is away, a connection waits: one that ends at once means that the head is gone.
        """
        import aiohttp

        now = asyncio.get_running_loop().time
        tries, until = _TRIES, now() + _AWAY_S
        while tries:
            try:
                self._pod = self._pod or await self._head()
                path = PODS.path(await self._api.namespace(), self._pod, "portforward")
                async with self._api.websocket(path, {"ports": str(self._port)}, _PROTOCOL) as socket:
                    await _pump(socket, reader, writer)
                return True
            except (KubeRayError, aiohttp.ClientError, OSError) as error:
                self._pod = ""  # it is gone, or cannot be reached now
                tries = tries if self._api.is_away(error) and now() < until else tries - 1
                if tries:
                    await asyncio.sleep(_AGAIN_S)
        return False

    async def close(self) -> None:
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)


async def _pump(socket: aiohttp.ClientWebSocketResponse, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until one side ends."""

    async def up() -> None:
        head = bytes([_DATA])
        while data := await reader.read(_CHUNK):
            await socket.send_bytes(head + data)

    async def down() -> None:
        begun: set[int] = set()
        async for message in socket:
            frame = message.data
            if not isinstance(frame, bytes) or not frame:
                continue
            channel = frame[0]
            if channel not in begun:  # the first frame of each tells the port
                begun.add(channel)
                continue
            if channel == _ERROR:
                return  # such as: nothing listens there
            writer.write(memoryview(frame)[1:])
            await writer.drain()

    ways = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        if ways[0].done():  # there is no way to tell the pod that no more will come; it may be in the middle of its answer
            await asyncio.wait([ways[1]], timeout=_LAST_WORDS_S)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
