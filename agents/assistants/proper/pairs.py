"""From rated moments to preference pairs, and which pairs of all days a night trains on. No language model is needed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from propersim_env.names import near_matches
from propersim_env.schema import read_json, sourced_values

from .answer import SILENT, SPEAK

FILE = Path(__file__).with_name("pairs.json")
Message = Mapping[str, str]
WHEN, WHAT = 0b0110, 0b1001
"""Marks that depend on the moment (timing, frequency), and on what is said (preference, communication)."""


@dataclass(frozen=True, slots=True)
class Option:
    """Something that was said or could have been; rating (0..4) and marks are None where they were not told."""

    text: str
    rating: int | None
    marks: int | None
    delivered: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """A decision: its tick, its prompt as chat messages, and what was rated at it (the empty text is silence)."""

    tick: int
    messages: tuple[Message, ...]
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one prompt, of which one was rated higher.

    Attributes:
        messages: The prompt.
        prefix: How both answers begin: ``""``, or ``"SAY:"`` where only what is said differs.
        chosen, rejected: What follows the prefix.
        margin: Difference of their values, above 0.
        kind: ``"decision"`` (speak or not) or ``"content"`` (what to say).
        tick: When.
    """

    messages: tuple[Message, ...]
    prefix: str
    chosen: str
    rejected: str
    margin: float
    kind: str
    tick: int


@dataclass(slots=True)
class Counts:
    """What became of the moments: pairs kept by kind, ties dropped, moments without ratings."""

    decision: int = 0
    content: int = 0
    tied: int = 0
    unrated: int = 0

    def as_dict(self) -> dict[str, int]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Scheme:
    """How ratings become pairs.

    Attributes:
        by: ``"total"``: every two rated options of a moment, the higher total rating chosen, silence worth `silence`;
            ``"moment"``: speaking against silence by the marks that do not depend on what is said (timing and frequency),
            and texts against each other by the two that do.
        silence: Worth of silence on the scale of ratings, 0..4; None takes its own rating.
    """

    by: str = "moment"
    silence: float | None = None

    @staticmethod
    def preset(name: str) -> Scheme:
        """A named scheme of ``pairs.json``.

        Raises:
            ValueError: No such preset; near matches are listed.
        """
        known = _numbers()["schemes"]
        if name not in known:
            raise ValueError(f"unknown scheme of pairs {name!r}: {near_matches(name, known)}")
        return Scheme(**known[name])


@lru_cache(maxsize=1)
def _numbers() -> dict[str, Any]:
    return sourced_values(read_json(FILE), str(FILE))


def pairs_of(moments: Sequence[Moment], scheme: Scheme) -> tuple[list[Pair], Counts]:
    """Pairs of answers in the same situation, the higher rated one chosen; ties are dropped and counted."""
    pairs: list[Pair] = []
    counts = Counts()
    for moment in moments:
        rated = [o for o in moment.options if o.rating is not None and o.marks is not None]
        if not rated:
            counts.unrated += 1
            continue
        for pair in (_by_moment if scheme.by == "moment" else _by_total)(moment, rated, scheme):
            if pair is None:
                counts.tied += 1
            else:
                pairs.append(pair)
                setattr(counts, pair.kind, getattr(counts, pair.kind) + 1)
    return pairs, counts


def _by_moment(moment: Moment, rated: Sequence[Option], scheme: Scheme) -> list[Pair | None]:
    texts = [o for o in rated if o.text]
    if not texts:
        return []
    welcome = all((o.marks or 0) & WHEN == WHEN for o in texts)
    answers = (SPEAK, SILENT) if welcome else (SILENT, SPEAK)
    pairs: list[Pair | None] = [Pair(moment.messages, "", *answers, 1.0, "decision", moment.tick)]
    values = [float(((o.marks or 0) & WHAT).bit_count()) for o in texts]
    return pairs + _between(moment, [o.text for o in texts], values)


def _by_total(moment: Moment, rated: Sequence[Option], scheme: Scheme) -> list[Pair | None]:
    texts = [o for o in rated if o.text]
    pairs = _between(moment, [o.text for o in texts], [float(o.rating or 0) for o in texts])
    silences = [float(o.rating or 0) for o in rated if not o.text]
    worth = scheme.silence if scheme.silence is not None else (silences[0] if silences else None)
    if worth is None:
        return pairs
    for option in texts:
        margin = float(option.rating or 0) - worth
        spoken = f"{SPEAK} {option.text}"
        answers = (spoken, SILENT) if margin > 0 else (SILENT, spoken)
        pairs.append(Pair(moment.messages, "", *answers, abs(margin), "decision", moment.tick) if margin else None)
    return pairs


def _between(moment: Moment, texts: Sequence[str], values: Sequence[float]) -> list[Pair | None]:
    pairs: list[Pair | None] = []
    for i, text in enumerate(texts):
        for j in range(i):
            margin = values[i] - values[j]
            if not margin or text == texts[j]:
                pairs.append(None)
                continue
            chosen, rejected = (text, texts[j]) if margin > 0 else (texts[j], text)
            pairs.append(Pair(moment.messages, SPEAK, f" {chosen}", f" {rejected}", abs(margin), "content", moment.tick))
    return pairs


def replay(by_day: Mapping[int, Sequence[Pair]], preset: str, rng: np.random.Generator) -> list[Pair]:
    """The pairs that a night trains on, in random order.

    Args:
        by_day: Pairs of all days so far.
        preset: ``"equally200"``, ``"equally400"`` (so many of all so far, uniformly), ``"halftoday"`` (all of the last day and
            as many older ones), or one of ``pairs.json``, which give a number of pairs of each kind and the share of them that is
            from the last days.
        rng: Decides.

    Raises:
        ValueError: No such preset.
    """
    days = sorted(by_day)
    everything = [pair for day in days for pair in by_day[day]]
    if not everything:
        return []
    if preset.startswith("equally") and preset[7:].isdigit():
        return _draw(everything, int(preset[7:]), rng)
    if preset == "halftoday":
        today = list(by_day[days[-1]])
        return _draw(today + _draw([p for d in days[:-1] for p in by_day[d]], len(today), rng), len(everything), rng)
    known = _numbers()["replay"]
    if preset not in known:
        names = [*known, "equally200", "equally400", "halftoday"]
        raise ValueError(f"unknown replay preset {preset!r}: {near_matches(preset, names)}")
    plan, chosen = known[preset], list[Pair]()
    for kind in ("decision", "content"):
        late = [p for d in days[-plan["recent_days"] :] for p in by_day[d] if p.kind == kind]
        early = [p for d in days[: -plan["recent_days"]] for p in by_day[d] if p.kind == kind]
        recent = _draw(late, round(plan[kind] * (plan["recent_share"] if early else 1)), rng)
        chosen += recent + _draw(early, plan[kind] - len(recent), rng)
    return _draw(chosen, len(chosen), rng)


def _draw(pairs: Sequence[Pair], n: int, rng: np.random.Generator) -> list[Pair]:
    return [pairs[i] for i in rng.permutation(len(pairs))[:n]]
