"""A published summarizer: the Serve application ``app``, with its one deployment `Summarizer`.

    GET  /summarize?text=…                 answers one summary, a JSON string
    POST /summarize {"texts": ["…", …]}    answers a JSON list of summaries
    GET  /docs, /openapi.json              say what can be asked

Whatever is refused gets a status of 4xx or 5xx and ``{"message": …, "hint": …}``.
The header ``x-revision`` names the published revision that answered.

This file travels as a service's code, with what it imports from beside it. Together they need only what
a serving image has: Ray, torch, transformers, starlette and fsspec.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

from ray import serve

from jupyter_kuberay.serving.batching import Batcher
from jupyter_kuberay.serving.page import Described
from jupyter_kuberay.serving.seq2seq import Model, Piece, Reading
from jupyter_kuberay.serving.served import LONG, Asked, Served, overload
from jupyter_kuberay.serving.settings import Settings as Common
from jupyter_kuberay.serving.settings import one_of, whole
from jupyter_kuberay.serving.weights import Unusable

__all__ = ["EXAMPLE", "Batcher", "Model", "Settings", "Summarizer", "Unusable", "app"]

EXAMPLE = "/summarize?text=At+nine+login+stopped+answering.+A+disk+was+full.+Old+files+were+deleted."
_SAMPLE = "At nine the login service stopped answering. A disk was full. Old files were deleted, and all was well after ten minutes."


@dataclass(frozen=True)
class Settings(Common):
    """What ``user_config`` holds. All of it can be changed while the service runs."""

    max_new_tokens: int = whole(0)  # of one summary; 0: what the model's own generation settings say
    num_beams: int = whole(0)  # likewise
    dtype: str = one_of("auto", "float32", "bfloat16", "float16")  # auto: half precision on a GPU


@serve.deployment(name="Summarizer", **overload(), ray_actor_options={"num_cpus": 1})
class Summarizer(Served):
    """Answers with the model of the last ``user_config``."""

    about: ClassVar[Described] = Described("summarize", "Summaries", _SAMPLE, {"type": "string"})
    settings_of: ClassVar[type[Common]] = Settings

    def load(self, settings: Settings) -> Model:
        """Load the model, with as many threads as the replica has CPUs."""
        return Model(
            settings.model,
            max_new_tokens=settings.max_new_tokens,
            num_beams=settings.num_beams,
            batch_size=settings.max_batch_size,
            threads=settings.threads or cpus(),
            dtype=settings.dtype,
        )

    def options(self, settings: Settings) -> tuple[Any, ...]:
        """How a summary is written belongs to the model."""
        return settings.max_new_tokens, settings.num_beams, settings.dtype, settings.threads

    def item(self, model: Model, text: str) -> Piece:
        """The first piece; of a text that fits, all of it."""
        return model.cut(text)[0]

    def length(self, item: Piece) -> int:
        """In tokens."""
        return len(item.ids)

    def compute(self, model: Model, items: list[Piece]) -> list[str]:
        """Summaries of pieces."""
        return model.generate(items)

    async def answer(self, asked: Asked, text: str) -> str:
        """The summary of a text of any length: of its pieces, then of their summaries."""
        cut = asked.model.cut
        reading = Reading(await asyncio.to_thread(cut, text) if len(text) > LONG else cut(text))
        # Of a long text only half a batch is under way at a time: short ones beside it are not made to wait for all of it.
        room = asyncio.Semaphore(max(1, asked.settings.max_batch_size // 2))

        async def one(piece: Piece) -> str:
            async with room:
                return str(await asked.compute(piece))

        while not reading.done:
            reading.take(list(await asyncio.gather(*map(one, reading.pieces))), cut)
        return reading.summary


def cpus() -> int:
    """How many CPUs this replica has, as whole ones; 0 outside of Ray."""
    import ray

    if not ray.is_initialized():
        return 0
    return max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))


app = Summarizer.bind()  # type: ignore[attr-defined]
