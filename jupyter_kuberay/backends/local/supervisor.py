"""The process that keeps one root resource: a RayCluster, a RayService, or a RayJob with a cluster of its own.

    python -m jupyter_kuberay.backends.local.supervisor DATA_DIR KIND NAME

It returns at once, and leaves a process in a session of its own that holds the resource's lock.
The head's Ray is started before anything else is loaded.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from jupyter_kuberay.backends.local.files import try_lock, write_json
from jupyter_kuberay.backends.local.processes import Birth
from jupyter_kuberay.backends.local.store import Store
from jupyter_kuberay.backends.local.supervision import LOCK, RECORD, TAKEN

_LOCK_S = 2.0  # those who look hold the lock for an instant


def main(data_dir: str, kind: str, name: str) -> int:
    store = Store(Path(data_dir))
    folder = store.folder(kind, name)
    lock = _hold(folder / LOCK)
    if lock is None:
        return TAKEN
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        return 0 if os.read(reader, 1) else 1  # when it can be found
    os.close(reader)
    with suppress(OSError):
        os.chdir(Path.home())
    _be_reaper()
    write_json(folder / RECORD, Birth.of(os.getpid()).json())
    os.write(writer, b"!")
    os.close(writer)
    from jupyter_kuberay.backends.local.keeping import keep

    return keep(store, kind, name, lock)


def _hold(path: Path) -> int | None:
    deadline = time.monotonic() + _LOCK_S
    while (lock := try_lock(path)) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return lock  # open here and in the process that is forked, until that ends


def _be_reaper() -> None:
    """Let orphans of our nodes become our children, so that their remains do not pile up."""
    if sys.platform == "linux":
        import ctypes

        pr_set_child_subreaper = 36
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
