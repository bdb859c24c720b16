"""A control group of the testbed's own, so that its kubelet never sees another's pods, nor another's its."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

NAME = "jupyter-kuberay-testbed"


def make() -> None:
    """In every hierarchy: one of version 2, or one for each controller of version 1."""
    for kind, root in _hierarchies():
        group = root / NAME
        group.mkdir(exist_ok=True)
        if kind == "cgroup2":
            for controller in (root / "cgroup.controllers").read_text().split():
                with suppress(OSError):
                    (root / "cgroup.subtree_control").write_text(f"+{controller}")
        for setting in ("cpuset.cpus", "cpuset.mems"):  # version 1 leaves them empty, and then nothing may run there
            if kind == "cgroup" and (root / setting).exists():
                (group / setting).write_text((root / setting).read_text())


def remove() -> None:
    """What no process is in any more, which the kernel makes sure of."""
    for _, root in _hierarchies():
        group = root / NAME
        inner = sorted((path for path in group.rglob("*") if path.is_dir()), key=lambda path: len(path.parts), reverse=True)
        for folder in (*inner, group):
            with suppress(OSError):
                folder.rmdir()


def _hierarchies() -> list[tuple[str, Path]]:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [(kind, Path(place)) for _, place, kind, *_ in mounts if kind in ("cgroup", "cgroup2")]
