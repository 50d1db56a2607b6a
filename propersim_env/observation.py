"""The text of an observation, read back into its parts: for assistants that want values and not words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from propersim_env.clock import MINUTES_PER_TICK, START_DATE, TICKS_PER_DAY, parse_time
from propersim_env.messages import marks_of

_SEEN = re.compile(
    r"(?:^|\n)(?P<date>\w+day \d{1,2} \w+ \d{4}), (?P<time>\d\d:\d\d)\. (?:The resident is )?(?P<doing>.*?)"
    r" (?:You have not said anything yet\.|At (?P<when>\d\d:\d\d) you said: \"(?P<said>.*)\" The resident"
    r"(?: rated it (?P<rating>\d) of 4 \((?P<marks>[^()]*)\): (?P<reaction>\w+)|'s reaction: (?P<only>\w+))\.)$", re.DOTALL)
_PLACE = re.compile(r"^(?P<action>.*?)(?: \((?P<room>[^()]*)\))?\.?(?: Also at home: (?P<company>.*)\.)?$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Observation:
    """What an observation says.

    Attributes:
        tick: Absolute tick, >= 0.
        action: What the resident is doing, e.g. ``"whisking eggs"``.
        room: Where.
        company: What somebody else at home is doing, ``""`` for nobody.
        said: What the assistant said last, shortened as it is shown; ``""`` before its first words.
        said_at: Minute of the day at which it said that, -1 before its first words.
        rating: How that was rated, 0..4; None where the rating is kept back.
        marks: The same by dimension, bit mask as in `propersim_env.messages.Rating`; None likewise.
        reaction: ``"accept"``, ``"dismiss"``, ``"ignore"`` or ``"none"``.
        persona: What is revealed of the persona before the observation, ``""`` for nothing.
    """

    tick: int
    action: str
    room: str
    company: str = ""
    said: str = ""
    said_at: int = -1
    rating: int | None = None
    marks: int | None = None
    reaction: str = "none"
    persona: str = ""

    @property
    def day(self) -> int:
        """Days since the first."""
        return self.tick // TICKS_PER_DAY


def read_observation(text: str, start: date = START_DATE) -> Observation:
    """The parts of an observation of this environment.

    Args:
        text: As an assistant gets it.
        start: First day of the episode.

    Raises:
        ValueError: It is not of the form that the environment writes.

    Example:
        >>> text = ("Thursday 13 February 2025, 09:37. The resident is shaking out arms (common room). At 09:35 you said: "
        ...         '"How about a walk?" The resident rated it 3 of 4 (preference no, timing yes, frequency yes, '
        ...         'communication yes): dismiss.')
        >>> seen = read_observation(text)
        >>> seen.tick, seen.action, seen.room, seen.said, seen.rating
        (231, 'shaking out arms', 'common room', 'How about a walk?', 3)
    """
    found = _SEEN.search(text)
    place = _PLACE.match(found["doing"]) if found else None
    if found is None or place is None:
        raise ValueError(f"this is no observation of a ProPerSim home: {text[-160:]!r}")
    tick = _days(found["date"], start) * TICKS_PER_DAY + -(-parse_time(found["time"]) // MINUTES_PER_TICK)
    marks = None
    if found["marks"] is not None:
        pairs = (part.rpartition(" ") for part in found["marks"].split(", "))
        marks = marks_of({name: int(word == "yes") for name, _, word in pairs})
    return Observation(
        tick=int(tick), action=place["action"], room=place["room"] or "", company=place["company"] or "",
        said=found["said"] or "", said_at=parse_time(found["when"]) if found["when"] else -1,
        rating=None if found["rating"] is None else int(found["rating"]), marks=marks,
        reaction=found["reaction"] or found["only"] or "none", persona=text[: found.start("date")].strip(),
    )


@lru_cache(maxsize=4096)
def _days(text: str, start: date) -> int:
    """Days since the first; parsing a date takes longer than all the rest."""
    return (datetime.strptime(text, "%A %d %B %Y").date() - start).days
