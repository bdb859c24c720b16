"""One Ray for all phases, and a run folder with data that they share."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_kuberay.grammar import SHIM
from jupyter_kuberay.lifecycle import data, incidents, training


@pytest.fixture(scope="package", autouse=True)
def on_ray() -> Iterator[None]:
    """A Ray of this process. What it starts ends with it."""
    import ray

    # Sockets have short paths only, so this is not below pytest's own folder.
    folder = tempfile.mkdtemp(prefix="jk-", dir="/tmp")
    kept = {name: os.environ.get(name) for name in ("PYTHONPATH", "RAY_ADDRESS")}
    os.environ["PYTHONPATH"] = os.pathsep.join((str(SHIM), str(Path(__file__).parents[3])))  # as on a cluster on this machine
    os.environ.pop("RAY_ADDRESS", None)
    context = ray.init(address="local", num_cpus=2, include_dashboard=False, _temp_dir=folder, log_to_driver=False, configure_logging=False)
    # Ray Train looks for the cluster in other processes: it must not find somebody else's.
    os.environ["RAY_ADDRESS"] = context.address_info["gcs_address"]
    try:
        yield
    finally:
        ray.shutdown()
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def reports() -> list[dict[str, str]]:
    return list(incidents.reports(240))


@pytest.fixture(scope="package")
def prepared(tmp_path_factory: pytest.TempPathFactory, reports: list[dict[str, str]], on_ray: None) -> Path:
    """A run folder with data: one row without a summary, one document twice, one twice with another summary."""
    folder = tmp_path_factory.mktemp("run")
    bad = [{"document": "No summary.", "summary": " "}, reports[0], {"document": reports[1]["document"].upper(), "summary": "Other."}]
    lines = "".join(json.dumps(report) + "\n" for report in [*reports, *bad])
    source = folder / "reports.jsonl.gz"
    source.write_bytes(gzip.compress(lines.encode()))
    data.prepare(str(source), str(folder))
    return folder


@pytest.fixture(scope="package")
def trained(prepared: Path) -> Path:
    training.train(str(prepared), epochs=2, limit=48, batch_size=16)
    return prepared


def keys(folder: Path, split: str) -> set[str]:
    """The documents of a split by their content. Of copies that differ in case, any may be the one that stays."""
    return set(data.load_split(folder / "data", split)["key"].to_pylist())
