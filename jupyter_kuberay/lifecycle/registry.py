"""The model registry: a version for each model that was trained, with all that tells what it is, and aliases that move.

MLflow keeps it: a database file in Jupyter's data directory, or any tracking URI. The weights of a version are a copy of
their own, named by content, so that it stays what it is when ``RUN/model`` is replaced.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from jupyter_kuberay.lifecycle import weights
from jupyter_kuberay.lifecycle._logged import data_tags, headline, logged_run, records_of
from jupyter_kuberay.lifecycle._run import Json, LifecycleError, write_json
from jupyter_kuberay.lifecycle.gates import DEFAULTS, TYPES
from jupyter_kuberay.lifecycle.tracking import (
    CANDIDATE,
    CHAMPION,
    CODE,
    CODE_DIRTY,
    DIGEST,
    FAILED,
    SCHEME,
    VALIDATED,
    asked,
    client,
    find,
    listed,
    parsed,
    shown,
    tracking_uri,
)
from jupyter_kuberay.lifecycle.tracking import METRICS as METRICS_TAG

__all__ = ["CANDIDATE", "CHAMPION", "judge", "promote", "register", "tracking_uri"]

_SIGNATURE_FILE = "MLmodel"
_GATE = "gate."  # before the key of a failed one, as a tag


def register(
    run_dir: str,
    name: str,
    *,
    model: str = "",
    tracking_uri: str = "",
    alias: str = CANDIDATE,
    store: str = "",
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    allow_pickle: bool = False,
    code: str = ".",
) -> Json:
    """Make a version of the registered model ``name`` of the model of a run.

    With it go: the signature, the manifest of the data, the commit of the code and whether more was changed, the version of
    this package, and parameters and metrics of training and evaluation. Blocks; runs where the notebook does.

    Parameters
    ----------
    model
        The folder with its weights; "": ``run_dir/model``.
    tracking_uri
        The registry; "": what MLFLOW_TRACKING_URI says, or the database file in Jupyter's data directory.
    alias
        What is to name this version from now on; "": nothing.
    store
        Where weights are copied to: a folder or URL, which the cluster that serves can read. "": with a server its own place
        for artifacts, with a database ``run_dir/registered``. The copy is in a folder named by content.
    inputs, outputs
        The signature: columns with their types; default: a text ``document``, a text ``summary``.
    allow_pickle
        Whether weights may be pickles, which can run anything where they are loaded.
    code
        A folder in the checkout whose commit is told.

    Returns
    -------
    What is also written to ``registered.json``: version (models:/NAME/NUMBER), number, alias,
    model (the copy's path or URL), sha256, code, tracking_uri.

    Raises
    ------
    LifecycleError
        There is no model, it has pickles or is of a wrong kind, a column has an unknown type; or the registry is away or locked
        (`tracking.Away`), or refuses.
    """
    run, uri = Path(run_dir), _uri(tracking_uri)
    folder = Path(model or run / "model").expanduser()
    signature = {"inputs": _columns(inputs, "inputs"), "outputs": _columns(outputs, "outputs")}
    files = _checked(folder, allow_pickle)
    sha256 = weights.digest(files, json.dumps(signature))
    commit, dirty = _commit(code)
    records = records_of(run, folder)
    is_server = uri.startswith(("http:", "https:", "databricks"))
    if is_server and store and ("://" not in store or store.startswith("file:")):
        hint = "Leave store out, for the server's own place, or give a URL that the cluster can read, such as s3://models."
        raise LifecycleError(f"The registry {shown(uri)} is a server, which takes no folder of this machine: {store}.", hint)
    mlflow = client(uri, make=True)
    with tempfile.TemporaryDirectory() as made, logged_run(mlflow, uri, name, records, commit) as (run_id, logged):
        _write_signature(Path(made), signature)
        for record in records:
            shutil.copy(run / record, Path(made) / record.replace("/", "-"))
        at_server = is_server and not store
        for part in [str(folder)] * at_server + [made]:  # this signature in place of one that the folder may hold
            asked(partial(mlflow.log_model_artifacts, logged.model_id, part), uri, patient=True)
        place = logged.artifact_location if at_server else _stored(files, made, store or str(run / "registered"), name, sha256)
        tags = {DIGEST: sha256, METRICS_TAG: json.dumps(headline(records)), "package.version": _package(), **data_tags(records)}
        tags |= {CODE: commit, CODE_DIRTY: str(dirty).lower()} if commit else {}
        number = _version(mlflow, uri, name, place, run_id, logged.model_id, tags)
    if alias:
        asked(lambda: mlflow.set_registered_model_alias(name, alias, number), uri, patient=True)
    outcome = {
        "version": f"{SCHEME}{name}/{number}",
        "number": int(number),
        "alias": alias,
        "model": unquote(urlsplit(place).path) if place.startswith("file:") else place,
        "sha256": sha256,
        "code": f"{commit} (dirty)" if commit and dirty else commit,
        "tracking_uri": shown(uri),
    }
    write_json(run / "registered.json", outcome)
    return outcome


def judge(version: str, validated: Mapping[str, Any], *, tracking_uri: str = "") -> None:
    """Keep with a version (``models:/NAME/NUMBER``, or an alias) what validation.validate found: each failed gate is a tag.

    Raises
    ------
    LifecycleError
        There is no such version, or the registry is away or locked.
    """
    uri = _uri(tracking_uri)
    mlflow = client(uri)
    found = find(mlflow, uri, version)
    failed = [gate for gate in validated["gates"] if not gate["passed"]]
    tags = {VALIDATED: str(not failed).lower(), FAILED: json.dumps([gate["verdict"] for gate in failed], ensure_ascii=False)}
    tags |= {_GATE + (gate.get("key") or gate["name"].replace(",", "")): gate["verdict"] for gate in failed}
    number = str(found.version)

    def tag() -> None:
        for key in found.tags:
            if key.startswith(_GATE) and key not in tags:
                mlflow.delete_model_version_tag(found.name, number, key)
        for key, value in tags.items():
            mlflow.set_model_version_tag(found.name, number, key, value)

    asked(tag, uri, patient=True)
    if found.run_id:
        latency = validated.get("latency", {}).get("p95")
        if isinstance(latency, int | float):
            asked(lambda: mlflow.log_metric(found.run_id, "latency_p95_s", latency), uri, patient=True)
        asked(lambda: mlflow.log_dict(found.run_id, dict(validated), "validation.json"), uri, patient=True)


def promote(name: str, version: int | str, alias: str = CHAMPION, *, tracking_uri: str = "", though_failed: bool = False) -> str:
    """Let an alias name a version from now on; gives the version as ``models:/NAME/NUMBER``.

    Parameters
    ----------
    version
        Its number, or an address such as ``models:/NAME@candidate``.
    though_failed
        Whether also a version that failed its gates.

    Raises
    ------
    LifecycleError
        There is no such version, it failed its gates, the alias cannot be one, or the registry is away or locked.
    """
    uri = _uri(tracking_uri)
    mlflow = client(uri)
    address = str(version) if str(version).startswith(SCHEME) else f"{SCHEME}{name}/{version}"
    if parsed(address)[0] != name:
        raise LifecycleError(f"{address} is no version of {name}.", f"Promote it as a version of {parsed(address)[0]}.")
    found = find(mlflow, uri, address)
    told = f"{SCHEME}{name}/{found.version}"
    if found.tags.get(VALIDATED) == "false" and not though_failed:
        gates = "; ".join(listed(found.tags.get(FAILED)))
        raise LifecycleError(f"{told} does not become {alias}: it failed gates. {gates}.", "Train on, or say though_failed=True.")
    asked(lambda: mlflow.set_registered_model_alias(name, alias, str(found.version)), uri, patient=True)
    return told


# What is registered


def _uri(given: str) -> str:
    return tracking_uri(given)


def _columns(given: Mapping[str, str] | None, which: str) -> list[Json]:
    columns = dict(given if given is not None else DEFAULTS["signature"][which])
    for column, kind in columns.items():
        if kind not in TYPES:
            raise LifecycleError(f"The signature's {which} have {column} of type {kind!r}.", f"A type is one of {', '.join(TYPES)}.")
    if not columns:
        raise LifecycleError(f"The signature has no {which}.", f'Name the columns with their types: {which}={{"text": "string"}}.')
    return [{"name": column, "type": kind, "required": True} for column, kind in columns.items()]


def _checked(folder: Path, allow_pickle: bool) -> dict[str, Path]:
    """The files of a model that may be registered."""
    if not folder.is_dir():
        raise LifecycleError(f"There is no model in {folder}.", "Run training.train with this run folder first, or give model=.")
    files = weights.files(folder)
    if wrong := weights.problem(files, allow_pickle=allow_pickle):
        raise LifecycleError(f"The model {folder} {wrong[0]}.", wrong[1])
    for name, path in files.items():
        if name.endswith(".safetensors") and weights.not_safetensors(path):
            raise LifecycleError(f"{path} is called safetensors and is none.", "Save the model anew: it may be a pickle, or half written.")
    return {name: path for name, path in files.items() if name != _SIGNATURE_FILE}


def _write_signature(folder: Path, signature: Json) -> None:
    from mlflow.models import Model, ModelSignature

    given = {which: json.dumps(columns) for which, columns in signature.items()}
    Model(signature=ModelSignature.from_dict(given)).save(str(folder / _SIGNATURE_FILE))


def _stored(files: Mapping[str, Path], made: str, store: str, name: str, sha256: str) -> str:
    """Copy the weights and their signature into a folder that their content names; what is there already is the same."""
    target = f"{store.rstrip('/')}/{name}-{sha256[:16]}"
    content = {**files, _SIGNATURE_FILE: Path(made) / _SIGNATURE_FILE}
    try:
        if "://" in store and not store.startswith("file://"):
            return _uploaded(content, target)
        place = Path(target.removeprefix("file://")).expanduser().absolute()
        if not place.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent) as draft:
                _copy(content, Path(draft) / "model")
                if not place.exists():
                    (Path(draft) / "model").rename(place)
        return place.as_uri()
    except (OSError, ValueError, ImportError) as error:
        raise LifecycleError(
            f"The weights cannot be copied to {target}: {error}.", "Give a folder or URL with store=, and check its rights."
        ) from error


def _copy(content: Mapping[str, Path], target: Path) -> None:
    for name, path in content.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)


def _uploaded(content: Mapping[str, Path], target: str) -> str:
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(target)
    # It comes last: what has it, is whole.
    if not filesystem.exists(f"{path}/{_SIGNATURE_FILE}"):
        for name, here in content.items():
            filesystem.makedirs(f"{path}/{name}".rpartition("/")[0], exist_ok=True)
            filesystem.put_file(str(here), f"{path}/{name}")
    return target


def _commit(folder: str) -> tuple[str, bool]:
    """The commit of the checkout that a folder is in, and whether more than that was changed; "" outside of one."""

    def git(*words: str) -> str:
        ended = subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True, timeout=20)
        return ended.stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):
        return "", False


def _package() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("jupyter-kuberay")
    except PackageNotFoundError:
        return ""


def _version(mlflow: Any, uri: str, name: str, place: str, run_id: str, model_id: str, tags: Mapping[str, str]) -> str:
    def act() -> str:
        try:
            mlflow.create_registered_model(name)
        except Exception as error:
            if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                raise
        return str(mlflow.create_model_version(name, source=place, run_id=run_id, model_id=model_id, tags=dict(tags)).version)

    return asked(act, uri, patient=True)
