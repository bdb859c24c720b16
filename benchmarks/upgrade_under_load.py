"""New weights for a service of 2 replicas while 8 clients ask. Goal: 0 failed requests, new answers within 3 s of the call.

Then the same once more with the try-out, which comes before: the load goes on meanwhile, and nothing may fail.
"""

from __future__ import annotations

import asyncio
import sys
import time

import aiohttp
from _home import own_home
from _pairs import Load, load, report
from _summarizer import APP, asking, cluster, make_model

from jupyter_kuberay import Service, publish

CLIENTS, REPLICAS = 8, 2
BEFORE, AFTER = 3.0, 3.0  # seconds of load around the upgrade


async def upgraded(url: str, model: str, *, try_out: bool) -> tuple[Load, float, float]:
    """The load, when the call was made, and when it returned."""
    done = asyncio.Event()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        asked = asyncio.create_task(load(asking(session, url), CLIENTS, done.is_set))
        await asyncio.sleep(BEFORE)
        called = time.perf_counter()
        await asyncio.to_thread(publish, "bench", app=APP, model=model, try_out=try_out)
        returned = time.perf_counter()
        await asyncio.sleep(AFTER)
        done.set()
        return await asked, called, returned


def told(what: str, found: Load, called: float, returned: float, old: str, goal: float | None) -> bool:
    first_new = min((when for when, revision in found.answers if revision != old), default=float("inf")) - called
    last_old = max((when for when, revision in found.answers if revision == old), default=called) - called
    for failure in sorted(set(found.failures))[:5]:
        print(f"      {failure}")
    count = len(found.latencies) + len(found.failures)
    detail = f"all new after {last_old:.1f} s, the call returned after {returned - called:.1f} s; p99 {found.p99 * 1000:.0f} ms"
    none_failed = report(f"{what}: failed requests", f"{len(found.failures)} of {count}", goal="0", met=not found.failures)
    soon = report(
        f"{what}: new answers",
        f"after {first_new:.1f} s",
        goal=f"{goal:g} s" if goal else "none, it includes the try-out",
        met=goal is None or first_new <= goal,
        detail=detail,
    )
    return none_failed and soon


def main() -> int:
    with own_home() as home:
        first, second, third = (make_model(home / name, seed) for seed, name in enumerate(("first", "second", "third")))
        try:
            settings = {"threads": 1}
            published = publish("bench", app=APP, model=first, cluster=cluster(4), settings=settings, replicas=REPLICAS)
            plain = asyncio.run(upgraded(published.url, second, try_out=False))
            tried = asyncio.run(upgraded(published.url, third, try_out=True))
        finally:
            Service("bench").unpublish()
    return not all([told("new weights under load", *plain, old="1", goal=3), told("the same after a try-out", *tried, old="2", goal=None)])


if __name__ == "__main__":
    sys.exit(main())
