"""The Jupyter server's files, as a person who publishes sees them: models that runs have left, and paths as the file browser has them.

What a run folder holds is written in `jupyter_kuberay.lifecycle`; whatever of it
is missing, half written or somebody else's is passed over.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.faces.server.bodies import Model

APP = "jupyter_kuberay.serving.summarizer:app"  # serves what the lifecycle trains
_RECORDS = ("validation.json", "evaluation.json", "training.json")  # that make a folder with a model a run's; the last one made first
_RUNS = "runs"
_DEEPEST, _DEEPEST_IN_RUNS = 2, 3  # below the root
_PASSED_OVER = {"node_modules", "__pycache__", "site-packages"}
# A home folder is never walked whole, and may be on a slow network.
_MOST_ENTRIES, _MOST_SECONDS, _MOST_MODELS = 20_000, 2.0, 100
_LARGEST_RECORD = 2 << 20
_MINUTE = 60.0

Json = dict[str, Any]


def located(root: Path, app: str, model: str) -> tuple[str, str]:
    """Application and model as asked for, with paths that are relative to ``root`` made whole. Blocks.

    `InvalidSpec` where the application's file is not there.
    """
    where, colon, attribute = app.rpartition(":")
    if where.endswith(".py"):
        path = below(root, where)
        if not os.path.isfile(path):
            raise InvalidSpec(f"There is no file {where[:200]}.", f"Name it as the file browser shows it, below {root}.")
        app = f"{path}{colon}{attribute}"
    # A model's name at a hub looks like a path, too; what is there as a path is meant as one.
    if model and "://" not in model and os.path.exists(path := below(root, model)):
        model = path
    return app, model


def below(root: Path, path: str) -> str:
    """A path as the file browser has it, made whole; a URL stays."""
    return path if "://" in path else os.path.normpath(root / os.path.expanduser(path))


def found(root: Path) -> list[Model]:
    """Models in run folders: ``root``, folders a little below it, and those in folders called "runs". Blocks, for some seconds at most.

    Those that may be published first, then those that nobody has judged; each the newest first.
    """
    models = [_model(root, run) for run in _runs(root)]
    rank = {True: 0, None: 1, False: 2}
    return sorted(sorted(models, key=lambda each: each.when, reverse=True), key=lambda each: rank[each.validated])


def _runs(root: Path) -> list[Path]:
    """The newest run folders."""
    runs = {path: changed for path in _folders(root) if (changed := _ran(path))}
    return sorted(runs, key=lambda path: runs[path], reverse=True)[:_MOST_MODELS]


def _ran(folder: Path) -> float:
    """When a run last left a record; 0.0 where it has left no model."""
    times = [_changed(folder / name) for name in _RECORDS]
    try:
        return max(times) if any(times) and (folder / "model").is_dir() else 0.0
    except OSError:
        return 0.0


def _folders(root: Path) -> Iterator[Path]:
    """The near ones first, and of these the likely ones."""
    until, left = time.monotonic() + _MOST_SECONDS, _MOST_ENTRIES
    waiting: deque[tuple[Path, int]] = deque([(root, 0)])
    met: set[str] = set()  # a link may lead back
    while waiting and left > 0 and time.monotonic() < until:
        folder, depth = waiting.popleft()
        if (place := os.path.realpath(folder)) in met:
            continue
        met.add(place)
        yield folder
        if depth >= (_DEEPEST_IN_RUNS if folder.name == _RUNS else _DEEPEST):
            continue
        below = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    left -= 1
                    if left <= 0 or time.monotonic() > until:
                        break
                    if not entry.name.startswith(".") and entry.name not in _PASSED_OVER and entry.is_dir():
                        below.append(Path(entry.path))
        except OSError:
            continue  # not this user's to read, or gone meanwhile
        below.sort(key=lambda path: path.stat().st_mtime if path.exists() else 0.0, reverse=True)
        for path in below:
            if path.name == _RUNS or folder.name == _RUNS:
                waiting.appendleft((path, depth + 1))
            else:
                waiting.append((path, depth + 1))


def _model(root: Path, run: Path) -> Model:
    validation, evaluation = _record(run / "validation.json"), _record(run / "evaluation.json")
    when = next(filter(None, (_changed(run / name) for name in _RECORDS)), 0.0)
    return Model(
        path=_shown(root, run / "model"),
        run=_shown(root, run),
        title=run.name,
        validated=_validated(run, validation),
        when=datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds"),
        metrics=_metrics(run, evaluation),
        app=APP,
    )


def _validated(run: Path, record: Json) -> bool | None:
    """What was judged must be what is there: of another model, or of the one before the last training, it tells nothing."""
    passed = record.get("passed")
    if not isinstance(passed, bool) or not _is_model_of(run, record.get("model")):
        return None
    return None if _changed(run / "training.json") > _changed(run / "validation.json") + _MINUTE else passed


def _metrics(run: Path, record: Json) -> dict[str, float]:
    models, scores = record.get("models"), record.get("scores")
    mine = scores.get("model") if isinstance(scores, dict) else None
    if not isinstance(models, dict) or not isinstance(mine, dict) or not _is_model_of(run, models.get("model")):
        return {}
    value = mine.get("rougeL")
    return {"rougeL": float(value)} if isinstance(value, int | float) and math.isfinite(value) else {}


def _is_model_of(run: Path, place: object) -> bool:
    """By the ends of both: the folder may have been moved, or be mounted elsewhere."""
    return isinstance(place, str) and Path(place).parts[-2:] == (run.name, "model")


def _record(path: Path) -> Json:
    try:
        if path.stat().st_size > _LARGEST_RECORD:
            return {}
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _changed(path: Path) -> float:
    """When it was last written; 0.0 where it is not there."""
    try:
        return path.stat().st_mtime
    except (OSError, ValueError):
        return 0.0


def _shown(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
