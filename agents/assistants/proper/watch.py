"""Watches for silence collapse: a policy that has learnt that saying nothing is never rated badly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

DYING_SHARE = 0.2
"""Below this share of its own liveliest earlier pair of days, a policy has gone quiet (assumption)."""
QUIET_DAYS = 2
"""For so many days in a row (assumption: one quiet day may be the resident's)."""
HUNGRY_SHARE = 0.02
"""Silence rated below 4 at more than this share of moments says that the quiet is not what is wanted (assumption)."""


@dataclass
class Watch:
    """Texts said and silences rated below 4, day by day.

    Example:
        >>> watch = Watch()
        >>> [watch.day(said, 30, 384) for said in (12, 6, 5, 1, 0)]
        ['', '', '', '', 'dying: 0.5 texts a day for 2 days after 9.0, and 7.8 % of silences were rated below 4']
    """

    said: list[int] = field(default_factory=list)
    hungry: list[float] = field(default_factory=list)

    def day(self, said: int, silence_below_4: int, decisions: int) -> str:
        """Take in a day; returns what is wrong, ``""`` for nothing."""
        self.said.append(said)
        self.hungry.append(silence_below_4 / max(1, decisions))
        if len(self.said) <= QUIET_DAYS + 1:
            return ""
        now, before = _mean(self.said[-QUIET_DAYS:]), self._liveliest()
        hungry = _mean(self.hungry[-QUIET_DAYS:])
        if now >= DYING_SHARE * before or hungry < HUNGRY_SHARE:
            return ""
        return (f"dying: {now:.1f} texts a day for {QUIET_DAYS} days after {before:.1f}, and {100 * hungry:.1f} % of silences "
                "were rated below 4")

    def _liveliest(self) -> float:
        """The liveliest pair of days before the last ones."""
        earlier = self.said[:-QUIET_DAYS]
        return max(_mean(earlier[i : i + 2]) for i in range(len(earlier) - 1)) if len(earlier) > 1 else float(earlier[0])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
