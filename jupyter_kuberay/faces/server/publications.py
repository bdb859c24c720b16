"""Publications under way in this server: each in a task of its own, told step by step, one of a name at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Literal

from jupyter_kuberay.errors import Conflict, KubeRayError, NotFound
from jupyter_kuberay.faces.server.bodies import Problem, Publication, Step
from jupyter_kuberay.publishing import Published
from jupyter_kuberay.rollout import Progress
from jupyter_kuberay.rollout import Step as Told

KEPT_S = 600.0  # one that has ended is told to pages that come later, or are loaded anew
_AT_ONCE_S = 1.0  # what goes wrong within it is refused, rather than begun and failed
_UNDONE_S = 20.0  # whoever cancels waits so long for it

Verb = Literal["publish", "rollback"]
Work = Callable[[Progress], Awaitable[Published]]


class Publications:
    """All of them, by the service's name.

    Parameters
    ----------
    told
        Called with each state of each, from the moment on in which it is accepted.
    """

    def __init__(self, told: Callable[[Publication], None]) -> None:
        self._told = told
        self._ways: dict[str, _Way] = {}

    async def begin(self, name: str, verb: Verb, work: Work) -> Publication:
        """Begin with ``work``, and give how far it is after a moment.

        Raises
        ------
        Conflict
            There is one of that name under way.
        KubeRayError
            What ``work`` said at once. Nothing is kept of it.
        """
        before = self._ways.get(name)
        if before is not None and before.runs:
            raise Conflict(f"Service {name!r} is just being published.", "Wait until that is done, or cancel it.")
        way = self._ways[name] = _Way(name, verb, work, self._told)
        refusal = await way.begun()
        if refusal is None:
            return way.accept()
        if before is not None:
            self._ways[name] = before
        else:
            del self._ways[name]
        raise refusal

    async def cancel(self, name: str) -> None:
        """Cancel the one under way, and wait until it is undone; `NotFound` when there is none."""
        way = self._ways.get(name)
        if way is None or not way.runs:
            raise NotFound(f"Service {name!r} is not being published.", "What was published can be rolled back.")
        await way.cancel(_UNDONE_S)

    def all(self) -> tuple[Publication, ...]:
        """Those under way, and those that ended in the last minutes, by name."""
        oldest = time.monotonic() - KEPT_S
        self._ways = {name: way for name, way in self._ways.items() if way.runs or way.ended > oldest}
        return tuple(self._ways[name].publication for name in sorted(self._ways) if self._ways[name].accepted)

    async def close(self) -> None:
        """Cancel what is under way, and so undo it."""
        async with asyncio.TaskGroup() as ending:
            for way in self._ways.values():
                ending.create_task(way.cancel(_UNDONE_S))


class _Way:
    """One of them."""

    def __init__(self, name: str, verb: Verb, work: Work, told: Callable[[Publication], None]) -> None:
        self.publication = Publication(name=name, verb=verb, began=datetime.now(UTC).isoformat(timespec="seconds"), state="running")
        self.accepted = False
        self.ended = 0.0
        self._told = told
        self._noticed = asyncio.Event()
        self._error: Exception | None = None
        self._task = asyncio.create_task(self._go(work))

    @property
    def runs(self) -> bool:
        return not self._task.done()

    async def begun(self) -> Exception | None:
        """Wait for the first sign that the world was asked for something, or for a moment; the error if it has failed."""
        try:
            async with asyncio.timeout(_AT_ONCE_S):
                await self._noticed.wait()
        except TimeoutError:
            pass
        return self._error

    def accept(self) -> Publication:
        self.accepted = True
        self._told(self.publication)
        return self.publication

    async def cancel(self, seconds: float) -> None:
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=seconds)

    async def _go(self, work: Work) -> None:
        try:
            published = await work(self._step)
        except asyncio.CancelledError:
            self._is(state="cancelled")
        except KubeRayError as error:
            self._failed(error, Problem(message=error.message, hint=error.hint, kind=type(error).__name__))
        except Exception as error:
            logging.getLogger(__name__).exception("Publishing %s ended in what nobody has foreseen.", self.publication.name)
            self._failed(
                error, Problem(message=f"It ended unexpectedly: {error!r}", hint="The server's log tells more.", kind="Unexpected")
            )
        else:
            self._is(state="done", revision=published.revision.number, url=published.url, call=published.call)
        finally:
            self.ended = time.monotonic()
            self._noticed.set()

    def _failed(self, error: Exception, problem: Problem) -> None:
        self._error = error
        self._is(state="failed", problem=problem)

    def _step(self, step: Told) -> None:
        made = Step(phase=step.phase, message=step.message, seconds=step.seconds)
        self._is(steps=(*self.publication.steps, made))
        if step.phase != "code":  # until then it is only found out whether it can be
            self._noticed.set()

    def _is(self, **changes: object) -> None:
        self.publication = self.publication.model_copy(update=changes)
        if self.accepted:
            self._told(self.publication)
