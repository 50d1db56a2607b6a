"""Statistics with the persona as the unit: means and bootstrap intervals over personas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over personas and its 95 % bootstrap interval; NaN where nothing was measured."""

    mean: float
    low: float
    high: float
    n: int


def interval(values: NDArray[np.float64], seed: int = 0) -> Interval:
    """Mean of one value a persona, with a percentile bootstrap interval (2,000 resamples of personas).

    Args:
        values: Shape ``(personas,)``; NaN entries (nothing measured for that persona) are left out.
        seed: Of the resampling; the same data give the same interval.
    """
    values = values[~np.isnan(values)]
    if not values.size:
        return Interval(np.nan, np.nan, np.nan, 0)
    means = resampled_means(values[:, None], seed)[:, 0]
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high), values.size)


def resampled_means(values: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """Means over resampled personas: shape ``(personas, k)`` to ``(RESAMPLES, k)``; NaN are left out."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=RESAMPLES).astype(float)
    there = ~np.isnan(values)
    weight = counts @ there
    total = counts @ np.where(there, values, 0.0)
    means: NDArray[np.float64] = np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)
    return means
