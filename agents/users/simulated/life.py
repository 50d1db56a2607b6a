"""Who the resident is on each day and how that day goes, under the options that change it.

All of it follows from persona, seed and number of the day: a day can be planned without living those before it, and what is
said to the resident changes none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from propersim_env.clock import MINUTES_PER_TICK, TICKS_PER_DAY, time_text
from propersim_env.persona import Persona

from .absences import with_absences
from .company import Housemate
from .day import DayPlan, DayPlanner
from .drift import drifted, progress
from .events import event_on, host, ill_day, ill_persona, visit
from .occasions import splice
from .rater import Rater
from .routine import Segment


@dataclass(frozen=True, slots=True)
class Today:
    """A resident on one day: who they are then, how they plan and judge, and what the day holds."""

    persona: Persona
    planner: DayPlanner
    rater: Rater
    plan: DayPlan


class Life:
    """All days of one resident in one episode.

    Args:
        planner, rater: Of the persona at the beginning.
        seed: Of the episode.
        options: Those of `SimulatedUsers`.
    """

    def __init__(self, planner: DayPlanner, rater: Rater, seed: int, options: Mapping[str, Any]) -> None:
        self.persona, self.seed = planner.persona, seed
        self.planner, self.rater = planner, rater
        self.drift: str = options["drift"]
        self.absences: bool = options["absences"]
        self.events: bool = options["events"]
        self.housemate = Housemate(self.persona, seed, self.absences, planner.parameters) if options["company"] else None
        self._done = 0.0
        self._then = (planner, rater)

    def on(self, day: int) -> Today:
        """The resident on the day with this number."""
        planner, rater = self._wishes(day)
        persona, seed, p = planner.persona, self.seed, planner.parameters
        segments = planner.routine.day(seed, day)
        event = event_on(persona, seed, day, p) if self.events else ""
        if event == "ill":
            segments, wishes = ill_day(segments, persona, seed, day), ill_persona(persona, p)
        else:
            if self.absences:
                segments = with_absences(segments, persona, planner.routine, seed, day, p)
            guests = visit(segments, persona, seed, day, p) if event else []
            wishes = host(persona, guests[0].start, p) if guests else persona
            segments = splice(segments, guests) if guests else segments
        certain = wishes.wants[len(persona.wants) :] if event == "guests" else ()
        if wishes is not persona:
            planner, rater = planner.of(wishes), rater.of(wishes)
        plan = planner.compile(segments, seed, day, certain)
        if self.housemate is not None:
            plan.company = self.housemate.on(day)
            planner.retime(plan)
        return Today(wishes, planner, rater, plan)

    def _wishes(self, day: int) -> tuple[DayPlanner, Rater]:
        """Planner and rater of the persona as it has drifted until that day."""
        done = progress(self.drift, day, self.planner.parameters)
        if done != self._done:
            persona = drifted(self.persona, self.seed, done, self.planner.parameters)
            self._then = (self.planner.of(persona), self.rater.of(persona)) if done else (self.planner, self.rater)
            self._done = done
        return self._then


def diary(plan: DayPlan) -> dict[str, Any]:
    """What the log keeps of a day, as JSON values."""

    def clock(segment: Segment) -> str:
        return time_text(ceil(segment.start / MINUTES_PER_TICK))

    kept = {
        "wake": time_text(plan.wake), "sleep": time_text(plan.sleep) if plan.sleep < TICKS_PER_DAY else "24:00",
        "activities": [[clock(s), s.kind.id, s.kind.category, s.text, s.kind.room] for s in plan.segments],
        "needs": [{"id": n.index, "want": n.want.id, "topic": n.want.topic, "from": n.start, "to": n.end} for n in plan.needs],
    }
    if plan.company is not None:
        kept["company"] = [[clock(s), plan.company.said_of(i)] for i, s in enumerate(plan.company.segments)]
    return kept
