"""Two clusters on one machine, each with two workers, and ten starts in a row. Goal: all work, nothing collides."""

from __future__ import annotations

import statistics
import sys
import threading
from collections.abc import Callable

from _home import own_home
from _pairs import report, timed

from jupyter_kuberay import Cluster, ClusterSpec, HeadSpec, WorkerGroup

STARTS = 10


def spec(name: str, workers: int) -> ClusterSpec:
    groups = (WorkerGroup(replicas=workers, cpu="1", memory="1Gi"),) if workers else ()
    return ClusterSpec(name=name, head=HeadSpec(cpu="1", memory="2Gi"), worker_groups=groups)


def where() -> set[str]:
    """The nodes that work, by asking for one task on each."""
    import ray

    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    places = [ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
    ask = ray.remote(lambda: ray.get_runtime_context().get_node_id())
    return set(ray.get([ask.options(num_cpus=0, scheduling_strategy=place).remote() for place in places]))


def together(*acts: Callable[[], object]) -> None:
    failures: list[BaseException] = []

    def guarded(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def side_by_side() -> bool:
    names = ("left", "right")
    clusters = {name: Cluster(name) for name in names}
    try:
        both = timed(lambda: together(*(lambda name=name: Cluster.up(spec(name, 2)) for name in names)))
        found = {}
        for name, cluster in clusters.items():
            found[name] = len(cluster.run(where))
            cluster.detach()  # a process has one connection
    finally:
        together(*(cluster.down for cluster in clusters.values()))
    working = " and ".join(f"{count} nodes of {name}" for name, count in found.items())
    return report(
        "two clusters side by side",
        f"{working} work",
        goal="3 and 3",
        met=set(found.values()) == {3},
        detail=f"up together in {both:.1f} s",
    )


def in_a_row() -> bool:
    times: list[float] = []
    failures: list[str] = []
    for number in range(STARTS):
        try:
            times.append(timed(lambda number=number: Cluster.up(spec(f"row-{number}", 0))))
            Cluster(f"row-{number}").down()
        except Exception as error:
            failures.append(str(error))
    middle = f"median {statistics.median(times):.1f} s, longest {max(times):.1f} s" if times else ""
    for failure in failures:
        print(f"      {failure}")
    return report("starts in a row", f"{len(times)} of {STARTS} succeed", goal="all", met=not failures, detail=middle)


def main() -> int:
    with own_home():
        return not all([side_by_side(), in_a_row()])


if __name__ == "__main__":
    sys.exit(main())
