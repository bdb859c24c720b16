"""The phases on a real Ray: small data, a model that learns next to nothing, and every file that is handed over."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import pytest

from jupyter_kuberay.lifecycle import evaluation, incidents, training, validation
from jupyter_kuberay.lifecycle._run import LifecycleError, read_json
from jupyter_kuberay.lifecycle.validation import NotGoodEnough

pytestmark = pytest.mark.timeout(300)


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


def test_evaluation_and_validation_stop_a_model_that_has_learned_nothing(trained: Path, tmp_path: Path):
    evaluated = evaluation.evaluate(str(trained), published=str(trained / "model"), limit=12, worst=2, slices={"first": first_letter})
    assert set(evaluated["scores"]) == {"model", "lead1", "published"}
    assert evaluated["scores"]["model"] == evaluated["scores"]["published"]
    assert 0.05 < evaluated["scores"]["lead1"]["rougeL"] < 0.3
    low, high = evaluated["intervals"]["lead1"]["rougeL"]
    assert low < evaluated["scores"]["lead1"]["rougeL"] < high
    assert evaluated["differences"]["published"]["rougeL"] == {"mean": 0, "low": 0, "high": 0}
    assert {part["slice"] for part in evaluated["slices"]} == {"length", "first"}
    assert len(evaluated["rouge_l"]) == evaluated["reports"] == 12 and len(evaluated["worst"]) == 2
    assert read_json(trained / "evaluation.json")["scores"] == evaluated["scores"]
    summaries = pd.read_parquet(trained / "evaluation/summaries.parquet")
    assert {"document", "summary", "model", "published", "lead1", "model.rougeL", "lead1.novelty"} <= set(summaries.columns)

    gates = tmp_path / "gates.yaml"
    gates.write_text(GATES)
    validated = validation.validate(str(trained), gates=str(gates))
    assert not validated["passed"]
    assert {case["input"] for case in validated["inputs"]} == set(validation.ODD_INPUTS)
    assert all(case["ok"] for case in validated["inputs"])
    assert {gate["key"]: gate["passed"] for gate in validated["gates"]} == {
        "metrics.rougeL.at_least": False,
        "size.megabytes": False,
        "robustness.broken": True,
        "robustness.lost_to_noise": True,
        "signature": True,
    }
    assert 3 < validated["size"]["megabytes"] < 4  # 0.85 million numbers of 4 bytes
    with pytest.raises(NotGoodEnough, match=r"ROUGE-L: .* at least 0\.85 \(failed by .*megabytes: 3\.\d+, at most 1 \(failed by 2"):
        validation.require(str(trained))


GATES = """
metrics: {rougeL: {at_least: 0.85}}
size: {megabytes: 1}
robustness: {broken: 0, lost_to_noise: 1}
signature: {inputs: {document: string}}
"""


def first_letter(row: dict[str, Any]) -> str:
    return str(row["document"][0])


def test_what_a_worker_that_is_killed_had_is_summarized_again(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    killed = tmp_path / "killed"

    class KilledOnce:  # of a function: it travels to the workers by its value, and finds the class there as it is
        """Summarizes as usual; the first worker that has something to summarize is killed with it."""

        def __init__(self, *given: Any) -> None:
            self.usual = evaluation._Summarize(*given)

        def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
            with contextlib.suppress(FileExistsError):
                killed.touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
            return self.usual(batch)

    monkeypatch.setattr(evaluation, "_Summarize", KilledOnce)
    evaluated = evaluation.evaluate(str(trained), limit=24, batch_size=1)
    assert killed.exists(), "nobody was killed"
    assert evaluated["reports"] == len(set(pd.read_parquet(trained / "evaluation/summaries.parquet")["document"])) == 24
    assert len(evaluated["rouge_l"]) == 24


def test_a_metric_that_fails_on_the_cluster_is_told_in_a_sentence(trained: Path):
    with pytest.raises(LifecycleError, match=r"^The metric 'ratio' failed: ZeroDivisionError: division by zero\. It was called"):
        evaluation.evaluate(str(trained), limit=4, metrics={"ratio": lambda document, summary, told: 1 / 0})


def test_a_classifier_and_a_folder_without_config_are_told_in_a_sentence(trained: Path, tmp_path: Path):
    from transformers import AutoTokenizer, T5Config, T5ForSequenceClassification

    words = AutoTokenizer.from_pretrained(trained / "model")
    config = T5Config.from_pretrained(trained / "model")
    T5ForSequenceClassification(config).save_pretrained(tmp_path / "classifier")
    words.save_pretrained(tmp_path / "classifier")
    for address in (str(tmp_path / "classifier"), f"file://{tmp_path}/classifier"):
        with pytest.raises(
            LifecycleError, match=r"is a classifier \(T5ForSequenceClassification\), and writes no summaries\. Give a sequence"
        ):
            evaluation.evaluate(str(trained), model=address, limit=4)
    with pytest.raises(LifecycleError, match="is a classifier"):  # by whoever loads it, where the folder cannot be looked into before
        validation.try_inputs(f"file://{tmp_path}/classifier", ["A disk was full."])
    (tmp_path / "classifier" / "config.json").unlink()
    with pytest.raises(LifecycleError, match=r"has no config\.json, so it is no model that transformers can load"):
        evaluation.evaluate(str(trained), model=str(tmp_path / "classifier"), limit=4)


def test_a_slice_of_a_column_that_is_not_there_says_which_are(trained: Path):
    with pytest.raises(LifecycleError, match=r"no column team to make a slice of\. The data have: .*document"):
        evaluation.evaluate(str(trained), slices={"team": "team"})


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
