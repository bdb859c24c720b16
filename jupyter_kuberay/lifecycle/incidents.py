"""Incident reports with summaries: the data set of the example notebooks, made by a seeded generator.

A report has a first sentence that says little, its facts in changing order and
wording, and distractors: a suspicion that proved wrong, an earlier incident,
other services, other times. The summary states cause, service, place, symptom,
duration, remedy and damage in words of its own. So a model has to find which
of several candidates is meant; copying the first sentence gives ROUGE-L 0.16.

Only `random.Random.random` is used, the one method whose sequence Python
guarantees across versions: the same seed gives the same bytes, anywhere.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import TypeVar

from jupyter_kuberay.lifecycle import _phrases as words

COUNT = 4000
SEED = 2026

T = TypeVar("T")


def reports(count: int = COUNT, seed: int = SEED) -> Iterator[dict[str, str]]:
    """Make ``count`` reports, each ``{"document": …, "summary": …}``; no two documents are equal."""
    rng = Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        report = _report(rng)
        if report["document"] not in seen:
            seen.add(report["document"])
            yield report


def to_bytes(count: int = COUNT, seed: int = SEED) -> bytes:
    """The reports as JSON Lines in UTF-8."""
    return "".join(json.dumps(report, ensure_ascii=False) + "\n" for report in reports(count, seed)).encode()


def write(path: str | Path, count: int = COUNT, seed: int = SEED) -> int:
    """Write the reports as gzip-compressed JSON Lines to ``path``; return the file's size in bytes."""
    # Without name and time in its header, the file depends on nothing but its content.
    return Path(path).write_bytes(gzip.compress(to_bytes(count, seed), compresslevel=9, mtime=0))


def _report(rng: Random) -> dict[str, str]:
    service, other_service = _two(rng, words.SERVICES)
    place, other_place = _two(rng, words.PLACES)
    cause, other_cause = _two(rng, words.CAUSES)
    symptom = _one(rng, words.SYMPTOMS)
    remedy = _one(rng, cause.remedies)
    duration, other_duration = _two(rng, words.DURATIONS)
    damage = _one(rng, words.DAMAGES)
    facts = {
        "service": service,
        "place": place,
        "time": f"{int(rng.random() * 24):02d}:{int(rng.random() * 60):02d}",
        "day": _one(rng, words.DAYS),
        "team": _one(rng, words.TEAMS),
        "minutes": str(2 + int(rng.random() * 8)),
        "duration": _one(rng, duration.told),
        "other_service": other_service,
        "other_place": other_place,
        "other_cause": other_cause.named,
        "other_duration": _one(rng, other_duration.told),
    }
    distractors = _some(rng, words.DISTRACTORS, 1 if rng.random() < 0.8 else 0)
    middle = _shuffled(rng, [_one(rng, cause.told), _one(rng, damage.told), *distractors])
    told = [
        _one(rng, words.LEADS),
        _one(rng, symptom.told),
        *middle,
        _one(rng, remedy.told),
        _one(rng, words.ENDINGS),
        *([_one(rng, words.AFTERMATH)] if rng.random() < 0.2 else []),
    ]
    summary = f"{cause.named} left {{service}} in {{place}} {symptom.named} for {duration.named} until {remedy.named}. {damage.named}"
    return {"document": " ".join(told).format(**facts), "summary": _capital(summary.format(**facts))}


def _one(rng: Random, options: Sequence[T]) -> T:
    return options[int(rng.random() * len(options))]


def _two(rng: Random, options: Sequence[T]) -> tuple[T, T]:
    first, second = _some(rng, options, 2)
    return first, second


def _some(rng: Random, options: Sequence[T], count: int) -> list[T]:
    return _shuffled(rng, options)[:count]


def _shuffled(rng: Random, options: Sequence[T]) -> list[T]:
    order = [(rng.random(), index) for index in range(len(options))]
    return [options[index] for _, index in sorted(order)]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
