"""V17: whether the ranking of assistants outlives changes of the simulator: named variants, and other sizes of its numbers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.evaluation.statistics import kendall
from propersim_env.variants import settle, variants

from .episodes import Results
from .values import Size, Value, sampled, threshold

ASSISTANTS = ("oracle", "timing-oracle", "content-oracle", "schedule", "silent", "rate-matched", "random",
              "fixed-rate:per_day=12", "always")
SIZES: dict[str, dict[str, Any]] = {
    "no trait effects": {"trait_effects": 0.0},
    "trait effects doubled": {"trait_effects": 2.0},
    "fewer needs": {"parameters": {"need_rate": 0.6}},
    "more needs": {"parameters": {"need_rate": 1.5}},
    "slower recovery from fatigue": {"parameters": {"fatigue_hours": 15.0}},
    "faster habituation": {"parameters": {"habituation_gain": 0.05}},
}
SOONER: dict[str, dict[str, Any]] = {"drift-abrupt on day 1": {"drift": "abrupt", "parameters": {"drift_day": 1}}}
"""Of the small size only, whose days end before those of the named variant would begin to differ."""
IN_SMALL = (*SOONER, "events", "absences", "company", "noisy", "trait effects doubled")
"""What the small size looks at; the full one takes all."""


def _shape(size: Size) -> tuple[int, int]:
    """Personas and days; where a variant says fewer days, fewer."""
    return (8, 2) if size == "small" else (16, 14)


def world(variant: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the environment and of the user: of a named variant, of one of those above, or of the default (``""``)."""
    return settle(variant if variant in variants() else None, {**SIZES, **SOONER}.get(variant, {}))


@lru_cache(maxsize=32)
def _means(size: Size, variant: str) -> NDArray[np.float64]:
    n, days = _shape(size)
    environment, options = world(variant)
    results = Results(sampled(n), ASSISTANTS, min(days, environment["days"]), options=options,
                      feedback=environment["feedback"])
    return np.array([results.utility(name).mean() for name in ASSISTANTS])


def ranking(size: Size) -> list[Value]:
    """V17: Kendall's tau between the ranking of each variant and that of the default user."""
    reference = _means(size, "")
    n, days = _shape(size)
    what = f"{len(ASSISTANTS)} assistants by utility, {n} sampled personas x {days} days (or as the variant has it)"
    names = IN_SMALL if size == "small" else (*variants(), *SIZES)
    return [Value("V17", f"Kendall tau of the ranking, {name} against default", kendall(reference, _means(size, name)),
                  threshold("kendall"), ">=", what) for name in names]
