"""Documents with their summaries as tokens, and batches of them as tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

Example = tuple[list[int], list[int]]  # a document and its summary, as tokens

LONGEST_DOCUMENT = 512  # tokens; of a base model, what it can read
_LONGEST_SUMMARY = 128
_DONT_COUNT = -100  # torch's label for what the loss leaves out


class Examples(NamedTuple):
    rows: list[Example]
    digest: str  # of their keys in this order: other data give another one


def load(data: str, split: str, tokenizer: PreTrainedTokenizerBase, limit: int | None) -> Examples:
    """A split of ``data`` as tokens. A worker holds all of them: a million reports are 1 GB."""
    from jupyter_kuberay.lifecycle.data import load_split

    rows = load_split(data, split)
    if limit is not None:
        rows = rows.slice(0, limit)
    if not rows.num_rows:  # tokenizers take no empty list
        return Examples([], "")
    longest = min(LONGEST_DOCUMENT, tokenizer.model_max_length)
    documents = tokenizer(rows["document"].to_pylist(), truncation=True, max_length=longest)["input_ids"]
    summaries = tokenizer(text_target=rows["summary"].to_pylist(), truncation=True, max_length=_LONGEST_SUMMARY)["input_ids"]
    digest = hashlib.sha256("\n".join(rows["key"].to_pylist()).encode()).hexdigest()[:16]
    return Examples(list(zip(documents, summaries, strict=True)), digest)


def batch(rows: Sequence[Example], padding: int, device: torch.device) -> dict[str, torch.Tensor]:
    """What a sequence-to-sequence model takes: input_ids and attention_mask (rows, longest document), labels (rows, longest summary)."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    documents = [torch.tensor(document) for document, _ in rows]
    ids = pad_sequence(documents, batch_first=True, padding_value=padding)
    mask = pad_sequence([torch.ones_like(document) for document in documents], batch_first=True)
    labels = pad_sequence([torch.tensor(summary) for _, summary in rows], batch_first=True, padding_value=_DONT_COUNT)
    return {name: value.to(device) for name, value in (("input_ids", ids), ("attention_mask", mask), ("labels", labels))}
