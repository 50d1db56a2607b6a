"""Small logistic regressions with a prior: weights start where others ended and move as far as evidence takes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def logit(p: Floats) -> Floats:
    """Log-odds of shares, which are kept within .01 and .99.

    Example:
        >>> float(logit(np.array(0.5)))
        0.0
    """
    p = np.clip(p, 0.01, 0.99)
    return np.asarray(np.log(p / (1 - p)))


def chance(log_odds: Floats) -> Floats:
    """The probability of log-odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -30, 30))))


def fit(features: Floats, given: Floats, counts: Floats, start: Floats, trust: float, signs: Floats | None = None) -> Floats:
    """Weights of a logistic regression, drawn towards `start`.

    Args:
        features: Shape (n, k).
        given: 0 or 1, shape (n,).
        counts: How much each row counts, shape (n,).
        start: Weights that are right without evidence, shape (k,).
        trust: In them: ridge penalty on the difference.
        signs: 1 or -1 where a weight may not have the other sign, 0 where it is free; shape (k,).
    """
    weights, signs = start.copy(), np.zeros(len(start)) if signs is None else signs
    for _ in range(20):  # Newton's method; a step below 1e-6 ends it
        p = chance(features @ weights)
        slope = features.T @ (counts * (p - given)) + trust * (weights - start)
        curve = (features * (counts * p * (1 - p))[:, None]).T @ features + trust * np.eye(len(start))
        free = (signs == 0) | (weights != 0) | (slope * signs < 0)  # what would cross zero stays there
        step = np.zeros(len(start))
        step[free] = np.linalg.solve(curve[np.ix_(free, free)], slope[free])
        after = weights - np.clip(step, -2, 2)
        after[after * signs < 0] = 0.0
        moved, weights = np.abs(after - weights).max(), after
        if moved < 1e-6:
            break
    return weights
