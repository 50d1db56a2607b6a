"""Drift: what the resident wants changes over the episode, while the routine and the manner stay those of the same person.

Some wants come to be about topics that the person did not care for, likings move, wanted windows shift, and the wanted rate
rises or falls. Where it leads is drawn once for a persona and a seed; `progress` says how much of the way is gone.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from propersim_env.clock import parse_time
from propersim_env.persona import Persona
from propersim_env.seeding import stream

KINDS = ("none", "slow", "abrupt")
Json = dict[str, Any]


def progress(kind: str, day: int, p: SimpleNamespace) -> float:
    """How much of the drift has happened on a day, 0..1."""
    if kind == "slow":
        return min(1.0, day / p.drift_days)
    return float(kind == "abrupt" and day >= p.drift_day)


def drifted(persona: Persona, seed: int, done: float, p: SimpleNamespace) -> Persona:
    """The persona when this much of the drift has happened.

    Args:
        persona: At the beginning; returned as it is where `done` is 0.
        seed: Of the episode. With the persona it decides where the drift leads.
        done: See `progress`.
        p: Parameters whose names begin with ``drift_``.

    Returns:
        A persona that passes the checks of a persona file. Its rubric is still the old one.
    """
    if done == 0:
        return persona
    rng = stream(seed, persona.id, "drift")
    data = persona.to_dict()
    preferences = data["preferences"]
    _change_topics(persona, preferences, rng, done, p)
    _shift_windows(persona, preferences, rng, done, p)
    rise, size = rng.random(2)
    factor = (p.drift_rate[0] + (p.drift_rate[1] - p.drift_rate[0]) * size) ** (done if rise < 0.5 else -done)
    frequency = preferences["frequency"]
    frequency["per_day"] = round(min(persona.per_day * factor, 48.0), 2)
    frequency["min_gap_minutes"] = max(1, int(persona.min_gap * persona.per_day / frequency["per_day"]))
    return Persona(data, persona.setting, f"{persona.source}, drifted")


def _change_topics(persona: Persona, preferences: Json, rng: np.random.Generator, done: float, p: SimpleNamespace) -> None:
    """Wants change their topic one after another; the new topics come to be liked as the old ones were, and the reverse."""
    wants, before = preferences["wants"], persona.liking
    known = persona.setting.topic_ids
    after = {t: float(np.clip(before.get(t, 0.0) + u, -1, 1)) if t in before else 0.0
             for t, u in zip(known, rng.uniform(-p.drift_liking, p.drift_liking, len(known)).tolist(), strict=True)}
    tied = {w.topic for w in persona.wants}
    unloved = [t for t in known if t not in tied and before.get(t, 0.0) < p.drift_unloved]
    changing = rng.permutation(len(wants))[: max(1, round(p.drift_wants * len(wants)))].tolist()
    new = [unloved[k] for k in rng.permutation(len(unloved)).tolist()]
    pairs = list(zip(changing, new, strict=False))  # few topics may be left that are not liked
    kept = {w.topic for i, w in enumerate(persona.wants) if i not in {i for i, _ in pairs}}
    for rank, (i, topic) in enumerate(pairs, 1):
        old = persona.wants[i].topic
        after[topic] = max(before.get(old, 0.0), p.drift_unloved)
        if old not in kept:
            after[old] = min(before.get(topic, 0.0), before.get(old, 0.0))
        if done >= rank / len(pairs):
            wants[i].update(id=f"now_{topic}"[:40], topic=topic, why=p.drift_whys[(rank - 1) % len(p.drift_whys)])
    moved = {t: round(before.get(t, 0.0) + done * (after[t] - before.get(t, 0.0)), 3) for t in known}
    preferences["topics"] = {t: value for t, value in moved.items() if value or t in before}


def _shift_windows(persona: Persona, preferences: Json, rng: np.random.Generator, done: float, p: SimpleNamespace) -> None:
    """Each wanted window moves earlier or later, where nothing is in its way, and the wants in it move along."""
    low, high = p.drift_shift_minutes
    shifts = []
    for window, (side, size) in zip(persona.wanted, rng.random((len(persona.wanted), 2)).tolist(), strict=True):
        minutes = round((low + (high - low) * size) / 5) * 5
        both = (minutes, -minutes) if side < 0.5 else (-minutes, minutes)
        shifts.append(next((s for s in both if _free(persona, window.start, window.end, s)), 0))
    for window, entry, shift in zip(persona.wanted, preferences["timing"]["wanted"], shifts, strict=True):
        _move(entry, window.start, window.end, done * shift)
    for want, entry in zip(persona.wants, preferences["wants"], strict=True):
        start, end = want.window.start, want.window.end
        common = [min(end, w.end) - max(start, w.start) for w in persona.wanted]
        nearest = max(range(len(common)), key=common.__getitem__)
        if common[nearest] > 0:
            _move(entry, start, end, done * shifts[nearest])


def _free(persona: Persona, start: int, end: int, shift: int) -> bool:
    """Whether a window can move so far through waking time in which the person may be spoken to."""
    wake, sleep = parse_time(persona.routine["wake"]), parse_time(persona.routine["sleep"])
    first, last = min(start, start + shift), max(end, end + shift)
    if first < wake or last > sleep:
        return False
    closed = [(w.start, w.end) for w in persona.unwanted]
    if "work" in persona.unwanted_activities:
        closed += [(parse_time(w["from"]), parse_time(w["to"])) for w in persona.routine["work"]]
    new = (first, start) if shift < 0 else (end, last)
    return not any(low < new[1] and new[0] < high for low, high in closed)


def _move(entry: Json, start: int, end: int, shift: float) -> None:
    start, end = (min(max(round(m + shift), 0), 1440) for m in (start, end))
    entry.update({"from": f"{start // 60:02d}:{start % 60:02d}", "to": f"{end // 60:02d}:{end % 60:02d}"})
