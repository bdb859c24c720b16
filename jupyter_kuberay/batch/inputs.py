"""What lies at the paths and URLs among a step's parameters, in short: told apart when it changes.

A file counts by its content, and above `CONTENT_BYTES` by its size and time; a
folder by the files in it, together as one; a URL by what its store says of it
(an ETag, a checksum, size and time).
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from jupyter_kuberay.batch import places
from jupyter_kuberay.batch.values import digest
from jupyter_kuberay.errors import KubeRayError

CONTENT_BYTES = 256 * 2**20
_LONGEST_PATH = 4096
_SAID = ("ETag", "etag", "md5", "md5Hash", "checksum", "size", "LastModified", "last_modified", "mtime", "modified", "created", "updated")
_CHUNK = 2**20
_HTTP_SECONDS = 20.0


def marks(parameters: Mapping[str, Any], folder: str | os.PathLike[str], whole: Container[str] = ()) -> dict[str, str]:
    """What lies at the texts among ``parameters`` that are a path or a URL, by text; of the others there is nothing.

    Parameters
    ----------
    folder
        Where relative paths begin.
    whole
        Parameters whose folders count, too; of the others only files do, because many a folder is there to be written to.
    """
    found = {}
    for name, value in parameters.items():
        for text in texts(value):
            mark = _of_url(text, name in whole) if "://" in text else _of_path(text, Path(folder), name in whole)
            if mark:
                found[text] = mark
    return found


def texts(value: Any) -> Iterator[str]:
    """All texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from texts(each)


# --- on this machine -----------------------------------------------------


def _of_path(text: str, folder: Path, whole: bool) -> str:
    if not text.strip() or len(text) > _LONGEST_PATH or "\n" in text or "\0" in text:
        return ""
    path = Path(os.path.expanduser(folder / text))
    try:
        if path.is_file():
            return _of_files([(path.name, path)])
        if whole and path.is_dir():
            return _of_files(_below(path))
    except OSError:
        return _never_the_same()
    return ""


def _below(folder: Path) -> list[tuple[str, Path]]:
    found = [Path(above) / name for above, _, names in os.walk(folder) for name in names]
    return sorted((path.relative_to(folder).as_posix(), path) for path in found)


def _of_files(files: list[tuple[str, Path]]) -> str:
    stats = [(name, path, path.stat()) for name, path in files]
    read = sum(stat.st_size for *_, stat in stats) <= CONTENT_BYTES
    return digest([[name, stat.st_size, _content(path) if read else stat.st_mtime_ns] for name, path, stat in stats])


def _content(path: Path) -> str:
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
    return sha256.hexdigest()


# --- elsewhere -----------------------------------------------------------


def _of_url(url: str, whole: bool) -> str:
    import fsspec

    scheme = url.partition("://")[0].rpartition("::")[2]
    if scheme not in fsspec.available_protocols():
        return ""  # such as ray://, which is nobody's store
    try:
        with places.asking(url):
            filesystem, path = opened(url, scheme)
            filesystem.invalidate_cache()
            said = filesystem.info(path)
            if said.get("type") != "directory":
                return _of_info(said)
            return digest([[name, _of_info(one)] for name, one in sorted(filesystem.find(path, detail=True).items())]) if whole else ""
    except FileNotFoundError:
        return ""
    except (OSError, KubeRayError):
        return _never_the_same()


def opened(url: str, scheme: str) -> tuple[Any, str]:
    if scheme not in ("http", "https"):
        return places.opened(url)
    import aiohttp
    import fsspec

    # The address of a service, which may not answer, is a parameter more often than a file's.
    filesystem, path = fsspec.core.url_to_fs(url, client_kwargs={"timeout": aiohttp.ClientTimeout(total=_HTTP_SECONDS)})
    return filesystem, str(path)


def _of_info(said: Mapping[str, Any]) -> str:
    return digest({key: str(said[key]) for key in _SAID if key in said})


def _never_the_same() -> str:
    """For what cannot be looked at: nobody may say that it is unchanged."""
    return secrets.token_hex(16)
