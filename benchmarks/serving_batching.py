"""Serving with dynamic batching against one at a time, same model, 16 clients. Goal: 3 times the requests a second, no worse p99.

One service; the batch size is a setting, which is changed in place between the measurements.
"""

from __future__ import annotations

import asyncio
import statistics
import sys

import aiohttp
from _home import own_home
from _pairs import Load, for_seconds, load, report
from _summarizer import APP, asking, cluster, make_model

from jupyter_kuberay import Service, publish

CLIENTS, SECONDS, PAIRS = 16, 8.0, 3


async def measured(url: str) -> Load:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        ask = asking(session, url)
        await load(ask, CLIENTS, for_seconds(1.5))  # warm
        return await load(ask, CLIENTS, for_seconds(SECONDS))


def main() -> int:
    loads: dict[int, list[Load]] = {1: [], CLIENTS: []}
    with own_home() as home:
        model = make_model(home / "model")
        try:
            for turn in range(PAIRS):
                for size in sorted(loads, reverse=bool(turn % 2)):
                    # One thread: on few cores, torch's own threads would take turns with Serve's proxy.
                    settings = {"max_batch_size": size, "threads": 1}
                    published = publish("bench", app=APP, model=model, cluster=cluster(2), settings=settings, try_out=False)
                    loads[size].append(asyncio.run(measured(published.url)))
        finally:
            Service("bench").unpublish()
    single, batched = loads[1], loads[CLIENTS]
    failures = [failure for found in (*single, *batched) for failure in found.failures]
    for failure in sorted(set(failures))[:5]:
        print(f"      {failure}")
    ratio = statistics.median(many.rate / one.rate for one, many in zip(single, batched, strict=True))
    tail = statistics.median(many.p99 / one.p99 for one, many in zip(single, batched, strict=True))
    one_rate, many_rate = (statistics.median(found.rate for found in way) for way in (single, batched))
    one_p99, many_p99 = (statistics.median(found.p99 for found in way) for way in (single, batched))
    return not all(
        [
            report(
                "dynamic batching",
                f"{ratio:.1f} times the requests a second",
                goal="at least 3",
                met=ratio >= 3,
                detail=f"{one_rate:.0f}/s one at a time, {many_rate:.0f}/s batched, {CLIENTS} clients",
            ),
            report(
                "its p99",
                f"{tail:.2f} of one at a time",
                goal="at most 1",
                met=tail <= 1,
                detail=f"{one_p99 * 1000:.0f} ms, {many_p99 * 1000:.0f} ms",
            ),
            report("failed requests", str(len(failures)), goal="0", met=not failures),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
