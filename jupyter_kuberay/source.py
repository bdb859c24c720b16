"""Finds an application's code as files, and what of it takes a model, without importing any of it.

The kernel that publishes may lack what the application imports, and must not run it.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import os
import re
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path, PurePosixPath
from typing import Any

from jupyter_kuberay.errors import InvalidSpec

MAXIMUM_BYTES = 50 * 2**20  # of all files together; what is larger is no code
_OWN = __name__.partition(".")[0]
_APP = re.compile(r"(?P<where>.+):(?P<attribute>[A-Za-z_][\w.]*)")
_SKIPPED = {"__pycache__", "node_modules", "dist", "build"}

Files = Mapping[str, bytes]  # by path, with "/" between its parts


@dataclass(frozen=True)
class Deployment:
    """A Serve deployment as its source declares it."""

    name: str
    configurable: bool  # it has reconfigure(user_config), so a model can be changed in place
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)  # of its decorator, those that are written out there
    is_whole: bool = field(default=False, compare=False)  # whether these are all: neither is one computed, nor are any changed later


@dataclass(frozen=True)
class Source:
    """An application's code. Without files it is in the image."""

    app: str  # "module:attribute"
    files: Files = field(default_factory=dict, repr=False)
    deployments: tuple[Deployment, ...] = ()
    example: str = ""  # the module's EXAMPLE: path and query of a request that it answers


def find_source(app: str, code: str | os.PathLike[str] | bool | None = None) -> Source:
    """The code that ``app`` names.

    Parameters
    ----------
    app
        "module:attribute" as it would be imported here, or "file.py:attribute". Of a package everything is taken,
        of a file what it imports from beside it.
    code
        Where it lies instead: a folder, or a zip. False: it is in the image already.

    Raises
    ------
    InvalidSpec
        There is no such module or attribute, its source has a syntax error, or it is too large.
    """
    match = _APP.fullmatch(app)
    if not match:
        raise InvalidSpec(f"app is {app!r}.", "Name it as 'module:attribute' or 'file.py:attribute', such as 'summary:app'.")
    where, attribute = match["where"], match["attribute"]
    if code is False:
        return _described(where, attribute, {}, _installed(where))
    if code is not None and code is not True:
        given = _read_zip(Path(code)) if Path(code).is_file() else _read_folder(Path(code))
        return _described(_module_name(where), attribute, given, given)
    files = _of_file(Path(where)) if where.endswith(".py") else _of_module(where)
    return _described(_module_name(where), attribute, files, files)


def of_zip(app: str, content: bytes) -> Source:
    """The code of ``app`` in a zip that was read from somewhere."""
    match = _APP.fullmatch(app)
    if not match:
        raise InvalidSpec(f"app is {app!r}.", "Name it as 'module:attribute', such as 'summary:app'.")
    files = _unzipped(content, "The code")
    return _described(match["where"], match["attribute"], files, files)


def _module_name(where: str) -> str:
    return Path(where).stem if where.endswith(".py") else where


def _described(module: str, attribute: str, files: Files, readable: Files) -> Source:
    path = _path_in(readable, module)
    if files and path is None:
        raise InvalidSpec(f"The code has no module {module!r}; it has {', '.join(sorted(files)[:10])}.", "Name the module in app.")
    if path is None:
        return Source(f"{module}:{attribute}")
    tree = _parsed(path, readable[path])
    if not _binds(tree, attribute.partition(".")[0]):
        raise InvalidSpec(f"{path} has no {attribute!r}.", f"It has {', '.join(sorted(_names(tree))[:20]) or 'no names'}.")
    trees = [tree, *(_parsed(each, readable[each]) for each in closure(readable, path)[1:])]
    return Source(f"{module}:{attribute}", files, deployments_in(trees), _example(tree))


# What the source declares


def deployments_in(trees: Sequence[ast.Module]) -> tuple[Deployment, ...]:
    """The deployments that modules declare by decorator, in order."""
    classes = {node.name: node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    # `Deployment.options(...)` gives one with others, and cannot be followed from here.
    changed = any(isinstance(node, ast.Attribute) and node.attr == "options" for tree in trees for node in ast.walk(tree))
    found = []
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                name = _deployment_name(node)
                if name is not None:
                    options, whole = _options(node)
                    configurable = isinstance(node, ast.ClassDef) and _reconfigures(node, classes)
                    found.append(Deployment(name, configurable, options, whole and not changed))
    return tuple({each.name: each for each in reversed(found)}[name] for name in dict.fromkeys(each.name for each in found))


def _deployment_name(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str | None:
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if ast.unparse(called).split(".")[-1] != "deployment":
            continue
        for keyword in decorator.keywords if isinstance(decorator, ast.Call) else ():
            if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
                return str(keyword.value.value)
        return node.name
    return None


def _options(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[dict[str, Any], bool]:
    """What the decorator's arguments are, as far as they are written out, and whether all of them are."""
    found: dict[str, Any] = {}
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).split(".")[-1] == "deployment":
            for keyword in decorator.keywords:
                try:
                    found[keyword.arg or ""] = ast.literal_eval(keyword.value)
                except ValueError:
                    return found, False
    return found, "" not in found


def _reconfigures(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> bool:
    if any(isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and part.name == "reconfigure" for part in node.body):
        return True
    bases = [ast.unparse(base).split(".")[-1] for base in node.bases]
    return any(_reconfigures(classes[base], classes) for base in bases if base in classes and classes[base] is not node)


def _example(tree: ast.Module) -> str:
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["EXAMPLE"]:
            return str(node.value.value) if isinstance(node.value, ast.Constant) else ""
    return ""


def _names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return names


def _binds(tree: ast.Module, name: str) -> bool:
    names = _names(tree)
    return name in names or "*" in names or "__getattr__" in names


def _parsed(path: str, content: bytes) -> ast.Module:
    try:
        return ast.parse(content, path)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f"{path}, line {line}" if line else path
        raise InvalidSpec(f"{where}: {getattr(error, 'msg', error)}.", "Correct the source, and publish again.") from None


# What one module needs of those beside it


def closure(files: Files, start: str) -> list[str]:
    """``start`` and all files that it imports, directly or not, in the order in which they are met."""
    met, waiting = {start: None}, [start]
    while waiting:
        path = waiting.pop(0)
        for module in _imported(path, files[path]):
            for found in _paths_of(files, module):
                if found not in met:
                    met[found] = None
                    waiting.append(found)
    return list(met)


def _imported(path: str, content: bytes) -> Iterator[str]:
    """Modules that a file may import; of ``from a import b`` both a and a.b."""
    parts = PurePosixPath(path).with_suffix("").parts
    package = parts[:-1]
    for node in _executed(_parsed(path, content)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *((node.module or "").split(".") if node.module else ())])
            yield module
            yield from (f"{module}.{alias.name}" if module else alias.name for alias in node.names)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All below ``node`` that may run; what is there for type checkers does not."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).split(".")[-1] == "TYPE_CHECKING":
            for other in child.orelse:
                yield from _executed(other)
        else:
            yield from _executed(child)


def _paths_of(files: Files, module: str) -> list[str]:
    """The files that an import of ``module`` runs: its packages' and its own."""
    parts = [part for part in module.split(".") if part]
    names = [".".join(parts[: count + 1]) for count in range(len(parts))]
    return [path for name in names if (path := _path_in(files, name)) is not None]


def _path_in(files: Files, module: str) -> str | None:
    path = module.replace(".", "/")
    return next((each for each in (f"{path}.py", f"{path}/__init__.py") if each in files), None)


# Where files come from


def _of_file(path: Path) -> Files:
    if not path.is_file():
        raise InvalidSpec(f"There is no file {path}.", "Name it as seen from here, such as 'folder/summary.py:app'.")
    return _with_neighbours(path.absolute())


def _of_module(module: str) -> Files:
    top = module.partition(".")[0]
    spec = _spec(top)
    if spec is None or not (spec.submodule_search_locations or (spec.origin or "").endswith(".py")):
        raise InvalidSpec(
            f"There is no module {module!r} with its source here.",
            "Name one that can be imported here, a file as 'file.py:app', or say code=False when it is in the image.",
        )
    if not spec.submodule_search_locations:
        return _with_neighbours(Path(str(spec.origin)))
    files = {
        f"{top}/{path}": content for location in spec.submodule_search_locations for path, content in _read_folder(Path(location)).items()
    }
    return _needed_of_own(files, module) if top == _OWN else _with_own(files)


def _needed_of_own(files: Files, module: str) -> dict[str, bytes]:
    """Of this package an application needs little, and a change of the rest is no change of the application."""
    # Its __init__ names everything, and loads what is used.
    followed = {**files, f"{_OWN}/__init__.py": b""}
    needed = [path for start in _paths_of(files, module) for path in closure(followed, start)]
    return {path: files[path] for path in needed}


def _with_own(files: dict[str, bytes]) -> dict[str, bytes]:
    """With what the code uses of this package, which a cluster need not have."""
    modules = {module for path, content in files.items() if path.endswith(".py") for module in _imported(path, content)}
    for module in sorted(each for each in modules if each.partition(".")[0] == _OWN):
        files = {**files, **_of_module(module)}
    return files


def _spec(top: str) -> ModuleSpec | None:
    try:
        return PathFinder.find_spec(top, [os.getcwd(), *sys.path]) or importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def _installed(module: str) -> Files:
    """What of an application in the image can be read here, where it may not be installed."""
    try:
        return _of_module(module)
    except InvalidSpec:
        return {}


def _with_neighbours(path: Path) -> Files:
    """A file, with the modules and packages of its folder that it imports, unless it is installed."""
    files = {path.name: path.read_bytes()}
    if _is_installed(path):
        return files
    waiting = [path.name]
    while waiting:
        current = waiting.pop()
        for module in _imported(current, files[current]):
            top = module.partition(".")[0]
            if not top or top in sys.stdlib_module_names or top == _OWN:
                continue
            single, package = path.parent / f"{top}.py", path.parent / top
            if single.is_file() and single.name not in files:
                files[single.name] = single.read_bytes()
                waiting.append(single.name)
            elif (package / "__init__.py").is_file() and f"{top}/__init__.py" not in files:
                more = {f"{top}/{name}": content for name, content in _read_folder(package).items()}
                files |= more
                waiting += [name for name in more if name.endswith(".py")]
    return _checked(_with_own(files))


def _is_installed(path: Path) -> bool:
    roots = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")]
    return any(root in path.parents for root in roots)


def _read_folder(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        raise InvalidSpec(f"There is no folder {folder}.", "Give code as a folder or a zip.")
    files: dict[str, bytes] = {}
    size = 0
    for current, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.startswith("."))
        for name in sorted(names):
            path = Path(current, name)
            if name.startswith(".") or name.endswith((".pyc", ".pyo")) or not path.is_file():
                continue
            size += path.stat().st_size
            if size > MAXIMUM_BYTES:
                raise _too_large(str(folder))
            files[path.relative_to(folder).as_posix()] = path.read_bytes()
    return _checked(files)


def _read_zip(path: Path) -> dict[str, bytes]:
    return _unzipped(path.read_bytes(), str(path))


def _unzipped(content: bytes, what: str) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(info.file_size for info in archive.infolist()) > MAXIMUM_BYTES:
                raise _too_large(what)
            return {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    except zipfile.BadZipFile:
        raise InvalidSpec(f"{what} is no zip.", "Give code as a folder or a zip.") from None


def _checked(files: dict[str, bytes]) -> dict[str, bytes]:
    if sum(map(len, files.values())) > MAXIMUM_BYTES:
        raise _too_large("The application's code")
    return files


def _too_large(what: str) -> InvalidSpec:
    return InvalidSpec(
        f"{what} has more than {MAXIMUM_BYTES // 2**20} MiB.", "Publish code only: weights and data belong behind the model's URI."
    )
