"""Which points a sweep has: one notebook with many parameters. Pure.

On a command line an axis is ``lr=1e-3,1e-4`` or ``seed=0:5`` (0, 1, 2, 3, 4, as
Python's ``range``; ``0:10:2`` has a step), and several axes make a grid. Items
are numbers, ``true``, ``false``, ``null`` and words; quotes make text of
anything, brackets a list (``layers=[64,64],[128]``), braces a mapping.

A file (YAML or JSON) has combinations as a list of mappings, or a grid as a
mapping of lists, or both::

    grid: {lr: [1e-3, 1e-4], seed: [0, 1, 2]}
    points:
      - {lr: 3e-4, seed: 7, warmup: 100}
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jupyter_kuberay.batch.records import RunRecord, RunState
from jupyter_kuberay.batch.table import short
from jupyter_kuberay.batch.values import canonical, digest, nearest, read_yaml, value
from jupyter_kuberay.errors import InvalidSpec

MOST_POINTS = 10_000
_LONGEST_VALUE, _LONGEST_NAME = 32, 120  # characters; file systems allow 255 bytes
_RANGE = re.compile(r"([-+]?\d+):([-+]?\d+)(?::([-+]?\d+))?")
_LIKE_A_RANGE = re.compile(r"[-+.\deE]*\d[-+.\deE]*(:[-+.\deE]*)+")


@dataclass(frozen=True)
class Axis:
    """A parameter, and the values that it takes."""

    name: str
    values: Sequence[Any]


@dataclass(frozen=True)
class Point:
    """One run of a sweep."""

    number: int  # from 0, in the sweep's order
    varied: Mapping[str, Any]  # what tells it from the others
    parameters: Mapping[str, Any]  # these and the ones that all have in common
    output: str  # the notebook's name in the sweep's folder, such as "003-lr=0.001,seed=2.ipynb"


# --- what was written ----------------------------------------------------


def parse_axis(text: str, types: Mapping[str, str] | None = None) -> Axis:
    """An axis as a command line has it.

    >>> parse_axis("lr=1e-3,1e-4")
    Axis(name='lr', values=[0.001, 0.0001])
    >>> list(parse_axis("seed=0:3").values)
    [0, 1, 2]

    Parameters
    ----------
    types
        By parameter, as far as they are known (`parameters.Parameter.type`): where it is "str", all but what is
        quoted is text as it stands, and where it is "float", whole numbers are floats.

    Raises
    ------
    InvalidSpec
        It is none: no name, no value, a quote left open, a range of nothing.
    """
    name, equals, rest = text.partition("=")
    name = name.strip()
    if not equals:
        raise InvalidSpec(f"{text!r} is no axis of a sweep.", "Write NAME=VALUE,VALUE or NAME=START:STOP.")
    _check_name(name)
    items = _split(rest, name)
    if not any(items):
        raise InvalidSpec(f"The sweep's {name} has no value.", f"Write {name}=VALUE,VALUE or {name}=START:STOP.")
    if "" in items:
        raise InvalidSpec(f"The sweep's {name} has an empty value.", 'Write "" for an empty text, or remove a comma.')
    found = [_values(item, name, (types or {}).get(name, "")) for item in items]
    if sum(len(each) for each in found) > MOST_POINTS:
        raise _too_many(sum(len(each) for each in found))
    return Axis(name, [each for some in found for each in some])


def parse_axes(texts: Iterable[str], types: Mapping[str, str] | None = None) -> tuple[Axis, ...]:
    """Several of them; `InvalidSpec` where a name is there twice."""
    axes = tuple(parse_axis(text, types) for text in texts)
    for axis, other in itertools.combinations(axes, 2):
        if axis.name == other.name:
            raise InvalidSpec(f"The sweep has {axis.name} twice.", f"Put all values into one: {axis.name}=VALUE,VALUE.")
    return axes


def _values(item: str, name: str, kind: str) -> Sequence[Any]:
    if kind == "str" and item[:1] not in ("'", '"'):
        return [item]
    found = _range(item, name) if _LIKE_A_RANGE.fullmatch(item) else [value(item, f"The sweep's {name}")]
    return [float(each) if type(each) is int else each for each in found] if kind == "float" else found


def _range(item: str, name: str) -> range:
    found = _RANGE.fullmatch(item)
    if not found:
        raise InvalidSpec(
            f"The sweep's {name} has {item!r}, which is no range.",
            "A range is START:STOP or START:STOP:STEP of whole numbers; quote a text.",
        )
    start, stop, step = (int(part) if part else 1 for part in found.groups())
    if step == 0:
        raise InvalidSpec(f"The sweep's {name} has {item!r}, a range with step 0.", "Give another step.")
    numbers = range(start, stop, step)
    if not numbers:
        raise InvalidSpec(f"The sweep's {name} has {item!r}, a range with nothing in it.", "Its end is excluded: 0:3 has 0, 1 and 2.")
    if len(numbers) > MOST_POINTS:
        raise _too_many(len(numbers))
    return numbers


_OPENING = {"[": "]", "{": "}"}


def _split(text: str, name: str) -> list[str]:
    """At commas, but not in quotes and brackets."""
    items: list[str] = []
    item, quote = "", ""
    closing: list[str] = []
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and (closing or not item.strip()):
            quote = letter
        elif letter in _OPENING and (closing or not item.strip()):
            closing.append(_OPENING[letter])
        elif closing and letter == closing[-1]:
            closing.pop()
        elif letter == "," and not closing:
            items.append(item.strip())
            item = ""
            continue
        item += letter
    if quote or closing:
        raise InvalidSpec(f"The sweep's {name} leaves {quote or closing[-1]} open.", "Close it; a shell needs quotes around it all.")
    return [*items, item.strip()]


def parse_combinations(text: str, where: str) -> list[dict[str, Any]]:
    """The points' parameters as a file has them, ``where`` it is for errors.

    Raises
    ------
    InvalidSpec
        It is neither YAML nor JSON, or holds no combinations.
    """
    found = read_yaml(text, where)
    if isinstance(found, Mapping) and found and set(found) <= {"grid", "points"} and _sections(found):
        grid, points = found.get("grid", {}), found.get("points", [])
    elif isinstance(found, Mapping):
        grid, points = found, []
    else:
        grid, points = {}, found
    if not grid and not points:
        raise InvalidSpec(f"{where} holds no combinations.", "Write a list of mappings, or a mapping of lists.")
    if not isinstance(points, list):
        raise InvalidSpec(f"{where} is neither a list of mappings nor a mapping of lists.", "Such as: {lr: [1e-3, 1e-4], seed: [0, 1]}")
    for number, point in enumerate(points, 1):
        if not isinstance(point, Mapping) or not point:
            raise InvalidSpec(f"{where}: point {number} is not a mapping of parameters.", "Such as: - {lr: 1e-3, seed: 7}")
        for name in point:
            _check_name(name)
    return [*combine(_axes(grid, where)), *(dict(point) for point in points)]


def _sections(found: Mapping[str, Any]) -> bool:
    """Whether these are sections, and not a grid over parameters with these names."""
    grid, points = found.get("grid"), found.get("points")
    return isinstance(grid, Mapping) or (
        "grid" not in found and isinstance(points, list) and all(isinstance(one, Mapping) for one in points)
    )


def _axes(grid: Mapping[str, Any], where: str) -> list[Axis]:
    for name, values in grid.items():
        _check_name(name)
        if not isinstance(values, list) or not values:
            raise InvalidSpec(f"{where}: {name} has no list of values.", f"Write {name}: [VALUE, VALUE].")
    return [Axis(name, values) for name, values in grid.items()]


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise InvalidSpec(f"{name!r} is no name of a parameter.", "A parameter is a variable of the notebook's cell tagged 'parameters'.")


# --- the points ----------------------------------------------------------


def combine(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """The grid of ``axes``, the last one running fastest; none without any.

    Raises
    ------
    InvalidSpec
        There are more than `MOST_POINTS`.
    """
    if not axes:
        return []
    count = math.prod(len(axis.values) for axis in axes)
    if count > MOST_POINTS:
        raise _too_many(count)
    names = [axis.name for axis in axes]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(axis.values for axis in axes))]


def points(combinations: Sequence[Mapping[str, Any]], fixed: Mapping[str, Any] | None = None) -> tuple[Point, ...]:
    """The runs of a sweep, in the order of ``combinations``, each with the ``fixed`` parameters besides.

    Raises
    ------
    InvalidSpec
        There are none, or more than `MOST_POINTS`; two are the same; a parameter is both fixed and varied.
    """
    fixed = fixed or {}
    if not combinations:
        raise InvalidSpec("The sweep has no point.", "Give an axis, such as lr=1e-3,1e-4.")
    if len(combinations) > MOST_POINTS:
        raise _too_many(len(combinations))
    seen: dict[str, int] = {}
    for number, varied in enumerate(combinations):
        both = sorted(varied.keys() & fixed.keys())
        if both:
            raise InvalidSpec(f"{both[0]} is both fixed and varied by the sweep.", "Give it in one of the two places.")
        first = seen.setdefault(canonical(varied), number)
        if first != number:
            raise InvalidSpec(f"The sweep has a point twice: {described(varied)} (number {first} and {number}).", "Remove one.")
    width = max(3, len(str(len(combinations) - 1)))
    return tuple(
        Point(number, dict(varied), {**fixed, **varied}, f"{number:0{width}}-{file_stem(varied)}.ipynb")
        for number, varied in enumerate(combinations)
    )


def check_parameters(runs: Iterable[Point], known: Iterable[str], notebook: str) -> None:
    """Raise `InvalidSpec` where a point has a parameter that the notebook lacks; ``known`` are those that it has."""
    known = set(known)
    for name in dict.fromkeys(name for point in runs for name in point.parameters):
        if name not in known:
            hint = nearest(name, known) if known else "Tag the cell that has them with 'parameters'."
            raise InvalidSpec(f"{notebook} has no parameter {name}.", hint)


def _too_many(count: int) -> InvalidSpec:
    return InvalidSpec(f"The sweep has {count:,} points, more than {MOST_POINTS:,}.", "Take fewer values, or several sweeps.")


def described(parameters: Mapping[str, Any]) -> str:
    """As a person reads it: "lr=0.001, seed=2"; a long value is cut."""
    return ", ".join(f"{name}={short(each, 60)}" for name, each in parameters.items())


def file_stem(varied: Mapping[str, Any]) -> str:
    """A file's name from parameters, valid wherever files are kept, and another for other parameters.

    >>> file_stem({"lr": 1e-3, "seed": 2})
    'lr=0.001,seed=2'

    What a name cannot hold, or is too long, is left out and told by a digest.
    """
    parts = []
    for name, each in varied.items():
        text = each if isinstance(each, str) else canonical(each)
        kept = re.sub(r"[^A-Za-z0-9._+-]+", "_", text)[:_LONGEST_VALUE]
        plain = kept == text and not (isinstance(each, str) and value(text) != each)  # "7" and 7 are two values
        parts.append(f"{_ascii(name)}={kept if plain and kept else kept + '~' + digest(each, 8)}")
    stem = ",".join(parts)
    return stem if len(stem) <= _LONGEST_NAME else f"{stem[: _LONGEST_NAME - 9]}~{digest(dict(varied), 8)}"


def _ascii(name: str) -> str:
    return (
        name
        if name.isascii() and len(name) <= _LONGEST_VALUE
        else f"{re.sub(r'[^A-Za-z0-9_]', '_', name)[:_LONGEST_VALUE]}~{digest(name, 8)}"
    )


# --- going on ------------------------------------------------------------


@dataclass(frozen=True)
class Resumption:
    """What a sweep that is taken up again has to do."""

    points: tuple[Point, ...]  # all; one that was run before keeps the output that it has
    found: Mapping[int, RunRecord]  # by number: the runs that are not run again

    @property
    def left(self) -> tuple[Point, ...]:
        """The points to run: missing, failed, interrupted or lost, or of another notebook or parameters."""
        return tuple(point for point in self.points if point.number not in self.found)


def resumption(runs: Iterable[Point], records: Iterable[RunRecord], source_sha256: str) -> Resumption:
    """What is left of a sweep.

    A run counts as the point's when its parameters are the point's, whatever its number was: a sweep may
    have got more values since.

    Parameters
    ----------
    records
        Of all outputs in the sweep's folder.
    source_sha256
        The notebook's now; runs of another one do not count.
    """
    done: dict[str, RunRecord] = {}
    for record in sorted(records, key=lambda one: one.started):
        if record.state is RunState.SUCCEEDED and record.source_sha256 == source_sha256:
            done[canonical(dict(record.parameters))] = record
    found = {point.number: done[key] for point in runs if (key := canonical(dict(point.parameters))) in done}
    kept = tuple(
        replace(point, output=re.split(r"[/\\]", found[point.number].output)[-1]) if point.number in found else point for point in runs
    )
    return Resumption(kept, found)
