"""V15 and V16: the order of assistants that know more and less, and the room between them. And the noise floor."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from propersim_env.evaluation.statistics import detectable_in_errors, resampled_means

from .episodes import Results
from .values import Size, Value, sampled, threshold

HALVES = ("timing-oracle", "content-oracle")
UNTAUGHT = ("schedule", "fixed-rate", "rate-matched", "random")
STEPS = (*(("oracle", half) for half in HALVES), *((half, "rate-matched") for half in HALVES),
         ("rate-matched", "random"), ("random", "always"))


@lru_cache(maxsize=2)
def compared(size: Size) -> Results:
    """Episodes of all assistants that V15 and V16 compare."""
    n, days = (24, 4) if size == "small" else (64, 14)
    return Results(sampled(n), ["oracle", *HALVES, *UNTAUGHT, "always"], days)


def _what(results: Results) -> str:
    days = int(results.each("oracle", lambda m: float(m.days))[0, 0])
    return f"{len(results.personas)} sampled personas x {days} days"


def _mean_utility(results: Results, assistant: str) -> float:
    return float(np.mean(results.utility(assistant)))


def order(size: Size) -> list[Value]:
    """V15: each of a pair of assistants against the other, paired by persona."""
    results = compared(size)
    values = []
    for better, worse in STEPS:
        gap: NDArray[np.float64] = results.utility(better) - results.utility(worse)
        low = float(np.percentile(resampled_means(gap[:, None])[:, 0], 2.5))
        values.append(Value("V15", f"{better} over {worse}: lower end of the 95 % interval of the difference in utility", low,
                            0.0, ">", _what(results)))
    return values


def headroom(size: Size) -> list[Value]:
    """V16: utility of what learns nothing of the person, and of half an oracle; silence is 0, the oracle 1."""
    results = compared(size)
    utility = {name: _mean_utility(results, name) for name in (*UNTAUGHT, *HALVES)}
    best = max(UNTAUGHT, key=utility.__getitem__)
    values = [Value("V16", f"utility of the best that learns nothing of the person ({best})", utility[best],
                    threshold("untaught"), "<=", _what(results))]
    return values + [Value("V16", f"utility of the {half}", utility[half], threshold("half_oracle"), "<=", _what(results))
                     for half in HALVES]


def noise_floor(size: Size) -> list[Value]:
    """How the variance of utility splits into persona, seed and rating noise, and what N personas can show.

    The utility of the content-oracle is measured on personas x seeds x streams of rating noise; a nested analysis of variance
    gives the components. Utility is a share of the oracle's on the same persona and seed.
    """
    n, seeds, streams, days = (12, 2, 2, 3) if size == "small" else (32, 3, 3, 7)
    table, other = [], []
    for noise in range(streams):
        results = Results(sampled(n), ["oracle", "content-oracle", "rate-matched"], days, range(seeds),
                          {"parameters": {"noise_stream": noise}})
        oracle = results.earned("oracle")
        table.append(results.earned("content-oracle") / oracle)
        other.append(results.earned("rate-matched") / oracle)
    cells = np.array(table)  # (noise, seed, persona)
    within = cells.var(axis=0, ddof=1).mean()
    seed = max(0.0, cells.mean(axis=0).var(axis=0, ddof=1).mean() - within / streams)
    means = cells.mean(axis=(0, 1))
    persona = max(0.0, means.var(ddof=1) - seed / seeds - within / streams / seeds)
    total = within + seed + persona
    what = f"content-oracle, {n} sampled personas x {seeds} seeds x {streams} streams of noise x {days} days"
    values = [Value("noise floor", f"share of the variance of utility that is {name}", float(part / total), None, "equal", what)
              for name, part in (("persona", persona), ("seed (days and needs)", seed), ("rating noise", within))]
    values.append(Value("noise floor", "sd of utility between personas, one seed each", float(np.sqrt(total)), None, "equal",
                        what))
    spread = (cells - np.array(other))[0, 0].std(ddof=1)
    what = f"content-oracle against rate-matched, paired by persona, one seed, {days} days; power 80 %, level 5 %"
    return values + [Value("noise floor", f"smallest difference in utility that {size_} personas can show",
                           float(detectable_in_errors(size_) * spread / np.sqrt(size_)), None, "equal", what)
                     for size_ in (8, 32, 128)]
