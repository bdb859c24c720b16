"""What a function needs to be importable where it runs, read from source without running it.

Only what is imported for sure counts: at the top of its module, and in the
functions that it can reach by name. An import below ``try: … except
ImportError`` or ``if TYPE_CHECKING`` is somebody's option, not a need.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

OPTIONAL_IF_CAUGHT = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


@dataclass(frozen=True)
class Source:
    """A module's text."""

    text: str
    is_package: bool = False


@dataclass(frozen=True)
class Needs:
    """Top-level modules: a person's own, and those that an installation has to have."""

    own: frozenset[str] = frozenset()
    installed: frozenset[str] = frozenset()


# A module and what of it is used: a name, or None for what happens when it is imported.
Use = tuple[str, str | None]


def needs(uses: Iterable[Use], source_of: Callable[[str], Source | None]) -> Needs:
    """Follow ``uses`` through a person's own modules to all that must be importable.

    ``source_of`` gives the source of a module of the person's own by its full
    name, and None for any other.
    """
    own: set[str] = set()
    installed: set[str] = set()
    seen: set[Use] = set()
    readings: dict[str, _Module] = {}
    todo = [step for use in uses for step in _steps(use)]
    while todo:
        use = todo.pop()
        if use in seen:
            continue
        seen.add(use)
        module, name = use
        source = source_of(module)
        top = module.partition(".")[0]
        if source is None:
            # `from own import thing`, where thing is no module, comes by here too.
            if source_of(top) is None and top not in sys.stdlib_module_names:
                installed.add(top)
            continue
        own.add(top)
        if module not in readings:
            readings[module] = _Module(module, source)
        todo += [step for found in readings[module].uses(name) for step in _steps(found)]
        if name is not None and source_of(f"{module}.{name}") is not None:
            todo.append((f"{module}.{name}", None))
    return Needs(frozenset(own), frozenset(installed))


def uses_in(text: str) -> set[Use]:
    """What a piece of source without a module, such as a function in a notebook, imports."""
    return {use for use in _Module("", Source(text)).uses("*") if use[0]}


def _steps(use: Use) -> list[Use]:
    """Importing a.b.c imports a and a.b first."""
    module, _ = use
    parts = module.split(".")
    return [(".".join(parts[: length + 1]), None) for length in range(len(parts))] + [use]


@dataclass(frozen=True)
class _Import:
    """One name that an import statement binds."""

    module: str
    name: str | None  # of ``from module import name``
    bound: str
    level: int = 0

    def uses(self, inside: str, is_package: bool) -> list[Use]:
        """With relative names made absolute: as seen from within the module ``inside``."""
        return [(self.absolute(inside, is_package), self.name)]

    def absolute(self, inside: str, is_package: bool) -> str:
        if not self.level:
            return self.module
        parts = inside.split(".")
        base = parts[: len(parts) - self.level + (1 if is_package else 0)]
        return ".".join([*base, *([self.module] if self.module else [])])


class _Reading(ast.NodeVisitor):
    """The imports and the names in some statements."""

    def __init__(self, *, into_functions: bool = True) -> None:
        self.imports: list[_Import] = []
        self.names: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self._into_functions = into_functions

    def _visit_all(self, nodes: Sequence[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.imports.append(_Import(alias.name, None, alias.asname or alias.name.partition(".")[0]))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.imports.append(_Import(node.module or "", alias.name, alias.asname or alias.name, node.level))

    def visit_Name(self, node: ast.Name) -> None:
        self.names.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name):
            self.attributes.add((node.value.id, node.attr))
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if self._into_functions:
            self.generic_visit(node)
            return
        self._visit_all([*node.decorator_list, node.args])

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_If(self, node: ast.If) -> None:
        name = node.test.attr if isinstance(node.test, ast.Attribute) else getattr(node.test, "id", "")
        self._visit_all(node.orelse if name == "TYPE_CHECKING" else [node.test, *node.body, *node.orelse])

    def visit_Try(self, node: ast.Try) -> None:
        optional = any(_catches_import_errors(handler) for handler in node.handlers)
        before = len(self.imports)
        self._visit_all(node.body)
        if optional:
            del self.imports[before:]
        self._visit_all([*node.handlers, *node.orelse, *node.finalbody])


def _catches_import_errors(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(getattr(error, "id", "") in OPTIONAL_IF_CAUGHT for error in caught)


@dataclass
class _Module:
    """What the parts of one module use."""

    name: str
    source: Source
    _definitions: dict[str, _Reading] = field(default_factory=dict)
    _top: _Reading = field(default_factory=lambda: _Reading(into_functions=False))

    def __post_init__(self) -> None:
        tree = ast.parse(self.source.text)
        self._top.visit(tree)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self._definitions[node.name] = reading = _Reading()
                reading.visit(node)
        self._bound = {imported.bound: imported for imported in self._top.imports}

    def uses(self, name: str | None) -> list[Use]:
        """What importing the module (None) or using one of its names leads to; of names that it has not: nothing."""
        if name == "*":
            return [use for each in (None, *self._definitions) for use in self.uses(each)]
        if name is None:
            return self._uses_of(self._top)
        if name in self._definitions:
            return self._uses_of(self._definitions[name])
        return self._of_import(self._bound[name]) if name in self._bound else []

    def _uses_of(self, reading: _Reading) -> list[Use]:
        found = [use for imported in reading.imports for use in self._of_import(imported)]
        found += [(self.name, name) for name in reading.names if name in self._definitions or name in self._bound]
        bound = {**self._bound, **{imported.bound: imported for imported in reading.imports}}
        for name, attribute in reading.attributes:
            if name in bound:
                found += [(module if part is None else f"{module}.{part}", attribute) for module, part in self._of_import(bound[name])]
        return found

    def _of_import(self, imported: _Import) -> list[Use]:
        return imported.uses(self.name, self.source.is_package)
