"""Kubernetes quantities: '500m', '2', '16Gi', '8G'.

A quantity keeps the words that it was asked for in, and compares by its value,
so that '1Gi' equals '1024Mi' and a manifest says what the person said.
Source: apimachinery's resource.Quantity; exponents ('1e3') are accepted too.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from functools import total_ordering
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_FACTORS: dict[str, Decimal] = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    **{letter: Decimal(10) ** (3 * power) for power, letter in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate(("K", "M", "G", "T", "P", "E"), start=1)},
}
PATTERN = r"^(\d+(?:\.\d*)?|\.\d+)(?:([eE][+-]?\d{1,3})|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?$"
_PATTERN = re.compile(PATTERN, re.ASCII)
# The API server keeps quantities in 63 bits with nine decimals; larger ones it caps, smaller ones it rounds up.
_LARGEST = Decimal(2**63 - 1)


@total_ordering
class Quantity:
    """An amount of CPU or memory, never negative.

    >>> Quantity("500m") < Quantity("1"), Quantity("1Gi") == Quantity("1024Mi"), int(Quantity("8G"))
    (True, True, 8000000000)

    Raises
    ------
    ValueError
        For what is no quantity; it says what one looks like.
    """

    __slots__ = ("text", "value")

    text: str
    value: Decimal  # in units: cores, or bytes

    def __init__(self, text: str | int | float | Quantity) -> None:
        if isinstance(text, Quantity):
            text = text.text
        if isinstance(text, bool) or not isinstance(text, (str, int, float)):
            raise ValueError(f"{text!r} is no quantity; write one as '500m', '2', '16Gi' or '8G'")
        if isinstance(text, float):
            text = _plain(text)
        words = str(text)
        found = _PATTERN.fullmatch(words)
        if not found:
            raise ValueError(_why_not(words))
        number, exponent, suffix = found.groups()
        value = Decimal(number + (exponent or "")) * _FACTORS[suffix or ""]
        if value > _LARGEST:
            raise ValueError(f"{words!r} is more than Kubernetes can count; write a smaller quantity, such as '16Gi'")
        object.__setattr__(self, "text", words)
        object.__setattr__(self, "value", value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a quantity does not change")

    def __reduce__(self) -> tuple[type[Quantity], tuple[str]]:
        return Quantity, (self.text,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.value == other.value

    def __lt__(self, other: Quantity) -> bool:
        return self.value < other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __int__(self) -> int:
        """Whole units, rounded up as Kubernetes and KubeRay do."""
        return math.ceil(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Quantity({self.text!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validate, serialization=core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema())
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": PATTERN}


def _validate(text: Any) -> Quantity:
    try:
        return Quantity(text)
    except ValueError as error:
        raise PydanticCustomError("quantity", "{why}", {"why": str(error)}) from None


def _plain(number: float) -> str:
    if not math.isfinite(number):
        raise ValueError(f"{number!r} is no quantity; write one as '500m', '2', '16Gi' or '8G'")
    return format(Decimal(repr(number)), "f")


def _why_not(words: str) -> str:
    joined = "".join(words.split())
    if words.strip().startswith("-"):
        return f"{words!r} is negative; a quantity is 0 or more, such as '500m' or '16Gi'"
    if joined != words and _PATTERN.fullmatch(joined):
        return f"{words!r} has a space in it; write {joined!r}"
    if _PATTERN.fullmatch(joined.removesuffix("B").removesuffix("b")):
        return f"{words!r} is no quantity; write {joined.rstrip('Bb')!r}, without B for bytes"
    return f"{words!r} is no quantity; write one as '500m', '2', '16Gi' or '8G'"
