"""A registered model by its address: where its weights are, and which version that is.

Publishing asks here, once: an alias that is moved later moves no service.

>>> from jupyter_kuberay import registry
>>> registry.resolve("models:/summarizer@champion").version  # doctest: +SKIP
'models:/summarizer/3'
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from jupyter_kuberay.errors import InvalidSpec, KubeRayError, NotFound, Unreachable
from jupyter_kuberay.lifecycle import tracking, weights
from jupyter_kuberay.lifecycle._run import LifecycleError
from jupyter_kuberay.observation import Json

SIGNATURE_FILE = "MLmodel"
_THROUGH_MLFLOW = ("mlflow-artifacts", "runs", "dbfs", "models")  # which MLflow's client reads, and no service
_MOST_METRICS = 50


@dataclass(frozen=True)
class Registered:
    """A version of a registered model, as an address named it at the moment of asking."""

    model: str  # the weights: an absolute path on this machine, or a URL that fsspec knows
    version: str  # models:/NAME/NUMBER
    signature: Json  # inputs and outputs, each a list of {name, type, required}
    metrics: dict[str, float] = field(default_factory=dict)
    validated: bool | None = None  # whether it passed its gates; None: nobody judged it
    failed: tuple[str, ...] = ()  # a sentence for each gate that it failed
    code: str = ""  # the commit that made it, "(dirty)" after it where more was changed; "": not known
    digest: str = ""  # SHA-256 over names and contents of the weights' files and the signature; "": registered by other means


def is_registered(model: str) -> bool:
    """Whether this is the address of a registered model: ``models:/…``. Asks nobody."""
    return model.startswith(tracking.SCHEME)


def resolve(model: str, *, tracking_uri: str = "", allow_pickle: bool = False) -> Registered:
    """Look a registered model up. Blocks, for some seconds: call it in a thread.

    Parameters
    ----------
    model
        ``models:/NAME@ALIAS``, ``models:/NAME/3`` or ``models:/NAME/latest``.
    tracking_uri
        The registry; "": what MLFLOW_TRACKING_URI says, or the database file in Jupyter's data directory.
    allow_pickle
        Whether weights may be pickles, which can run anything where they are loaded.

    Raises
    ------
    InvalidSpec
        The address is none; the version has no signature, has pickles, or is of a wrong kind; its weights are gone; or MLflow
        is not installed.
    NotFound
        There is no such model, version or alias.
    Unreachable
        The registry does not answer (for about 10 s), or is locked (for 10 s).
    """
    with _told():
        uri = tracking.tracking_uri(tracking_uri)
        tracking.parsed(model)
        mlflow = tracking.client(uri)
        found = tracking.find(mlflow, uri, model)
        version = f"{tracking.SCHEME}{found.name}/{found.version}"
        source = tracking.asked(lambda: mlflow.get_model_version_download_uri(found.name, str(found.version)), uri)
        place = _place(source, version, uri)
        signature = _checked(place, version, allow_pickle)
        return Registered(
            model=place,
            version=version,
            signature=signature,
            metrics=_metrics(mlflow, uri, found),
            validated={"true": True, "false": False}.get(str(found.tags.get(tracking.VALIDATED, ""))),
            failed=tuple(tracking.listed(found.tags.get(tracking.FAILED))),
            code=_code(found.tags),
            digest=str(found.tags.get(tracking.DIGEST, "")),
        )


@contextmanager
def _told() -> Iterator[None]:
    """The lifecycle's errors as those of the faces."""
    try:
        yield
    except LifecycleError as error:
        kind: type[KubeRayError] = InvalidSpec
        if isinstance(error, tracking.Away):
            kind = Unreachable
        elif isinstance(error, tracking.NotThere):
            kind = NotFound
        raise kind(error.message, error.hint) from error


def _place(source: str, version: str, uri: str) -> str:
    """A path here, or a URL that fsspec knows. What only MLflow can read is fetched to this machine, once."""
    parts = urlsplit(source)
    if parts.scheme == "file":
        return unquote(parts.path)
    if parts.scheme not in _THROUGH_MLFLOW:
        return source
    kept = tracking.data_dir() / "fetched" / _name_of_folder(version, source)
    if not kept.is_dir():
        _fetch(source, kept, uri)
    return str(kept)


def _name_of_folder(version: str, source: str) -> str:
    import hashlib

    # A registry elsewhere may have a version of the same name.
    return f"{version.removeprefix(tracking.SCHEME).replace('/', '-')}-{hashlib.sha256(source.encode()).hexdigest()[:12]}"


def _fetch(source: str, target: Path, uri: str) -> None:
    from mlflow.artifacts import download_artifacts

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=target.parent) as draft:
        here = tracking.asked(lambda: download_artifacts(artifact_uri=source, dst_path=draft, tracking_uri=uri), uri, patient=True)
        if not target.exists():  # somebody else may have been faster
            Path(here).rename(target)


def _checked(place: str, version: str, allow_pickle: bool) -> Json:
    """The version's signature, if its files are those of a model that may be published."""
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(place)
        there = filesystem.find(path) if filesystem.isdir(path) else []
        root = filesystem._strip_protocol(path).rstrip("/")
        files = [name.removeprefix(root).lstrip("/") for name in there]
        text = filesystem.cat_file(f"{root}/{SIGNATURE_FILE}") if SIGNATURE_FILE in files else b""
    except (OSError, ValueError, ImportError) as error:
        raise InvalidSpec(f"The weights of {version} cannot be read: {error}.", f"Check {place}, and that you may read it.") from error
    if not files:
        raise InvalidSpec(f"The weights of {version} are gone: there is nothing at {place}.", "Register the model again.")
    if wrong := weights.problem(files, allow_pickle=allow_pickle):
        raise InvalidSpec(f"{version} {wrong[0]}.", wrong[1])
    signature = _signature(text)
    if not signature.get("inputs") or not signature.get("outputs"):
        hint = "Register it with lifecycle.registry.register, or log it with a signature (mlflow.models.infer_signature)."
        raise InvalidSpec(f"{version} has no signature, so nobody knows what goes in and what comes out.", hint)
    return signature


def _signature(text: bytes) -> Json:
    """Of an MLmodel file: columns in JSON within YAML."""
    import yaml

    try:
        found = yaml.safe_load(text) or {}
        given = found.get("signature") or {}
        return {name: json.loads(columns) for name, columns in given.items() if isinstance(columns, str)}
    except (yaml.YAMLError, ValueError, AttributeError):
        return {}


def _metrics(mlflow: Any, uri: str, found: Any) -> dict[str, float]:
    """Those that the version's registration named; of other means' versions, those of their run."""
    try:
        told = json.loads(found.tags.get(tracking.METRICS) or "null")
    except ValueError:
        told = None
    if told is None and found.run_id:
        try:
            told = tracking.asked(lambda: mlflow.get_run(found.run_id), uri).data.metrics
        except LifecycleError:  # the run was deleted; the version is what counts
            told = None
    pairs = list((told or {}).items())[:_MOST_METRICS] if isinstance(told, dict) else []
    return {str(name): float(value) for name, value in pairs if isinstance(value, int | float) and math.isfinite(value)}


def _code(tags: Any) -> str:
    commit = str(tags.get(tracking.CODE, ""))
    return f"{commit} (dirty)" if commit and tags.get(tracking.CODE_DIRTY) == "true" else commit
