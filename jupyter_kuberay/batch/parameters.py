"""What a notebook's parameters are, and whether what is given fits them. Pure."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_kuberay.batch import values
from jupyter_kuberay.errors import InvalidSpec

TAG = "parameters"


@dataclass(frozen=True)
class Parameter:
    """A name that the cell tagged ``parameters`` sets."""

    name: str
    type: str = ""  # "int", "float", "str", "bool", "list", "dict"; "" is not known, and takes anything
    default: Any = None
    optional: bool = False  # None fits, too
    annotated: bool = False  # the type was said; otherwise it is the default's


class Text(str):
    """A value as somebody typed it: its meaning depends on the parameter's type."""


def declared(sources: Iterable[str]) -> dict[str, Parameter]:
    """The parameters that cells of Python set, in order; of a cell that is no Python, its lines' names."""
    found: dict[str, Parameter] = {}
    for source in sources:
        try:
            body = ast.parse(source).body
        except SyntaxError:
            names = re.findall(r"^([A-Za-z_]\w*)\s*(?::[^=\n]*)?=(?!=)", source, re.MULTILINE)
            found |= {name: Parameter(name) for name in names}
            continue
        for statement in body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                kind, optional = _annotated(statement.annotation)
                value = _literal(statement.value)
                found[statement.target.id] = Parameter(
                    statement.target.id, kind or _type(value), value, optional or value is None, bool(kind)
                )
            elif isinstance(statement, ast.Assign):
                value = _literal(statement.value)
                for target in statement.targets:
                    if isinstance(target, ast.Name):
                        found[target.id] = Parameter(target.id, _type(value), value, value is None)
    return found


def checked(known: Mapping[str, Parameter], given: Mapping[str, Any], notebook: str) -> dict[str, Any]:
    """``given`` as the notebook gets it; a `Text` is read as its parameter's type.

    Raises
    ------
    InvalidSpec
        The notebook has no such parameter, or it is of another type.
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        hint = values.nearest(unknown[0], known, "It has") if known else f"Tag the cell that has them with {TAG!r}."
        raise InvalidSpec(f"{notebook} has no parameter {', '.join(unknown)}.", hint)
    return {name: _fitting(known[name], value, notebook) for name, value in given.items()}


def _fitting(parameter: Parameter, value: Any, notebook: str) -> Any:
    typed = isinstance(value, Text)
    if typed:
        is_text = parameter.type == "str" and not (parameter.optional and value == "null")
        value = str(value) if is_text else values.value(value, f"Parameter {parameter.name} of {notebook}")
    if value is None and (parameter.optional or not parameter.type):
        return None
    if parameter.type == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if typed else value
    if parameter.type == "int" and isinstance(value, float) and not parameter.annotated:
        return value  # `lr = 1` says less than `lr: int = 1`
    if parameter.type and _type(value) != parameter.type:
        raise InvalidSpec(
            f"Parameter {parameter.name} of {notebook} is of type {parameter.type}, and {_short(value)} is none.",
            f"Its default is {_short(parameter.default)}.",
        )
    if not _can_be_written(value):
        raise InvalidSpec(
            f"Parameter {parameter.name} of {notebook} cannot be {type(value).__name__}.", "Give numbers, texts, lists and mappings."
        )
    return value


def _can_be_written(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _can_be_written(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_can_be_written, value))
    return isinstance(value, str | int | float | type(None))


def _annotated(annotation: ast.expr) -> tuple[str, bool]:
    """The type that an annotation names, and whether None fits."""
    text = ast.unparse(annotation).strip("'\"")
    parts = [part.strip() for part in re.sub(r"^(?:typing\.)?Optional\[(.*)\]$", r"\1 | None", text).split("|")]
    kinds = [_TYPES.get(part.split("[")[0].rpartition(".")[2].lower(), "") for part in parts if part != "None"]
    return (kinds[0] if len(set(kinds)) == 1 else ""), "None" in parts


_TYPES = {name: name for name in ("int", "float", "str", "bool", "list", "dict")} | {"mapping": "dict", "sequence": "list"}


def _literal(expression: ast.expr | None) -> Any:
    """Its value; `_UNKNOWN` where that needs running it."""
    try:
        return ast.literal_eval(expression) if expression is not None else _UNKNOWN
    except ValueError:
        return _UNKNOWN


class _Unknown:
    def __repr__(self) -> str:
        return "computed by the notebook"


_UNKNOWN = _Unknown()


def _type(value: Any) -> str:
    if isinstance(value, tuple):
        return "list"
    return type(value).__name__ if isinstance(value, bool | int | float | str | list | dict) else ""


def _short(value: Any) -> str:
    text = "nan" if isinstance(value, float) and math.isnan(value) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
