"""How a resident judges: four margins, each with the term that decided it; a mark is a margin plus noise above 0.

Rating is a pure function of (day, tick, mind, text): any candidate can be rated without being delivered.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import exp
from types import SimpleNamespace
from typing import Any

import numpy as np

from propersim_env.clock import MINUTES_PER_TICK, TICKS_PER_DAY, TICKS_PER_HOUR, span_text
from propersim_env.persona import Persona
from propersim_env.setting import ActivityKind

from .day import ALONE, DayPlan
from .mind import NEVER, Mind
from .reader import Reading, RepeatLimits, TextReader
from .reasons import named_windows, wording_reason

TopicValue = tuple[float, str, int]
"""Margin of a topic in a situation, the term that gave it, and the index of the want behind it (-1: none)."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one persona makes of one text, whenever it is said; `reason` is what it says about the wording."""

    reading: Reading
    topics: tuple[tuple[int, float], ...]
    communication: float
    communication_term: str
    reason: str


@dataclass(slots=True)
class Judgement:
    """Margins (noise included) and deciding terms of the four dimensions, and what a delivery would change.

    `today` counts what was heard earlier on that day; `repeat_ticks` is how long ago the same was said, 0 if it was not.
    """

    marks: int
    reaction: str
    margins: tuple[float, float, float, float]
    terms: tuple[str, str, str, str]
    topic: int
    want: int
    serves: int
    gap_minutes: float
    dose: float
    fatigue: float
    heard: Heard
    today: int
    repeat_ticks: int


@lru_cache(maxsize=20_000)
def main_topics(reading: Reading) -> tuple[tuple[int, float], ...]:
    """The up to four topics that carry a text, with their masses, largest first."""
    order = np.argsort(-reading.topics, kind="stable")[:4].tolist()
    return tuple((k, mass) for k in order if (mass := float(reading.topics[k])) > 0.02)


class Rater:
    """Judges texts as one persona would.

    Args:
        persona: Whose taste.
        parameters: See ``parameters.json``.
        reader: Understands text; shared by all personas of a setting.
        trait_effects: Scale of the weakly evidenced effects of traits on annoyance (0, 1, 2).
    """

    def __init__(
        self, persona: Persona, parameters: SimpleNamespace, reader: TextReader, trait_effects: float = 1.0
    ) -> None:
        self.persona, self.p, self.reader, self.trait_effects = persona, parameters, reader, trait_effects
        p, setting = parameters, persona.setting
        self.topic_ids = setting.topic_ids
        self.liking = [persona.liking.get(t, 0.0) for t in self.topic_ids]
        self.want_topic = [setting.topic_index[w.topic] for w in persona.wants]
        self.repeat_limits = RepeatLimits(p.duplicate_share, p.duplicate_similarity, p.duplicate_similarity_few_words)
        self.tied = frozenset(self.want_topic)
        annoyed = sum(persona.traits[t] * r for t, r in p.annoyance_by_trait.items()) * trait_effects
        self.annoyance = max(p.annoyance_least, 1 + annoyed)
        self.gap_ticks = persona.min_gap / MINUTES_PER_TICK
        self.wanted_gap: str = span_text(self.gap_ticks)  # in words, as the next
        self.wanted_number: str = f"{persona.per_day:g}"
        self.dose_limit = p.dose_limit * persona.per_day + p.dose_slack
        self.dose_scale = p.dose_scale * (persona.per_day + 1)
        liked, avoided = persona.communication["tones"], persona.communication["avoid_tones"]
        affinity = setting.tone_affinity
        self.tone_score = np.array([_tone_score(t.id, liked, avoided, affinity, p.akin_tone) for t in setting.tones])
        self.boundaries = frozenset(persona.communication["boundaries"])
        self._values: dict[tuple[tuple[str, ...], int], list[TopicValue]] = {}
        self._heard: dict[str, Heard] = {}
        self._alone = persona.unwanted_activities | ALONE
        self._windows: dict[int, list[str]] = {}

    def of(self, persona: Persona) -> Rater:
        """The rater of the same person with other wishes, but the same manner: what was heard before need not be read anew."""
        other = Rater(persona, self.p, self.reader, self.trait_effects)
        other._heard = self._heard
        return other

    def hear(self, text: str) -> Heard:
        """Read a text once and keep what this persona makes of it (bounded memo)."""
        heard = self._heard.get(text)
        if heard is None:
            reading = self.reader.read(text)
            communication, term = self.communication(reading)
            reason = wording_reason(term, self.persona, reading, self.main_tone(reading))
            heard = Heard(reading, main_topics(reading), communication, term, reason)
            if len(self._heard) >= 20_000:
                self._heard.clear()
            self._heard[text] = heard
        return heard

    def main_tone(self, reading: Reading) -> int:
        """Index of the tone that counts most for or against a text, whichever prevails; -1 if none counts."""
        weights = reading.tones * self.tone_score
        main = int(np.argmax(weights if weights.sum() > 0 else -weights))
        return main if weights[main] else -1

    def communication_parts(self, reading: Reading) -> list[tuple[str, float]]:
        """What the margin of a text's wording adds up from, in the order of adding: the base, the tone, then what it costs."""
        p, limit = self.p, self.persona.communication["max_words"]
        tone = float(reading.tones @ self.tone_score) / max(float(reading.tones.sum()), p.tone_heard)
        parts = [("base", p.communication_base), ("tone_liked" if tone > 0 else "tone_disliked", p.tone_weight * tone)]
        if reading.words > limit:
            parts.append(("length", -p.length_cost * (reading.words - limit) / limit))
        if unclear := self._unclear(reading):
            parts.append(("unclear", -unclear))
        parts += [(flag, -p.flag_costs[flag] * (p.boundary_factor if flag in self.boundaries else 1.0))
                  for flag in sorted(reading.flags - {"vague"})]
        return parts

    def communication(self, reading: Reading) -> tuple[float, str]:
        """Margin of a text's wording, whenever it is said, and the term that decided it."""
        parts = self.communication_parts(reading)
        margin = 0.0
        for _, value in parts:  # not sum(), whose rounding differs between versions of Python
            margin += value
        size, term, signed = max((abs(value), name, value) for name, value in parts[1:])
        return margin, term if size > self.p.term_least and (signed > 0) == (margin > 0) else ("ok" if margin > 0 else term)

    def _unclear(self, reading: Reading) -> float:
        """Margin lost by a text that says nothing, or little in many words."""
        p = self.p
        if "vague" in reading.flags or reading.words < (p.fewest_words if reading.grounded else p.fewest_words_ungrounded):
            return float(p.unclear_cost)
        share = len(reading.content) / max(1, reading.words)
        return float(p.unclear_cost * max(0.0, 1.0 - share / p.content_share))

    def topic_values(self, day: DayPlan, tick: int) -> list[TopicValue]:
        """For each topic, its margin in the situation of that tick, leaving out needs and habituation."""
        kind = day.segments[day.segment[tick]].kind
        want_bits = int(day.want_bits[tick])
        key = (kind.topics, want_bits)
        values = self._values.get(key)
        if values is None:
            values = self._values[key] = [self._topic_value(k, kind.topics, want_bits) for k in range(len(self.liking))]
        return values

    def _topic_value(self, topic: int, activity_topics: tuple[str, ...], want_bits: int) -> TopicValue:
        p, like = self.p, self.liking[topic]
        margin = p.neutral_topic + p.liking_weight * like
        best: TopicValue = (margin, "disliked" if like < p.disliked else "absent" if topic in self.tied else "no_want", -1)
        if like >= p.liked_untied and topic not in self.tied:
            best = max(best, (p.liked_base + p.liked_weight * like, "liked", -1))
        if self.topic_ids[topic] in activity_topics and like > p.disliked:
            best = max(best, (p.fits_activity + p.liking_weight * like, "fits_activity", -1))
        for i, want in enumerate(self.persona.wants):
            if self.want_topic[i] == topic and want_bits >> i & 1:
                best = max(best, (p.want_active + p.liking_weight * want.weight, "want_active", i))
        return best

    def topic_base(self, day: DayPlan, tick: int, mind: Mind, topic: int) -> tuple[float, str, int, int]:
        """`topic_margin` without habituation and satiation."""
        p = self.p
        margin, term, want = self.topic_values(day, tick)[topic]
        serves = 0
        open_bits = int(day.need_bits[tick]) & ~mind.served
        if open_bits and topic in self.tied:
            for need in day.needs:
                if open_bits >> need.index & 1 and self.topic_ids[topic] == need.want.topic:
                    serves |= 1 << need.index
                    value = p.want_open + p.liking_weight * need.want.weight
                    if value > margin:
                        margin, term, want = value, "want_open", self.persona.wants.index(need.want)
        return margin, term, want, serves

    def topic_margin(self, day: DayPlan, tick: int, mind: Mind, topic: int) -> tuple[float, str, int, int]:
        """Margin of a topic now: (margin, term, index of the want or -1, bits of the needs it would serve)."""
        margin, term, want, serves = self.topic_base(day, tick, mind, topic)
        if margin > 0:
            p = self.p
            now = day.day * TICKS_PER_DAY + tick
            habit, full = self.levels(mind, topic, now)
            loss_habit, loss_full = p.habituation_weight * habit, p.satiation_weight * full
            if margin - loss_habit - loss_full <= 0:
                term = "satiated" if loss_full > loss_habit else "habituated"
            margin -= loss_habit + loss_full
        return margin, term, want, serves

    def levels(self, mind: Mind, topic: int, now: int) -> tuple[float, float]:
        """Habituation and satiation of a topic at an absolute tick, each 0..1 or a little above."""
        p = self.p
        habit, full = mind.habituation[topic], mind.satiation[topic]
        if habit:
            days = (now - mind.habituation_tick[topic]) / TICKS_PER_DAY
            habit *= 0.5 ** (days / p.habituation_half_life_days)
        if full:
            hours = (now - mind.satiation_tick[topic]) / TICKS_PER_HOUR
            full *= exp(-hours / p.satiation_hours)
        return habit, full

    def dose(self, mind: Mind, now: int) -> float:
        """Recommendations still felt at an absolute tick."""
        return float(mind.dose * exp(-(now - mind.last_tick) / TICKS_PER_HOUR / self.p.dose_hours))

    def fatigue(self, mind: Mind, now: int) -> float:
        """Fatigue still felt at an absolute tick, 0..``fatigue_limit``."""
        hours = (now - mind.last_tick) / TICKS_PER_HOUR
        return float(mind.fatigue * exp(-hours / self.p.fatigue_hours))

    def judge(self, day: DayPlan, tick: int, mind: Mind, text: str) -> Judgement:
        """Judge a text said at a tick of the day (0..575)."""
        now = day.day * TICKS_PER_DAY + tick
        heard = self.hear(text)
        preference, term_p, topic, want, serves, repeat = self._preference(day, tick, mind, heard, now)
        fatigue = self.fatigue(mind, now)
        timing, term_t = self._timing(day, tick, fatigue)
        gap, dose = now - mind.last_tick, self.dose(mind, now)
        frequency, term_f = self.frequency(gap, dose)
        manner, term_c = heard.communication, heard.communication_term
        if day.company is not None:
            manner, term_c = self._before_others(day, tick, heard)
        noise = day.noise
        margins = (
            preference + float(noise[0, tick]), timing + float(noise[1, tick]), frequency + float(noise[2, tick]),
            manner + float(noise[3, tick]),
        )
        raw = (preference, timing, frequency, manner)
        names = (term_p, term_t, term_f, term_c)
        marks = (margins[0] > 0) | (margins[1] > 0) << 1 | (margins[2] > 0) << 2 | (margins[3] > 0) << 3
        terms = [n if (m > 0) == (r > 0) else "noise" for m, r, n in zip(margins, raw, names, strict=True)]
        understood = marks if topic >= 0 else marks & ~1  # what is not understood cannot be taken up
        return Judgement(
            marks=marks, reaction=self.reaction(understood, float(day.uniform[tick])), margins=margins,
            terms=(terms[0], terms[1], terms[2], terms[3]), topic=topic, want=want,
            serves=serves if marks & 1 else 0, gap_minutes=gap * MINUTES_PER_TICK if mind.delivered else -1.0, dose=dose,
            fatigue=fatigue, heard=heard, today=self.today(mind, now), repeat_ticks=repeat,
        )

    def crowded(self, day: DayPlan, tick: int) -> float:
        """Timing margin lost at a tick because somebody else is in the room."""
        return float(self.p.company_timing) if day.company is not None and day.company.together[tick] else 0.0

    def overheard(self, day: DayPlan, tick: int, heard: Heard) -> float:
        """Communication margin lost at a tick because somebody else hears what is private."""
        if day.company is None or not day.company.together[tick]:
            return 0.0
        share = sum(mass for k, mass in heard.topics if k in day.company.private)
        return float(self.p.company_private) if "privacy" in heard.reading.flags or share >= self.p.company_share else 0.0

    def _before_others(self, day: DayPlan, tick: int, heard: Heard) -> tuple[float, str]:
        """Margin and term of a text's wording, where somebody else may hear it."""
        margin = heard.communication - self.overheard(day, tick, heard)
        return margin, "company" if margin <= 0 < heard.communication else heard.communication_term

    def _preference(
        self, day: DayPlan, tick: int, mind: Mind, heard: Heard, now: int
    ) -> tuple[float, str, int, int, int, int]:
        """Margin, term, main topic, want behind it, bits of needs it would serve, and ticks since the same was said."""
        p, reading = self.p, heard.reading
        if not reading.grounded or not heard.topics:
            return p.ungrounded, "ungrounded", -1, -1, 0, 0
        if "negated" in reading.flags:
            return p.ungrounded, "negated", heard.topics[0][0], -1, 0, 0
        rest = 1.0
        total = 0.0
        first: tuple[float, str, int, int] | None = None
        for topic, mass in heard.topics:
            value = self.topic_margin(day, tick, mind, topic)
            first = first or value
            total += mass * value[0]
            rest -= mass
        assert first is not None
        margin = total + max(rest, 0.0) * p.ungrounded
        term = "mixed" if margin <= 0 < first[0] else first[1]
        repeat, ago = self.repeat_loss(mind, reading, now)
        if repeat:
            margin, term = repeated(margin, repeat, p.repeat_from), "repeat"
        return margin, term, heard.topics[0][0], first[2], first[3], ago

    def repeat_loss(self, mind: Mind, reading: Reading, now: int) -> tuple[float, int]:
        """Margin lost because the same, or nearly the same, was said before, and how many ticks ago; zeros if it was not."""
        p = self.p
        tick = mind.last_heard(reading, self.repeat_limits)
        if tick == NEVER:
            return 0.0, 0
        days = now // TICKS_PER_DAY - tick // TICKS_PER_DAY
        if days == 0:
            return float(p.repeat_same_day), now - tick
        return (float(p.repeat_per_day[days - 1]), now - tick) if days <= len(p.repeat_per_day) else (0.0, 0)

    def left_alone(self, kind: ActivityKind) -> bool:
        """Whether this person wants to be left alone during such an activity."""
        return kind.id in self._alone or kind.category in self._alone

    def windows(self, day: int) -> list[str]:
        """`named_windows` of a day."""
        names = self._windows.get(day % 7)
        if names is None:
            names = self._windows[day % 7] = named_windows(self.persona, day)
        return names

    def today(self, mind: Mind, now: int) -> int:
        """Texts heard so far on the day of an absolute tick."""
        return mind.today if mind.last_tick // TICKS_PER_DAY == now // TICKS_PER_DAY else 0

    def felt(self, fatigue: float) -> float:
        """Timing margin that a level of fatigue takes away."""
        return float(max(0.0, fatigue - self.p.fatigue_free) * self.p.fatigue_weight * self.annoyance)

    def moment(self, day: DayPlan, tick: int) -> tuple[float, bool]:
        """What the activity adds to the timing margin at a tick, and whether these are its first minutes."""
        p, segment = self.p, day.segments[day.segment[tick]]
        fresh = tick * MINUTES_PER_TICK - segment.start <= p.breakpoint_minutes
        return float(p.breakpoint_bonus if fresh else -p.absorption_cost * segment.kind.absorption), fresh

    def _timing(self, day: DayPlan, tick: int, fatigue: float) -> tuple[float, str]:
        p = self.p
        base = float(day.timing[tick])
        felt = self.felt(fatigue)
        moment, fresh = self.moment(day, tick)
        crowded = self.crowded(day, tick)
        window = base - moment + crowded
        if base - felt <= 0 < base:
            term = "fatigue"
        elif base <= 0 < base + crowded:
            term = "company"
        elif window <= p.timing_unwanted + 1e-9:
            term = "unwanted"
        elif window >= p.timing_wanted - 1e-9:
            term = "wanted" if base > 0 else "busy"
        elif base > 0:
            term = "breakpoint" if fresh else "neutral"
        else:
            term = "off_window"
        return base - felt, term

    def frequency_margins(self, gap_ticks: float, dose: float) -> tuple[float, float]:
        """Margin by the gap since the last text (in ticks) and margin by the dose still felt; the smaller one counts."""
        p = self.p
        return (min(p.frequency_most, (gap_ticks / self.gap_ticks - p.gap_tolerance) * p.gap_slope),
                min(p.frequency_most, (self.dose_limit - dose - 1) / self.dose_scale))

    def frequency(self, gap_ticks: float, dose: float) -> tuple[float, str]:
        """Margin of one more text, and the term that decided it: ``"ok"``, ``"gap"`` or ``"dose"``."""
        gap, room = self.frequency_margins(gap_ticks, dose)
        margin = min(gap, room)
        return margin, "ok" if margin > 0 else ("gap" if gap <= room else "dose")

    def reaction(self, marks: int, u: float) -> str:
        """What a resident does about a text with these marks; `u` is uniform in 0..1."""
        if not marks & 8 or not marks & 3:
            return "dismiss"
        if not marks & 2:
            return "ignore" if u < self.p.ignore_busy else "dismiss"
        if marks & 1 and marks & 8:
            return "accept" if u < self.p.accept else "ignore"
        return "dismiss" if u < self.p.dismiss_unwanted else "ignore"

    def deliver(self, day: DayPlan, tick: int, mind: Mind, text: str, judgement: Judgement) -> None:
        """Change the mind by a text that was delivered and judged."""
        p, now = self.p, day.day * TICKS_PER_DAY + tick
        heard = self.hear(text)
        over = -self.frequency(now - mind.last_tick, judgement.dose)[0]
        excess = min(p.fatigue_most, p.fatigue_least + over) if over >= 0 else 0.0
        irrelevant = 0.0 if judgement.marks & 1 else p.fatigue_irrelevance
        mind.fatigue = min(p.fatigue_limit, judgement.fatigue + excess + irrelevant)
        mind.dose = judgement.dose + 1.0
        mind.today = judgement.today + 1
        mind.last_tick, mind.delivered = now, mind.delivered + 1
        topic = judgement.topic
        if topic >= 0:
            habit, full = self.levels(mind, topic, now)
            mind.habituation[topic] = habit + p.habituation_gain * (1 - habit)
            mind.habituation_tick[topic] = now
            if judgement.marks & 1:
                mind.satiation[topic] = max(full, 1.0)
                mind.satiation_tick[topic] = now
        mind.served |= judgement.serves
        total = judgement.marks.bit_count()
        mind.bad = max(0.0, mind.bad + (1.0 if total <= 1 else -1.0 if total >= 3 else 0.0))
        mind.remember(text, heard.reading, now)


def repeated(margin: float, loss: float, most: float) -> float:
    """The margin of a text that was said before: however welcome it is, `most` at most is left to lose from."""
    return min(margin, most) + loss


def _tone_score(tone: str, liked: list[str], avoided: list[str], affinity: Any, weight: float) -> float:
    """How a tone sounds to someone with these tastes, -1..1."""
    if tone in liked:
        return 1.0
    if tone in avoided:
        return -1.0
    near = max((affinity[tone][t] for t in liked), default=0.0)
    far = max((affinity[tone][t] for t in avoided), default=0.0)
    return float(np.clip(weight * near - weight * max(far, 0.0), -1, 1))
