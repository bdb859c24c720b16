"""What MLflow is told of a registered model: what the phases have recorded, as parameters and metrics of a run, and a logged model."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jupyter_kuberay.lifecycle._run import Json, LifecycleError, read_json
from jupyter_kuberay.lifecycle.measures import METRICS, ROUGE
from jupyter_kuberay.lifecycle.tracking import asked, database_file

RECORDS = ("data/manifest.json", "training.json", "evaluation.json", "validation.json")  # that are kept with a version
_LONGEST_PARAMETER = 500  # what every MLflow takes


def records_of(run: Path, model: Path) -> dict[str, Json]:
    """What the phases have left of this model; an evaluation of another one tells nothing."""
    found = {name: read_json(run / name) for name in RECORDS if (run / name).is_file()}
    models = {
        "training.json": found.get("training.json", {}).get("model"),
        "evaluation.json": (found.get("evaluation.json", {}).get("models") or {}).get("model"),
        "validation.json": found.get("validation.json", {}).get("model"),
    }
    others = [name for name, place in models.items() if place is not None and Path(place).resolve() != model.resolve()]
    return {name: record for name, record in found.items() if name not in others}


@contextmanager
def logged_run(mlflow: Any, uri: str, name: str, records: Mapping[str, Json], commit: str) -> Iterator[tuple[str, Any]]:
    """A run of MLflow with parameters and metrics, and a logged model of it; marked as failed where that does not end well."""
    experiment = _experiment(mlflow, uri, name)
    own, run_id = _run(mlflow, uri, experiment, name, commit)
    parameters = _parameters(records)
    logged = None
    try:
        asked(lambda: _log(mlflow, run_id, parameters, records), uri, patient=True)
        logged = asked(
            lambda: mlflow.create_logged_model(experiment, name=name, source_run_id=run_id, params=parameters), uri, patient=True
        )
        yield run_id, logged
    except BaseException:
        _end(mlflow, uri, run_id if own else "", "FAILED", logged)
        raise
    _end(mlflow, uri, run_id if own else "", "FINISHED", logged)


def _end(mlflow: Any, uri: str, run_id: str, status: str, logged: Any) -> None:
    def act() -> None:
        if logged is not None:
            mlflow.finalize_logged_model(logged.model_id, "READY" if status == "FINISHED" else "FAILED")
        if run_id:
            mlflow.set_terminated(run_id, status)

    if status == "FINISHED":
        asked(act, uri, patient=True)
        return
    with suppress(LifecycleError):  # the first error is the one that counts
        asked(act, uri)


def _experiment(mlflow: Any, uri: str, name: str) -> str:
    """The experiment that versions of this model are runs of; its artifacts lie beside a database file."""
    file = database_file(uri)

    def act() -> str:
        found = mlflow.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(mlflow.create_experiment(name, artifact_location=(file.parent / "artifacts").as_uri() if file else None))

    try:
        return asked(act, uri)
    except LifecycleError:
        found = asked(lambda: mlflow.get_experiment_by_name(name), uri)  # somebody else made it meanwhile
        if found is None:
            raise
        return str(found.experiment_id)


def _run(mlflow: Any, uri: str, experiment: str, name: str, commit: str) -> tuple[bool, str]:
    """Whether the run is ours to end, and its id: the one that goes on in this process, if it is in the same registry."""
    import mlflow as module

    active = module.active_run()
    if active is not None and module.get_tracking_uri() == uri:
        return False, str(active.info.run_id)
    tags = {"mlflow.source.git.commit": commit} if commit else {}
    return True, str(asked(lambda: mlflow.create_run(experiment, run_name=name, tags=tags), uri, patient=True).info.run_id)


def _log(mlflow: Any, run_id: str, parameters: Mapping[str, str], records: Mapping[str, Json]) -> None:
    from mlflow.entities import Dataset, DatasetInput, Metric, Param

    now = int(time.time() * 1000)
    metrics = [Metric(key, value, now, step) for key, value, step in _metrics(records)]
    mlflow.log_batch(run_id, metrics=metrics, params=[Param(key, value) for key, value in parameters.items()])
    if manifest := records.get("data/manifest.json"):
        source = json.dumps({"uri": str(manifest.get("source", ""))})
        data = Dataset(name="data", digest=_digest_of(manifest), source_type="local", source=source)
        mlflow.log_inputs(run_id, [DatasetInput(data, [])])


# What was recorded by the phases


def _parameters(records: Mapping[str, Json]) -> dict[str, str]:
    training, evaluation = records.get("training.json", {}), records.get("evaluation.json", {})
    manifest = records.get("data/manifest.json", {})
    found: Json = {"data.source": manifest.get("source"), "data.held_out": manifest.get("held_out")}
    found |= {name: training.get(name) for name in ("base", "parameters", "workers")} | (training.get("settings") or {})
    found |= {"evaluation.split": evaluation.get("split"), "evaluation.reports": evaluation.get("reports")}
    return {key: str(value)[:_LONGEST_PARAMETER] for key, value in found.items() if value is not None}


def _metrics(records: Mapping[str, Json]) -> Iterator[tuple[str, float, int]]:
    """Name, value and step: losses by epoch, and every score of every candidate, those of the model without prefix."""
    for loss in records.get("training.json", {}).get("losses") or []:
        yield from ((f"loss.{part}", float(loss[part]), int(loss["epoch"])) for part in ("train", "validation") if _number(loss.get(part)))
    evaluation = records.get("evaluation.json", {})
    for candidate, scores in (evaluation.get("scores") or {}).items():
        prefix = "" if candidate == "model" else f"{candidate}."
        yield from ((prefix + metric, float(value), 0) for metric, value in scores.items() if _number(value))
    for metric, ends in ((evaluation.get("intervals") or {}).get("model") or {}).items():
        if ends:
            yield from ((f"{metric}.{end}", float(value), 0) for end, value in zip(("low", "high"), ends, strict=True))


def headline(records: Mapping[str, Json]) -> dict[str, float]:
    """What a revision is told to have been measured at: ROUGE, and metrics of a person's own."""
    scores = (records.get("evaluation.json", {}).get("scores") or {}).get("model") or {}
    return {name: float(value) for name, value in scores.items() if _number(value) and (name in ROUGE or name not in METRICS)}


def data_tags(records: Mapping[str, Json]) -> dict[str, str]:
    """What data a version was made of, as its tags."""
    manifest = records.get("data/manifest.json")
    if not manifest:
        return {}
    return {
        "data.source": str(manifest.get("source", "")),
        "data.rows": json.dumps(manifest.get("rows")),
        "data.sha256": _digest_of(manifest),
    }


def _digest_of(manifest: Json) -> str:
    """Of the manifest without what differs from run to run with the same data. MLflow takes 36 characters."""
    same = {key: value for key, value in manifest.items() if key not in ("seconds", "path", "when")}
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:32]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
