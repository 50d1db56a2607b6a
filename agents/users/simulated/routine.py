"""A day of the resident: timed activities from waking to sleeping, drawn from habit, hour and liking.

Meals, washing and work are anchors around which the day hangs; the time between is filled with activities drawn by how
common they are at that hour and how much this person likes what they are about.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from types import SimpleNamespace

from propersim_env.clock import WEEKDAYS, applies, date_of, is_weekend, parse_time
from propersim_env.persona import Persona
from propersim_env.seeding import stream
from propersim_env.setting import ActivityKind

DRAWS_PER_DAY = 512


@dataclass(slots=True)
class Segment:
    """A stretch of one activity, in minutes of the day ``[start, end)``."""

    start: float
    end: float
    kind: ActivityKind
    text: str


class _Pool:
    """Activities of one category, drawn by weight among those that make sense at the hour."""

    def __init__(self, kinds: list[tuple[ActivityKind, float]]) -> None:
        self.kinds = kinds
        self.mean_minutes = sum(sum(k.minutes) / 2 for k, _ in kinds) / len(kinds)
        self._by_hour: dict[int, tuple[list[ActivityKind], list[float]]] = {}

    def draw(self, minute: float, u: float) -> ActivityKind:
        hour = min(int(minute // 60), 23)
        if hour not in self._by_hour:
            fitting = [(k, w) for k, w in self.kinds if k.hours[0] < hour * 60 + 60 and k.hours[1] > hour * 60]
            kinds = fitting or self.kinds
            self._by_hour[hour] = ([k for k, _ in kinds], list(accumulate(w for _, w in kinds)))
        pool, cumulative = self._by_hour[hour]
        return pool[bisect_right(cumulative, u * cumulative[-1] * 0.999999)]


class Routine:
    """The daily life of one persona. `day` plans any day of it; the same seed gives the same day.

    Args:
        persona: Who lives here.
        parameters: See ``parameters.json``.
    """

    def __init__(self, persona: Persona, parameters: SimpleNamespace) -> None:
        self.persona, self.parameters = persona, parameters
        routine = persona.routine
        self.wake, self.sleep = parse_time(routine["wake"]), parse_time(routine["sleep"])
        self.meals = {meal: parse_time(routine[meal]) for meal in ("breakfast", "lunch", "dinner")}
        self.work = [(parse_time(w["from"]), parse_time(w["to"])) for w in routine["work"]]
        self.jitter = max(4.0, parameters.wake_jitter_minutes * (1 - routine["consistency"]))
        self.weekend_shift = routine["weekend_shift_minutes"]
        self.pools = {weekend: self._build_pools(weekend) for weekend in (False, True)}
        self.meal_pools = self._build_meal_pools()
        self.fill = {weekend: self._build_fill(weekend) for weekend in (False, True)}
        self.asleep = next(a for a in persona.setting.activities if a.category == "sleep")

    def _build_pools(self, weekend: bool) -> dict[str, _Pool]:
        persona, day = self.persona, 2 if weekend else 0  # day 2 of the calendar is a Saturday, day 0 a Thursday
        groups: dict[str, list[tuple[ActivityKind, float]]] = {}
        own = {a.id for a in persona.activities}
        for kind in (*persona.activities, *persona.setting.activities):
            liking = max((persona.liking.get(t, 0.0) for t in kind.topics), default=0.0)
            if not applies(kind.days, day) or kind.meal or (kind.needs and persona.liking.get(kind.needs, 0.0) <= 0.2):
                continue
            weight = kind.weight * max(0.15, 1 + 1.5 * liking)
            weight *= self.parameters.own_activity_weight if kind.id in own else 1.0
            if kind.category == "work" and kind.id not in own:
                weight *= 0.4
            groups.setdefault(kind.category, []).append((kind, weight))
        return {category: _Pool(kinds) for category, kinds in groups.items()}

    def _build_meal_pools(self) -> dict[tuple[str, str], list[ActivityKind]]:
        pools: dict[tuple[str, str], list[ActivityKind]] = {}
        for kind in (*self.persona.activities, *self.persona.setting.activities):
            if kind.meal:
                pools.setdefault((kind.category, kind.meal), []).append(kind)
        for kind in self.persona.activities:  # a dish or a table habit of one's own, at the meals whose time it fits
            for meal, at in self.meals.items():
                if kind.category in ("cooking", "eating") and not kind.meal and kind.hours[0] <= at <= kind.hours[1] + 30:
                    pools.setdefault((kind.category, meal), []).append(kind)
        return pools

    def _build_fill(self, weekend: bool) -> list[tuple[list[str], list[float]]]:
        """For each hour, categories that can fill free time, with cumulative weights (occupancy / bout length)."""
        p, persona = self.parameters, self.persona
        own = {kind.category for kind in persona.activities}
        trait = sum(persona.traits[t] * r for t, r in p.exercise_by_trait.items())
        categories, factors = [], []
        for category in p.hourly_share:
            if category in self.pools[weekend]:
                factor = p.free_time_factor[category] * (max(0.2, 1 + trait) if category == "exercise" else 1.0)
                factor *= p.own_category_factor.get(category, 1.0) if category in own else 1.0
                categories.append(category)
                minutes = self.pools[weekend][category].mean_minutes * p.stretch.get(category, 1.0)
                factors.append(factor / minutes)
        shares = [p.hourly_share[category] for category in categories]
        return [
            (categories, list(accumulate((share[hour] + 0.1) * factor for share, factor in zip(shares, factors, strict=True))))
            for hour in range(24)
        ]

    def day(self, seed: int, day: int) -> list[Segment]:
        """Segments that tile the whole day, 0 to 1440 minutes, beginning and ending asleep.

        Args:
            seed: Seed of the episode.
            day: Day counted from 0.
        """
        u = iter(stream(seed, self.persona.id, "routine", day).random(DRAWS_PER_DAY).tolist())
        weekend = is_weekend(day)
        anchors, wake, sleep = self._anchors(u, day, weekend)
        segments = [Segment(0.0, wake, self.asleep, self._phrase(self.asleep, u))]
        now = wake
        for start, end, category, meal in anchors:
            if start - now >= 5:
                now = self._fill_gap(segments, now, start, u, weekend)
            if end - now < 5:
                continue
            if category == "work":
                now = self._work_block(segments, now, end, u, weekend)
            else:
                kind = self._kind(category, meal, now, u, weekend)
                segments.append(Segment(now, end, kind, self._phrase(kind, u)))
                now = end
        if sleep - now >= 5:
            now = self._fill_gap(segments, now, sleep, u, weekend)
        segments.append(Segment(now, 1440.0, self.asleep, self._phrase(self.asleep, u)))
        return segments

    def _anchors(
        self, u: Iterator[float], day: int, weekend: bool
    ) -> tuple[list[tuple[float, float, str, str]], float, float]:
        """Fixed points of the day in order: (start, end, category, meal); then wake and sleep."""
        p, shift = self.parameters, self.weekend_shift if weekend else 0

        def near(minute: float, scale: float = 1.0) -> float:
            return minute + self.jitter * scale * (next(u) + next(u) + next(u) - 1.5) * 2.0  # sd = jitter

        def bout(category: str) -> float:
            return float(p.bout_minutes[category]) * (0.6 + 0.8 * next(u))

        wake = max(240.0, near(self.wake + shift, 0.7))
        sleep = min(1437.5, max(wake + 600, near(self.sleep + shift, 0.7)))
        anchors: list[tuple[float, float, str, str]] = []
        start = wake + 5 * next(u)
        anchors.append((start, start + bout("washing"), "washing", ""))
        for meal in ("breakfast", "lunch", "dinner"):
            at = near(self.meals[meal] + (shift if meal == "breakfast" else shift * 0.5), p.meal_spread[meal])
            at = max(at, wake + 25)
            if next(u) < getattr(p, f"skip_{meal}"):
                continue
            if next(u) < getattr(p, f"cook_{meal}"):
                cooking = bout("cooking") * (0.7 if meal == "breakfast" else 1.1)
                anchors.append((at - cooking, at, "cooking", meal))
            anchors.append((at, at + bout("eating"), "eating", meal))
        if WEEKDAYS[date_of(day).weekday()] in self.persona.routine["work_days"]:
            anchors += [(near(a, 0.4), near(b, 0.4), "work", "") for a, b in self.work]
        start = sleep - bout("washing") - 2
        if next(u) >= p.skip_evening_wash:
            anchors.append((start, sleep - 2, "washing", ""))
        # Work yields to whatever begins during it: split blocks around the other anchors.
        anchors.sort()
        return self._split_work(anchors), wake, sleep

    @staticmethod
    def _split_work(anchors: list[tuple[float, float, str, str]]) -> list[tuple[float, float, str, str]]:
        others = [a for a in anchors if a[2] != "work"]
        pieces = list(others)
        for start, end, category, meal in (a for a in anchors if a[2] == "work"):
            now = start
            for other in others:
                if other[1] > now and other[0] < end:
                    if other[0] - now >= 10:
                        pieces.append((now, other[0], category, meal))
                    now = max(now, other[1])
            if end - now >= 10:
                pieces.append((now, end, category, meal))
        return sorted(pieces)

    def _fill_gap(self, segments: list[Segment], now: float, end: float, u: Iterator[float], weekend: bool) -> float:
        stretch = self.parameters.stretch
        while end - now >= 1:
            categories, cumulative = self.fill[weekend][min(int(now // 60), 23)]
            category = categories[bisect_right(cumulative, next(u) * cumulative[-1] * 0.999999)]
            kind = self.pools[weekend][category].draw(now, next(u))
            until = now + (kind.minutes[0] + (kind.minutes[1] - kind.minutes[0]) * next(u)) * stretch.get(category, 1.0)
            if end - until < 12:
                until = end
            segments.append(Segment(now, until, kind, self._phrase(kind, u)))
            now = until
        return now

    def _work_block(self, segments: list[Segment], now: float, end: float, u: Iterator[float], weekend: bool) -> float:
        while end - now >= 1:
            kind = self._kind("work", "", now, u, weekend)
            until = now + kind.minutes[0] + (kind.minutes[1] - kind.minutes[0]) * next(u)
            if end - until < 20:
                until = end
            segments.append(Segment(now, until, kind, self._phrase(kind, u)))
            now = until
            if end - now > 30 and next(u) < self.parameters.work_break:
                kind = self._kind("rest", "", now, u, weekend)
                until = now + 5 + 10 * next(u)
                segments.append(Segment(now, until, kind, self._phrase(kind, u)))
                now = until
        return now

    def _kind(self, category: str, meal: str, minute: float, u: Iterator[float], weekend: bool) -> ActivityKind:
        if meal:
            kinds = self.meal_pools.get((category, meal))
            if kinds:
                return kinds[int(next(u) * len(kinds))]
        pool = self.pools[weekend].get(category) or self.pools[weekend]["leisure"]
        return pool.draw(minute, next(u))

    @staticmethod
    def _phrase(kind: ActivityKind, u: Iterator[float]) -> str:
        return kind.texts[int(next(u) * len(kind.texts))]
