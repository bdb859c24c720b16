"""What the magics cost: loading the extension, and a command in an attached kernel over the client's own method.

Goals: ``%load_ext jupyter_kuberay`` at most 100 ms in an IPython that has started; a magic at most 5 ms more than the same
call by hand, what happens around each cell included.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from _home import own_home
from _pairs import Pairs, pairs, report, timed

LOADS, CALLS = 15, 60
CPUS, MEMORY = 1, 2**30

# IPython's own first extension costs the machinery of extensions, which is not ours.
LOAD = """
import sys, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "storemagic")
began = time.perf_counter()
shell.run_line_magic("load_ext", sys.argv[1])
print(time.perf_counter() - began)
"""


def loading(extension: str) -> float:
    done = subprocess.run([sys.executable, "-c", LOAD, extension], capture_output=True, text=True, check=True)
    return float(done.stdout)


def loads() -> bool:
    loading("jupyter_kuberay")  # writes the bytecode
    found = pairs(lambda: loading("jupyter_kuberay"), lambda: loading("autoreload"), LOADS)
    ours = sorted(found.ours)[LOADS // 2] * 1000
    bare = sorted(found.bare)[LOADS // 2] * 1000
    return report(
        "%load_ext jupyter_kuberay",
        f"{ours:.1f} ms",
        goal="at most 100 ms",
        met=ours <= 100,
        detail=f"IPython's own autoreload {bare:.1f} ms",
    )


def in_an_attached_kernel() -> Pairs:
    """`status` as a cell, and by hand."""
    from IPython.core.interactiveshell import InteractiveShell

    from jupyter_kuberay import Cluster, ClusterSpec, HeadSpec
    from jupyter_kuberay.cluster import default_client
    from jupyter_kuberay.loop import run_sync

    shell: Any = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "jupyter_kuberay")
    cluster = Cluster.up(ClusterSpec(name="bench", head=HeadSpec(cpu=str(CPUS), memory=str(MEMORY))))
    try:
        with cluster.attach():
            client = default_client()

            def magic() -> None:
                shell.run_cell("found = %kuberay status bench").raise_error()

            def by_hand() -> None:
                shell.user_ns["found"] = run_sync(client.cluster("bench"))

            magic()
            by_hand()
            return pairs(lambda: timed(magic), lambda: timed(by_hand), CALLS)
    finally:
        cluster.down()


def main() -> int:
    met = loads()
    with own_home():
        found = in_an_attached_kernel()
    cost = found.difference * 1000
    met &= report(
        "%kuberay status, attached",
        f"{cost:+.2f} ms over Client.cluster",
        goal="at most 5 ms",
        met=cost <= 5,
        detail=f"ratio {found.ratio:.2f}",
    )
    return not met


if __name__ == "__main__":
    sys.exit(main())
