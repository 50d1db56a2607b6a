"""V17: whether the ranking of assistants outlives changes of the simulator.

Runs over the variants that exist as options of the simulated user; drift, guests, absences, sparse feedback and a second
resident are not options yet and are not covered.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .episodes import Results
from .values import Size, Value, sampled, threshold

ASSISTANTS = ("oracle", "timing-oracle", "content-oracle", "schedule", "silent", "rate-matched", "random",
              "fixed-rate:per_day=12", "always")
VARIANTS: dict[str, dict[str, Any]] = {
    "noiseless": {"noise": 0.0},
    "noise doubled": {"noise": 2.0},
    "follow-through": {"follow_through": True},
    "no trait effects": {"trait_effects": 0.0},
    "trait effects doubled": {"trait_effects": 2.0},
    "fewer needs": {"parameters": {"need_rate": 0.6}},
    "more needs": {"parameters": {"need_rate": 1.5}},
    "slower recovery from fatigue": {"parameters": {"fatigue_hours": 15.0}},
    "faster habituation": {"parameters": {"habituation_gain": 0.05}},
}


def kendall(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Kendall's tau-b of two samples."""
    i, j = np.triu_indices(len(a), 1)
    first, second = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
    scale = np.sqrt((first != 0).sum() * (second != 0).sum())
    return float((first * second).sum() / scale) if scale else float("nan")


@lru_cache(maxsize=32)
def _means(size: Size, variant: str) -> NDArray[np.float64]:
    n, days = (8, 2) if size == "small" else (16, 5)
    results = Results(sampled(n), ASSISTANTS, days, options=VARIANTS.get(variant, {}))
    return np.array([results.utility(name).mean() for name in ASSISTANTS])


def ranking(size: Size) -> list[Value]:
    """V17: Kendall's tau between the ranking of each variant and that of the default user."""
    reference = _means(size, "")
    n, days = (8, 2) if size == "small" else (16, 5)
    what = f"{len(ASSISTANTS)} assistants by utility, {n} sampled personas x {days} days"
    names = [name for name in VARIANTS if size == "full" or name in ("noiseless", "noise doubled", "follow-through",
                                                                     "trait effects doubled")]
    return [Value("V17", f"Kendall tau of the ranking, {name} against default", kendall(reference, _means(size, name)),
                  threshold("kendall"), ">=", what) for name in names]
