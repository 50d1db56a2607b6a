"""The state machine of n homes: whose turn it is, what time it is, what was said and how it was rated.

Every view (PettingZoo, Gymnasium, vector) drives this one machine, so all of them give the same trajectories and the same
logs. It knows nothing of how a user behaves: turns come from outside.

The cycle of a home: the user takes a turn (rates what it last heard, says what it does now), then the assistant answers
with a text, ``""`` for silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from propersim_env.clock import TICKS_PER_DAY, moment_text, time_text
from propersim_env.feedback import REACTION_UTILITY, Feedback
from propersim_env.log import EpisodeLog
from propersim_env.messages import Activity, Rating, UserTurn, UserTurns
from propersim_env.persona import Persona

TOTALS = np.array([m.bit_count() for m in range(16)], np.float64)
RewardKind = Literal["rating", "utility"]
_MARKS_IN_WORDS = [
    ", ".join(f"{name} {'yes' if mark else 'no'}" for name, mark in Rating(marks).as_dict().items()) for marks in range(16)
]
NOTHING_SAID = "You have not said anything yet."


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """What an episode is.

    Attributes:
        days: Horizon in days (1..); reaching it truncates the episode.
        reward: ``"rating"`` (0..4 at every tick) or ``"utility"`` ((rating - 2) / 2 where something was said, else 0).
        reveal_persona: Put the persona in words before every observation.
        max_cycles: Truncate after so many decisions; None for no limit beside the horizon.
        feedback: What the assistant is told: ``"full"``, ``"delivered"``, ``"reactions"`` or ``"sampled:SHARE"`` (see
            `propersim_env.feedback.Feedback`). All but the first need ``reward="utility"``, because silence is not rated.
    """

    days: int = 14
    reward: RewardKind = "rating"
    reveal_persona: bool = False
    max_cycles: int | None = None
    feedback: str = "full"

    def __post_init__(self) -> None:
        if not 1 <= self.days <= 3650:
            raise ValueError(f"days={self.days} is not between 1 and 3650")
        if self.reward not in ("rating", "utility"):
            raise ValueError(f"reward={self.reward!r}: choose 'rating' or 'utility'")
        if self.max_cycles is not None and self.max_cycles < 1:
            raise ValueError(f"max_cycles={self.max_cycles} is not positive; None means no limit")
        if not Feedback.parse(self.feedback).full and self.reward == "rating":
            raise ValueError(f"feedback={self.feedback!r} rates no silence, but reward='rating' is a rating at every tick: "
                             "use reward='utility'")


class Machine:
    """n homes in lockstep of decisions, each with a clock of its own.

    Attributes:
        tick: Absolute tick of each home, shape ``(n,)``.
        marks: Marks of the last rated decision (bit mask; see `Rating`), shape ``(n,)``.
        rewards: Reward of the last rated decision; NaN where the rating failed. Shape ``(n,)``.
        terminated, truncated: How each home ended, shape ``(n,)``.
        said: What each assistant said last, ``""`` for silence.
        decided_tick: Tick at which each assistant said that, shape ``(n,)``.
        answered: Whether the users have taken their turn since then.
        activities: What each resident is seen doing.
        ratings: Full ratings of the last decisions where there is more than marks.
        failures: Kind of failure of the last rating, by home.
        logs: The log of each home, or None.
    """

    def __init__(self, n: int, config: MachineConfig) -> None:
        self.n, self.config = n, config
        self.feedback = Feedback.parse(config.feedback)
        self.seeds = [0] * n
        self.horizon = config.days * TICKS_PER_DAY
        self.tick = np.zeros(n, np.int64)
        self.cycles = np.zeros(n, np.int64)
        self.marks = np.zeros(n, np.uint8)
        self.rewards = np.zeros(n, np.float64)
        self.terminated, self.truncated = np.zeros(n, bool), np.zeros(n, bool)
        self.active = np.zeros(n, bool)
        self.said: list[str] = [""] * n
        self.ratings: dict[int, Rating] = {}
        self.failures: dict[int, str] = {}
        self.logs: list[EpisodeLog | None] = [None] * n
        self.personas: list[Persona | None] = [None] * n
        self.activities: list[Activity] = [Activity("", "")] * n
        self._doing: list[str] = [""] * n
        self._answer: list[str] = [NOTHING_SAID] * n
        self._prefix: list[str] = [""] * n
        self.decided_tick = self.tick.copy()
        self.answered = True

    def begin(self, i: int, persona: Persona | None, log: EpisodeLog | None = None, seed: int = 0) -> None:
        """Begin an episode in home i; the user's first turn follows. The seed decides which ratings are told."""
        self.seeds[i] = seed
        if self.logs[i] is not None:
            self.logs[i].close()  # type: ignore[union-attr]
        self.tick[i] = self.cycles[i] = self.marks[i] = 0
        self.rewards[i] = 0.0
        self.terminated[i] = self.truncated[i] = False
        self.active[i] = True
        self.said[i] = ""
        self.ratings.pop(i, None)
        self.failures.pop(i, None)
        self.logs[i], self.personas[i] = log, persona
        self.activities[i], self._doing[i], self._answer[i] = Activity("", ""), "", NOTHING_SAID
        reveal = self.config.reveal_persona and persona is not None
        self._prefix[i] = f"{persona.describe()}\n" if reveal and persona else ""

    def first_turn(self, i: int, turn: UserTurn) -> None:
        """Apply the first turn of the user in home i, which rates nothing."""
        self.tick[i] = turn.tick
        log = self.logs[i]
        if log is not None and turn.diary is not None:
            log.day(turn.tick // TICKS_PER_DAY, turn.diary)
        self._look(i, turn.activity)

    def user_turn(self, turns: UserTurns) -> None:
        """Apply the users' turns, one a home: ratings of what was said, and the next moment. Ended homes stay as they are."""
        self.ratings, self.failures = turns.ratings, turns.failures
        self.marks = turns.marks
        self.answered = True
        self._reward(turns)
        if any(log is not None for log in self.logs):
            self._log(turns)
        np.copyto(self.tick, turns.tick, where=self.active)
        for i in turns.ratings:
            if self.said[i]:
                self._answer[i] = _answer_text(self.said[i], turns.ratings[i], int(self.decided_tick[i]), self.tells(i))
        for i in turns.changed:
            if self.active[i]:
                self._look(i, turns.activities[i])
        self.cycles += self.active
        limit = self.config.max_cycles
        over = self.tick >= self.horizon if limit is None else (self.tick >= self.horizon) | (self.cycles >= limit)
        self.truncated = over & self.active
        self.terminated = np.zeros(self.n, bool)
        for i in turns.dismissals:
            self.terminated[i] = self.active[i]
        self._end((self.truncated | self.terminated).nonzero()[0])

    def _look(self, i: int, activity: Activity) -> None:
        self.activities[i] = activity
        persona = self.personas[i]
        room = persona.setting.room_names.get(activity.room, activity.room) if persona else activity.room
        where = f" ({room.lower()})" if room else ""
        self._doing[i] = f"The resident is {activity.text}{where}." if activity.text else ""
        if activity.company:
            self._doing[i] += f" Also at home: {activity.company}."

    def _reward(self, turns: UserTurns) -> None:
        if not self.feedback.full:
            self.rewards = np.where(self.active, self._told_utility(turns), 0.0)
            return
        totals = TOTALS[turns.marks & 15]
        if self.config.reward == "utility":
            spoke = np.array([bool(text) for text in self.said])
            totals = np.where(spoke, (totals - 2) / 2, 0.0)
        for i in turns.failures:
            totals[i] = np.nan
        for i in turns.unrated:
            totals[i] = 0.0
        self.rewards = np.where(self.active, totals, 0.0)

    def _told_utility(self, turns: UserTurns) -> NDArray[np.float64]:
        totals = np.zeros(self.n)
        for i, rating in turns.ratings.items():
            if self.said[i]:
                totals[i] = (rating.total - 2) / 2 if self.tells(i) else REACTION_UTILITY[rating.reaction]
        for i in turns.failures:
            totals[i] = np.nan
        for i in turns.unrated:
            totals[i] = 0.0
        return totals

    def tells(self, i: int) -> bool:
        """Whether the assistant of home i is told how its last decision was rated; of a text it always gets the reaction."""
        if self.feedback.full:
            return True
        persona = self.personas[i]
        return bool(self.said[i]) and self.feedback.rated(self.seeds[i], persona.id if persona else "",
                                                          int(self.decided_tick[i]))

    def require_full(self, what: str) -> None:
        """Refuse to rate candidates where the assistant is told less than everything.

        Raises:
            ValueError: The feedback is not ``"full"``.
        """
        if not self.feedback.full:
            raise ValueError(f"{what}() rates what was not delivered, which feedback={self.config.feedback!r} does not allow: "
                             "use feedback='full'")

    def _log(self, turns: UserTurns) -> None:
        marks = turns.marks.tolist()
        ticks = self.tick.tolist()
        for i in np.flatnonzero(self.active).tolist():
            log = self.logs[i]
            if log is None or i in turns.unrated:
                continue
            if self.said[i] or i in turns.failures:
                log.said(ticks[i], self.said[i], turns.ratings.get(i), turns.failures.get(i, ""))
            else:
                log.silence(ticks[i], marks[i])
            diary = turns.diaries.get(i)
            if diary is not None and turns.tick[i] < self.horizon:
                log.day(int(turns.tick[i]) // TICKS_PER_DAY, diary)

    def _end(self, ended: NDArray[np.int64]) -> None:
        for i in ended.tolist():
            self.active[i] = False
            log = self.logs[i]
            if log is not None:
                reason = "dismissed" if self.terminated[i] else "horizon" if self.tick[i] >= self.horizon else "max_cycles"
                log.end(reason, int(self.cycles[i]))

    def assistant_turn(self, texts: Sequence[str]) -> None:
        """Take what every assistant says; ``""`` is silence."""
        self.said = list(texts)
        self.decided_tick = self.tick.copy()
        self.answered = False

    def last_rating(self, i: int) -> Rating | None:
        """How the last decision in home i was rated; None where it was not (yet), or where the rating failed."""
        if not self.answered or not self.cycles[i] or i in self.failures:
            return None
        rating, marks = self.ratings.get(i), int(self.marks[i])
        # A text always has its full rating, and silence always earns some mark: without either, nothing was rated.
        return rating or (Rating(marks) if marks and not self.said[i] else None)

    def observation(self, i: int) -> str:
        """What the assistant of home i sees: weekday, date, time, activity and room, and what was answered last."""
        return f"{self._prefix[i]}{moment_text(int(self.tick[i]))}. {self._doing[i]} {self._answer[i]}"

    def observations(self) -> list[str]:
        """Observations of all homes."""
        return [
            f"{prefix}{moment_text(tick)}. {doing} {answer}"
            for prefix, tick, doing, answer in zip(
                self._prefix, self.tick.tolist(), self._doing, self._answer, strict=True
            )
        ]

    def get_state(self, i: int) -> dict[str, Any]:
        """State of home i as JSON values (without its log)."""
        rating = self.ratings.get(i)
        return {
            "tick": int(self.tick[i]), "cycles": int(self.cycles[i]), "marks": int(self.marks[i]),
            "reward": float(self.rewards[i]), "terminated": bool(self.terminated[i]),
            "truncated": bool(self.truncated[i]), "active": bool(self.active[i]), "said": self.said[i],
            "decided": int(self.decided_tick[i]), "answered": self.answered, "activity": list(astuple(self.activities[i])),
            "doing": self._doing[i], "answer": self._answer[i], "prefix": self._prefix[i],
            "rating": None if rating is None else [rating.marks, rating.reaction, dict(rating.reasons), dict(rating.terms)],
            "failure": self.failures.get(i),
        }

    def set_state(self, i: int, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` gave. A log that was being written ends here: a branch is another episode."""
        self.tick[i], self.cycles[i] = state["tick"], state["cycles"]
        self.marks[i], self.rewards[i] = state["marks"], state["reward"]
        self.terminated[i], self.truncated[i] = state["terminated"], state["truncated"]
        self.active[i], self.said[i] = state["active"], state["said"]
        self.decided_tick[i], self.answered = state["decided"], state["answered"]
        self.activities[i] = Activity(*state["activity"])
        self._doing[i], self._answer[i], self._prefix[i] = state["doing"], state["answer"], state["prefix"]
        self.ratings.pop(i, None)
        self.failures.pop(i, None)
        if state["rating"] is not None:
            self.ratings[i] = Rating(*state["rating"])
        if state["failure"] is not None:
            self.failures[i] = state["failure"]
        if self.logs[i] is not None:
            self.logs[i].close()  # type: ignore[union-attr]
            self.logs[i] = None


def _answer_text(said: str, rating: Rating, tick: int, rated: bool = True) -> str:
    """The resident's last answer as the assistant reads it later."""
    shown = said if len(said) <= 300 else said[:299] + "…"
    if not rated:
        return f'At {time_text(tick)} you said: "{shown}" The resident\'s reaction: {rating.reaction}.'
    marks = _MARKS_IN_WORDS[rating.marks]
    return f'At {time_text(tick)} you said: "{shown}" The resident rated it {rating.total} of 4 ({marks}): {rating.reaction}.'
