"""How long a request that has nothing to do with Ray waits while 50 clusters are listed. Goal: never more than 50 ms.

Each round has a JupyterLab of its own, so that loading what is slow to load is part of it, and an API server on loopback that sends
each list slowly. Beside it, the same requests while nothing is asked of the extension: the machine's own share.
"""

from __future__ import annotations

import http.client
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _pairs import for_seconds, percentile, report

from tests.ui.api_server import ApiServer
from tests.ui.lab import TOKEN, Lab, running

ROUNDS, CLUSTERS, PAUSE_S, BARE_S, GOAL_MS = 5, 50, 0.04, 4.0, 50
EVERY_S = 0.003


def waits(lab: Lab, until: Callable[[], bool]) -> list[float]:
    """Milliseconds of each request for /api, one after the other, until ``until()``."""
    connection = http.client.HTTPConnection("127.0.0.1", lab.port, timeout=30)
    found = []
    while not until():
        begin = time.perf_counter()
        connection.request("GET", "/api", headers={"Authorization": f"token {TOKEN}"})
        connection.getresponse().read()
        found.append((time.perf_counter() - begin) * 1000)
        time.sleep(EVERY_S)
    connection.close()
    return found


def listing(lab: Lab) -> list[float]:
    """The same while a page opens for the first time and everything is listed for it."""
    told: list[int] = []

    def look() -> None:
        while not told or told[-1] < CLUSTERS:
            answer = lab.client.put("/views/of-a-benchmark", json={"clusters": []}).raise_for_status().json()
            told.append(len(answer["clusters"]))

    looking = threading.Thread(target=look)
    looking.start()
    found = waits(lab, lambda: not looking.is_alive())
    if not told or told[-1] != CLUSTERS:
        raise RuntimeError(f"{CLUSTERS} clusters were to be listed, and there were {told}")
    return found


def main() -> int:
    bare: list[list[float]] = []
    ours: list[list[float]] = []
    with ApiServer(CLUSTERS).serving() as api, tempfile.TemporaryDirectory() as folder:
        api.pause = PAUSE_S
        kubeconfig = api.kubeconfig(Path(folder) / "kubeconfig")
        for _ in range(ROUNDS):
            with running(environment={"JUPYTER_KUBERAY_BACKEND": "kuberay", "KUBECONFIG": str(kubeconfig)}) as lab:
                bare.append(waits(lab, for_seconds(BARE_S)))
                ours.append(listing(lab))
    longest, usual = max(map(max, ours)), percentile([wait for each in ours for wait in each], 99)
    at_rest = max(map(max, bare))
    rounds = ", ".join(f"{max(each):.0f}" for each in ours)
    detail = f"rounds {rounds}; p99 {usual:.0f} ms; at rest {at_rest:.0f} ms at most, median {statistics.median(map(max, bare)):.0f}"
    name = f"an unrelated request while {CLUSTERS} clusters are listed slowly"
    return not report(name, f"{longest:.0f} ms at most", goal=f"at most {GOAL_MS} ms", met=longest <= GOAL_MS, detail=detail)


if __name__ == "__main__":
    sys.exit(main())
