"""A small model without training, a service of it, and clients that ask: what the two benchmarks of serving share."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from jupyter_kuberay import ClusterSpec, HeadSpec
from jupyter_kuberay.lifecycle.incidents import reports

APP = "jupyter_kuberay.serving.summarizer:app"
TOKENS = 32  # of each answer, always: what is compared is then the same work


def texts(number: int = 64) -> list[str]:
    return [report["document"] for report in reports(number, seed=11)]


# Of a T5: the demo's (0.9 million parameters), and that of t5-small (45 million with a small vocabulary).
DEMO: dict[str, Any] = {"d_model": 128, "d_kv": 32, "d_ff": 256, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}
SMALL: dict[str, Any] = {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_decoder_layers": 6, "num_heads": 8}


def make_model(folder: Path, seed: int = 0, size: dict[str, Any] = DEMO) -> str:
    """A T5 of a size with random weights; gives its path."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import GenerationConfig, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    transformers.utils.logging.disable_progress_bar()
    special = ["<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(texts(500), trainers.BpeTrainer(vocab_size=1500, special_tokens=special))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    ).save_pretrained(folder)

    torch.manual_seed(seed)
    model = T5ForConditionalGeneration(
        T5Config(vocab_size=1500, **size, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, tie_word_embeddings=True)
    )
    model.generation_config = GenerationConfig(
        min_new_tokens=TOKENS, max_new_tokens=TOKENS, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0
    )
    model.save_pretrained(folder)
    return str(folder)


def cluster(cpus: int) -> ClusterSpec:
    """One node, whatever the machine has."""
    return ClusterSpec(name="bench", head=HeadSpec(cpu=str(cpus), memory="4Gi"))


def asking(session: Any, url: str) -> Callable[[int], Awaitable[str]]:
    """Ask for one summary; the answer is the number of the revision that gave it."""
    corpus = texts()
    random.Random(7).shuffle(corpus)

    async def ask(number: int) -> str:
        async with session.get(f"{url}/summarize", params={"text": corpus[number % len(corpus)]}) as response:
            body = await response.text()
            if response.status != 200:
                raise RuntimeError(f"{response.status}: {body[:200]}")
            return str(response.headers["x-revision"])

    return ask
