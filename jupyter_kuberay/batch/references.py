"""References in a pipeline's texts, and the values in their places. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_kuberay.batch.values import canonical

_REFERENCE = re.compile(r"\$?\$\{([^{}]*)\}")


@dataclass(frozen=True)
class Reference:
    """``${step.name}``, or ``${name}`` where ``step`` is ""."""

    step: str
    name: str

    def __str__(self) -> str:
        return f"${{{self.step}.{self.name}}}" if self.step else f"${{{self.name}}}"


def references(value: Any) -> list[Reference]:
    """Those in a value's texts, in order."""
    if isinstance(value, str):
        return [_reference(one) for one in _REFERENCE.finditer(value) if not one[0].startswith("$$")]
    if isinstance(value, Mapping):
        return [one for each in value.values() for one in references(each)]
    return [one for each in value for one in references(each)] if isinstance(value, list | tuple) else []


def _reference(found: re.Match[str]) -> Reference:
    step, dot, name = found[1].strip().partition(".")
    return Reference(step, name) if dot else Reference("", step)


def filled(value: Any, parameters: Mapping[str, Any], values: Mapping[str, Mapping[str, Any]]) -> Any:
    """``value`` with its references' values.

    >>> filled(["${lr}", "${data.path}/train", "$${x}"], {"lr": 0.1}, {"data": {"path": "s3://b"}})
    [0.1, 's3://b/train', '${x}']

    Parameters
    ----------
    parameters
        The pipeline's.
    values
        What each step's notebook recorded, by step; must have all that is referred to.
    """
    if isinstance(value, Mapping):
        return {key: filled(each, parameters, values) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [filled(each, parameters, values) for each in value]
    if not isinstance(value, str):
        return value

    def of(found: re.Match[str]) -> Any:
        one = _reference(found)
        return values[one.step][one.name] if one.step else parameters[one.name]

    def text(found: re.Match[str]) -> str:
        if found[0].startswith("$$"):
            return found[0][1:]
        inside = of(found)
        return inside if isinstance(inside, str) else canonical(inside)

    whole = _REFERENCE.fullmatch(value)
    return of(whole) if whole and not whole[0].startswith("$$") else _REFERENCE.sub(text, value)
