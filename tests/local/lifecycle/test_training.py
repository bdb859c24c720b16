"""Training and tuning on a real Ray whose processes are killed in the middle of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from jupyter_kuberay.lifecycle import training, tuning
from jupyter_kuberay.lifecycle._checkpoints import Checkpoints
from jupyter_kuberay.lifecycle._run import LifecycleError, read_json, write_json
from tests.testbed import s3
from tests.unit.training import write_data

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run folder with data for 12 steps an epoch, in batches of 8."""
    data = write_data(tmp_path / "data", train=96, validation=16)
    write_json(tmp_path / "data/manifest.json", {"path": data})
    return tmp_path


def workers(name: str) -> list[psutil.Process]:
    """Processes of this test's Ray that are called so."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            if name in " ".join(each.cmdline() or [each.name()]):
                found.append(each)
    return found


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


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty bucket, with credentials, of a real S3 server."""
    with s3.served("127.0.0.1") as server:
        server.put("runs")
        endpoint = quote(server.address.removeprefix("http://"), safe="")
        yield f"s3://ada:secret@runs/a?scheme=http&region=us-east-1&endpoint_override={endpoint}"


def driver(address: str, call: str) -> subprocess.Popen[str]:
    """A process of its own that calls something of the lifecycle on this test's Ray."""
    code = f"""
import ray
ray.init(address={address!r}, log_to_driver=False, configure_logging=False)
from jupyter_kuberay.lifecycle import training, tuning
{call}
"""
    return subprocess.Popen(
        [sys.executable, "-c", code], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def killed_when(process: subprocess.Popen[str], true: Callable[[], Any], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(process.communicate()[0])
        time.sleep(0.05)
    process.kill()
    process.communicate()


def test_a_run_whose_driver_was_killed_goes_on_from_checkpoints_in_an_object_store(run_dir: Path, on_ray: str, bucket: str):
    asked = {"epochs": 6, "batch_size": 8, "checkpoint_every": 5, "storage": bucket}
    checkpoints = Checkpoints(bucket.replace("/a?", "/a/training?"))
    killed_when(driver(on_ray, f"training.train({str(run_dir)!r}, **{asked})"), lambda: max(checkpoints.steps(), default=0) >= 5)
    assert not (run_dir / "training.json").exists()
    with pytest.raises(LifecycleError, match=r"What is to be resumed had learning_rate 0\.0015 and not 0\.1\."):
        training.train(str(run_dir), resume=True, learning_rate=0.1, **asked)

    record = training.train(str(run_dir), resume=True, **asked)
    assert record["resumed"][0]["step"] >= 5 and record["steps"] == 6 * 12
    assert [loss["epoch"] for loss in record["losses"]] == [1, 2, 3, 4, 5, 6]
    assert (run_dir / "model/model.safetensors").exists() and not (run_dir / "training").exists()
    assert "secret" not in (run_dir / "training.json").read_text()
    began = time.monotonic()
    assert training.train(str(run_dir), resume=True, **asked)["losses"] == record["losses"]
    assert time.monotonic() - began < 10  # it has ended: nothing is started


def test_a_storage_that_cannot_be_written_is_said_before_anything_starts_and_without_its_secret(run_dir: Path, bucket: str):
    with pytest.raises(LifecycleError, match=r"The storage s3://nowhere/a/training cannot be written: ") as refused:
        training.train(str(run_dir), storage=bucket.replace("@runs", "@nowhere"))
    assert "secret" not in str(refused.value)


def test_a_trial_that_is_killed_goes_on_and_one_whose_loss_is_no_number_ends_no_search(run_dir: Path):
    place = Checkpoints(str(run_dir / "tuning/checkpoints"))

    def written() -> bool:
        return any(Path(place.path).glob("*/step-*/complete.json"))

    with ThreadPoolExecutor() as pool:
        asked: dict[str, Any] = {"trials": 4, "at_once": 1, "epochs": 4, "checkpoint_every": 5, "space": {"learning_rate": [1.5e-3, 1e8]}}
        tuned = pool.submit(tuning.tune, str(run_dir), **asked)
        until(written, tuned)
        os.kill(workers("ImplicitFunc")[-1].pid, signal.SIGKILL)
        record = tuned.result(timeout=200)
    assert record == read_json(run_dir / "tuning.json")
    assert record["trials"][0]["resumed"][0]["step"] >= 5 and record["trials"][0]["state"] == "ended"
    broken = [trial for trial in record["trials"] if trial["settings"]["learning_rate"] == 1e8]
    assert broken and all(trial["state"] == "failed" and " at step " in trial["problem"] for trial in broken)
    assert record["best"] == {"learning_rate": 1.5e-3} and len(record["trials"]) == 4


@pytest.mark.slow
def test_a_search_whose_driver_was_killed_goes_on_with_the_trials_that_it_had(run_dir: Path, on_ray: str):
    # Long enough that a trial is still at it when Ray has noticed that its driver is gone, which takes some seconds.
    asked: dict[str, Any] = {"trials": 2, "at_once": 1, "epochs": 12, "checkpoint_every": 5, "space": {"learning_rate": [1.5e-3, 3e-3]}}
    places, first, since = run_dir / "tuning/checkpoints", set[str](), list[float]()

    def in_the_second() -> bool:
        # The first one's checkpoints go when it has ended, which may be a moment after the second one began.
        begun = sorted(places.glob("*"), key=lambda place: place.stat().st_ctime)
        first.update(place.name for place in begun[:1] if not first)
        if any(place.name not in first and any(place.glob("step-*/complete.json")) for place in begun):
            since.append(time.monotonic())
        return bool(since) and time.monotonic() - since[0] > 3  # by then Ray Tune has noted that there is such a trial

    killed_when(driver(on_ray, f"tuning.tune({str(run_dir)!r}, **{asked})"), in_the_second)
    assert not (run_dir / "tuning.json").exists()
    before = {folder.name for folder in places.iterdir()}

    record = tuning.tune(str(run_dir), resume=True, **asked)
    assert len(record["trials"]) == 2 and before <= {folder.name for folder in places.iterdir()}
    (resumed,) = [trial["resumed"] for trial in record["trials"] if trial["resumed"]]  # the one that was under way
    assert resumed[0]["step"] >= 5
    assert {"learning_rate": 1.5e-3} in [trial["settings"] for trial in record["trials"]]  # the usual one
    assert all(trial["losses"] for trial in record["trials"])


@pytest.mark.slow
def test_a_trial_of_two_workers_is_a_run_of_ray_trains(run_dir: Path):
    record = tuning.tune(str(run_dir), trials=2, at_once=1, epochs=2, workers=2, space={"learning_rate": [1.5e-3, 1e8]}, seed=1)
    assert record["best"] == {"learning_rate": 1.5e-3} and record["trials"][0]["state"] == "ended"
    assert len(record["trials"]) == 2 and record["trials"][0]["losses"][-1]["epoch"] == 2
