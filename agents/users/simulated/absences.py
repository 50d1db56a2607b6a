"""Absences: on working days and for errands the resident leaves home, and the assistant is not asked meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace

from propersim_env.persona import Persona
from propersim_env.seeding import stream

from .occasions import fill, occasions, pick, splice
from .routine import Routine, Segment

MOST = 2
"""Absences a day."""
Span = tuple[float, float]


def works_away(persona: Persona, p: SimpleNamespace) -> tuple[bool, bool]:
    """Whether a persona works out of home, and if so whether they come home for lunch; the same in all episodes."""
    work, lunch = stream(0, persona.id, "works away").random(2).tolist()
    away = bool(persona.routine["work"]) and work < p.away_work_share
    return away, away and lunch < p.away_lunch_share


def with_absences(
    segments: Sequence[Segment], persona: Persona, routine: Routine, seed: int, day: int, p: SimpleNamespace
) -> list[Segment]:
    """A day with its absences.

    Args:
        segments: The day as it would be at home.
        persona: Whose day.
        routine: Of that person; its activities of the category ``away`` are what one goes out for.
        seed: Of the episode.
        day: Number of the day.
        p: Parameters whose names begin with ``away_``.

    Returns:
        New segments that tile the day; those of the category ``away`` are spent elsewhere.
    """
    u = iter(stream(seed, persona.id, "absences", day).random(64).tolist())
    bounds = segments[0].end + p.away_margin_minutes, segments[-1].start - p.away_margin_minutes
    blocks = _work(segments, persona, u, bounds, p)
    busy = [(s.start, s.end) for s in segments if s.kind.category == "work"]
    lived = list(segments)
    for start, end in blocks:
        lived = splice(lived, [Segment(start, end, (kind := pick(occasions(persona.setting).work_away, next(u))),
                                       pick(kind.texts, next(u)))])
    for _ in range(MOST):
        place, length, kind_u, going = next(u), next(u), next(u), next(u)
        pool = routine.pools[False].get("away")
        if pool is None or len(blocks) == MOST or going >= (p.away_errand_after_work if blocks else p.away_errand):
            continue
        start = bounds[0] + place * (bounds[1] - bounds[0])
        kind = pool.draw(start, kind_u)
        end = start + (kind.minutes[0] + (kind.minutes[1] - kind.minutes[0]) * length) * p.away_stretch
        apart = p.away_apart_minutes
        if end <= bounds[1] and not any(a - apart < end and start < b + apart for a, b in [*blocks, *busy]):
            blocks.append((start, end))
            lived = splice(lived, fill([kind], start, end, u))
    return lived


def _work(segments: Sequence[Segment], persona: Persona, u: Iterator[float], bounds: Span, p: SimpleNamespace) -> list[Span]:
    """Absences for work: the day's stretches of work with the way there and back, those near each other in one."""
    away, lunch_at_home = works_away(persona, p)
    ways = [p.away_commute_minutes[0] + (p.away_commute_minutes[1] - p.away_commute_minutes[0]) * next(u) for _ in range(2)]
    if not away:
        return []
    blocks: list[Span] = []
    join = p.away_lunch_gap_minutes if lunch_at_home else p.away_join_minutes
    for segment in segments:
        if segment.kind.category == "work":
            start = blocks.pop()[0] if blocks and segment.start - blocks[-1][1] < join else segment.start
            blocks.append((start, segment.end))
    blocks = [(max(a - ways[0], bounds[0]), min(b + ways[1], bounds[1])) for a, b in blocks]
    longest = sorted((b for b in blocks if b[1] - b[0] >= p.away_least_minutes), key=lambda b: b[0] - b[1])[:MOST]
    return sorted(longest)
