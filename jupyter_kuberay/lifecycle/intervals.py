"""How sure a mean is: intervals by bootstrap, paired where two candidates were measured on the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 1000
CONFIDENCE = 0.95


def resampled_means(values: NDArray[np.float64], resamples: int = RESAMPLES, seed: int = 7) -> NDArray[np.float64]:
    """Means of resamples of rows, drawn with replacement (Efron 1979).

    All columns of a resample have the same rows. So the difference of two columns is that of a paired bootstrap.

    Parameters
    ----------
    values
        Rows by columns. NaN is left out of a column's mean.
    seed
        The same seed draws the same rows again.

    Returns
    -------
    Resamples by columns; NaN where a resample has no number in a column.
    """
    import numpy as np

    rows = len(values)
    chance = np.random.default_rng(seed)
    there = (~np.isnan(values)).astype(float)
    numbers = np.where(there, values, 0.0)
    found = np.full((resamples, values.shape[1]), np.nan)
    for at in range(resamples if rows else 0):
        # How often each row was drawn: a product with that is much faster than to gather the rows.
        drawn = np.bincount(chance.integers(0, rows, rows), minlength=rows).astype(float)
        counts = drawn @ there
        np.divide(drawn @ numbers, counts, out=found[at], where=counts > 0)
    return found


def interval(means: NDArray[np.float64], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The percentiles between which ``confidence`` of the resampled means lie; None where there are none."""
    import numpy as np

    found = means[~np.isnan(means)]
    if not len(found):
        return None
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return round(float(low), 4), round(float(high), 4)
