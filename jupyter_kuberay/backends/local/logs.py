"""Lines of the logs that nodes and jobs leave in files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from jupyter_kuberay.backends.local.store import Kept, Store
from jupyter_kuberay.errors import NotFound
from jupyter_kuberay.observation import Kind

_AGAIN_S = 0.1  # while somebody follows


async def lines(store: Store, kind: Kind, name: str, node: str, *, follow: bool, tail: int) -> AsyncIterator[str]:
    """See `Backend.logs`."""
    path = _path(store, kind, name, node)
    text = await asyncio.to_thread(_read, path, 0)
    *whole, rest = text.split(b"\n")
    shown = whole if follow or not rest else [*whole, rest]
    for line in shown[len(shown) - min(tail, len(shown)) :]:
        yield line.decode(errors="replace")
    at = len(text)
    while follow:
        ended = _ended(store.find(kind, name), node)
        text = await asyncio.to_thread(_read, path, at)
        at += len(text)
        *whole, rest = (rest + text).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
        if ended:
            if rest:
                yield rest.decode(errors="replace")
            return
        await asyncio.sleep(_AGAIN_S)


def _path(store: Store, kind: Kind, name: str, node: str) -> Path:
    kept = store.read(kind, name)
    folder = store.folder(kind, name) / "logs"
    path = folder / f"{node or f'{name}-head'}.log"
    if path.parent != folder or (not path.exists() and node and node not in {each["name"] for each in kept.nodes}):
        raise NotFound(f"{name!r} has no node {node!r}.", "Its status names the nodes.")
    return path


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return b""


def _ended(kept: Kept | None, node: str) -> bool:
    if kept is None:
        return True
    wanted = node or f"{kept.name}-head"
    return all(each["name"] != wanted or each["reason"] in ("Error", "Terminating") for each in kept.nodes)
