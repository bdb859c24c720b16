"""What doctor found, and how it looks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from jupyter_kuberay.doctor import Finding, Level, healthy
from jupyter_kuberay.faces.answers import Listing
from jupyter_kuberay.faces.view import Code, Mood, View, Words, register

_MOODS = {Level.OK: Mood.GOOD, Level.WARNING: Mood.BUSY, Level.BAD: Mood.BAD, Level.UNSEEN: Mood.FAINT}


class Report(Listing):
    """Findings; a script learns by the exit code whether any of them is bad."""

    def __init__(self, found: Sequence[Finding]) -> None:
        super().__init__("finding", found)
        self.exit_code = 0 if healthy(tuple(found)) else 1


@register
def _(answer: Report, now: datetime) -> View:
    rows = tuple((Words(one.check, Mood.STRONG), Words(str(one.level), _MOODS[one.level]), Words(one.what)) for one in answer)
    below: list[Words | Code] = []
    said = set()
    for one in answer:
        # Several lines may need the same.
        if one.remedy and (one.check, one.remedy) not in said:
            below.append(Words(f"{one.check}: {one.remedy}", _MOODS[one.level]))
            said.add((one.check, one.remedy))
        if one.manifest:
            below.append(Code(one.manifest))
    return View(("CHECK", "STATE", "WHAT"), rows, tuple(below))
