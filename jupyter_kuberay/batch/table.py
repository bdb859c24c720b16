"""A table of runs, as text and as HTML. Pure."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_kuberay.batch.records import RunRecord, RunState
from jupyter_kuberay.batch.values import canonical

MOODS = {
    "Succeeded": "good",
    "Unchanged": "good",
    "Running": "busy",
    "Failed": "bad",
    "Lost": "bad",
    "Interrupted": "bad",
    "Skipped": "faint",
    "Pending": "faint",
}
_COLORS = {"faint": "#777", "good": "#188038", "busy": "#b06000", "bad": "#c5221f"}
_LEFT = 'style="text-align:left"'


@dataclass(frozen=True)
class Cell:
    """A text, and how it is meant: "", "strong", "faint", "good", "busy" or "bad"."""

    text: str
    mood: str = ""


@dataclass(frozen=True)
class Table:
    """Columns and rows, a line above and sentences below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    below: tuple[Cell, ...] = ()

    def text(self) -> str:
        """In columns, without colours."""
        lines = [self.columns, *(tuple(cell.text for cell in row) for row in self.rows)]
        widths = [max(len(line[index]) for line in lines) for index in range(len(self.columns))]
        shown = ["   ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([self.title, *shown, *(cell.text for cell in self.below)])

    def html(self) -> str:
        """A fragment for a notebook; whatever is in it is text, not markup."""
        head = "".join(f"<th {_LEFT}>{html.escape(column)}</th>" for column in self.columns)
        rows = "".join(f"<tr>{''.join(f'<td {_LEFT}>{_marked(cell)}</td>' for cell in row)}</tr>" for row in self.rows)
        below = "".join(f"<div>{_marked(cell)}</div>" for cell in self.below)
        return f"<div>{html.escape(self.title)}</div><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{below}"


def _marked(cell: Cell) -> str:
    text = html.escape(cell.text)
    if cell.mood == "strong":
        return f"<b>{text}</b>"
    return f'<span style="color:{_COLORS[cell.mood]}">{text}</span>' if cell.mood in _COLORS else text


def state_cell(state: str, record: RunRecord | None) -> Cell:
    """The state in a word, and how far a notebook that runs is."""
    if state == RunState.RUNNING and record and record.cells:
        return Cell(f"{state} {record.done}/{record.cells}" + (f" {short(record.cell, 24)}" if record.cell else ""), MOODS[state])
    return Cell(state, MOODS.get(state, ""))


def seconds(record: RunRecord | None) -> float | None:
    """How long a run took; None where it has no end."""
    return record.seconds if record and record.started and record.ended else None


def took(time: float | None) -> str:
    """Seconds as a person reads them.

    >>> [took(time) for time in (None, 0.34, 75, 4000)]
    ['', '0.3 s', '1 min 15 s', '1 h 6 min']
    """
    if time is None:
        return ""
    if time < 59.5:
        return f"{time:.1f} s"
    minutes, rest = divmod(round(time), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def short(value: Any, longest: int = 40) -> str:
    """A value in one line of at most ``longest`` characters; a float with six digits."""
    text = f"{value:.6g}" if isinstance(value, float) else value if isinstance(value, str) else canonical(value)
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def names(mappings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Their keys, each once, in the order in which they first appear."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))
