"""What there is, kept up to date while somebody looks, and each change told once, however many look.

One watch a kind for the whole server. A page tells what it shows (`Feed.look`)
and tells it again every few minutes; when none has done so for a while, the
watches end. Events carry a number: who missed one sees that, and looks again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_kuberay.client import Client
from jupyter_kuberay.errors import KubeRayError
from jupyter_kuberay.faces.server.bodies import Publication, Run, Traffic, View
from jupyter_kuberay.faces.server.runs import Runs
from jupyter_kuberay.faces.server.sampling import EVERY_S, Sampler
from jupyter_kuberay.faces.server.traffic import samples
from jupyter_kuberay.observation import Change, ChangeType, Kind, Observation, Usage
from jupyter_kuberay.status import ClusterStatus, JobStatus, Phase, ServiceStatus, cluster_status, job_status, service_status

KEPT_S = 600.0  # a page that does not tell again what it shows is gone; one tells every four minutes
_LINGER_S = 60.0  # a page that is loaded anew leaves and comes back
_FIRST_LOOK_S = 2.0  # so long a first look waits for what there is, rather than telling that it comes
_TOGETHER_S = 0.02  # changes that come within it are one event
_SILENCE_S = 5.0  # after which what nobody has taken notice of is judged anew
_AGAIN_S = 5.0

Status = ClusterStatus | ServiceStatus | JobStatus
_JUDGES: dict[Kind, Callable[[Observation, datetime], Status]] = {
    Kind.CLUSTER: cluster_status,
    Kind.SERVICE: service_status,
    Kind.JOB: job_status,
}
_NAMES = {Kind.CLUSTER: "cluster", Kind.SERVICE: "service", Kind.JOB: "job"}


@dataclass(frozen=True)
class Standing:
    """Whether what is known is up to date."""

    synced: bool
    problem: KubeRayError | None
    since: datetime | None


class Feed:
    """The clusters, services and jobs of one user, and the runs of notebooks on this machine.

    Parameters
    ----------
    client
        Whose backend is watched.
    mine
        Whether something is this user's to see.
    tell
        Called with each event, as plain JSON.
    root
        The folder that the server's file browser shows.
    """

    def __init__(self, client: Client, mine: Callable[[Status], bool], tell: Callable[[dict[str, Any]], None], root: Path) -> None:
        self.server, self.seq = os.urandom(8).hex(), 0
        self.usage: dict[str, Usage] = {}
        self.traffic: dict[str, Traffic] = {}
        self._client, self._mine, self._tell = client, mine, tell
        self.runs = Runs(root, self._ran, lambda: self._later(("runs",), {"type": "runs"}))
        self._kinds = [_Kind(self, kind) for kind in _JUDGES]
        self._usages = Sampler(self._uses, self._used, lambda name: None)
        self._traffic = Sampler(self._samples, self._asked, self._not_answering)
        self._views: dict[str, tuple[float, View]] = {}  # until when, and what they show
        self._keeper: asyncio.Task[None] | None = None
        self._pending: dict[tuple[str, ...], dict[str, Any]] = {}  # what the next event tells, the last state of each
        self._told = Standing(False, None, None)

    # --- who looks ---

    async def look(self, view: str, shown: View) -> None:
        """A page shows this; returns when what there is is known, or soon."""
        self._views[view] = (_now() + KEPT_S, shown)
        self._measure()
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep())
        async with asyncio.TaskGroup() as waiting:
            for kind in self._kinds:
                waiting.create_task(kind.wait(_FIRST_LOOK_S))
            if shown.runs:
                waiting.create_task(self.runs.wait(_FIRST_LOOK_S))
        self._measure()
        # Whoever hears this knows that events reach them.
        self._later(("looked", view), {"type": "looked", "view": view})

    def leave(self, view: str) -> None:
        """A page shows nothing any more."""
        self._views.pop(view, None)
        self._measure()

    def _measure(self) -> None:
        """What somebody sees, and is there, and is theirs to see. A service's cluster is measured with the service."""
        shown = [view for _, view in self._views.values()]
        clusters = {name for view in shown for name in view.clusters}
        services = {name for view in shown for name in view.services}
        own = {name for name, status in self._of(Kind.CLUSTER).statuses.items() if isinstance(status, ClusterStatus) and not status.owner}
        self._usages.see(frozenset(clusters & own))
        self._traffic.see(frozenset(services & self._of(Kind.SERVICE).statuses.keys()))
        self.runs.see(any(view.runs for view in shown))

    async def _keep(self) -> None:
        """Watch until nobody has looked for a while."""
        following = [asyncio.create_task(kind.follow()) for kind in self._kinds]
        try:
            empty_since = _now()
            while _now() - empty_since < _LINGER_S:
                await asyncio.sleep(_SILENCE_S)
                self._views = {view: kept for view, kept in self._views.items() if kept[0] > _now()}
                for kind in self._kinds:
                    kind.judge_again()
                self._measure()
                if self._views:
                    empty_since = _now()
        finally:
            self._usages.see(frozenset())
            self._traffic.see(frozenset())
            self.runs.end()
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
            for kind in self._kinds:
                kind.forget()
            self.usage.clear()
            self.traffic.clear()

    async def close(self) -> None:
        """End what is watched."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    # --- what there is ---

    def statuses(self, kind: Kind) -> list[Any] | None:
        """All of a kind that are this user's, by name; None where that is not known now."""
        followed = self._of(kind)
        return [status for _, status in sorted(followed.statuses.items())] if followed.standing.synced else None

    def _of(self, kind: Kind) -> _Kind:
        return next(each for each in self._kinds if each.kind is kind)

    @property
    def standing(self) -> Standing:
        """Of all kinds together: the worst."""
        each = [kind.standing for kind in self._kinds]
        trouble = next((one for one in each if one.problem), None)
        return Standing(all(one.synced for one in each), trouble.problem if trouble else None, trouble.since if trouble else None)

    # --- what is told ---

    def changed(self, kind: Kind, name: str, status: Status | None) -> None:
        """``status`` is new; None: it is gone."""
        change: dict[str, Any] = {"type": "gone", "kind": _NAMES[kind], "name": name}
        if status is not None:
            change |= {"type": "status", "status": status.model_dump(mode="json")}
        elif kind is Kind.CLUSTER:
            self.usage.pop(name, None)
        elif kind is Kind.SERVICE:
            self.traffic.pop(name, None)
        self._later((_NAMES[kind], name), change)

    def stands(self) -> None:
        """A kind has been told whole, or cannot be told now."""
        now = self.standing
        if now.synced and not self._told.synced:
            self._later(("synced",), {"type": "synced"})
        if now.problem is not self._told.problem:
            self._later(("problem",), {"type": "problem", "problem": told_problem(now.problem), "since": told_time(now.since)})
        self._told = now

    def published(self, publication: Publication) -> None:
        """A publication is another than before."""
        change = {"type": "publication", "name": publication.name, "publication": publication.model_dump(mode="json")}
        self._later(("publication", publication.name), change)

    def _ran(self, run: str, now: Run | None) -> None:
        change: dict[str, Any] = {"type": "gone", "kind": "run", "name": run}
        if now is not None:
            change = {"type": "run", "run": now.model_dump(mode="json")}
        self._later(("run", run), change)

    def _used(self, name: str, usage: Usage) -> None:
        if name in self._of(Kind.CLUSTER).statuses and self.usage.get(name) != usage:
            self.usage[name] = usage
            self._later(("usage", name), {"type": "usage", "name": name, "usage": usage.model_dump(mode="json")})

    async def _uses(self, name: str) -> AsyncGenerator[Usage, None]:
        """Of a cluster that runs; of another nothing is asked: its status says what it is."""
        status = self._of(Kind.CLUSTER).statuses.get(name)
        if isinstance(status, ClusterStatus) and status.phase in (Phase.READY, Phase.DEGRADED):
            async with aclosing(self._client.usages(name, EVERY_S)) as usages:
                async for usage in usages:
                    yield usage

    def _samples(self, name: str) -> AsyncGenerator[Traffic, None]:
        return samples(self._client.backend, lambda: self._of(Kind.SERVICE).observed.get(name), EVERY_S)

    def _asked(self, name: str, traffic: Traffic) -> None:
        if name in self._of(Kind.SERVICE).statuses and self.traffic.get(name) != traffic:
            self.traffic[name] = traffic
            self._later(("traffic", name), {"type": "traffic", "name": name, "traffic": traffic.model_dump(mode="json")})

    def _not_answering(self, name: str) -> None:
        """Its address stays; all else cannot be known any more."""
        if (last := self.traffic.get(name)) is not None:
            self._asked(name, Traffic(url=last.url, call=last.call))

    def _later(self, about: tuple[str, ...], change: dict[str, Any]) -> None:
        if not self._pending:
            asyncio.get_running_loop().call_later(_TOGETHER_S, self._flush)
        self._pending.pop(about, None)
        self._pending[about] = change

    def _flush(self) -> None:
        changes, self._pending = [*self._pending.values()], {}
        self.seq += 1
        self._tell({"server": self.server, "seq": self.seq, "changes": changes})

    @property
    def client(self) -> Client:
        return self._client

    def mine(self, status: Status) -> bool:
        return self._mine(status)


class _Kind:
    """All of one kind."""

    def __init__(self, feed: Feed, kind: Kind) -> None:
        self.kind, self._feed = kind, feed
        self.forget()

    def forget(self) -> None:
        self.statuses: dict[str, Status] = {}
        self.standing = Standing(False, None, None)
        self.observed: dict[str, Observation] = {}
        self._known = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Until all has been told once or something stands in the way, or the time is over."""
        try:
            async with asyncio.timeout(seconds):
                await self._known.wait()
        except TimeoutError:
            pass

    async def follow(self) -> None:
        while True:
            listed: set[str] | None = set()
            try:
                async with aclosing(self._feed.client.backend.watch(self.kind)) as changes:  # type: ignore[type-var]
                    async for change in changes:
                        listed = self._take(change, listed)
            except KubeRayError as error:
                self._stands(Standing(self.standing.synced, error, self.standing.since or datetime.now(UTC)))
                await asyncio.sleep(error.retry_after or _AGAIN_S)

    def _take(self, change: Change, listed: set[str] | None) -> set[str] | None:
        """``listed``: what has been told since the watch began, until it has told all that there is."""
        if change.type is ChangeType.SYNCED:
            for name in [*self.observed] if listed is not None else []:
                if name not in (listed or ()):
                    self._gone(name)
            self._stands(Standing(True, None, None))
            return None
        if change.type is ChangeType.BEHIND:
            self._stands(Standing(self.standing.synced, change.problem, self.standing.since or datetime.now(UTC)))
            return listed
        assert change.seen is not None
        if change.type is ChangeType.DELETED:
            self._gone(change.seen.name)
        else:
            if listed is not None:
                listed.add(change.seen.name)
            self.observed[change.seen.name] = change.seen
            self._judge(change.seen.name)
        return listed

    def _stands(self, standing: Standing) -> None:
        self.standing = standing
        self._known.set()
        self._feed.stands()

    def _gone(self, name: str) -> None:
        self.observed.pop(name, None)
        if self.statuses.pop(name, None) is not None and self.standing.synced:
            self._feed.changed(self.kind, name, None)

    def judge_again(self) -> None:
        """Silence tells something, too: what waits and hears nothing is judged by the clock."""
        for name in self.observed:
            self._judge(name)

    def _judge(self, name: str) -> None:
        status = _JUDGES[self.kind](self.observed[name], self._feed.client.backend.now())
        if not self._feed.mine(status):
            self._gone(name)
        elif self.statuses.get(name) != status:
            self.statuses[name] = status
            if self.standing.synced:  # before that, one event tells of all of them
                self._feed.changed(self.kind, name, status)


def told_problem(error: KubeRayError | None) -> dict[str, str] | None:
    """An error as it is told to a page."""
    return {"message": error.message, "hint": error.hint, "kind": type(error).__name__} if error else None


def told_time(when: datetime | None) -> str:
    return when.isoformat(timespec="seconds") if when else ""


def _now() -> float:
    return asyncio.get_running_loop().time()
