"""How services, their revisions, and what two of these differ in look."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jupyter_kuberay.difference import Difference
from jupyter_kuberay.faces.view import Code, Mood, View, Words, age, causes, phase_words, register, table
from jupyter_kuberay.published import Published
from jupyter_kuberay.revision import Revision
from jupyter_kuberay.status import ApplicationStatus, ServiceStatus


@table("service", "There is no service. Publish one: jupyter kuberay publish NAME …")
def _services(found: Sequence[ServiceStatus], now: datetime) -> View:
    columns = ("NAME", "PHASE", "REVISION", "MODEL", "CLUSTER", "AGE")
    rows = tuple(
        (
            Words(one.name, Mood.STRONG),
            phase_words(one.phase),
            Words("-" if one.revision is None else str(one.revision)),
            Words(one.model or "-"),
            Words(one.cluster or "-"),
            Words(age(one.created, now)),
        )
        for one in found
    )
    return View(columns, rows, tuple(words for one in found for words in causes(one, f"{one.name}: ")))


@register
def _(answer: ServiceStatus, now: datetime) -> View:
    facts = [
        ("revision", "" if answer.revision is None else f"{answer.revision}" + ("" if answer.settled else " (being put in)")),
        ("model", answer.model),
        ("cluster", answer.cluster),
        ("profile", answer.profile),
        ("user", answer.user),
        ("age", age(answer.created, now).strip("-")),
    ]
    rows = [(Words("service"), Words(answer.name, Mood.STRONG)), (Words("phase"), phase_words(answer.phase))]
    rows += [(Words(label), Words(text)) for label, text in facts if text]
    rows += [(Words("application"), Words(_application(one))) for one in answer.applications]
    return View((), tuple(rows), (*causes(answer), *(Words(note, Mood.FAINT) for note in answer.notes)))


def _application(one: ApplicationStatus) -> str:
    facts = [one.state, "" if one.revision is None else f"revision {one.revision}", one.replicas, f"at {one.route_prefix}"]
    told = ", ".join(fact for fact in facts if fact and fact != "at ")
    return f"{one.name}: {told}{': ' + one.message if one.message else ''}"


@register
def _(answer: Published, now: datetime) -> View:
    revision = answer.revision
    rows = [
        (Words("service"), Words(answer.name, Mood.STRONG)),
        (Words("revision"), Words(str(revision.number), Mood.GOOD)),
        (Words("URL"), Words(answer.url)),
    ]
    if revision.application not in ("", answer.name):
        rows.insert(1, (Words("application"), Words(revision.application)))
    if revision.model:
        rows.append((Words("model"), Words(_model(revision))))
    seconds = answer.timeline[-1].seconds if answer.timeline else 0.0
    rows.append((Words("took"), Words(f"{seconds:.1f} s")))
    return View((), tuple(rows), (Words("Call it:", Mood.FAINT), Code(answer.call)))


def _model(revision: Revision) -> str:
    return f"{revision.model_version} ({revision.model})" if revision.model_version else revision.model


# --- history -------------------------------------------------------------


@table("revision", "Nothing was published.")
def _revisions(found: Sequence[Revision], now: datetime) -> View:
    columns = ("REVISION", "", "MODEL", "SETTINGS", "METRICS", "WHO", "AGE", "WHY")
    rows = tuple(
        (
            Words(str(one.number), Mood.STRONG),
            Words("current" if one.current else "", Mood.GOOD),
            Words(one.model_version or one.model or "-"),
            Words(", ".join(f"{key}={value}" for key, value in one.settings.items()) or "-"),
            Words(", ".join(f"{key} {value:.4g}" for key, value in one.metrics.items()) or "-"),
            Words(one.who or "-"),
            Words(age(one.when, now)),
            Words(one.why),
        )
        for one in found
    )
    failed = [Words(f"Revision {one.number} was published although {gate}", Mood.BAD) for one in found for gate in one.failed_gates]
    return View(columns, rows, (*failed, *_returns(found, now)))


def _returns(found: Sequence[Revision], now: datetime) -> list[Words]:
    """When an earlier one was put in again, the oldest first."""
    every = sorted(((again.when, one.number, again) for one in found for again in one.again), key=lambda each: each[:2])
    told = []
    for when, number, again in every:
        by = f" by {again.who}" if again.who else ""
        instead = f" instead of {again.instead_of}" if again.instead_of else ""
        said = f"Revision {number} was put in again{instead} {age(when, now)} ago{by}"
        told.append(Words(f"{said}: {again.why}" if again.why else f"{said}."))
    return told


@register
def _(answer: Difference, now: datetime) -> View:
    rows = [_row(each.key, _shown(each.before), _shown(each.after)) for each in answer.facts]
    rows += [_row(f"settings.{each.key}", _shown(each.before), _shown(each.after)) for each in answer.settings]
    rows += [_row(each.key, _shown(each.before), _shown(each.after)) for each in answer.scaling]
    rows += [
        _row(each.key, _number(each.before), _number(each.after), "" if each.difference is None else f"{each.difference:+.4g}")
        for each in answer.metrics
    ]
    rows += [_row("code", each.path, "", each.change) for each in answer.files]
    below: list[Words | Code] = [Words(answer.code_note, Mood.FAINT)] if answer.code_note else []
    below += [Code(each.text) for each in answer.files if each.text]
    if answer.is_empty:
        below.append(Words(f"Revisions {answer.before} and {answer.after} are the same, but for who published them, when and why."))
    columns = ("WHAT", f"REVISION {answer.before}", f"REVISION {answer.after}", "CHANGE")
    return View(columns if rows else (), tuple(rows), tuple(below))


def _row(*texts: str) -> tuple[Words, ...]:
    what, *rest = (*texts, "")[:4]
    return Words(what, Mood.STRONG), *(Words(text) for text in rest)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping | list | bool) else str(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
