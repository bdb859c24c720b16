"""A picture of what a widget shows, for where it cannot live: a notebook without a kernel, a page of its HTML. Pure."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Any

from jupyter_kuberay.batch.records import RunRecord
from jupyter_kuberay.faces.answers import Listing
from jupyter_kuberay.faces.render import markup
from jupyter_kuberay.faces.view import View, Words, view
from jupyter_kuberay.faces.widget.told import ALL, Scope, Told
from jupyter_kuberay.status import ClusterStatus, ServiceStatus


def still(told: Told, scope: Scope, now: datetime) -> tuple[str, str]:
    """``told`` within ``scope`` as HTML and as text, with the time at which it was so."""
    parts = [part for part in (_clusters(told, scope), _services(told, scope), _runs(told, scope)) if part is not None]
    when = f"As it was on {now:%Y-%m-%d at %H:%M} UTC."
    views = [view(part, now) for part in parts]
    tables, text = "".join(map(markup, views)), "\n\n".join([*map(_text, views), when])
    return f'<div class="jk-still">{tables}<p style="color:#777">{escape(when)} Run the cell to see how it is now.</p></div>', text


def _text(shown: View) -> str:
    """As lines. (Rich takes 100 ms for a table of 100 rows, while the kernel could do nothing else.)"""
    rows = [shown.columns, *(tuple(cell.text for cell in row) for row in shown.rows)]
    widths = [max(map(len, column)) for column in zip(*filter(None, rows), strict=True)]
    lines = ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows if row]
    return "\n".join([*lines, *(piece.text for piece in shown.below if isinstance(piece, Words))])


def _clusters(told: Told, scope: Scope) -> Any:
    if scope.cluster is None:
        return None
    statuses = [ClusterStatus.model_validate(told["clusters"][name]) for name in sorted(told["clusters"])]
    return statuses[0] if scope.cluster != ALL and statuses else Listing("cluster", statuses)


def _services(told: Told, scope: Scope) -> Any:
    if scope.service is None:
        return None
    statuses = [ServiceStatus.model_validate(told["services"][name]) for name in sorted(told["services"])]
    return statuses[0] if scope.service != ALL and statuses else Listing("service", statuses)


def _runs(told: Told, scope: Scope) -> Any:
    if scope.runs is None:
        return None
    return Listing("run", [record for run in told["runs"] if (record := RunRecord.read(run)) is not None])
