"""How good a summarizer is on reports that it has not seen: many measures, beside what it has to beat, and how sure that is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.lifecycle import intervals, weights
from jupyter_kuberay.lifecycle._run import Json, LifecycleError, read_json, write_json
from jupyter_kuberay.lifecycle.measures import MEANING, METRICS, Measure, checked, lead1, mean, measured, rouge

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from ray.data import Dataset

__all__ = ["CANDIDATES", "MEANING", "METRICS", "Slice", "evaluate", "lead1", "mean", "rouge", "score"]

Slice = str | Callable[[dict[str, Any]], object]  # a column of the data, or a function of a row

CANDIDATES = ("model", "lead1", "published")
_LOADS = "Give the path, URL or name of a model that the cluster can reach."
_MOST_VALUES = 20  # of a slice: the largest ones
_PROBLEM = "_problem"  # a column that says what keeps a row from being summarized or measured


def evaluate(
    run_dir: str,
    *,
    model: str = "",
    published: str = "",
    split: str = "test",
    limit: int | None = None,
    metrics: Mapping[str, Measure] | None = None,
    slices: Mapping[str, Slice] | None = None,
    worst: int = 5,
    batch_size: int = 32,
    workers: int = 1,
    gpus_per_worker: float = 0,
) -> Json:
    """Score a model on a split of ``run_dir/data``, beside Lead-1 and what is published now.

    A worker that dies meanwhile is replaced, and what it had is summarized again.

    Parameters
    ----------
    model
        Path, URL or name; "": ``run_dir/model``.
    published
        The model of the last published revision, likewise; "": there is none.
    limit
        Take no more reports than this.
    metrics
        Further ones: by name, a function of the document, its right summary and the told one that gives a number;
        None or NaN where it means nothing. It runs on the cluster.
    slices
        By what else than its length the reports are told apart: by name, a column of the data, or a function of a row.
    worst
        How many of the worst summaries to show.
    workers, gpus_per_worker
        Processes that summarize, side by side.

    Returns
    -------
    What is also written to ``evaluation.json``: ``scores`` by candidate (model, lead1, published) and metric, means;
    ``intervals`` likewise, each [low, high] of 95 %, by bootstrap; ``differences`` of the model from each other candidate, by
    metric: mean, low, high, paired; ``slices``; ``rouge_l`` of each report; ``worst``; seconds.
    All summaries with all measures go to ``evaluation/summaries.parquet``.

    Raises
    ------
    LifecycleError
        There are no data or no model; the model is of a wrong kind; a metric failed, or a slice is not there.
    """
    import ray.data

    from jupyter_kuberay.lifecycle.data import load_split, quiet

    started = time.monotonic()
    run, own = Path(run_dir), checked(metrics)
    manifest = read_json(run / "data" / "manifest.json", made_by="data.prepare")
    if not model and not (run / "model").is_dir():
        raise LifecycleError(f"There is no model in {run}.", "Run training.train with this run folder first, or give model=.")
    models = {"model": model or str(run / "model")} | ({"published": published} if published else {})
    for place in models.values():
        _refuse_wrong_kind(place)
    rows = load_split(manifest["path"], split)
    columns = ["document", "summary", *_columns(slices, rows.column_names)]
    rows = rows.select(columns).slice(0, rows.num_rows if limit is None else limit)
    if not rows.num_rows:
        raise LifecycleError(f"There is no report in the split {split}.", "Prepare more data, or choose another split.")
    quiet()
    told = _told(ray.data.from_arrow(rows), models, own, batch_size, workers, gpus_per_worker)
    record = score(told, worst, slices=slices)
    (run / "evaluation").mkdir(parents=True, exist_ok=True)
    told.to_parquet(run / "evaluation" / "summaries.parquet")
    record |= {"models": models, "split": split, "seconds": round(time.monotonic() - started, 1)}
    write_json(run / "evaluation.json", record)
    return record


def score(
    told: pd.DataFrame, worst: int = 5, *, metrics: Mapping[str, Measure] | None = None, slices: Mapping[str, Slice] | None = None
) -> Json:
    """Compare the columns model, lead1 and published (where there) with the column summary. See `evaluate`."""
    candidates = [name for name in CANDIDATES if name in told]
    if f"model.{METRICS[0]}" not in told:
        told = measure(told, metrics)
    names = [str(name).removeprefix("model.") for name in told if str(name).startswith("model.")]
    values = told[[f"{candidate}.{name}" for candidate in candidates for name in names]].to_numpy(float)
    found = _summary(values, candidates, names)
    rouge_l = told["model.rougeL"].tolist()
    return {
        "reports": len(told),
        "metrics": names,
        **found,
        "slices": list(_slices(told, values, candidates, names, slices or {})),
        "rouge_l": [round(value, 3) for value in rouge_l],
        "worst": _worst(told, rouge_l, candidates, worst),
    }


def measure(batch: pd.DataFrame, metrics: Mapping[str, Measure] | None = None) -> pd.DataFrame:
    """Add a column CANDIDATE.METRIC for every candidate and metric."""
    import pandas as pd

    parts = [batch]
    for name in CANDIDATES:
        if name in batch:
            rows = zip(batch["document"], batch["summary"], batch[name], strict=True)
            found = [measured(document, summary, text, metrics) for document, summary, text in rows]
            parts.append(pd.DataFrame(found, index=batch.index).add_prefix(f"{name}."))
    return pd.concat(parts, axis=1)


# What the numbers say


def _summary(values: NDArray[np.float64], candidates: list[str], names: list[str]) -> Json:
    """Means and intervals by candidate and metric, and the model's differences from the other candidates."""
    means = intervals.resampled_means(values)
    at = {candidate: slice(row * len(names), (row + 1) * len(names)) for row, candidate in enumerate(candidates)}
    own, own_means = values[:, at["model"]], means[:, at["model"]]
    differences = {
        other: {
            name: {"mean": mean((own - values[:, at[other]])[:, column]), **_ends(own_means[:, column] - means[:, at[other]][:, column])}
            for column, name in enumerate(names)
        }
        for other in candidates
        if other != "model"
    }
    return {
        "scores": {each: {name: mean(values[:, at[each]][:, i]) for i, name in enumerate(names)} for each in candidates},
        "intervals": {each: {name: intervals.interval(means[:, at[each]][:, i]) for i, name in enumerate(names)} for each in candidates},
        "differences": differences,
    }


def _ends(means: NDArray[np.float64]) -> Json:
    low, high = intervals.interval(means) or (None, None)
    return {"low": low, "high": high}


def _slices(told: pd.DataFrame, values: NDArray[np.float64], candidates: list[str], names: list[str], given: Mapping[str, Slice]) -> Any:
    """Each slice by itself: length from short to long, the others from the largest on."""
    for name, by in {"length": _thirds(told), **given}.items():
        groups = told[by].astype(str) if isinstance(by, str) else _by_function(told, name, by)
        found = [str(value) for value in groups.value_counts().head(_MOST_VALUES).index]
        if name == "length" and name not in given:
            found.sort(key=lambda value: min(map(len, told["document"][groups == value].str.split())))
        for value in found:
            rows = values[(groups == value).to_numpy()]
            yield {"slice": name, "value": value, "reports": len(rows), **_summary(rows, candidates, names)}


def _thirds(told: pd.DataFrame) -> Callable[[dict[str, Any]], str]:
    words = told["document"].map(lambda text: len(text.split()))
    short, long = (round(float(words.quantile(share))) for share in (1 / 3, 2 / 3))
    middle = f"{short + 1} to {long} words"

    def third(row: dict[str, Any]) -> str:
        count = len(row["document"].split())
        return f"up to {short} words" if count <= short else middle if count <= long else f"more than {long} words"

    return third


def _by_function(told: pd.DataFrame, name: str, by: Callable[[dict[str, Any]], object]) -> pd.Series[str]:
    plain = [column for column in told if "." not in str(column)]
    try:
        found = [str(by({str(column): value for column, value in row.items()})) for row in told[plain].to_dict("records")]
    except Exception as error:
        raise LifecycleError(
            f"The slice {name!r} failed: {type(error).__name__}: {error}.", f"It is called with a row: {', '.join(map(str, plain))}."
        ) from error
    import pandas as pd

    return pd.Series(found, index=told.index)


def _worst(told: pd.DataFrame, rouge_l: list[float], candidates: list[str], worst: int) -> list[Json]:
    last = sorted(range(len(rouge_l)), key=rouge_l.__getitem__)[:worst]
    shown = ("document", "summary", *(name for name in candidates if name != "lead1"))
    return [{"rougeL": round(rouge_l[row], 3), **{name: str(told[name][row]) for name in shown}} for row in last]


# On the cluster


def _told(rows: Dataset, models: Mapping[str, str], own: Mapping[str, Measure], batch_size: int, workers: int, gpus: float) -> pd.DataFrame:
    """Every report with each candidate's summary and all measures of it, ordered by document."""
    import ray.data

    told: pd.DataFrame = (
        rows.repartition(max(workers, 1))
        .map_batches(
            _Summarize,
            fn_constructor_args=(models, batch_size),
            batch_format="pandas",
            batch_size=8 * batch_size,
            # A worker that is killed is replaced, and its batch computed anew; an error of ours is told, never tried again.
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
            num_gpus=gpus or None,
        )
        .map_batches(_measured_or_problem, fn_args=(own,), batch_format="pandas", batch_size=8 * batch_size, num_cpus=0.5)
        .to_pandas()
    )
    if _PROBLEM in told and len(problems := told[_PROBLEM].dropna()):
        message, _, hint = str(problems.iloc[0]).partition("\n")
        raise LifecycleError(message, hint)
    return told.drop(columns=_PROBLEM, errors="ignore").sort_values("document", ignore_index=True)


def _measured_or_problem(batch: pd.DataFrame, own: Mapping[str, Measure]) -> pd.DataFrame:
    """What is wrong travels as a column: an exception would come back as a traceback of Ray's."""
    if _PROBLEM in batch and batch[_PROBLEM].notna().any():
        return batch[[_PROBLEM]]
    try:
        return measure(batch.assign(lead1=batch["document"].map(lead1)), own)
    except LifecycleError as error:
        return _problem(batch, error)


def _problem(batch: pd.DataFrame, error: LifecycleError) -> pd.DataFrame:
    return batch[["document"]].assign(**{_PROBLEM: f"{error.message}\n{error.hint}"})[[_PROBLEM]]


class _Summarize:
    """Adds a column with each model's summaries. The code is the one that serves."""

    def __init__(self, models: Mapping[str, str], batch_size: int) -> None:
        import os

        import torch

        from jupyter_kuberay.serving.summarizer import Model, Unusable

        # Batch work, with nothing beside it: Ray would leave it one thread.
        torch.set_num_threads(os.cpu_count() or 1)
        self.models: dict[str, Model] = {}
        self.problem: LifecycleError | None = None
        try:
            for name, place in models.items():
                self.models[name] = Model(place, batch_size=batch_size)
                refuse_wrong_kind(place, self.models[name].network.config.to_dict())
        except Unusable as error:
            self.problem = LifecycleError(str(error), _LOADS)
        except LifecycleError as error:
            self.problem = error

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        if self.problem:
            return _problem(batch, self.problem)
        return batch.assign(**{name: model.summarize(batch["document"].tolist()) for name, model in self.models.items()})


# What is no summarizer, or no column


def refuse_wrong_kind(place: str, config: Mapping[str, Any]) -> None:
    """`LifecycleError` where a configuration is that of a model that writes no summaries.

    transformers would load the part that fits, and make up the rest.
    """
    if kind := weights.wrong_kind(config):
        raise LifecycleError(
            f"The model {place} is {kind}, and writes no summaries.", "Give a sequence-to-sequence model, such as a T5 or BART."
        )


def _refuse_wrong_kind(place: str) -> None:
    folder = Path(place.removeprefix("file://")).expanduser()
    if not folder.is_dir():
        return  # somewhere else: whoever loads it sees
    found = weights.files(folder)
    if wrong := weights.problem(found):
        raise LifecycleError(f"The model {place} {wrong[0]}.", wrong[1])
    refuse_wrong_kind(place, weights.config(folder))


def _columns(slices: Mapping[str, Slice] | None, there: list[str]) -> list[str]:
    """The columns that slices name."""
    named = [by for by in (slices or {}).values() if isinstance(by, str)]
    for name in named:
        if name not in there:
            raise LifecycleError(f"There is no column {name} to make a slice of.", f"The data have: {', '.join(there)}.")
    if extra := set(named) & {"document", "summary"}:
        raise LifecycleError(f"Each {extra.pop()} would be a slice of its own.", "Give a function of a row that tells them apart.")
    return list(dict.fromkeys(named))
