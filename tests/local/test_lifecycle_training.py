"""Training on a real Ray whose processes are killed in the middle of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from jupyter_kuberay.lifecycle import training
from jupyter_kuberay.lifecycle._checkpoints import Checkpoints
from jupyter_kuberay.lifecycle._run import write_json
from tests.local.a_ray import a_ray
from tests.unit.training import write_data

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", autouse=True)
def on_ray() -> Iterator[str]:
    with a_ray() as address:
        yield address


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run folder with data for 12 steps an epoch, in batches of 8."""
    data = write_data(tmp_path / "data", train=96, validation=16)
    write_json(tmp_path / "data/manifest.json", {"path": data})
    return tmp_path


def workers(name: str) -> list[psutil.Process]:
    """Processes of this test's Ray that are called so."""
    below = psutil.Process().children(recursive=True)
    return [each for each in below if each.is_running() and name in " ".join(each.cmdline() or [each.name()])]


def until(true: Callable[[], Any], waited_for: Future[Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        if waited_for.done():
            raise AssertionError("It ended before that.") from waited_for.exception()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def test_a_worker_killed_in_the_middle_of_an_epoch_costs_no_step(run_dir: Path):
    checkpoints = Checkpoints(str(run_dir / "training"))
    with ThreadPoolExecutor() as pool:
        trained = pool.submit(training.train, str(run_dir), workers=2, epochs=6, batch_size=4, checkpoint_every=5)
        until(lambda: max(checkpoints.steps(), default=0) >= 5, trained)
        os.kill(workers("RayTrainWorker")[-1].pid, signal.SIGKILL)
        record = trained.result(timeout=200)
    assert record["steps"] == 6 * 12 and [loss["epoch"] for loss in record["losses"]] == [1, 2, 3, 4, 5, 6]
    (resumed,) = record["resumed"]
    assert resumed["step"] >= 5
    assert record["losses"][-1]["train"] < record["losses"][0]["train"]
    assert (run_dir / "model/model.safetensors").exists()
