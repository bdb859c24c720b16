"""Serving on a real Ray Serve, under what the world does to it: silence, overload, death, ending."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from .a_ray import a_ray

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def ray_metrics() -> Iterator[int]:
    """A Ray of this process; the port of its metrics."""
    port = free_port()
    with a_ray(metrics=port):
        yield port


@pytest.fixture(scope="module")
def application(ray_metrics: int) -> Any:
    """An application that says which process answered, after as long as the text says."""
    from ray import serve

    from jupyter_kuberay.serving.page import Described
    from jupyter_kuberay.serving.served import Served, overload

    @serve.deployment(**overload(), ray_actor_options={"num_cpus": 0.1})
    class Sleeps(Served):
        about = Described("sleep", "Sleeps", "0.01", {"type": "integer"})

        def load(self, settings: Any) -> str:
            time.sleep(2.0 if settings.model == "large" else 0.0)
            return str(settings.model)

        def compute(self, model: str, items: list[str]) -> list[int]:
            time.sleep(max(map(float, items)))
            return [os.getpid()] * len(items)

    return Sleeps


@pytest.fixture(scope="module")
def put(application: Any) -> Iterator[Any]:
    """Put the application in; gives its address."""
    from ray import serve

    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})

    def put(settings: dict[str, Any] | None = None, **options: Any) -> str:
        config = {"model": "m", "revision": 1, **(settings or {})}
        # The same version: new settings go to the replicas that are there, as they do by a service's configuration.
        serve.run(application.options(version="1", _internal=True, user_config=config, **options).bind(), name="s", route_prefix="/")
        return f"http://127.0.0.1:{port}/sleep?text="

    yield put
    serve.shutdown()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def ask(session: Any, url: str) -> tuple[int, str]:
    try:
        async with session.get(url) as response:
            return response.status, response.headers.get("retry-after", "") if response.status != 200 else await response.text()
    except aiohttp.ClientError as error:
        return 0, str(error)


def test_a_thousand_clients_that_send_nothing_keep_nobody_from_an_answer(put: Any):
    url = put()

    async def scenario() -> list[float]:
        host, _, port = url.split("/")[2].partition(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(1000)]
        took = []
        async with aiohttp.ClientSession() as session:
            for _ in range(20):
                began = time.monotonic()
                assert (await ask(session, url + "0.01"))[0] == 200
                took.append(time.monotonic() - began)
        for _, writer in silent:
            writer.close()
        return took

    took = asyncio.run(scenario())
    print(f"the slowest of 20 beside 1,000 silent ones took {max(took):.2f} s")
    assert max(took) < 2


def test_more_than_can_be_done_is_told_to_come_again_and_what_is_taken_is_answered(put: Any):
    url = put({"max_queue": 32, "max_batch_size": 8})
    found: Counter[int] = Counter()
    hints = set()

    async def client(session: Any, until: float) -> None:
        while time.monotonic() < until:
            status, told = await ask(session, url + "0.02")
            found[status] += 1
            if status == 429:
                hints.add(told)
                await asyncio.sleep(0.2)  # sooner than it was told: overload goes on

    async def scenario() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(client(session, time.monotonic() + 5) for _ in range(160)))

    asyncio.run(scenario())
    print(dict(found))
    assert set(found) == {200, 429} and found[200] > 200
    assert all(int(hint) >= 1 for hint in hints)


def test_where_serve_itself_has_no_place_left_it_says_429_too(put: Any):
    url = put(max_ongoing_requests=1, max_queued_requests=1)

    async def scenario() -> list[tuple[int, str]]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            return await asyncio.gather(*(ask(session, url + "0.5") for _ in range(12)))

    found = asyncio.run(scenario())
    assert {status for status, _ in found} == {200, 429}
    assert {told for status, told in found if status == 429} == {"1"}


def test_a_replica_that_is_killed_costs_no_request_of_clients_that_ask_again(put: Any):
    url = put({"max_batch_size": 4}, num_replicas=2)
    tries: Counter[int] = Counter()
    pids: Counter[str] = Counter()

    async def client(session: Any, until: float) -> None:
        while time.monotonic() < until:
            for attempt in range(1, 8):
                status, told = await ask(session, url + "0.02")
                if status == 200:
                    tries[attempt] += 1
                    pids[told] += 1
                    break
                await asyncio.sleep(0.05 * 2**attempt)
            else:
                tries[0] += 1

    async def scenario() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            clients = [asyncio.create_task(client(session, time.monotonic() + 6)) for _ in range(8)]
            await asyncio.sleep(1.5)
            victim = int(pids.most_common(1)[0][0])
            os.kill(victim, signal.SIGKILL)
            await asyncio.gather(*clients)

    asyncio.run(scenario())
    again = sum(count for attempt, count in tries.items() if attempt > 1)
    print(f"{sum(tries.values())} requests, {again} of them asked again, {tries[0]} failed")
    assert tries[0] == 0 and tries[1] > 100
    assert len(pids) >= 2


def test_what_a_client_asked_who_has_gone_is_not_computed(put: Any):
    url = put({"max_batch_size": 1, "batch_wait_timeout_s": 0.0})

    async def scenario() -> tuple[int, int]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(15)) as session:
            first = asyncio.create_task(ask(session, url + "1.5"))
            await asyncio.sleep(0.5)
            gone = asyncio.create_task(ask(session, url + "30"))
            await asyncio.sleep(0.5)
            gone.cancel()
            await asyncio.wait([gone])
            last = await ask(session, url + "0.01")  # had the one before it been computed, this would not come in time
            return (await first)[0], last[0]

    assert asyncio.run(scenario()) == (200, 200)


def test_new_weights_come_beside_the_old_ones_and_no_request_fails_or_waits_for_them(put: Any):
    from ray import serve

    url, new = put({"revision": 1}), {"model": "large", "revision": 2}

    def prepare_and_put() -> None:
        serve.get_deployment_handle("Sleeps", "s").broadcast("prepare_reconfigure", new).results()
        put(new)

    async def scenario() -> tuple[list[int], list[int], int]:
        statuses, revisions, done = [], [], asyncio.Event()

        async def ask_on(session: Any) -> None:
            while not done.is_set() or revisions[-1] != 2:
                async with session.get(url + "0.01") as response:
                    statuses.append(response.status)
                    revisions.append(int(response.headers["x-revision"]))

        async with aiohttp.ClientSession() as session, asyncio.timeout(60), asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(ask_on(session))
            await asyncio.sleep(0.5)
            before = len(revisions)
            await asyncio.to_thread(prepare_and_put)
            done.set()
        return statuses, revisions, before

    statuses, revisions, before = asyncio.run(scenario())
    assert set(statuses) == {200}
    assert set(revisions) == {1, 2}
    # Had they waited for the two seconds, each of the four would have had one answer.
    assert revisions[before:].count(1) > 20


def test_replicas_come_by_the_queue_from_none_and_go_again(put: Any):
    from ray import serve

    delays = {"upscale_delay_s": 0.5, "downscale_delay_s": 1, "look_back_period_s": 1, "metrics_interval_s": 0.5}
    scaling = {"min_replicas": 0, "initial_replicas": 0, "max_replicas": 2, "target_ongoing_requests": 4, **delays}
    url = put({"max_batch_size": 4}, autoscaling_config=scaling)

    def running() -> int:
        deployment = serve.status().applications["s"].deployments["Sleeps"]
        return sum(count for state, count in deployment.replica_states.items() if state == "RUNNING")

    async def until(number: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while await asyncio.to_thread(running) != number:
            assert time.monotonic() < deadline, f"there are not {number} replicas after {seconds} s"
            await asyncio.sleep(0.2)

    async def client(session: Any, ended: asyncio.Event) -> set[int]:
        found = set()
        while not ended.is_set():
            found.add((await ask(session, url + "0.2"))[0])
        return found

    async def scenario() -> set[int]:
        await until(0, 20)
        ended = asyncio.Event()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            clients = [asyncio.create_task(client(session, ended)) for _ in range(24)]
            await until(2, 60)
            ended.set()
            found = set().union(*await asyncio.gather(*clients))
        await until(0, 60)
        return found

    assert asyncio.run(scenario()) == {200}


def test_what_was_taken_is_answered_when_the_application_goes(put: Any):
    from ray import serve

    url = put({"max_batch_size": 1})

    async def scenario() -> list[tuple[int, str]]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            asked = [asyncio.create_task(ask(session, url + "0.4")) for _ in range(4)]
            await asyncio.sleep(0.5)
            await asyncio.to_thread(serve.delete, "s")
            return await asyncio.gather(*asked)

    assert [status for status, _ in asyncio.run(scenario())] == [200] * 4


def test_its_metrics_are_at_rays_exporter_by_revision(put: Any, ray_metrics: int):
    url = put({"revision": 41})
    for revision in (41, 42):
        put({"revision": revision})
        for _ in range(3):
            urllib.request.urlopen(url + "0.01", timeout=30).read()
    wanted = {"requests_total", "request_seconds_count", "errors_total", "queue_length", "batch_size_count"}
    wanted |= {"input_length_count", "padding_share_count", "batch_seconds_count"}
    deadline = time.monotonic() + 30
    found: dict[str, set[str]] = {}
    while time.monotonic() < deadline and not (wanted - {"errors_total"} <= set(found) and {"41", "42"} <= found["requests_total"]):
        time.sleep(0.5)
        found = {}
        with suppress(OSError):
            for line in urllib.request.urlopen(f"http://127.0.0.1:{ray_metrics}/metrics", timeout=10).read().decode().splitlines():
                if line.startswith("ray_jupyter_kuberay_") and 'revision="' in line:
                    name = line.partition("{")[0].removeprefix("ray_jupyter_kuberay_")
                    found.setdefault(name, set()).add(line.partition('revision="')[2].partition('"')[0])
    assert wanted - {"errors_total"} <= set(found)
    assert {"41", "42"} <= found["requests_total"] & found["batch_size_count"]
