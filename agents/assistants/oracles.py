"""Oracles: assistants that know the resident. They measure headroom: what timing, content, or both are worth.

They are bound to the resident's mind and plan; no assistant that is compared with others may do so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import erf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.agents.users.simulated import Resident
from propersim_env.agents.users.simulated.day import DayPlan
from propersim_env.clock import TICKS_PER_DAY, TICKS_PER_HOUR
from propersim_env.seeding import stream

PREFER_NEEDS = 0.1
"""Added to the value of moments with an open need, so that among equal ones those are chosen."""
DOSE_LEVELS = 24
DOSE_AT_BEDTIME = 0.4
"""What a unit of dose at the end of the day is expected to cost on the next, in utility."""
SCHEDULE_RATES = (0.25, 0.5, 0.75, 1.0)
"""Rates at which schedules are tried, as shares of the most that the resident allows."""
TOPICS_TRIED = 4
TEXTS_TRIED = 4
MASS_EXPECTED = 0.8
"""Share of a catalogue text's meaning that lies on its topic, for planning; the text is judged exactly before it is said."""


class Privileged:
    """Common to all oracles: the resident, and the catalogue ordered by how well each text is put for this person."""

    look: Callable[[], Resident]

    def reset(self, seed: int) -> None:
        """Begin an episode; `bind` follows."""
        self.rng = stream(seed, "oracle")
        self._by_topic: dict[int, list[str]] = {}
        self._said: dict[str, int] = {}

    def bind(self, look: Callable[[], Resident]) -> None:
        """Learn everything about the resident."""
        self.look = look
        resident = look()
        setting = resident.persona.setting
        index = setting.topic_index
        fit = {t.text: resident.rater.hear(t.text) for t in setting.catalogue}
        for entry in sorted(setting.catalogue, key=lambda t: (-fit[t.text].communication, t.id)):
            heard = fit[entry.text]
            if heard.topics and heard.topics[0][0] == index[entry.topic]:
                self._by_topic.setdefault(index[entry.topic], []).append(entry.text)
        self.best_manner = max(h.communication for h in fit.values())
        self.texts = [t.text for t in setting.catalogue]

    def candidates(self, resident: Resident) -> list[str]:
        """Texts worth trying now: of the topics that are wanted most, the best put ones that were said longest ago."""
        plan, tick, rater, mind = resident.plan, resident.tick, resident.rater, resident.mind
        margins = [rater.topic_margin(plan, tick, mind, k)[0] for k in range(len(rater.liking))]
        texts = []
        for topic in np.argsort(-np.array(margins), kind="stable")[:TOPICS_TRIED].tolist():
            known = self._by_topic.get(topic, [])
            texts += sorted(known[:24], key=lambda t: self._said.get(t, -1))[:TEXTS_TRIED]
        return texts

    def best_text(self, resident: Resident, dimensions: int = 15) -> tuple[str, int]:
        """The candidate with most marks on the given dimensions (bit mask), then with the largest margins, and its marks."""
        best = ("", -1, -np.inf)
        for text in self.candidates(resident):
            judgement = resident.judge(text)
            count = (judgement.marks & dimensions).bit_count()
            margin = min(judgement.margins[i] for i in range(4) if dimensions >> i & 1)
            if (count, margin) > best[1:]:
                best = (text, count, margin)
        return best[0], best[1]

    def note(self, text: str, now: int) -> str:
        """Remember that a text was said."""
        self._said[text] = now
        return text


def value_of_moments(resident: Resident, best_manner: float, know_content: bool) -> NDArray[np.float64]:
    """Utility that the best text would earn at each tick of today, provided the rate allows it, in -1..1.

    Args:
        resident: With plan and mind.
        best_manner: Communication margin of the best put text.
        know_content: Whether content is known; else a text is expected to miss what is wanted.
    """
    plan, rater, mind = resident.plan, resident.rater, resident.mind
    now = resident.now
    tired = max(0.0, rater.fatigue(mind, now) - rater.p.fatigue_free) * rater.p.fatigue_weight * rater.annoyance
    hours = np.maximum(np.arange(TICKS_PER_DAY) - resident.tick, 0) / TICKS_PER_HOUR
    timing = plan.timing - tired * np.exp(-hours / rater.p.fatigue_hours) + plan.noise[1] > 0
    if not know_content:
        return np.where(timing & plan.available, 0.0, -0.5)
    wanted = _best_topic_margin(resident, plan)
    content = MASS_EXPECTED * wanted + (1 - MASS_EXPECTED) * rater.p.ungrounded + plan.noise[0] > 0
    manner = best_manner + plan.noise[3] > 0
    values: NDArray[np.float64] = (content.astype(float) + timing + manner + 1 - 2) / 2
    open_need = (plan.need_bits & ~mind.served) != 0
    return np.where(plan.available, values + PREFER_NEEDS * (open_need & (values > 0.5)), -1.0)


def _best_topic_margin(resident: Resident, plan: DayPlan) -> NDArray[np.float64]:
    """Margin of the topic wanted most, at each tick from now on; constant between changes of the situation."""
    rater, mind = resident.rater, resident.mind
    opened = plan.need_bits & ~mind.served
    change = np.ones(TICKS_PER_DAY, bool)
    change[1:] = (np.diff(plan.segment) != 0) | (np.diff(plan.want_bits) != 0) | (np.diff(opened) != 0)
    change[:: TICKS_PER_HOUR] = True  # satiation fades within a situation
    change[: resident.tick] = False
    change[resident.tick] = True
    margin = np.full(TICKS_PER_DAY, -1.0)
    points = np.flatnonzero(change[: plan.sleep]).tolist()
    for start, end in zip(points, [*points[1:], plan.sleep], strict=True):
        values = rater.topic_values(plan, start)
        topics = {k for k, (value, _, _) in enumerate(values) if value > 0}
        topics |= {resident.persona.setting.topic_index[n.want.topic] for n in plan.needs if opened[start] >> n.index & 1}
        margin[start:end] = max((rater.topic_margin(plan, start, mind, k)[0] for k in topics), default=-1.0)
    return margin


@dataclass(frozen=True, slots=True)
class DoseRule:
    """How the rate limits a plan: what each recommendation adds to the dose that later ones meet.

    Attributes:
        spacing: Fewest ticks between two.
        limit, scale: One more is welcome while ``(limit - dose - 1) / scale`` plus noise is above 0.
        decay: Factor by which the dose fades in a tick.
        noise: Noise on that margin at each tick of the day.
    """

    spacing: int
    limit: float
    scale: float
    decay: float
    noise: NDArray[np.float64]

    def allows(self, dose: float, tick: int) -> bool:
        """Whether one more is welcome at this dose and tick."""
        return (self.limit - dose - 1) / self.scale + float(self.noise[tick]) > 0


def choose_moments(values: NDArray[np.float64], first: int, last: int, dose: float, rule: DoseRule) -> list[int]:
    """Ticks in ``[first, last)`` with the largest sum of values that the rate allows.

    Dynamic programming backwards over (tick, dose), the dose on a geometric grid with linear interpolation. Where several
    choices are equal, the earliest is taken.

    Args:
        values: Of speaking at each tick of the day.
        first: First tick that may be chosen.
        last: End of the waking day.
        dose: At `first`.
        rule: See `DoseRule`.
    """
    length = last - first
    if length <= 0:
        return []
    grid = np.geomspace(0.05, rule.limit + 1.5, DOSE_LEVELS)
    fade = -np.log(rule.decay) / np.log(grid[1] / grid[0])  # levels a tick
    after = (grid + 1) * rule.decay**rule.spacing
    place = np.clip(np.log(after / grid[0]) / np.log(grid[1] / grid[0]), 0, DOSE_LEVELS - 1.000001)
    low, share = place.astype(int), place % 1
    room = (rule.limit - grid - 1) / rule.scale
    table = np.zeros((length + rule.spacing + 1, DOSE_LEVELS))
    table[length:] = -DOSE_AT_BEDTIME * grid
    take = np.zeros((length, DOSE_LEVELS), bool)
    gains = values[first:last].tolist()
    for t in range(length - 1, -1, -1):
        later = table[t + 1]
        table[t] = later
        table[t, 1:] += fade * (later[:-1] - later[1:])
        if gains[t] > 0:
            then = table[t + rule.spacing]
            taken = gains[t] + then[low] * (1 - share) + then[low + 1] * share
            take[t] = (taken >= table[t]) & (room + rule.noise[first + t] > 0)
            np.copyto(table[t], taken, where=take[t])
    return _follow(take, grid, first, dose, rule)


def _follow(take: NDArray[np.bool_], grid: NDArray[np.float64], first: int, dose: float, rule: DoseRule) -> list[int]:
    """The moments that the table of choices leads to from this dose on."""
    moments, t, step = [], 0, np.log(grid[1] / grid[0])
    while t < len(take):
        level = int(np.clip(np.round(np.log(max(dose, grid[0]) / grid[0]) / step), 0, DOSE_LEVELS - 1))
        ticks = 1
        if take[t, level] and rule.allows(dose, first + t):
            moments.append(first + t)
            dose, ticks = dose + 1, rule.spacing
        dose *= rule.decay**ticks
        t += ticks
    return moments


def dose_rule(resident: Resident) -> DoseRule:
    """The rule that this resident's rate makes today."""
    rater = resident.rater
    spacing = max(1, int(rater.gap_ticks * rater.p.gap_tolerance) + 1)
    decay = float(np.exp(-1 / TICKS_PER_HOUR / rater.p.dose_hours))
    return DoseRule(spacing, rater.dose_limit, rater.dose_scale, decay, resident.plan.noise[2])


class Oracle(Privileged):
    """Knows the resident and the day: speaks at the moments, and with the texts, that earn most within the wanted rate.

    It plans the rest of the day by dynamic programming over when to speak (the rate and spacing the person allows limit it,
    so that speaking now costs what could be said later), plans anew after each text, and judges candidates exactly before it
    speaks. The utility of other assistants is a share of this one's.
    """

    know_content = True

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        super().reset(seed)
        self._day, self._plan = -1, [-1]

    def _replan(self, resident: Resident, first: int) -> None:
        plan, rule = resident.plan, dose_rule(resident)
        if resident.mind.delivered:
            first = max(first, resident.mind.last_tick + rule.spacing - plan.day * TICKS_PER_DAY)
        dose = resident.rater.dose(resident.mind, plan.day * TICKS_PER_DAY + first)
        values = value_of_moments(resident, self.best_manner, self.know_content)
        if not self.know_content:
            values = values + 0.5
        self._day = plan.day
        self._plan = choose_moments(values, first, plan.sleep, dose, rule)

    def act(self, observation: str) -> str:
        """Speak when a planned moment has come."""
        resident = self.look()
        if resident.plan.day != self._day:
            self._replan(resident, resident.tick)
        if not self._plan or resident.tick < self._plan[0]:
            return ""
        text = self.choose(resident)
        if text:
            self._day = -1  # plan anew at the next tick, with what this text has changed
            return self.note(text, resident.now)
        self._replan(resident, resident.tick + 1)
        return ""

    def choose(self, resident: Resident) -> str:
        """What to say at a planned moment, or ``""`` when nothing earns anything after all."""
        text, marks = self.best_text(resident)
        return text if marks >= 3 and resident.judge(text).marks & 4 else ""


class ExpectedOracle(Privileged):
    """Knows the person, the needs and the day, but not the noise of this tick's rating: the most that learning could give.

    The `Oracle` sees how the dice fall and picks the moments at which they fall well, which nobody can learn to do. This one
    speaks where the utility that its best text is expected to earn is at least `worth`.

    Args:
        worth: Expected utility from which it speaks, -1..1. The default is the best of .5 to .9 on sampled personas.
    """

    def __init__(self, worth: float = 0.75) -> None:
        if not -1 <= worth <= 1:
            raise ValueError(f"worth={worth} is not between -1 and 1, the least and the most that a text can earn")
        self.worth = worth

    def act(self, observation: str) -> str:
        """Say what is expected to be rated best, if that is enough."""
        resident = self.look()
        rater, mind, now, sizes = resident.rater, resident.mind, resident.now, resident.planner.sd
        often = rater.frequency(now - mind.last_tick, rater.dose(mind, now))[0]
        timing = float(resident.plan.timing[resident.tick]) - rater.felt(rater.fatigue(mind, now))
        if often < 0 or (1 + _given(timing, sizes[1])) / 2 < self.worth:
            return ""
        noise = resident.plan.noise[:, resident.tick]
        best, most = "", self.worth
        for text in self.candidates(resident):
            margins = np.array(resident.judge(text).margins) - noise
            value = (sum(_given(m, s) for m, s in zip(margins.tolist(), sizes.tolist(), strict=True)) - 2) / 2
            if value >= most:
                best, most = text, value
        return self.note(best, now) if best else ""


def _given(margin: float, size: float) -> float:
    """Probability that a mark is given where noise of this size (standard deviation) is added to the margin."""
    return (1 + erf(margin / size / sqrt(2))) / 2 if size else float(margin > 0)


class TimingOracle(Oracle):
    """Knows when to speak but not what to say: planned moments, random texts of the catalogue."""

    know_content = False

    def choose(self, resident: Resident) -> str:
        """A random text."""
        return self.texts[int(self.rng.integers(len(self.texts)))]


class ContentOracle(Privileged):
    """Knows what to say but not when: random moments at the wanted rate, the best text for each."""

    def act(self, observation: str) -> str:
        """Throw the dice, then say what fits."""
        resident = self.look()
        persona = resident.persona
        if self.rng.random() >= persona.per_day / (persona.waking_minutes / 2.5):
            return ""
        text, _ = self.best_text(resident, dimensions=0b1001)
        return self.note(text, resident.now)


class BestSchedule(Privileged):
    """The best fixed schedule in hindsight: the same clock times every day, random texts.

    For each of several rates, the times are those that would have been welcome most often in the days of this very episode;
    each schedule is then lived through with the texts it would say, and the best one is used: the most that can be had
    without reacting to the person.

    Args:
        days: How many days the schedule is optimised over.
    """

    def __init__(self, days: int = 14) -> None:
        if days < 1:
            raise ValueError(f"days={days}: a schedule needs at least one day to be chosen on")
        self.days = days

    def bind(self, look: Callable[[], Resident]) -> None:
        """Look at all days and choose the times."""
        super().bind(look)
        resident = look()
        self._order = self.rng.permutation(len(self.texts)).tolist()
        self._count = 0
        welcome = np.zeros(TICKS_PER_DAY)
        for day in range(self.days):
            plan = resident.life.on(day).plan
            welcome += (plan.available & (plan.timing + plan.noise[1] > 0)) / self.days
        rule = replace(dose_rule(resident), noise=np.zeros(TICKS_PER_DAY))
        schedules = []
        for share in SCHEDULE_RATES:
            slower = replace(rule, spacing=round(rule.spacing / share), limit=1 + (rule.limit - 1) * share)
            times = choose_moments(welcome, 0, TICKS_PER_DAY, 0.0, slower)
            schedules.append((self._earned(resident, times), times))
        self.times = frozenset(max(schedules)[1])

    def _earned(self, resident: Resident, times: list[int]) -> float:
        """Utility of a schedule, lived through by another self of the resident."""
        other = Resident(resident.persona, resident.seed, {**resident.options, "follow_through": False})
        earned, said = 0.0, 0
        for _ in range(self.days):
            for tick in times:
                if other.plan.available[tick]:
                    other.tick = tick
                    earned += (other.deliver(self.texts[self._order[said % len(self._order)]]).marks.bit_count() - 2) / 2
                    said += 1
            other.next_day()
        return earned

    def act(self, observation: str) -> str:
        """Speak at the chosen times."""
        if self.look().tick not in self.times:
            return ""
        self._count += 1
        return self.texts[self._order[(self._count - 1) % len(self._order)]]


def is_privileged(assistant: Any) -> bool:
    """Whether an assistant asks for knowledge of the resident."""
    return hasattr(assistant, "bind")
