"""Tuning with Ray Tune: Optuna chooses what to try next, ASHA stops what does not get far, and every trial goes on where it was ended."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_kuberay.lifecycle import _loop
from jupyter_kuberay.lifecycle._checkpoints import Checkpoints, within
from jupyter_kuberay.lifecycle._fit import ENVIRONMENT, fit, quiet, worker_resources
from jupyter_kuberay.lifecycle._run import Json, LifecycleError, read_json, write_json
from jupyter_kuberay.lifecycle._worker import Worker
from jupyter_kuberay.lifecycle.training import SMALL_T5, begin, place_of, settings_of

_FOLDER, _TRIALS = "tuning", "checkpoints"
_METRIC = "validation"  # the loss on held-out documents
_SEARCHED = ("learning_rate", "batch_size", "lora_rank", "precision", "seed")
_RESTARTS = 3  # of a trial whose process was killed
# How Ray Tune is set, where nobody has set it.
_RAY_TUNE = {
    "TUNE_GLOBAL_CHECKPOINT_S": "1",  # how old what it notes of a search may be when its driver is killed
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # TensorBoard's takes no lists, and says so for each
    "RAY_AIR_NEW_OUTPUT": "0",  # it prints a banner whatever `verbose` is
}


def tune(
    run_dir: str,
    *,
    trials: int = 8,
    at_once: int = 2,
    epochs: int = 2,
    limit: int | None = 600,
    space: Mapping[str, Any] | None = None,
    base: str = SMALL_T5,
    lora_rank: int = 0,
    precision: str = "auto",
    workers: int = 1,
    cpus_per_worker: float = 1,
    gpus_per_worker: float | None = None,
    threads: int = 0,
    storage: str = "",
    checkpoint_every: int = 100,
    resume: bool = False,
    allow_pickle: bool = False,
    seed: int = 7,
) -> Json:
    """Look for the settings of training.train that give the lowest loss on held-out documents of ``run_dir/data``.

    The first trial has the usual settings, so that what is found is at least as good. A trial whose process is killed goes on from its
    last checkpoint; one whose loss is no number is told as failed, and the search goes on.

    Parameters
    ----------
    trials, at_once
        How many settings are tried, and how many at the same time.
    epochs
        Of a trial that ASHA does not stop before.
    limit
        A trial trains on no more documents than this.
    space
        What is searched, by the names of train's parameters: learning_rate, batch_size, lora_rank, precision, seed. A tuple (low, high) is
        all between on a log scale, a list one of its items; Ray Tune's own (such as ``tune.uniform(0, 1)``) are taken, too. What is empty
        is the usual: a learning rate of a fifth to one and a half times train's, batches of 16 or 32. None: these two. Of a wider space,
        short trials choose learning rates that are too high for a whole training: give them more epochs and documents.
    workers, cpus_per_worker, gpus_per_worker
        Of each trial. With one worker a trial is one process, with more it is a run of Ray Train's.
    threads
        Of torch in each worker; 0: all cores of this machine, shared among the trials at a time.
    storage, checkpoint_every, base, lora_rank, precision, allow_pickle
        As in training.train.
    resume
        Go on with a search with these settings that was ended, also by a kill; where there is none, begin.
    seed
        Of the search, and of each trial.

    Returns
    -------
    What is also written to ``tuning.json``: best (the settings, as train takes them), loss, trials (settings, losses by epoch, state:
    "ended", "stopped early" or "failed", problem, resumed, seconds), seconds.

    Raises
    ------
    LifecycleError
        There are no data, the space is none, no trial came to a loss, or what is to be resumed had other settings.
    """
    started = time.monotonic()
    run = Path(run_dir)
    manifest = read_json(run / "data" / "manifest.json", made_by="data.prepare")
    for name, value in (("trials", trials), ("at_once", at_once), ("epochs", epochs)):
        if value < 1:
            raise LifecycleError(f"{name} is {value}.", "Give at least 1.")
    settings = settings_of(
        base=base,
        epochs=epochs,
        batch_size=0,
        learning_rate=0.0,
        lora_rank=lora_rank,
        precision=precision,
        patience=0,  # that is ASHA's part
        workers=workers,
        threads=threads or max(1, (os.cpu_count() or 1) // (at_once * workers)),
        checkpoint_every=checkpoint_every,
        allow_pickle=allow_pickle,
        seed=seed,
        limit=limit,
    )
    place = Checkpoints(within(storage or str(run), _FOLDER))
    settings |= {"data": place_of(manifest), "storage": place.url, "resources": worker_resources(cpus_per_worker, gpus_per_worker, workers)}
    usual = _usual_space(settings)
    domains = _domains({name: given or usual.get(name) for name, given in (usual if space is None else space).items()})
    asked = {"trials": trials, "space": {name: str(domain.domain_str) for name, domain in domains.items()}}
    begin(place, settings | asked, resume, ours=not storage)
    results = _searched(place, settings, domains, trials, at_once)
    tried = [_record(number, result, epochs) for number, result in enumerate(results, start=1)]
    record = {**_best(tried), "trials": tried, "seconds": round(time.monotonic() - started, 1)}
    write_json(run / "tuning.json", record)
    return record


def _usual_space(settings: Json) -> Mapping[str, Any]:
    # Not far up: a short trial on a part of the data prefers larger rates and smaller batches than a whole training bears.
    rate = settings["learning_rate"]
    return {"learning_rate": (rate / 5, rate * 1.5), "batch_size": [16, 32]}


def _domains(space: Mapping[str, Any]) -> dict[str, Any]:
    """A space as Ray Tune has it, or `LifecycleError` about what cannot be searched."""
    from ray import tune
    from ray.tune.search.sample import Domain

    if unknown := set(space) - set(_SEARCHED):
        raise LifecycleError(f"{', '.join(sorted(unknown))} cannot be searched.", f"Name some of {', '.join(_SEARCHED)}.")
    domains: dict[str, Any] = {}
    for name, given in space.items():
        if isinstance(given, tuple) and len(given) == 2 and 0 < given[0] < given[1]:
            domains[name] = (tune.lograndint if all(isinstance(end, int) for end in given) else tune.loguniform)(*given)
        elif isinstance(given, list) and given:
            domains[name] = tune.choice(given)
        elif isinstance(given, Domain):
            domains[name] = given
        else:
            raise LifecycleError(f"{given} is no space for {name}.", "Give (low, high) with 0 < low < high, a list, or one of Ray Tune's.")
    if not domains:
        raise LifecycleError("There is nothing to search.", f"Name some of {', '.join(_SEARCHED)} in space.")
    return domains


def _searched(place: Checkpoints, settings: Json, domains: dict[str, Any], trials: int, at_once: int) -> Any:
    """Ray Tune's results: of a search that goes on, where there is one to go on with."""
    from ray import tune
    from ray.tune.logger import JsonLoggerCallback

    for name, value in {**_RAY_TUNE, "TUNE_MAX_PENDING_TRIALS_PG": str(at_once)}.items():
        os.environ.setdefault(name, value)
    # A trial of several workers only waits for them. Ray Tune takes no empty request, and a share of a CPU could be one too much.
    alone, own = settings["workers"] == 1, settings["resources"]
    resources = {"cpu": own["CPU"], "gpu": own["GPU"]} if alone else {"memory": 1 << 20}
    trainable = tune.with_resources(tune.with_parameters(_trial, settings=settings), resources)
    if tune.Tuner.can_restore(place.path, storage_filesystem=place.filesystem):
        return tune.Tuner.restore(place.path, trainable, resume_errored=True, storage_filesystem=place.filesystem).fit()
    tuner = tune.Tuner(
        trainable,
        param_space=domains,
        tune_config=_strategy(settings, domains, trials, at_once),
        run_config=tune.RunConfig(
            name=Path(place.path).name,
            storage_path=str(Path(place.path).parent),
            storage_filesystem=place.filesystem,
            failure_config=tune.FailureConfig(max_failures=_RESTARTS),
            callbacks=[JsonLoggerCallback(), _teller(settings)],
            verbose=0,
        ),
    )
    return tuner.fit()


def _strategy(settings: Json, domains: dict[str, Any], trials: int, at_once: int) -> Any:
    import logging

    import optuna
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    usual = {name: settings[name] for name in domains}
    first = [usual] if all(domain.is_valid(usual[name]) for name, domain in domains.items()) else []
    # Its own ten trials by chance would be all there are of a short search.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("ray.tune").setLevel(logging.WARNING)  # what it writes where
    sampler = optuna.samplers.TPESampler(seed=settings["seed"], n_startup_trials=max(3, min(10, trials // 3)))
    return tune.TuneConfig(
        metric=_METRIC,
        mode="min",
        search_alg=OptunaSearch(metric=_METRIC, mode="min", sampler=sampler, points_to_evaluate=first),
        scheduler=ASHAScheduler(time_attr="epoch", max_t=settings["epochs"], grace_period=1, reduction_factor=2),
        num_samples=trials,
        max_concurrent_trials=at_once,
        reuse_actors=True,  # importing torch takes as long as a short trial
        trial_dirname_creator=_trial_name,
        trial_name_creator=_trial_name,
    )


def _trial_name(trial: Any) -> str:
    return f"trial-{trial.trial_id}"


def _teller(settings: Json) -> Any:
    """Ray Tune's callback that says in a line what a trial has come to, and drops the checkpoints of one that has ended."""
    from ray import tune

    class Teller(tune.Callback):
        def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Json, **_: Any) -> None:
            came = result.get("problem") or f"epoch {result['epoch']}, loss on held-out documents {result[_METRIC]:.4f}"
            sys.stdout.write(f"trial {_number(trials, trial)} ({_shown(trial.config)}): {came}\n")
            sys.stdout.flush()

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            Checkpoints(_place_of_trial(settings, trial.trial_id)).clear()

    return Teller()


def _number(trials: list[Any], trial: Any) -> int:
    return next(number for number, each in enumerate(trials, start=1) if each.trial_id == trial.trial_id)


def _shown(config: Json) -> str:
    return ", ".join(f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}" for name, value in config.items())


def _place_of_trial(settings: Json, trial: str) -> str:
    return within(settings["storage"], _TRIALS, trial)


# In a trial's process


def _trial(config: Json, settings: Json) -> None:
    from ray import tune

    os.environ |= ENVIRONMENT  # before torch is imported
    quiet("ray.tune", "ray.train")
    settings = settings | config
    place = Checkpoints(_place_of_trial(settings, tune.get_context().get_trial_id()))
    last: Json = {"losses": [], "resumed": [], "seconds": 0.0}

    def report(told: Json) -> None:
        last.update(told)
        tune.report(told)

    if settings["workers"] == 1:
        outcome = _loop.run(settings, Worker(report=report), place)
    else:
        from ray.tune.integration.ray_train import TuneReportCallback

        place.remove(_loop.OUTCOME)
        fit(settings | {"storage": place.url}, place, settings["resources"], callbacks=[TuneReportCallback()])
        outcome = place.read(_loop.OUTCOME) or {}
    if "problem" in outcome:
        # Without its epoch: ASHA compares with what it is told, and with an infinite loss it could not. Optuna learns from it.
        told = {name: last[name] for name in ("losses", "resumed", "seconds")}
        tune.report({**told, _METRIC: math.inf, "problem": outcome["problem"][0]})


# What came of it


def _record(number: int, result: Any, epochs: int) -> Json:
    metrics = result.metrics or {}
    losses = list(metrics.get("losses", []))
    problem = metrics.get("problem") or (str(result.error).strip().splitlines()[-1] if result.error else "")
    state = "failed" if problem else "ended" if len(losses) >= epochs else "stopped early"
    found = {"trial": number, "settings": dict(result.config or {}), "losses": losses, "state": state}
    return found | {"problem": problem, "resumed": metrics.get("resumed", []), "seconds": metrics.get("seconds", 0.0)}


def _best(tried: list[Json]) -> Json:
    """The settings with the lowest loss of any epoch: training keeps that epoch's model."""
    scores = [
        (min(loss["validation"] for loss in trial["losses"]), trial) for trial in tried if trial["losses"] and trial["state"] != "failed"
    ]
    if not scores:
        why = next((trial["problem"] for trial in tried if trial["problem"]), "none was run.")
        raise LifecycleError(f"No trial came to a loss: {why}", "Search lower learning rates, or put right what this names.")
    loss, best = min(scores, key=lambda score: score[0])
    return {"best": best["settings"], "loss": loss}
