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


@contextmanager
def a_ray(cpus: int = 2, metrics: int | None = None) -> Iterator[str]:
    """Its address. What it starts ends with it. ``metrics`` is the port at which it tells them."""
    import ray

    # Sockets have short paths only, so this is not below pytest's own folder.
    folder = tempfile.mkdtemp(prefix="jk-", dir="/tmp")
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
