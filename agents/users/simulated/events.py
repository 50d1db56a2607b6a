"""Events: days with guests, and days of illness.

They are drawn from a stream of their own, so that routine, needs and noise of other days are as they would be without.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from types import SimpleNamespace

from propersim_env.clock import is_weekend
from propersim_env.persona import Persona
from propersim_env.seeding import stream

from .occasions import fill, occasions, pick
from .routine import Segment

MOST_WANTS, MOST_WINDOWS = 16, 8
"""Of a persona, by its schema."""
AS_EVER = ("sleep", "washing", "eating")
"""Categories of activity that an ill day keeps."""


def event_on(persona: Persona, seed: int, day: int, p: SimpleNamespace) -> str:
    """What is special about a day: ``"ill"``, ``"guests"`` or ``""``."""
    least, most = p.ill_days
    for ago in range(min(most, day + 1)):
        begins, length = stream(seed, persona.id, "illness", day - ago).random(2).tolist()
        if begins < p.ill_begins and ago < least + int(length * (most - least + 1)):
            return "ill"
    chance = p.guests_weekend if is_weekend(day) else p.guests_weekday
    return "guests" if stream(seed, persona.id, "guests", day).random() < chance else ""


def ill_day(segments: Sequence[Segment], persona: Persona, seed: int, day: int) -> list[Segment]:
    """The day spent resting, but for sleeping, washing and eating."""
    u = iter(stream(seed, persona.id, "ill day", day).random(512).tolist())
    kinds = occasions(persona.setting).illness
    lived: list[Segment] = []
    for segment in segments:
        if segment.kind.category in AS_EVER:
            lived.append(segment)
        elif lived[-1].kind.category in AS_EVER:  # what lies between two of these is filled at once
            end = next(s.start for s in segments if s.start > segment.start and s.kind.category in AS_EVER)
            lived += fill(kinds, segment.start, end, u)
    return lived


def ill_persona(persona: Persona, p: SimpleNamespace) -> Persona:
    """The persona on an ill day: fewer texts, nothing that strains, gentle topics instead."""
    data = persona.to_dict()
    preferences, special = data["preferences"], occasions(persona.setting)
    liking = preferences["topics"]
    strain, gentle = special.topics["strain"], special.topics["gentle"]
    gentle = tuple(t for t in gentle if liking.get(t, 0.0) >= p.ill_disliked) or gentle
    liking.update({t: max(liking.get(t, 0.0), p.ill_liking) for t in gentle})
    liking.update({t: min(liking.get(t, 0.0), -p.ill_liking) for t in strain})
    kept = [w for w in preferences["wants"] if w["topic"] not in strain][: MOST_WANTS - p.ill_gentle_wants]
    windows = preferences["timing"]["wanted"]
    for i in range(p.ill_gentle_wants):
        topic, window, why = gentle[i % len(gentle)], windows[i % len(windows)], special.whys["gentle"]
        kept.append({
            "id": f"ill_{i}_{topic}"[:40], "topic": topic, "activities": [], "from": window["from"], "to": window["to"],
            "days": window["days"], "weight": p.ill_weight, "why": why[i % len(why)],
        })
    preferences["wants"] = kept
    frequency = preferences["frequency"]
    frequency["min_gap_minutes"] = min(960, int(persona.min_gap / p.ill_rate))
    frequency["per_day"] = persona.per_day * p.ill_rate
    return Persona(data, persona.setting, f"{persona.source}, ill")


def visit(segments: Sequence[Segment], persona: Persona, seed: int, day: int, p: SimpleNamespace) -> list[Segment]:
    """The stretch of a day that is spent with guests; empty if they find no time.

    They come in the afternoon or the evening, after work and absences, and leave before bedtime.
    """
    u = iter(stream(seed, persona.id, "visit", day).random(128).tolist())
    start = pick(p.guests_from, next(u)) + p.guests_spread_minutes * (2 * next(u) - 1)
    low, high = p.guests_stay_minutes
    stay = low + (high - low) * next(u)
    apart = p.guests_apart_minutes
    last = segments[-1].start - apart
    for segment in segments:
        if segment.kind.category in ("work", "away") and segment.start - apart < start + stay and start < segment.end + apart:
            start = segment.end + apart
    end = min(start + stay, last)
    return fill(occasions(persona.setting).guests, start, end, u) if end - start >= low else []


def host(persona: Persona, comes: float, p: SimpleNamespace) -> Persona:
    """The persona on a day with guests, who come at this minute: whoever likes to host wants help with it before."""
    special = occasions(persona.setting)
    topic = max(special.topics["hosting"], key=lambda t: persona.liking.get(t, 0.0))
    if persona.liking.get(topic, 0.0) <= p.hosting_liked or len(persona.wants) == MOST_WANTS:
        return persona
    data = persona.to_dict()
    start, end = ceil(comes) - p.hosting_minutes, ceil(comes)
    window = {"from": f"{start // 60:02d}:{start % 60:02d}", "to": f"{end // 60:02d}:{end % 60:02d}", "days": "all"}
    whys = special.whys["hosting"]
    data["preferences"]["wants"].append({
        "id": "before_guests", "topic": topic, "activities": [], **window, "weight": p.hosting_weight,
        "why": whys[end % len(whys)],
    })
    if len(persona.wanted) < MOST_WINDOWS:
        data["preferences"]["timing"]["wanted"].append({**window, "label": "before guests"})
    return Persona(data, persona.setting, f"{persona.source}, with guests")
