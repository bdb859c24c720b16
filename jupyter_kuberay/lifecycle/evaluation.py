"""How good a summarizer is on reports that it has not seen: ROUGE, beside what it has to beat."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.lifecycle._run import Json, LifecycleError, read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("rouge1", "rouge2", "rougeL")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def evaluate(
    run_dir: str,
    *,
    model: str = "",
    published: str = "",
    split: str = "test",
    limit: int | None = None,
    worst: int = 5,
    batch_size: int = 32,
    workers: int = 1,
    gpus_per_worker: float = 0,
) -> Json:
    """Score a model on a split of ``run_dir/data``, beside Lead-1 and what is published now.

    Parameters
    ----------
    model
        Path, URL or name; "": ``run_dir/model``.
    published
        The model of the last published revision, likewise; "": there is none.
    limit
        Take no more reports than this.
    worst
        How many of the worst summaries to show.
    workers, gpus_per_worker
        Processes that summarize, side by side.

    Returns
    -------
    What is also written to ``evaluation.json``: ``scores`` by candidate (model, lead1, published) and metric,
    F-measures from 0 to 1; ``rouge_l`` of each report; ``worst``; seconds. All summaries go to ``evaluation/summaries.parquet``.

    Raises
    ------
    LifecycleError
        There are no data or no model.
    """
    import ray.data

    from jupyter_kuberay.lifecycle.data import load_split, quiet

    started = time.monotonic()
    run = Path(run_dir)
    manifest = read_json(run / "data" / "manifest.json", made_by="data.prepare")
    models = {"model": model or str(run / "model")} | ({"published": published} if published else {})
    if not model and not (run / "model").is_dir():
        raise LifecycleError(f"There is no model in {run}.", "Run training.train with this run folder first, or give model=.")
    rows = load_split(manifest["path"], split).select(["document", "summary"])
    rows = rows.slice(0, limit) if limit is not None else rows
    if not rows.num_rows:
        raise LifecycleError(f"There is no report in the split {split}.", "Prepare more data, or choose another split.")
    quiet()
    told = (
        ray.data.from_arrow(rows)
        .repartition(max(workers, 1))
        .map_batches(
            _Summarize,
            fn_constructor_args=(models, batch_size),
            batch_format="pandas",
            batch_size=8 * batch_size,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
            num_gpus=gpus_per_worker or None,
        )
        .to_pandas()
        .sort_values("document", ignore_index=True)
    )
    told["lead1"] = told["document"].map(lead1)
    record = score(told, worst)
    (run / "evaluation").mkdir(parents=True, exist_ok=True)
    told.to_parquet(run / "evaluation" / "summaries.parquet")
    record |= {"models": models, "split": split, "seconds": round(time.monotonic() - started, 1)}
    write_json(run / "evaluation.json", record)
    return record


def score(told: pd.DataFrame, worst: int = 5) -> Json:
    """Compare the columns model, lead1 and published (where there) with the column summary."""
    candidates = [name for name in ("model", "lead1", "published") if name in told]
    wanted = told["summary"].tolist()
    by_report = {name: [rouge(right, text) for right, text in zip(wanted, told[name], strict=True)] for name in candidates}
    scores = {name: {metric: mean(one[metric] for one in found) for metric in METRICS} for name, found in by_report.items()}
    rouge_l = [one["rougeL"] for one in by_report["model"]]
    last = sorted(range(len(rouge_l)), key=rouge_l.__getitem__)[:worst]
    cases = [
        {"rougeL": round(rouge_l[row], 3), **{name: str(told[name][row]) for name in ("document", "summary", "model")}} for row in last
    ]
    return {"reports": len(wanted), "scores": scores, "rouge_l": [round(value, 3) for value in rouge_l], "worst": cases}


def rouge(right: str, text: str) -> dict[str, float]:
    """ROUGE-1, -2 and -L of one summary: F-measures on stemmed words (Lin 2004, by the package rouge-score)."""
    return {name: float(found.fmeasure) for name, found in _scorer().score(right, text).items()}


def lead1(document: str) -> str:
    """The first sentence: the summary that costs nothing."""
    return _SENTENCE_END.split(document.strip(), maxsplit=1)[0]


def mean(values: Iterable[float]) -> float:
    found: Sequence[float] = list(values)
    return round(sum(found) / len(found), 4) if found else 0.0


def _scorer() -> Any:
    global _SCORER
    if _SCORER is None:
        from rouge_score.rouge_scorer import RougeScorer

        _SCORER = RougeScorer(list(METRICS), use_stemmer=True)
    return _SCORER


_SCORER: Any = None


class _Summarize:
    """Adds a column with each model's summaries. The code is the one that serves."""

    def __init__(self, models: Mapping[str, str], batch_size: int) -> None:
        import os

        import torch

        from jupyter_kuberay.serving.summarizer import Model, Unusable

        # Batch work, with nothing beside it: Ray would leave it one thread.
        torch.set_num_threads(os.cpu_count() or 1)
        try:
            self.models = {name: Model(place, batch_size=batch_size) for name, place in models.items()}
            self.problem = ""
        except Unusable as error:
            self.models, self.problem = {}, str(error)

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        if self.problem:
            raise LifecycleError(self.problem, "Give the path, URL or name of a model that the cluster can reach.")
        return batch.assign(**{name: model.summarize(batch["document"].tolist()) for name, model in self.models.items()})
