"""What a row has to be: a schema of pandera's, checked batch by batch, and the reasons for which rows are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.lifecycle._run import LifecycleError

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa

LONGEST = 100_000  # characters of a document
_REPLACED = "\N{REPLACEMENT CHARACTER}"  # what a decoder leaves of what it cannot read
_MUCH = 0.05  # share of a text


def schema(longest: int = LONGEST) -> pa.DataFrameSchema:
    """The checks of each row: texts that are there, not too long, and readable. Give another to `data.prepare` to have others.

    A check's name is what is counted and said, so it reads as the reason for which a row is left out.
    """
    import pandera.pandas as pa

    def short(texts: pd.Series) -> pd.Series:
        return texts.str.len() <= longest

    def readable(texts: pd.Series) -> pd.Series:
        return texts.str.count(_REPLACED) <= _MUCH * texts.str.len()

    def there(texts: pd.Series) -> pd.Series:
        return texts != ""

    checks = {
        "empty": pa.Check(there, name="empty"),
        "too long": pa.Check(short, name="too long"),
        "unreadable": pa.Check(readable, name="unreadable"),
    }
    return pa.DataFrameSchema({column: pa.Column(checks=list(checks.values())) for column in ("document", "summary")})


def problems(batch: pd.DataFrame, wanted: pa.DataFrameSchema) -> pd.Series:
    """For each row the name of the first check that it fails, or "".

    Raises
    ------
    LifecycleError
        The batch as a whole is not what the schema describes, such as by a column that is missing.
    """
    import pandas as pd
    import pandera.errors

    found = pd.Series("", index=batch.index, dtype=object)
    try:
        wanted.validate(batch, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        whole = cases[cases["index"].isna()]
        if len(whole):
            told = "; ".join(sorted({f"{row.column or 'the table'}: {row.check}" for row in whole.itertuples()}))
            raise LifecycleError(f"The rows are not what the schema describes: {told}.", "Change the schema, or the data.") from None
        # The reason that the schema names first counts, so that each row is counted once.
        for row in reversed(list(cases[["index", "check"]].itertuples(index=False))):
            found[row.index] = str(row.check)
    return found


def judge(left_out: Mapping[str, Any], rows: int, most: float) -> None:
    """`LifecycleError` where more than the share ``most`` of all rows fails checks: then something is wrong with the source."""
    failing = {reason: count for reason, count in left_out.items() if reason not in ("repeated", "of_which_differ") and count}
    if rows and sum(failing.values()) > most * rows:
        told = ", ".join(f"{count} {reason}" for reason, count in failing.items())
        share = sum(failing.values()) / rows
        raise LifecycleError(
            f"{share:.0%} of {rows:,} rows fail the checks ({told}); at most {most:.0%} may.",
            "See data/left_out, and mend the source or allow more with most_left_out=.",
        )
