"""What was measured: collected from the tests, printed in the end as one table, and kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

KEY = "figure of the panel"


@dataclass(frozen=True)
class Figure:
    """One number.

    Parameters
    ----------
    met
        Whether it is within its goal; None: it has none.
    """

    what: str
    value: float
    unit: str
    goal: str = ""
    met: bool | None = None
    detail: str = ""


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that ``percent`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def collected(reports: Iterable[Any]) -> list[Figure]:
    """Of all tests, whichever process ran them."""
    return [Figure(**told) for report in reports for key, told in getattr(report, "user_properties", ()) if key == KEY]


def as_property(figure: Figure) -> tuple[str, dict[str, Any]]:
    return KEY, asdict(figure)


def table(figures: Iterable[Figure]) -> list[str]:
    rows = [
        (
            {None: "", True: "ok", False: "MISS"}[figure.met],
            figure.what,
            f"{figure.value:,.1f} {figure.unit}" if figure.value % 1 else f"{figure.value:,.0f} {figure.unit}",
            figure.goal,
            figure.detail,
        )
        for figure in figures
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(5)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def keep(figures: Iterable[Figure], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))
