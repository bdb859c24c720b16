"""What one process of this machine holds and no other may: a lock file in a folder that all users share.

The kernel lets go of a lease when its process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from jupyter_kuberay.errors import Refused

FOLDER = Path("/tmp/jupyter-kuberay")


class Lease:
    """Ours until `release`, or until this process ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def release(self) -> None:
        with suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)
        with suppress(OSError):
            self._path.parent.rmdir()


def hold(name: str, folder: Path | None = None) -> Lease | None:
    """The lease called ``name``, or None when somebody has it."""
    path = (folder or FOLDER) / name
    for _ in range(3):  # whoever releases the last lease removes the folder
        _shared(path.parent)
        try:
            descriptor = _open(path)
            break
        except FileNotFoundError:
            continue
        except OSError:  # another user's, and closed to us
            return None
    else:
        return None
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(descriptor).st_ino:  # else its last holder removed it meanwhile
            return Lease(path, descriptor)
    os.close(descriptor)
    return None


def _shared(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)
    with suppress(FileNotFoundError):
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise Refused(f"{folder} is no folder.", "Remove it.")


def _open(path: Path) -> int:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags)  # without O_CREAT, which fs.protected_regular forbids on other users' files here
    except FileNotFoundError:
        return os.open(path, flags | os.O_CREAT, 0o644)
