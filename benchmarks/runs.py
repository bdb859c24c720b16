"""What running notebooks without a person costs: a run's cells, a sweep, a run in the cluster, and moving data.

Goals: a run over bare nbclient on the same notebook and cluster at most 30 ms a cell that does nothing; a sweep of N at least
0.9 N times faster than in sequence; a run in the cluster at most 1.05 of the same driver by `ray job submit`. Moving 1 GB has
no goal: what Ray Client and a driver in the cluster take is told.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from _home import own_home
from _pairs import Pairs, pairs, report, timed

from jupyter_kuberay import Cluster, ClusterSpec, HeadSpec
from jupyter_kuberay.batch import Place, Run, RunRequest, RunState, run_now
from jupyter_kuberay.batch.many import Runs
from jupyter_kuberay.batch.sweep import Point
from jupyter_kuberay.batch.sweeping import Sweep, sweep
from jupyter_kuberay.cluster import default_client
from jupyter_kuberay.loop import run_sync

CLUSTER = "bench"
CELLS, ROUNDS = 200, 5
WORK_S, JOBS = 40, 3
ATTACH = "__import__('jupyter_kuberay').connect('bench').attach()"
# Each takes some 2 s of a processor to start: of more than twice as many as there are processors, that alone would be measured.
SWEEPS = (
    ("2 that compute for 60 s", 2, "import time; end = time.process_time() + 60\nwhile time.process_time() < end: pass"),
    ("4 that wait for 60 s", 4, "import time; time.sleep(60)"),
)
DRIVER = f"""
import time
import ray

{{start}}

@ray.remote
def work(number):
    time.sleep({WORK_S} / 4)
    return number

total = 0
for number in range(4):
    total += ray.get(work.remote(number))
print("total", total)
"""
MOVES = """
import time
import numpy as np
import ray

gigabyte = np.random.default_rng(0).integers(0, 255, 2**30, dtype=np.uint8)

@ray.remote
def looked_at(found):
    return int(found[-1])

@ray.remote
def made():
    return np.random.default_rng(0).integers(0, 255, 2**30, dtype=np.uint8)

here = made.remote()
ray.wait([here])
ray.get(looked_at.remote(ray.put(1 * gigabyte[:1000])))
for _ in range(2):
    began = time.perf_counter()
    assert ray.get(looked_at.remote(ray.put(gigabyte))) == int(gigabyte[-1])
    there = time.perf_counter() - began
    began = time.perf_counter()
    assert len(ray.get(here)) == 2**30
    print("moved", there, time.perf_counter() - began)
"""


def notebook(path: Path, *cells: str) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    return path


def run(source: Path, output: Path, **more: Any) -> None:
    run = Run(RunRequest(Place.of(source), Place.of(output), cluster=CLUSTER, **more))
    run.prepare()
    done = run_now(run)
    assert done.state is RunState.SUCCEEDED, done.error


def kuberay(*words: str) -> None:
    done = subprocess.run([str(Path(sys.executable).with_name("jupyter-kuberay")), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- a run's cells -------------------------------------------------------


def by_nbclient(source: Path, output: Path) -> None:
    from nbclient import NotebookClient

    text = nbformat.read(source, as_version=4)
    NotebookClient(text, kernel_name="python3", timeout=None).execute()
    nbformat.write(text, output)


def by_papermill(source: Path, output: Path) -> None:
    import papermill

    papermill.execute_notebook(str(source), str(output), progress_bar=False, kernel_name="python3")


def cells(folder: Path) -> bool:
    ours = notebook(folder / "ours.ipynb", *["None"] * CELLS)
    bare = notebook(folder / "bare.ipynb", ATTACH, *["None"] * CELLS)
    warm = notebook(folder / "warm.ipynb", "None")
    for first in (run, by_nbclient, by_papermill):
        first(warm, folder / "out.ipynb")
    found = pairs(
        lambda: timed(lambda: run(ours, folder / "ours-out.ipynb")), lambda: timed(lambda: by_nbclient(bare, folder / "b.ipynb")), ROUNDS
    )
    papers = pairs(
        lambda: timed(lambda: by_papermill(bare, folder / "p.ipynb")), lambda: timed(lambda: by_nbclient(bare, folder / "b.ipynb")), 3
    )
    cost, theirs = found.difference / CELLS * 1000, sorted(found.bare)[ROUNDS // 2] / CELLS * 1000
    return report(
        f"a run of {CELLS} cells that do nothing, over nbclient",
        f"{cost:.1f} ms a cell",
        goal="at most 30 ms",
        met=cost <= 30,
        detail=f"papermill {papers.difference / CELLS * 1000:.1f} ms; all of nbclient {theirs:.1f} ms",
    )


# --- a sweep -------------------------------------------------------------


def swept(source: Path, folder: Path, number: int, at_once: int) -> float:
    points = [Point(index, {"x": index}, {}, f"{at_once}-{index}.ipynb") for index in range(number)]
    runs = Runs()

    async def one(point: Point, told: Callable[..., None]) -> Any:
        return await runs.one(RunRequest(Place.of(source), Place.of(folder / point.output), cluster=CLUSTER), told)

    def all_of_it() -> None:
        done: Sweep = run_sync(sweep("s.ipynb", points, one, at_once=at_once))
        assert done.exit_code == 0, done

    return timed(all_of_it)


def sweeps(folder: Path) -> bool:
    good = True
    for what, number, code in SWEEPS:
        source = notebook(folder / f"sweep{number}.ipynb", code)
        together, in_turn = swept(source, folder, number, number), swept(source, folder, number, 1)
        faster = in_turn / together
        good &= report(
            f"a sweep of {number} notebooks {what.split(' ', 1)[1]}, {number} at once",
            f"{faster / number:.2f} N times faster than in sequence",
            goal="at least 0.9 N",
            met=faster >= 0.9 * number,
            detail=f"{together:.1f} s and {in_turn:.1f} s, on {os.cpu_count()} processors",
        )
    return good


# --- in the cluster ------------------------------------------------------


def submitted(address: str, token: str, code: str, folder: Path) -> str:
    (folder / "driver").mkdir(exist_ok=True)
    (folder / "driver/driver.py").write_text(code)
    command = ["ray", "job", "submit", "--address", address, "--working-dir", str(folder / "driver"), "--", "python", "driver.py"]
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    command[0] = str(Path(sys.executable).with_name("ray"))
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def endpoint() -> tuple[str, str]:
    """Of the cluster's dashboard: address and token."""
    from jupyter_kuberay.backends.base import DASHBOARD_PORT

    async def ask() -> tuple[str, str]:
        async with default_client().reach(CLUSTER, DASHBOARD_PORT) as found:
            return f"http://{found.address}", found.token

    return run_sync(ask())


def in_cluster(folder: Path) -> bool:
    address, token = endpoint()
    source = notebook(folder / "driver.ipynb", *DRIVER.format(start="").strip().split("\n\n"))
    code = DRIVER.format(start="ray.init()")

    def ours() -> float:
        out = str(folder / "driver-out.ipynb")
        return timed(lambda: kuberay("run", str(source), "--cluster", CLUSTER, "--in-cluster", "--out", out))

    found: Pairs = pairs(ours, lambda: timed(lambda: submitted(address, token, code, folder)), JOBS)
    return report(
        f"a run in the cluster of {WORK_S} s of work, against the same driver by `ray job submit`",
        f"{found.ratio:.3f}",
        goal="at most 1.05",
        met=found.ratio <= 1.05,
        detail=f"{found.difference:+.1f} s; {sorted(found.bare)[JOBS // 2]:.1f} s by `ray job submit`",
    )


def moves(folder: Path) -> None:
    source, out = notebook(folder / "moves.ipynb", MOVES), folder / "moves-out.ipynb"

    def told() -> str:
        text = "".join(each.get("text", "") for cell in nbformat.read(out, as_version=4).cells for each in cell.get("outputs", []))
        times = [[float(word) for word in line.split()[1:]] for line in text.splitlines() if line.startswith("moved")]
        there, back = (sorted(each)[len(times) // 2] for each in zip(*times, strict=True))
        return f"{there:.2f} s there, {back:.3f} s back"

    run(source, out)
    by_client = told()
    kuberay("run", str(source), "--cluster", CLUSTER, "--in-cluster", "--out", str(out))
    report("moving 1 GB between driver and cluster", f"{told()} in the cluster", goal="told", met=True, detail=f"{by_client} by Ray Client")


def main() -> int:
    asyncio.set_event_loop(asyncio.new_event_loop())
    with own_home() as home:
        spec = ClusterSpec(name=CLUSTER, head=HeadSpec(cpu="8", memory="8Gi"))
        cluster = Cluster.up(spec)
        try:
            wanted = sys.argv[1:] or ["cells", "sweeps", "in_cluster", "moves"]
            parts: dict[str, Callable[[Path], bool | None]] = {"cells": cells, "sweeps": sweeps, "in_cluster": in_cluster, "moves": moves}
            good = [parts[name](home) is not False for name in wanted]
        finally:
            cluster.down()
    return not all(good)


if __name__ == "__main__":
    sys.exit(main())
