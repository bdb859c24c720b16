"""Where notebooks and what belongs to them are read and written: a path of this machine, or a URL that fsspec knows.

An ``s3://`` URL works with what Ray brings along (pyarrow); with s3fs installed, that is taken.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jupyter_kuberay.backends.local.files import write_bytes
from jupyter_kuberay.errors import InvalidSpec, KubeRayError, NotFound, Refused

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # where S3 answers, if not at Amazon's: as Amazon's own tools read it


class Unwritable(Refused):
    """A place cannot be written, now or ever."""


@dataclass(frozen=True)
class Place:
    """One file: ``url`` is an absolute path, or a URL."""

    url: str

    @classmethod
    def of(cls, given: str | os.PathLike[str]) -> Place:
        """A path (``~`` is the home folder) or a URL; ``file://`` is a path."""
        text = os.fspath(given)
        if text.startswith("file://"):
            text = text.removeprefix("file://")
        return cls(text if "://" in text else os.path.abspath(os.path.expanduser(text)))

    @property
    def path(self) -> Path | None:
        """On this machine; None for a URL."""
        return None if "://" in self.url else Path(self.url)

    @property
    def name(self) -> str:
        return self.url.rstrip("/").rpartition("/")[2]

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0] or self.name

    def beside(self, suffix: str) -> Place:
        """A file that belongs to this one, such as ``x.run.json`` to ``x.ipynb`` for ".run.json"."""
        return Place(f"{self.url[: len(self.url) - len(self.name)]}{self.stem}{suffix}")

    def child(self, name: str) -> Place:
        return Place(f"{self.url.rstrip('/')}/{name}")

    @property
    def parent(self) -> Place:
        return Place(self.url.rstrip("/").rpartition("/")[0] or "/")

    def read(self) -> bytes:
        """What it holds. Raises `NotFound`, or `Refused` where it cannot be read."""
        try:
            if self.path is not None:
                return self.path.read_bytes()
            with asking(self.url):
                filesystem, path = opened(self.url)
                # What a store listed earlier it may tell again without looking.
                filesystem.invalidate_cache()
                return bytes(filesystem.cat_file(path))
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"There is nothing at {self.url!r}.", "Check the address.") from None
        except OSError as error:
            raise Refused(f"{self.url!r} cannot be read: {_said(error)}.", "Check the address, and that you may read it.") from error

    def write(self, content: bytes) -> None:
        """Replace it as a whole. Folders above it are made. Raises `Unwritable`."""
        try:
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(self.path, content, mode=0o666)
                return
            with asking(self.url):
                filesystem, path = opened(self.url)
                # Where a store has folders; a bucket is there or is not, and who may write into it may not make any.
                if filesystem.protocol not in ("s3", "arrow", ("s3", "s3a")):
                    with suppress(Exception):
                        filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
                filesystem.pipe_file(path, content)
        except OSError as error:
            raise Unwritable(
                f"{self.url!r} cannot be written: {_said(error)}.", "Name another place, or make room and rights there."
            ) from error

    def put(self, file: Path) -> None:
        """Copy a file of this machine here, without holding it in memory. Raises `Unwritable`."""
        try:
            if self.path is not None:
                shutil.copyfile(file, self.path)
                return
            with asking(self.url):
                filesystem, path = opened(self.url)
                filesystem.put_file(str(file), path)
        except OSError as error:
            raise Unwritable(
                f"{self.url!r} cannot be written: {_said(error)}.", "Name another place, or make room and rights there."
            ) from error

    def exists(self) -> bool:
        """Whether there is a file. Raises `Refused` where nobody can tell."""
        try:
            if self.path is not None:
                return self.path.is_file()
            with asking(self.url):
                filesystem, path = opened(self.url)
                filesystem.invalidate_cache()
                return bool(filesystem.exists(path))
        except OSError as error:
            raise Refused(f"{self.url!r} cannot be looked at: {_said(error)}.", "Check the address, and that you may read it.") from error

    def remove(self) -> None:
        """Remove it, if it is there and can be."""
        with suppress(OSError, KubeRayError):
            if self.path is not None:
                self.path.unlink()
                return
            with asking(self.url):
                filesystem, path = opened(self.url)
                filesystem.rm_file(path)

    def below(self, suffix: str) -> Iterator[Place]:
        """The files in this folder and in those below it whose names end with ``suffix``, by name."""
        if self.path is not None:
            yield from (Place(str(path)) for path in sorted(self.path.rglob(f"*{suffix}")))
            return
        with asking(self.url):
            filesystem, path = opened(self.url)
            filesystem.invalidate_cache()
            found = sorted(each for each in filesystem.find(path) if each.endswith(suffix))
        scheme = self.url.partition("://")[0]
        yield from (Place(f"{scheme}://{each.lstrip('/')}") for each in found)

    def __str__(self) -> str:
        return self.url


def _unwritable(place: Place, error: OSError) -> Unwritable:
    return Unwritable(f"{place.url!r} cannot be written: {_said(error)}.", "Name another place, or make room and rights there.")


@contextmanager
def asking(url: str) -> Iterator[None]:
    """Whatever a store's library raises, as OSError: each has errors of its own."""
    try:
        yield
    except (OSError, KubeRayError):
        raise
    except Exception as error:
        raise OSError(None, f"{type(error).__name__}: {error}", url) from error


def opened(url: str) -> tuple[Any, str]:
    import fsspec

    scheme, _, rest = url.partition("://")
    if scheme == "s3" and find_spec("s3fs") is None:
        return _arrow_s3(next(filter(None, map(os.environ.get, ENDPOINTS)), "")), rest
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise InvalidSpec(f"{url!r} is no address that can be read here: {error}.", "Give a path, or install what it names.") from error
    return filesystem, str(path)


@lru_cache(maxsize=4)
def _arrow_s3(endpoint: str) -> Any:
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow.fs import S3FileSystem

    more: dict[str, Any] = {}
    if endpoint:
        scheme, _, address = endpoint.partition("://")
        more = {"endpoint_override": address.rstrip("/"), "scheme": scheme, "region": os.environ.get("AWS_REGION") or "us-east-1"}
    return ArrowFSWrapper(S3FileSystem(connect_timeout=10, request_timeout=60, **more))


def _said(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).splitlines()[0].rstrip(".")
