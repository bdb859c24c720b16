"""The run folder: where each phase finds and leaves its things.

RUN/data/          manifest.json and split=train|validation|test/*.parquet
RUN/tuning/        Ray Tune's trials
RUN/training/      checkpoints
RUN/model/         the trained model: config, tokenizer, safetensors
RUN/evaluation/    summaries.parquet: every summary with every measure of it
RUN/registered/    weights of registered versions, in folders named by content
RUN/requests/      what the service that 07_serving publishes was asked
RUN/monitoring/    drift.html
RUN/tuning.json, RUN/training.json, RUN/evaluation.json, RUN/validation.json, RUN/registered.json, RUN/monitoring.json
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class LifecycleError(Exception):
    """Something about the input that a person can put right: what happened, and a hint what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)  # both, so that it survives pickling on its way from the cluster
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


def read_json(path: str | Path, made_by: str = "") -> Json:
    """The object in ``path``, or `LifecycleError` naming the phase that should have made it."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = f"Run {made_by} with this run folder first." if made_by else "Check the path."
        raise LifecycleError(f"There is no {path}.", hint) from None
    return dict(found)


def write_json(path: str | Path, value: Json) -> None:
    """Write ``value`` so that a reader sees the old file or the new one, never half of one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
