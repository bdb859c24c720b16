"""What is known of a run of a notebook: written beside its output as it goes on, and listed on this machine.

The record beside the output is the truth, wherever that is. So that somebody finds it again,
a copy lies in a folder of this user's (`index`): one small file a run, which whoever shows runs watches.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

from jupyter_kuberay.backends.local.files import read_json, write_json
from jupyter_kuberay.backends.local.processes import Birth
from jupyter_kuberay.batch.places import Place
from jupyter_kuberay.errors import KubeRayError, NotFound

SUFFIX = ".run.json"
SILENCE_S = 180.0  # without a sign of life from a runner elsewhere, it is taken for lost
ELSEWHERE_S = 5.0  # how old what is shown of a run in the cluster may be
WAITS_S = 6 * 3600.0  # the same, while it waits for its cluster
KEPT = 5_000  # runs in the list of this machine


class RunState(StrEnum):
    """How a run is."""

    PENDING = "Pending"  # its cluster or its kernel is starting
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    INTERRUPTED = "Interrupted"
    LOST = "Lost"  # whatever ran it is gone, and said nothing

    @property
    def over(self) -> bool:
        return self not in (RunState.PENDING, RunState.RUNNING)


@dataclass(frozen=True)
class RunRecord:
    """One run of a notebook."""

    id: str
    notebook: str  # its path or URL
    output: str  # the notebook with its outputs: a path or URL
    state: RunState = RunState.PENDING
    source_sha256: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    cells: int = 0  # code cells in all
    done: int = 0  # code cells that have run
    cell: str = ""  # the title of the one that runs
    values: Mapping[str, Any] = field(default_factory=dict)  # what the notebook recorded
    cluster: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict)  # of that cluster, as far as it is known
    image: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    started: str = ""  # ISO 8601, UTC
    ended: str = ""
    error: str = ""  # what happened
    hint: str = ""  # what to do
    group: str = ""  # the sweep or pipeline that it is part of
    job: str = ""  # the RayJob that runs it, if it runs in the cluster
    heartbeat: str = ""  # when its runner was last heard of
    runner: Mapping[str, Any] = field(default_factory=dict)  # the process that runs it

    @property
    def place(self) -> Place:
        """Where the record itself is."""
        return Place.of(self.output).beside(SUFFIX)

    @property
    def seconds(self) -> float:
        """How long it has taken, until now if it goes on."""
        if not self.started:
            return 0.0
        end = datetime.fromisoformat(self.ended) if self.ended else datetime.now(UTC)
        return max(0.0, (end - datetime.fromisoformat(self.started)).total_seconds())

    @property
    def _whole(self) -> bool:
        """Whether each field is what it is to be: whoever lists runs must not stumble over one."""
        for each in fields(self):
            kind = {"str": str, "int": int, "RunState": RunState}.get(str(each.type), Mapping)
            if not isinstance(getattr(self, each.name), kind):
                return False
        told = [moment for moment in (self.started, self.ended, self.heartbeat) if moment]
        return all(datetime.fromisoformat(moment).tzinfo is not None for moment in told)

    def changed(self, **values: Any) -> RunRecord:
        return replace(self, **values)

    def json(self) -> dict[str, Any]:
        """As it is written; `read` is the way back."""
        return {"version": 1, **asdict(self)}

    @classmethod
    def read(cls, value: Any) -> RunRecord | None:
        """From JSON, a later version's too; None when it is none."""
        known = {each.name for each in fields(cls)}
        try:
            given = {name: item for name, item in value.items() if name in known}
            record = cls(**{**given, "state": RunState(given.get("state", "Pending"))})
            return record if record._whole else None
        except (AttributeError, TypeError, ValueError):
            return None


Version: TypeAlias = tuple[int, int, int]
Known: TypeAlias = dict[str, tuple[Version, RunRecord | None]]


def new_id() -> str:
    """Ids of later runs sort behind those of earlier ones."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def judged(record: RunRecord, at: datetime | None = None) -> RunRecord:
    """The record, `RunState.LOST` where its runner is gone without having said how it ended."""
    if record.state.over:
        return record
    birth = Birth.read(record.runner)
    if birth is not None and birth.host == os.uname().nodename:
        lost = not birth.alive
    else:
        heard = record.heartbeat or record.started
        # A job may wait long for its cluster, as in a queue; as long as it says nothing it cannot be told apart from one that is gone.
        waits = bool(record.job) and record.state is RunState.PENDING
        lost = bool(heard) and _since(heard, at) > (WAITS_S if waits else SILENCE_S)
    if not lost:
        return record
    why = "Whatever ran it ended without a word."
    return record.changed(state=RunState.LOST, error=why, hint="Its output has what ran until then; run it again.", ended=record.heartbeat)


def _since(moment: str, at: datetime | None) -> float:
    return ((at or datetime.now(UTC)) - datetime.fromisoformat(moment)).total_seconds()


def as_json(record: RunRecord) -> bytes:
    """As it lies beside an output."""
    return (json.dumps(record.json(), indent=1) + "\n").encode()


# --- beside the output ---------------------------------------------------


def read_record(output: str | os.PathLike[str]) -> RunRecord | None:
    """The record that lies beside an output; None when there is none. Raises `Refused` where nobody can tell."""
    try:
        record = RunRecord.read(json.loads(Place.of(output).beside(SUFFIX).read()))
    except (NotFound, ValueError):
        return None
    return judged(record) if record else None


def records_below(place: str | os.PathLike[str]) -> list[RunRecord]:
    """All runs whose records lie in a folder (or below a URL), the newest first."""
    found = []
    for each in Place.of(place).below(SUFFIX):
        with suppress(KubeRayError, ValueError):
            if record := RunRecord.read(json.loads(each.read())):
                found.append(judged(record))
    return _newest_first(found)


# --- on this machine -----------------------------------------------------


def index() -> Path:
    """The folder of this user's list."""
    from jupyter_core.paths import jupyter_data_dir

    configured = os.environ.get("JUPYTER_KUBERAY_DATA_DIR")
    return (Path(configured).expanduser() if configured else Path(jupyter_data_dir()) / "kuberay") / "runs"


def note(record: RunRecord, folder: Path | None = None) -> None:
    """Put a run into the list, or tell there how it is now. A list that cannot be written is no reason to stop a run."""
    folder = folder or index()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{record.id}.json", record.json())


def forget(ids: Iterable[str], folder: Path | None = None) -> None:
    """Take runs out of the list; what they wrote stays."""
    for each in ids:
        with suppress(OSError):
            ((folder or index()) / f"{each}.json").unlink()


def records(folder: Path | None = None, known: Known | None = None) -> list[RunRecord]:
    """The runs of this machine's list, the newest first; at most `KEPT`, older ones leave the list.

    ``known`` is what a call before has read: only files that are others since are read again, and it holds them then.
    """
    folder = folder or index()
    known = {} if known is None else known
    files = _files(folder)
    names = sorted(files, reverse=True)
    forget((name.removesuffix(".json") for name in names[KEPT:]), folder)
    for name in [*known]:
        if name not in files:
            del known[name]
    for name in names[:KEPT]:
        if name not in known or known[name][0] != files[name]:
            known[name] = files[name], RunRecord.read(read_json(folder / name))
    return _newest_first(judged(_refreshed(record, folder)) for _, record in known.values() if record)


def _refreshed(record: RunRecord, folder: Path) -> RunRecord:
    """One that runs in the cluster is written there, beside its output."""
    if not record.job or record.state.over:
        return record
    with suppress(KubeRayError, ValueError):
        there = RunRecord.read(json.loads(record.place.read()))
        if there is not None and there.id == record.id and there != record:
            note(there, folder)
            return there
    return record


async def watch_records(folder: Path | None = None) -> AsyncIterator[list[RunRecord]]:
    """The list as it is, and again at each change, also when a runner ends without a word. Never ends by itself."""
    from watchfiles import awatch

    folder = folder or index()
    folder.mkdir(parents=True, exist_ok=True)
    stop = asyncio.Event()
    changes = awatch(folder, step=20, debounce=100, stop_event=stop, rust_timeout=0, recursive=False)
    coming: asyncio.Task[Any] | None = None
    known: Known = {}
    try:
        while True:
            if coming is None:
                coming = asyncio.ensure_future(anext(changes))
                await asyncio.sleep(0)  # it watches before anybody reads: nothing is between the two
            found = await asyncio.to_thread(records, folder, known)
            yield found
            # Of what runs in the cluster nothing tells here: it is looked at, for as long as somebody looks at this.
            elsewhere = any(each.job and not each.state.over for each in found)
            with _endings(found) as gone:
                await asyncio.wait({coming, gone}, timeout=ELSEWHERE_S if elsewhere else None, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                coming.result()
                coming = None
    finally:
        stop.set()
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await coming


class _endings:
    """A future that is done when one of the processes that run something here has ended; the system tells."""

    def __init__(self, found: Iterable[RunRecord]) -> None:
        self._births = {birth for each in found if not each.state.over and (birth := Birth.read(each.runner)) is not None}
        self._descriptors: list[int] = []

    def __enter__(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        for birth in self._births:
            if birth.host == os.uname().nodename:
                with suppress(OSError, AttributeError):  # where there is none, the next change tells
                    descriptor = os.pidfd_open(birth.pid)
                    self._descriptors.append(descriptor)
                    loop.add_reader(descriptor, _done, future)
        return future

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for descriptor in self._descriptors:
            loop.remove_reader(descriptor)
            os.close(descriptor)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _files(folder: Path) -> dict[str, Version]:
    """By name what tells a file from the one that was there before; each is replaced as a whole."""
    found: dict[str, Version] = {}
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and not entry.name.startswith("."):
                with suppress(OSError):  # taken out of the list meanwhile
                    stat = entry.stat()
                    found[entry.name] = stat.st_ino, stat.st_mtime_ns, stat.st_size
    return found


def _newest_first(found: Iterable[RunRecord]) -> list[RunRecord]:
    return sorted(found, key=lambda record: record.id, reverse=True)
