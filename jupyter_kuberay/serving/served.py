"""A replica of any application that answers texts: what of serving knows nothing of the model.

An application says how its model is loaded and how a batch is computed, and has the rest: batching by length, limits, deadlines,
metrics, a request log, health, an OpenAPI page, and new weights beside the old ones.

    @serve.deployment(**overload(), ray_actor_options={"num_cpus": 1})
    class Classifier(Served):
        about = Described("classify", "Classifies reports", "A disk was full.", {"type": "string"})

        def load(self, settings):
            return pipeline("text-classification", settings.model)

        def compute(self, model, items):
            return [found["label"] for found in model(items)]

    app = Classifier.bind()
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import time
import uuid
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, ClassVar

from ray import serve
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from jupyter_kuberay.serving.batching import Batch, Batcher
from jupyter_kuberay.serving.metrics import Metrics
from jupyter_kuberay.serving.page import POLICY, Described, openapi, page
from jupyter_kuberay.serving.request_log import RequestLog
from jupyter_kuberay.serving.requests import ID, Refused, answered, request_id, texts_of, timeout_of, too_late, too_many
from jupyter_kuberay.serving.settings import Settings
from jupyter_kuberay.serving.weights import Kept, Loaded, Unusable, fetched

LONG = 2000  # characters: what takes longer than some milliseconds to prepare is prepared in a thread
_FRESH_S = 10.0  # for so long, a batch that succeeded shows that the model is well
_TURN_S = 0.0005
_WARM_S = 5.0  # a model that took longer for a small batch is not made to compute a large one before it is used


def overload(**options: Any) -> dict[str, Any]:
    """Options of a deployment: many requests may be in a replica, where they are batched, and too many get 429 and not Serve's 503."""
    found: dict[str, Any] = {
        "max_ongoing_requests": 1024,
        "max_queued_requests": 1024,
        "graceful_shutdown_wait_loop_s": 0.5,
        "graceful_shutdown_timeout_s": 60,
        "logging_config": {"enable_access_log": False},  # the proxy's log has a line for each request, too
    }
    if "backpressure_config" in inspect.signature(serve.deployment).parameters:  # not in every Ray that this runs on
        found["backpressure_config"] = {"status_code": 429, "retry_after_s": 1}
    return found | options


@dataclass(frozen=True)
class _Item:
    """What one batch takes for one text, with the model that was there when the text came."""

    loaded: Loaded
    item: Any


@dataclass(eq=False)
class Asked:
    """One request on its way."""

    id: str
    began: float  # as time.perf_counter tells
    loaded: Loaded
    batch: Batcher
    texts: list[str] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        # More than a batch, so that there is a choice of like lengths; not all, so that those of others come in between.
        self._room = asyncio.Semaphore(2 * self.settings.max_batch_size)

    @property
    def model(self) -> Any:
        """The model that answers this request, whatever is loaded meanwhile."""
        return self.loaded.model

    @property
    def settings(self) -> Any:
        """The settings that it came under."""
        return self.loaded.settings

    async def compute(self, item: Any) -> Any:
        """What `Served.compute` makes of ``item``, in a batch with others."""
        async with self._room:
            return await self.batch(_Item(self.loaded, item))


class Served:
    """Answers ``GET /<path>?text=…`` and ``POST /<path> {"texts": […]}`` with the model of the last ``user_config``."""

    about: ClassVar[Described] = Described("ask", "Answers", "A text.", {})
    settings_of: ClassVar[type[Settings]] = Settings

    # What an application says of its model

    def load(self, settings: Any) -> Any:
        """Load the model that ``settings`` name; `Unusable`, or any other error, when it cannot be. Blocks.

        ``settings.model`` is a path here, wherever the weights lie, or a name on a hub.
        """
        raise NotImplementedError

    def compute(self, model: Any, items: list[Any]) -> list[Any]:
        """One result for each of ``items``, all in one batch. An exception among them fails its own request. Blocks."""
        raise NotImplementedError

    def item(self, model: Any, text: str) -> Any:
        """What a batch takes for ``text``, such as its tokens."""
        return text

    def length(self, item: Any) -> int:
        """Of an item, in what batches are padded to."""
        return len(item)

    def options(self, settings: Any) -> tuple[Any, ...]:
        """The settings that another model is loaded for."""
        return (settings.threads,)

    async def answer(self, asked: Asked, text: str) -> Any:
        """The answer for one text, as JSON can hold it."""
        long = len(text) > LONG
        item = await asyncio.to_thread(self.item, asked.model, text) if long else self.item(asked.model, text)
        return await asked.compute(item)

    # What Serve calls

    def __init__(self) -> None:
        application, deployment, self._replica = _names(type(self).__name__)
        self._metrics = Metrics(application, deployment)
        self._kept = Kept(self._load, self.options)
        self._batch = Batcher(self._computed, self._length, self._batched)
        self._changing = asyncio.Lock()
        self._log: RequestLog | None = None
        self._requests = 0  # that are here now
        self._texts = 0  # of theirs that have no answer yet
        self._rate = 1.0  # texts a second, lately

    async def prepare_reconfigure(self, user_config: dict[str, Any]) -> None:
        """Load what a later `reconfigure` will name, which then only puts it in its place. It answers nobody yet.

        `Unusable`, or any other error, when it cannot be; what answers goes on.
        """
        settings = self.settings_of.parse(dict(user_config or {}))
        async with self._changing:
            if self._kept.now is not None:
                self._kept.hold(await self._taken(settings))

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Load what ``user_config`` names (see `Settings`) beside what is there, then put it in its place.

        Requests go on being answered by the old weights until then; if the new
        ones cannot be loaded, they stay.
        """
        settings = self.settings_of.parse(dict(user_config or {}))
        async with self._changing:
            loaded = await self._taken(settings)
            self._kept.put(loaded)
            self._metrics.revision(settings.revision)
            self._batch.max_size, self._batch.wait_s = settings.max_batch_size, settings.batch_wait_timeout_s
            await asyncio.to_thread(self._log_as, settings)

    def try_out(self) -> Any:
        """Answer one request, as the check before a revision is put in."""
        loaded = self._kept.now
        if loaded is None:
            raise Unusable("No model is set: user_config must name one.")
        return self.compute(loaded.model, [self.item(loaded.model, self.about.sample)])[0]

    async def check_health(self) -> None:
        """Ask the model, unless it has just answered, or is at it. Serve replaces a replica that raises here."""
        loaded = self._kept.now
        if loaded is None:
            return
        if self._batch.busy_s > loaded.settings.stuck_after_s:
            raise RuntimeError(f"One batch has been computed for {self._batch.busy_s:.0f} s.")
        if self._batch.busy_s or (not self._batch.failed and time.monotonic() - self._batch.answered < _FRESH_S):
            return
        asked = Asked(uuid.uuid4().hex, time.perf_counter(), loaded, self._batch)
        await asked.compute(self.item(loaded.model, self.about.sample))

    async def __call__(self, request: Request) -> Response:
        last = request.url.path.rstrip("/").rpartition("/")[2]
        if last in ("openapi.json", "docs") and request.method == "GET":
            return self._described(last)
        began, (name, is_told), loaded = time.perf_counter(), request_id(request), self._kept.now
        if request.method == "GET":
            _without_body(request)
        asked = Asked(name, began, loaded, self._batch) if loaded else None
        status = 499  # when it is cancelled: the client has gone
        try:
            response = await self._response(request, asked, last)
            status = response.status_code
        except Refused as refused:
            response, status = refused.response(), int(refused.status)
        except ClientDisconnect:
            response = Response(status_code=status)
        except Exception:
            logging.getLogger("ray.serve").exception("Request %s failed.", name)
            failed = Refused(
                HTTPStatus.INTERNAL_SERVER_ERROR, "The model failed.", f"The log of the service tells why, for request {name}."
            )
            response, status = failed.response(), 500
        finally:
            self._told(asked, status, time.perf_counter() - began)
        if not is_told:
            response.headers[ID] = name
        if asked is not None:
            response.headers["x-revision"] = str(asked.settings.revision)
        return response

    def __del__(self) -> None:
        """Serve calls it once all requests are answered."""
        if batch := getattr(self, "_batch", None):
            batch.close()
        if log := getattr(self, "_log", None):
            log.close()
            self._log = None

    # One request

    async def _response(self, request: Request, asked: Asked | None, last: str) -> Response:
        path = self.about.path
        if last != path:
            raise Refused(HTTPStatus.NOT_FOUND, f"There is no {request.url.path}.", f"Ask for /{path}, or read /docs.")
        if request.method not in ("GET", "POST"):
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} means nothing here.", "Use GET or POST.", allow="GET, POST")
        if asked is None:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "No model is set.", "Publish with model=…, so that user_config names one.")
        seconds = timeout_of(request, asked.settings)
        self._requests += 1
        try:
            self._admit(asked.settings)
            async with asyncio.timeout(seconds) as limit:
                asked.texts = await self._received(request, min(seconds, asked.settings.receive_timeout_s), asked.settings)
                self._admit(asked.settings)  # others may have come while it came
                asked.answers = await self._answers(asked)
        except TimeoutError:
            if not limit.expired():
                raise
            raise too_late(seconds, sent=True) from None
        finally:
            self._requests -= 1
        return answered(asked.answers[0] if request.method == "GET" else asked.answers)

    async def _received(self, request: Request, seconds: float, settings: Any) -> list[str]:
        if request.method == "GET":
            return await texts_of(request, settings)
        try:
            async with asyncio.timeout(seconds):
                return await texts_of(request, settings)
        except TimeoutError:
            raise too_late(seconds, sent=False) from None

    def _admit(self, settings: Any) -> None:
        if self._texts >= settings.max_queue:
            raise too_many(f"{self._texts} texts wait already.", min(30.0, self._texts / self._rate))
        if self._requests > settings.max_requests:
            raise too_many(f"{self._requests} requests are here already.", min(30.0, self._texts / self._rate))

    async def _answers(self, asked: Asked) -> list[Any]:
        async def one(text: str) -> Any:
            try:
                return await self.answer(asked, text)
            finally:
                self._texts -= 1

        self._texts += len(asked.texts)
        if len(asked.texts) == 1:
            return [await one(asked.texts[0])]
        # A group, so that when one fails, or the time is over, the others are not computed for nobody.
        tasks = [asyncio.ensure_future(one(text)) for text in asked.texts]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    def _told(self, asked: Asked | None, status: int, seconds: float) -> None:
        self._metrics.request(status, seconds)
        if self._log and asked and asked.texts:
            self._log.keep(asked.id, asked.settings.revision, status, seconds, asked.texts, asked.answers)

    def _described(self, last: str) -> Response:
        loaded = self._kept.now
        settings = loaded.settings if loaded else self.settings_of(model="-")
        if last == "openapi.json":
            return JSONResponse(openapi(self.about, settings))
        return HTMLResponse(page(self.about, settings), headers={"content-security-policy": POLICY})

    async def _taken(self, settings: Any) -> Loaded:
        """What `Kept.take` gives. Loading is mostly Python, which gives way to those who answer requests more often meanwhile."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(_TURN_S)
        try:
            return await asyncio.get_running_loop().run_in_executor(None, self._kept.take, settings, self._warm_up)
        finally:
            sys.setswitchinterval(before)

    # Batches

    def _length(self, item: _Item) -> int:
        length = self.length(item.item)
        self._metrics.text(length)
        return length

    def _computed(self, items: list[_Item]) -> list[Any]:
        """One batch. During a change of weights it may hold texts for the old and for the new ones."""
        outcome: dict[int, Any] = {}
        for loaded in {id(each.loaded): each.loaded for each in items}.values():
            mine = [index for index, each in enumerate(items) if each.loaded is loaded]
            outcome.update(zip(mine, self.compute(loaded.model, [items[index].item for index in mine]), strict=True))
        return [outcome[index] for index in range(len(items))]

    def _batched(self, batch: Batch) -> None:
        self._metrics.batch(batch)
        self._rate = 0.8 * self._rate + 0.2 * batch.size / max(batch.seconds, 1e-3)

    def _load(self, settings: Any) -> Any:
        with fetched(settings.model) as place:
            try:
                return self.load(replace(settings, model=place))
            except Unusable as error:  # the copy's place says nothing to anybody
                raise Unusable(str(error).replace(place, settings.model)) from error

    def _warm_up(self, model: Any, settings: Any) -> None:
        """Compute batches as they will come, before the first one has to wait for what is only made once."""
        item = self.item(model, self.about.sample)
        for size in sorted({1, settings.max_batch_size}):
            began = time.monotonic()
            self.compute(model, [item] * size)
            took = time.monotonic() - began
            self._rate = size / max(took, 1e-3)
            if took > _WARM_S:
                break

    def _log_as(self, settings: Any) -> None:
        def wanted(some: Any) -> tuple[Any, ...]:
            return some.log, some.log_share, some.log_text, some.log_max_bytes

        before = self._log
        if before is not None and wanted(before.settings) == wanted(settings):
            return
        self._log = RequestLog(settings, self._replica, self._metrics.lost) if settings.log else None
        if before is not None:
            before.close()


def _without_body(request: Request) -> None:
    """Keep Serve from asking its proxy for the body of a request that has none, which costs as much as all else that Serve does here.

    It would ask as soon as this request waits for anything. That a client has gone is told by cancellation, not by this.
    """
    receive = request.receive
    if hasattr(receive, "_receive_asgi_messages"):
        receive._receive_asgi_messages = _nothing


async def _nothing(_: Any) -> bytes:
    """Comes never; Serve cancels it when the request is answered."""
    return await asyncio.get_running_loop().create_future()


def _names(fallback: str) -> tuple[str, str, str]:
    """The application's, the deployment's and the replica's; outside of Serve there are none."""
    try:
        context = serve.get_replica_context()
    except Exception:  # whatever Ray says when this is no replica
        return "", fallback, uuid.uuid4().hex[:8]
    return context.app_name, context.deployment, str(context.replica_id.unique_id)
