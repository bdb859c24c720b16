"""Weights: fetched, loaded beside those that answer if there is memory for both, and kept for going back."""

from __future__ import annotations

import gc
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_kuberay.serving.settings import Settings

_ROOM = 1.3  # of the files' size: what loading takes besides
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".gguf", ".npz", ".joblib")
_MARKS = ("size", "mtime", "ETag", "etag", "LastModified")  # as file systems and stores call what tells a change


class Unusable(ValueError):
    """The model cannot be loaded: what is wrong with it, and a hint."""


@contextmanager
def fetched(uri: str) -> Iterator[str]:
    """A path or a name that can be loaded from; what a URL names is copied to this machine for as long. `Unusable` if it cannot be."""
    path = uri.removeprefix("file://")
    if "://" not in path:
        if path.startswith(("/", ".", "~")) and not Path(path).expanduser().exists():
            raise Unusable(f"There is no folder {uri} on this node.")
        yield str(Path(path).expanduser()) if path.startswith("~") else path
        return
    import fsspec

    with tempfile.TemporaryDirectory(prefix="jupyter-kuberay-model-") as target:
        try:
            filesystem, path = fsspec.core.url_to_fs(uri)
            filesystem.get(path.rstrip("/") + "/", target + "/", recursive=True)
        except (OSError, ValueError, ImportError) as error:
            raise Unusable(f"The model {uri} cannot be fetched: {error}.") from error
        yield target


@dataclass(frozen=True)
class Files:
    """What lies at an address: how large the weights are, and what tells whether they are still the same; "" where nothing does."""

    size: int = 0
    state: str = ""


def files_at(uri: str) -> Files:
    """Look at what a path or URL names. Of what cannot be looked at, such as a name on a hub, nothing is known."""
    if "://" not in uri and not Path(uri).expanduser().exists():
        return Files()
    import fsspec

    with suppress(OSError, ValueError, ImportError):
        filesystem, path = fsspec.core.url_to_fs(uri if "://" in uri else str(Path(uri).expanduser().absolute()))
        found = filesystem.find(path, maxdepth=1, detail=True)  # checkpoints below are not loaded
        marks = [[name, *(str(info.get(key)) for key in _MARKS)] for name, info in found.items()]
        return Files(_size(found), repr(sorted(marks)))
    return Files()


def _size(files: dict[str, Any]) -> int:
    """Of the weights; where the same ones are there in another format, too, of those that are safe to load."""
    sizes = {kind: [int(info.get("size") or 0) for name, info in files.items() if name.endswith(kind)] for kind in _WEIGHTS}
    return sum(sizes[".safetensors"]) or sum(map(sum, sizes.values()))


@dataclass(frozen=True)
class Loaded:
    """A model with the settings that it was loaded for."""

    model: Any
    settings: Settings
    options: tuple[Any, ...]
    files: Files = Files()

    def is_of(self, settings: Settings, options: tuple[Any, ...]) -> bool:
        """Whether it was loaded for this revision."""
        return self._is_alike(settings, options) and self.settings.revision == settings.revision

    def is_same(self, settings: Settings, options: tuple[Any, ...], files: Files) -> bool:
        """Whether it was loaded from files that are still as they were."""
        return self._is_alike(settings, options) and bool(files.state) and self.files.state == files.state

    def _is_alike(self, settings: Settings, options: tuple[Any, ...]) -> bool:
        return self.settings.model == settings.model and self.options == options


class Kept:
    """The model that answers, and some that did before it. Loads the next one beside them."""

    def __init__(
        self, load: Callable[[Any], Any], options: Callable[[Any], tuple[Any, ...]], free: Callable[[], int | None] | None = None
    ) -> None:
        """Load by ``load(settings)``; models differ whose ``options(settings)`` do.

        ``free`` tells how many bytes a model may take; None: nobody knows.
        """
        self._load, self._options, self._free = load, options, free or free_bytes
        self._models: list[Loaded] = []  # the one that answers is the last

    @property
    def now(self) -> Loaded | None:
        """What answers."""
        return self._models[-1] if self._models else None

    def __len__(self) -> int:
        return len(self._models)

    def take(self, settings: Settings, ready: Callable[[Any, Any], None] = lambda model, settings: None) -> Loaded:
        """What ``settings`` name, out of memory if it is there, or loaded and made ``ready``. It does not answer yet. Blocks.

        Raises
        ------
        Unusable
            There is not the memory to have it beside the one that answers, which then goes on.
        """
        options, files = self._options(settings), files_at(settings.model)
        there = [each for each in self._models if each.is_of(settings, options)]
        there = there or [each for each in self._models if each.is_same(settings, options, files)]
        if there:
            return Loaded(there[-1].model, settings, options, there[-1].files)
        self._make_room(settings, files.size)
        model = self._load(settings)
        ready(model, settings)
        return Loaded(model, settings, options, files)

    def hold(self, loaded: Loaded) -> None:
        """Have ``loaded`` for the next `take` of its settings, beside the one that answers."""
        if all(each.model is not loaded.model for each in self._models):
            self._models = [*self._models[:-1], loaded, *self._models[-1:]]

    def put(self, loaded: Loaded) -> None:
        """Let ``loaded`` answer, and keep as many of those before as its settings say."""
        others = [each for each in self._models if each.model is not loaded.model]
        others = others[max(0, len(others) - loaded.settings.keep_models) :]
        self._models = [*others, loaded]
        size, free = sum(each.files.size for each in others), self._free()
        if size and free is not None and free < size:  # what is left is for those who ask
            self._models = [loaded]
            logging.getLogger("ray.serve").warning("There is not the memory to keep the earlier weights: going back will load them again.")

    def _make_room(self, settings: Settings, size: int) -> None:
        if not self._models or not size:
            return
        needed, free = int(size * _ROOM), self._free()
        if free is not None and free < needed and len(self._models) > 1:
            self._models = self._models[-1:]  # what is kept for going back goes first
            gc.collect()
            free = self._free()
        if free is not None and free < needed:
            raise Unusable(
                f"The weights at {settings.model} take some {_mib(needed)} MiB beside those that answer, and {_mib(free)} MiB are free: "
                "give the replicas more memory, or publish to a new cluster. The earlier weights go on answering."
            )


def _mib(size: int) -> int:
    return max(1, size // 2**20)


def free_bytes() -> int | None:
    """What this process may still take: of the GPU where there is one, else of the machine and of the limit of its container."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    found = [each for each in (_of_machine(), _of_container()) if each is not None]
    return min(found, default=None)


def _of_machine() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _of_container() -> int | None:
    """By cgroup v2, or v1. Pages that only cache files are given back when they are needed."""
    for limit, used, stat, key in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
    ):
        with suppress(OSError, ValueError):
            root = Path("/sys/fs/cgroup")
            most = int((root / limit).read_text())  # "max": there is none
            lines = dict(line.split() for line in (root / stat).read_text().splitlines())
            return most - int((root / used).read_text()) + int(lines.get(key, 0))
    return None
