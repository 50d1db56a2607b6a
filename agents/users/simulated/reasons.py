"""What the resident says about a mark: the sentences of ``reasons.json``, filled in with the facts of the moment.

Sentences are made at every spoken tick: a fact is looked up only where the sentence of a deciding term names it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propersim_env.clock import MINUTES_PER_TICK, TICKS_PER_DAY, span_text, time_text
from propersim_env.messages import DIMENSIONS
from propersim_env.persona import Persona, Window
from propersim_env.schema import read_json

from .day import Need

if TYPE_CHECKING:
    from .rater import Judgement
    from .reader import Reading
    from .user import Resident

Fact = Callable[["Resident", "Judgement"], str]
REASONS: dict[str, dict[str, str]] = {
    k: v for k, v in read_json(Path(__file__).with_name("reasons.json")).items() if k in DIMENSIONS
}


def sentences(resident: Resident, judgement: Judgement) -> dict[str, str]:
    """A sentence for each dimension of a judgement of this moment."""
    reasons = {}
    heard = judgement.heard
    for name, term in zip(DIMENSIONS, judgement.terms, strict=True):
        if term == heard.communication_term and name == "communication":
            reasons[name] = heard.reason
            continue
        sentence, rest = _PIECES[name][term]
        for fact, after in rest:
            sentence += fact(resident, judgement) + after
        reasons[name] = sentence
    return reasons


def wording_reason(term: str, persona: Persona, reading: Reading, tone: int) -> str:
    """The sentence about how a text is put, which is the same whenever it is said; `tone` is an index, -1 for none."""
    name = persona.setting.tones[tone].name.lower() if tone >= 0 else "plain"
    return REASONS["communication"][term].format(tone=name, words=reading.words, limit=persona.communication["max_words"])


def silence(resident: Resident, terms: Sequence[str], need: Need | None, waited: int) -> dict[str, str]:
    """What the resident says about silence now; "" where there is nothing to say.

    Args:
        resident: Who was not spoken to.
        terms: The deciding term of each dimension.
        need: The need that was open and unserved.
        waited: Waking ticks since something was said last.
    """
    facts = {
        "why": need.want.why if need else "", "since": time_text(need.start) if need else "",
        "until": end_text(need.end) if need else "", "where": _where(resident, None), "waited": span_text(waited),
        "interval": span_text(resident.planner.interval_ticks),
    }
    return {name: REASONS[name][term].format_map(facts) for name, term in zip(DIMENSIONS, terms, strict=True)}


def window_name(window: Window) -> str:
    """The label of a window, or its times where it has none."""
    return window.label or window_times(window)


def window_times(window: Window) -> str:
    """``"10:30-12:00"``."""
    return "-".join(f"{m // 60:02d}:{m % 60:02d}" for m in (window.start, window.end))


def named_windows(persona: Persona, day: int) -> list[str]:
    """For each tick of a day the name of the window that decides its timing, as ``" (late morning)"``; "" for none."""
    names = [""] * TICKS_PER_DAY
    for window in (*reversed(persona.wanted), *reversed(persona.unwanted)):  # an unwanted window has its way, as in planning
        if window.on(day):
            start, end = (-(-m * 2 // 5) for m in (window.start, window.end))
            names[start:end] = [f" ({window_name(window)})"] * (end - start)
    return names


def doing(resident: Resident) -> str:
    """What the resident is doing now, in words."""
    plan = resident.plan
    return plan.segments[plan.segment[resident.tick]].text


@lru_cache(maxsize=4 * TICKS_PER_DAY)
def ago(ticks: int) -> str:
    """How long ago something was, in words: ``"2 h 10 min"``, or ``"3 days"``."""
    days = round(ticks / TICKS_PER_DAY)
    return span_text(ticks) if ticks < TICKS_PER_DAY else f"{days} day{'s' if days > 1 else ''}"


def count(today: int) -> str:
    """The texts that are still felt, in words."""
    return f"{today} today" if today else "those of the day before"


@lru_cache(maxsize=4 * TICKS_PER_DAY)
def _minutes_text(minutes: float) -> str:
    return span_text(minutes / MINUTES_PER_TICK)


def end_text(tick: int) -> str:
    """Clock time of a tick of the day at which something ends; midnight is ``"24:00"``."""
    return time_text(tick) if tick < TICKS_PER_DAY else "24:00"


def _where(resident: Resident, _: Any) -> str:
    """The activity or window that decides timing now, in brackets."""
    plan, rater = resident.plan, resident.rater
    segment = plan.segments[plan.segment[resident.tick]]
    return f" ({segment.text})" if rater.left_alone(segment.kind) else rater.windows(plan.day)[resident.tick]


FACTS: dict[str, Fact] = {
    "topic": lambda r, j: r.persona.setting.topics[j.topic].name if j.topic >= 0 else "",
    "why": lambda r, j: r.persona.wants[j.want].why if j.want >= 0 else "",
    "ago": lambda _, j: ago(j.repeat_ticks),
    "where": _where,
    "doing": lambda r, _: doing(r),
    "count": lambda _, j: count(j.today),
    "gap": lambda _, j: _minutes_text(j.gap_minutes),
    "wanted_gap": lambda r, _: r.rater.wanted_gap,
    "per_day": lambda r, _: r.rater.wanted_number,
}
"""What a sentence about a text may name, beside what `wording_reason` fills in."""


def _pieces(sentence: str) -> tuple[str, tuple[tuple[Fact, str], ...]]:
    """A sentence cut at its facts: ``"Fits {why}."`` to ``("Fits ", ((FACTS["why"], "."),))``."""
    first, *rest = sentence.split("{")
    pairs = [part.split("}") for part in rest]
    return first, tuple((FACTS[name], after) for name, after in pairs if name in FACTS)


_PIECES = {name: {term: _pieces(sentence) for term, sentence in terms.items()} for name, terms in REASONS.items()}
