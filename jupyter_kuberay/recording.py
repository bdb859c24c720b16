"""What a notebook tells about its run: values by name, which whoever started it shows, keeps and compares.

>>> from jupyter_kuberay import record
>>> record("rouge_l", 0.42)  # doctest: +SKIP
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from jupyter_kuberay.errors import InvalidSpec

MIME = "application/vnd.jupyter-kuberay.value+json"
_LONGEST = 100_000  # characters of JSON
_LONGEST_IN_MLFLOW = 500  # of a parameter, which its tables show; old servers refuse longer ones


def record(name: str, value: Any) -> None:
    """Record ``value`` under ``name`` for this run; recorded again, the last one counts.

    It becomes an output of the cell, so it stays with the notebook; a batch run, a sweep's
    table and a pipeline take it from there. Outside a notebook nothing is shown.
    With MLflow set up (an active run, or ``MLFLOW_TRACKING_URI``), numbers become its
    metrics and everything else its parameters; a batch run's own parameters are there, too. What MLflow
    does not take is a warning.

    Parameters
    ----------
    value
        What JSON can hold: a number, text, true or false, None, or lists and mappings of these.
        Numbers of numpy and torch count as numbers.

    Raises
    ------
    InvalidSpec
        The name is empty, or the value is something else or longer than 100,000 characters.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidSpec("A recorded value needs a name.", 'Record it as record("loss", 0.1).')
    plain = _plain(value)
    try:
        text = json.dumps(plain, allow_nan=True)
    except (TypeError, ValueError):
        raise InvalidSpec(
            f"{name!r} cannot be recorded: {type(value).__name__} is nothing that JSON holds.", "Record numbers, texts, lists or mappings."
        ) from None
    if len(text) > _LONGEST:
        raise InvalidSpec(f"{name!r} cannot be recorded: it has {len(text)} characters.", "Write it to a file, and record where that is.")
    _show(name, plain)
    _to_mlflow(name, plain)


def values_in(data: Any) -> dict[str, Any]:
    """What an output's data holds of recorded values; nothing for all other outputs."""
    found = data.get(MIME) if isinstance(data, dict) else None
    return {str(name): value for name, value in found.items()} if isinstance(found, dict) else {}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if not isinstance(value, str | int | float | bool | type(None)):
        if getattr(value, "ndim", 0) and hasattr(value, "tolist"):
            return value.tolist()
        if hasattr(value, "item"):
            return value.item()
        if isinstance(value, os.PathLike):
            return os.fspath(value)
    return value


def _show(name: str, value: Any) -> None:
    shell = sys.modules.get("IPython")
    if shell is None or shell.get_ipython() is None or getattr(shell.get_ipython(), "kernel", None) is None:
        return
    from IPython.display import display

    text = f"{name} = {value!r}"
    display({MIME: {name: value}, "text/plain": text if len(text) < 200 else f"{text[:200]}…"}, raw=True)  # type: ignore[no-untyped-call]


def begin(name: str, parameters: Mapping[str, Any]) -> None:
    """Before the first cell of a run: where MLflow is set up, begin a run of it with these parameters, unless one goes on."""

    def act(mlflow: Any) -> None:
        if mlflow.active_run() is None:
            mlflow.start_run(run_name=name)
        mlflow.log_params({key: shortened(value) for key, value in parameters.items()})

    _with_mlflow(act, "The run's parameters are")


def _to_mlflow(name: str, value: Any) -> None:
    def act(mlflow: Any) -> None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            mlflow.log_metric(name, value)
        else:
            mlflow.log_param(name, shortened(value))

    _with_mlflow(act, f"{name!r} is recorded, and")


_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}  # MLflow's own variables; seconds
MLFLOW_VARIABLE = "MLFLOW_TRACKING_URI"  # MLflow's own: where it keeps what it is told


def _with_mlflow(act: Callable[[Any], None], what: str) -> None:
    """A tracking server that is away, or refuses, ends no notebook."""
    try:
        mlflow = _mlflow()
        if mlflow is not None:
            with _impatient():
                act(mlflow)
    except Exception as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        warnings.warn(f"{what} not in MLflow: {said[0]}", stacklevel=4)


@contextmanager
def _impatient() -> Iterator[None]:
    """While it is our call: by itself MLflow waits for minutes for a server that is away, and a cell with it."""
    unset = {name: value for name, value in _PATIENCE.items() if name not in os.environ}
    os.environ.update(unset)
    try:
        yield
    finally:
        for name in unset:
            os.environ.pop(name, None)


def shortened(value: Any, longest: int = _LONGEST_IN_MLFLOW) -> str:
    """As text, cut where it is long: a parameter may be a megabyte. Default: what every MLflow takes."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _mlflow() -> Any:
    """MLflow where it is set up: by an active run, or a tracking server; None elsewhere."""
    if os.environ.get(MLFLOW_VARIABLE):
        with suppress(ImportError):
            return import_module("mlflow")
    loaded: Any = sys.modules.get("mlflow")
    return loaded if loaded is not None and loaded.active_run() is not None else None
