"""How a change made by one process reaches the others: at once, and without polling.

A listener is a datagram socket in a small folder on the machine's own disk; to ring is
to send one byte to every socket there. A ring says only "look again", so a lost one
matters as little as a second one. No limit of inotify, no NFS, no port is in the way;
docs/decisions/bell.md has the measurements.
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from jupyter_kuberay.errors import Refused

# Not tempfile.gettempdir(): all processes of a user must agree, whatever their TMPDIR,
# and paths of sockets (107 bytes, of which Ray takes 62) must stay short.
TEMPORARY = Path("/tmp")


def short_folder(data_dir: Path) -> Path:
    """The folder on the machine's own disk that goes with ``data_dir``: sockets and Ray's temporary files."""
    digest = hashlib.sha256(f"{os.getuid()}:{data_dir}".encode()).hexdigest()[:8]
    return TEMPORARY / f"jk-{digest}"


def own_folder(path: Path) -> Path:
    """Make ``path`` a folder that only this user can enter, or raise `Refused`."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Refused(f"{path} belongs to somebody else or is open to others.", "Remove it, or ask your administrator to.")
    return path


class Bell:
    """The bell of a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = short_folder(data_dir)

    def ring(self) -> None:
        """Tell every listener to look again. Never fails, never waits."""
        try:
            listeners = os.listdir(self.folder / "bell")
        except (FileNotFoundError, NotADirectoryError):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            for name in listeners:
                path = self.folder / "bell" / name
                try:
                    sender.sendto(b"!", str(path))
                except ConnectionRefusedError:  # its process is gone
                    with suppress(OSError):
                        path.unlink()
                except OSError:  # its queue is full (it will look anyway), or it just closed
                    continue

    def listen(self) -> Listener:
        return Listener(self.folder)

    def leave(self) -> None:
        """Remove the folder if nobody uses it any more."""
        for folder in (self.folder / "bell", self.folder):
            with suppress(OSError):
                folder.rmdir()


class Listener:
    """Hears every ring from now on. Close it when done."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "bell" / f"{os.getpid()}-{os.urandom(3).hex()}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        for attempt in (1, 2, 3):  # somebody who leaves may remove the folder meanwhile
            own_folder(folder)
            try:
                own_folder(folder / "bell")
                self._socket.bind(str(self._path))
                break
            except FileNotFoundError:
                if attempt == 3:
                    raise

    def fileno(self) -> int:
        """Readable when it rang."""
        return self._socket.fileno()

    def drain(self) -> bool:
        """Forget the rings so far. Whether there were any."""
        rang = False
        with suppress(BlockingIOError):
            while self._socket.recv(16):
                rang = True
        return rang

    def close(self) -> None:
        with suppress(OSError):
            self._path.unlink()
        self._socket.close()
