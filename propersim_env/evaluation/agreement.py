"""Agreement between a rater and labels: Cohen's kappa, and the same with the judged persona left out of every fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

RIDGE = 1.0
"""Penalty on standardised weights (assumption)."""


def kappa(a: Sequence[int], b: Sequence[int]) -> float:
    """Cohen's kappa of two lists of 0 and 1; 1 where both are constant and equal, nan for empty ones.

    Example:
        >>> kappa([1, 1, 0, 0], [1, 0, 0, 0])
        0.5
    """
    x, y = np.asarray(a, int), np.asarray(b, int)
    return kappa_of(np.bincount(2 * x + y, minlength=4).reshape(2, 2))


def kappa_of(table: NDArray[np.int64]) -> float:
    """The same of counts: shape (2, 2), how often the first said 0 or 1 and the second 0 or 1.

    Example:
        >>> kappa_of(np.array([[2, 0], [1, 1]]))
        0.5
    """
    total = float(table.sum())
    if not total:
        return float("nan")
    observed = float(np.trace(table)) / total
    chance = float(table.sum(axis=1) @ table.sum(axis=0)) / total**2
    return 1.0 if chance == 1.0 else round((observed - chance) / (1 - chance), 6)


def fit_weights(features: Sequence[Mapping[str, float]], labels: Sequence[int]) -> dict[str, float]:
    """Logistic regression with a ridge on standardised features, given back for the features as they are.

    Args:
        features: One mapping a case, all with the same names.
        labels: 0 or 1 a case.

    Returns:
        A weight by feature name, and ``base``.
    """
    names = list(features[0])
    raw = np.array([[f[n] for n in names] for f in features], float)
    mean, sd = raw.mean(0), raw.std(0) + 1e-9
    design = np.c_[(raw - mean) / sd, np.ones(len(raw))]
    target, weights = np.asarray(labels, float), np.zeros(len(names) + 1)
    penalty = np.r_[np.full(len(names), RIDGE), 1e-6]
    for _ in range(50):
        chance = 1 / (1 + np.exp(-design @ weights))
        hessian = design.T @ (design * (chance * (1 - chance))[:, None]) + np.diag(penalty)
        weights -= np.linalg.solve(hessian, design.T @ (chance - target) + penalty * weights)
    slopes = weights[:-1] / sd
    return {**{n: round(float(s), 4) for n, s in zip(names, slopes, strict=True)},
            "base": round(float(weights[-1] - slopes @ mean), 4)}
