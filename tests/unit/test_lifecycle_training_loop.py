"""The training loop in one process: what it goes on from, when it stops, and what of a model learns. No Ray."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from jupyter_kuberay.lifecycle import _loop, _models, _precision
from jupyter_kuberay.lifecycle._checkpoints import Checkpoints
from jupyter_kuberay.lifecycle._run import LifecycleError
from jupyter_kuberay.lifecycle._worker import Worker
from jupyter_kuberay.lifecycle.training import SMALL_T5, begin, settings_of
from tests.unit.training import USUAL, Killed, settings, train, write_data

STEPS = 5  # an epoch: 40 documents in batches of 8


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def undisturbed(data: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return train(settings(data), folder), folder


def weights(place: Path, step: int) -> dict[str, Any]:
    from safetensors.torch import load_file

    with Checkpoints(str(place)).fetched(step) as folder:
        return load_file(next(folder.glob("*model.safetensors")))


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    import torch

    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("killed_at", [1, 3, STEPS, 2 * STEPS - 1], ids=lambda step: f"before-step-{step}")
def test_a_training_that_was_killed_takes_the_steps_that_it_would_have_taken(data, undisturbed, tmp_path: Path, killed_at: int):
    with pytest.raises(Killed):
        train(settings(data), tmp_path, kill_at=killed_at)
    outcome = train(settings(data), tmp_path)
    whole, place = undisturbed
    assert outcome["losses"] == whole["losses"] and outcome["steps"] == whole["steps"] == 2 * STEPS
    assert same(weights(tmp_path, 2 * STEPS), weights(place, 2 * STEPS))


def test_it_goes_on_within_an_epoch_and_says_where(data, tmp_path: Path):
    with pytest.raises(Killed):
        train(settings(data), tmp_path, kill_at=3)
    said: list[str] = []
    outcome = train(settings(data), tmp_path, say=said.append)
    assert outcome["resumed"] == [{"step": 2, "passed_over": []}]
    assert said[0] == "going on after step 2"


@pytest.mark.parametrize("fault", ["a file is cut", "a file is missing", "it has no list of files", "its list is cut"])
def test_a_checkpoint_half_written_is_passed_over_and_that_is_said(data, undisturbed, tmp_path: Path, fault: str):
    with pytest.raises(Killed):
        train(settings(data), tmp_path, kill_at=STEPS)
    last = tmp_path / "step-00000005"
    if fault == "a file is cut":
        os.truncate(last / "model.safetensors", 1000)
    elif fault == "a file is missing":
        (last / "optimizer.safetensors").unlink()
    elif fault == "it has no list of files":
        (last / "complete.json").unlink()
    else:
        os.truncate(last / "complete.json", 10)
    said: list[str] = []
    outcome = train(settings(data), tmp_path, say=said.append)
    assert said[0] == "going on after step 4; the checkpoint of step 5 is half written and was passed over"
    assert outcome["resumed"] == [{"step": 4, "passed_over": [5]}]
    assert outcome["losses"] == undisturbed[0]["losses"]


def test_what_is_kept_is_the_last_checkpoint_the_one_before_and_the_best(data, tmp_path: Path):
    train(settings(data, epochs=3), tmp_path)
    assert Checkpoints(str(tmp_path)).steps() == [14, 15]  # the best is the last: it still learns
    assert {path.name for path in tmp_path.iterdir()} == {"outcome.json", "step-00000014", "step-00000015"}


def test_other_data_than_the_checkpoints_are_refused(data, tmp_path: Path):
    with pytest.raises(Killed):
        train(settings(data), tmp_path / "run", kill_at=3)
    others = write_data(tmp_path / "data", train=41)
    outcome = train(settings(others), tmp_path / "run")
    assert "data are others" in outcome["problem"][0]


class Steered(_loop.Training):
    """With held-out losses as given."""

    given: tuple[float, ...]

    def _held_out_loss(self) -> float:
        return self.given[len(self.progress.losses)]


@pytest.mark.parametrize(
    ("losses", "patience", "best", "epochs"),
    [
        ((3.0, 2.0, 2.5, 2.4, 1.0), 2, 2, 4),
        ((3.0, 2.0, 2.5, 1.0, 2.0), 2, 4, 5),
        ((3.0, 2.0, 2.5, 2.4, 2.3), 0, 2, 5),
        ((1.0, 1.0, 1.0, 1.0, 1.0), 1, 1, 2),
    ],
)
def test_it_stops_when_patience_ends_and_the_best_epochs_checkpoint_is_kept(data, tmp_path: Path, losses, patience, best, epochs):
    training = Steered(settings(data, epochs=5, patience=patience), Worker(), Checkpoints(str(tmp_path)))
    training.given = losses
    outcome = training.run()
    assert (outcome["best_epoch"], len(outcome["losses"])) == (best, epochs)
    assert outcome["stopped_early"] == (epochs < 5)
    assert outcome["best_step"] == best * STEPS in Checkpoints(str(tmp_path)).steps()


@pytest.mark.parametrize("killed_at", [3 * STEPS, 3 * STEPS + 1])
def test_patience_and_the_best_are_remembered_across_an_end(data, tmp_path: Path, killed_at: int):
    asked = settings(data, epochs=5, patience=2)

    class Mortal(Steered):
        def step(self, rows: list[int]) -> float:
            if self.progress.step == killed_at and not self.progress.resumed:
                raise Killed
            return super().step(rows)

    for kind in (pytest.raises(Killed), None):
        training = Mortal(asked, Worker(), Checkpoints(str(tmp_path)))
        training.given = (3.0, 2.0, 2.5, 2.4, 1.0)
        if kind:
            with kind:
                training.run()
    outcome = training.run()
    assert (outcome["best_epoch"], len(outcome["losses"]), outcome["stopped_early"]) == (2, 4, True)
    assert 2 * STEPS in Checkpoints(str(tmp_path)).steps()


def test_a_loss_that_is_no_number_stops_it_and_says_at_which_step_and_what_to_do(data, tmp_path: Path):
    outcome = train(settings(data, learning_rate=1e8, epochs=30), tmp_path)
    message, hint = outcome["problem"]
    assert message.startswith("The loss is nan at step ") and " of epoch " in message
    assert "lower learning_rate" in hint and "1e+08" in hint


def test_weights_that_are_no_numbers_are_told_at_the_very_step(data, tmp_path: Path):
    import torch

    training = _loop.Training(settings(data), Worker(), Checkpoints(str(tmp_path)))
    taken = training.step

    def step(rows: list[int]) -> float:
        if training.progress.step == STEPS + 2:
            with torch.no_grad():
                training.learning[0][0] = math.inf
        return taken(rows)

    training.step = step  # type: ignore[method-assign]
    with pytest.raises(LifecycleError, match=r"The loss is nan at step 3 of epoch 2, so training was stopped\."):
        training.run()
    assert max(Checkpoints(str(tmp_path)).steps()) == STEPS + 1  # what comes before it is good, and kept


@pytest.fixture(scope="module")
def base(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has been saved, as a base."""
    folder = tmp_path_factory.mktemp("base")
    _models.save(*_models.started(settings(data)), folder)
    return folder


def test_with_lora_a_small_part_learns_and_what_is_kept_needs_no_peft(data, base: Path, tmp_path: Path):
    import torch

    asked = settings(data, base=str(base), lora_rank=4, learning_rate=1e-2, epochs=3)
    outcome = train(asked, tmp_path / "run")
    assert outcome["trained_parameters"] < outcome["parameters"] / 10
    assert outcome["losses"][-1]["train"] < outcome["losses"][0]["train"]
    with Checkpoints(str(tmp_path / "run")).fetched(outcome["best_step"]) as folder:
        assert not (folder / "model.safetensors").exists()  # of a large model, a checkpoint is small
        _models.merged(asked, folder, tmp_path / "model")
        adapted, _ = _models.resumed(asked, folder)
    plain, tokenizer = _models.load(str(tmp_path / "model"))
    assert plain.num_parameters() == outcome["parameters"]
    assert not [name for name, _ in plain.named_parameters() if "lora" in name]
    question = tokenizer("The disk was full.", return_tensors="pt")
    begin = torch.zeros((1, 1), dtype=torch.long)
    with torch.inference_mode():
        ours, theirs = (model.eval()(**question, decoder_input_ids=begin).logits for model in (plain, adapted))
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_lora_goes_on_with_the_same_steps_too_dropout_included(data, base: Path, tmp_path: Path):
    asked = settings(data, base=str(base), lora_rank=4, learning_rate=1e-2)
    with pytest.raises(Killed):
        train(asked, tmp_path / "killed", kill_at=3)
    assert train(asked, tmp_path / "killed")["losses"] == train(asked, tmp_path / "whole")["losses"]
    assert same(weights(tmp_path / "killed", 10), weights(tmp_path / "whole", 10))


def test_a_base_model_that_is_a_pickle_is_refused_unless_allowed(data, base: Path, tmp_path: Path):
    import shutil

    import torch
    from safetensors.torch import load_file

    pickled = Path(shutil.copytree(base, tmp_path / "pickled"))
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    refused = train(settings(data, base=str(pickled), epochs=1), tmp_path / "refused")
    message, hint = refused["problem"]
    assert "no weights as safetensors; a pickle can run any code" in message and "allow_pickle=True" in hint
    allowed = train(settings(data, base=str(pickled), epochs=1, allow_pickle=True), tmp_path / "allowed")
    assert len(allowed["losses"]) == 1


def test_a_base_model_that_is_not_there_is_named(data, tmp_path: Path):
    outcome = train(settings(data, base=str(tmp_path / "nothing")), tmp_path / "run")
    assert outcome["problem"][0].startswith(f"The base model {tmp_path}/nothing cannot be loaded: ")


def test_too_little_data_is_said(tmp_path: Path):
    data = write_data(tmp_path / "data", train=3, validation=0)
    assert train(settings(data), tmp_path / "run")["problem"][0] == "There are 3 documents to train on, 0 held out."


@pytest.mark.parametrize(("device", "fast", "precision"), [("cpu", True, "bf16"), ("cpu", False, "fp32"), ("mps", True, "fp32")])
def test_the_arithmetic_has_16_bits_where_the_device_is_fast_at_them(monkeypatch, device: str, fast: bool, precision: str):
    import torch

    monkeypatch.setattr(_precision, "_cpu_is_fast_at_bf16", lambda: fast)
    assert _precision.chosen("auto", torch.device(device)) == precision
    assert _precision.chosen("fp32", torch.device(device)) == "fp32"


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_in_16_bits_it_learns_weights_of_32(data, undisturbed, tmp_path: Path, precision: str):
    import torch

    outcome = train(settings(data, precision=precision), tmp_path)
    assert outcome["precision"] == precision
    assert outcome["losses"][-1]["validation"] == pytest.approx(undisturbed[0]["losses"][-1]["validation"], rel=0.02)
    assert {tensor.dtype for tensor in weights(tmp_path, 2 * STEPS).values()} == {torch.float32}


def test_no_checkpoint_holds_a_pickle(undisturbed):
    assert not [path for path in undisturbed[1].rglob("*") if path.is_file() and path.suffix not in {".json", ".safetensors", ".jinja"}]


def test_a_url_of_fsspec_is_a_storage_too(data, undisturbed):
    place = "memory://bucket/run"
    with pytest.raises(Killed):
        train(settings(data), place, kill_at=3)
    assert train(settings(data), place)["losses"] == undisturbed[0]["losses"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lora_rank": 4}, "LoRA changes a model that has learned already"),
        ({"precision": "fp8"}, "There is no precision fp8. There are auto, fp32, bf16, fp16."),
        ({"workers": 0}, "workers is 0. Give at least 1."),
        ({"patience": -1}, "patience is -1. Give at least 0."),
        ({"learning_rate": -1e-3}, "learning_rate is -0.001."),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(given: dict[str, Any], said: str):
    with pytest.raises(LifecycleError, match=said):
        settings_of(**USUAL | given)


@pytest.mark.parametrize(
    ("given", "epochs", "rate"),
    [({}, 3, 1.5e-3), ({"base": "facebook/bart-base"}, 1, 3e-5), ({"base": "facebook/bart-base", "lora_rank": 8}, 1, 3e-4)],
)
def test_what_is_usual_follows_from_the_base(given: dict[str, Any], epochs: int, rate: float):
    asked = settings_of(**USUAL | {"base": SMALL_T5, "epochs": 0, "learning_rate": 0, "batch_size": 0} | given)
    assert (asked["epochs"], asked["learning_rate"], asked["batch_size"]) == (epochs, rate, 16)


def test_an_outcome_is_told_to_whoever_waits_for_it(undisturbed):
    outcome, folder = undisturbed
    assert json.loads((folder / "outcome.json").read_text()) == outcome


def test_a_folder_that_is_somebody_elses_is_not_emptied(data, tmp_path: Path):
    (tmp_path / "training").mkdir()
    (tmp_path / "training/thesis.tex").write_text("years of work")
    with pytest.raises(LifecycleError, match="holds what is none of ours and would be removed"):
        begin(Checkpoints(str(tmp_path / "training")), settings(data), resume=False, ours=False)
    assert (tmp_path / "training/thesis.tex").exists()
    begin(Checkpoints(str(tmp_path / "other")), settings(data), resume=False, ours=False)
    begin(Checkpoints(str(tmp_path / "other")), settings(data), resume=False, ours=False)  # again: it is ours now
