"""Small data for training, and a training that is ended after a step, as if its process had been killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_kuberay.lifecycle import _loop, incidents
from jupyter_kuberay.lifecycle._checkpoints import Checkpoints
from jupyter_kuberay.lifecycle._worker import Worker
from jupyter_kuberay.lifecycle.training import SMALL_T5, settings_of

USUAL: dict[str, Any] = {
    "base": SMALL_T5,
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "lora_rank": 0,
    "precision": "fp32",
    "patience": 0,
    "workers": 1,
    "threads": 1,
    "checkpoint_every": 2,
    "allow_pickle": False,
    "seed": 7,
    "limit": None,
}


def write_data(folder: Path, train: int = 40, validation: int = 8) -> str:
    """Splits of incident reports, as data.prepare leaves them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = list(incidents.reports(train + validation))
    for split, part in (("train", rows[:train]), ("validation", rows[train:])):
        if not part:
            continue
        (folder / f"split={split}").mkdir(parents=True, exist_ok=True)
        pq.write_table(
            pa.Table.from_pylist([{**row, "key": f"{at:032x}"} for at, row in enumerate(part)]), folder / f"split={split}/0.parquet"
        )
    return str(folder)


def settings(data: str, **given: Any) -> dict[str, Any]:
    return settings_of(**USUAL | given) | {"data": data}


class Killed(BaseException):
    """Of the process; nothing of ours may catch it."""


def train(asked: dict[str, Any], place: Path | str, kill_at: int = -1, say: Callable[[str], None] = print) -> dict[str, Any]:
    """The loop in this process; `Killed` before step ``kill_at`` is taken (counted from 0, over all epochs)."""

    class Mortal(_loop.Training):
        def step(self, rows: list[int]) -> float:
            if self.progress.step == kill_at:
                raise Killed
            return super().step(rows)

    if kill_at >= 0:
        return Mortal(asked, Worker(say=say), Checkpoints(str(place))).run()
    return _loop.run(asked, Worker(say=say), Checkpoints(str(place)))
