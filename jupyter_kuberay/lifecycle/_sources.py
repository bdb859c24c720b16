"""Where rows come from: files and folders, object stores, and what SQL selects; read as a stream by Ray Data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.lifecycle._endings import let_end
from jupyter_kuberay.lifecycle._run import LifecycleError

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.data import Dataset

_READERS = {"parquet": "read_parquet", "jsonl": "read_json", "ndjson": "read_json", "json": "read_json", "csv": "read_csv"}
_COMPRESSED = (".gz", ".bz2", ".zst")
_BLOCK = 32 * 2**20  # bytes; a row of a CSV has to fit into one block
# What brings a store's file system, where Ray does not.
_DRIVERS = {"gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "abfss": "adlfs", "az": "adlfs", "hf": "huggingface_hub"}
_ADDRESS = "Check the path or URL, and that the nodes can reach it."
_PASSWORD = re.compile(r"(?<=://)([^:/@]*):[^@]*@")
_ROWS = 10_000  # of a query's result at a time

_File = tuple[str, int | None]  # its path, and its size in bytes where the store tells it


def read(source: str, query: str = "") -> Dataset:
    """The rows of ``source`` as a Ray Dataset.

    Parameters
    ----------
    source
        A path or URL of a file or folder: Parquet, JSON Lines or CSV by its ending, the last two also compressed (.gz, .bz2, .zst).
        s3:// works with what Ray brings along, or s3fs where it is installed; gs:// needs gcsfs, abfs:// adlfs, on the cluster.
        With ``query``: a database, as SQLAlchemy writes it (postgresql+psycopg://user@host/name, sqlite:////path/of/file.db).
    query
        A SELECT that gives the rows.

    Raises
    ------
    LifecycleError
        It cannot be read; says what it is, and why.
    """
    quiet()
    with explained(source):
        return _of_database(source, query) if query else _of_files(source)


def without_password(source: str) -> str:
    """A URL as it may be written down."""
    return _PASSWORD.sub(r"\1:…@", source)


def quiet() -> None:
    """Keep Ray Data's plans and progress bars out of what a phase prints, and let tasks end, and errors arrive, as they should."""
    import logging

    import ray.data

    let_end()
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # wrapped, an error loses its class and its hint on the way
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # warns that they are off


@contextmanager
def explained(source: str) -> Iterator[None]:
    """What goes wrong while rows of ``source`` are read, as a sentence. Ray wraps it once or twice on its way."""
    from ray.exceptions import RayError

    try:
        yield
    except (LifecycleError, KeyboardInterrupt):
        raise
    except (OSError, KeyError, ImportError, ValueError, RayError) as error:
        root = _root(error)
        if isinstance(root, LifecycleError):
            raise LifecycleError(root.message, root.hint) from error
        if isinstance(error, RayError) and not isinstance(root, OSError | ValueError | ImportError):
            raise
        why, hint = _reason(str(root), type(root).__name__)
        raise LifecycleError(f"{without_password(source)} cannot be read: {why}.", hint) from error


def _root(error: BaseException) -> BaseException:
    met: set[int] = set()
    while id(error) not in met:
        met.add(id(error))
        inner = getattr(error, "cause", None) or error.__cause__
        if not isinstance(inner, BaseException):
            break
        error = inner
    return error


def _reason(said: str, kind: str) -> tuple[str, str]:
    text = said.strip().splitlines()[-1].strip() if said.strip() else kind
    lower = said.lower()
    if "utf8" in lower or "utf-8" in lower or "codec can't decode" in lower:
        return "its text is not UTF-8", "Convert it first, such as by: iconv -f LATIN1 -t UTF-8."
    if "straddl" in lower or "block boundar" in lower:
        return f"one of its rows is larger than {_BLOCK // 2**20} MiB", "Take the row out, or give the data as Parquet or JSON Lines."
    if "access_denied" in lower or "access denied" in lower or "permission denied" in lower or "forbidden" in lower or "403" in lower:
        return "access is denied", "Give the cluster's nodes the credentials or rights to read it."
    if "empty" in lower and ("csv" in lower or "json" in lower or "file size is 0" in lower):
        return "it is empty", "Give a file that has rows."
    return text.rstrip("."), _ADDRESS


def _of_files(source: str) -> Dataset:
    import pyarrow as pa
    import ray.data
    from pyarrow import csv

    filesystem, path, files = _opened(source)
    kind = _format(path, files)
    more: dict[str, Any] = {}
    if kind == "csv":
        # A document may have lines of its own, and be as long as documents are.
        more = {"read_options": csv.ReadOptions(block_size=_BLOCK), "parse_options": csv.ParseOptions(newlines_in_values=True)}
    if all(size == 0 for _, size in files):
        raise LifecycleError(f"{source} cannot be read: it is empty.", "Give a file that has rows.")
    try:
        return getattr(ray.data, _READERS[kind])(path, filesystem=filesystem, **more)
    except pa.ArrowInvalid as error:  # a ValueError that names neither file nor remedy
        raise ValueError(str(error)) from error


def _opened(source: str) -> tuple[Any, str, list[_File]]:
    """The file system (None: this node's), the path in it, and the files there with their sizes in bytes."""
    scheme = source.partition("://")[0] if "://" in source else ""
    if scheme == "s3" and not _has("s3fs"):
        return _of_arrow(source)
    import fsspec
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    try:
        filesystem, path = fsspec.core.url_to_fs(source)
    except ImportError as error:
        hint = f"Install {_DRIVERS[scheme]} where the cluster's image is made, or in the runtime_env." if scheme in _DRIVERS else _ADDRESS
        raise LifecycleError(f"{source} cannot be read: {error}.", hint) from error
    if filesystem.isdir(path):
        found = filesystem.find(path, detail=True)
    elif filesystem.exists(path):
        found = {path: filesystem.info(path)}
    elif "*" in path:
        found = filesystem.glob(path, detail=True)
    else:
        raise FileNotFoundError("there is nothing")
    files = [(name, about.get("size")) for name, about in found.items() if not Path(name).name.startswith((".", "_"))]
    return None if "file" in filesystem.protocol else PyFileSystem(FSSpecHandler(filesystem)), path, files


def _of_arrow(source: str) -> tuple[Any, str, list[_File]]:
    from pyarrow.fs import FileSelector, FileSystem, FileType

    filesystem, path = FileSystem.from_uri(source)
    about = filesystem.get_file_info(path)
    if about.type is FileType.NotFound:
        raise FileNotFoundError("there is nothing")
    if about.type is FileType.File:
        return filesystem, path, [(path, about.size)]
    found = filesystem.get_file_info(FileSelector(path, recursive=True))
    files = [each for each in found if each.type is FileType.File and not each.base_name.startswith((".", "_"))]
    return filesystem, path, [(each.path, each.size) for each in files]


def _has(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


def _format(path: str, files: list[_File]) -> str:
    """The format that the name tells; of a folder, the names within."""
    for name in [path, *(name for name, _ in files)]:
        for ending in _COMPRESSED:
            name = name.removesuffix(ending)
        ending = Path(name).suffix.lstrip(".").lower()
        if ending in _READERS:
            return ending
    raise ValueError(f"its name ends in none of {', '.join(sorted(_READERS))} (.gz may follow)")


def _of_database(source: str, query: str) -> Dataset:
    """What the query selects, as it comes: `ray.data.read_sql` holds all of it at once."""
    import ray.data
    from ray.data import Datasource, ReadTask
    from ray.data.block import BlockMetadata
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    class Selected(Datasource):
        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
            return [ReadTask(lambda: _selected(source, query), BlockMetadata(None, None, None, None))]

    try:
        create_engine(source)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        hint = "Write it as SQLAlchemy does, with its driver installed: postgresql+psycopg://user@host/name, sqlite:////path/of/file.db."
        raise LifecycleError(f"{without_password(source)} cannot be read: {error}.", hint) from None
    return ray.data.read_datasource(Selected())


def _selected(source: str, query: str) -> Iterator[pa.Table]:
    import pyarrow as pa
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with create_engine(source).connect().execution_options(stream_results=True) as connection:
            found = connection.execute(text(query))
            names = list(found.keys())
            for rows in found.partitions(_ROWS):
                yield pa.Table.from_pydict({name: [row[place] for row in rows] for place, name in enumerate(names)})
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error).strip().rstrip(".")
        hint = "Check the query, and that the nodes can reach the database."
        raise LifecycleError(f"{without_password(source)} cannot be read: {said}.", hint) from None
