"""A local backend with folders of its own for each test, and the proof that nothing is left of it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio

from jupyter_kuberay.backends.local import LocalBackend, supervision
from jupyter_kuberay.backends.local.processes import Birth, created, end_now, marked
from jupyter_kuberay.errors import NotFound
from jupyter_kuberay.observation import Kind, Observation
from tests.contract.resources import gone


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data directory. Whatever a failing test leaves running is ended."""
    with ended(tmp_path / "data") as folder:
        yield folder


@contextmanager
def ended(folder: Path) -> Iterator[Path]:
    """A data directory of which nothing runs any more in the end, whatever went wrong."""
    yield folder
    store = LocalBackend(folder).store
    for kind in ("RayService", "RayJob", "RayCluster"):
        for kept in store.all(kind):
            if birth := supervision.born(store.folder(kind, kept.name)):
                end_supervisor(birth)
            end_now(kept.uid)


def end_supervisor(birth: Birth) -> None:
    if birth.alive:
        os.kill(birth.pid, 9)


@pytest_asyncio.fixture
async def backend(data_dir: Path) -> AsyncIterator[LocalBackend]:
    async with tidied(data_dir) as backend:
        yield backend


@asynccontextmanager
async def tidied(data_dir: Path) -> AsyncIterator[LocalBackend]:
    """A backend; in the end all that it made is deleted, and nothing may be left."""
    backend = LocalBackend(data_dir)
    yield backend
    for kind in (Kind.JOB, Kind.SERVICE, Kind.CLUSTER):
        for seen in await backend.list(kind):
            uid = seen.resource["metadata"]["uid"]
            sessions = sessions_of(uid)
            try:
                await gone(backend, kind, seen.name)
            except NotFound:
                continue
            assert not marked(uid) and not in_sessions(sessions), "processes are left"
    left = backend.store.bell.folder
    assert not left.exists(), f"the temporary folder is left, with {sorted(map(str, left.rglob('*')))}"


def supervisor_of(backend: LocalBackend, name: str, kind: str = "RayCluster") -> Birth:
    """The process that keeps a resource."""
    birth = supervision.born(backend.store.folder(kind, name))
    assert birth is not None and birth.alive
    return birth


def in_sessions(sessions: set[int]) -> list[int]:
    """Living processes of these sessions: another proof than the mark that nothing is left."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
                if session in sessions and created(int(entry.name)):
                    found.append(int(entry.name))
    return found


def sessions_of(mark: str) -> set[int]:
    """The sessions that processes with a mark are in."""
    return {os.getsid(pid) for pid in marked(mark)}


def uid(seen: Observation) -> str:
    return str(seen.resource["metadata"]["uid"])


def pids(mark: str, *words: str) -> list[int]:
    """Processes of ours whose command line holds all ``words``."""
    found = []
    for pid in marked(mark):
        with suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            if all(word in command for word in words):
                found.append(pid)
    return found


async def none_left(mark: str, sessions: set[int], timeout: float = 2) -> None:
    """What has just been killed needs a moment to be gone. Fails with what is left."""
    deadline = time.monotonic() + timeout
    while left := {*marked(mark), *in_sessions(sessions)}:
        assert time.monotonic() < deadline, [described(pid) for pid in sorted(left)]
        await asyncio.sleep(0.02)


def described(pid: int) -> str:
    """A process, for whoever reads of a failure."""
    found = [str(pid)]
    for name in ("stat", "cmdline", "wchan"):
        with suppress(OSError):
            found.append(Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:300])
    return " | ".join(found)
