"""The summarizer's answers and refusals, with tiny models that are made here."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from jupyter_kuberay.serving import summarizer
from jupyter_kuberay.serving.summarizer import Batcher, Model, Settings, Unusable

MAX_BYTES = 1_000_000
TEXT = "At nine login stopped answering. A disk was full. Old files were deleted. All was well again after ten minutes."
Deployed: Any = summarizer.Summarizer.func_or_class


def make_model(folder: Path, kind: str, seed: int = 0) -> str:
    """A model with random weights; what it says is nonsense, but always the same."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        [TEXT], trainers.BpeTrainer(vocab_size=300, special_tokens=["<pad>", "</s>"], initial_alphabet=alphabet, show_progress=False)
    )
    raw.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="</s>", model_max_length=64)
    torch.manual_seed(seed)
    tokens = {"vocab_size": len(tokenizer), "d_model": 16, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    if kind == "t5":
        network = T5ForConditionalGeneration(T5Config(**tokens, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    else:
        layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
        sizes = {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_position_embeddings": 64, "forced_eos_token_id": 1}
        network = BartForConditionalGeneration(BartConfig(**tokens, **layers, **sizes, bos_token_id=0))
    network.generation_config.max_new_tokens = 8
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "t5": make_model(folder / "t5", "t5"),
        "bart": make_model(folder / "bart", "bart"),
        "other": make_model(folder / "other", "t5", seed=5),
    }


@pytest.fixture(scope="module")
def model(models: dict[str, str]) -> Model:
    return Model(models["t5"])


@pytest.fixture
def client(models: dict[str, str]) -> Any:
    replica = Deployed()

    async def answer(request: Request) -> Any:
        return await replica(request)

    async def configure(request: Request) -> Any:
        await replica.reconfigure(await request.json())
        return Response()

    routes = [Route("/configure", configure, methods=["PUT"]), Route("/{path:path}", answer, methods=["GET", "POST", "DELETE"])]
    with TestClient(Starlette(routes=routes)) as client:
        client.put("/configure", json={"model": models["t5"], "revision": 3})
        yield client


# --- over HTTP


def test_get_answers_one_summary_as_a_json_string(client: TestClient, model: Model):
    answer = client.get("/summarize", params={"text": TEXT})
    assert answer.status_code == 200
    assert answer.json() == model.summarize([TEXT])[0]
    assert answer.headers["content-type"] == "application/json"


def test_post_answers_a_list_in_the_order_of_the_texts(client: TestClient, model: Model):
    texts = [TEXT, "A disk was full.", TEXT, "Login"]
    assert client.post("/summarize", json={"texts": texts}).json() == model.summarize(texts)


def test_the_revision_that_answered_is_in_the_header(client: TestClient):
    assert client.get("/summarize", params={"text": TEXT}).headers["x-revision"] == "3"


def test_it_answers_below_any_route(client: TestClient):
    assert client.get("/team/summaries/summarize", params={"text": TEXT}).status_code == 200


REFUSED = [
    ("GET", "/summarize", b"", 422),
    ("GET", "/summarize?text=", b"", 422),
    ("GET", "/summarize?text=%20%0A", b"", 422),
    ("GET", "/summarize?text=a&text=b", b"", 422),
    ("GET", "/summarize?text=%ff%fe", b"", 400),
    ("GET", "/elsewhere?text=a", b"", 404),
    ("DELETE", "/summarize", b"", 405),
    ("POST", "/summarize", b"", 400),
    ("POST", "/summarize", b"{", 400),
    ("POST", "/summarize", b'{"texts": ["\xff"]}', 400),
    ("POST", "/summarize", b"[" * 100_000, 400),
    ("POST", "/summarize", b"[]", 422),
    ("POST", "/summarize", b'"text"', 422),
    ("POST", "/summarize", b'{"texts": []}', 422),
    ("POST", "/summarize", b'{"texts": "one"}', 422),
    ("POST", "/summarize", b'{"texts": [1]}', 422),
    ("POST", "/summarize", b'{"texts": ["a", " "]}', 422),
    ("POST", "/summarize", json.dumps({"texts": ["a"] * 1001}).encode(), 422),
    ("POST", "/summarize", json.dumps({"texts": ["a" * MAX_BYTES]}).encode(), 413),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), REFUSED, ids=[f"{m} {p} {b[:20]!r}" for m, p, b, _ in REFUSED])
def test_what_cannot_be_answered_is_refused_with_a_message_and_a_hint(client: TestClient, method: str, path: str, body: bytes, status: int):
    answer = client.request(method, path, content=body)
    assert answer.status_code == status
    assert set(answer.json()) == {"message", "hint"} and all(answer.json().values())


def test_a_huge_body_that_does_not_say_its_size_is_refused_too(client: TestClient):
    answer = client.post("/summarize", content=(b"x" * 100_000 for _ in range(20)))
    assert answer.status_code == 413


@pytest.mark.parametrize("text", ["x", "🔥", "\x00\x07", "<pad> </s>", "日本語のテキスト。", "\ud83d lonely"])
def test_odd_texts_are_answered(client: TestClient, text: str):
    answer = client.post("/summarize", content=json.dumps({"texts": [text]}))
    assert answer.status_code == 200 and isinstance(answer.json()[0], str)


def test_without_a_model_it_says_so(models: dict[str, str]):
    replica = Deployed()
    with pytest.raises(Unusable, match="No model"):
        replica.try_out()


def test_a_try_out_answers_one_request(models: dict[str, str]):
    replica = Deployed()
    asyncio.run(replica.reconfigure({"model": models["t5"]}))
    assert isinstance(replica.try_out(), str)


# --- changes while it runs


def test_new_weights_take_over_with_their_revision(client: TestClient, models: dict[str, str]):
    before = client.get("/summarize", params={"text": TEXT})
    client.put("/configure", json={"model": models["other"], "revision": 4})
    after = client.get("/summarize", params={"text": TEXT})
    assert after.headers["x-revision"] == "4"
    assert after.json() == Model(models["other"]).summarize([TEXT])[0] != before.json()


@pytest.mark.parametrize("broken", [{"model": "/no/such/folder"}, {"model": ""}, {"model": "m", "beams": 2}, {"model": "m", "threads": -1}])
def test_what_cannot_be_loaded_changes_nothing(models: dict[str, str], broken: dict[str, Any]):
    replica = Deployed()
    asyncio.run(replica.reconfigure({"model": models["t5"], "revision": 1}))
    with pytest.raises(ValueError, match=r"folder|model|setting|threads"):
        asyncio.run(replica.reconfigure(broken))
    assert replica._kept.now.settings.revision == 1
    assert isinstance(replica.try_out(), str)


def test_a_setting_of_batching_is_changed_without_loading_again(models: dict[str, str]):
    replica = Deployed()
    asyncio.run(replica.reconfigure({"model": models["t5"]}))
    before = replica._kept.now.model
    asyncio.run(replica.reconfigure({"model": models["t5"], "max_batch_size": 3}))
    assert replica._kept.now.model is before
    assert replica._batch.max_size == 3


def test_while_new_weights_are_loaded_the_old_ones_answer(models: dict[str, str]):
    loading, go_on = threading.Event(), threading.Event()

    class Slow(Deployed):
        def load(self, settings: Settings) -> Any:
            if settings.revision == 2:
                loading.set()
                go_on.wait(30)
            return super().load(settings)

    async def upgrade() -> tuple[str, str]:
        replica = Slow()
        await replica.reconfigure({"model": models["t5"], "revision": 1})
        upgrading = asyncio.create_task(replica.reconfigure({"model": models["other"], "revision": 2}))
        await asyncio.to_thread(loading.wait, 30)
        during = await replica(get(TEXT))
        go_on.set()
        await upgrading
        return during.headers["x-revision"], (await replica(get(TEXT))).headers["x-revision"]

    assert asyncio.run(upgrade()) == ("1", "2")


def get(text: str) -> Request:
    from urllib.parse import urlencode

    scope = {"type": "http", "method": "GET", "path": "/summarize", "root_path": "", "headers": [], "server": ("h", 80), "scheme": "http"}
    return Request({**scope, "query_string": urlencode({"text": text}).encode()})


# --- the model


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_any_sequence_to_sequence_model_is_loaded_by_the_same_code(models: dict[str, str], kind: str):
    assert Model(models[kind]).summarize([TEXT, "Short."]) == Model(models[kind]).summarize([TEXT, "Short."])


def test_a_model_behind_a_url_is_fetched(models: dict[str, str], model: Model):
    assert Model(f"file://{models['t5']}").summarize([TEXT]) == model.summarize([TEXT])


def test_a_url_where_nothing_is_is_named():
    with pytest.raises(Unusable, match="file:///no/such/place"):
        Model("file:///no/such/place")


def test_a_pickle_is_not_loaded(models: dict[str, str], tmp_path: Path):
    import shutil

    import torch

    folder = tmp_path / "pickled"
    shutil.copytree(models["t5"], folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(Unusable, match="safetensors"):
        Model(str(folder))


def test_a_text_in_a_batch_is_summarized_as_it_is_alone(model: Model):
    texts = [TEXT, "Short.", "A disk was full. " * 3]
    assert model.summarize(texts) == [model.summarize([text])[0] for text in texts]


LONG = {
    "sentences": "The disk was full. Login failed. " * 200,
    "no spaces": "nobodycouldlogin" * 300,
    "one sentence": "disk and login and " * 300,
    "odd characters": "日本語" * 300,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_nothing_of_a_long_text_is_cut_away_and_every_piece_fits(model: Model, text: str):
    pieces = model.pieces(text.strip())
    assert len(pieces) > 1
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(len(model.tokenizer(piece)["input_ids"]) <= model.max_input for piece in pieces)


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_a_long_text_gets_one_summary_that_is_shorter_than_it(model: Model, text: str):
    summary = model.summarize([text])[0]
    assert len(summary) < len(text)


def test_a_text_that_fits_is_read_as_it_is(model: Model):
    assert model.pieces("Two.  Spaces.") == ["Two.  Spaces."]


def test_a_long_text_over_http_is_summarized_as_by_the_model(client: TestClient, model: Model):
    text = LONG["sentences"].strip()
    assert client.post("/summarize", json={"texts": [text, "Short."]}).json() == model.summarize([text, "Short."])


# --- batching


def test_what_comes_while_a_batch_is_computed_is_the_next_batch():
    first, go_on, batches = threading.Event(), threading.Event(), []

    def work(items: list[int]) -> list[int]:
        batches.append(list(items))
        first.set()
        go_on.wait(30)
        return [item * 10 for item in items]

    async def ask() -> list[int]:
        batch = Batcher(work)
        batch.max_size = 4
        alone = asyncio.create_task(batch(0))
        await asyncio.to_thread(first.wait, 30)
        others = [asyncio.create_task(batch(number)) for number in range(1, 7)]
        await asyncio.sleep(0)  # all of them have asked
        go_on.set()
        return list(await asyncio.gather(alone, *others))

    assert asyncio.run(ask()) == [0, 10, 20, 30, 40, 50, 60]
    assert batches == [[0], [1, 2, 3, 4], [5, 6]]


def test_a_batch_that_fails_fails_for_those_in_it_only():
    def work(items: list[int]) -> list[int]:
        if 1 in items:
            raise RuntimeError("out of memory")
        return items

    async def ask() -> list[Any]:
        batch = Batcher(work)
        batch.max_size = 1
        return list(await asyncio.gather(*(batch(number) for number in range(3)), return_exceptions=True))

    found = asyncio.run(ask())
    assert (found[0], found[2]) == (0, 2) and isinstance(found[1], RuntimeError)


def test_who_has_gone_is_not_computed():
    first, go_on, seen = threading.Event(), threading.Event(), []

    def work(items: list[str]) -> list[str]:
        seen.extend(items)
        first.set()
        go_on.wait(30)
        return items

    async def ask() -> None:
        batch = Batcher(work)
        one = asyncio.create_task(batch("one"))
        await asyncio.to_thread(first.wait, 30)
        gone, stays = asyncio.create_task(batch("gone")), asyncio.create_task(batch("stays"))
        await asyncio.sleep(0)
        gone.cancel()
        go_on.set()
        await asyncio.gather(one, stays)

    asyncio.run(ask())
    assert seen == ["one", "stays"]


# --- settings


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "model"),
        ({"model": 3}, "model"),
        ({"model": "m", "max_batch_size": 0}, "max_batch_size"),
        ({"model": "m", "max_batch_size": True}, "max_batch_size"),
        ({"model": "m", "num_beams": 1.5}, "num_beams"),
        ({"model": "m", "batch_wait_timeout_s": "soon"}, "batch_wait_timeout_s"),
        ({"model": "m", "batch_wait_timeout_s": -1}, "batch_wait_timeout_s"),
        ({"model": "m", "max_tokens": 5}, "max_new_tokens"),
    ],
)
def test_a_wrong_setting_is_named(given: dict[str, Any], named: str):
    with pytest.raises(ValueError, match=named):
        Settings.parse(given)


def test_the_example_is_a_request_that_it_answers(client: TestClient):
    assert client.get(summarizer.EXAMPLE).status_code == 200
