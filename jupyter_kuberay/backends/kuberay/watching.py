"""One watch a kind for this process, whoever looks, put together to what is observed.

A resource's pods come by a watch on their label, events by one watch of the
namespace, and all three run only while somebody looks.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress

from jupyter_kuberay.backends.kuberay.api import Api
from jupyter_kuberay.backends.kuberay.observe import CLUSTER, cluster_of, clusters_of, observed, subject
from jupyter_kuberay.backends.kuberay.paths import EVENTS, PLACES, PODS, Place
from jupyter_kuberay.backends.kuberay.reflector import Reflector
from jupyter_kuberay.errors import KubeRayError
from jupyter_kuberay.loop import Turn
from jupyter_kuberay.observation import Change, ChangeType, Json, Kind, Observation

_LINGER_S = 5.0  # whoever looked often looks again soon
_PATIENCE_S = 15.0
_PASSES_S = 2.0  # a trouble that is over by then is told to nobody

Names = dict[str, Json]


class Watches:
    """All watches of one process on one namespace."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._kinds: dict[Kind, _Kind] = {}
        self._pods = _Pods(api)
        self._events = _Events(api)

    async def watch(self, kind: Kind, selector: Mapping[str, str]) -> AsyncIterator[Change]:
        """See `Backend.watch`."""
        if kind not in self._kinds:
            self._kinds[kind] = _Kind(self._api, kind, self._pods, self._events)
        looked = self._kinds[kind]
        look = _Look(looked, dict(selector))
        await looked.join(look)
        try:
            await looked.wait_synced()
            begun = behind = False
            while True:
                async with aclosing(look.changes()) as changes:
                    async for change in changes:
                        yield change
                if not begun:
                    begun = True
                    yield Change(type=ChangeType.SYNCED)
                problem, ripe_in = looked.problem()
                if behind != (problem is not None and ripe_in <= 0):
                    behind = not behind
                    yield Change(type=ChangeType.BEHIND, problem=problem) if behind else Change(type=ChangeType.SYNCED)
                await look.wait(ripe_in if problem is not None and not behind else None)
        finally:
            looked.leave(look)

    def saw(self, kind: Kind, thing: Json) -> None:
        """Let whoever looks know at once what a request of this process has told."""
        if kind in self._kinds:
            self._kinds[kind].saw(thing)

    async def close(self) -> None:
        for each in [*self._kinds.values(), self._pods, self._events]:
            await each.stop()
        self._kinds.clear()


class _Shared(ABC):
    """A reflector that runs while somebody needs it, and a little longer."""

    def __init__(self, api: Api, place: Place, labels: str = "") -> None:
        self._reflector: Reflector | None = None
        self._task: asyncio.Task[None] | None = None
        self._needed = 0
        self._ending: asyncio.TimerHandle | None = None
        self._make: Callable[[], Reflector] = lambda: Reflector(api, place, labels, self.told, self.stands)

    @abstractmethod
    def told(self, thing: Json, there: bool) -> None:
        """Something is there, or is gone."""

    @abstractmethod
    def stands(self) -> None:
        """It fell behind, or is up to date again."""

    @abstractmethod
    def forget(self) -> None:
        """What was known is not kept up to date any more."""

    @property
    def objects(self) -> Names:
        return self._reflector.objects if self._reflector else {}

    @property
    def reflector(self) -> Reflector:
        assert self._reflector is not None
        return self._reflector

    def saw(self, thing: Json) -> None:
        if self._reflector is not None and self._task is not None:
            self._reflector.saw(thing)

    def need(self) -> None:
        self._needed += 1
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if self._task is None or self._task.done():
            self.forget()
            self._reflector = self._make()
            self._task = asyncio.create_task(self._reflector.run())

    def release(self) -> None:
        self._needed -= 1
        if not self._needed:
            with suppress(RuntimeError):  # the loop has ended
                self._ending = asyncio.get_running_loop().call_later(_LINGER_S, self._end)

    def _end(self) -> None:
        if not self._needed and self._task is not None:
            self._task.cancel()
            self._task = None
            self.forget()

    async def stop(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class _Listened(_Shared):
    """What many kinds look at; each is told whom a change concerns."""

    def __init__(self, api: Api, place: Place, labels: str = "") -> None:
        super().__init__(api, place, labels)
        self.listeners: set[_Kind] = set()

    def stands(self) -> None:
        for listener in self.listeners:
            listener.stands()


class _Pods(_Listened):
    """The pods of all Ray clusters, by cluster."""

    def __init__(self, api: Api) -> None:
        super().__init__(api, PODS, CLUSTER)
        self.by_cluster: defaultdict[str, Names] = defaultdict(dict)

    def told(self, thing: Json, there: bool) -> None:
        cluster, name = cluster_of(thing), thing["metadata"]["name"]
        if there:
            self.by_cluster[cluster][name] = thing
        else:
            self.by_cluster[cluster].pop(name, None)
        for listener in self.listeners:
            listener.cluster_changed(cluster)

    def forget(self) -> None:
        self.by_cluster.clear()


class _Events(_Listened):
    """The events of a namespace, by what they are about."""

    def __init__(self, api: Api) -> None:
        super().__init__(api, EVENTS)
        self.by_subject: defaultdict[tuple[str, str], Names] = defaultdict(dict)

    def told(self, thing: Json, there: bool) -> None:
        about, name = subject(thing), thing["metadata"]["name"]
        if there:
            self.by_subject[about][name] = thing
        else:
            self.by_subject[about].pop(name, None)
            if not self.by_subject[about]:
                del self.by_subject[about]
        for listener in self.listeners:
            listener.event_changed(*about)

    def forget(self) -> None:
        self.by_subject.clear()


class _Kind(_Shared):
    """All resources of a kind, put together with their pods and events."""

    def __init__(self, api: Api, kind: Kind, pods: _Pods, events: _Events) -> None:
        super().__init__(api, PLACES[kind])
        self.kind = kind
        self._parts: tuple[_Listened, ...] = () if kind is Kind.REVISION else (pods, events)
        self._pods, self._events = pods, events
        self._looks: set[_Look] = set()
        self._owners: defaultdict[str, set[str]] = defaultdict(set)  # a cluster's name: the resources whose nodes are its pods

    async def join(self, look: _Look) -> None:
        self._looks.add(look)
        self.need()
        for part in self._parts:
            part.need()
            part.listeners.add(self)

    def leave(self, look: _Look) -> None:
        self._looks.discard(look)
        self.release()
        for part in self._parts:
            part.release()
            if not self._looks:
                part.listeners.discard(self)

    async def wait_synced(self) -> None:
        for part in (self, *self._parts):
            await part.reflector.wait_synced(_PATIENCE_S)

    def stands(self) -> None:
        for look in self._looks:
            look.wake()

    def problem(self) -> tuple[KubeRayError | None, float]:
        """Why what is known is not up to date, and in how many seconds that is worth telling."""
        behind = [each.reflector for each in (self, *self._parts) if each.reflector.problem is not None]
        if not behind:
            return None, 0.0
        first = min(behind, key=lambda each: each.problem_since)
        return first.problem, first.problem_since + _PASSES_S - time.monotonic()

    def told(self, thing: Json, there: bool) -> None:
        name = str(thing["metadata"]["name"])
        for owned in clusters_of(self.kind, thing):
            self._owners[owned].add(name) if there else self._owners[owned].discard(name)
        for look in self._looks:
            look.touch(name)
            if not there:
                look.ended(name, thing)

    def cluster_changed(self, cluster: str) -> None:
        for name in self._owners.get(cluster, ()):
            for look in self._looks:
                look.touch(name)

    def event_changed(self, kind: str, name: str) -> None:
        if kind == self.kind:
            names = {name}
        elif kind == "Pod":
            names = {owner for cluster, pods in self._pods.by_cluster.items() if name in pods for owner in self._owners.get(cluster, ())}
        else:
            names = set(self._owners.get(name, ())) if kind == Kind.CLUSTER else set()
        for each in names:
            for look in self._looks:
                look.touch(each)

    def forget(self) -> None:
        self._owners.clear()

    def observe(self, thing: Json) -> Observation:
        if self.kind is Kind.REVISION:
            return observed(self.kind, thing)
        clusters = clusters_of(self.kind, thing)
        pods = [pod for cluster in clusters for pod in self._pods.by_cluster.get(cluster, {}).values()]
        subjects = {(str(self.kind), str(thing["metadata"]["name"])), *((str(Kind.CLUSTER), cluster) for cluster in clusters)}
        subjects |= {("Pod", pod["metadata"]["name"]) for pod in pods}
        uids = {thing["metadata"].get("uid"), *(pod["metadata"].get("uid") for pod in pods)}
        events = [
            event
            for about in subjects
            for event in self._events.by_subject.get(about, {}).values()
            # An earlier one of the same name has left its events.
            if about[0] == Kind.CLUSTER != self.kind or (event.get("involvedObject") or {}).get("uid") in (None, "", *uids)
        ]
        return observed(self.kind, thing, pods, events)


class _Look:
    """What one who looks has been told, and what is new for them."""

    def __init__(self, of: _Kind, selector: dict[str, str]) -> None:
        self._of, self._selector = of, selector
        self._told: dict[str, Observation] = {}
        self._touched: dict[str, None] = {}
        self._ended: dict[str, Json] = {}  # the last state of what is gone
        self._rang = asyncio.Event()
        self._begun = False

    def touch(self, name: str) -> None:
        self._touched[name] = None
        self._rang.set()

    def wake(self) -> None:
        self._rang.set()

    def ended(self, name: str, last: Json) -> None:
        self._ended[name] = last

    async def wait(self, seconds: float | None) -> None:
        """Until something may be new, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rang.wait()

    async def changes(self) -> AsyncGenerator[Change, None]:
        """What is new since the last call, and as it is when it is told: many of them take a while."""
        self._rang.clear()
        names = self._touched if self._begun else dict.fromkeys(sorted(self._of.objects))
        self._touched, self._begun = {}, True
        turn = Turn()
        for name in names:
            for change in self._of_one(name):
                yield change
            await turn.others()

    def _of_one(self, name: str) -> list[Change]:
        before, thing, ended = self._told.get(name), self._of.objects.get(name), self._ended.pop(name, None)
        changes = []
        if before is not None and (thing is None or thing["metadata"].get("uid") != before.resource["metadata"].get("uid")):
            last = before if ended is None else before.model_copy(update={"resource": before.resource | ended})
            changes.append(Change(type=ChangeType.DELETED, seen=last))
            before = None
            del self._told[name]
        if thing is None:
            return changes
        if not self._matches(thing):
            if before is not None:
                del self._told[name]
                changes.append(Change(type=ChangeType.DELETED, seen=before))
            return changes
        now = self._of.observe(thing)
        if before != now:
            self._told[name] = now
            changes.append(Change(type=ChangeType.ADDED if before is None else ChangeType.MODIFIED, seen=now))
        return changes

    def _matches(self, thing: Json) -> bool:
        labels = thing["metadata"].get("labels") or {}
        return all(labels.get(key) == value for key, value in self._selector.items())
