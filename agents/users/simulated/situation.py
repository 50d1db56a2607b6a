"""A situation given in words, judged by a compiled rubric: for labelled cases, other logs and questions of "what if".

The law of the rater is used where it is the same (frequency, tone, length, flags, near-duplicates). Timing follows the
rubric's moments instead of a planned day, and preference follows meaning: how near a text is to what is wanted and to what
is being done, beyond how near it is to anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import exp
from pathlib import Path
from typing import Any

import numpy as np

from propersim_env.clock import MINUTES_PER_TICK, parse_time
from propersim_env.messages import DIMENSIONS
from propersim_env.persona import Persona, persona_from_dict
from propersim_env.rubric import CompiledRubric, Document, Moment, WantText, compile_rubric
from propersim_env.rubric.assemble import to_persona_dict
from propersim_env.rubric.times import Span
from propersim_env.rubric.words import at_present, doing, lexicon, pattern, situation_words
from propersim_env.schema import DataError, read_json, sourced_values
from propersim_env.setting import Setting

from .parameters import load_parameters
from .rater import Rater
from .reader import Reading, TextReader, is_repeat
from .text_rules import LEXICON_FILE

FILE = Path(__file__).with_name("situation.json")
SILENCE = "No Recommendation"
FEATURES = ("activity", "topic", "words", "refused", "elsewhere", "flagged")
_LEADING_WORDS = 3
_NO_NOUN = r"(?:when|while|as|because|and|or|until|till|before|after|is|are|if|from|between|at|on|around|in|to|for|with)\b"


@dataclass(frozen=True, slots=True)
class Situation:
    """Where, when and after what a text would be said. Minutes count from midnight.

    Attributes:
        minute, wake: Now, and when the person got up.
        weekend: Whether it is one.
        activity, room, next_activity: In words.
        minutes_in_activity: How long it has been going on.
        received: What was heard today, as (minutes ago, text).
    """

    minute: int
    wake: int
    weekend: bool
    activity: str
    room: str = ""
    next_activity: str = ""
    minutes_in_activity: float = 30.0
    received: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CaseRating:
    """Marks by dimension, 0 or 1, with the reason of each; `features` are those of preference (empty for silence)."""

    marks: dict[str, int]
    reasons: dict[str, str]
    features: dict[str, float] = field(default_factory=dict)
    decided: bool = False


def situation_from_case(case: Mapping[str, Any], source: str = "case") -> Situation:
    """Read a case of the labelled format.

    Raises:
        DataError: A field is missing or malformed.
    """
    try:
        received = tuple((float(r["minutes_ago"]), str(r["text"])) for r in case.get("received_today") or ())
        return Situation(
            parse_time(case["time"]), parse_time(case["wake"]), str(case["weekday"]).lower()[:3] in ("sat", "sun"),
            str(case["activity"]), str(case.get("room") or ""), str(case.get("next_activity") or ""),
            float(case.get("minutes_in_activity") or 0.0), received,
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise DataError(source, "", f"is not a case ({type(problem).__name__}: {problem})",
                        'give "time", "wake", "weekday", "activity", and "received_today" as [{"minutes_ago", "text"}]'
                        ) from problem


@lru_cache(maxsize=1)
def situation_numbers() -> dict[str, Any]:
    """Values of ``situation.json``."""
    return sourced_values(read_json(FILE), str(FILE))


class _Reference:
    """What texts are like in general: similarity to a want or an activity counts beyond the similarity to any."""

    def __init__(self, setting: Setting, reader: TextReader) -> None:
        encode = reader.encoder.encode
        self.activities = encode([a.texts[0] for a in setting.activities]).astype(float).mean(0)
        self.topics = encode([t.description for t in setting.topics]).astype(float).mean(0)


class SituationRater:
    """Judges texts, and silence, in situations given in words.

    Example:
        >>> rater = SituationRater(document, setting, text_reader(setting))
        >>> rater.rate(situation, "A handful of thyme would suit that stew.").marks
        {'preference': 1, 'timing': 1, 'frequency': 1, 'communication': 1}
    """

    def __init__(self, document: Document, setting: Setting, reader: TextReader,
                 weights: Mapping[str, float] | None = None) -> None:
        """Compile the document; `weights` replaces those of preference."""
        self.document, self.setting, self.reader = document, setting, reader
        self.numbers, self.p = situation_numbers(), load_parameters()
        self.weights = dict(weights or self.numbers["weights"])
        self.rubric = compile_rubric(document, reader)
        self.persona: Persona = persona_from_dict(to_persona_dict(self.rubric, setting), setting, document.source)
        self.law = Rater(self.persona, self.p, reader)
        self.reference = _Reference(setting, reader)
        self._cues = list(read_json(LEXICON_FILE)["surface"]["cues"])
        self._filler = pattern(lexicon()["asks"]["filler"])
        self._days: dict[int, CompiledRubric] = {}

    def on(self, wake: int) -> CompiledRubric:
        """The rubric on a day with this waking time: "before breakfast" moves with it."""
        if wake not in self._days:
            self._days[wake] = compile_rubric(self.document, self.reader, wake)
        return self._days[wake]

    def rate(self, situation: Situation, text: str) -> CaseRating:
        """Marks and reasons of a text, or of silence ("No Recommendation" or nothing)."""
        rubric = self.on(situation.wake)
        if text.strip().lower() in ("", SILENCE.lower()):
            return self._silence(rubric, situation)
        reading = self.reader.read(text)
        preference, why, features, decided = self._preference(rubric, situation, text, reading)
        timing, when = self._timing(rubric, situation)
        frequency, often = self._frequency(rubric, situation)
        margin, term = self.law.communication(self._spoken(text, reading))
        values = (preference, timing, frequency, int(margin > 0))
        return CaseRating(dict(zip(DIMENSIONS, values, strict=True)),
                          dict(zip(DIMENSIONS, (why, when, often, term), strict=True)), features, decided)

    def _spoken(self, text: str, reading: Reading) -> Reading:
        """The reading without tones that are heard in words that do not show them."""
        cleaned, tones = self.reader.rules.clean(text), reading.tones.copy()
        cues = dict(zip(self._cues, self.reader.rules.surface(cleaned.shown, cleaned.lowered.split()), strict=False))
        for tone, cue in self.numbers["needs_cue"].items():
            if tone in self.reader.tone_ids:
                k = self.reader.tone_ids.index(tone)
                if not cues.get(cue) and not self.reader._markers[k].search(cleaned.lowered):
                    tones[k] = 0.0
        return replace(reading, tones=tones)

    # --- preference ---------------------------------------------------------------------------------------------------

    def _encode(self, text: str) -> np.ndarray:
        return np.asarray(self.reader.encoder.encode([text])[0], float)

    def _near(self, embedding: np.ndarray, want: WantText) -> float:
        return float(embedding @ self._encode(self._filler.sub(" ", want.content)))

    def features(self, rubric: CompiledRubric, situation: Situation, reading: Reading, text: str) -> dict[str, float]:
        """Features of preference.

        ``activity``: how near the text is to what is done now and next, beyond how near it is to anything; ``topic``: topics
        shared with what is done or with a want whose situation holds; ``words``: how far its leading words are met by words of
        the activity; ``refused``: how much nearer it is to a refused content than to one wanted here, 0 if it is not;
        ``elsewhere``: topics shared with a want whose situation is absent, beyond ``topic``; ``flagged``: 1 if something
        spoils it.
        """
        embedding = reading.embedding.astype(float)
        done = self._encode(f"{situation.activity}. {situation.next_activity}")
        wants = [w for w in rubric.wants if w.kind in ("tied", "general")]
        here = [self._holds(situation, w) for w in wants]
        held, absent = ([w for w, holds in zip(wants, here, strict=True) if holds is kind] for kind in (True, False))
        topic = max(self._shared(reading, text) for text in (situation.activity, *(w.content for w in held)))
        away = max((self._shared(reading, w.content) for w in absent), default=0.0)
        ground = float(embedding @ self.reference.topics)
        near = max((self._near(embedding, w) for w in held), default=ground) - ground
        refused = max((self._near(embedding, w) for w in rubric.wants if w.kind == "refused"), default=ground) - ground
        met = self._met(text, situation.activity)
        return {
            "activity": float(embedding @ done) - float(embedding @ self.reference.activities),
            "topic": topic, "words": float(np.sort(met)[::-1][:_LEADING_WORDS].mean()) if met.size else 0.0,
            "refused": max(0.0, refused - max(0.0, near)), "elsewhere": max(0.0, away - topic),
            "flagged": float(not reading.flags.isdisjoint(self.numbers["spoiling_flags"])),
        }

    def _shared(self, reading: Reading, other: str) -> float:
        """Topics that two texts have in common, 0..1."""
        return float(reading.topics @ self.reader.read(other).topics)

    def _holds(self, situation: Situation, want: WantText) -> bool:
        """Whether the situation that a stated want is tied to is there; True for one that is tied to none."""
        if not want.situation or any(s.holds(situation.minute, situation.weekend) for s in want.spans):
            return True
        here = doing(situation.activity) | doing(situation.next_activity)
        if want.concepts and len(here & want.concepts) >= self.numbers["match_concepts"] * len(want.concepts):
            return True
        there = (at_present(situation.activity), situation.next_activity.lower())
        return max(self.alignment(want.situation, t) for t in there) >= self.numbers["match_words"]

    def _preference(self, rubric: CompiledRubric, situation: Situation, text: str,
                    reading: Reading) -> tuple[int, str, dict[str, float], bool]:
        features = self.features(rubric, situation, reading, text)
        for ago, heard in situation.received:
            if is_repeat(reading, self.reader.read(heard), self.law.repeat_limits):
                return 0, f"repeat: said {ago:g} minutes ago", features, True
        void = sorted(reading.flags & set(self.numbers["void_flags"]))
        if void:
            return 0, f"recommends nothing: {', '.join(void)}", features, True
        refused = [w for w in rubric.wants if w.kind == "refused"]
        embedding = reading.embedding.astype(float)
        worst = max(((self._near(embedding, w), w.content) for w in refused), default=(0.0, ""))
        stated = [w for w in rubric.wants if w.kind in ("tied", "general")] or [w for w in rubric.wants if w.kind == "profile"]
        near = max(((self._near(embedding, w), w.content) for w in stated), default=(0.0, ""))
        if worst[0] - max(0.0, near[0] - float(embedding @ self.reference.topics)) > self.numbers["refused_topic"]:
            return 0, f"refused: {worst[1]}", features, True
        margin = self.weights["base"] + sum(self.weights[name] * features[name] for name in FEATURES)
        parts = ", ".join(f"{name} {features[name]:+.2f}" for name in FEATURES)
        reason = f"fits, near to: {near[1]}" if margin > 0 else "does not fit what is wanted or done now"
        return int(margin > 0), f"{reason} ({parts}; margin {margin:+.2f})", features, False

    # --- timing -------------------------------------------------------------------------------------------------------

    def seen(self, situation: Situation, moment: Moment) -> bool:
        """Whether what the moment names is being done."""
        here = doing(situation.activity)
        if moment.concepts and len(here & moment.concepts) >= self.numbers["match_concepts"] * len(moment.concepts):
            return True
        if self.alignment(moment.phrase, at_present(situation.activity)) >= self.numbers["match_words"]:
            return True
        if not moment.wanted or not moment.concepts:
            return False
        if situation.room and pattern(re.escape(situation.room.lower())).search(moment.phrase):
            return True
        cosine = float(self._encode(situation.activity) @ self._encode(moment.phrase))
        return cosine > self.numbers["match_meaning"]

    def alignment(self, phrase: str, activity: str) -> float:
        """How far the words of a phrase are met by words of the activity, 0..1: each by the likest one."""
        near = self._met(phrase, activity)
        if not near.size or near.max() < self.numbers["same_word"]:
            return 0.0
        return float(np.where(near >= self.numbers["like_word"], near, 0.0).mean())

    def _met(self, text: str, other: str) -> np.ndarray:
        """For each word of a text that says something, the cosine of the likest word of the other."""
        rows, there = self._rows(text), self._rows(other)
        return (rows @ there.T).max(axis=1) if rows.size and there.size else np.zeros(0)

    def _rows(self, text: str) -> np.ndarray:
        """Embeddings of the words of a situation that say something, shape (n, dim)."""
        words = sorted(situation_words(text))
        return np.stack([self._encode(word) for word in words]) if words else np.zeros((0, 0))

    def left_alone(self, rubric: CompiledRubric, situation: Situation) -> tuple[str, bool]:
        """What forbids to speak now and whether that is only said as a reason; ("", False) if nothing does."""
        if "sleep" in doing(situation.activity):
            return "asleep or about to be", False
        found = ("", True)
        for moment in rubric.unwanted():
            if self._forbids(rubric, situation, moment):
                if not moment.soft:
                    return moment.phrase, False
                found = (moment.phrase, True)
        return found

    def _forbids(self, rubric: CompiledRubric, situation: Situation, moment: Moment) -> bool:
        inside = any(s.holds(situation.minute, situation.weekend) for s in moment.spans)
        seen = self.seen(situation, moment)
        if not moment.spans:
            return seen
        if all(s.kind == "daypart" and _qualifies(moment.phrase, s.label) for s in moment.spans):
            return seen and inside  # "my afternoon lessons" are not the afternoon
        if not moment.concepts:
            return inside
        if all(s.kind == "daypart" for s in moment.spans):
            return seen and inside
        wanted = any(s.holds(situation.minute, situation.weekend) for m in rubric.wanted() for s in m.spans)
        return seen or (inside and not wanted)

    def _timing(self, rubric: CompiledRubric, situation: Situation) -> tuple[int, str]:
        minute, weekend = situation.minute, situation.weekend
        alone, soft = self.left_alone(rubric, situation)
        if alone and not soft:
            return 0, f"left alone: {alone}"
        for moment in rubric.wanted():
            span = next((s for s in moment.spans if s.holds(minute, weekend)), None)
            if span and not (alone and span.kind == "daypart" and not moment.soft):
                return 1, f"wanted time: {span.label}"
            if span is None and self.seen(situation, moment) and not alone:
                return 1, f"wanted moment: {moment.phrase}"
        if alone:
            return 0, f"left alone: {alone}"
        stated = [s for m in rubric.wanted() for s in m.spans]
        slots = [s for s in rubric.rate.slots if not any(map(s.overlaps, stated))]
        slots += [s for w in rubric.wants if w.kind == "tied" for s in w.spans if s.kind == "event"]
        named = next((s for s in slots if s.holds(minute, weekend)), None)
        if named:
            return 1, f"named elsewhere in the rubric: {named.label}"
        if not rubric.wanted():
            return 1, "no wanted time was stated, and this is no unwanted one"
        return 0, "none of the wanted times"

    # --- frequency ----------------------------------------------------------------------------------------------------

    def _frequency(self, rubric: CompiledRubric, situation: Situation) -> tuple[int, str]:
        if not situation.received:
            return 1, "ok: nothing came today"
        agos = sorted(ago for ago, _ in situation.received)
        dose = sum(exp(-ago / 60 / self.p.dose_hours) for ago in agos)
        rate = rubric.rate
        gap, room = self.law.frequency_margins(agos[0] / MINUTES_PER_TICK, dose)
        room = max(room, gap) if rate.most and len(agos) < rate.most and rate.most > self.persona.per_day else room
        margin, term = min(gap, room), "gap" if gap <= room else "dose"
        term = "ok" if margin > 0 else term
        spoken = [situation.minute - ago for ago in agos]
        slot = next((s for s in rate.slots if s.holds(situation.minute)), None)
        if slot and any(slot.holds(int(m)) for m in spoken):
            return 0, f"a second one in a slot: {slot.label}"
        if rate.most and len(agos) >= max(1.0, rate.most):
            return 0, f"dose: {len(agos)} today, at most {rate.most:g}"
        return int(margin > 0), f"{term}: {agos[0]:g} min since the last, {len(agos)} today (margin {margin:+.2f})"

    def _overdue(self, rubric: CompiledRubric, situation: Situation) -> str:
        rate, minute = rubric.rate, situation.minute
        last = min((ago for ago, _ in situation.received), default=float("inf"))
        waiting = min(last, minute - situation.wake)
        limit = rate.overdue(rubric.waking, self.p.overdue_intervals)
        if waiting >= limit:
            return f"overdue: {waiting:g} waking minutes, limit {limit:.0f}"
        spoken = [int(minute - ago) for ago, _ in situation.received]
        passed = [s for s in rate.slots if s.end < minute and s.start >= situation.wake - 60]
        empty = [s.label for s in passed if not any(map(s.holds, spoken))]
        if empty:
            return f"overdue: nothing came in {', '.join(empty)}"
        windows = [s for m in rubric.wanted() for s in m.spans]
        free = any(m.soft for m in rubric.wanted())
        if not free and rate.count and not rate.interval and not rate.slots and rate.count[0] <= len(windows):
            left = sum(s.end > minute for s in windows)
            if len(spoken) + left < rate.count[0]:
                return f"overdue: {len(spoken)} came, {left} wanted times left, {rate.count[0]:g} wanted"
        return ""

    # --- silence ------------------------------------------------------------------------------------------------------

    def missed(self, rubric: CompiledRubric, situation: Situation) -> str:
        """The wanted moment that passes without anything having come in it today; "" if there is none."""
        alone, soft = self.left_alone(rubric, situation)
        if alone and not soft:
            return ""
        spoken = [int(situation.minute - ago) for ago, _ in situation.received]
        for moment in rubric.wanted():
            if moment.soft:
                continue
            span: Span | None = next((s for s in moment.spans if s.holds(situation.minute, situation.weekend)), None)
            if span:
                if not any(span.holds(m) for m in spoken) and not (alone and span.kind == "daypart"):
                    return span.label
            elif not alone and self.seen(situation, moment) and all(
                    ago > self.numbers["recent_minutes"] for ago, _ in situation.received):
                return moment.phrase
        return ""

    def _silence(self, rubric: CompiledRubric, situation: Situation) -> CaseRating:
        missed, overdue = self.missed(rubric, situation), self._overdue(rubric, situation)
        marks = {"preference": int(not missed), "timing": int(not missed), "frequency": int(not overdue), "communication": 1}
        why = f"a wanted moment passes in silence: {missed}" if missed else "silence is fine"
        reasons = {"preference": why, "timing": why, "frequency": overdue or "silence is fine", "communication": "silence"}
        return CaseRating(marks, reasons, {}, True)


def _qualifies(phrase: str, part: str) -> bool:
    """Whether a part of the day only says which of the things named after it are meant."""
    found = re.search(rf"{re.escape(part)} (?!{_NO_NOUN})[a-z]", phrase)
    return found is not None


def persona_number(name: str) -> str:
    """The number in a file name such as ``persona_07.json``, without leading zeros; the whole name if there is none."""
    found = re.search(r"(\d+)$", name)
    return str(int(found[1])) if found else name
