"""What a cell is when it leaves its notebook: a script or module of its own. Pure, but for reading a person's own modules."""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterable, Mapping

from jupyter_kuberay.errors import InvalidSpec

_OWN = __name__.partition(".")[0]


def packed(text: str, file: str, there: Iterable[str] = ()) -> dict[str, bytes]:
    """The files of a cell that runs elsewhere: itself as ``file``, and the person's own modules that it imports.

    Parameters
    ----------
    text
        The cell.
    there
        Names that other cells have defined here.

    Raises
    ------
    InvalidSpec
        It is not plain Python, or uses one of the names that other cells have defined.
    """
    _check_syntax(text)
    if missed := sorted(undefined(text) & set(there)):
        raise InvalidSpec(
            f"The cell uses {', '.join(missed)}, which other cells have defined; only this cell goes along.",
            "Import or define in it what it needs, or put that into a module beside the notebook and import it.",
        )
    return {file: text.encode(), **own_modules(text)}


def own_modules(text: str) -> Mapping[str, bytes]:
    """The modules of a person's own that ``text`` imports, directly or not, by path."""
    from jupyter_kuberay.modules import own_place, own_source
    from jupyter_kuberay.packages import needs, uses_in
    from jupyter_kuberay.remote import files

    places = [place for name in needs(uses_in(text), own_source).own if name != _OWN and (place := own_place(name)) is not None]
    return {name: path.read_bytes() for place in places for name, path in files(place)}


def undefined(text: str) -> set[str]:
    """Names that a module of this text reads from outside of itself."""
    table = symtable.symtable(text, "cell", "exec")
    # What ``from a import *`` brings cannot be known.
    if any(alias.name == "*" for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) for alias in node.names):
        return set()
    defined = {each.get_name() for each in table.get_symbols() if each.is_assigned() or each.is_imported() or each.is_namespace()}
    # A function may define a name of the module by ``global``.
    defined |= {
        name.get_name() for each in _below(table) for name in each.get_symbols() if name.is_declared_global() and name.is_assigned()
    }
    read = {name.get_name() for each in (table, *_below(table)) for name in each.get_symbols() if _is_read_from_the_module(each, name)}
    return read - defined - set(dir(builtins)) - {"__name__", "__file__", "__doc__"}


def _below(table: symtable.SymbolTable) -> list[symtable.SymbolTable]:
    return [each for child in table.get_children() for each in (child, *_below(child))]


def _is_read_from_the_module(table: symtable.SymbolTable, name: symtable.Symbol) -> bool:
    return name.is_referenced() and (table.get_type() == "module" or name.is_global())


def _check_syntax(text: str) -> None:
    try:
        compile(text, "cell", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f"line {line}: " if line else ""
        raise InvalidSpec(
            f"The cell is no Python program: {where}{getattr(error, 'msg', error)}.",
            "It leaves the notebook as it is: without magics, ! or await at its top.",
        ) from None
