"""Training with Ray Train against the same steps in a plain torch loop, and two workers against one.

    .venv/bin/python benchmarks/training.py

All are processes that are up at the same time and take blocks of steps in turn: on the same batches, of the small T5, with a thread each.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests', and for Ray's processes

from _pairs import Pairs, pairs, report

from jupyter_kuberay.lifecycle import _examples, _fit, _loop, _models, _precision
from jupyter_kuberay.lifecycle._checkpoints import Checkpoints
from jupyter_kuberay.lifecycle._plan import Plan
from tests.local.a_ray import a_ray
from tests.unit.training import settings, write_data

BLOCK = 2  # steps: on a machine with other work, many short turns tell more than few long ones
STEP_PAIRS, SCALE_PAIRS = 60, 24
KEY = b"turns"
PLAIN = ("plain", "another plain")  # the second one tells what two cores do at the most
Asked = dict[str, Any]


# In the processes that train


def plain(asked: Asked, name: str) -> None:
    """The loop as one would write it without this package and without Ray."""
    import torch

    torch.manual_seed(asked["seed"])
    model, tokenizer = _models.started(asked)
    rows = _examples.load(asked["data"], "train", tokenizer, None).rows
    plan = Plan([len(document) for document, _ in rows], asked["batch_size"], 1, asked["epochs"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=asked["learning_rate"], betas=(0.9, 0.98), fused=True)
    cpu = torch.device("cpu")
    precision = _precision.chosen(asked["precision"], cpu)
    model.train()
    with Client(asked["turns"], authkey=KEY) as turns:
        turns.send(name)
        for step, batch in batches(plan, 0, asked, turns):
            for group in optimizer.param_groups:
                group["lr"] = asked["learning_rate"] * plan.warmth(step)
            with _precision.autocast(precision, cpu):
                loss = model(**_examples.batch([rows[row] for row in batch], tokenizer.pad_token_id, cpu)).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            loss.item()


def trained(asked: Asked) -> None:
    """What a worker of Ray Train's does, without epochs' ends."""
    training = _loop.Training(asked, _fit.worker(), Checkpoints(asked["storage"]))
    training.model.train()
    if not training.worker.first:
        for _, batch in batches(training.plan, training.worker.rank, asked, None, training):
            training.step(batch)
            training.progress.step += 1
        return
    with Client(asked["turns"], authkey=KEY) as turns:
        turns.send(asked["workers"])
        for _, batch in batches(training.plan, 0, asked, turns, training):
            training.step(batch)
            training.progress.step += 1


def batches(plan: Plan, rank: int, asked: Asked, turns: Connection | None, training: Any = None) -> Iterator[tuple[int, list[int]]]:
    """Steps for as long as it is this process's turn; then how long they took is told."""
    import torch

    steps = ((step, batch) for epoch in count() for step, batch in enumerate(plan.batches(epoch, rank, asked["seed"]), epoch * plan.steps))
    while True:
        wanted = turns.recv() if turns else None
        number, threads = training.worker.agreed(wanted) if training else wanted
        if not number:
            return
        torch.set_num_threads(threads)
        began, worked = time.perf_counter(), time.process_time()
        for _ in range(number):
            yield next(steps)
        if turns:
            turns.send((time.perf_counter() - began, time.process_time() - worked))


# In the process that measures


class Turns:
    """A process that takes steps when told to."""

    def __init__(self, listener: Listener) -> None:
        self.connection = listener.accept()
        self.name = str(self.connection.recv())
        self.worked: list[float] = []  # seconds of CPU, each time

    def take(self, steps: int = BLOCK, threads: int = 1) -> float:
        """Seconds that ``steps`` take."""
        self.begin(steps, threads)
        return self.taken()

    def begin(self, steps: int = BLOCK, threads: int = 1) -> None:
        """Let it take ``steps``."""
        self.connection.send((steps, threads))

    def taken(self) -> float:
        """Seconds that they took."""
        seconds, worked = self.connection.recv()
        self.worked.append(worked)
        return float(seconds)

    def end(self) -> None:
        self.connection.send((0, 1))


def main() -> int:
    with (
        tempfile.TemporaryDirectory() as folder,
        a_ray(cpus=4),
        ThreadPoolExecutor() as pool,
        Listener(("127.0.0.1", 0), backlog=4, authkey=KEY) as at,
    ):
        data = write_data(Path(folder) / "data", train=3200, validation=100)
        asked = settings(data, batch_size=16, epochs=20, precision="auto", checkpoint_every=0) | {"turns": at.address}
        # As Ray Train's workers have it: threads that wait do not take the cores of those that work.
        environment = os.environ | _fit.ENVIRONMENT | {"OMP_NUM_THREADS": "1"}
        bare = [subprocess.Popen([sys.executable, __file__, name, repr(asked)], env=environment) for name in PLAIN]
        ended = [pool.submit(group, asked, folder, workers) for workers in (1, 2)]
        named = {each.name: each for each in (Turns(at) for _ in range(4))}
        alone, other, one, two = (named[name] for name in (*PLAIN, "1", "2"))
        try:
            for each in named.values():
                each.take(10)  # the first steps are slower
            met = [told_steps(one, alone), told_scale(one, two, alone, other)]
        finally:
            for each in named.values():
                each.end()
            for process in bare:
                process.wait()
            for future in ended:
                future.result()
    return 0 if all(met) else 1


def group(asked: Asked, folder: str, workers: int) -> None:
    checkpoints = Checkpoints(f"{folder}/{workers}")
    _fit.fit(asked | {"workers": workers, "storage": checkpoints.url}, checkpoints, {"CPU": 1}, loop=trained)


def told_steps(ours: Turns, bare: Turns) -> bool:
    measured = pairs(ours.take, bare.take, STEP_PAIRS)
    worked = Pairs(tuple(ours.worked[-STEP_PAIRS:]), tuple(bare.worked[-STEP_PAIRS:]))
    one, other = (1000 * statistics.median(seconds) / BLOCK for seconds in (measured.ours, measured.bare))
    spread = sorted(mine / theirs for mine, theirs in zip(measured.ours, measured.bare, strict=True))
    middle = f"{spread[len(spread) // 4]:.3f} to {spread[-len(spread) // 4]:.3f}"
    detail = f"{one:.1f} ms and {other:.1f} ms a step, half of the {len(spread)} pairs within {middle}; of CPU time {worked.ratio:.3f}"
    return report(
        "a step with Ray Train by one in plain torch",
        f"{measured.ratio:.3f}",
        goal="at most 1.03",
        met=measured.ratio <= 1.03,
        detail=detail,
    )


def told_scale(one: Turns, two: Turns, alone: Turns, other: Turns) -> bool:
    measured = pairs(two.take, one.take, SCALE_PAIRS)
    ratio = 2 / measured.ratio  # a step of two workers takes twice as many rows
    both_cores = 2 / pairs(two.take, lambda: one.take(threads=2), SCALE_PAIRS // 2).ratio
    most = 2 / pairs(lambda: at_once(alone, other), alone.take, SCALE_PAIRS).ratio
    detail = f"by one worker with two threads: {both_cores:.2f}; two plain loops that share nothing, by one of them: {most:.2f}"
    return report("rows a second of two workers by one, a core each", f"{ratio:.2f}", goal="at least 1.5", met=ratio >= 1.5, detail=detail)


def at_once(*some: Turns) -> float:
    """Seconds until each has taken its steps beside the others."""
    for each in some:
        each.begin()
    return max([each.taken() for each in some])


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in PLAIN:
        import ast

        plain(ast.literal_eval(sys.argv[2]), sys.argv[1])
    else:
        sys.exit(main())
