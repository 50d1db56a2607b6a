"""A recorded resident: plays ``user_0`` from an event log.

The days, the activities and the waking ticks are those of the log. A decision of the assistant that the log has (the same
text at the same tick) gets the rating it got then; any other has no rating, and says so. Nothing is ever made up.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from propersim_env.clock import TICKS_PER_DAY, tick_of
from propersim_env.log import Decision, read_episode
from propersim_env.messages import Activity, Rating, UserTurn
from propersim_env.persona import Persona

NOT_IN_LOG = "not in the log"
"""Failure of a rating that the log cannot give."""


class ReplayUser:
    """The resident of one logged episode.

    Args:
        log: Path of a complete ``events-….jsonl`` file.

    Raises:
        LogError: The log is incomplete or edited.
        ValueError: There is no such file, or it does not say what the resident did.
    """

    deterministic = True

    def __init__(self, log: str) -> None:
        self.log = log
        if not Path(log).is_file():
            raise ValueError(f"log={log!r} is no file: give the path of one episode's events-….jsonl")
        self.episode = read_episode(Path(log))
        begin = self.episode.begin
        if begin["user"].get("options", {}).get("follow_through"):
            raise ValueError(f"{log}: was written with follow_through, and what a resident does after accepting is not in a "
                             f"log: replay an episode without it")
        self.diaries = {e["day"]: {k: v for k, v in e.items() if k not in ("event", "day")} for e in self.episode.days()}
        for day, diary in self.diaries.items():
            if "activities" not in diary:
                raise ValueError(f"{log}: the diary of day {day} has no activities: only logs of users that keep a diary "
                                 f"(simulated, human) can be replayed")
        self.decisions: tuple[Decision, ...] = tuple(self.episode.decisions())
        self.position = 0
        self._days: dict[int, tuple[list[int], list[Activity]]] = {}

    def reset(self, persona: Persona, seed: int) -> UserTurn:
        """Begin the logged episode.

        Args:
            persona: Must be the one in the log.
            seed: Decides nothing: what happens is in the log.

        Raises:
            ValueError: Another persona.
        """
        logged = self.episode.begin["persona"]
        if persona.to_dict() != logged:
            raise ValueError(f"{self.log} is of persona {logged['id']!r} ({logged['name']}) as it was then, and not of "
                             f"{persona.id!r}: ask for the persona in the log")
        objects = {a.id: a.object for a in (*persona.setting.activities, *persona.activities)}
        self._days = {day: _timetable(diary["activities"], objects) for day, diary in self.diaries.items()}
        self.position = 0
        return self._turn(None, "", None)

    def act(self, heard: str) -> UserTurn:
        """The recorded rating of what was heard, and the next recorded moment.

        Raises:
            RuntimeError: The log has no more moments.
        """
        if self.position >= len(self.decisions):
            days = self.episode.begin["days"]
            raise RuntimeError(f"{self.log} ends here, after {days} days: replay it with days={days}")
        recorded = self.decisions[self.position]
        self.position += 1
        if heard != recorded.text:
            return self._turn(None, NOT_IN_LOG, recorded)
        event = recorded.event or {}
        if recorded.marks is None:
            return self._turn(None, event.get("failure") or NOT_IN_LOG, recorded)
        rating = Rating(recorded.marks, event.get("reaction", "none"), event.get("reasons", {}), event.get("terms", {}))
        return self._turn(rating, "", recorded)

    def _turn(self, rating: Rating | None, failure: str, last: Decision | None) -> UserTurn:
        if self.position < len(self.decisions):
            tick, dismiss = self.decisions[self.position].tick, False
        else:
            dismiss = self.episode.end is not None and self.episode.end["reason"] == "dismissed"
            horizon = int(self.episode.begin["days"]) * TICKS_PER_DAY
            tick = last.tick + 1 if dismiss and last else horizon
        day = tick // TICKS_PER_DAY
        fresh = last is None or last.tick // TICKS_PER_DAY != day
        return UserTurn(rating, self._activity(tick), tick, dismiss, failure, self.diaries.get(day) if fresh else None)

    def _activity(self, tick: int) -> Activity:
        day = min(tick // TICKS_PER_DAY, max(self._days))
        within = tick - day * TICKS_PER_DAY
        starts, activities = self._days[day]
        activity = activities[max(0, bisect_right(starts, within) - 1)]
        others = self.diaries[day].get("company")
        if not others:
            return activity
        return replace(activity, company=others[max(0, bisect_right(_first_ticks(others), within) - 1)][1])

    def get_state(self) -> dict[str, Any]:
        """State as JSON values."""
        return {"position": self.position}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` gave; needs a `reset` before."""
        self.position = int(state["position"])


def _timetable(entries: list[list[str]], objects: Mapping[str, str]) -> tuple[list[int], list[Activity]]:
    """First ticks of the day's activities, in order, and the activities."""
    return _first_ticks(entries), [Activity(text, room, objects.get(kind, "")) for _, kind, _, text, room in entries]


def _first_ticks(entries: list[list[str]]) -> list[int]:
    """Ticks of the times that a diary's entries begin with.

    A diary rounds times down to the minute, which still tells the ticks (2.5 minutes) apart; ``"00:00"`` after another
    entry is midnight at the end of the day.
    """
    starts: list[int] = []
    for time, *_ in entries:
        tick = tick_of(time)
        starts.append(TICKS_PER_DAY if starts and tick < starts[-1] else tick)
    return starts
