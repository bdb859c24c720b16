"""What the API server has of one kind, kept up to date by one watch that does not end.

The field's word is client-go's. What a network does to a watch (a dropped
connection, an old version, a server that starts again, an expired token, one
that throttles) is told to nobody as long as it passes: the last state stays,
and what changed meanwhile is told when the watch is back.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from jupyter_kuberay.backends.kuberay.api import AGAIN_S, LONGEST_PAUSE_S, PATIENCE_S, Api
from jupyter_kuberay.backends.kuberay.paths import Place
from jupyter_kuberay.backends.kuberay.refusals import NOT_NOW, Asked, NotNow
from jupyter_kuberay.errors import Forbidden, InvalidSpec, KubeRayError, Unreachable
from jupyter_kuberay.observation import Json

# Told of an object that is new or changed (True) or gone (False).
Told = Callable[[Json, bool], None]

_WATCH_S = 300  # the server ends it then; the next one goes on where it ended
_SILENCE_S = 150.0  # bookmarks come every minute: this long a silence is a dead connection
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0
_STEADY_S = 5.0  # a watch that lived so long was a good one
_PAGE = "250"  # objects of a page, where a server cannot stream a list
_LIST_ENDS = "k8s.io/initial-events-end"


class Gone(Exception):
    """The server no longer knows what happened since our version; all has to be told again."""


class Reflector:
    """Objects of one kind in one namespace, by name.

    Parameters
    ----------
    api, place
        Whom to ask for what.
    labels
        A label selector; "" is all.
    told
        Called for each change; after a break also for what changed meanwhile.
    stands
        Called when it falls behind, and when it is up to date again.
    """

    def __init__(
        self,
        api: Api,
        place: Place,
        labels: str = "",
        told: Told = lambda _object, _there: None,
        stands: Callable[[], None] = lambda: None,
    ) -> None:
        self.objects: dict[str, Json] = {}
        self.synced = asyncio.Event()
        self.problem: KubeRayError | None = None  # why it is not up to date; None when it is
        self.problem_since = 0.0  # by the monotonic clock
        self._api, self._place, self._labels, self._told, self._stands = api, place, labels, told, stands
        self._asked = Asked(what=place.resource, place=place.resource)
        self._version = ""
        self._changed = asyncio.Event()
        self._refused_times = 0
        self._ended: deque[str] = deque(maxlen=100)  # whose end was told, by uid

    async def wait_synced(self, patience: float) -> None:
        """Wait until all has been told once; raise what stands in the way when that lasts longer than ``patience`` s.

        What waiting does not mend (a right that lacks, a kind that is not installed) is raised at its second time.
        """
        deadline = time.monotonic() + patience
        while not self.synced.is_set():
            left = deadline - time.monotonic()
            if self.problem is not None and (left <= 0 or self._hopeless):
                raise self.problem
            self._changed.clear()
            try:
                async with asyncio.timeout(max(left, 0.05)):
                    await self._changed.wait()
            except TimeoutError:
                if self.problem is None and left <= 0:
                    raise Unreachable(f"The API server does not tell its {self._place.resource}.", "Try again in a moment.") from None

    @property
    def _hopeless(self) -> bool:
        return self._refused_times >= 2

    async def run(self) -> None:
        """Until it is cancelled."""
        pause = _FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            try:
                await self._watch()
                wait = 0.0  # the server ended it, as asked to
            except Gone:
                self._version, wait = "", 0.0
            except KubeRayError as error:
                self._ill(error)
                self._refused_times += isinstance(error, Forbidden | InvalidSpec)
                self._changed.set()
                wait = error.retry_after or pause
            lived = time.monotonic() - began
            if lived > _STEADY_S:
                pause = _FIRST_PAUSE_S
            if lived < _FIRST_PAUSE_S:  # something in between ends each at once
                wait = wait or pause
            # Many clients lose their watches at the same moment; they should not come back in step.
            await asyncio.sleep(wait * random.uniform(0.75, 1.25))
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _watch(self) -> None:
        path = self._place.path(await self._api.namespace())
        listing: set[str] | None = None if self._version else set()
        async with aclosing(changes(self._api, path, self._asked, self._labels, self._version, self._opened)) as stream:
            async for kind, thing in stream:
                metadata = thing.get("metadata") or {}
                version = str(metadata.get("resourceVersion") or "")
                if kind == "BOOKMARK":
                    if listing is not None and _LIST_ENDS in (metadata.get("annotations") or {}):
                        self._all_told(listing, _age(thing))
                        listing = None
                    if listing is None:
                        self._version = version
                    continue
                if kind == "DELETED":
                    self._drop(thing)
                else:
                    if listing is not None:
                        listing.add(str(metadata["name"]))
                    self._take(thing)
                if listing is None:
                    self._version = version
                    self._well()

    def saw(self, thing: Json) -> None:
        """Take what an answer to a request has told before the watch does: who writes reads what they wrote."""
        if self.synced.is_set() and thing["metadata"].get("uid") not in self._ended:
            self._take(thing)

    def _take(self, thing: Json) -> None:
        thing["metadata"].pop("managedFields", None)
        name = str(thing["metadata"]["name"])
        before = self.objects.get(name)
        if before is not None and before["metadata"].get("uid") != thing["metadata"].get("uid"):
            self._drop(before)  # its end was not seen
        elif before is not None and _age(before) >= _age(thing):
            return
        self.objects[name] = thing
        self._told(thing, True)

    def _drop(self, thing: Json) -> None:
        thing["metadata"].pop("managedFields", None)
        self._ended.append(thing["metadata"].get("uid"))
        if self.objects.pop(str(thing["metadata"]["name"]), None) is not None:
            self._told(thing, False)

    def _all_told(self, names: set[str], as_of: int) -> None:
        for name, thing in [*self.objects.items()]:
            if name not in names and _age(thing) <= as_of:  # what is younger was made after the list
                self._drop(thing)
        self._well()
        self.synced.set()
        self._changed.set()

    def _opened(self) -> None:
        if self._version:  # all was told before: what is new comes now, and nothing may be new
            self._well()

    def _well(self) -> None:
        was_ill, self.problem, self._refused_times = self.problem is not None, None, 0
        if was_ill:
            self._stands()

    def _ill(self, error: KubeRayError) -> None:
        was_well, self.problem = self.problem is None, error
        if was_well:
            self.problem_since = time.monotonic()
            self._stands()


def _age(thing: Json) -> int:
    """Later versions of an object are larger numbers, wherever etcd keeps them."""
    version = str(thing["metadata"].get("resourceVersion") or "")
    return int(version) if version.isdigit() else 0


async def changes(
    api: Api, path: str, asked: Asked, labels: str = "", version: str = "", opened: Callable[[], None] = lambda: None
) -> AsyncGenerator[tuple[str, Json], None]:
    """What a watch tells: ADDED, MODIFIED, DELETED or BOOKMARK, and the object.

    Without a version it begins with all that there is, one object a line, and a bookmark with the annotation
    k8s.io/initial-events-end. `Gone` when the version is too old.
    """
    query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(round(_WATCH_S * random.uniform(0.9, 1.0)))}
    if labels:
        query["labelSelector"] = labels
    if version:
        query["resourceVersion"] = version
    else:
        query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    try:
        async with aclosing(api.lines(path, asked=asked, query=query, silence=_SILENCE_S, timeout=_WATCH_S + 30, opened=opened)) as lines:
            async for line in lines:
                if line:
                    yield _change(line)
    except InvalidSpec:
        if version:
            raise Gone from None
        # A server older than 1.32 does not stream lists.
        async with aclosing(_by_pages(api, path, asked, labels)) as told:
            async for change in told:
                yield change
        # What comes next is asked for by the caller, with the version that it has now.


def _change(line: bytes) -> tuple[str, Json]:
    change = json.loads(line)
    kind, thing = str(change.get("type")), change.get("object") or {}
    if kind == "ERROR":
        if thing.get("code") in (410, 504):
            raise Gone
        told = NotNow if thing.get("code") in NOT_NOW else Unreachable
        raise told(f"The API server ended a watch: {thing.get('message')}", "Try again in a moment.")
    return kind, thing


async def _by_pages(api: Api, path: str, asked: Asked, labels: str) -> AsyncGenerator[tuple[str, Json], None]:
    query: dict[str, str] = {"limit": _PAGE} | ({"labelSelector": labels} if labels else {})
    while True:
        page = await api.request("GET", path, asked=asked, query=query)
        for thing in page.get("items") or []:
            yield "ADDED", thing
        metadata: Mapping[str, str] = page.get("metadata") or {}
        if not metadata.get("continue"):
            yield "BOOKMARK", {"metadata": {"resourceVersion": metadata.get("resourceVersion", ""), "annotations": {_LIST_ENDS: "true"}}}
            return
        query["continue"] = metadata["continue"]


async def listed(api: Api, place: Place, labels: str = "") -> list[Json]:
    """All objects of a kind now, by one request that is read a line at a time.

    Tried again for some seconds while the server is being started or throttles; one that cannot be reached is told at once.
    """
    path, until = place.path(await api.namespace()), time.monotonic() + PATIENCE_S
    while True:
        problem: KubeRayError = NotNow(f"The API server does not list its {place.resource}.", "Try again in a moment.")
        try:
            found = await _listed_once(api, path, Asked(what=place.resource, place=place.resource), labels)
            if found is not None:
                return found
        except Gone:
            pass
        except KubeRayError as error:
            if not api.is_not_now(error):
                raise
            problem = error
        pause = min(problem.retry_after or AGAIN_S, LONGEST_PAUSE_S)
        if time.monotonic() + pause > until:
            raise problem
        await asyncio.sleep(pause)


async def _listed_once(api: Api, path: str, asked: Asked, labels: str) -> list[Json] | None:
    """None when the server ended the answer before its end, as one does that has only just started."""
    found: list[Json] = []
    async with aclosing(changes(api, path, asked, labels)) as stream:
        async for kind, thing in stream:
            if kind == "BOOKMARK" and _LIST_ENDS in (thing["metadata"].get("annotations") or {}):
                return found
            if kind == "ADDED":
                thing["metadata"].pop("managedFields", None)
                found.append(thing)
    return None
