"""A T5 of 0.85 million parameters and its tokenizer, from scratch: what a laptop trains in a minute or two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_kuberay.lifecycle._examples import LONGEST_DOCUMENT

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SMALL_T5 = "t5-small-from-scratch"


def from_scratch(data: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model with random weights, which follow from torch's seed, and a tokenizer learned from ``data``."""
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = make_tokenizer(data)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=128,
        d_ff=256,
        d_kv=32,
        num_heads=4,
        num_layers=2,
        num_decoder_layers=2,
        dropout_rate=0.0,  # some epochs over thousands of reports do not overfit
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    model = T5ForConditionalGeneration(config)
    model.generation_config.max_new_tokens = 64
    return model, tokenizer


def make_tokenizer(data: str, vocabulary: int = 1500) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer learned from the train split: it can spell any text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    from jupyter_kuberay.lifecycle.data import load_split

    rows = load_split(data, "train")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=["<pad>", "</s>"], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator((text for column in ("document", "summary") for text in rows[column].to_pylist()), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", model_max_length=LONGEST_DOCUMENT)
