"""Upgrades of weights, settings and code in place, and ways back, of a service of 2 replicas that is asked steadily.

Goals: of at least 5,000 requests none fails; the 99th percentile of latency while something is changed (from the call until nobody
answers for the earlier revision any more) is at most 2 times that of the minute before, in this run; a way back to weights that were
in before takes at most 5 s. Upgrades are tried out first, as they are for everybody.

    python benchmarks/upgrade_under_load.py          # on this machine, in a place of its own
    python benchmarks/upgrade_under_load.py FOLDER   # wherever the settings say, where nodes see FOLDER, too: make bench-upgrade-kubernetes

For comparison, in the same run: nothing is changed, and as many programs as there are replicas import what a replica imports.

Requests come at a rate of RATE a second, whatever became of those before, and are timed from when they were due: a pause of the service
counts for all who waited. Run it alone: the load, Ray and the service share the machine.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from _home import own_home
from _pairs import percentile, report
from _summarizer import APP, asking, cluster, make_model

from jupyter_kuberay import ClusterSpec, Service, publish
from jupyter_kuberay.source import find_source

REPLICAS, REQUESTS = 2, 5_000
RATE = 40.0  # a second; with answers of so few tokens it leaves half of two slow cores for what is done meanwhile
ANSWER = 4  # tokens
BEFORE, BETWEEN = 25.0, 2.0  # seconds
RATIO, BACK_S = 2.0, 5.0
NAME, SETTINGS = "bench", {"threads": 1}
BARE = "programs that import what a replica imports, and no change"


@dataclass
class Asked:
    """What came back: when it was due, how long it took in seconds, and the revision that answered; and what failed."""

    answers: list[tuple[float, float, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.answers) + len(self.failures)

    def within(self, begin: float, end: float) -> list[float]:
        """The latencies of what was due then."""
        return [took for due, took, _ in self.answers if begin <= due < end]


@dataclass
class Change:
    """One thing that was done under load: what, when it was called, and when the call returned."""

    what: str
    called: float
    returned: float
    new: str  # the revision that answers afterwards

    def over(self, asked: Asked) -> float:
        """When the last answer of another revision that was due after the call had come."""
        late = [due + took for due, took, revision in asked.answers if due >= self.called and revision != self.new and due < self.returned]
        return max([self.returned, *late])


async def steady(ask: Callable[[int], Awaitable[str]], asked: Asked, until: Callable[[], bool]) -> None:
    """Ask at `RATE` until ``until()``."""
    running: set[asyncio.Task[None]] = set()
    begin, number = time.perf_counter(), 0

    async def one(number: int, due: float) -> None:
        try:
            revision = await ask(number)
        except Exception as error:
            asked.failures.append(f"{type(error).__name__}: {error}")
        else:
            asked.answers.append((due, time.perf_counter() - due, revision))

    while not until():
        due = begin + number / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(one(number, due))
        running.add(task)
        task.add_done_callback(running.discard)
        number += 1
    await asyncio.gather(*running)


def asking_all_the_time(done: Any, found: Any) -> None:
    """The load, in a process of its own: neither what changes the service nor what asks waits for the other's Python.

    On Kubernetes it has a tunnel of its own, too: one in the process that publishes would be what is measured.
    """

    async def load() -> Asked:
        asked = Asked()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await steady(asking(session, url), asked, lambda: done.is_set() and asked.count >= REQUESTS)
        return asked

    with Service(NAME).reach() as url:
        asked = asyncio.run(load())
    found.put((asked.answers, asked.failures))


def measured(changes: list[tuple[str, Callable[[], str]]]) -> tuple[Asked, float, list[Change]]:
    """What was asked, when the first change began, and the changes."""
    context, changed = multiprocessing.get_context("spawn"), []
    done, found = context.Event(), context.Queue()
    load = context.Process(target=asking_all_the_time, args=(done, found))
    load.start()
    time.sleep(BEFORE)
    first = time.perf_counter()  # the same clock in all processes
    for what, change in changes:
        called = time.perf_counter()
        new = change()
        changed.append(Change(what, called, time.perf_counter(), new))
        time.sleep(BETWEEN)
    done.set()
    answers, failures = found.get(timeout=REQUESTS / RATE)
    load.join()
    return Asked(answers, failures), first, changed


def told(asked: Asked, began: float, changed: list[Change]) -> bool:
    before = percentile(asked.within(began - BEFORE + 5.0, began), 99)  # not the first seconds: nothing is warm in them
    for failure in sorted(set(asked.failures))[:5]:
        print(f"      {failure}")
    met = [
        report("failed requests", f"{len(asked.failures)} of {asked.count:,}", goal=f"0 of at least {REQUESTS:,}", met=not asked.failures)
    ]
    print(f"      p99 before: {before * 1000:.0f} ms at {RATE:g} requests a second")
    for what in dict.fromkeys(change.what for change in changed):
        alike = [change for change in changed if change.what == what]
        took = [took for change in alike for took in asked.within(change.called, change.over(asked))]
        p99, seconds = percentile(took, 99), max(change.returned - change.called for change in alike)
        times = f"{p99 / before:.2f} times that before"
        detail = f"p99 {p99 * 1000:.0f} ms of {len(took)} requests; {len(alike)} times, at most {seconds:.1f} s from call to return"
        if what == BARE:
            print(f"      {what}: p99 {times}; {detail}")
            continue
        met.append(report(f"{what}: p99", times, goal=f"{RATIO:g}", met=p99 <= RATIO * before, detail=detail))
        if what == "way back to weights":
            met.append(report(f"{what}: from call to return", f"{seconds:.1f} s", goal=f"{BACK_S:g} s", met=seconds <= BACK_S))
    return all(met)


def brief(folder: str) -> str:
    """Let a model give short answers: what is measured is the change, and not the model."""
    path = Path(folder, "generation_config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"min_new_tokens": ANSWER, "max_new_tokens": ANSWER}))
    for each in path.parent.iterdir():
        each.chmod(0o644)  # on Kubernetes pods are another user
    return folder


def changed_code(home: Path) -> str:
    """The summarizer's own code with one more file, as somebody's next version: replicas are replaced."""
    folder = home / "code"
    for path, content in find_source(APP).files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    (folder / "changed.py").write_text("what = 'one more file'\n")
    return str(folder)


def imported() -> None:
    """Import what a replica does, in as many programs, one begun as soon as the other has ended: so Serve replaces replicas."""
    for _ in range(REPLICAS):
        subprocess.run([sys.executable, "-c", "import ray.serve, torch; from transformers import T5ForConditionalGeneration"], check=True)


def changed(folder: Path, scratch: Path) -> list[tuple[str, Callable[[], str]]]:
    """What is done to the service `NAME`, whose first revision has the model ``folder``/first."""
    code = changed_code(scratch)
    first, second = str(folder / "first"), str(folder / "second")

    def put(**asked: object) -> Callable[[], str]:
        fixed: dict[str, object] = {"app": APP, "model": first, "settings": SETTINGS}
        return lambda: str(publish(NAME, **{**fixed, **asked}).revision.number)  # type: ignore[arg-type]

    def back(to: int) -> Callable[[], str]:
        return lambda: str(Service(NAME).rollback(to).revision.number)

    def nothing() -> str:
        imported()
        return ""

    return [
        ("new weights", put(model=second)),
        ("new weights", put(model=first)),
        *[("way back to weights", back(to)) for to in (2, 3, 2, 3)],
        ("new settings", put(settings={**SETTINGS, "max_batch_size": 8})),
        ("new code", put(code=code)),
        ("way back to code", back(3)),
        (BARE, nothing),
    ]


def run(folder: Path, scratch: Path, on: ClusterSpec | None) -> int:
    """Models are made in ``folder``, which the nodes of ``on`` (None: of the default profile) see, too; 0 if all goals were met."""
    for seed, name in enumerate(("first", "second")):
        brief(make_model(folder / name, seed))
    try:
        publish(NAME, app=APP, model=str(folder / "first"), cluster=on, settings=SETTINGS, replicas=REPLICAS)
        found = measured(changed(folder, scratch))
    finally:
        Service(NAME).unpublish()
    return not told(*found)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # so that nothing of it is left
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as scratch:
            return run(Path(sys.argv[1]), Path(scratch), None)
    with own_home() as home:
        return run(home, home, cluster(4))


if __name__ == "__main__":
    sys.exit(main())
