"""An upgrade of the image under load: KubeRay has a second cluster up, moves the service's address to it, and takes the first one away.

Goal: of all requests none fails; the latency is told. Requests go to the address that programs in the cluster have (its Service), at a
fixed rate, from the publication until the first cluster has gone: some over connections that are kept, some over a new one each. Needs
a cluster with the KubeRay operator and room for two pods of 2 CPUs (KUBECONFIG), kubectl, curl, and Services that can be reached from here.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _pairs import percentile, report
from upgrade_under_load import Asked, steady

from jupyter_kuberay import ClusterSpec, HeadSpec, Service, publish
from jupyter_kuberay.client import Client
from jupyter_kuberay.loop import run_sync
from jupyter_kuberay.observation import Kind

IMAGE = os.environ.get("JUPYTER_KUBERAY_TEST_IMAGE", "")
NAME, REPLICAS, BEFORE = "bench", 2, 25.0
WAYS = ("a new connection each", "connections that are kept")
APP = """
import asyncio
import os

from ray import serve


@serve.deployment(ray_actor_options={"num_cpus": 0.5})
class Answering:
    async def __call__(self, request):
        await asyncio.sleep(0.01)
        return os.environ["VERSION"]


app = Answering.bind()
"""


def load(url: str, way: str, done: Any, found: Any) -> None:
    """Ask all the time, in a process of its own."""

    async def asking() -> Asked:
        asked = Asked()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=way == WAYS[0])) as session:

            async def ask(_: int) -> str:
                async with session.get(url) as response:
                    body = await response.text()
                    if response.status != 200:
                        raise RuntimeError(f"{response.status}: {body[:200]}")
                    return body

            await steady(ask, asked, done.is_set)
        return asked

    asked = asyncio.run(asking())
    found.put((way, asked.answers, asked.failures))


def version(number: str) -> ClusterSpec:
    """What differs is a variable of its pods: to KubeRay that is as an image that differs."""
    return ClusterSpec(name=NAME, image=IMAGE, head=HeadSpec(cpu="2", memory="3Gi", env={"VERSION": number}))


def moved(client: Client, app: str) -> tuple[float, float, float]:
    """When it was asked for, when the call returned, and when the first cluster had gone."""
    before = run_sync(client.service(NAME)).cluster
    called = time.perf_counter()
    publish(NAME, app=app, model="m", cluster=version("2"), new_cluster=True, replicas=REPLICAS, client=client)
    returned = time.perf_counter()
    while before in [each.name for each in run_sync(client.backend.list(Kind.CLUSTER))]:
        time.sleep(1)
    time.sleep(10)
    return called, returned, time.perf_counter()


def measured(client: Client, app: str) -> bool:
    publish(NAME, app=app, model="m", cluster=version("1"), replicas=REPLICAS, client=client)
    kubectl = ["kubectl", "get", "service", f"{NAME}-serve-svc", "--output=jsonpath={.spec.clusterIP}"]
    url = f"http://{subprocess.run(kubectl, capture_output=True, text=True, check=True).stdout}:8000/"
    while subprocess.run(["curl", "--fail", "--silent", "--max-time", "5", url], stdout=subprocess.DEVNULL, check=False).returncode:
        time.sleep(0.2)  # Kubernetes leads there a moment after KubeRay has called it ready
    context = multiprocessing.get_context("spawn")
    done, found = context.Event(), context.Queue()
    loads = [context.Process(target=load, args=(url, way, done, found)) for way in WAYS]
    for each in loads:
        each.start()
    try:
        time.sleep(BEFORE)
        called, returned, gone = moved(client, app)
    finally:
        done.set()
        came = {way: Asked(answers, failures) for way, answers, failures in (found.get(timeout=60) for _ in loads)}
        for each in loads:
            each.join()
    met = [told(way, came[way], called, returned, gone) for way in WAYS]
    return all(met)


def told(way: str, asked: Asked, called: float, returned: float, gone: float) -> bool:
    before, during = asked.within(called - BEFORE + 5, called), asked.within(called, gone)
    for failure in sorted(set(asked.failures))[:5]:
        print(f"      {failure}")
    p99 = f"p99 {percentile(during, 99) * 1000:.0f} ms, of before {percentile(before, 99) * 1000:.0f} ms"
    detail = f"{p99}; {returned - called:.0f} s from call to return, {gone - called:.0f} s until the first cluster had gone"
    new = {revision for due, _, revision in asked.answers if due > gone - 5}  # a connection that is kept stays with the first cluster
    failed = f"{len(asked.failures)} of {asked.count:,}"
    return report(f"failed requests, {way}", failed, goal="0", met=not asked.failures and new == {"2"}, detail=detail)


def main() -> int:
    client = Client.on("kuberay")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "answering.py")
        path.write_text(APP)
        try:
            return 0 if measured(client, f"{path}:app") else 1
        finally:
            Service(NAME, client).unpublish()


if __name__ == "__main__":
    sys.exit(main())
