"""From a change in the world to the widget, and how long the widget holds the kernel's loop. Goals: 250 ms p95; at most 20 ms.

100 clusters are shown in a real kernel, and one after the other is wanted with another number of workers. The bare way is the
backend's own watch, in this process. The kernel's loop is asked every millisecond whether it is free; the cell that shows the
panel is a cell like any other, and its time is told beside that of as many cards made of ipywidgets.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path
from queue import Empty
from typing import Any

from _home import own_home
from _pairs import percentile, report
from jupyter_client.manager import KernelManager

from jupyter_kuberay.backends.local import LocalBackend
from jupyter_kuberay.manifest import cluster_bundle
from jupyter_kuberay.observation import ChangeType, Kind
from jupyter_kuberay.spec import ClusterSpec, WorkerGroup

CLUSTERS, CHANGES, GOAL_MS, GOAL_HOLD_MS, WAITS_S = 100, 60, 250, 20, 60
SHOWN = 5  # panels beside the first

LISTEN = """
import asyncio, time
held = []
async def listen():
    last = time.perf_counter()
    while True:
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        held.append(now - last - 0.001)
        last = now
listening = asyncio.create_task(listen())
"""
LONGEST = "import json; print(json.dumps(sorted(held)[-3:]))"
CARDS = f"""
import ipywidgets
def card(name):
    buttons = [ipywidgets.Button(description=each) for each in ("Attach", "Scale", "Suspend", "Delete")]
    return ipywidgets.VBox([ipywidgets.HTML(f"<b>{{name}}</b> Suspended 0 of 1"), ipywidgets.HBox(buttons)])
begin = time.perf_counter()
cards = ipywidgets.VBox([card(f"c{{number}}") for number in range({CLUSTERS})])
display(cards)
print(time.perf_counter() - begin)
"""
PANEL = """
begin = time.perf_counter()
panel = ClusterPanel()
display(panel)
print(time.perf_counter() - begin)
"""


class Kernel:
    def __init__(self, data_dir: Path) -> None:
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(env={**os.environ, "JUPYTER_KUBERAY_DATA_DIR": str(data_dir)})
        self._client: Any = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=WAITS_S)

    def run(self, code: str) -> str:
        cell, text = self._client.execute(code), ""
        while True:
            message = self._client.get_iopub_msg(timeout=WAITS_S)
            kind, content = message["msg_type"], message["content"]
            if kind == "error":
                raise RuntimeError("\n".join(content["traceback"]))
            if message["parent_header"].get("msg_id") != cell:
                continue
            if kind == "stream":
                text += content["text"]
            if kind == "status" and content["execution_state"] == "idle":
                return text

    def change(self, name: str, workers: int) -> float:
        """When the widget was told that ``name`` wants so many."""
        deadline = time.perf_counter() + WAITS_S
        while time.perf_counter() < deadline:
            try:
                message = self._client.get_iopub_msg(timeout=1)
            except Empty:
                continue
            arrived = time.perf_counter()
            told = message["content"].get("data", {}) if message["msg_type"] == "comm_msg" else {}
            for change in told.get("content", {}).get("changes", ()):
                status = change.get("status") or {}
                if status.get("name") == name and status["wanted"] == {"workers": workers}:
                    return arrived
        raise RuntimeError("the widget was not told")

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel()


class Bare:
    """The backend's own watch, in a thread of this process."""

    def __init__(self, backend: LocalBackend) -> None:
        self._backend, self._seen, self.synced = backend, {}, threading.Event()
        self._heard = threading.Condition()
        threading.Thread(target=lambda: asyncio.run(self._watch()), daemon=True).start()
        self.synced.wait(WAITS_S)

    async def _watch(self) -> None:
        async for change in self._backend.watch(Kind.CLUSTER):
            arrived = time.perf_counter()
            if change.type is ChangeType.SYNCED:
                self.synced.set()
            if change.seen is not None:
                with self._heard:
                    self._seen[change.seen.name, change.seen.spec["workerGroupSpecs"][0]["replicas"]] = arrived
                    self._heard.notify_all()

    def change(self, name: str, workers: int) -> float:
        with self._heard:
            self._heard.wait_for(lambda: (name, workers) in self._seen, WAITS_S)
            return float(self._seen[name, workers])


def asleep(backend: LocalBackend, name: str) -> None:
    group = WorkerGroup(name="workers", replicas=1, maximum=9)
    spec = ClusterSpec(name=name, user=getpass.getuser(), profile="cpu-small", suspend=True, worker_groups=(group,))
    backend.store.create(cluster_bundle(spec).resource)
    backend.store.write_status("RayCluster", name, {"state": "suspended", "observedGeneration": 99})


def want(backend: LocalBackend, number: int, workers: int) -> str:
    """Another number of workers for one of the clusters; its name."""
    name = f"c{number * 7 % CLUSTERS}"
    backend.store.patch("RayCluster", name, [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": workers}])
    return name


def main() -> int:
    with own_home() as home:
        backend = LocalBackend(home / "k")
        for number in range(CLUSTERS):
            asleep(backend, f"c{number}")
        kernel = Kernel(home / "k")
        try:
            kernel.run("import time; from jupyter_kuberay import ClusterPanel; from jupyter_kuberay.faces.widget import asked")
            kernel.run(LISTEN)
            kernel.run("held.clear()")
            for number in range(CHANGES):
                want(backend, number, 2)
                time.sleep(0.02)
            without = json.loads(kernel.run(LONGEST))
            first, *others = [float(kernel.run(PANEL)) for _ in range(1 + SHOWN)]
            second = statistics.median(others)
            # First alone: what watches the bare way wants a processor, too.
            holds = []
            for workers in (3, 4, 5):
                kernel.run("held.clear()")
                for number in range(CHANGES):
                    kernel.change(want(backend, number, workers), workers)
                holds.append(json.loads(kernel.run(LONGEST)))
            held = sorted(holds)[1]
            bare = Bare(backend)
            late, theirs = [], []
            for number in range(CHANGES):
                began = time.perf_counter()
                name = want(backend, number, 6)
                late.append(kernel.change(name, 6) - began)
                theirs.append(bare.change(name, 6) - began)
            by_hand = float(kernel.run(CARDS))  # last: its 700 widgets stay, and every collection of garbage walks through them
        finally:
            kernel.close()
    p95, ratio = percentile(late, 95) * 1000, statistics.median(one / other for one, other in zip(late, theirs, strict=True))
    detail = f"median {statistics.median(late) * 1000:.0f} ms, longest {max(late) * 1000:.0f} ms; {ratio:.2f} of the backend's own watch"
    good = [
        report(
            f"a change in the world to the widget, p95 of {len(late)}",
            f"{p95:.0f} ms",
            goal=f"at most {GOAL_MS} ms",
            met=p95 <= GOAL_MS,
            detail=detail,
        ),
        report(
            f"the longest hold of the kernel's loop while {CLUSTERS} clusters are shown {SHOWN + 1} times and change",
            f"{held[-1] * 1000:.1f} ms",
            goal=f"at most {GOAL_HOLD_MS} ms",
            met=held[-1] * 1000 <= GOAL_HOLD_MS,
            detail=f"the median of three rounds; then {held[-2] * 1000:.1f} ms; without a widget {without[-1] * 1000:.1f} ms",
        ),
        report(
            f"the cell that shows {CLUSTERS} clusters",
            f"{second * 1000:.0f} ms",
            goal=f"at most {GOAL_HOLD_MS} ms",
            met=second * 1000 <= GOAL_HOLD_MS,
            detail=f"the first one, which waits for the list, {first * 1000:.0f} ms; {by_hand * 1000:.0f} ms with ipywidgets' own as cards",
        ),
    ]
    return not all(good)


if __name__ == "__main__":
    sys.exit(main())
