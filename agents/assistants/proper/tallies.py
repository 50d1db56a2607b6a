"""Rated moments of one resident, and counts of their marks by topic and by tone.

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

from propersim_env.clock import MINUTES_PER_TICK, TICKS_PER_DAY, TICKS_PER_HOUR
from propersim_env.schema import read_json, sourced_values

FILE = Path(__file__).with_name("tallies.json")
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


def given_marks(marks: int, by_dimension: bool) -> Floats:
    """Which marks count as given, 0 or 1, in the order of dimensions.

    Args:
        marks: As in `propersim_env.messages.Rating`.
        by_dimension: Whether they are known one by one (level ASCR); else all count as given by a rating of 3 or 4.

    Example:
        >>> given_marks(0b0111, True).tolist(), given_marks(0b0111, False).tolist()
        ([1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0])
    """
    if by_dimension:
        return np.array([float(marks >> k & 1) for k in range(4)])
    return np.full(4, float((marks & 15).bit_count() >= numbers()["all_given"]))


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

    def add(self, judged: Judged, topics: Sequence[tuple[int, float]], tones: Sequence[tuple[int, float]]) -> None:
        """Count a rating of a text that is about these topics, in these tones (index, share)."""
        marks, day = judged.marks, judged.instant.tick // TICKS_PER_DAY
        if day > self.day:
            for counts in (self.topic, self.tone):
                counts *= 0.5 ** ((day - self.day) / self.half_life_days)
            self.day = day
        for table, parts, dimension in ((self.topic, topics, 0), (self.tone, tones, 3)):
            given = given_marks(marks, self.by_dimension)[dimension]
            for k, share in parts:
                table[k] += share * given, share

    def ranked(self, table: Floats, least: float = 0.5) -> list[tuple[int, float]]:
        """Indices that have been tried, best first, each with its smoothed share."""
        shares = (table[:, 0] + 1) / (table[:, 1] + 2)
        tried = [k for k in np.argsort(-shares, kind="stable").tolist() if table[k, 1] >= least]
        return [(k, float(shares[k])) for k in tried]


def minutes_since(tick: int, then: int | None) -> float:
    """Minutes from a tick to now, -1 if there was none."""
    return -1.0 if then is None else (tick - then) * MINUTES_PER_TICK
