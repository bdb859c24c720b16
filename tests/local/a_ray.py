"""A Ray of the test's process, for what needs no cluster of ours."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_kuberay.grammar import SHIM

_BELOW = Path("/tmp")
_TOLD = 15  # lines of each log
_LOGS = ("python-core-driver-*.log", "gcs_server.*", "raylet.*")


def _folder_of(pid: int) -> str:
    return f"jk-{pid}-"


def what_is_left_of(pid: int) -> str:
    """The last lines of the logs of the Ray that a process had which ended without ending it. They are removed."""
    told: list[str] = []
    for folder in _BELOW.glob(f"{_folder_of(pid)}*"):
        for path in sorted(path for pattern in _LOGS for path in folder.glob(f"session_2*/logs/{pattern}")):
            lines = [line for line in path.read_text(errors="replace").splitlines() if line.startswith("[2")]  # no tables of counts
            told += [f"-- {path.name}", *lines[-_TOLD:]] if lines else []
        shutil.rmtree(folder, ignore_errors=True)
    return "\n".join(told)


@contextmanager
def a_ray(cpus: int = 2, metrics: int | None = None) -> Iterator[str]:
    """Its address. What it starts ends with it. ``metrics`` is the port at which it tells them."""
    import ray

    # Sockets have short paths only, so this is not below pytest's own folder.
    folder = tempfile.mkdtemp(prefix=_folder_of(os.getpid()), dir=_BELOW)
    kept = {name: os.environ.get(name) for name in ("PYTHONPATH", "RAY_ADDRESS")}
    os.environ["PYTHONPATH"] = os.pathsep.join((str(SHIM), str(Path(__file__).parents[2])))  # as on a cluster on this machine
    os.environ.pop("RAY_ADDRESS", None)
    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "configure_logging": False}
    context = ray.init(address="local", num_cpus=cpus, _temp_dir=folder, _metrics_export_port=metrics, **quiet)
    # Ray Train looks for the cluster in other processes: it must not find somebody else's.
    address = os.environ["RAY_ADDRESS"] = context.address_info["gcs_address"]
    try:
        yield address
    finally:
        ray.shutdown()
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)
