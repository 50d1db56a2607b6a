"""What an assistant is told of how it did: everything, ratings of what it said, only reactions, or some of the ratings.

The log always keeps the true ratings: metrics compare assistants by the same measure whatever they were told.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from propersim_env.clock import TICKS_PER_DAY
from propersim_env.seeding import stream

KINDS = ("full", "delivered", "reactions", "sampled")
REACTION_UTILITY = {"accept": 1.0, "ignore": 0.0, "dismiss": -1.0, "none": 0.0}
"""Reward of a delivered text of which only the reaction is told (assumption: as if accepted were 4 of 4 and dismissed 0)."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """A feedback protocol.

    Attributes:
        kind: ``"full"``: every decision is rated, silence too, and candidates may be rated without being delivered;
            ``"delivered"``: what was said is rated; ``"reactions"``: of what was said, only the reaction is told;
            ``"sampled"``: of what was said the reaction, and now and then the rating.
        share: Share of ratings that is told, for ``"sampled"``.
    """

    kind: str = "full"
    share: float = 1.0

    @staticmethod
    def parse(text: str) -> Feedback:
        """``"sampled:0.3"`` or one of the other kinds.

        Raises:
            ValueError: No such kind, or a share that is not between 0 and 1.
        """
        kind, colon, number = text.partition(":")
        if kind not in KINDS or bool(colon) != (kind == "sampled"):
            raise ValueError(f"feedback={text!r}: choose full, delivered, reactions, or sampled:SHARE such as sampled:0.3")
        try:
            share = float(number or 1)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise ValueError(f"feedback={text!r}: the share of ratings told must be a number between 0 and 1")
        return Feedback(kind, share)

    @property
    def full(self) -> bool:
        """Whether nothing is kept back."""
        return self.kind == "full"

    def rated(self, seed: int, persona: str, tick: int) -> bool:
        """Whether the rating of a text said at this absolute tick is told; the same for every assistant."""
        if self.kind == "sampled":
            return _draws(seed, persona, tick // TICKS_PER_DAY)[tick % TICKS_PER_DAY] < self.share
        return self.kind != "reactions"


@lru_cache(maxsize=256)
def _draws(seed: int, persona: str, day: int) -> tuple[float, ...]:
    return tuple(stream(seed, persona, "feedback", day).random(TICKS_PER_DAY).tolist())
