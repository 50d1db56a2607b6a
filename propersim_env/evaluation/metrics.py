"""Metrics of one episode, from its log alone.

The headline is **utility**: each delivered recommendation earns (rating - 2) / 2, from -1 to +1, silence nothing; the sum is
divided by the oracle's on the same persona and seed (see `propersim_env.evaluation.report`). ``score``, the mean rating over
all waking ticks, is the published measure; silent ticks dominate it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.clock import TICKS_PER_DAY
from propersim_env.evaluation.statistics import ratio
from propersim_env.log import Decision, Episode
from propersim_env.messages import DIMENSIONS

FloatArray = NDArray[np.float64]
ORACLE = "oracle"
"""Name of the assistant of whose earnings utility is a share."""
COSTS = ("calls", "tokens", "seconds", "money")
"""What an assistant may note of a day as its cost: requests to a model, tokens read and written, seconds, and money."""


@dataclass(frozen=True)
class EpisodeMetrics:
    """What happened in one episode; arrays have one entry a day.

    Attributes:
        assistant, persona, seed: Which episode.
        privileged: The assistant knew the resident.
        per_day: Recommendations wanted a day (n*).
        decisions, rating_sum: Waking ticks with a rating, and the sum of those ratings.
        delivered, delivered_sum: Recommendations with a rating, and the sum of those ratings.
        utility: Sum of (rating - 2) / 2 over delivered recommendations.
        moments, moment_sum: Moments that matter (everything delivered, and every need that lapsed, with the rating of its
            silence), and the sum of their ratings.
        needs, missed: Needs, and those that lapsed.
        false_alarms: Delivered recommendations rated 2 or less.
        duplicates: Delivered texts that had been said before in the episode, but for case and spaces.
        dimensions: Shape (4, days): marks given to delivered recommendations, by dimension.
        costs: Shape (4, days): what the assistant noted of each day as its cost, in the order of `COSTS`; NaN where it did not.
        failures: Decisions without a rating.
    """

    assistant: str
    persona: str
    seed: int
    privileged: bool
    per_day: float
    decisions: FloatArray
    rating_sum: FloatArray
    delivered: FloatArray
    delivered_sum: FloatArray
    utility: FloatArray
    moments: FloatArray
    moment_sum: FloatArray
    needs: FloatArray
    missed: FloatArray
    false_alarms: FloatArray
    duplicates: FloatArray
    dimensions: FloatArray
    costs: FloatArray
    failures: int

    @property
    def days(self) -> int:
        """Number of days."""
        return len(self.decisions)

    def since(self, day: int) -> EpisodeMetrics:
        """The same of the days from one on; failures are those of the whole episode."""
        if day == 0:
            return self
        arrays: dict[str, Any] = {f.name: value[..., day:] for f in fields(self)
                                  if isinstance(value := getattr(self, f.name), np.ndarray)}
        return replace(self, **arrays)


def same(text: str) -> str:
    """A text but for case and spaces."""
    return " ".join(text.casefold().split())


def measure(episode: Episode) -> EpisodeMetrics:
    """The metrics of one complete episode."""
    begin = episode.begin
    days = int(begin["days"])
    names = ("decisions", "rating_sum", "delivered", "delivered_sum", "utility", "moments", "moment_sum", "needs",
             "missed", "false_alarms", "duplicates")
    table = {name: np.zeros(days) for name in names}
    dimensions = np.zeros((len(DIMENSIONS), days))
    failures = 0
    known: set[str] = set()
    silent = np.full(days * TICKS_PER_DAY, -1, np.int8)
    for event in episode.events:
        if event["event"] == "silence":
            totals = [int(digit, 16).bit_count() for digit in event["marks"]]
            silent[event["tick"] : event["tick"] + len(totals)] = totals
        elif event["event"] == "said":
            decision = Decision(event["tick"], event["text"], None if event["marks"] is None else int(event["marks"], 16))
            failures += decision.marks is None
            _count_said(table, dimensions, decision, known)
    awake = silent.reshape(days, TICKS_PER_DAY)
    table["decisions"] += (awake >= 0).sum(axis=1)
    table["rating_sum"] += np.where(awake >= 0, awake, 0).sum(axis=1)
    _count_needs(table, episode, silent)
    persona = begin["persona"]
    return EpisodeMetrics(
        assistant=begin["assistant"], persona=persona["id"], seed=begin["seed"],
        privileged=bool(begin.get("privileged")), per_day=persona["preferences"]["frequency"]["per_day"],
        dimensions=dimensions, costs=_costs(episode, days), failures=failures, **table,
    )


def values(m: EpisodeMetrics, oracle: EpisodeMetrics | None, last: int = 0) -> dict[str, float]:
    """The measures of an episode as single numbers; NaN where there is nothing to measure.

    Args:
        m: The episode.
        oracle: The oracle's episode with the same persona and seed; without it, or where it earned nothing, utility is NaN.
        last: Take only so many days at the end; 0 takes all. Utility then is their mean day over the oracle's mean day of all.

    Returns:
        Utility, delivered, moment, score, missed, a_day, rate and false_alarms (docs/metrics.md has the definitions), and the
        share of delivered texts with each of the four marks.
    """
    days = slice(-last if last else None, None)
    delivered = m.delivered[days].sum()
    return {
        "utility": float(m.utility[days].mean() / day_of_oracle(oracle)),
        "delivered": float(ratio(m.delivered_sum[days].sum(), delivered)),
        "moment": float(ratio(m.moment_sum[days].sum(), m.moments[days].sum())),
        "score": float(ratio(m.rating_sum[days].sum(), m.decisions[days].sum())),
        "missed": float(ratio(m.missed[days].sum(), m.needs[days].sum())),
        "a_day": float(m.delivered[days].mean()),
        "rate": float(m.delivered[days].mean() / m.per_day),
        "false_alarms": float(ratio(m.false_alarms[days].sum(), delivered)),
        **{name: float(ratio(m.dimensions[i, days].sum(), delivered)) for i, name in enumerate(DIMENSIONS)},
    }


def day_of_oracle(oracle: EpisodeMetrics | None) -> float:
    """What the oracle earns on a mean day; NaN without an oracle, or where it earned nothing: utility is undefined then."""
    total = float(oracle.utility.sum()) if oracle is not None else np.nan
    return total / oracle.days if oracle is not None and total > 0 else np.nan


def _costs(episode: Episode, days: int) -> FloatArray:
    """What the notes of each morning say that the day before has cost."""
    costs = np.full((len(COSTS), days), np.nan)
    for event in episode.notes():
        noted = event.get("cost")
        if not isinstance(noted, Mapping) or event["day"] < 1:
            continue
        for i, name in enumerate(COSTS):
            if is_cost(value := noted.get(name)):
                costs[i, event["day"] - 1] = value
    return costs


def is_cost(value: Any) -> bool:
    """Whether a noted cost is a number of at least 0; anything else is no cost, and leaves it unknown."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < np.inf


def _count_said(table: Mapping[str, FloatArray], dimensions: FloatArray, decision: Decision, known: set[str]) -> None:
    day, rating = decision.tick // TICKS_PER_DAY, decision.rating
    if rating is None or decision.marks is None:
        return
    table["decisions"][day] += 1
    table["rating_sum"][day] += rating
    if not decision.text:
        return
    table["delivered"][day] += 1
    table["delivered_sum"][day] += rating
    table["utility"][day] += (rating - 2) / 2
    table["moments"][day] += 1
    table["moment_sum"][day] += rating
    table["false_alarms"][day] += rating <= 2
    plain = same(decision.text)
    table["duplicates"][day] += plain in known
    known.add(plain)
    for i in range(len(DIMENSIONS)):
        dimensions[i, day] += decision.marks >> i & 1


def _count_needs(table: Mapping[str, FloatArray], episode: Episode, silent: NDArray[np.int8]) -> None:
    served = {
        (event["tick"] // TICKS_PER_DAY, need)
        for event in episode.said()
        if isinstance(needs := event.get("terms", {}).get("serves"), list)  # a user of one's own may put anything there
        for need in needs
    }
    lived = silent >= 0
    lived[[event["tick"] for event in episode.said()]] = True
    for event in episode.days():
        day = event["day"]
        needs = event.get("needs")
        for need in needs if isinstance(needs, list) else ():
            if not lived[day * TICKS_PER_DAY + need["from"] : day * TICKS_PER_DAY + need["to"]].any():
                continue  # the episode ended before
            table["needs"][day] += 1
            if (day, need["id"]) in served:
                continue
            table["missed"][day] += 1
            window = silent[day * TICKS_PER_DAY + need["from"] : day * TICKS_PER_DAY + need["to"]]
            rated = window[window >= 0]
            if rated.size:  # otherwise every tick of it was spoken at, and counts as delivered
                table["moments"][day] += 1
                table["moment_sum"][day] += rated[-1]
