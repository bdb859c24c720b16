"""Answers as something to look at: a table or a card of words, without saying in which medium. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import singledispatch
from typing import Any

from jupyter_kuberay.faces.answers import Attaching, Listing, Removed
from jupyter_kuberay.profiles import Profile
from jupyter_kuberay.spec import ClusterSpec
from jupyter_kuberay.status import ClusterStatus, Phase, ServiceStatus


class Mood(StrEnum):
    PLAIN = ""
    STRONG = "strong"
    FAINT = "faint"
    GOOD = "good"
    BUSY = "busy"
    BAD = "bad"


@dataclass(frozen=True)
class Words:
    """A piece of text, and how it is meant."""

    text: str
    mood: Mood = Mood.PLAIN


@dataclass(frozen=True)
class Code:
    """Lines to be copied."""

    text: str


@dataclass(frozen=True)
class View:
    """Columns and rows (a table), or rows alone (a card of labels and values), with sentences and code below."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Words, ...], ...]
    below: tuple[Words | Code, ...] = ()


_LONGEST_LINE = 200
_MOODS = {Phase.READY: Mood.GOOD, Phase.FAILED: Mood.BAD, Phase.DEGRADED: Mood.BAD, Phase.SUSPENDED: Mood.FAINT}


def phase_words(phase: Phase) -> Words:
    return Words(str(phase), _MOODS.get(phase, Mood.BUSY))


def view(answer: Any, now: datetime | None = None) -> View:
    """``answer`` to look at; ``now`` is what ages are counted from (default: this moment)."""
    return _view(answer, now or datetime.now(UTC))


@singledispatch
def _view(answer: Any, now: datetime) -> View:
    return View((), ((Words(str(answer)),),))


# For answers whose looks are said beside their command.
register = _view.register


def table(what: str, empty: str) -> Callable[[Callable[[Any, datetime], View]], Callable[[Any, datetime], View]]:
    """The same for a `Listing` of ``what``; ``empty`` is said of one that has nothing in it."""

    def decorate(shows: Callable[[Any, datetime], View]) -> Callable[[Any, datetime], View]:
        _EMPTY[what], _TABLES[what] = empty, shows
        return shows

    return decorate


@_view.register
def _(answer: Listing, now: datetime) -> View:
    if not answer:
        return View((), (), (Words(_EMPTY[answer.what], Mood.FAINT),))
    shown: View = _TABLES[answer.what](answer, now)
    return replace(shown, below=(*shown.below, Words(answer.how, Mood.STRONG))) if answer.how else shown


_EMPTY = {
    "cluster": "There is no cluster. Bring one up: jupyter kuberay up NAME",
    "profile": "No profile is offered.",
    "removed": "Nothing was there to take down.",
}


# --- clusters ------------------------------------------------------------


def _clusters(found: Sequence[ClusterStatus], now: datetime) -> View:
    columns = ("NAME", "PHASE", "WORKERS", "GPUS", "PROFILE", "AGE")
    rows = tuple(
        (
            Words(one.name, Mood.STRONG),
            phase_words(one.phase),
            Words(workers(one)),
            Words(gpus(one) or "0"),
            Words(one.profile or "-"),
            Words(age(one.created, now)),
        )
        for one in found
    )
    below = [words for one in found for words in causes(one, f"{one.name}: ")]
    return View(columns, rows, tuple(below))


@_view.register
def _(answer: ClusterStatus, now: datetime) -> View:
    rows = [
        (Words("cluster"), Words(answer.name, Mood.STRONG)),
        (Words("phase"), phase_words(answer.phase)),
        (Words("workers"), Words(_by_group(answer))),
    ]
    if answer.gpus:
        rows.append((Words("GPUs"), Words(gpus(answer))))
    rows += [(Words(label), Words(text)) for label, text in _facts(answer, now) if text]
    for node in answer.nodes:
        state = Words("up", Mood.GOOD) if node.ready else Words(node.reason or "starting", Mood.BAD if node.reason else Mood.BUSY)
        again = f", restarted {node.restarts} times" if node.restarts > 1 else ", restarted once" if node.restarts else ""
        rows.append((Words("node"), Words(f"{node.name} ({node.group}){again}: {state.text}")))
    below = [*causes(answer), *(Words(note, Mood.FAINT) for note in answer.notes)]
    return View((), tuple(rows), tuple(below))


def _facts(answer: ClusterStatus, now: datetime) -> list[tuple[str, str]]:
    return [
        ("profile", answer.profile),
        ("owner", answer.owner),
        ("user", answer.user),
        ("Ray", answer.ray_version),
        ("age", age(answer.created, now).strip("-")),
    ]


def causes(answer: ClusterStatus | ServiceStatus, before: str = "") -> list[Words]:
    """What is wrong, and what helps; ``before`` is what it begins with in a list, where it is told in one line."""
    if answer.cause is None:
        return []
    waits = answer.phase in (Phase.PENDING, Phase.STARTING)
    what = brief(answer.cause.what) if before else answer.cause.what
    return [Words(before + what, Mood.BUSY if waits else Mood.BAD), Words("  " + answer.cause.remedy, Mood.FAINT)]


def brief(text: str) -> str:
    """In one line: of the last words of a log, the first and the last, and not all of these."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    ends = [line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…" for line in (*lines[:1], *lines[-1:])]
    return " … ".join(dict.fromkeys(ends))


def workers(answer: ClusterStatus) -> str:
    """Ready of wanted, all groups together, such as "1/2"."""
    return f"{sum(answer.ready.values())}/{sum(answer.wanted.values())}"


def _by_group(answer: ClusterStatus) -> str:
    return ", ".join(f"{answer.ready[group]} of {wanted} {group}" for group, wanted in answer.wanted.items()) or "none"


def gpus(answer: ClusterStatus) -> str:
    """How many, and that they are simulated where they are; "" for none."""
    return (f"{answer.gpus} simulated" if answer.simulated_gpus else str(answer.gpus)) if answer.gpus else ""


# --- the rest ------------------------------------------------------------


def _profiles(found: Sequence[Profile], _: datetime) -> View:
    columns = ("NAME", "WORKERS", "EACH", "AT MOST", "DESCRIPTION")
    return View(columns, tuple(_profile(one) for one in found))


def _profile(profile: Profile) -> tuple[Words, ...]:
    spec = ClusterSpec(**profile.cluster | {"name": "x"})
    group = spec.worker_groups[0] if spec.worker_groups else None
    simulated = {"never": "", "if-none": " (simulated where there is none)", "always": " (simulated)"}[profile.simulated_gpus]
    each = f"{group.cpu} CPU, {group.memory}" + (f", {group.gpus} GPU{simulated}" if group.gpus else "") if group else "-"
    limits = profile.limits.model_dump(exclude={"images"}, exclude_none=True)
    units = {"workers": "workers", "gpus": "GPUs", "cpu": "CPU", "memory": "of memory"}
    most = ", ".join(f"{limits[key]} {unit}" for key, unit in units.items() if key in limits)
    words = Words(profile.name, Mood.STRONG), Words(str(spec.workers)), Words(each), Words(most or "-")
    return (*words, Words(profile.description or profile.title))


def _removed(found: Sequence[Removed], _: datetime) -> View:
    said = {True: ("is gone", Mood.GOOD), False: ("is being taken down", Mood.BUSY)}
    return View((), tuple((Words(one.name, Mood.STRONG), Words(*said[one.gone])) for one in found))


_TABLES: dict[str, Any] = {
    "cluster": _clusters,
    "profile": _profiles,
    "removed": _removed,
}


@_view.register
def _(answer: Attaching, now: datetime) -> View:
    rows = [(Words("cluster"), Words(answer.name, Mood.STRONG))]
    rows += [(Words(label), Words(text)) for label, text in (("Ray Client", answer.client), ("dashboard", answer.dashboard)) if text]
    return View((), tuple(rows), (Words("Paste this into a notebook:", Mood.FAINT), Code(answer.code)))


def age(created: str, now: datetime) -> str:
    """Since ``created`` (RFC 3339), in one unit, such as "5m"; "-" where that is not known."""
    try:
        seconds = (now - datetime.fromisoformat(created)).total_seconds()
    except (ValueError, TypeError):
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"
