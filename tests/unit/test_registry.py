"""The registry: what a version keeps, what an address means, and how what goes wrong is told. A real MLflow on a database file."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jupyter_kuberay import registry as core
from jupyter_kuberay.errors import InvalidSpec, NotFound, Unreachable
from jupyter_kuberay.lifecycle import registry, tracking
from jupyter_kuberay.lifecycle._run import LifecycleError, write_json

LOSSES = [{"epoch": 1, "train": 1.5, "validation": 0.9}, {"epoch": 2, "train": 0.7, "validation": 0.5}]
SCORES = {"model": {"rougeL": 0.94, "words": 20.0, "says_disk": 0.7}, "lead1": {"rougeL": 0.16}}
FAILED_GATE = {
    "name": "ROUGE-L",
    "key": "metrics.rougeL.at_least",
    "passed": False,
    "verdict": "ROUGE-L: 0.6, at least 0.85 (failed by 0.25)",
}
PASSED_GATE = {"name": "latency", "key": "latency.p95_s", "passed": True, "verdict": "latency: 0.05, at most 1 (passed)"}


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JUPYTER_KUBERAY_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry without a model: making its tables takes seconds, copying the file none."""
    place = tmp_path_factory.mktemp("registry") / "mlflow.db"
    tracking.asked(lambda: tracking.client(f"sqlite:///{place}", make=True).search_registered_models(), "")
    return place


@pytest.fixture
def database(tmp_path: Path, empty: Path) -> Path:
    place = tmp_path / "data" / "registry" / "mlflow.db"
    place.parent.mkdir(parents=True)
    shutil.copy(empty, place)
    return place


@pytest.fixture
def run(tmp_path: Path, database: Path) -> Path:
    return a_run(tmp_path / "run")


def a_run(folder: Path, weight: float = 1.0) -> Path:
    """A run folder as the phases leave it; its model has one number."""
    a_model(folder / "model", weight)
    manifest = {"source": "s3://corpus/reports", "rows": {"train": 80, "test": 10}, "held_out": 0.1, "seconds": 3.1}
    write_json(folder / "data" / "manifest.json", manifest)
    training = {
        "model": str(folder / "model"),
        "base": "t5",
        "parameters": 850_000,
        "losses": LOSSES,
        "settings": {"learning_rate": 0.0015},
    }
    write_json(folder / "training.json", training)
    intervals = {"model": {"rougeL": [0.92, 0.96]}}
    write_json(
        folder / "evaluation.json", {"models": {"model": str(folder / "model")}, "scores": SCORES, "intervals": intervals, "reports": 10}
    )
    return folder


def a_model(folder: Path, weight: float = 1.0) -> Path:
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"architectures": ["T5ForConditionalGeneration"]}')
    save_file({"weight": np.array([weight])}, folder / "model.safetensors")
    return folder


def client() -> Any:
    return tracking.client(tracking.tracking_uri())


def by_hand(source: Path, name: str = "other", run_id: str | None = None) -> str:
    """A version that somebody registered by MLflow's own means."""
    mlflow = client()
    mlflow.create_registered_model(name)
    mlflow.create_model_version(name, source=source.as_uri(), run_id=run_id)
    return f"models:/{name}/1"


# Registering


def test_a_registered_model_is_found_by_alias_by_number_and_as_the_latest(run: Path):
    made = registry.register(str(run), "summarizer")
    assert (made["version"], made["alias"]) == ("models:/summarizer/1", "candidate")
    found = [core.resolve(f"models:/summarizer{address}") for address in ("@candidate", "/1", "/latest")]
    assert found[0] == found[1] == found[2]
    assert (found[0].version, found[0].model, found[0].digest) == ("models:/summarizer/1", made["model"], made["sha256"])


def test_the_latest_is_the_one_with_the_highest_number(run: Path, tmp_path: Path):
    for count in range(11):
        made = registry.register(str(a_run(tmp_path / "run", count)), "summarizer")
    assert core.resolve("models:/summarizer/latest").version == made["version"] == "models:/summarizer/11"


def test_a_version_keeps_its_weights_when_the_runs_model_is_replaced(run: Path):
    first = registry.register(str(run), "summarizer")
    kept = (Path(first["model"]) / "model.safetensors").read_bytes()
    shutil.rmtree(run / "model")
    a_model(run / "model", 2.0)
    second = registry.register(str(run), "summarizer")
    assert second["model"] != first["model"]
    assert (Path(core.resolve("models:/summarizer/1").model) / "model.safetensors").read_bytes() == kept
    assert core.resolve("models:/summarizer@candidate").version == "models:/summarizer/2"


def test_the_same_weights_are_copied_once(run: Path):
    one, other = registry.register(str(run), "summarizer"), registry.register(str(run), "summarizer")
    assert one["version"] != other["version"] and one["model"] == other["model"]
    assert len(list((run / "registered").iterdir())) == 1


def test_weights_can_be_kept_elsewhere(run: Path, tmp_path: Path):
    store = tmp_path / "Ada's store #1, 100% full"
    made = registry.register(str(run), "summarizer", store=str(store))
    assert Path(made["model"]).parent == store and core.resolve(made["version"]).model == made["model"]
    there = registry.register(str(run), "summarizer", store="memory://models")
    assert core.resolve(there["version"]).model == there["model"] == f"memory://models/summarizer-{made['sha256'][:16]}"


def test_a_version_has_a_signature_that_one_can_choose(run: Path):
    made = registry.register(str(run), "classifier", inputs={"text": "string"}, outputs={"label": "string", "score": "double"})
    signature = core.resolve(made["version"]).signature
    assert [(each["name"], each["type"]) for each in signature["inputs"]] == [("text", "string")]
    assert [(each["name"], each["type"]) for each in signature["outputs"]] == [("label", "string"), ("score", "double")]
    usual = core.resolve(registry.register(str(run), "summarizer")["version"]).signature
    assert [each["name"] for part in ("inputs", "outputs") for each in usual[part]] == ["document", "summary"]


@pytest.mark.parametrize(("columns", "said"), [({"text": "words"}, "of type 'words'.*string, integer"), ({}, "has no inputs")])
def test_a_signature_that_cannot_be_is_told(run: Path, columns: dict[str, str], said: str):
    with pytest.raises(LifecycleError, match=said):
        registry.register(str(run), "summarizer", inputs=columns)


def test_data_parameters_and_metrics_go_along(run: Path):
    made = registry.register(str(run), "summarizer")
    version = client().get_model_version("summarizer", "1")
    logged = client().get_run(version.run_id)
    assert logged.info.status == "FINISHED"
    assert logged.data.params.items() >= {"base": "t5", "learning_rate": "0.0015", "data.source": "s3://corpus/reports"}.items()
    wanted = {"rougeL": 0.94, "rougeL.low": 0.92, "lead1.rougeL": 0.16, "loss.validation": 0.5}
    assert logged.data.metrics.items() >= wanted.items()
    assert [point.value for point in client().get_metric_history(version.run_id, "loss.train")] == [1.5, 0.7]
    assert logged.inputs.dataset_inputs[0].dataset.digest == version.tags["data.sha256"]
    assert json.loads(version.tags["data.rows"]) == {"train": 80, "test": 10}
    assert version.tags["package.version"]
    assert core.resolve(made["version"]).metrics == {"rougeL": 0.94, "says_disk": 0.7}


def test_the_manifest_and_the_judgements_lie_with_it(run: Path, database: Path):
    registry.register(str(run), "summarizer")
    names = {path.name for path in (database.parent / "artifacts").rglob("*") if path.is_file()}
    assert names == {"MLmodel", "data-manifest.json", "training.json", "evaluation.json"}


def test_an_evaluation_of_another_model_tells_nothing_of_this_one(run: Path, tmp_path: Path):
    made = registry.register(str(run), "summarizer", model=str(a_model(tmp_path / "other")))
    assert core.resolve(made["version"]).metrics == {}


def test_the_commit_is_told_and_whether_more_was_changed(run: Path, tmp_path: Path):
    def git(*words: str) -> str:
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        return subprocess.run(["git", "-C", str(tmp_path), *identity, *words], capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    (tmp_path / ".gitignore").write_text("*\n!train.py\n")
    (tmp_path / "train.py").write_text("epochs = 1\n")
    git("add", "train.py")
    git("commit", "-qm", "Train")
    assert registry.register(str(run), "summarizer", code=str(tmp_path))["code"] == git("rev-parse", "HEAD")
    (tmp_path / "train.py").write_text("epochs = 2\n")
    made = registry.register(str(run), "summarizer", code=str(tmp_path))
    assert made["code"] == core.resolve(made["version"]).code == f"{git('rev-parse', 'HEAD')} (dirty)"


def test_outside_of_a_checkout_no_commit_is_told(run: Path, tmp_path: Path):
    made = registry.register(str(run), "summarizer", code=str(tmp_path))
    assert made["code"] == core.resolve(made["version"]).code == ""


def test_a_run_of_mlflow_that_goes_on_is_taken_and_left_to_go_on(run: Path, database: Path, monkeypatch: pytest.MonkeyPatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    mlflow.set_experiment("mine")
    with mlflow.start_run() as active:
        registry.register(str(run), "summarizer")
        version = client().get_model_version("summarizer", "1")
        assert version.run_id == active.info.run_id
        assert client().get_run(version.run_id).info.status == "RUNNING"


# What is refused


def spoiled(folder: Path, how: str) -> Path:
    {
        "pickle": lambda: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "pickle beside": lambda: (folder / "notes.pkl").write_bytes(b"\x80"),
        "no config": lambda: (folder / "config.json").unlink(),
        "no weights": lambda: (folder / "model.safetensors").unlink(),
    }[how]()
    return folder


REFUSED = {
    "pickle": r"has pickles \(pytorch_model\.bin\), which can run anything.*allow_pickle=True",
    "pickle beside": r"has pickles \(notes\.pkl\)",
    "no config": r"has no config\.json, so it is no model that transformers can load",
    "no weights": "has no weights",
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_is_no_model_or_could_run_anything_is_neither_registered_nor_resolved(run: Path, tmp_path: Path, how: str):
    spoiled(run / "model", how)
    with pytest.raises(LifecycleError, match=REFUSED[how]):
        registry.register(str(run), "summarizer")
    folder = spoiled(Path(registry.register(str(a_run(tmp_path / "good")), "summarizer")["model"]), how)
    with pytest.raises(InvalidSpec, match=rf"^models:/other/1 {REFUSED[how]}"):
        core.resolve(by_hand(folder))


def test_what_a_trainer_leaves_for_itself_is_not_registered(run: Path):
    (run / "model" / "training_args.bin").write_bytes(b"\x80")
    made = registry.register(str(run), "summarizer")
    assert "model.safetensors" in {path.name for path in Path(made["model"]).iterdir()}
    assert not (Path(made["model"]) / "training_args.bin").exists()


@pytest.mark.parametrize("how", ["pickle", "pickle beside"])
def test_a_pickle_is_taken_where_it_is_allowed(run: Path, how: str):
    spoiled(run / "model", how)
    made = registry.register(str(run), "summarizer", allow_pickle=True)
    with pytest.raises(InvalidSpec, match="has pickles"):
        core.resolve(made["version"])
    assert core.resolve(made["version"], allow_pickle=True).model == made["model"]


@pytest.mark.parametrize("content", [b"", b"\x80\x04\x95" + b"x" * 100, b"\xff" * 8 + b"{"])
def test_a_file_that_is_only_called_safetensors_is_not_registered(run: Path, content: bytes):
    (run / "model" / "model.safetensors").write_bytes(content)
    with pytest.raises(LifecycleError, match=r"model\.safetensors is called safetensors and is none"):
        registry.register(str(run), "summarizer")


def test_without_a_model_it_says_what_to_run_first(run: Path):
    shutil.rmtree(run / "model")
    with pytest.raises(LifecycleError, match=r"There is no model in .*training\.train"):
        registry.register(str(run), "summarizer")


def test_a_version_without_signature_is_refused(run: Path, tmp_path: Path):
    with pytest.raises(InvalidSpec, match=r"^models:/other/1 has no signature, so nobody knows.*infer_signature"):
        core.resolve(by_hand(run / "model"))


@pytest.mark.parametrize("text", ["", "flavors: {}\n", "signature: 3\n", "signature: {inputs: 'no JSON'}\n", "- a\n", "{"])
def test_a_file_of_signatures_that_has_none_is_none(run: Path, text: str):
    (run / "model" / "MLmodel").write_text(text)
    with pytest.raises(InvalidSpec, match="has no signature"):
        core.resolve(by_hand(run / "model"))


def test_weights_that_are_gone_are_told_with_their_place(run: Path):
    made = registry.register(str(run), "summarizer")
    shutil.rmtree(made["model"])
    with pytest.raises(InvalidSpec, match=rf"The weights of models:/summarizer/1 are gone: there is nothing at {made['model']}"):
        core.resolve("models:/summarizer@candidate")


def test_of_a_version_that_was_registered_by_other_means_the_runs_metrics_are_told(run: Path):
    made = registry.register(str(run), "summarizer")
    run_id = client().get_model_version("summarizer", "1").run_id
    assert core.resolve(by_hand(Path(made["model"]), run_id=run_id)).metrics["lead1.rougeL"] == 0.16


# Addresses


@pytest.mark.parametrize(
    "model", ["models:/x", "models:/", "models:/x@", "models:/@y", "models:/x/3@y", "models:/x/three", "models:/x/-1", "models:/x/³"]
)
def test_an_address_that_is_none_says_how_they_are_written(model: str):
    with pytest.raises(InvalidSpec, match=r"names no version of a model\. Write models:/NAME@ALIAS"):
        core.resolve(model)


@pytest.mark.parametrize(("model", "yes"), [("models:/a@b", True), ("runs/model", False), ("s3://models/a", False), ("", False)])
def test_an_address_is_told_by_its_scheme(model: str, yes: bool):
    assert core.is_registered(model) is yes


def test_what_is_not_there_says_what_is(run: Path):
    registry.register(str(run), "summarizer")
    for address, said in {
        "models:/summariser@candidate": r"has no model summariser\. There are summarizer\.",
        "models:/summarizer@champion": r"no alias champion\. It has candidate\.",
        "models:/summarizer/7": r"no version 7\. It has 1\.",
    }.items():
        with pytest.raises(NotFound, match=said):
            core.resolve(address)


def test_asking_makes_no_registry(tmp_path: Path):
    with pytest.raises(NotFound, match="There is no registry yet: no file"):
        core.resolve("models:/summarizer@champion")
    assert not (tmp_path / "data").exists()


def test_where_the_registry_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert tracking.tracking_uri() == f"sqlite:///{tmp_path}/data/registry/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////elsewhere.db")
    assert tracking.tracking_uri() == "sqlite:////elsewhere.db"
    assert tracking.tracking_uri("http://registry:5000") == "http://registry:5000"


# Aliases


def test_champion_moves_and_what_was_resolved_before_stays(run: Path, tmp_path: Path):
    registry.register(str(run), "summarizer")
    assert registry.promote("summarizer", 1) == "models:/summarizer/1"
    before = core.resolve("models:/summarizer@champion")
    registry.register(str(a_run(tmp_path / "run", 2.0)), "summarizer")
    assert registry.promote("summarizer", "models:/summarizer@candidate") == "models:/summarizer/2"
    assert (before.version, core.resolve("models:/summarizer@champion").version) == ("models:/summarizer/1", "models:/summarizer/2")


def test_failed_gates_are_kept_as_tags_and_keep_a_version_from_being_champion(run: Path):
    made = registry.register(str(run), "summarizer")
    assert core.resolve(made["version"]).validated is None
    registry.judge(made["version"], {"gates": [FAILED_GATE, PASSED_GATE], "latency": {"p95": 0.05}})
    found = core.resolve(made["version"])
    assert (found.validated, found.failed) == (False, (FAILED_GATE["verdict"],))
    assert client().get_model_version("summarizer", "1").tags["gate.metrics.rougeL.at_least"] == FAILED_GATE["verdict"]
    with pytest.raises(LifecycleError, match=r"models:/summarizer/1 does not become champion: it failed gates\. ROUGE-L: 0\.6"):
        registry.promote("summarizer", 1)
    assert registry.promote("summarizer", 1, though_failed=True) == made["version"]


def test_judged_again_the_last_judgement_counts(run: Path):
    made = registry.register(str(run), "summarizer")
    for gates in ([FAILED_GATE], [PASSED_GATE]):
        registry.judge("models:/summarizer@candidate", {"gates": gates})
    found = core.resolve(made["version"])
    assert (found.validated, found.failed) == (True, ())
    assert not [key for key in client().get_model_version("summarizer", "1").tags if key.startswith("gate.")]
    registry.promote("summarizer", 1)


@pytest.mark.parametrize(
    ("version", "alias", "said"), [(9, "champion", "no version 9"), (1, "latest", "reserved"), ("models:/other/1", "c", "is no version of")]
)
def test_an_alias_that_cannot_be_set_is_told(run: Path, version: int | str, alias: str, said: str):
    registry.register(str(run), "summarizer")
    with pytest.raises(LifecycleError, match=said):
        registry.promote("summarizer", version, alias)


# A registry that is away


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://ada:secret@127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_is_not_there_is_told_at_once(run: Path):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"does not answer: connection refused\. Check that its server runs"):
            core.resolve("models:/summarizer@champion", tracking_uri=uri)
        with pytest.raises(tracking.Away, match="connection refused"):
            registry.register(str(run), "summarizer", tracking_uri=uri)
        assert time.monotonic() - began < 20


def test_a_server_is_not_given_a_folder_of_this_machine(run: Path, tmp_path: Path):
    with pytest.raises(LifecycleError, match=r"is a server, which takes no folder of this machine.*s3://models"):
        registry.register(str(run), "summarizer", tracking_uri="http://127.0.0.1:9", store=str(tmp_path))


def test_a_server_that_says_nothing_is_not_waited_for_and_its_password_is_not_told(silent: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # whoever sets it, is followed
    began = time.monotonic()
    with pytest.raises(Unreachable, match="it timed out") as raised:
        core.resolve("models:/summarizer@champion", tracking_uri=silent)
    assert time.monotonic() - began < 8
    assert "secret" not in str(raised.value) and "…@127.0.0.1" in str(raised.value)


def test_a_database_that_is_locked_is_waited_for(run: Path, database: Path):
    registry.register(str(run), "summarizer")
    lock = locked(database)
    released = threading.Timer(1, lock.execute, ["ROLLBACK"])
    released.start()
    assert registry.promote("summarizer", 1) == "models:/summarizer/1"
    released.join()
    assert not lock.in_transaction, "it was locked until then"


def test_a_database_that_stays_locked_is_told(run: Path, database: Path, monkeypatch: pytest.MonkeyPatch):
    registry.register(str(run), "summarizer")
    monkeypatch.setattr(tracking, "LOCKED_SECONDS", 0.5)
    lock = locked(database)
    began = time.monotonic()
    with pytest.raises(tracking.Away, match=r"is locked, and was for.*Somebody else writes to it"):
        registry.promote("summarizer", 1)
    assert time.monotonic() - began < 15
    lock.execute("ROLLBACK")
    with pytest.raises(NotFound, match="no alias champion"):
        core.resolve("models:/summarizer@champion")


def locked(database: Path) -> sqlite3.Connection:
    lock = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN EXCLUSIVE")
    return lock


def test_a_file_that_is_no_database_is_told(database: Path):
    database.write_text("not a database, but a text. " * 100)
    with pytest.raises(InvalidSpec, match=r"mlflow\.db is no database"):
        core.resolve("models:/summarizer@champion")


def test_an_address_that_no_registry_has_is_told():
    with pytest.raises(InvalidSpec, match="The registry nosuch://registry refuses"):
        core.resolve("models:/summarizer@champion", tracking_uri="nosuch://registry")


def test_two_that_ask_at_once_leave_environment_and_loggers_as_they_were(run: Path):
    made = registry.register(str(run), "summarizer")
    names = [*tracking._PATIENCE, *tracking._SILENCE]
    before = [os.environ.get(name) for name in names], [logging.getLogger(name).level for name in tracking._TALKS]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(core.resolve, [made["version"]] * 24))
    assert {each.version for each in found} == {made["version"]}
    assert before == ([os.environ.get(name) for name in names], [logging.getLogger(name).level for name in tracking._TALKS])


# Weights that only MLflow can read


def test_what_only_mlflow_can_read_is_fetched_to_this_machine_once(run: Path, tmp_path: Path):
    made = registry.register(str(run), "summarizer")
    run_id = client().get_model_version("summarizer", "1").run_id
    client().log_artifacts(run_id, made["model"], "weights")
    client().create_registered_model("other")
    client().create_model_version("other", source=f"runs:/{run_id}/weights", run_id=run_id)
    found = core.resolve("models:/other/1")
    assert Path(found.model).is_relative_to(tmp_path / "data" / "registry" / "fetched")
    assert (Path(found.model) / "model.safetensors").read_bytes() == (run / "model" / "model.safetensors").read_bytes()
    changed = (Path(found.model) / "model.safetensors").stat().st_mtime_ns
    assert core.resolve("models:/other/1").model == found.model
    assert (Path(found.model) / "model.safetensors").stat().st_mtime_ns == changed
