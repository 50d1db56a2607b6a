"""Statistics with the persona as the unit: means and bootstrap intervals over personas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000


STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Two-sided 95 % quantiles of Student's t for 1 to 10 degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over personas and its 95 % interval; NaN where nothing was measured, bounds NaN for a single persona."""

    mean: float
    low: float
    high: float
    n: int


def interval(values: NDArray[np.float64], seed: int = 0) -> Interval:
    """Mean of one value a persona, with a percentile bootstrap interval (2,000 resamples of personas).

    Below 12 personas that interval is too short (it covers 83 % of normal samples of 5), and Student's t is used instead.

    Args:
        values: Shape ``(personas,)``; NaN entries (nothing measured for that persona) are left out.
        seed: Of the resampling; the same data give the same interval.
    """
    values = values[~np.isnan(values)]
    if not values.size:
        return Interval(np.nan, np.nan, np.nan, 0)
    mean, n = float(values.mean()), values.size
    if n == 1:
        return Interval(mean, np.nan, np.nan, 1)
    if n - 1 <= len(STUDENT):
        half = STUDENT[n - 2] * float(values.std(ddof=1)) / n**0.5
        return Interval(mean, mean - half, mean + half, n)
    means = resampled_means(values[:, None], seed)[:, 0]
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(mean, float(low), float(high), n)


def resampled_means(values: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """Means over resampled personas: shape ``(personas, k)`` to ``(RESAMPLES, k)``; NaN are left out."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=RESAMPLES).astype(float)
    there = ~np.isnan(values)
    weight = counts @ there
    total = counts @ np.where(there, values, 0.0)
    means: NDArray[np.float64] = np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)
    return means


def ratio(a: Any, b: Any) -> Any:
    """Quotient a / b, NaN where b is 0 or less; numbers or arrays."""
    return np.divide(a, b, out=np.full(np.shape(b), np.nan), where=np.asarray(b) > 0)


def nanmean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the first axis without NaN entries, NaN where there are no others; shape ``(n, …)`` to ``(…)``."""
    there = ~np.isnan(values)
    mean: NDArray[np.float64] = ratio(np.where(there, values, 0.0).sum(axis=0), there.sum(axis=0).astype(float))
    return mean


def bands(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shape (personas, days) to (days, 3): mean and 95 % interval over personas."""
    means = resampled_means(values)
    empty = np.isnan(means).all(axis=0)
    low, high = np.nanpercentile(np.where(empty, 0.0, means), [2.5, 97.5], axis=0)
    return np.stack([nanmean(values), np.where(empty, np.nan, low), np.where(empty, np.nan, high)], axis=1)


def kendall(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Kendall's tau-b of two samples, -1 to 1; NaN where either is constant or shorter than two."""
    i, j = np.triu_indices(len(a), 1)
    first, second = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
    scale = np.sqrt((first != 0).sum() * (second != 0).sum())
    return float((first * second).sum() / scale) if scale else float("nan")
