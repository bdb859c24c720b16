"""Asks this machine what would keep a user from working; `answers` is what comes back."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from jupyter_kuberay.backends.local import gpus, ports, supervision
from jupyter_kuberay.backends.local.answers import Answers, Disk
from jupyter_kuberay.backends.local.backend import LocalBackend
from jupyter_kuberay.backends.local.bell import own_folder
from jupyter_kuberay.backends.local.files import explained
from jupyter_kuberay.backends.local.processes import available_memory
from jupyter_kuberay.backends.local.store import Store
from jupyter_kuberay.errors import Failed, KubeRayError, TimedOut

_IMPORT_S = 30.0
_PROC = Path("/proc")
_SUPERVISOR = "jupyter_kuberay.backends.local.supervisor"
_ROOTS = ("RayCluster", "RayService", "RayJob")


async def examine(backend: LocalBackend) -> Answers:
    """All answers; this raises nothing that a machine can cause, and leaves nothing behind."""
    ray, machine = await asyncio.gather(_ray(), asyncio.to_thread(_machine, backend))
    return replace(machine, ray=ray)


def _machine(backend: LocalBackend) -> Answers:
    """All but Ray's."""
    store = backend.store
    kept, orphans = _supervised(store)
    return Answers(
        data_dir=str(store.data_dir),
        data=_disk(store.data_dir),
        temporary_dir=str(store.bell.folder),
        temporary=_temporary(store.bell.folder),
        memory=available_memory(),
        **backend.needs,
        proc=(_PROC / "self" / "environ").exists(),
        ray="",
        ports=_ports(),
        gpus=gpus.given(),
        kept=kept,
        orphans=orphans,
        strays=_strays(store),
    )


def _disk(folder: Path) -> Disk | KubeRayError:
    """What holds ``folder``, which need not be there yet, if something can be written there."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with explained(folder), tempfile.TemporaryFile(dir=there) as file:
            file.write(b"doctor")
            file.flush()
        found = shutil.disk_usage(there)
    except KubeRayError as error:
        return error
    return Disk(found.free, found.total)


def _temporary(folder: Path) -> Disk | KubeRayError:
    try:
        if folder.exists():
            own_folder(folder)
    except KubeRayError as error:
        return error
    return _disk(folder)


async def _ray() -> str | KubeRayError:
    """The version of the Ray that this Python imports, in a process of its own, as a cluster's will be."""
    command = (sys.executable, "-P", "-c", "import ray; print(ray.__version__)")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(_IMPORT_S):
            said, complaint = await process.communicate()
    except TimeoutError:
        return TimedOut(f"Importing Ray takes more than {_IMPORT_S:.0f} s.", "See what else this machine is busy with, and try again.")
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        last = (complaint.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        return Failed(f"Ray cannot be imported: {last}", "Install it again: pip install --force-reinstall jupyter-kuberay")
    return said.decode().strip()


def _ports() -> int | KubeRayError:
    try:
        block = ports.claim()
    except KubeRayError as error:
        return error
    block.release()
    return block.first


def _supervised(store: Store) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The resources whose supervisors are at work, and those whose supervisors died."""
    kept, orphans = [], []
    for kind in _ROOTS:
        for name in store.names(kind):
            with suppress(KubeRayError):
                folder = store.folder(kind, name)
                if supervision.alive(folder):
                    kept.append(f"{kind} {name!r}")
                elif (folder / supervision.RECORD).exists():
                    orphans.append(f"{kind} {name!r}")
    return tuple(kept), tuple(orphans)


def _strays(store: Store) -> tuple[int, ...]:
    """Supervisors of this data directory whose resources are gone, by their process ids."""
    found = []
    for entry in _PROC.glob("[0-9]*") if _PROC.exists() else ():
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if _SUPERVISOR in words:
                data_dir, kind, name = words[words.index(_SUPERVISOR) + 1 :][:3]
                if data_dir == str(store.data_dir) and name not in store.names(kind):
                    found.append(int(entry.name))
    return tuple(found)
