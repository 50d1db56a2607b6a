"""What the two agents say to each other.

``user_0`` speaks first in every cycle: it rates what it last heard and says what it does now (a `UserTurn`). Then
``assistant_0`` answers with a text; the empty text ``""`` is silence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

USER, ASSISTANT = "user_0", "assistant_0"
DIMENSIONS = ("preference", "timing", "frequency", "communication")
"""The four binary dimensions of a rating; dimension i is bit ``1 << i`` of `Rating.marks`."""

ALL_MARKS = 15
REACTIONS = ("none", "accept", "dismiss", "ignore")
SILENCE = ""


@dataclass(frozen=True, slots=True)
class Rating:
    """How the resident rates one decision of the assistant.

    Attributes:
        marks: Bit mask 0..15, bit i for ``DIMENSIONS[i]``.
        reaction: One of `REACTIONS`; ``"none"`` for silence.
        reasons: A sentence for each dimension that has something to say.
        terms: Why, for machines: named quantities that decided the marks. JSON values only.
    """

    marks: int
    reaction: str = "none"
    reasons: Mapping[str, str] = field(default_factory=dict)
    terms: Mapping[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The rating, 0..4: the number of dimensions that got their mark."""
        return self.marks.bit_count()

    def as_dict(self) -> dict[str, int]:
        """Marks by dimension name, each 0 or 1."""
        return {name: (self.marks >> i) & 1 for i, name in enumerate(DIMENSIONS)}


def marks_of(values: Mapping[str, int]) -> int:
    """The bit mask of marks given by dimension name."""
    return sum(1 << i for i, name in enumerate(DIMENSIONS) if values.get(name))


@dataclass(frozen=True, slots=True)
class Activity:
    """What the resident is seen doing: a phrase such as ``"whisking eggs"``, the room, and the object at hand.

    `company` says what somebody else at home is doing, such as ``"Ines is reading (study)"``.
    """

    text: str
    room: str
    object: str = ""
    company: str = ""


@dataclass(frozen=True, slots=True)
class UserTurn:
    """One action of ``user_0``.

    Attributes:
        rating: Of the assistant's last decision (text or silence); None at the first turn, or when a rating is missing.
        activity: What the resident does at `tick`.
        tick: Absolute tick at which the resident is next available, >= the current one. Ticks in between (asleep, away)
            are skipped: the assistant is not asked there.
        dismiss: The resident wants no assistant any more; the episode terminates.
        failure: Kind of failure when `rating` could not be produced (never turned into a score).
        diary: At the first turn of a day, what the log should keep of it (activities, needs…); never shown to the
            assistant. JSON values only.
    """

    rating: Rating | None
    activity: Activity
    tick: int
    dismiss: bool = False
    failure: str = ""
    diary: Mapping[str, Any] | None = None

    def to_action(self, now: int) -> dict[str, Any]:
        """The same turn, taken at tick `now`, as a member of the action space of ``user_0``; see `from_action`."""
        rating = self.rating
        return {
            "activity": self.activity.text, "room": self.activity.room, "object": self.activity.object,
            "skip": self.tick - now,
            "rated": int(rating is not None),
            "marks": np.array([(rating.marks >> i) & 1 for i in range(4)] if rating else [0] * 4, np.int8),
            "reaction": REACTIONS.index(rating.reaction) if rating else 0,
            "notes": _pack(self),
        }

    @staticmethod
    def from_action(action: Mapping[str, Any], now: int) -> UserTurn:
        """The turn that an action of ``user_0`` says at tick `now`; notes that are not our JSON are dropped."""
        notes = _unpack(action["notes"])
        rating = None
        if action["rated"]:
            marks = sum(int(m > 0) << i for i, m in enumerate(action["marks"]))
            reaction = REACTIONS[int(action["reaction"])]
            rating = Rating(marks, reaction, notes.get("reasons", {}), notes.get("terms", {}))
        activity = Activity(action["activity"], action["room"], action["object"], notes.get("company", ""))
        return UserTurn(rating, activity, now + int(action["skip"]), notes.get("dismiss", False), notes.get("failure", ""),
                        notes.get("diary"))


def _pack(turn: UserTurn) -> str:
    notes: dict[str, Any] = {}
    if turn.rating is not None and (turn.rating.reasons or turn.rating.terms):
        notes = {"reasons": dict(turn.rating.reasons), "terms": dict(turn.rating.terms)}
    if turn.dismiss:
        notes["dismiss"] = True
    if turn.failure:
        notes["failure"] = turn.failure
    if turn.diary is not None:
        notes["diary"] = dict(turn.diary)
    if turn.activity.company:
        notes["company"] = turn.activity.company
    return json.dumps(notes, ensure_ascii=False) if notes else ""


def _unpack(text: str) -> dict[str, Any]:
    try:
        notes = json.loads(text, parse_constant=_no_number) if text.startswith("{") else {}
    except (ValueError, RecursionError):
        return {}
    kinds = {"reasons": dict, "terms": dict, "failure": str, "diary": dict, "dismiss": bool, "company": str}
    return {k: v for k, v in notes.items() if k in kinds and isinstance(v, kinds[k])}


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


@dataclass(slots=True)
class UserTurns:
    """The turns of n residents at once.

    Attributes:
        tick: Shape ``(n,)``, absolute ticks, as in `UserTurn`.
        marks: Shape ``(n,)``, rating of the last decision; meaningless where `failures` or `unrated` say so.
        ratings: Full ratings of those residents that were spoken to (or have something to say about silence).
        activities: One for each resident; the list may be reused between turns.
        changed: Residents whose activity is not the one of the turn before.
        diaries: For residents at the first turn of a day.
        dismissals: Residents that want no assistant any more.
        failures: Kind of failure by resident.
        unrated: Residents without a rating and without a failure (first turn).
        faults: What a user agent raised instead of taking its turn; its other entries mean nothing.
    """

    tick: NDArray[np.int64]
    marks: NDArray[np.uint8]
    ratings: dict[int, Rating]
    activities: list[Activity]
    changed: Sequence[int]
    diaries: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    dismissals: Sequence[int] = ()
    failures: dict[int, str] = field(default_factory=dict)
    unrated: Sequence[int] = ()
    faults: dict[int, BaseException] = field(default_factory=dict)

    def one(self, i: int) -> UserTurn:
        """The turn of resident i alone."""
        rating: Rating | None = None
        if i not in self.failures and i not in self.unrated:
            rating = self.ratings.get(i) or Rating(int(self.marks[i]))
        return UserTurn(rating, self.activities[i], int(self.tick[i]), i in self.dismissals,
                        self.failures.get(i, ""), self.diaries.get(i))


def gather(turns: Sequence[UserTurn], activities: list[Activity]) -> UserTurns:
    """Collect single turns into one `UserTurns`; `activities` holds those of the turns before and is updated."""
    changed = [i for i, turn in enumerate(turns) if turn.activity != activities[i]]
    for i in changed:
        activities[i] = turns[i].activity
    return UserTurns(
        tick=np.array([t.tick for t in turns], np.int64),
        marks=np.array([t.rating.marks if t.rating else 0 for t in turns], np.uint8),
        ratings={i: t.rating for i, t in enumerate(turns) if t.rating is not None},
        activities=activities, changed=changed,
        diaries={i: t.diary for i, t in enumerate(turns) if t.diary is not None},
        dismissals=[i for i, t in enumerate(turns) if t.dismiss],
        failures={i: t.failure for i, t in enumerate(turns) if t.failure},
        unrated=[i for i, t in enumerate(turns) if t.rating is None and not t.failure],
    )
