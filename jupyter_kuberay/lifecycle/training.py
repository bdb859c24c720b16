"""Training a summarizer with Ray Train: a small T5 from scratch, or any sequence-to-sequence model further, all of it or by LoRA.

`_fit` is Ray Train around it, `_loop` what each worker does, `_checkpoints` what it goes on from.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from jupyter_kuberay.lifecycle import _loop, _models
from jupyter_kuberay.lifecycle._checkpoints import Checkpoints, within
from jupyter_kuberay.lifecycle._fit import fit, worker_resources
from jupyter_kuberay.lifecycle._precision import PRECISIONS
from jupyter_kuberay.lifecycle._run import Json, LifecycleError, read_json, write_json
from jupyter_kuberay.lifecycle._small_t5 import SMALL_T5, make_tokenizer

__all__ = ["SMALL_T5", "make_tokenizer", "train"]

_FOLDER = "training"
_ASKED = "settings.json"  # beside the checkpoints: what they were made with
# What may differ when a run is gone on with: it changes no step.
_NOT_ASKED = ("data", "storage", "threads", "resources", "checkpoint_every", "allow_pickle")


def train(
    run_dir: str,
    *,
    base: str = SMALL_T5,
    epochs: int = 0,
    batch_size: int = 0,
    learning_rate: float = 0.0,
    lora_rank: int = 0,
    precision: str = "auto",
    patience: int = 3,
    workers: int = 1,
    cpus_per_worker: float = 1,
    gpus_per_worker: float | None = None,
    threads: int = 0,
    storage: str = "",
    checkpoint_every: int = 500,
    resume: bool = False,
    allow_pickle: bool = False,
    seed: int = 7,
    limit: int | None = None,
) -> Json:
    """Train on ``run_dir/data`` and leave the model in ``run_dir/model``: that of the epoch with the lowest loss on held-out documents.

    Weights, optimizer and place in the data are kept in checkpoints. A worker that is killed, whenever it is, costs the steps since the
    last one; they are taken again, the same ones.

    Parameters
    ----------
    base
        ``SMALL_T5`` trains a model of 0.85 million parameters and its
        tokenizer on the data alone. Anything else is the path or the name of
        a model to train further, such as facebook/bart-large-cnn.
    epochs
        How often each document is seen; 0: 3 times from scratch, once with a base model.
    batch_size
        Documents a step and worker; 0: 16.
    learning_rate
        At its highest; 0: 1.5e-3 from scratch, 3e-5 for a base model, 3e-4 with LoRA.
    lora_rank
        Above 0, only matrices of this rank beside the base model's learn (LoRA, by peft), and are merged into it in the end:
        8 to 64. 0: all weights learn.
    precision
        "fp32", "bf16" or "fp16" for the steps' arithmetic; "auto" takes 16 bits where the device is fast at them. Weights have 32 bits.
    patience
        Stop after so many epochs without a lower loss on held-out documents; 0: never.
    workers, cpus_per_worker, gpus_per_worker
        The worker group; its workers train data-parallel. ``gpus_per_worker`` None: 1 where the cluster has one for each, else 0.
    threads
        Of torch in each worker; 0: all cores, shared among the workers of this node.
    storage
        Where the checkpoints go: a folder that all nodes see, or a URL such as s3://bucket/runs/a, one for each run; "": the run folder.
    checkpoint_every
        Steps between checkpoints within an epoch; 0: at the end of each epoch only.
    resume
        Go on where an earlier run with these settings was ended; where there is none, begin.
    allow_pickle
        Load a base model whose weights are a pickle. It may run any code: only from whom you trust.
    limit
        Train on no more documents than this.

    Returns
    -------
    What is also written to ``training.json``: model (path), parameters, trained_parameters, precision, device, steps, losses by epoch,
    best_epoch, stopped_early, resumed (where it went on, and which half-written checkpoints were passed over), seconds.

    Raises
    ------
    LifecycleError
        There are no data, the base model cannot be loaded, the storage cannot be written, a loss is no number (it says at which step), or
        what is to be resumed had other settings.
    """
    started = time.monotonic()
    run = Path(run_dir)
    manifest = read_json(run / "data" / "manifest.json", made_by="data.prepare")
    settings = settings_of(
        base=base,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        lora_rank=lora_rank,
        precision=precision,
        patience=patience,
        workers=workers,
        threads=threads,
        checkpoint_every=checkpoint_every,
        allow_pickle=allow_pickle,
        seed=seed,
        limit=limit,
    )
    checkpoints = Checkpoints(within(storage or str(run), _FOLDER))
    settings |= {"data": place_of(manifest), "storage": checkpoints.url}
    begin(checkpoints, settings, resume, ours=not storage)
    for judgement in ("evaluation.json", "validation.json"):  # of the model that is replaced now
        (run / judgement).unlink(missing_ok=True)
    outcome = _outcome(checkpoints)
    if outcome is None:
        fit(settings, checkpoints, worker_resources(cpus_per_worker, gpus_per_worker, workers))
        outcome = _outcome(checkpoints)
    if outcome is None:
        raise LifecycleError("Training ended without a word.", "See Ray's logs; resume=True goes on from the last checkpoint.")
    _keep_best(checkpoints, outcome.pop("best_step"), settings, run / "model")
    record = {
        "model": str(run / "model"),
        "base": base,
        **outcome,
        "settings": {name: value for name, value in settings.items() if name not in ("data", "storage")},
        "workers": workers,
        "seconds_in_epochs": outcome["seconds"],
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(run / "training.json", record)
    return record


def settings_of(**given: object) -> Json:
    """What the loop is to do: as ``given`` (see `train`), with what is usual for 0, or `LifecycleError` about what cannot be."""
    settings: Json = dict(given)
    base, lora = settings["base"], settings["lora_rank"]
    for name, least in (
        ("workers", 1),
        *((name, 0) for name in ("epochs", "batch_size", "learning_rate", "lora_rank", "patience", "checkpoint_every")),
    ):
        if settings[name] < least:
            raise LifecycleError(f"{name} is {settings[name]}.", f"Give at least {least}.")
    if settings["precision"] not in PRECISIONS:
        raise LifecycleError(f"There is no precision {settings['precision']}.", f"There are {', '.join(PRECISIONS)}.")
    if lora and base == SMALL_T5:
        raise LifecycleError("LoRA changes a model that has learned already; one from scratch has not.", "Give a base, or lora_rank=0.")
    usual_epochs, usual_rate = (3, 1.5e-3) if base == SMALL_T5 else (1, 3e-4 if lora else 3e-5)
    usual = {"epochs": usual_epochs, "batch_size": 16, "learning_rate": usual_rate}
    return settings | {name: settings[name] or value for name, value in usual.items()}


def place_of(manifest: Json) -> str:
    """Where the data are, for processes with other working directories."""
    path = str(manifest["path"])
    return path if "://" in path else str(Path(path).resolve())


def begin(checkpoints: Checkpoints, settings: Json, resume: bool, ours: bool) -> None:
    """Leave what is to be gone on with, or an empty place with a note of the settings. What is not ``ours`` for certain is not emptied."""
    asked = {name: value for name, value in settings.items() if name not in _NOT_ASKED}
    before = checkpoints.read(_ASKED) if resume else None
    if before is None:
        if checkpoints.names() and checkpoints.read(_ASKED) is None and not ours:
            raise LifecycleError(f"{checkpoints.path} holds what is none of ours and would be removed.", "Name another storage.")
        checkpoints.clear()
        checkpoints.write(_ASKED, asked)
        return
    if differ := [f"{name} {before.get(name)} and not {value}" for name, value in asked.items() if before.get(name) != value]:
        raise LifecycleError(f"What is to be resumed had {', '.join(differ)}.", "Give the same settings, or train anew with resume=False.")
    if "problem" in (checkpoints.read(_loop.OUTCOME) or {}):
        checkpoints.remove(_loop.OUTCOME)  # perhaps it was put right meanwhile


def _outcome(checkpoints: Checkpoints) -> Json | None:
    outcome = checkpoints.read(_loop.OUTCOME)
    if outcome and "problem" in outcome:
        raise LifecycleError(*outcome["problem"])
    return outcome


def _keep_best(checkpoints: Checkpoints, step: int, settings: Json, target: Path) -> None:
    """Put the model of a checkpoint in ``target``'s place, whole or not at all."""
    if step not in checkpoints.steps():
        raise LifecycleError(f"The best checkpoint, of step {step}, is no longer whole.", "Train anew, with resume=False.")
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    with checkpoints.fetched(step) as folder:
        _models.merged(settings, folder, draft)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
