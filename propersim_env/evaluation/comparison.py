"""Assistants against each other: paired by persona and seed, corrected for how many pairs are looked at, ties called ties.

All assistants of a run meet the same days, needs and noise with a persona and seed (common random numbers). A difference is
taken in each such home that both have lived in, averaged over the seeds of a persona, and only then over personas: the persona
is the unit. The arithmetic is in `propersim_env.evaluation.statistics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from propersim_env.evaluation.metrics import ORACLE, EpisodeMetrics, values
from propersim_env.evaluation.statistics import (
    LEVEL,
    POWER,
    FloatArray,
    Interval,
    bootstrap,
    detectable,
    holm,
    holm_levels,
    iqm,
    nanmean,
    paired_p,
    share_better,
    student_interval,
)
from propersim_env.names import near_matches

HIGHER_IS_BETTER = {"utility": True, "delivered": True, "moment": True, "score": True, "missed": False, "false_alarms": False}
"""Measures by which assistants can be compared; of recommendations a day neither more nor fewer is better."""


@dataclass(frozen=True)
class Panel:
    """Finished episodes of assistants, each with its oracle's.

    Attributes:
        episodes: The episodes of each assistant.
        personas: Every persona, sorted.
        seeds: Every seed, sorted.
    """

    episodes: dict[str, list[EpisodeMetrics]]
    personas: tuple[str, ...]
    seeds: tuple[int, ...]

    @staticmethod
    def of(metrics: Iterable[EpisodeMetrics], order: Sequence[str] = (), personas: Sequence[str] = ()) -> Panel:
        """Sort episodes by assistant.

        Args:
            metrics: Of any assistants, personas and seeds.
            order: Names of assistants that are to come first, in this order.
            personas: Order of the personas; alphabetical where none is given.
        """
        found: dict[str, list[EpisodeMetrics]] = {name: [] for name in order}
        for m in metrics:
            found.setdefault(m.assistant, []).append(m)
        return Panel.named({name: own for name, own in found.items() if own}, personas)

    @staticmethod
    def named(episodes: dict[str, list[EpisodeMetrics]], personas: Sequence[str] = ()) -> Panel:
        """Of episodes under the names that assistants shall have; see `of`."""
        every = [m for own in episodes.values() for m in own]
        return Panel(episodes, tuple(personas) or tuple(sorted({m.persona for m in every})),
                     tuple(sorted({m.seed for m in every})))

    @cached_property
    def oracle(self) -> dict[tuple[str, int], EpisodeMetrics]:
        """The oracle's episode in each home (persona and seed)."""
        return {(m.persona, m.seed): m for own in self.episodes.values() for m in own if m.assistant == ORACLE}

    def by_home(self, name: str, value: Callable[[EpisodeMetrics, EpisodeMetrics | None], Any]) -> FloatArray:
        """Values of an assistant's episodes on the grid of homes.

        Args:
            name: The assistant.
            value: Of an episode and the oracle's in the same home: a number or an array.

        Returns:
            Shape ``(personas, seeds, …)``; NaN where there is no episode.
        """
        found = {(m.persona, m.seed): np.asarray(value(m, self.oracle.get((m.persona, m.seed))), float)
                 for m in self.episodes[name]}
        empty = np.full_like(next(iter(found.values())), np.nan)
        return np.array([[found.get((persona, seed), empty) for seed in self.seeds] for persona in self.personas])

    def by_persona(self, name: str, value: Callable[[EpisodeMetrics, EpisodeMetrics | None], Any]) -> FloatArray:
        """The same averaged over seeds: shape ``(personas, …)``; NaN where nothing was measured."""
        return nanmean(np.swapaxes(self.by_home(name, value), 0, 1))

    def measures(self, name: str, last: int = 0) -> dict[str, FloatArray]:
        """Every measure of an assistant (see `metrics.values`) by home: shape ``(personas, seeds)`` each."""
        keys = list(values(self.episodes[name][0], None))
        table = self.by_home(name, lambda m, oracle: list(values(m, oracle, last).values()))
        return {key: table[..., i] for i, key in enumerate(keys)}

    def means(self, name: str, last: int = 0) -> dict[str, FloatArray]:
        """The same averaged over seeds: shape ``(personas,)`` each."""
        return {key: nanmean(value.T) for key, value in self.measures(name, last).items()}

    def known(self, name: str, where: str) -> None:
        """Refuse a name that no finished episode has.

        Raises:
            ValueError: With near matches, naming `where` it was given.
        """
        if name not in self.episodes:
            raise ValueError(f"{where} {name!r}: no finished episode of it here; {near_matches(name, self.episodes)}")


@dataclass(frozen=True)
class Pair:
    """One assistant less another, paired by persona.

    Attributes:
        first, second: Names; the difference is that of the first less that of the second.
        by: The measure.
        difference: Mean difference with the 95 % interval of Student's t, as if this were the only pair.
        p: Two-sided p-value of the paired t test, as if this were the only pair.
        adjusted: The same after Holm, over all pairs that were declared together.
        decided: The interval at the level at which Holm's method decided: it holds 0 exactly where the pair is a tie.
        iqm: Interquartile mean of the differences, with a bootstrap interval over personas.
        improvement: Probability of improvement: share of personas with whom the first is better, ties half.
        detectable: Minimum detectable difference of a single comparison.
    """

    first: str
    second: str
    by: str
    difference: Interval
    p: float
    adjusted: float
    decided: Interval
    iqm: Interval
    improvement: Interval
    detectable: float

    @property
    def verdict(self) -> str:
        """``"tie"``, or what the first is: ``"better"`` or ``"worse"``; ``"unknown"`` for fewer than two personas."""
        if np.isnan(self.adjusted):
            return "unknown"
        if self.adjusted >= LEVEL:
            return "tie"
        return "better" if (self.difference.mean > 0) == HIGHER_IS_BETTER.get(self.by, True) else "worse"


def compare_values(names: Sequence[tuple[str, str]], found: Mapping[str, FloatArray], by: str) -> list[Pair]:
    """Pairs that were declared together, corrected for their number.

    Args:
        names: First and second of each.
        found: What was measured of each assistant: shape ``(personas, seeds)``, the same homes for all; NaN where nothing was.
        by: The measure.
    """
    differences = [nanmean((found[first] - found[second]).T) for first, second in names]
    p = [paired_p(values) for values in differences]
    sign = 1.0 if HIGHER_IS_BETTER.get(by, True) else -1.0
    return [
        Pair(first, second, by, student_interval(values), p_one, adjusted, student_interval(values, level),
             bootstrap(values, iqm), bootstrap(sign * values, share_better), detectable(values))
        for (first, second), values, p_one, adjusted, level in zip(names, differences, p, holm(p), holm_levels(p), strict=True)
    ]


def compare_assistants(panel: Panel, names: Sequence[tuple[str, str]], by: str = "utility") -> list[Pair]:
    """Compare assistants of a panel pair by pair; Holm's correction is over all these pairs.

    Args:
        panel: The episodes.
        names: First and second of each pair.
        by: One of `HIGHER_IS_BETTER`.

    Raises:
        ValueError: A name that the panel does not have, a pair of one assistant with itself, or no such measure.
    """
    if by not in HIGHER_IS_BETTER:
        raise ValueError(f"compare by {by!r}: no such measure; {near_matches(by, HIGHER_IS_BETTER)}")
    for first, second in names:
        panel.known(first, "compare")
        panel.known(second, "compare")
        if first == second:
            raise ValueError(f"compare {first!r} with itself: name two assistants")
    return compare_values(names, {name: panel.measures(name)[by] for name in {name for pair in names for name in pair}}, by)


def declared(panel: Panel, references: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Every other assistant with each reference, and more pairs; a pair that is named twice counts once.

    Raises:
        ValueError: A reference that the panel does not have.
    """
    for reference in references:
        panel.known(reference, "--against")
    every = [(name, reference) for reference in references for name in panel.episodes if name != reference]
    found: dict[frozenset[str], tuple[str, str]] = {}
    for pair in [*every, *pairs]:
        found.setdefault(frozenset(pair), pair)
    return list(found.values())


@dataclass(frozen=True)
class Place:
    """Where an assistant stands.

    Attributes:
        name: The assistant.
        position: Its place from the best mean (1) to the worst, ties or not.
        rank: From 1; those that are tied share one, and the next rank after them is left out. None where nothing was measured.
        shared: Whether others have the same rank.
        next_better: Compared with the one before it in the table; None for the first, and where nothing was measured.
    """

    name: str
    position: int
    rank: int | None
    shared: bool
    next_better: Pair | None

    @property
    def label(self) -> str:
        """``"2"``, ``"2="`` where others share it, ``"-"`` where there is none."""
        return "-" if self.rank is None else f"{self.rank}{'=' * self.shared}"


def ranking(panel: Panel, by: str = "utility") -> list[Place]:
    """Where the assistants of a panel stand by a measure (see `rank_values`)."""
    return rank_values({name: panel.measures(name)[by] for name in panel.episodes}, by)


def rank_values(found: Mapping[str, FloatArray], by: str) -> list[Place]:
    """Assistants from the best mean to the worst; neighbours that the runs do not tell apart share a rank.

    Each is compared with the next better one, with Holm's correction over all these neighbours. A chain of ties is one rank,
    even where its ends would differ if they were declared as a pair. With a single persona nothing can be told apart, and all
    share a rank.

    Args:
        found: As for `compare_values`.
        by: The measure.
    """
    sign = 1.0 if HIGHER_IS_BETTER.get(by, True) else -1.0
    means = {name: sign * float(nanmean(nanmean(values.T))) for name, values in found.items()}
    measured = sorted((name for name in means if not np.isnan(means[name])), key=lambda name: -means[name])
    pairs = compare_values(list(zip(measured[1:], measured, strict=False)), found, by)
    ranks: list[int] = []
    for i in range(len(measured)):
        told_apart = i == 0 or pairs[i - 1].verdict in ("better", "worse")
        ranks.append(i + 1 if told_apart else ranks[-1])
    places = [Place(name, i + 1, ranks[i], ranks.count(ranks[i]) > 1, pairs[i - 1] if i else None)
              for i, name in enumerate(measured)]
    rest = (name for name in means if np.isnan(means[name]))
    return places + [Place(name, i, None, False, None) for i, name in enumerate(rest, len(places) + 1)]


def detectable_line(pairs: Iterable[Pair], personas: int, what: str) -> str:
    """How small a difference a table can show, in one line.

    Args:
        pairs: Those of the table.
        personas: How many personas it has.
        what: What the measure is called there, and of which pairs, e.g. "utility between neighbours".
    """
    known = sorted((pair for pair in pairs if not np.isnan(pair.detectable)), key=lambda pair: pair.detectable)
    if not known:
        return (f"Minimum detectable difference in {what}: unknown; it takes two assistants of whom it was measured, and two "
                "personas that both have lived with.")
    ends = [f"{pair.detectable:.2f} ({pair.first}, {pair.second})" for pair in dict.fromkeys((known[0], known[-1]))]
    return (f"Minimum detectable difference in {what} ({POWER:.0%} power, two-sided {LEVEL:.0%}, paired over {personas} "
            f"personas): {' to '.join(ends)}.")
