"""`up` to the first finished task, against bare `ray start --head --block` with the same node. Goal: at most 1 s of our own.

Each run is a process of its own, and the two take turns. The bare way knows what we know: it tries the client port
until it answers, and imports Ray meanwhile.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from typing import TextIO

from _home import own_home
from _pairs import pairs, report

NUMBER = 5
CPUS, MEMORY = 2, 2 * 2**30
STEPS = ("head asked for", "client port answers", "attached", "first task done")


def ours() -> list[float]:
    """Seconds from the beginning to each of `STEPS`."""
    begin = time.perf_counter()
    from jupyter_kuberay import Cluster, ClusterSpec, HeadSpec

    spec = ClusterSpec(name="bench", head=HeadSpec(cpu=str(CPUS), memory=str(MEMORY)))
    cluster = Cluster.up(spec, wait=False)
    times = [time.perf_counter() - begin]
    try:
        threading.Thread(target=_import_ray).start()
        cluster.wait()
        times.append(time.perf_counter() - begin)
        with cluster.attach():
            times.append(time.perf_counter() - begin)
            _task()
            times.append(time.perf_counter() - begin)
    finally:
        cluster.down()
    return times


def bare() -> list[float]:
    """The same by hand."""
    begin = time.perf_counter()
    folder = tempfile.mkdtemp(prefix="jkb-")
    gcs, client, dashboard = _free_ports(3)
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    command = ["-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={gcs}", f"--ray-client-server-port={client}"]
    command += [f"--dashboard-port={dashboard}", f"--temp-dir={folder}", f"--num-cpus={CPUS}", f"--memory={MEMORY}", "--num-gpus=0"]
    command += ["--object-store-memory=300000000"]
    log = open(os.path.join(folder, "head.log"), "w+")  # noqa: SIM115
    head = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log, start_new_session=True)
    try:
        times = [time.perf_counter() - begin]
        threading.Thread(target=_import_ray).start()
        _wait_for(client, head, log)
        times.append(time.perf_counter() - begin)
        import ray

        ray.init(f"ray://127.0.0.1:{client}", logging_level="ERROR")
        times.append(time.perf_counter() - begin)
        _task()
        times.append(time.perf_counter() - begin)
        ray.shutdown()
    finally:
        _end(head)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)
    return times


def _import_ray() -> None:
    import ray  # noqa: F401


def _task() -> None:
    import ray

    assert ray.get(ray.remote(lambda: 42).remote()) == 42


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _wait_for(port: int, head: subprocess.Popen[bytes], log: TextIO) -> None:
    while head.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    log.seek(0)
    raise RuntimeError(f"The bare head ended before it answered:\n{log.read()[-2000:]}")


def _end(head: subprocess.Popen[bytes]) -> None:
    head.terminate()
    try:
        head.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()


def in_a_process(way: str) -> list[float]:
    ended = subprocess.run([sys.executable, __file__, way], stdout=subprocess.PIPE, text=True, check=True)
    times: list[float] = json.loads(ended.stdout.splitlines()[-1])
    return times


def main() -> int:
    timelines: dict[str, list[list[float]]] = {"ours": [], "bare": []}

    def run(way: str) -> float:
        timelines[way].append(in_a_process(way))
        return timelines[way][-1][-1]

    with own_home():
        found = pairs(lambda: run("ours"), lambda: run("bare"), NUMBER)
    for way, runs in timelines.items():
        middle = sorted(runs, key=lambda times: times[-1])[len(runs) // 2]
        parts = [f"{name} +{now - before:.2f}" for name, (before, now) in zip(STEPS, pairwise([0.0, *middle]), strict=True)]
        print(f"      {way}: {', '.join(parts)}; {middle[-1]:.2f} s in all (the median of {len(runs)})")
    return not report(
        "up to the first task",
        f"{found.difference:+.2f} s against the bare way",
        goal="at most 1 s",
        met=found.difference <= 1,
        detail=f"ratio {found.ratio:.2f}",
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps({"ours": ours, "bare": bare}[sys.argv[1]]()))
    else:
        sys.exit(main())
