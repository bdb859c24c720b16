"""What can be measured of one summary: ROUGE, length, novelty, repetition, and whatever a function that is given measures."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jupyter_kuberay.lifecycle._run import LifecycleError

Measure = Callable[[str, str, str], float]  # of a document, its right summary, and the summary that was told

ROUGE = ("rouge1", "rouge2", "rougeL")
METRICS = (*ROUGE, "words", "length_ratio", "novelty", "repetition")
MEANING = {
    "rouge1": "words that both have",
    "rouge2": "pairs of words that both have",
    "rougeL": "longest common sequence of words",
    "words": "length in words",
    "length_ratio": "length, as a multiple of the right summary's",
    "novelty": "share of pairs of words that the document has not",
    "repetition": "share of triples of words that it has said before",
}
_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_IN_PAIRS, _IN_TRIPLES = 2, 3  # as in See et al. 2017 (novel n-grams) and Paulus et al. 2017 (trigrams that come again)


def measured(document: str, summary: str, told: str, more: Mapping[str, Measure] | None = None) -> dict[str, float]:
    """Every metric of one summary, those of ``more`` last; NaN where one means nothing, such as the novelty of a single word.

    Raises
    ------
    LifecycleError
        A function of ``more`` failed, or gave no number.
    """
    found = rouge(summary, told)
    found |= {"words": float(len(told.split())), "length_ratio": length_ratio(summary, told)}
    found |= {"novelty": novelty(document, told), "repetition": repetition(told)}
    return found | {name: _own(name, measure, document, summary, told) for name, measure in (more or {}).items()}


def rouge(right: str, text: str) -> dict[str, float]:
    """ROUGE-1, -2 and -L of one summary: F-measures on stemmed words (Lin 2004, by the package rouge-score)."""
    return {name: float(found.fmeasure) for name, found in _scorer().score(right, text).items()}


def length_ratio(right: str, text: str) -> float:
    """Words, as a multiple of the right summary's."""
    return len(text.split()) / len(right.split()) if right.split() else math.nan


def novelty(document: str, text: str, n: int = _IN_PAIRS) -> float:
    """The share of a text's n-grams that its document has not: 0 is copied, 1 is all its own. Case does not count."""
    found = _grams(text, n)
    there = set(_grams(document, n))
    return sum(gram not in there for gram in found) / len(found) if found else math.nan


def repetition(text: str, n: int = _IN_TRIPLES) -> float:
    """The share of a text's n-grams that it has said before: 0 where nothing comes again."""
    found = _grams(text, n)
    return 1 - len(set(found)) / len(found) if found else 0.0


def lead1(document: str) -> str:
    """The first sentence: the summary that costs nothing."""
    return _SENTENCE_END.split(document.strip(), maxsplit=1)[0]


def mean(values: Iterable[float]) -> float:
    """Of those that are numbers; 0.0 of none."""
    found: Sequence[float] = [value for value in values if not math.isnan(value)]
    return round(float(sum(found) / len(found)), 4) if found else 0.0


def checked(more: Mapping[str, Measure] | None) -> dict[str, Measure]:
    """Metrics of a person's own, or `LifecycleError` where one has a name that is taken, or is no function."""
    found = dict(more or {})
    for name, measure in found.items():
        if name in METRICS or not name.isidentifier():
            why = "is one of the built-in ones" if name in METRICS else "is no name"
            raise LifecycleError(f"A metric cannot be called {name!r}: that {why}.", "Give it another name, of letters, digits and _.")
        function: object = measure
        if not callable(function):
            hint = f'Give a function: metrics={{"{name}": lambda document, summary, told: …}}.'
            raise LifecycleError(f"The metric {name!r} is {type(function).__name__}, not a function.", hint)
    return found


def _own(name: str, measure: Measure, document: str, summary: str, told: str) -> float:
    about = f"It was called with a document that begins with {document[:60]!r}, its summary, and what the model told."
    try:
        value: Any = measure(document, summary, told)
    except Exception as error:
        raise LifecycleError(f"The metric {name!r} failed: {type(error).__name__}: {error}.", about) from error
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError):
        raise LifecycleError(f"The metric {name!r} gave {value!r}, which is no number.", about) from None


def _grams(text: str, n: int) -> list[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return list(zip(*(words[at:] for at in range(n)), strict=False))


def _scorer() -> Any:
    global _SCORER
    if _SCORER is None:
        from rouge_score.rouge_scorer import RougeScorer

        _SCORER = RougeScorer(list(ROUGE), use_stemmer=True)
    return _SCORER


_SCORER: Any = None
