"""What the node shows of the machine, where that has to differ: files to be laid over those of /proc and /sys.

Only the node's own processes see them; containers have a /proc and /sys of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# kubelet wants these and would set them for the whole machine. It finds them set.
SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def settings(folder: Path) -> Iterator[tuple[Path, str]]:
    """Make a file for each of the kernel's settings; gives it and where it belongs."""
    for name, value in SETTINGS.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
        yield file, f"/proc/sys/{name}"


def processors(folder: Path, count: int) -> Iterator[tuple[Path, str]]:
    """Make kubelet count ``count`` processors, so that a laptop can hold the pods of a test. Pods share the real ones.

    Control groups take numbers of real processors only, so those come again and
    again, as cpu1, cpu01, cpu001.
    """
    real = os.cpu_count() or 1
    everyone = f"0-{real - 1}\n"
    for number in range(count):
        name = "cpu" + "0" * (number // real) + str(number % real)
        for parent in ("cpu", "node/node0"):
            topology = folder / parent / name / "topology"
            topology.mkdir(parents=True, exist_ok=True)
            for file, value in {"core_id": number, "physical_package_id": 0, "thread_siblings_list": number % real}.items():
                (topology / file).write_text(f"{value}\n")
    for file in ("online", "possible", "present"):
        (folder / "cpu" / file).write_text(everyone)
    (folder / "node/online").write_text("0\n")
    for file, text in {"cpulist": everyone, "distance": "10\n", "meminfo": _memory()}.items():
        (folder / "node/node0" / file).write_text(text)
    yield folder / "cpu", "/sys/devices/system/cpu"
    yield folder / "node", "/sys/devices/system/node"


def _memory() -> str:
    """As node0 would tell it: one node with all of it."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return "".join(f"Node 0 {line}\n" for line in lines if line.startswith(("MemTotal", "MemFree")))
