"""Many clusters: a list of 50 beside codeflare-sdk's, and a watch of 10 to 1,000.

Goals: 50 clusters in 3 requests and under 0.3 s; the first list of 1,000 with their status under 2 s; memory and the time of one
change to a callback grow as a line does, not as a curve; with 1,000 clusters' pods the event loop is held for no more than 20 ms
at a time. The clusters are suspended, or the operator is stopped: nothing runs.
Needs an administrator's KUBECONFIG; where the testbed's audit log is (JUPYTER_KUBERAY_AUDIT_LOG), requests are counted in it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _pairs import report

LISTED, SIZES, TRIES = 50, (10, 50, 100, 1000), 5
LONGEST_HOLD_MS = 20
NAMESPACE = "jupyter-kuberay-bench"
AUDIT = os.environ.get("JUPYTER_KUBERAY_AUDIT_LOG", "")


def resource(number: int) -> dict[str, Any]:
    """A cluster as large as a real one; suspended."""
    from jupyter_kuberay.manifest import cluster_bundle
    from jupyter_kuberay.spec import ClusterSpec, HeadSpec, WorkerGroup

    spec = ClusterSpec(
        name=f"bench-{number:04}",
        user="bench",
        image="example.com/ray:1",
        ray_version="2.58.0",
        suspend=True,
        head=HeadSpec(),
        worker_groups=(WorkerGroup(gpus=1, replicas=2),),
    )
    return cluster_bundle(spec).resource


STATUS = {
    "state": "suspended",
    "observedGeneration": 1,
    "desiredWorkerReplicas": 2,
    "head": {"podIP": "10.0.0.1", "serviceIP": "10.0.0.1", "serviceName": "head-svc", "podName": "head"},
    "conditions": [
        {
            "type": kind,
            "status": "False",
            "reason": "Suspended",
            "message": "The cluster is suspended, and this sentence is as long as they are.",
            "lastTransitionTime": "2026-11-25T03:00:00Z",
        }
        for kind in ("HeadPodReady", "RayClusterProvisioned", "RayClusterSuspended", "RayClusterSuspending")
    ],
}


async def make(backend: Any, numbers: range) -> None:
    from jupyter_kuberay.backends.kuberay.paths import PLACES
    from jupyter_kuberay.observation import Kind

    limit = asyncio.Semaphore(16)

    async def one(number: int) -> None:
        async with limit:
            thing = resource(number)
            path = PLACES[Kind.CLUSTER].path(NAMESPACE)
            await backend.api.request("POST", path, body=thing)
            await backend.api.request(
                "PATCH", f"{path}/{thing['metadata']['name']}/status", body={"status": STATUS}, content_type="application/merge-patch+json"
            )

    await asyncio.gather(*(one(number) for number in numbers))


@cache
def login() -> str:
    """As whom the API server knows us; the operator works on the same clusters meanwhile."""
    from jupyter_kuberay.backends.kuberay import KubeRayBackend

    return KubeRayBackend(namespace=NAMESPACE).user()


def requests(since: int) -> int:
    """How many requests of ours the audit log holds after byte ``since``."""
    who = login()
    with open(AUDIT, "rb") as log:
        log.seek(since)
        told = [json.loads(line) for line in log if NAMESPACE.encode() in line]
    return sum(one["user"]["username"] == who and one["stage"] == "ResponseComplete" for one in told)


async def listed(backend: Any) -> tuple[float, int]:
    from jupyter_kuberay.observation import Kind

    times, counts = [], []
    for _ in range(TRIES):
        at = os.path.getsize(AUDIT) if AUDIT else 0
        begin = time.perf_counter()
        found = await backend.list(Kind.CLUSTER)
        times.append(time.perf_counter() - begin)
        assert len(found) == LISTED
        await asyncio.sleep(0.2)  # a request is in the log when its answer has ended
        counts.append(requests(at) if AUDIT else 0)
    return statistics.median(times), max(counts)


CODEFLARE = """
import sys, time, json, io, contextlib
from codeflare_sdk import list_all_clusters
begin = time.perf_counter()
with contextlib.redirect_stdout(io.StringIO()):
    found = list_all_clusters(sys.argv[1], print_to_console=False)
print(json.dumps([time.perf_counter() - begin, len(found)]))
"""


def codeflare() -> tuple[float, int]:
    at = os.path.getsize(AUDIT) if AUDIT else 0
    done = subprocess.run([sys.executable, "-c", CODEFLARE, NAMESPACE], capture_output=True, text=True)
    if done.returncode:
        print(f"      codeflare-sdk: {done.stderr.strip().splitlines()[-1]}")
        return float("nan"), 0
    return float(json.loads(done.stdout.splitlines()[-1])[0]), requests(at) if AUDIT else 0


async def watched(size: int) -> tuple[float, float, float]:
    """Of a watch on ``size`` clusters: seconds to the first list, MiB that it holds, milliseconds from a change to who looks."""
    from jupyter_kuberay.backends.kuberay import KubeRayBackend
    from jupyter_kuberay.observation import Kind

    first, _ = await _first_list(size)
    tracemalloc.start()  # it slows down what it measures
    _, held = await _first_list(size)
    tracemalloc.stop()
    backend, other = KubeRayBackend(namespace=NAMESPACE), KubeRayBackend(namespace=NAMESPACE)
    delays: list[float] = []
    async with aclosing(backend.watch(Kind.CLUSTER)) as changes:  # type: ignore[type-var]
        await _synced(changes)
        for turn in range(20):
            step = {"op": "add", "path": "/metadata/labels/turn", "value": f"{size}-{turn}"}
            begin = time.perf_counter()
            patched = asyncio.create_task(other.patch(Kind.CLUSTER, "bench-0000", [step]))
            async for change in changes:
                if change.seen and change.seen.labels.get("turn") == f"{size}-{turn}":
                    delays.append(time.perf_counter() - begin)
                    break
            await patched
    await backend.close()
    await other.close()
    return first, held, statistics.median(delays) * 1000


async def _first_list(size: int) -> tuple[float, float]:
    from jupyter_kuberay.backends.kuberay import KubeRayBackend
    from jupyter_kuberay.observation import Kind

    backend = KubeRayBackend(namespace=NAMESPACE)
    await backend.api.namespace()
    begin = time.perf_counter()
    async with aclosing(backend.watch(Kind.CLUSTER)) as changes:  # type: ignore[type-var]
        assert await _synced(changes) == size
        seconds = time.perf_counter() - begin
        held = tracemalloc.get_traced_memory()[0] / 2**20 if tracemalloc.is_tracing() else 0.0
    await backend.close()
    return seconds, held


async def _synced(changes: Any) -> int:
    """How many were told before all were told."""
    from jupyter_kuberay.observation import ChangeType

    count = 0
    async for change in changes:
        if change.type is ChangeType.SYNCED:
            return count
        count += 1
    raise AssertionError("a watch ended by itself")


async def make_pods(backend: Any, number: int) -> None:
    """A pod for each cluster, as large as a head's; no scheduler cares for them."""
    limit = asyncio.Semaphore(16)
    template = resource(0)["spec"]["headGroupSpec"]["template"]

    async def one(index: int) -> None:
        labels = {"ray.io/cluster": f"bench-{index:04}", "ray.io/node-type": "head", "ray.io/group": "headgroup"}
        metadata = {"name": f"bench-{index:04}-head", "labels": labels}
        spec = template["spec"] | {"schedulerName": "nobody"}
        async with limit:
            body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
            await backend.api.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", body=body)

    await asyncio.gather(*(one(index) for index in range(number)))


async def held_by(act: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds of this thread's time for which the event loop was held at most while ``act`` ran.

    Not by the clock on the wall: the API server works on the same cores, and takes them from us in between.
    """
    gaps: list[float] = []

    async def beat() -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            gaps.append(now - last)
            last = now

    beating = asyncio.create_task(beat())
    await act()
    beating.cancel()
    return max(gaps) * 1000


async def holds(backend: Any) -> tuple[float, float]:
    """How long a list, and a first look, of all clusters and their pods hold the event loop; milliseconds, medians.

    Python's own collector is off meanwhile: it walks through all that a process has, and takes the longer the more that is.
    """
    from jupyter_kuberay.backends.kuberay import KubeRayBackend
    from jupyter_kuberay.observation import Kind

    lists, looks = [], []
    gc.collect()
    gc.disable()
    try:
        for _ in range(TRIES):
            lists.append(await held_by(lambda: backend.list(Kind.CLUSTER)))
            looking = KubeRayBackend(namespace=NAMESPACE)
            await looking.api.namespace()  # reading a kubeconfig and certificates is no part of it
            looks.append(await held_by(lambda looking=looking: _all_told(looking)))  # type: ignore[misc]
            await looking.close()
    finally:
        gc.enable()
    begin = time.perf_counter()
    gc.collect()
    print(f"      a full collection of Python's own takes {(time.perf_counter() - begin) * 1000:.0f} ms here")
    return statistics.median(lists), statistics.median(looks)


async def _all_told(backend: Any) -> None:
    from jupyter_kuberay.observation import Kind

    async with aclosing(backend.watch(Kind.CLUSTER)) as changes:
        await _synced(changes)


async def beside_codeflare(backend: Any) -> list[bool]:
    seconds, count = await listed(backend)
    theirs, their_count = await asyncio.to_thread(codeflare)
    detail = f"codeflare-sdk takes {theirs:.2f} s and {their_count or 'uncounted'} requests: ratio {seconds / theirs:.3f}"
    good = [report(f"list of {LISTED} clusters", f"{seconds:.3f} s", goal="0.3 s", met=seconds < 0.3, detail=detail)]
    if AUDIT:
        good.append(report(f"requests for a list of {LISTED}", str(count), goal="3", met=count == 3))
    return good


async def measured() -> bool:
    from jupyter_kuberay.backends.kuberay import KubeRayBackend

    backend = KubeRayBackend(namespace=NAMESPACE)
    good = []
    await backend.api.request("POST", "/api/v1/namespaces", body={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    try:
        made, rows = 0, []
        for size in SIZES:
            await make(backend, range(made, size))
            made = size
            if made == LISTED:
                good += await beside_codeflare(backend)
            rows.append((size, *await watched(size)))
            print(
                f"      {size} clusters: first list {rows[-1][1]:.2f} s, {rows[-1][2]:.1f} MiB, a change is told after {rows[-1][3]:.1f} ms"
            )
        good.append(report(f"first list of {made}", f"{rows[-1][1]:.2f} s", goal="2 s", met=rows[-1][1] < 2))
        await make_pods(backend, made)
        listing, looking = await holds(backend)
        for what, held in (("a list", listing), ("a first look", looking)):
            name = f"{what} of {made} clusters with pods holds the loop"
            good.append(report(name, f"{held:.0f} ms", goal=f"{LONGEST_HOLD_MS} ms", met=held <= LONGEST_HOLD_MS))
        by_one = [held / size for size, _, held, _ in rows]
        line = by_one[-1] <= 1.5 * by_one[0]
        good.append(report("memory of one cluster", f"{by_one[-1] * 1024:.0f} KiB", goal="no more among more", met=line))
    finally:
        await backend.api.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}")
        await backend.close()
    return all(good)


if __name__ == "__main__":
    sys.exit(not asyncio.run(measured()))
