"""How jobs look."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from jupyter_kuberay.faces.view import Mood, View, Words, age, brief, register, table
from jupyter_kuberay.status import JobPhase, JobStatus

_MOODS = {JobPhase.SUCCEEDED: Mood.GOOD, JobPhase.FAILED: Mood.BAD, JobPhase.STOPPED: Mood.FAINT}


def _phase(status: JobStatus) -> Words:
    return Words(str(status.phase), _MOODS.get(status.phase, Mood.BUSY))


@table("job", "There is no job. Run one: %%kuberay job, or jupyter kuberay job --file FILE.py")
def _jobs(found: Sequence[JobStatus], now: datetime) -> View:
    rows = tuple((Words(one.name, Mood.STRONG), _phase(one), Words(one.cluster or "-"), Words(age(one.created, now))) for one in found)
    below = tuple(Words(f"{one.name}: {brief(one.cause.what)}", Mood.FAINT) for one in found if one.cause)
    return View(("NAME", "PHASE", "CLUSTER", "AGE"), rows, below)


@register
def _(answer: JobStatus, now: datetime) -> View:
    rows = [(Words("job"), Words(answer.name, Mood.STRONG)), (Words("phase"), _phase(answer))]
    facts = (("cluster", answer.cluster), ("user", answer.user), ("age", age(answer.created, now).strip("-")))
    rows += [(Words(label), Words(text)) for label, text in facts if text]
    cause = (Words(answer.cause.what, Mood.BAD), Words("  " + answer.cause.remedy, Mood.FAINT)) if answer.cause else ()
    return View((), tuple(rows), (*cause, *(Words(note, Mood.FAINT) for note in answer.notes)))
