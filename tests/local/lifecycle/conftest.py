"""One Ray for all phases, and a run folder with data that they share."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_kuberay.lifecycle import data, incidents, training
from tests.local.a_ray import a_ray


@pytest.fixture(scope="package", autouse=True)
def on_ray() -> Iterator[str]:
    """The address of a Ray of this process. What it starts ends with it."""
    with a_ray() as address:
        yield address


@pytest.fixture(scope="package")
def reports() -> list[dict[str, str]]:
    return list(incidents.reports(240))


@pytest.fixture(scope="package")
def prepared(tmp_path_factory: pytest.TempPathFactory, reports: list[dict[str, str]], on_ray: str) -> Path:
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
