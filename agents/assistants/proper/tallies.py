"""What ratings have taught about one resident: counts by topic and tone, and judged moments weighed by how like now they are.

Every count is of marks given and marks possible; old ones fade, so that a resident who changes is followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.clock import MINUTES_PER_TICK, TICKS_PER_DAY, TICKS_PER_HOUR, is_weekend
from propersim_env.schema import read_json, sourced_values

FILE = Path(__file__).with_name("tallies.json")
ALL_GIVEN = 3
"""Where dimensions are not told, a rating of so many marks counts as welcome."""

Floats = NDArray[np.float64]


@lru_cache(maxsize=1)
def numbers() -> dict[str, Any]:
    """The numbers of ``tallies.json``."""
    return sourced_values(read_json(FILE), str(FILE))


@dataclass(frozen=True, slots=True)
class Instant:
    """What may decide whether one more text is welcome now, whatever it says.

    Attributes:
        tick: Absolute tick.
        action: What the resident is doing.
        lasting: Minutes since that began, as far as it was seen.
        gap: Minutes since the assistant last spoke; negative if it never did.
        load: Texts said, each fading with time (see ``load_hours``).
    """

    tick: int
    action: str
    lasting: float
    gap: float
    load: float


@dataclass(frozen=True, slots=True)
class Judged:
    """A rated text and the moment it was rated at; `marks` as in `propersim_env.messages.Rating`."""

    instant: Instant
    text: str
    marks: int
    delivered: bool = True


def show(given: float, possible: float) -> str:
    """``"5/6"``: a share out of at most ``shown_at_most``; ``"-"`` where nothing is known.

    Example:
        >>> show(30, 40), show(0.2, 0.4)
        ('7/9', '-')
    """
    n = min(int(numbers()["shown_at_most"]), round(possible))
    return f"{round(given / possible * n)}/{n}" if n else "-"


def load_of(tick: int, said: Sequence[tuple[int, str]]) -> float:
    """Texts said before a tick, each fading exponentially."""
    hours = float(numbers()["load_hours"])
    total = 0.0
    for then, _ in reversed(said):
        age = (tick - then) / TICKS_PER_HOUR
        if age > 6 * hours:
            break
        total += np.exp(-age / hours)
    return float(total)


class Tallies:
    """Counts of one resident.

    Args:
        n_topics, n_tones: How many there are in the setting.
        half_life_days: What was learnt counts half after this time.
        by_dimension: Whether a mark of the fitting dimension counts (level ASCR), or a rating of 3 or 4 (level ASC).
    """

    def __init__(self, n_topics: int, n_tones: int, half_life_days: float = 6.0, by_dimension: bool = True) -> None:
        self.half_life_days, self.by_dimension = half_life_days, by_dimension
        self.day = 0
        self.topic, self.tone = np.zeros((n_topics, 2)), np.zeros((n_tones, 2))
        self.count = 0
        self._columns = np.zeros((8, 256))

    def given(self, marks: int, dimension: int) -> float:
        """Whether a mark counts as given, 0 or 1."""
        if self.by_dimension:
            return float(marks >> dimension & 1)
        return float((marks & 15).bit_count() >= ALL_GIVEN)

    def add(self, judged: Judged, topics: Sequence[tuple[int, float]], tones: Sequence[tuple[int, float]]) -> None:
        """Count a rating of a text that is about these topics, in these tones (index, share)."""
        instant, marks = judged.instant, judged.marks
        day, within = divmod(instant.tick, TICKS_PER_DAY)
        if day > self.day:
            for counts in (self.topic, self.tone):
                counts *= 0.5 ** ((day - self.day) / self.half_life_days)
            self.day = day
        for table, parts, dimension in ((self.topic, topics, 0), (self.tone, tones, 3)):
            given = self.given(marks, dimension)
            for k, share in parts:
                table[k] += share * given, share
        if self.count == self._columns.shape[1]:
            self._columns = np.concatenate([self._columns, np.zeros_like(self._columns)], axis=1)
        self._columns[:, self.count] = (
            within * MINUTES_PER_TICK, is_weekend(day), _begun(instant), _log_gap(instant.gap), instant.load,
            self.given(marks, 1), self.given(marks, 2), day,
        )
        self.count += 1

    def like(
        self, now: Instant, nearness: NDArray[np.float32] | None = None
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        """Marks for timing, and for frequency, over judged moments, each weighed by how like this one it is.

        Args:
            now: The present one.
            nearness: Of the action of each judged moment to this one's, cosine, shape ``(count,)``.

        Returns:
            (given, possible) of timing, and of frequency; possible counts a moment exactly like this one as 1.
        """
        n, p = self.count, numbers()
        minute, weekend, begun, gap, load, timing, frequency, day = self._columns[:, :n]
        age = 0.5 ** ((now.tick / TICKS_PER_DAY - day) / self.half_life_days)
        clock = now.tick % TICKS_PER_DAY * MINUTES_PER_TICK
        alike = age * np.exp(-0.5 * ((minute - clock) / p["minutes_wide"]) ** 2)
        alike *= np.where(weekend == is_weekend(now.tick // TICKS_PER_DAY), 1.0, p["other_kind_of_day"])
        alike *= np.where(begun == _begun(now), 1.0, p["other_stage"])
        if nearness is not None:
            alike *= p["any_action"] + (1 - p["any_action"]) * np.clip(nearness, 0, 1) ** 2
        often = age * np.exp(-0.5 * ((gap - _log_gap(now.gap)) / p["gap_wide"]) ** 2
                             - 0.5 * ((load - now.load) / p["load_wide"]) ** 2)
        return (float(alike @ timing), float(alike.sum())), (float(often @ frequency), float(often.sum()))

    def ranked(self, table: Floats, least: float = 0.5) -> list[tuple[int, float]]:
        """Indices that have been tried, best first, each with its smoothed share."""
        shares = (table[:, 0] + 1) / (table[:, 1] + 2)
        tried = [k for k in np.argsort(-shares, kind="stable").tolist() if table[k, 1] >= least]
        return [(k, float(shares[k])) for k in tried]


def _begun(instant: Instant) -> bool:
    """Whether these are the first minutes of an activity."""
    return bool(instant.lasting < numbers()["begun_minutes"])


def _log_gap(minutes: float) -> float:
    """Gaps on a logarithmic scale, base 2, of hours; never having spoken is the longest."""
    longest = numbers()["longest_gap_minutes"]
    return float(np.log2((longest if minutes < 0 else min(max(minutes, 2.5), longest)) / 60))


def minutes_since(tick: int, then: int | None) -> float:
    """Minutes from a tick to now, -1 if there was none."""
    return -1.0 if then is None else (tick - then) * MINUTES_PER_TICK
