"""What goes along with a function to the cluster, and what the cluster must have by itself.

A person's own modules (beside the notebook, or installed in editable form) go
along as one archive, unless the cluster has the same already. Installed
packages do not: those that the cluster lacks are named before anything runs.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import io
import site
import sys
import sysconfig
import textwrap
import types
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_kuberay import remote
from jupyter_kuberay.errors import InvalidSpec, VersionMismatch
from jupyter_kuberay.packages import Needs, Source, Use, needs, uses_in

MAX_BYTES = 50_000_000  # of an archive; more belongs into an image or an object store
_EPOCH = (1980, 1, 1, 0, 0, 0)  # so that the same files make the same archive


class MissingPackages(VersionMismatch):
    """The cluster lacks packages that a function imports; ``names`` are their import names."""

    def __init__(self, cluster: str, names: Iterable[str]) -> None:
        self.names = tuple(sorted(names))
        super().__init__(
            f"Cluster {cluster!r} lacks {', '.join(self.names)}, which the function imports.",
            "Bring it up with an image that has what this kernel has, or, where it may install packages, "
            "run with install=True for the kernel's versions.",
        )


def needs_of(function: Callable[..., Any]) -> Needs:
    """What must be importable where ``function`` runs."""
    reading = _Reading()
    reading.add(function)
    return needs(reading.uses, own_source)


def own_source(module: str) -> Source | None:
    """The source of a module of a person's own: neither installed nor part of Python."""
    place = own_place(module.partition(".")[0])
    if place is None:
        return None
    if not place.is_dir():
        return Source(place.read_text("utf-8")) if "." not in module else None
    path = place.joinpath(*module.split(".")[1:])
    if path.with_suffix(".py").is_file():
        return Source(path.with_suffix(".py").read_text("utf-8"))
    if (path / "__init__.py").is_file():
        return Source((path / "__init__.py").read_text("utf-8"), is_package=True)
    return Source("", is_package=True) if path.is_dir() else None


def own_place(name: str) -> Path | None:
    """Where a person's own top-level module lies; None for any other."""
    if name in sys.stdlib_module_names or name == "__main__":
        return None
    # One that is loaded already is found even when its folder has left sys.path.
    loaded = sys.modules.get(name)
    place = _place_of(loaded) if loaded is not None else remote.locate(name)
    if place is None or not place.exists() or (place.is_file() and place.suffix != ".py"):
        return None
    return None if any(place.resolve().is_relative_to(folder) for folder in _installed()) else place


def _place_of(module: types.ModuleType) -> Path | None:
    if paths := list(getattr(module, "__path__", [])):
        return Path(paths[0])
    return Path(module.__file__) if getattr(module, "__file__", None) else None  # type: ignore[arg-type]


@functools.cache
def _installed() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    folders = [*(paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")), *site.getsitepackages(), site.getusersitepackages()]
    return tuple({Path(folder).resolve() for folder in folders})


def archive(places: Mapping[str, Path]) -> tuple[str, bytes]:
    """Pack modules into a zip; give the URI under which Ray knows it, which changes with its content, and the zip."""
    members = [member for name in sorted(places) for member in remote.files(places[name])]
    size = sum(path.stat().st_size for _, path in members)
    if size > MAX_BYTES:
        raise InvalidSpec(
            f"{', '.join(sorted(places))} would go along to the cluster with {size / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:.0f} MB can.",
            "Keep data and models outside the module's folder, and hand them over by path or URL.",
        )
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, path in members:
                packed.writestr(zipfile.ZipInfo(name, _EPOCH), path.read_bytes(), zipfile.ZIP_DEFLATED)
        data = file.getvalue()
    return f"gcs://_ray_pkg_{hashlib.sha256(data).hexdigest()[:32]}.zip", data


def distributions(names: Iterable[str]) -> list[str]:
    """The kernel's distributions that give the top-level modules ``names``, as ``name==version``."""
    from importlib.metadata import packages_distributions, version

    known = packages_distributions()
    return sorted({f"{each}=={version(each)}" for name in names for each in known.get(name, [])})


@dataclass
class _Reading:
    """Collects what functions use, following those that a notebook's cells define through their globals."""

    uses: set[Use] = field(default_factory=set)
    _seen: set[int] = field(default_factory=set)

    def add(self, thing: Any) -> None:
        thing = _unwrapped(thing)
        if id(thing) in self._seen:
            return
        self._seen.add(id(thing))
        if isinstance(thing, types.ModuleType):
            self.uses.add((thing.__name__, None))
        elif not isinstance(thing, type | types.FunctionType | types.BuiltinFunctionType):
            if type(thing).__module__ != "builtins":
                self.add(type(thing))
        elif _is_importable(thing):
            self.uses.add((thing.__module__, thing.__qualname__.partition(".")[0]))
        else:
            self._add_by_value(thing)

    def _add_by_value(self, thing: Any) -> None:
        """A function or class of a notebook: its own text, and what its names stand for."""
        # One made by exec, or a lambda within a larger statement, has no text; its globals tell enough.
        with contextlib.suppress(OSError, TypeError, SyntaxError):
            self.uses |= uses_in(textwrap.dedent(inspect.getsource(thing)))
        if isinstance(thing, type):
            for member in (*thing.__bases__, *vars(thing).values()):
                if isinstance(_unwrapped(member), type | types.FunctionType):
                    self.add(member)
        elif isinstance(thing, types.FunctionType):
            for name in _names(thing.__code__):
                if name in thing.__globals__:
                    self.add(thing.__globals__[name])
            for cell in thing.__closure__ or ():
                if cell != types.CellType():
                    self.add(cell.cell_contents)


def _unwrapped(thing: Any) -> Any:
    while True:
        if isinstance(thing, functools.partial):
            thing = thing.func
        elif isinstance(thing, types.MethodType | staticmethod | classmethod):
            thing = thing.__func__
        elif type(thing).__name__ == "RemoteFunction":  # made by @ray.remote
            thing = thing._function
        else:
            return thing


def _is_importable(thing: Any) -> bool:
    """Whether it is pickled by name: what a notebook defines is not."""
    module = sys.modules.get(thing.__module__ or "")
    return thing.__module__ != "__main__" and hasattr(module, thing.__qualname__.partition(".")[0]) and "<locals>" not in thing.__qualname__


def _names(code: types.CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*(_names(each) for each in inner))
