"""The loop of our own writes what transformers' generate writes, and leaves alone what it does not know."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")


def make(seed: int = 0, **more: Any) -> Any:
    from transformers import GenerationConfig, T5Config, T5ForConditionalGeneration

    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"d_model": 24, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 3}
    tokens = {"vocab_size": 40, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    generation = more.pop("generation", {})
    # Weights large enough that the tokens vary and some texts end early.
    network = T5ForConditionalGeneration(T5Config(**{**sizes, **tokens, "initializer_factor": 3.0, **more})).eval()
    ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    network.generation_config = GenerationConfig(**{**ids, "max_new_tokens": 40, **generation})
    return network


def batch(rows: int, longest: int, seed: int) -> tuple[Any, Any]:
    torch.manual_seed(seed)
    ids = torch.randint(2, 40, (rows, longest))
    mask = torch.ones_like(ids)
    for row in range(1, rows):
        length = int(torch.randint(1, longest + 1, ()))
        ids[row, length:], mask[row, length:] = 0, 0
    return ids, mask


MODELS = {
    "relu": {},
    "gated": {"feed_forward_proj": "gated-gelu"},
    "untied": {"tie_word_embeddings": False},
    "deep": {"num_layers": 4, "num_decoder_layers": 4, "num_heads": 2},
    "at least so many": {"generation": {"min_new_tokens": 12}},
    "max_length": {"generation": {"max_new_tokens": None, "max_length": 15}},
    "many ends": {"generation": {"eos_token_id": list(range(1, 16))}},
    "more than there is room for at first": {"generation": {"min_new_tokens": 100, "max_new_tokens": 150}},
    "double": {"double": True},
}


@pytest.mark.parametrize("name", MODELS)
def test_it_writes_the_same_tokens_as_generate(name: str):
    from jupyter_kuberay.serving.t5 import Greedy, fits

    ends = set()
    for seed in range(4):
        options = dict(MODELS[name])
        double = options.pop("double", False)
        network = make(seed, **options)
        network = network.double() if double else network
        assert fits(network)
        ids, mask = batch(rows=1 + 5 * (seed % 3), longest=30, seed=seed)
        greedy = Greedy(network)
        assert greedy.compiled
        with torch.inference_mode():
            wanted = network.generate(input_ids=ids, attention_mask=mask)[:, 1:]
            found = greedy(ids, mask)
        assert torch.equal(found, wanted)
        ends |= {(wanted[row] != 0).sum().item() for row in range(len(wanted))}
    assert len(ends) > 2 or name != "many ends"  # texts of one batch ended at different places


def test_it_writes_the_same_with_a_torch_that_compiles_nothing_and_says_that_it_is_slower(monkeypatch, said):
    from jupyter_kuberay.serving.t5 import Greedy

    def gone(*_: Any) -> None:
        raise RuntimeError("there is no TorchScript any more")

    network = make(1)
    ids, mask = batch(rows=6, longest=200, seed=1)  # farther apart than biases tell
    compiled = Greedy(network)
    monkeypatch.setattr(torch.jit, "script", gone)
    greedy = Greedy(network)
    assert compiled.compiled and not greedy.compiled
    assert "slower" in said.text
    wanted = network.generate(input_ids=ids, attention_mask=mask)[:, 1:]
    assert torch.equal(greedy(ids, mask), wanted)
    assert torch.equal(compiled(ids, mask), wanted)


@pytest.mark.parametrize(
    "unknown",
    [
        {"num_beams": 2},
        {"do_sample": True},
        {"repetition_penalty": 1.5},
        {"no_repeat_ngram_size": 2},
        {"forced_eos_token_id": 1},
        {"suppress_tokens": [4]},
    ],
    ids=str,
)
def test_what_it_does_not_know_is_left_to_generate(unknown: dict[str, Any]):
    from jupyter_kuberay.serving.t5 import fits

    assert not fits(make(generation=unknown))


def test_a_layer_that_is_not_a_t5s_own_is_left_to_generate():
    from jupyter_kuberay.serving.t5 import fits

    class Adapted(torch.nn.Linear):
        pass

    network = make()
    assert fits(network)
    network.decoder.block[0].layer[0].SelfAttention.q = Adapted(24, 24, bias=False)
    assert not fits(network)
