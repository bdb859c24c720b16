"""Lines of the logs that nodes and jobs leave in files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from jupyter_kuberay.backends.local.store import Store
from jupyter_kuberay.backends.local.supervision import temporary
from jupyter_kuberay.errors import NotFound
from jupyter_kuberay.observation import Kind

_AGAIN_S = 0.1  # while somebody follows
_JOB_ENDED = ("Complete", "Failed", "ValidationFailed")


async def lines(store: Store, kind: Kind, name: str, node: str, *, follow: bool, tail: int) -> AsyncIterator[str]:
    """See `Backend.logs`."""
    if kind is Kind.SERVICE:  # its nodes are its cluster's
        active = store.read(kind, name).status.get("activeServiceStatus") or {}
        kind, name = Kind.CLUSTER, str(active.get("rayClusterName") or name)
    _check(store, kind, name, node)
    told, at, rest = False, 0, b""
    while True:
        ended = _ended(store, kind, name, node)
        text = await asyncio.to_thread(_read, store, kind, name, node, at)
        at += len(text)
        *whole, rest = (rest + text).split(b"\n")
        if (ended or not follow) and rest:
            whole, rest = [*whole, rest], b""
        for line in whole if told else whole[max(0, len(whole) - tail) :]:
            yield line.decode(errors="replace")
        told = told or bool(text)
        if ended or not follow:
            return
        await asyncio.sleep(_AGAIN_S)


def _check(store: Store, kind: Kind, name: str, node: str) -> None:
    kept = store.read(kind, name)
    known = {each["name"] for each in kept.nodes} | {path.stem for path in (store.folder(kind, name) / "logs").glob("*.log")}
    if node and node not in known:
        raise NotFound(f"{name!r} has no node {node!r}.", "Its status names the nodes.")


def _read(store: Store, kind: Kind, name: str, node: str, offset: int) -> bytes:
    try:
        with _path(store, kind, name, node).open("rb") as file:
            file.seek(offset)
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def _path(store: Store, kind: Kind, name: str, node: str) -> Path:
    folder = store.folder(kind, name) / "logs"
    if kind is not Kind.JOB:
        return folder / f"{node or f'{name}-head'}.log"
    if (output := folder / "job.log").exists():
        return output
    kept = store.find(kind, name)
    cluster = store.find(Kind.CLUSTER, str(kept.status.get("rayClusterName") or "")) if kept else None
    if kept is None or cluster is None:
        return output
    # Ray writes it on this machine, for as long as its head runs.
    return temporary(store, cluster.uid) / "session_latest" / "logs" / f"job-driver-{kept.status.get('jobId')}.log"


def _ended(store: Store, kind: Kind, name: str, node: str) -> bool:
    kept = store.find(kind, name)
    if kept is None:
        return True
    if kind is Kind.JOB:
        return kept.status.get("jobDeploymentStatus") in _JOB_ENDED
    wanted = node or f"{name}-head"
    return bool(kept.status) and all(each["name"] != wanted or each["reason"] in ("Error", "Terminating") for each in kept.nodes)
