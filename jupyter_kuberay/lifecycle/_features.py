"""What of a text can be compared as a number: its length, and how much of it is unlike what a model was trained on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_WORD = re.compile(r"\w+")
_KNOWN = 20_000  # words
_TRIGRAM = 3


def known_words(texts: Iterable[str]) -> frozenset[str]:
    """The words that training data have, the most usual ones."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(words(text))
    return frozenset(word for word, _ in counts.most_common(_KNOWN))


def words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def columns(rows: pd.DataFrame, known: frozenset[str]) -> pd.DataFrame:
    """Numbers by feature, one row each.

    Without texts (a log that holds none) only the lengths that were logged are there.
    """
    import pandas as pd

    texts = rows["document"].fillna("") if "document" in rows else pd.Series("", index=rows.index)
    whole = rows[texts != ""]
    if not len(whole):
        return rows[["document_words", "summary_words"]].astype(float)
    told = whole["summary"].map(str)  # an answer may be a number, or something with parts
    return pd.DataFrame([features(document, summary, known) for document, summary in zip(whole["document"], told, strict=True)])


def features(document: str, summary: str, known: frozenset[str]) -> dict[str, float]:
    """Of one request and its answer; shares are from 0 to 1.

    ``document_words``, ``summary_words``: their numbers. ``unknown_words``: the share of the document's words that training data do
    not have. ``unusual_letters``: the share of its characters outside ASCII. ``digits``: likewise. ``copied``: the share of the
    summary's words that the document has. ``repeated``: the share of the summary's trigrams that it has more than once.
    """
    read, told = words(document), words(summary)
    there = set(read)
    grams = [tuple(told[at : at + _TRIGRAM]) for at in range(len(told) - _TRIGRAM + 1)]
    return {
        "document_words": float(len(document.split())),
        "summary_words": float(len(summary.split())),
        "unknown_words": _share(sum(word not in known for word in read), len(read)),
        "unusual_letters": _share(len(document) - len(document.encode("ascii", "ignore")), len(document)),
        "digits": _share(sum(map(str.isdigit, document)), len(document)),
        "copied": _share(sum(word in there for word in told), len(told)),
        "repeated": _share(len(grams) - len(set(grams)), len(grams)),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
