"""Bytes a second through our tunnel to a pod, against kubectl port-forward to the same pod, each way; the two take turns.

Goal: at least kubectl's. Both go through the API server, so that the ratio says what the client is worth. Needs a cluster with
the KubeRay operator (KUBECONFIG), kubectl, and an image with Python (JUPYTER_KUBERAY_TEST_IMAGE).
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _pairs import pairs, report

MIB, PAIRS, PORT, AT_ONCE = 192, 5, 10001, 16
POD = "bench-tunnel"
# For each connection: a byte that says which way, then so many MiB that way.
SERVER = f"""
import socket, threading
def serve(peer):
    with peer:
        if peer.recv(1) == b"d":
            for _ in range({MIB}):
                peer.sendall(bytes(2**20))
            return
        left = {MIB} * 2**20
        while left:
            left -= len(peer.recv(2**20))
        peer.sendall(b"k")
listening = socket.create_server(("127.0.0.1", {PORT}), backlog=64)
while True:
    threading.Thread(target=serve, args=(listening.accept()[0],)).start()
"""


def download(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.sendall(b"d")
        left = MIB * 2**20
        while left:
            left -= len(peer.recv(2**20) or _ended(left))


def upload(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.sendall(b"u")
        for _ in range(MIB):
            peer.sendall(bytes(2**20))
        assert peer.recv(1) == b"k", "the pod did not get it all"


def _ended(left: int) -> bytes:
    raise AssertionError(f"the connection ended {left} bytes before the end")


def many(port: int) -> None:
    """Small answers over many connections at once."""

    def one(_: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.sendall(b"d")
            assert len(peer.recv(1)) == 1

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, range(AT_ONCE)))


def timed(act: Callable[[int], None], port: int) -> float:
    begin = time.perf_counter()
    act(port)
    return time.perf_counter() - begin


def ours() -> None:
    """Hold a tunnel open for as long as stdin is, in a process of its own, as kubectl's is one; print the port."""
    from jupyter_kuberay.backends.kuberay.api import Api
    from jupyter_kuberay.backends.kuberay.tunnel import tunnel

    async def hold() -> None:
        api = Api()

        async def head() -> str:
            return POD

        async with tunnel(api, head, PORT) as port:
            print(port, flush=True)
            await asyncio.to_thread(sys.stdin.read)
        await api.close()

    asyncio.run(hold())


def main() -> int:
    container = {"name": "bytes", "image": os.environ["JUPYTER_KUBERAY_TEST_IMAGE"], "command": ["python", "-c", SERVER]}
    spec = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
    subprocess.run(
        ["kubectl", "create", "-f", "-"],
        input=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": spec}),
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    opened: list[subprocess.Popen[str]] = []

    def begun(*words: str) -> str:
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        opened.append(process)
        assert process.stdout is not None
        return process.stdout.readline()

    try:
        subprocess.run(["kubectl", "wait", f"pod/{POD}", "--for=condition=Ready", "--timeout=60s"], check=True, stdout=subprocess.DEVNULL)
        theirs = int(begun("kubectl", "port-forward", f"pod/{POD}", f":{PORT}").split("->")[0].rpartition(":")[2])
        own = int(begun(sys.executable, __file__, "ours"))
        good = []
        for what, act in (("from the pod", download), ("to the pod", upload)):
            found = pairs(lambda act=act: timed(act, own), lambda act=act: timed(act, theirs), PAIRS)  # type: ignore[misc]
            rates = [MIB / statistics.median(seconds) for seconds in (found.ours, found.bare)]
            detail = f"{rates[0]:.0f} against kubectl's {rates[1]:.0f} MiB/s"
            good.append(
                report(f"throughput {what}", f"{1 / found.ratio:.2f} times", goal="at least 1", met=found.ratio <= 1, detail=detail)
            )
        at_once = pairs(lambda: timed(many, own), lambda: timed(many, theirs), PAIRS)
        print(f"      first byte over {AT_ONCE} connections at once: {min(at_once.ours):.2f} s, kubectl {min(at_once.bare):.2f} s")
        return not all(good)
    finally:
        for process in opened:
            process.terminate()
            process.wait()
        subprocess.run(["kubectl", "delete", "pod", POD, "--wait=false"], check=False, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ours()
    else:
        sys.exit(main())
