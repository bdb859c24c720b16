"""Sequence-to-sequence models of transformers, and how a text of any length becomes a summary with one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from jupyter_kuberay.serving.t5 import Greedy, fits
from jupyter_kuberay.serving.weights import Unusable, fetched

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Piece(NamedTuple):
    """A text that the model can read whole."""

    text: str
    ids: list[int]  # its tokens, the special ones included


class Model:
    """Weights with their tokenizer, and how a text becomes a summary with them.

    Used by one thread at a time. Evaluation and validation use it too, so that
    what is measured is what is served.
    """

    def __init__(
        self, uri: str, *, max_new_tokens: int = 0, num_beams: int = 0, batch_size: int = 16, threads: int = 0, dtype: str = "auto"
    ) -> None:
        """Load ``uri``, a path, a URL or a name on a hub, onto the GPU if there is one; `Unusable` if it cannot be.

        Parameters
        ----------
        max_new_tokens, num_beams
            Of one summary; 0: what the model's own generation settings say.
        threads
            Of torch; 0: as it is.
        dtype
            "auto": float32 on a CPU, on a GPU bfloat16, or float16 where it has no bfloat16.
        """
        import torch
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # this is for logs
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self._threads = threads
        self._use_threads()
        kind = {} if self.device == "cpu" and dtype == "auto" else {"dtype": _dtype(dtype)}
        with fetched(uri) as place:
            try:
                self.tokenizer = AutoTokenizer.from_pretrained(place)
                # A pickle could run anything on the cluster: safetensors or nothing.
                self.network = AutoModelForSeq2SeqLM.from_pretrained(place, use_safetensors=True, **kind)
            except (OSError, ValueError, KeyError) as error:
                why = str(error).splitlines()[0]
                raise Unusable(f"The model {uri} cannot be loaded: {why} It needs its config, tokenizer and safetensors.") from error
        self.network.eval().to(self.device)
        self.uri = uri
        self.batch_size = batch_size
        self.max_input = self._max_input()
        self._set_generation(max_new_tokens, num_beams)
        self._greedy = Greedy(self.network) if fits(self.network) else None

    def _use_threads(self) -> None:
        import torch

        # It holds for the thread that says it, so each one that computes does.
        if self._threads and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)

    def _set_generation(self, max_new_tokens: int, num_beams: int) -> None:
        config = self.network.generation_config
        config.do_sample = False  # the same text, the same summary
        if num_beams:
            config.num_beams = num_beams
        if max_new_tokens:
            config.max_new_tokens = max_new_tokens
        elif not config.max_new_tokens and not (config.max_length and config.max_length > 20):
            config.max_new_tokens = 128  # transformers would cut at 20 tokens

    def _max_input(self) -> int:
        """In tokens. A model without a limit of its own says how long its training texts were."""
        known = [self.tokenizer.model_max_length, getattr(self.network.config, "max_position_embeddings", None)]
        limits = [int(limit) for limit in known if limit and 0 < limit < 1_000_000]
        return min(limits, default=512)

    def cut(self, text: str) -> list[Piece]:
        """Cut ``text``, at ends of sentences where it can be, into parts that the model can read whole."""
        ids = self._ids([text])[0]
        if len(ids) <= self.max_input:
            return [Piece(text, ids)]
        room = self.max_input - self.tokenizer.num_special_tokens_to_add()
        sentences = [sentence for sentence in _SENTENCE_END.split(text) if sentence]
        whole: list[tuple[str, int]] = []
        for sentence, length in zip(sentences, map(len, self._ids(sentences, special=False)), strict=True):
            whole.extend([(sentence, length)] if length <= room else self._by_tokens(sentence, room))
        pieces = _joined(whole, room)
        return [Piece(piece, ids[: self.max_input]) for piece, ids in zip(pieces, self._ids(pieces), strict=True)]

    def pieces(self, text: str) -> list[str]:
        """As `cut`, the texts alone."""
        return [piece.text for piece in self.cut(text)]

    def _by_tokens(self, text: str, room: int) -> list[tuple[str, int]]:
        """Cut between tokens, but never within a character, which can have several."""
        # A piece that begins or ends within a word can have some more tokens than were counted.
        size = max(1, room - 8)
        if self.tokenizer.is_fast:
            read = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            starts = [start for start, _ in read["offset_mapping"]]
            cuts = sorted({0, *starts[size::size], len(text)})
        else:
            cuts = [*range(0, len(text), max(1, size // 4)), len(text)]
        pieces = [text[start:end].strip() for start, end in pairwise(cuts)]
        return [(piece, size) for piece in pieces if piece]

    def _ids(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        found: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=special, verbose=False)["input_ids"]
        return found

    def generate(self, pieces: Sequence[Piece | str]) -> list[str]:
        """Summaries of texts that each fit the model, all in one batch."""
        import torch

        self._use_threads()
        tokens = [self._ids([each])[0][: self.max_input] if isinstance(each, str) else each.ids for each in pieces]
        # Padded here and not by the tokenizer, whose own padding is a state that no two threads may change.
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in tokens], batch_first=True, padding_value=pad)
        lengths = torch.tensor([len(row) for row in tokens])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        ids, mask = ids.to(self.device), mask.to(self.device)
        with torch.inference_mode():
            written = self._greedy(ids, mask) if self._greedy else self.network.generate(input_ids=ids, attention_mask=mask)
        return [text.strip() for text in self.tokenizer.batch_decode(written, skip_special_tokens=True)]

    def summarize(self, texts: Sequence[str]) -> list[str]:
        """Summaries of texts of any length."""
        state = [Reading(self.cut(text)) for text in texts]
        while open_ := [reading for reading in state if not reading.done]:
            flat = [piece for reading in open_ for piece in reading.pieces]
            # Texts of like length together: a batch is as slow as its longest.
            order = sorted(range(len(flat)), key=lambda index: len(flat[index].ids))
            told = [""] * len(flat)
            for at in range(0, len(order), self.batch_size):
                chosen = order[at : at + self.batch_size]
                for index, summary in zip(chosen, self.generate([flat[index] for index in chosen]), strict=True):
                    told[index] = summary
            rest = iter(told)
            for reading in open_:
                reading.take([next(rest) for _ in reading.pieces], self.cut)
        return [reading.summary for reading in state]


def _dtype(name: str) -> Any:
    import torch

    if name == "auto":
        name = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    return getattr(torch, name)


def _joined(sentences: Sequence[tuple[str, int]], room: int) -> list[str]:
    """Put sentences of known lengths together, as many as there is room for in each piece."""
    found: list[list[str]] = [[]]
    used = 0
    for sentence, length in sentences:
        if found[-1] and used + length > room:
            found.append([])
            used = 0
        found[-1].append(sentence)
        used += length + 1  # the space between may become a token
    return [" ".join(piece) for piece in found]


@dataclass
class Reading:
    """A text on its way to its summary: summaries of its pieces are joined and summarized again, until one is left."""

    pieces: list[Piece]
    done: bool = False
    summary: str = ""

    def take(self, summaries: list[str], cut: Callable[[str], list[Piece]]) -> None:
        """Go on with the summaries of the pieces."""
        joined = " ".join(summary for summary in summaries if summary)
        before = len(self.pieces)
        self.pieces = cut(joined) if joined else []
        # Summaries that are no shorter than their texts would go round for ever.
        if before == 1 or not self.pieces or len(self.pieces) >= before:
            self.summary, self.done = joined, True
