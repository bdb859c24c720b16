"""What networks and API servers do to a watch, and what whoever looks gets to know of it: nothing but changes."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio

from jupyter_kuberay.backends.kuberay import KubeRayBackend
from jupyter_kuberay.errors import KubeRayError
from jupyter_kuberay.observation import ChangeType, Kind
from tests.contract.resources import cluster, gone, until
from tests.testbed.faults import Testbed
from tests.testbed.places import BIN

from .conftest import MakeNamespace
from .people import Person

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(300)]


class Watcher:
    """Looks at all clusters and remembers what it was told last, and how often."""

    def __init__(self, backend: KubeRayBackend) -> None:
        self.backend = backend
        self.colors: dict[str, str] = {}
        self.tellings = 0
        self.problem: KubeRayError | None = None  # why what is known may be out of date
        self.problems = 0
        self._changed = asyncio.Event()
        self._synced = asyncio.Event()
        self._task = asyncio.create_task(self._look())

    async def _look(self) -> None:
        async with aclosing(self.backend.watch(Kind.CLUSTER)) as changes:  # type: ignore[type-var]
            async for change in changes:
                if change.type is ChangeType.SYNCED:
                    self.problem = None
                    self._synced.set()
                elif change.type is ChangeType.BEHIND:
                    self.problem = change.problem
                    self.problems += 1
                elif change.seen is not None:
                    self.tellings += 1
                    if change.type is ChangeType.DELETED:
                        self.colors.pop(change.seen.name, None)
                    else:
                        self.colors[change.seen.name] = change.seen.labels.get("color", "")
                self._changed.set()

    async def synced(self) -> None:
        async with asyncio.timeout(30):
            await self._synced.wait()

    async def sees(self, colors: dict[str, str], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while self.colors != colors:
                assert not self._task.done(), "a watch ended by itself"
                self._changed.clear()
                await self._changed.wait()

    async def knows_itself(self, *, behind: bool, seconds: float = 30) -> None:
        """Whether what it knows may be out of date."""
        async with asyncio.timeout(seconds):
            while (self.problem is not None) != behind:
                self._changed.clear()
                await self._changed.wait()

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self.backend.close()


@pytest.fixture
def namespace(make_namespace: MakeNamespace) -> str:
    return make_namespace()


def at(person: Person, namespace: str, kubeconfig: Path | None = None) -> KubeRayBackend:
    return KubeRayBackend(namespace=namespace, kubeconfig=str(kubeconfig or person.kubeconfig))


async def paint(backend: KubeRayBackend, name: str, color: str) -> None:
    await backend.patch(Kind.CLUSTER, name, [{"op": "add", "path": "/metadata/labels/color", "value": color}])


def elsewhere(person: Person, folder: Path, server: str) -> Path:
    """Their kubeconfig with another address of the same API server."""
    config = json.loads(person.kubectl("config", "view", "--raw", "--flatten", "--output=json"))
    for each in config["clusters"]:
        each["cluster"]["server"] = server
        if server.startswith("http:"):
            each["cluster"].pop("certificate-authority-data", None)
    path = folder / "elsewhere.kubeconfig"
    path.write_text(json.dumps(config))
    return path


async def test_an_api_server_that_is_killed_and_started_again_ends_no_watch_and_loses_no_change(
    admin: Person, namespace: str, testbed: Testbed
):
    backend = at(admin, namespace)
    await backend.create(cluster("one", suspend=True))
    watcher = Watcher(at(admin, namespace))
    await watcher.sees({"one": ""})
    await asyncio.to_thread(testbed.apiserver.kill)
    await watcher.knows_itself(behind=True)
    assert watcher.colors == {"one": ""}, "the last state stays"
    assert watcher.problem is not None and watcher.problem.message and watcher.problem.hint
    await asyncio.to_thread(testbed.apiserver.start)
    # With nothing new to tell, too.
    await watcher.knows_itself(behind=False)
    await paint(backend, "one", "red")  # waits for the server by itself
    await backend.create(cluster("two", suspend=True))
    await watcher.sees({"one": "red", "two": ""})
    await watcher.close()
    await backend.close()


async def test_a_version_that_the_server_has_forgotten_is_no_end_and_what_went_meanwhile_is_told(
    admin: Person, namespace: str, testbed: Testbed
):
    backend = at(admin, namespace)
    for name in ("one", "two"):
        await backend.create(cluster(name, suspend=True))
    watcher = Watcher(at(admin, namespace))
    await watcher.sees({"one": "", "two": ""})
    watch = watcher.backend._watches._kinds[Kind.CLUSTER].reflector
    await backend.delete(Kind.CLUSTER, "two")
    await watcher.sees({"one": ""})
    await asyncio.to_thread(testbed.apiserver.kill)
    watch._version = "1"  # as after a night asleep
    await asyncio.to_thread(testbed.apiserver.start)
    await paint(backend, "one", "blue")
    await asyncio.to_thread(testbed.compact)
    await watcher.sees({"one": "blue"})
    assert int(watch._version) > 1
    await watcher.close()
    await backend.close()


class Cutter:
    """A way to the API server that cuts every connection from time to time."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._open: set[asyncio.StreamWriter] = set()
        self.connections = 0
        self.cuts = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        yield server.sockets[0].getsockname()[1]
        server.close()
        self.cut()

    def cut(self) -> None:
        for writer in [*self._open]:
            self.cuts += 1
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, onward = await asyncio.open_connection(self._host, self._port)
        self._open |= {writer, onward}

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while data := await source.read(65536):
                    target.write(data)
                    await target.drain()
            target.close()

        await asyncio.gather(pump(reader, onward), pump(there, writer))
        self._open -= {writer, onward}


def address(person: Person) -> tuple[str, int]:
    server = str(json.loads(person.kubectl("config", "view", "--minify", "--output=json"))["clusters"][0]["cluster"]["server"])
    host, _, port = server.partition("://")[2].rstrip("/").partition(":")
    return host, int(port or 443)


@pytest.mark.slow
async def test_a_watch_that_is_cut_every_second_for_a_minute_misses_nothing_and_does_not_spin(
    admin: Person, namespace: str, tmp_path: Path
):
    direct = at(admin, namespace)
    await direct.create(cluster("one", suspend=True))
    cutter = Cutter(*address(admin))
    async with cutter.listening() as port:
        watcher = Watcher(at(admin, namespace, elsewhere(admin, tmp_path, f"https://127.0.0.1:{port}")))
        await watcher.synced()
        for second in range(60):
            await paint(direct, "one", f"c{second}")
            await asyncio.sleep(1)
            cutter.cut()
        await watcher.sees({"one": "c59"})
        assert cutter.cuts >= 60
        # Three watches, each of which may come back once after each cut; doubled for what a busy machine does.
        assert cutter.connections <= 3 * 61 * 2
        await watcher.close()
    await direct.close()


@pytest_asyncio.fixture
async def throttling(admin: Person) -> AsyncIterator[Callable[[int], str]]:
    """An address of the API server behind something that throttles: so many of the next requests get 429."""
    from aiohttp import ClientSession, ClientTimeout, web

    proxy = await asyncio.create_subprocess_exec(
        shutil.which("kubectl") or str(BIN / "kubectl"),
        f"--kubeconfig={admin.kubeconfig}",
        "proxy",
        "--port=0",
        stdout=asyncio.subprocess.PIPE,
    )
    assert proxy.stdout is not None
    behind = (await proxy.stdout.readline()).decode().rpartition(":")[2].strip()
    left = {"refusals": 0}

    async def forward(request: web.Request) -> web.StreamResponse:
        if left["refusals"]:
            left["refusals"] -= 1
            return web.json_response({"kind": "Status", "message": "too many", "code": 429}, status=429, headers={"Retry-After": "1"})
        url = f"http://127.0.0.1:{behind}{request.path_qs}"
        headers = {"content-type": request.headers.get("content-type", "application/json")}
        async with session.request(request.method, url, data=await request.read(), headers=headers) as answer:
            response = web.StreamResponse(status=answer.status, headers={"content-type": answer.headers["content-type"]})
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", forward)
    async with ClientSession(timeout=ClientTimeout(total=None)) as session:
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]

        def throttle(refusals: int) -> str:
            left["refusals"] = refusals
            return f"http://127.0.0.1:{port}"

        yield throttle
        await runner.cleanup()
    proxy.terminate()
    await proxy.wait()


async def test_a_server_that_throttles_is_asked_again_when_it_says(
    admin: Person, namespace: str, tmp_path: Path, throttling: Callable[[int], str]
):
    backend = at(admin, namespace, elsewhere(admin, tmp_path, throttling(0)))
    await backend.create(cluster("one", suspend=True))
    throttling(2)
    began = asyncio.get_running_loop().time()
    assert (await backend.get(Kind.CLUSTER, "one")).name == "one"
    assert asyncio.get_running_loop().time() - began >= 1.5, "it waited as long as it was told to, twice"
    throttling(3)
    await until(backend, Kind.CLUSTER, "one", lambda seen: True, timeout=30)
    await gone(backend, Kind.CLUSTER, "one")
    await backend.close()


async def test_nobody_asks_for_anything_while_nobody_looks(admin: Person, namespace: str, tmp_path: Path):
    cutter = Cutter(*address(admin))
    async with cutter.listening() as port:
        backend = at(admin, namespace, elsewhere(admin, tmp_path, f"https://127.0.0.1:{port}"))
        await backend.create(cluster("one", suspend=True))
        await until(backend, Kind.CLUSTER, "one", lambda seen: bool(seen.status))
        await asyncio.sleep(6)  # watches linger for 5 s
        cutter.cut()
        before = cutter.connections
        await asyncio.sleep(3)
        assert cutter.connections == before
        await backend.close()
