"""The phases on a real Ray: small data, a model that learns next to nothing, and every file that is handed over."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import pytest

from jupyter_kuberay.lifecycle import data, evaluation, incidents, training, validation
from jupyter_kuberay.lifecycle._run import LifecycleError, read_json
from jupyter_kuberay.lifecycle.validation import NotGoodEnough
from tests.local.a_ray import a_ray

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", autouse=True)
def on_ray() -> Iterator[None]:
    with a_ray():
        yield


@pytest.fixture(scope="module")
def reports() -> list[dict[str, str]]:
    return list(incidents.reports(240))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, reports: list[dict[str, str]]) -> Path:
    """A run folder with data: one row without a summary, one document twice, one twice with another summary."""
    folder = tmp_path_factory.mktemp("run")
    bad = [{"document": "No summary.", "summary": " "}, reports[0], {"document": reports[1]["document"].upper(), "summary": "Other."}]
    lines = "".join(json.dumps(report) + "\n" for report in [*reports, *bad])
    source = folder / "reports.jsonl.gz"
    source.write_bytes(gzip.compress(lines.encode()))
    data.prepare(str(source), str(folder))
    return folder


@pytest.fixture(scope="module")
def trained(prepared: Path) -> Path:
    training.train(str(prepared), epochs=2, limit=48, batch_size=16)
    return prepared


def documents(folder: Path, split: str) -> set[str]:
    return set(data.load_split(folder / "data", split)["document"].to_pylist())


def test_every_document_is_in_one_split(prepared: Path, reports: list[dict[str, str]]):
    parts = [documents(prepared, split) for split in data.SPLITS]
    assert sum(map(len, parts)) == len(set().union(*parts)) == len(reports)
    assert all(parts)


def test_what_was_left_out_is_counted_and_said(prepared: Path):
    manifest = read_json(prepared / "data/manifest.json")
    assert manifest["left_out"] == {"empty": 1, "repeated": 2, "of_which_differ": 1}
    assert sum(manifest["rows"].values()) == 240


FORMATS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "reports.csv": lambda rows, path: rows.to_csv(path, index=False),
    "reports.csv.gz": lambda rows, path: rows.to_csv(path, index=False),
    "reports.jsonl": lambda rows, path: rows.to_json(path, orient="records", lines=True),
    "reports.parquet": lambda rows, path: rows.to_parquet(path),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_splits(prepared: Path, reports: list[dict[str, str]], tmp_path: Path, name: str):
    FORMATS[name](pd.DataFrame(reports).rename(columns={"document": "article", "summary": "highlights"}), tmp_path / name)
    data.prepare(str(tmp_path / name), str(tmp_path / "run"), document="article", summary="highlights")
    assert all(documents(tmp_path / "run", split) == documents(prepared, split) for split in data.SPLITS)


def test_any_url_that_fsspec_knows_is_read(prepared: Path, tmp_path: Path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(prepared / "reports.jsonl.gz", "reports.jsonl.gz")
    manifest = data.prepare(f"zip://reports.jsonl.gz::file://{tmp_path}/all.zip", str(tmp_path / "run"))
    assert manifest["rows"] == read_json(prepared / "data/manifest.json")["rows"]


def test_preparing_again_replaces_what_was_there(prepared: Path, tmp_path: Path):
    for limit in (240, 120):
        data.prepare(str(prepared / "reports.jsonl.gz"), str(tmp_path), limit=limit)
    assert sum(len(documents(tmp_path, split)) for split in data.SPLITS) == 120


def test_a_missing_column_is_named_with_those_that_there_are(prepared: Path, tmp_path: Path):
    with pytest.raises(LifecycleError, match="no column highlights; it has document, summary"):
        data.prepare(str(prepared / "reports.jsonl.gz"), str(tmp_path), summary="highlights")


@pytest.mark.parametrize("source", ["{}/nothing.csv", "{}/reports.txt", "{}", "nosuch://bucket/reports.csv"])
def test_what_cannot_be_read_is_named(tmp_path: Path, source: str):
    (tmp_path / "reports.txt").write_text("text")
    with pytest.raises(LifecycleError, match="cannot be read"):
        data.prepare(source.format(tmp_path), str(tmp_path / "run"))


def test_training_leaves_a_model_without_pickles(trained: Path):
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in (trained / "model").iterdir()}
    assert not [path for path in trained.rglob("*") if path.suffix in {".bin", ".pt", ".pkl", ".pickle"}]
    record = read_json(trained / "training.json")
    assert [loss["epoch"] for loss in record["losses"]] == [1, 2]
    assert record["losses"][1]["train"] < record["losses"][0]["train"]


def test_training_without_data_says_what_to_run_first(tmp_path: Path):
    with pytest.raises(LifecycleError, match=r"data\.prepare"):
        training.train(str(tmp_path))


def test_a_base_model_given_by_path_is_trained_further(trained: Path, tmp_path: Path):
    base = make_bart(tmp_path / "bart", tokenizer=trained / "model")
    shutil.copytree(trained / "data", tmp_path / "data")
    manifest = read_json(trained / "data/manifest.json") | {"path": str(tmp_path / "data")}
    (tmp_path / "data/manifest.json").write_text(json.dumps(manifest))
    record = training.train(str(tmp_path), base=base, limit=16, lora_rank=2)
    assert json.loads((tmp_path / "model/config.json").read_text())["model_type"] == "bart"
    assert len(record["losses"]) == 1 and record["base"] == base
    assert 0 < record["trained_parameters"] < record["parameters"]
    assert not list((tmp_path / "model").glob("adapter*"))  # LoRA's matrices are in the weights: serving needs no peft


def make_bart(folder: Path, tokenizer: Path) -> str:
    from transformers import AutoTokenizer, BartConfig, BartForConditionalGeneration

    words = AutoTokenizer.from_pretrained(tokenizer)
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    tokens = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0, "forced_eos_token_id": 1}
    config = BartConfig(vocab_size=len(words), d_model=16, encoder_ffn_dim=16, decoder_ffn_dim=16, **layers, **tokens)
    BartForConditionalGeneration(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


def test_evaluation_and_validation_stop_a_model_that_has_learned_nothing(trained: Path):
    evaluated = evaluation.evaluate(str(trained), published=str(trained / "model"), limit=12, worst=2)
    assert set(evaluated["scores"]) == {"model", "lead1", "published"}
    assert evaluated["scores"]["model"] == evaluated["scores"]["published"]
    assert 0.05 < evaluated["scores"]["lead1"]["rougeL"] < 0.3
    assert len(evaluated["rouge_l"]) == evaluated["reports"] == 12 and len(evaluated["worst"]) == 2
    summaries = pd.read_parquet(trained / "evaluation/summaries.parquet")
    assert {"document", "summary", "model", "published", "lead1"} <= set(summaries.columns)

    validated = validation.validate(str(trained))
    assert not validated["passed"]
    assert {case["input"] for case in validated["inputs"]} == set(validation.ODD_INPUTS)
    assert all(case["ok"] for case in validated["inputs"])
    with pytest.raises(NotGoodEnough, match=r"ROUGE-L: .* at least 0\.85 \(failed by"):
        validation.require(str(trained))


def test_a_model_that_was_not_evaluated_is_not_validated(trained: Path, tmp_path: Path):
    with pytest.raises(LifecycleError, match=r"evaluation\.evaluate"):
        validation.validate(str(tmp_path))


def test_evaluation_without_a_model_says_what_to_run_first(prepared: Path, tmp_path: Path):
    shutil.copytree(prepared / "data", tmp_path / "data")
    with pytest.raises(LifecycleError, match=r"training\.train"):
        evaluation.evaluate(str(tmp_path))


def test_the_served_model_answers_as_in_evaluation_and_refuses_what_it_must(trained: Path):
    from ray import serve

    from jupyter_kuberay.serving.summarizer import Model, Summarizer

    text = incidents.to_bytes(1).decode()
    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    try:
        serve.run(Summarizer.options(user_config={"model": str(trained / "model"), "revision": 7}).bind(), name="s", route_prefix="/")
        url = f"http://127.0.0.1:{port}/summarize"
        status, headers, body = ask(f"{url}?{urlencode({'text': text})}")
        assert (status, headers["x-revision"]) == (200, "7")
        assert json.loads(body) == Model(str(trained / "model")).summarize([text])[0]
        assert json.loads(ask(url, json.dumps({"texts": [text, text]}).encode())[2]) == [json.loads(body)] * 2
        assert ask(url)[0] == 422
        assert ask(f"{url}?text=%ff")[0] == 400
        assert ask(url, b'{"texts": ["' + b"a" * 1_100_000 + b'"]}')[0] == 413
        assert 400 <= ask(f"{url}?text={'a' * 1_100_000}")[0] < 500
    finally:
        serve.shutdown()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(url: str, body: bytes | None = None) -> tuple[int, Any, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()
