"""Statistics with the persona as the unit: one value a persona in, numbers with their uncertainty out.

Nothing here knows of assistants or logs; `propersim_env.evaluation.comparison` applies it to them. Student's t is used for
paired differences because its interval, its p-value and its power always agree, and because it works for few personas, where
bootstrap intervals are too short and sign flips cannot find anything (with five, p is at least 2 / 2^5 = .06). Its quantiles
are computed here, so that a table needs no more than numpy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
RESAMPLES = 2000
FEW = 12
"""Below so many personas a percentile bootstrap interval is too short (it covers 83 % of normal samples of 5)."""
LEVEL, POWER = 0.05, 0.80
"""Two-sided level of tests and intervals; share of repetitions in which the minimum detectable difference is found."""
TRIM = 0.25
"""Share that the interquartile mean leaves out at either end (Agarwal et al. 2021, arXiv:2108.13264)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value over personas and its 95 % interval; NaN where nothing was measured, bounds NaN for a single persona."""

    mean: float
    low: float
    high: float
    n: int


def interval(values: FloatArray, seed: int = 0) -> Interval:
    """Mean of one value a persona, with a percentile bootstrap interval (2,000 resamples of personas).

    Below 12 personas that interval is too short, and Student's t is used instead.

    Args:
        values: Shape ``(personas,)``; NaN entries (nothing measured for that persona) are left out.
        seed: Of the resampling; the same data give the same interval.
    """
    values = values[~np.isnan(values)]
    if values.size < FEW:
        return student_interval(values)
    low, high = np.percentile(resampled_means(values[:, None], seed)[:, 0], [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high), values.size)


def resampled_means(values: FloatArray, seed: int = 0) -> FloatArray:
    """Means over resampled personas: shape ``(personas, k)`` to ``(RESAMPLES, k)``; NaN are left out."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=RESAMPLES).astype(float)
    there = ~np.isnan(values)
    weight = counts @ there
    total = counts @ np.where(there, values, 0.0)
    means: FloatArray = np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)
    return means


def bootstrap(values: FloatArray, statistic: Callable[[FloatArray], FloatArray], seed: int = 0) -> Interval:
    """Any statistic of one value a persona, with a percentile bootstrap interval over personas.

    Args:
        values: Shape ``(personas,)``; NaN entries are left out.
        statistic: From shape ``(…, personas)`` to ``(…)``.
        seed: Of the resampling.
    """
    values = values[~np.isnan(values)]
    if not values.size:
        return Interval(np.nan, np.nan, np.nan, 0)
    value = float(statistic(values))
    if values.size == 1:
        return Interval(value, np.nan, np.nan, 1)
    drawn = values[np.random.default_rng(seed).integers(values.size, size=(RESAMPLES, values.size))]
    low, high = np.percentile(statistic(drawn), [2.5, 97.5])
    return Interval(value, float(low), float(high), values.size)


def stratified(values: FloatArray, statistic: Callable[[FloatArray], FloatArray], seed: int = 0) -> Interval:
    """A statistic of personas' means, with an interval for these very personas: seeds are resampled within each persona.

    Args:
        values: Shape ``(personas, seeds)``; NaN entries are left out, and personas without any other.
        statistic: From shape ``(…, personas)`` to ``(…)``.
        seed: Of the resampling.

    Returns:
        The statistic; bounds are NaN where no persona has two seeds.
    """
    values = values[~np.isnan(values).all(axis=1)]
    if not len(values):
        return Interval(np.nan, np.nan, np.nan, 0)
    value = float(statistic(nanmean(values.T)))
    known = (~np.isnan(values)).sum(axis=1)
    if known.max() < 2:
        return Interval(value, np.nan, np.nan, len(values))
    packed = np.take_along_axis(values, np.argsort(np.isnan(values), axis=1, kind="stable"), axis=1)  # NaN go last
    rng = np.random.default_rng(seed)
    means = np.empty((RESAMPLES, len(values)))
    for i, (row, n) in enumerate(zip(packed, known, strict=True)):
        means[:, i] = row[rng.integers(n, size=(RESAMPLES, n))].mean(axis=1)
    low, high = np.percentile(statistic(means), [2.5, 97.5])
    return Interval(value, float(low), float(high), len(values))


def iqm(values: FloatArray) -> FloatArray:
    """Interquartile mean over the last axis: without the lowest and the highest quarter (rounded down to whole personas)."""
    n = values.shape[-1]
    cut = int(TRIM * n)
    mean: FloatArray = np.sort(values, axis=-1)[..., cut : n - cut].mean(axis=-1)
    return mean


def worst_tenth(values: FloatArray) -> FloatArray:
    """Mean over the last axis of the lowest tenth (rounded up: at least one persona)."""
    lowest: FloatArray = np.sort(values, axis=-1)[..., : -(-values.shape[-1] // 10)].mean(axis=-1)
    return lowest


def profile(values: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Performance profile: the share of personas above each threshold, with a 95 % bootstrap interval over personas.

    Args:
        values: Shape ``(personas,)``; NaN entries are left out.
        thresholds: Shape ``(k,)``.

    Returns:
        Shape ``(k, 3)``: share, low, high.
    """
    values = values[~np.isnan(values)]
    if not values.size:
        return np.full((len(thresholds), 3), np.nan)
    shares = bands((values[:, None] > thresholds).astype(float))
    return np.clip(shares, 0.0, 1.0)


def share_better(differences: FloatArray) -> FloatArray:
    """Probability of improvement over the last axis: the share of personas with a positive difference, ties counted half."""
    share: FloatArray = ((np.sign(differences) + 1) / 2).mean(axis=-1)
    return share


# --- Student's t: the paired test, its interval, and what it can find --------------------------------------------------------


def student_p(t: float, freedom: int) -> float:
    """Two-sided p-value of Student's t with a whole number of degrees of freedom, from its finite series.

    Abramowitz & Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 26.7.4.
    """
    angle = math.atan2(abs(t), math.sqrt(freedom))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = freedom % 2
    term, total = 1.0, 0.0
    for k in range(freedom // 2):
        total += term
        term *= square * ((2 * k + 2) / (2 * k + 3) if odd else (2 * k + 1) / (2 * k + 2))
    inside = 2 / math.pi * (angle + sine * math.cos(angle) * total) if odd else sine * total
    return min(1.0, max(0.0, 1 - inside))


@lru_cache(maxsize=4096)
def student_quantile(level: float, freedom: int) -> float:
    """The t beyond which, on both sides together, a share `level` lies; e.g. 2.776 for .05 and 4 degrees of freedom."""
    low, high = 0.0, 1.0
    while student_p(high, freedom) > level:
        low, high = high, 2 * high
    return _bisect(lambda t: level - student_p(t, freedom), low, high)


def _bisect(rising: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


@lru_cache(maxsize=4096)
def detectable_in_errors(n: int, level: float = LEVEL, power: float = POWER) -> float:
    """The true difference, in standard errors of the mean, that a paired t test of `n` personas finds with this power.

    The power of the test at a difference d is the mean, over the distribution of the estimated standard deviation s, of
    P(Z > t s - d) + P(Z < -t s - d); it is integrated numerically, and solved for d.
    """
    freedom = n - 1
    limit = student_quantile(level, freedom)
    nodes, weights = np.polynomial.legendre.leggauss(160)
    reach = 9 / math.sqrt(2 * freedom)
    low, high = max(0.0, 1 - reach), 1 + reach
    s = (high - low) / 2 * nodes + (high + low) / 2
    density = weights * np.exp((freedom - 1) * np.log(s) - freedom * (s**2 - 1) / 2)
    density /= density.sum()

    def found(difference: float) -> float:
        root = math.sqrt(2)
        tails = [(math.erfc((limit * x - difference) / root) + math.erfc((limit * x + difference) / root)) / 2 for x in s]
        return float(density @ np.array(tails)) - power

    return _bisect(found, 0.0, limit + 10.0 * max(1.0, limit))


def detectable(differences: FloatArray) -> float:
    """Minimum detectable difference: the smallest true mean difference that so many personas show in 80 of 100 repetitions.

    Two-sided 5 %, for a single comparison (not corrected for several), with the spread of the differences as it was found. It
    says what a run could have shown; it is no evidence for or against the difference that it did show.

    Args:
        differences: Shape ``(personas,)``, paired; NaN entries are left out. NaN for fewer than two personas.
    """
    differences = differences[~np.isnan(differences)]
    n = differences.size
    return np.nan if n < 2 else detectable_in_errors(n) * float(differences.std(ddof=1)) / math.sqrt(n)


def student_interval(values: FloatArray, level: float = LEVEL) -> Interval:
    """Mean of one value a persona, with Student's t interval at a level: it holds 0 where `paired_p` is above the level."""
    values = values[~np.isnan(values)]
    if not values.size:
        return Interval(np.nan, np.nan, np.nan, 0)
    mean, n = float(values.mean()), values.size
    if n == 1:
        return Interval(mean, np.nan, np.nan, 1)
    half = student_quantile(level, n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def paired_p(differences: FloatArray) -> float:
    """Two-sided p-value of the paired t test that the mean difference is 0.

    Args:
        differences: Shape ``(personas,)``; NaN entries are left out. NaN for fewer than two personas; 1 where all are 0.
    """
    differences = differences[~np.isnan(differences)]
    n = differences.size
    if n < 2:
        return np.nan
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return student_p(mean / error, n - 1)


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for their number after Holm (1979): the chance of any false finding among them stays below the level.

    Args:
        p: In any order; NaN (no test was possible) stays NaN and is not counted.
    """
    known = sorted((value, i) for i, value in enumerate(p) if not math.isnan(value))
    adjusted, highest = [math.nan] * len(p), 0.0
    for place, (value, i) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - place) * value))
        adjusted[i] = highest
    return adjusted


def holm_levels(p: Sequence[float], level: float = LEVEL) -> list[float]:
    """The level at which Holm's method decided about each: an interval at this level holds 0 exactly where there is no finding.

    Args:
        p: As for `holm`.
        level: Of all together.
    """
    known = sorted((value, i) for i, value in enumerate(p) if not math.isnan(value))
    levels = [level] * len(p)
    failed = 0.0
    for place, (value, i) in enumerate(known):
        step = level / (len(known) - place)
        if not failed and value >= step:
            failed = step  # from here on nothing is a finding
        levels[i] = failed or step
    return levels


# --- arrays with gaps ------------------------------------------------------------------------------------------------


def ratio(a: Any, b: Any) -> Any:
    """Quotient a / b, NaN where b is 0 or less; numbers or arrays."""
    return np.divide(a, b, out=np.full(np.shape(b), np.nan), where=np.asarray(b) > 0)


def nanmean(values: FloatArray) -> FloatArray:
    """Mean over the first axis without NaN entries, NaN where there are no others; shape ``(n, …)`` to ``(…)``."""
    there = ~np.isnan(values)
    mean: FloatArray = ratio(np.where(there, values, 0.0).sum(axis=0), there.sum(axis=0).astype(float))
    return mean


def bands(values: FloatArray) -> FloatArray:
    """Shape (personas, k), for instance k days, to (k, 3): mean and 95 % interval over personas, each as `interval` has it."""
    if len(values) < FEW:
        return np.array([[one.mean, one.low, one.high] for one in map(student_interval, values.T)])
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
