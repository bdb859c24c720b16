"""A pipeline's steps drawn as a small graph from left to right: in layers, each step right of all that it needs. Pure."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_HEIGHT, _GAP, _BETWEEN, _MARGIN = 44, 18, 56, 4  # pixels: of a step, between two in a layer, between layers, around
_LETTER, _PADDING = 7.4, 30  # pixels
_LONGEST = 26  # letters of a name
_SWEEPS = 8


@dataclass(frozen=True)
class Node:
    """A step to be drawn."""

    name: str
    needs: Sequence[str]  # names of nodes before it
    kind: str = ""  # a CSS class, such as "good"
    below: str = ""  # a small second line


def layers(needs: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The steps by how many must run before them one after the other, in an order in which few lines cross.

    >>> layers({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]})
    [['a'], ['b', 'c'], ['d']]

    Parameters
    ----------
    needs
        By step, in an order in which they can run.
    """
    placed, _ = _placed(needs)
    return [[name for name in layer if not isinstance(name, tuple)] for layer in placed]


# A line over several layers goes through a place of its own in each of them: (from, to, layer).
_Place = str | tuple[str, str, int]


def _placed(needs: Mapping[str, Sequence[str]]) -> tuple[list[list[_Place]], list[list[_Place]]]:
    """The places of each layer in their order, and each line as the places that it goes through."""
    depth: dict[str, int] = {}
    for name, before in needs.items():
        depth[name] = 1 + max((depth[one] for one in before), default=-1)
    found: list[list[_Place]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
    for name, layer in depth.items():
        found[layer].append(name)
    lines: list[list[_Place]] = []
    for name, before in needs.items():
        for one in before:
            through: list[_Place] = [(one, name, layer) for layer in range(depth[one] + 1, depth[name])]
            for layer, place in enumerate(through, depth[one] + 1):
                found[layer].append(place)
            lines.append([one, *through, name])
    return _untangled(found, lines), lines


def _untangled(found: list[list[_Place]], lines: list[list[_Place]]) -> list[list[_Place]]:
    """Each place near the middle of those that it is joined to, forth and back some times; the fewest crossings win."""
    left: dict[_Place, list[_Place]] = {}
    right: dict[_Place, list[_Place]] = {}
    for line in lines:
        for one, other in pairwise(line):
            right.setdefault(one, []).append(other)
            left.setdefault(other, []).append(one)
    best, least = [list(layer) for layer in found], _crossings(found, right)
    for sweep in range(_SWEEPS):
        forth = sweep % 2 == 0
        joined = left if forth else right
        for layer, beside in pairwise(range(len(found))) if forth else pairwise(reversed(range(len(found)))):
            at = {place: index for index, place in enumerate(found[layer])}
            own = {place: index for index, place in enumerate(found[beside])}
            found[beside].sort(key=lambda place: _middle([at[one] for one in joined.get(place, [])], own[place]))
        crossed = _crossings(found, right)
        if crossed < least:
            best, least = [list(layer) for layer in found], crossed
    return best


def _middle(numbers: list[int], otherwise: int) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise


def _crossings(found: list[list[_Place]], right: Mapping[_Place, list[_Place]]) -> int:
    count = 0
    for layer, beside in pairwise(found):
        at = {place: index for index, place in enumerate(beside)}
        ends = [sorted(at[one] for one in right.get(place, []) if one in at) for place in layer]
        count += sum(one > other for index, some in enumerate(ends) for more in ends[index + 1 :] for one in some for other in more)
    return count


def svg(nodes: Sequence[Node]) -> str:
    """As an SVG element for an HTML page, which gives the classes' colours; each step links to ``#step-NAME``.

    Parameters
    ----------
    nodes
        In an order in which they can run.
    """
    placed, lines = _placed({node.name: list(dict.fromkeys(node.needs)) for node in nodes})
    by_name = {node.name: node for node in nodes}
    across: list[float] = []
    widths: list[float] = []
    x = float(_MARGIN)
    for layer in placed:
        longest = max((max(len(_cut(one)), 0.85 * len(by_name[one].below)) for one in layer if isinstance(one, str)), default=8)
        across.append(x)
        widths.append(_PADDING + _LETTER * longest)
        x += widths[-1] + _BETWEEN
    tallest = max((len(layer) for layer in placed), default=0)
    height = 2 * _MARGIN + tallest * (_HEIGHT + _GAP) - _GAP
    spots: dict[_Place, tuple[float, float, float]] = {}  # left, right, middle
    for index, layer in enumerate(placed):
        top = (height - len(layer) * (_HEIGHT + _GAP) + _GAP) / 2
        for row, place in enumerate(layer):
            spots[place] = (across[index], across[index] + widths[index], top + row * (_HEIGHT + _GAP) + _HEIGHT / 2)
    width = x - _BETWEEN + _MARGIN
    drawn = [_line([spots[place] for place in line]) for line in lines]
    drawn += [_box(by_name[one], *spots[one]) for layer in placed for one in layer if isinstance(one, str)]
    label = f"{len(nodes)} steps: " + "; ".join(f"{node.name} after {', '.join(node.needs)}" if node.needs else node.name for node in nodes)
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    return f'<svg class="graph" role="img" aria-label="{html.escape(label)}" {size}>{"".join(drawn)}</svg>'


def _line(spots: list[tuple[float, float, float]]) -> str:
    """From the right side of the first to the left side of the last, straight through the places between."""
    at, y = spots[0][1], spots[0][2]
    path = [f"M{at:.1f} {y:.1f}"]
    for left, right, middle in spots[1:]:
        half = (at + left) / 2
        path.append(f"C{half:.1f} {y:.1f} {half:.1f} {middle:.1f} {left:.1f} {middle:.1f}")
        path.append(f"H{right:.1f}")
        at, y = right, middle
    return f'<path class="line" d="{"".join(path[:-1])}"/>'  # its end is the last one's left side


def _box(node: Node, left: float, right: float, middle: float) -> str:
    top, center = middle - _HEIGHT / 2, (left + right) / 2
    full, name, kind = (html.escape(text) for text in (node.name, _cut(node.name), node.kind))
    rect = f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{_HEIGHT}" rx="8"/>'
    up = middle - 3 if node.below else middle + 5
    text = f'<text class="name" x="{center:.1f}" y="{up:.1f}">{name}</text>'
    below = f'<text class="below" x="{center:.1f}" y="{middle + 14:.1f}">{html.escape(node.below)}</text>' if node.below else ""
    return f'<a href="#step-{full}"><g class="node {kind}"><title>{full}</title>{rect}{text}{below}</g></a>'


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
