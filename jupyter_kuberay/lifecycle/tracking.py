"""MLflow: where it is, how long one waits for it, and what its errors mean.

`jupyter_kuberay.registry`, which publishing asks, and `lifecycle.registry`, which notebooks call, open it the same way.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from jupyter_kuberay.lifecycle._run import LifecycleError

Answer = TypeVar("Answer")

SCHEME = "models:/"
VARIABLE = "MLFLOW_TRACKING_URI"  # MLflow's own
CANDIDATE, CHAMPION = "candidate", "champion"
# Tags of a version.
DIGEST, FAILED, VALIDATED, METRICS = "weights.sha256", "gates.failed", "gates.passed", "metrics"
CODE, CODE_DIRTY = "code.commit", "code.dirty"

LOCKED_SECONDS = 10.0  # for which a database is waited for that somebody else writes to
# MLflow's own variables. By itself it waits for minutes for a server that is away.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
# It would print an address for every run that ends, and a bar for every file.
_SILENCE = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
_TALKS = ("mlflow.store.db.utils", "mlflow.store.model_registry", "mlflow.tracking", "alembic")
_ONE_AT_A_TIME = threading.RLock()  # environment and loggers are the process's; two at once would restore each other's
_FILE_URI = re.compile(r"^sqlite:///(?P<path>[^?]+)")


class Away(LifecycleError):
    """The registry does not answer: unreachable, or locked."""


class NotThere(LifecycleError):
    """No such model, version, alias, or no registry at all."""


def data_dir() -> Path:
    """Where the default registry is: the folder that also has the local substrate's state."""
    from jupyter_core.paths import jupyter_data_dir

    configured = os.environ.get("JUPYTER_KUBERAY_DATA_DIR")
    return (Path(configured).expanduser() if configured else Path(jupyter_data_dir()) / "kuberay") / "registry"


def tracking_uri(given: str = "") -> str:
    """``given``; or what the process has told MLflow, or `VARIABLE` says; or a database file in Jupyter's data directory."""
    loaded: Any = sys.modules.get("mlflow")
    if not given and loaded is not None and loaded.is_tracking_uri_set():
        given = str(loaded.get_tracking_uri())
    return given or os.environ.get(VARIABLE) or f"sqlite:///{data_dir() / 'mlflow.db'}"


def database_file(uri: str) -> Path | None:
    """The file of a SQLite database; None of anything else."""
    found = _FILE_URI.match(uri)
    return Path(found["path"]).absolute() if found else None


def shown(uri: str) -> str:
    """An address without the password that may be in it."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=f"…@{parts.netloc.rpartition('@')[2]}"))


def client(uri: str, *, make: bool = False) -> Any:
    """MLflow's client for the registry at ``uri``. Blocks: MLflow takes seconds to import.

    Parameters
    ----------
    make
        Whether a database file that is not there is made.

    Raises
    ------
    NotThere
        There is no such file.
    LifecycleError
        MLflow is not installed.
    """
    path = database_file(uri)
    if path is not None and not path.exists():
        if not make:
            raise NotThere(f"There is no registry yet: no file {path}.", f"Register a model first, or name another registry ({VARIABLE}).")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise LifecycleError(f"The registry {path} cannot be made: {error.strerror}.", f"Name another one ({VARIABLE}).") from error
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        hint = "Install it with pip install 'jupyter-kuberay[lifecycle]'."
        raise LifecycleError(f"The registry needs MLflow, which cannot be imported: {error}.", hint) from error
    return asked(lambda: MlflowClient(tracking_uri=uri), uri)


def asked(act: Callable[[], Answer], uri: str, *, patient: bool = False) -> Answer:
    """What ``act`` gives, with MLflow's errors as sentences. A database that somebody writes to is waited for, `LOCKED_SECONDS`.

    Parameters
    ----------
    patient
        Whether a server may take long, as MLflow has it: it answered a moment ago. So it is for all that writes. A request that
        was not waited for is sent again, and would make a second version.

    Raises
    ------
    Away, NotThere, LifecycleError
    """
    try:
        _wait_for(database_file(uri))
        with _ONE_AT_A_TIME, _quiet(), _environment(patient):
            return act()
    except LifecycleError:
        raise
    except Exception as error:
        raise _told(error, uri) from error


def _wait_for(file: Path | None) -> None:
    """Until the database can be written. MLflow waits 5 s for some statements and 20 s for others."""
    if file is None or not file.is_file():
        return
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=LOCKED_SECONDS, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
    except sqlite3.Error as error:
        if _is_locked(error):
            raise
        # Whatever else it is, whoever only reads may do without.


def _is_locked(error: BaseException) -> bool:
    return "database is locked" in str(error)


def _told(error: Exception, uri: str) -> LifecycleError:
    said, where = _first_line(error), shown(uri)
    if _is_locked(error):
        hint = "Somebody else writes to it; try again, or keep the registry on a server where many write."
        return Away(f"The registry {where} is locked, and was for {LOCKED_SECONDS:.0f} s.", hint)
    code = str(getattr(error, "error_code", ""))
    if isinstance(error, OSError) or any(word in str(error) for word in ("Max retries exceeded", "Connection", "connection", "timed out")):
        return Away(
            f"The registry {where} does not answer: {_cause(said)}.", f"Check that its server runs and is reached from here ({VARIABLE})."
        )
    if code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND") or (said.startswith("Registered model alias") and "not found" in said):
        return NotThere(f"{said.rstrip('.')}.", f"Looked for in {where}.")
    if code in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
        return LifecycleError(f"The registry {where} refuses: {said}.", "Check MLFLOW_TRACKING_USERNAME, _PASSWORD or _TOKEN.")
    if "readonly database" in said or "unable to open database file" in said:
        return LifecycleError(f"The registry {where} cannot be written.", f"Check the file's rights, or name another one ({VARIABLE}).")
    if "not a database" in said:
        return LifecycleError(f"The registry {where} is no database.", f"Name another one ({VARIABLE}).")
    return LifecycleError(f"The registry {where} refuses: {said.rstrip('.')}.", "Check its address and what was asked for.")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    # sqlalchemy puts the driver's class before the message, and a server's answer its code.
    return re.sub(r"^\((?:\w+\.)+\w+\) |^[A-Z_]{4,}: ", "", text)


def _cause(said: str) -> str:
    """The end of requests' nested sentence, which is the cause."""
    for words, plain in (
        ("Connection refused", "connection refused"),
        ("timed out", "it timed out"),
        ("Failed to resolve", "no such host"),
    ):
        if words in said:
            return plain
    return said[:300].rstrip(".")


@contextmanager
def _environment(patient: bool) -> Iterator[None]:
    wanted = _SILENCE | ({} if patient else _PATIENCE)
    unset = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(unset)
    try:
        yield
    finally:
        for name in unset:
            os.environ.pop(name, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow tells on standard error how it makes its tables, and every error with its traceback; we tell it ourselves."""
    found = [logging.getLogger(name) for name in _TALKS]
    levels = [each.level for each in found]
    for each in found:
        each.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for each, level in zip(found, levels, strict=True):
            each.setLevel(level)


# Addresses


def parsed(model: str) -> tuple[str, str, str]:
    """Name, version ("" or digits or "latest") and alias of ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.

    Raises
    ------
    LifecycleError
        It is neither.
    """
    rest = model.removeprefix(SCHEME).strip("/")
    name, at, alias = rest.partition("@")
    if at and name and alias and "/" not in name:
        return name, "", alias
    name, _, version = rest.partition("/")
    if name and not at and ((version.isascii() and version.isdigit()) or version == "latest"):
        return name, version, ""
    hint = "Write models:/NAME@ALIAS, models:/NAME/VERSION with a number, or models:/NAME/latest."
    raise LifecycleError(f"{model!r} names no version of a model.", hint)


def find(mlflow: Any, uri: str, model: str) -> Any:
    """The model version (MLflow's) that an address names now.

    Raises
    ------
    NotThere
        There is no such model, version or alias; the hint says which there are.
    """
    name, version, alias = parsed(model)
    try:
        if alias:
            return asked(lambda: mlflow.get_model_version_by_alias(name, alias), uri)
        if version != "latest":
            return asked(lambda: mlflow.get_model_version(name, version), uri)
        newest = asked(lambda: mlflow.search_model_versions(_named(name), order_by=["version_number DESC"], max_results=1), uri)
        if newest:
            return newest[0]
    except NotThere:
        pass
    raise _missing(mlflow, uri, name, version, alias)


def _missing(mlflow: Any, uri: str, name: str, version: str, alias: str) -> NotThere:
    try:
        there = asked(lambda: mlflow.get_registered_model(name), uri)
    except NotThere:
        names = [each.name for each in asked(lambda: mlflow.search_registered_models(max_results=20), uri)]
        hint = f"There are {', '.join(names)}." if names else "It has none yet: register one first."
        return NotThere(f"The registry {shown(uri)} has no model {name}.", hint)
    if alias:
        aliases = ", ".join(sorted(there.aliases))
        hint = f"It has {aliases}." if aliases else "It has no alias yet."
        return NotThere(f"The model {name} has no alias {alias}.", f"{hint} Set one with registry.promote.")
    numbers = [each.version for each in asked(lambda: mlflow.search_model_versions(_named(name), max_results=20), uri)]
    hint = f"It has {', '.join(str(number) for number in sorted(numbers, key=int))}." if numbers else "It has no version yet."
    return NotThere(f"The model {name} has no version {version}.", hint)


def _named(name: str) -> str:
    escaped = name.replace("'", "''")
    return f"name='{escaped}'"


def listed(text: str | None) -> list[str]:
    """A tag that holds a list."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return []
    return [str(each) for each in found] if isinstance(found, list) else []
