"""What happens on some days only: the setting's table of occasions, and how something is put into a day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from propersim_env.names import near_matches
from propersim_env.schema import DataError
from propersim_env.setting import ActivityKind, Setting, check_activity

from .routine import Segment

SHORTEST = 5.0
"""Minutes below which what is left of an activity is left off."""


@dataclass(frozen=True, slots=True)
class Occasions:
    """A setting's ``occasions.json``: activities by the occasion that they belong to, topics that suit it, reasons in words."""

    work_away: tuple[ActivityKind, ...]
    guests: tuple[ActivityKind, ...]
    illness: tuple[ActivityKind, ...]
    topics: Mapping[str, tuple[str, ...]]
    whys: Mapping[str, tuple[str, ...]]


@lru_cache(maxsize=8)
def occasions(setting: Setting) -> Occasions:
    """The occasions of a setting.

    Raises:
        DataError: The setting has none, or they name rooms, objects or topics that it lacks.
    """
    path = setting.folder / "occasions.json"
    if not path.is_file():
        raise DataError(str(path), "", "is missing, and the options absences, events and company need it",
                        "write one like that of the setting house, or leave these options off")
    table = setting.table("occasions")
    for name, topics in table["topics"].items():
        for topic in topics:
            if topic not in setting.topic_index:
                raise DataError(str(path), f"topics.{name}", f"no topic {topic!r}", near_matches(topic, setting.topic_ids))
    away, guests, illness = (
        _kinds(setting, table, name, category)
        for name, category in (("work_away", "away"), ("guests", "guests"), ("illness", "rest"))
    )
    topics, whys = ({k: tuple(v) for k, v in table[name].items()} for name in ("topics", "whys"))
    return Occasions(away, guests, illness, topics, whys)


def _kinds(setting: Setting, table: dict[str, Any], name: str, category: str) -> tuple[ActivityKind, ...]:
    kinds = tuple(
        ActivityKind(a["id"], category, a["room"], a["object"], (a["minutes"][0], a["minutes"][1]), float(a["absorption"]),
                     1.0, (0, 1440), "all", tuple(a["topics"]), tuple(a["texts"]))
        for a in table[name]
    )
    for i, kind in enumerate(kinds):
        check_activity(setting, kind, str(setting.folder / "occasions.json"), f"{name}[{i}]")
    return kinds


def pick(options: Sequence[Any], u: float) -> Any:
    """The option that a number in [0, 1) stands for."""
    return options[int(u * len(options))]


def fill(kinds: Sequence[ActivityKind], start: float, end: float, u: Iterator[float]) -> list[Segment]:
    """Segments of these activities, drawn one after another, that tile a stretch of a day."""
    segments: list[Segment] = []
    while start < end:
        kind = pick(kinds, next(u))
        until = start + kind.minutes[0] + (kind.minutes[1] - kind.minutes[0]) * next(u)
        if end - until < kind.minutes[0]:
            until = end
        segments.append(Segment(start, until, kind, pick(kind.texts, next(u))))
        start = until
    return segments


def splice(segments: Sequence[Segment], inner: Sequence[Segment]) -> list[Segment]:
    """The day with a stretch of it lived otherwise.

    Args:
        segments: A whole day.
        inner: What is put in, in order and without gaps, between waking up and going to sleep.

    Returns:
        New segments that tile the day. What they hide is cut off; too short a rest of it goes to its neighbour.
    """
    start, end = inner[0].start, inner[-1].end
    before = [Segment(s.start, min(s.end, start), s.kind, s.text) for s in segments if s.start < start]
    after = [Segment(max(s.start, end), s.end, s.kind, s.text) for s in segments if s.end > end]
    if len(before) > 1 and before[-1].end - before[-1].start < SHORTEST:
        start = before.pop().start
    if len(after) > 1 and after[0].end - after[0].start < SHORTEST:
        end = after.pop(0).end
    middle = [Segment(s.start, s.end, s.kind, s.text) for s in inner]
    middle[0].start, middle[-1].end = start, end
    return [*before, *middle, *after]
