"""A run's checkpoints in a folder or at a URL: each is whole or is not there, whenever its writer was killed.

PLACE/step-00000120/   the files of a checkpoint, and last of all complete.json, which lists them with their sizes
PLACE/*.json           what a run was asked for, and how it ended
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyter_kuberay.lifecycle._run import Json, LifecycleError

_COMPLETE = "complete.json"
_PREFIX = "step-"


def within(url: str, *names: str) -> str:
    """A place below ``url``; what follows a question mark (an S3 server's address) stays at its end."""
    place, mark, query = url.partition("?")
    return "/".join((place.rstrip("/"), *names)) + mark + query


class Checkpoints:
    """Those below ``url``: a path, or a URL that pyarrow (s3, gs, abfs, hdfs) or fsspec knows."""

    def __init__(self, url: str) -> None:
        self.url = url
        with self._told("opened"):
            self.filesystem, self.path = _opened(url)
        if "://" not in url:
            self.url = self.path  # whole, because other processes have other working directories

    def save(self, step: int, write: Callable[[Path], None], keep: Collection[int] = ()) -> None:
        """Let ``write`` fill a folder, and keep it as the checkpoint of ``step``. Then that, the one before and ``keep`` are left."""
        before = self.steps()
        with self._told("written"), self._filling(self._folder(step)) as folder:
            write(folder)
            sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
        self.write(f"{_name(step)}/{_COMPLETE}", {"files": sizes})
        for other in {*before, *self._written()} - {step, *before[-1:], *keep}:
            self.filesystem.delete_dir(self._folder(other))

    def steps(self) -> list[int]:
        """Of which steps there are whole checkpoints, the earliest first."""
        return sorted(step for step in self._written() if self._whole(step))

    def half_written(self) -> list[int]:
        """Of which steps there are checkpoints that their writer did not end."""
        return sorted(step for step in self._written() if not self._whole(step))

    @contextmanager
    def fetched(self, step: int) -> Iterator[Path]:
        """A folder of this machine that holds the files of ``step``."""
        from pyarrow import fs

        if isinstance(self.filesystem, fs.LocalFileSystem):
            yield Path(self._folder(step))
            return
        with tempfile.TemporaryDirectory() as folder:
            with self._told("read"):
                fs.copy_files(self._folder(step), folder, source_filesystem=self.filesystem)
            yield Path(folder)

    def read(self, name: str) -> Json | None:
        """The object in the file ``name``; None where there is none, or not a whole one."""
        try:
            with self.filesystem.open_input_stream(f"{self.path}/{name}") as file:
                found = json.loads(file.read())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def write(self, name: str, value: Json) -> None:
        with self._told("written"):
            self.filesystem.create_dir(self.path, recursive=True)
            with self.filesystem.open_output_stream(f"{self.path}/{name}") as file:
                file.write(json.dumps(value, ensure_ascii=False).encode())

    def clear(self) -> None:
        """Remove all that is there, so that there is an empty folder."""
        with self._told("written"):
            self.filesystem.create_dir(self.path, recursive=True)
            self.filesystem.delete_dir_contents(self.path)

    def remove(self, name: str) -> None:
        from pyarrow import fs

        if self.filesystem.get_file_info(f"{self.path}/{name}").type != fs.FileType.NotFound:
            self.filesystem.delete_file(f"{self.path}/{name}")

    def names(self) -> list[str]:
        """Of all files and folders there."""
        from pyarrow import fs

        with self._told("read"):
            return [Path(info.path).name for info in self.filesystem.get_file_info(fs.FileSelector(self.path, allow_not_found=True))]

    def _written(self) -> list[int]:
        numbers = [name.removeprefix(_PREFIX) for name in self.names() if name.startswith(_PREFIX)]
        return [int(number) for number in numbers if number.isdigit()]

    def _whole(self, step: int) -> bool:
        complete = self.read(f"{_name(step)}/{_COMPLETE}")
        if complete is None:
            return False
        names = list(complete["files"])
        found = self.filesystem.get_file_info([f"{self._folder(step)}/{name}" for name in names])
        return [info.size for info in found] == [complete["files"][name] for name in names]

    def _folder(self, step: int) -> str:
        return f"{self.path}/{_name(step)}"

    @contextmanager
    def _filling(self, target: str) -> Iterator[Path]:
        """A folder of this machine, whose files are in ``target`` when the context ends."""
        from pyarrow import fs

        if isinstance(self.filesystem, fs.LocalFileSystem):
            shutil.rmtree(target, ignore_errors=True)
            Path(target).mkdir(parents=True)
            yield Path(target)
            return
        self.filesystem.create_dir(target, recursive=True)
        self.filesystem.delete_dir_contents(target)
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
            # With threads pyarrow's uploads to S3 can hang (apache/arrow#32372).
            fs.copy_files(folder, target, destination_filesystem=self.filesystem, use_threads=False)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Say of a place that cannot be used which it is, without what a URL may hold in secrets."""
        try:
            yield
        except (OSError, ValueError, ImportError) as error:
            where = urlsplit(self.url)
            shown = f"{where.scheme}://{where.hostname or ''}{where.path}" if where.scheme else self.url
            why = (str(error).strip() or type(error).__name__).splitlines()[0].replace(self.url, shown)
            hint = "Check the path or URL, its credentials, and that all nodes of the cluster may write there."
            raise LifecycleError(f"The storage {shown} cannot be {what}: {why}", hint) from error


def _name(step: int) -> str:
    return f"{_PREFIX}{step:08d}"


def _opened(url: str) -> tuple[Any, str]:
    import pyarrow
    from pyarrow import fs

    if "://" not in url:
        return fs.LocalFileSystem(), str(Path(url).expanduser().resolve())
    try:
        return fs.FileSystem.from_uri(url)
    except pyarrow.ArrowInvalid:  # a kind that pyarrow does not know
        import fsspec

        filesystem, path = fsspec.core.url_to_fs(url)
        return fs.PyFileSystem(fs.FSSpecHandler(filesystem)), path
