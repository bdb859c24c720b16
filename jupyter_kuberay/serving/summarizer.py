"""A published summarizer: the Serve application ``app``, with its one deployment `Summarizer`.

    GET  /summarize?text=…                 answers one summary, a JSON string
    POST /summarize {"texts": ["…", …]}    answers a JSON list of summaries

Whatever is refused gets a status of 4xx and ``{"message": …, "hint": …}``.
The header ``x-revision`` names the published revision that answered.

This file travels by itself as a service's code. It imports only what a
serving image has: Ray, torch, transformers, starlette and fsspec.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from ray import serve
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

MAX_BYTES = 1_000_000  # of a request's text or body
MAX_TEXTS = 1000  # in one request
EXAMPLE = "/summarize?text=At+nine+login+stopped+answering.+A+disk+was+full.+Old+files+were+deleted."
_SAMPLE = "At nine the login service stopped answering. A disk was full. Old files were deleted, and all was well after ten minutes."
_LEAST = {"max_batch_size": 1, "batch_wait_timeout_s": 0, "max_new_tokens": 0, "num_beams": 0, "threads": 0}
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Unusable(ValueError):
    """The model cannot be loaded: what is wrong with it, and a hint."""


class Refused(Exception):
    """A request that cannot be answered; becomes a response."""

    def __init__(self, status: HTTPStatus, message: str, hint: str) -> None:
        super().__init__(message)
        self.status, self.message, self.hint = status, message, hint


@dataclass(frozen=True)
class Settings:
    """What ``user_config`` holds. All of it can be changed while the service runs."""

    model: str = ""  # a path, any fsspec URL, or a name on a hub
    revision: int | str = 0  # as published; told in x-revision
    max_batch_size: int = 16
    batch_wait_timeout_s: float = 0.01  # how long a batch that is not full waits for more, when others wait already
    max_new_tokens: int = 0  # of one summary; 0: what the model's own generation settings say
    num_beams: int = 0  # likewise
    threads: int = 0  # of torch in a replica; 0: as many as the replica has CPUs

    @classmethod
    def parse(cls, given: dict[str, Any]) -> Settings:
        """Check ``given``, or `ValueError` that names the setting, the value and what is allowed."""
        known = {spec.name: spec for spec in fields(cls)}
        if unknown := sorted(set(given) - set(known)):
            raise ValueError(f"There is no setting {', '.join(unknown)}; there are {', '.join(known)}.")
        found = replace(cls(), **given)
        for name, least in _LEAST.items():
            value = getattr(found, name)
            whole = name != "batch_wait_timeout_s"
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or value < least:
                raise ValueError(f"{name} is {value!r}; it is {'a whole number' if whole else 'a number of seconds'} of {least} or more.")
        if not isinstance(found.model, str) or not found.model:
            raise ValueError(f"model is {found.model!r}; it is a path, a URL, or the name of a model.")
        return found


class Model:
    """Weights with their tokenizer, and how a text becomes a summary with them.

    Used by one thread at a time. Evaluation and validation use it too, so that
    what is measured is what is served.
    """

    def __init__(self, uri: str, *, max_new_tokens: int = 0, num_beams: int = 0, batch_size: int = 16) -> None:
        """Load ``uri`` (see `Settings`), onto the GPU if there is one; `Unusable` if it cannot be."""
        import torch
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # this is for logs
        with _local(uri) as place:
            try:
                self.tokenizer = AutoTokenizer.from_pretrained(place)
                # A pickle could run anything on the cluster: safetensors or nothing.
                self.network = AutoModelForSeq2SeqLM.from_pretrained(place, use_safetensors=True)
            except (OSError, ValueError, KeyError) as error:
                why = str(error).splitlines()[0]
                raise Unusable(f"The model {uri} cannot be loaded: {why} It needs its config, tokenizer and safetensors.") from error
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.network.eval().to(self.device)
        self.uri = uri
        self.batch_size = batch_size
        self.max_input = self._max_input()
        self._set_generation(max_new_tokens, num_beams)

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

    def pieces(self, text: str) -> list[str]:
        """Cut ``text``, at ends of sentences where it can be, into parts that the model can read whole."""
        room = self.max_input - self.tokenizer.num_special_tokens_to_add()
        if self._lengths([text])[0] <= room:
            return [text]
        sentences = [sentence for sentence in _SENTENCE_END.split(text) if sentence]
        whole: list[tuple[str, int]] = []
        for sentence, length in zip(sentences, self._lengths(sentences), strict=True):
            whole.extend([(sentence, length)] if length <= room else self._by_tokens(sentence, room))
        return _joined(whole, room)

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

    def _lengths(self, texts: list[str]) -> list[int]:
        return [len(tokens) for tokens in self._tokens(texts)]

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        found: list[list[int]] = self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return found

    def generate(self, pieces: Sequence[str]) -> list[str]:
        """Summaries of texts that each fit the model, all in one batch."""
        import torch

        # Padded here and not by the tokenizer, whose own padding is a state that no two threads may change.
        rows = [torch.tensor(tokens[: self.max_input]) for tokens in self.tokenizer(list(pieces), verbose=False)["input_ids"]]
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        given = {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}
        with torch.inference_mode():
            written = self.network.generate(**given)
        return [text.strip() for text in self.tokenizer.batch_decode(written, skip_special_tokens=True)]

    def summarize(self, texts: Sequence[str]) -> list[str]:
        """Summaries of texts of any length."""
        state = [_Reading(self.pieces(text)) for text in texts]
        while open_ := [reading for reading in state if not reading.done]:
            flat = [piece for reading in open_ for piece in reading.pieces]
            # Texts of like length together: a batch is as slow as its longest.
            order = sorted(range(len(flat)), key=lambda index: len(flat[index]))
            told = [""] * len(flat)
            for at in range(0, len(order), self.batch_size):
                chosen = order[at : at + self.batch_size]
                for index, summary in zip(chosen, self.generate([flat[index] for index in chosen]), strict=True):
                    told[index] = summary
            rest = iter(told)
            for reading in open_:
                reading.take([next(rest) for _ in reading.pieces], self.pieces)
        return [reading.summary for reading in state]


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
class _Reading:
    """A text on its way to its summary: summaries of its pieces are joined and summarized again, until one is left."""

    pieces: list[str]
    done: bool = False
    summary: str = ""

    def take(self, summaries: list[str], cut: Callable[[str], list[str]]) -> None:
        joined = " ".join(summary for summary in summaries if summary)
        before = len(self.pieces)
        self.pieces = cut(joined) if joined else []
        # Summaries that are no shorter than their texts would go round for ever.
        if before == 1 or not self.pieces or len(self.pieces) >= before:
            self.summary, self.done = joined, True


class Batcher:
    """Gathers what arrives while a batch is computed, and computes it as the next one, in a thread."""

    def __init__(self, work: Callable[[list[Any]], list[Any]]) -> None:
        self._work = work
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="summarizer")
        self._waiting: list[tuple[Any, asyncio.Future[Any]]] = []
        self._running: asyncio.Task[None] | None = None
        self.max_size = 16
        self.wait_s = 0.01

    async def __call__(self, item: Any) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        crowd = 1  # how many were answered last: whoever comes alone is not made to wait for others
        while self._waiting:
            if len(self._waiting) < min(crowd, self.max_size):
                await asyncio.sleep(self.wait_s)
            # Who has gone meanwhile needs no answer.
            self._waiting = [(item, answer) for item, answer in self._waiting if not answer.done()]
            batch, self._waiting = self._waiting[: self.max_size], self._waiting[self.max_size :]
            if batch:
                await self._answer(batch)
                crowd = len(batch)
                await asyncio.sleep(0)  # lets those who were answered ask again

    async def _answer(self, batch: list[tuple[Any, asyncio.Future[Any]]]) -> None:
        outcome: list[Any]
        try:
            outcome = await asyncio.get_running_loop().run_in_executor(self._thread, self._work, [item for item, _ in batch])
        except Exception as error:  # the batch's, not the service's
            outcome = [error] * len(batch)
        for (_, answer), result in zip(batch, outcome, strict=True):
            if answer.done():
                continue
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)


@dataclass(frozen=True)
class _Loaded:
    model: Model
    settings: Settings


@dataclass(eq=False)
class _Text:
    """One text of one request; its pieces are computed by the model that was there when it came."""

    loaded: _Loaded
    piece: str


@serve.deployment(name="Summarizer", max_ongoing_requests=256, ray_actor_options={"num_cpus": 1})
class Summarizer:
    """Answers with the model of the last ``user_config``."""

    def __init__(self) -> None:
        self._loaded: _Loaded | None = None
        self._batch = Batcher(_compute)

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Load what ``user_config`` names (see `Settings`) beside what is there, then put it in its place.

        Requests go on being answered by the old weights until then; if the new
        ones cannot be loaded, they stay.
        """
        settings = Settings.parse(dict(user_config or {}))
        now = self._loaded
        same = now is not None and _weights(now.settings) == _weights(settings)
        model = now.model if now is not None and same else await asyncio.get_running_loop().run_in_executor(None, _load, settings)
        self._loaded = _Loaded(model, settings)
        self._batch.max_size, self._batch.wait_s = settings.max_batch_size, settings.batch_wait_timeout_s

    def try_out(self) -> str:
        """Answer one request, as the check before a revision is put in."""
        if self._loaded is None:
            raise Unusable("No model is set: user_config must name one.")
        return self._loaded.model.summarize([_SAMPLE])[0]

    async def __call__(self, request: Request) -> Response:
        try:
            loaded = self._ready()
            texts = await _texts(request)
            summaries = await asyncio.gather(*(self._summary(loaded, text) for text in texts))
        except Refused as refused:
            return JSONResponse({"message": refused.message, "hint": refused.hint}, refused.status)
        except ClientDisconnect:
            return Response(status_code=499)
        answer = summaries[0] if request.method == "GET" else list(summaries)
        body = json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")
        return Response(body, media_type="application/json", headers={"x-revision": str(loaded.settings.revision)})

    def _ready(self) -> _Loaded:
        if self._loaded is None:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "No model is set.", "Publish with model=…, so that user_config names one.")
        return self._loaded

    async def _summary(self, loaded: _Loaded, text: str) -> str:
        loop = asyncio.get_running_loop()
        cut = loaded.model.pieces
        # Of a long text only half a batch is under way at a time: short ones beside it are not made to wait for all of it.
        room = asyncio.Semaphore(max(1, loaded.settings.max_batch_size // 2))

        async def one(piece: str) -> str:
            async with room:
                return str(await self._batch(_Text(loaded, piece)))

        reading = _Reading(await loop.run_in_executor(None, cut, text) if len(text) > 2000 else cut(text))
        while not reading.done:
            reading.take(list(await asyncio.gather(*map(one, reading.pieces))), cut)
        return reading.summary


def _compute(items: list[_Text]) -> list[Any]:
    """One batch. During a change of weights it may hold texts for the old and for the new ones."""
    outcome: dict[int, Any] = {}
    for loaded in {id(item.loaded): item.loaded for item in items}.values():
        mine = [index for index, item in enumerate(items) if item.loaded is loaded]
        outcome.update(zip(mine, loaded.model.generate([items[index].piece for index in mine]), strict=True))
    return [outcome[index] for index in range(len(items))]


def _weights(settings: Settings) -> tuple[Any, ...]:
    return settings.model, settings.max_new_tokens, settings.num_beams, settings.threads, settings.revision


def _load(settings: Settings) -> Model:
    if settings.threads:
        import torch

        torch.set_num_threads(settings.threads)
    return Model(settings.model, max_new_tokens=settings.max_new_tokens, num_beams=settings.num_beams, batch_size=settings.max_batch_size)


@contextmanager
def _local(uri: str) -> Iterator[str]:
    """A path or a name that transformers can load; what a URL names is copied to this machine for as long."""
    if "://" not in uri:
        if uri.startswith(("/", ".", "~")) and not Path(uri).expanduser().is_dir():
            raise Unusable(f"There is no folder {uri} on this node.")
        yield str(Path(uri).expanduser()) if uri.startswith("~") else uri
        return
    import tempfile

    import fsspec

    with tempfile.TemporaryDirectory(prefix="jupyter-kuberay-model-") as target:
        try:
            filesystem, path = fsspec.core.url_to_fs(uri)
            filesystem.get(path.rstrip("/") + "/", target + "/", recursive=True)
        except (OSError, ValueError, ImportError) as error:
            raise Unusable(f"The model {uri} cannot be fetched: {error}.") from error
        yield target


async def _texts(request: Request) -> list[str]:
    if not request.url.path.rstrip("/").endswith("/summarize"):
        raise Refused(HTTPStatus.NOT_FOUND, f"There is no {request.url.path}.", "Ask for /summarize.")
    if request.method == "GET":
        return [_text_of_query(request.scope["query_string"])]
    if request.method == "POST":
        return _texts_of_body(await _body(request))
    raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} means nothing here.", "Use GET or POST.")


def _text_of_query(query: bytes) -> str:
    if len(query) > MAX_BYTES:
        raise _too_large()
    try:
        found = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise _not_utf8() from None
    texts = [value for name, value in found if name == "text"]
    if len(texts) != 1:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"There are {len(texts)} texts.", "Give one: /summarize?text=…, or POST several.")
    return _not_empty(texts[0])


async def _body(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BYTES:
        raise _too_large()
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise _too_large()
    return bytes(body)


def _texts_of_body(body: bytes) -> list[str]:
    hint = 'Send {"texts": ["…"]}.'
    try:
        found = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise _not_utf8() from None
    except (ValueError, RecursionError):
        raise Refused(HTTPStatus.BAD_REQUEST, "The body is not JSON.", hint) from None
    texts = found.get("texts") if isinstance(found, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "The body has no list of texts.", hint)
    if not 0 < len(texts) <= MAX_TEXTS:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"There are {len(texts)} texts.", f"Send 1 to {MAX_TEXTS} in one request.")
    return [_not_empty(text) for text in texts]


def _not_empty(text: str) -> str:
    # Half of a surrogate pair, which JSON can spell, is no character and would break the tokenizer.
    text = text.encode("utf-8", "replace").decode().strip()
    if not text:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "The text is empty.", "Give some text to summarize.")
    return text


def _too_large() -> Refused:
    hint = "Send the document in parts, each in a request of its own."
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The request is larger than {MAX_BYTES:,} bytes.", hint)


def _not_utf8() -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, "The text is not UTF-8.", "Encode it as UTF-8 first.")


app = Summarizer.bind()  # type: ignore[attr-defined]
