"""Company: a second resident shares the home. They live a routine of their own and are never spoken to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from propersim_env.clock import TICKS_PER_DAY
from propersim_env.persona import Persona
from propersim_env.population import sample_persona
from propersim_env.seeding import derive
from propersim_env.setting import Setting

from .absences import with_absences
from .day import at, tick_segments
from .occasions import occasions
from .routine import Routine, Segment


@dataclass(slots=True)
class Company:
    """The other resident on one day.

    Attributes:
        name: How the other is called.
        setting: Of the home.
        segments: What the other does; they tile the day.
        segment: Index into `segments` at each tick, shape ``(576,)``.
        around: Whether the other is awake and at home, shape ``(576,)``.
        together: Whether the other is moreover in the room of the resident, shape ``(576,)``; see `meet`.
        private: Indices of topics that are not for other ears.
    """

    name: str
    setting: Setting
    segments: Sequence[Segment]
    segment: NDArray[np.int64]
    around: NDArray[np.bool_]
    private: frozenset[int]
    together: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(TICKS_PER_DAY, bool))

    def meet(self, segments: Sequence[Segment], segment: NDArray[np.int64], available: NDArray[np.bool_]) -> None:
        """Find out when the other and the resident, whose day this is, are in one room."""
        theirs, own = ([s.kind.room for s in day] for day in (self.segments, segments))
        same = np.array([[a == b for b in theirs] for a in own])
        self.together = self.around & available & same[segment, self.segment]

    def said_of(self, index: int) -> str:
        """What the other does in one of the segments, as a sentence without its full stop; "" while away."""
        segment = self.segments[index]
        if segment.kind.category == "away":
            return ""
        return f"{self.name} is {segment.text} ({self.setting.room_names[segment.kind.room].lower()})"

    def seen(self, tick: int) -> str:
        """What the other does at a tick of the day."""
        return self.said_of(int(self.segment[tick]))


class Housemate:
    """The other resident: a persona of the sampler, another one for each persona and seed.

    Args:
        persona: With whom they live.
        seed: Of the episode.
        absences: Whether the other goes out, too.
        p: Parameters.
    """

    def __init__(self, persona: Persona, seed: int, absences: bool, p: SimpleNamespace) -> None:
        self.seed, self.absences, self.p = derive(seed, persona.id, "housemate"), absences, p
        self.persona = _other(self.seed, persona.name.split()[0], persona.setting)
        self.routine = Routine(self.persona, p)
        index = persona.setting.topic_index
        self.private = frozenset(index[t] for t in occasions(persona.setting).topics["private"])

    def on(self, day: int) -> Company:
        """The other on the day with this number."""
        segments = self.routine.day(self.seed, day)
        if self.absences:
            segments = with_absences(segments, self.persona, self.routine, self.seed, day, self.p)
        segment = tick_segments(segments)
        around = ~at(segments, segment, "sleep", "away")
        return Company(self.persona.name.split()[0], self.persona.setting, segments, segment, around, self.private)


@lru_cache(maxsize=64)
def _other(seed: int, first_name: str, setting: Setting) -> Persona:
    """The first sampled persona of another first name."""
    index = 0
    while (other := sample_persona(seed, index, setting)).name.split()[0] == first_name:
        index += 1
    return other
