"""Ray Train around the loop: as many workers as asked for, on GPUs where there are some, begun again when one of them is killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from jupyter_kuberay.lifecycle._checkpoints import Checkpoints
from jupyter_kuberay.lifecycle._run import Json, LifecycleError
from jupyter_kuberay.lifecycle._worker import Worker

# How Ray Train is set; it hands these on from the process that calls it.
_RAY_TRAIN = {
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",  # importing torch can take minutes where a disk or the processors are busy
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # it says everything twice
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # there are checkpoints anyway
}
# Threads that have nothing to do sleep. Else they spin, and on a busy machine take the time of those that have.
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}
_RESTARTS = 3
_DDP = {"gradient_as_bucket_view": True}  # gradients are averaged where they are, without a copy of each


def fit(
    settings: Json,
    checkpoints: Checkpoints,
    resources: Json,
    loop: Callable[[Json], None] | None = None,
    callbacks: Sequence[Any] = (),
) -> None:
    """Train by ``settings`` (see training.train) in ``settings["workers"]`` processes of Ray Train, each with ``resources``.

    How it ended is what the loop leaves beside the checkpoints. ``loop`` is what each of them does; by default, train.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer

    for name, value in _RAY_TRAIN.items():
        os.environ.setdefault(name, value)
    place = PurePosixPath(checkpoints.path)
    workers = settings["workers"]
    # Not use_gpu=True: it takes NCCL, which simulated GPUs do not have. Each worker sees for itself whether CUDA is there.
    trainer = TorchTrainer(
        loop or _on_worker,
        train_loop_config=settings,
        scaling_config=ScalingConfig(num_workers=workers, resources_per_worker={name: n for name, n in resources.items() if n}),
        torch_config=TorchConfig(backend=_backend(workers, resources)),
        run_config=RunConfig(
            name=place.name,
            storage_path=str(place.parent),
            storage_filesystem=checkpoints.filesystem,
            failure_config=FailureConfig(max_failures=_RESTARTS),
            worker_runtime_env={"env_vars": ENVIRONMENT},
            callbacks=list(callbacks),
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        failed = getattr(error, "worker_failures", {})  # by rank
        why = str(next(iter(failed.values()), error)).strip().splitlines()[-1]
        last = max(checkpoints.steps(), default=0)
        raise LifecycleError(
            f"Training failed, and again after {_RESTARTS} restarts: {why}",
            f"When that is put right, resume=True goes on after step {last}." if last else "There is no checkpoint of it yet.",
        ) from error


def worker_resources(cpus: float, gpus: float | None, workers: int) -> Json:
    """Of each worker; ``gpus`` None: one where the cluster has one for each."""
    import ray

    if gpus is None:
        gpus = 1.0 if ray.cluster_resources().get("GPU", 0) >= workers else 0.0
    return {"CPU": cpus, "GPU": gpus}


def _backend(workers: int, resources: Json) -> str:
    """How workers average gradients: NCCL on GPUs that are real, which only a process that has one can tell."""
    import ray

    if workers == 1 or not resources.get("GPU"):
        return "gloo"
    options: Json = {"num_cpus": 0, "num_gpus": resources["GPU"]}
    return "nccl" if ray.get(ray.remote(_has_cuda).options(**options).remote()) else "gloo"


def _has_cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())


# On each worker


def _on_worker(settings: Json) -> None:
    from jupyter_kuberay.lifecycle import _loop

    _loop.run(settings, worker(), Checkpoints(settings["storage"]))


def worker() -> Worker:
    """This process of Ray Train's."""
    import ray.train
    from ray.train.torch import prepare_model

    quiet("ray.train")
    context = ray.train.get_context()
    return Worker(
        rank=context.get_world_rank(),
        world=context.get_world_size(),
        beside=context.get_local_world_size(),
        wrap=partial(prepare_model, parallel_strategy_kwargs=_DDP),
        report=ray.train.report,
        say=_say,
    )


def quiet(*names: str) -> None:
    """Ray Train has set this process's loggers to tell everything; its account of every report would drown ours."""
    import logging

    for name in (None, *names):
        logging.getLogger(name).setLevel(logging.WARNING)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
