"""What a mean hides: of one assistant its middle and its worst personas, how it learns, what it forgoes, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from propersim_env.evaluation.comparison import Panel
from propersim_env.evaluation.metrics import COSTS, EpisodeMetrics
from propersim_env.evaluation.statistics import (
    FloatArray,
    Interval,
    bands,
    bootstrap,
    interval,
    iqm,
    nanmean,
    profile,
    stratified,
    worst_tenth,
)

LAST = 3
"""How many of the last days are looked at apart, and how many days in a row must be good for an assistant to have arrived."""
GOAL = 0.8
"""Share of the oracle's earnings at which an assistant has arrived."""
THRESHOLDS = np.round(np.arange(-1.0, 1.2001, 0.05), 2)
"""Utilities at which the performance profile is taken."""


@dataclass(frozen=True)
class Arrival:
    """When an assistant reaches 80 % of the oracle, over personas.

    Attributes:
        days: For each persona the day (from 1) on which it has arrived, see `arrival_day`. Infinite where the run ends before
            (censored); NaN where the oracle's earnings do not tell.
        run: Days of the run.
    """

    days: FloatArray
    run: int

    @property
    def known(self) -> int:
        """Personas of whom it can be told whether it arrived."""
        return int((~np.isnan(self.days)).sum())

    @property
    def arrived(self) -> int:
        """Personas with whom it arrived; with the others it is censored at the end of the run."""
        return int(np.isfinite(self.days).sum())

    @property
    def median(self) -> float:
        """Median day over all personas (of two middle ones the later), infinite where that persona is censored."""
        known = np.sort(self.days[~np.isnan(self.days)])
        return float(known[len(known) // 2]) if len(known) else np.nan

    def __str__(self) -> str:
        if not self.known:
            return "-"
        median = f">{self.run}" if np.isinf(self.median) else f"{self.median:.0f}"
        return f"{median} ({self.arrived} of {self.known})"


@dataclass(frozen=True)
class Standing:
    """One assistant, beyond the means of the table.

    Attributes:
        iqm: Interquartile mean of utility over personas, with a bootstrap interval over personas: for other people like these.
        iqm_seeds: The same with an interval for these very personas on other seeds: seeds are resampled within each persona
            (stratified by persona); bounds are NaN with a single seed.
        last: Utility over the last days.
        worst: Mean utility of the worst tenth of personas, and `worst_personas`, who they are.
        regret: Utility points a persona that the oracle earned and it did not; a text right in all four marks earns one.
        regret_by_day: The same by day: shape ``(days, 3)``, mean and interval.
        arrival: When it reaches 80 % of the oracle.
        profile: Share of personas above each of `THRESHOLDS` in utility: shape ``(k, 3)``, share and interval.
        costs: For each of `COSTS` what it noted, a day; n is 0 where nothing was noted (unknown, not free).
    """

    iqm: Interval
    iqm_seeds: Interval
    last: Interval
    worst: Interval
    worst_personas: tuple[str, ...]
    regret: Interval
    regret_by_day: FloatArray
    arrival: Arrival
    profile: FloatArray
    costs: dict[str, Interval]


def standing(panel: Panel, name: str) -> Standing:
    """Everything of `Standing` from an assistant's finished episodes."""
    homes = panel.measures(name)["utility"]
    utility = nanmean(homes.T)
    lost = panel.by_persona(name, _regret)
    costs = panel.by_persona(name, lambda m, oracle: nanmean(m.costs.T))
    lowest = np.argsort(utility, kind="stable")[: -(-int((~np.isnan(utility)).sum()) // 10)]  # NaN are sorted last
    return Standing(
        iqm=bootstrap(utility, iqm), iqm_seeds=stratified(homes, iqm),
        last=interval(nanmean(panel.measures(name, LAST)["utility"].T)),
        worst=bootstrap(utility, worst_tenth), worst_personas=tuple(panel.personas[i] for i in lowest),
        regret=interval(lost.sum(axis=1)), regret_by_day=bands(lost), arrival=arrival(panel, name),
        profile=profile(utility, THRESHOLDS), costs={key: interval(costs[:, i]) for i, key in enumerate(COSTS)},
    )


def _regret(m: EpisodeMetrics, oracle: EpisodeMetrics | None) -> FloatArray:
    return oracle.utility - m.utility if oracle is not None else np.full(m.days, np.nan)


def arrival(panel: Panel, name: str) -> Arrival:
    """When an assistant reaches 80 % of the oracle: of each persona its days are averaged over seeds first."""

    def both(m: EpisodeMetrics, oracle: EpisodeMetrics | None) -> FloatArray:
        return np.stack([m.utility, oracle.utility]) if oracle is not None else np.full((2, m.days), np.nan)

    curves = panel.by_persona(name, both)
    return Arrival(np.array([arrival_day(own, oracle) for own, oracle in curves]), curves.shape[-1])


def arrival_day(own: FloatArray, oracle: FloatArray) -> float:
    """The first day (from 1) on which an assistant has arrived at 80 % of the oracle.

    It is the first such that the three days from it on, and all days from it on, each together earn at least 80 % of what the
    oracle earns on them: a single lucky day does not count, nor does a level that is not kept.

    Args:
        own: What it earned on each day: shape ``(days,)``.
        oracle: What the oracle earned on each.

    Returns:
        Infinite where there is no such day, NaN where the oracle earned nothing at all.
    """
    days = len(own)
    if np.isnan(own).any() or not oracle.sum() > 0:
        return np.nan
    window = min(LAST, days)
    for day in range(days - window + 1):
        stretches = (slice(day, day + window), slice(day, None))
        if all(own[part].sum() >= GOAL * oracle[part].sum() > 0 for part in stretches):
            return day + 1.0
    return np.inf
