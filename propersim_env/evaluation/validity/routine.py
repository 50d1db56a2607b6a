"""V3 and V4: whether sampled residents spend their days as people in a time-use survey do."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from propersim_env.clock import MINUTES_PER_TICK, TICKS_PER_DAY, is_weekend

from .values import Size, Value, references, residents, sampled, threshold

DAYS = 14
PEAK_SEARCH = 2
"""Hours on either side of a published peak in which the simulated one is looked for."""


class Diary:
    """Days of many residents, as counts.

    Attributes:
        categories: Names, in the order of the arrays.
        at: Share of people at each category by tick, shape ``(2, categories, 576)``; first weekdays, then weekends.
        bouts, minutes: Number of bouts and minutes a day, shape ``(categories,)``.
        changes: Activity changes a day, one mean for each resident.
    """

    def __init__(self, n: int, days: int = DAYS) -> None:
        users = residents(sampled(n))
        self.categories = sorted(sampled(1)[0].setting.categories)
        place = {c: k for k, c in enumerate(self.categories)}
        at = np.zeros((2, len(place), TICKS_PER_DAY))
        total = np.zeros(2)
        self.bouts, self.minutes = np.zeros(len(place)), np.zeros(len(place))
        self.changes = np.zeros(n)
        for i in range(n):
            planner = users.residents[i].planner
            for day in range(days):
                segments = planner.routine.day(0, day)
                weekend = int(is_weekend(day))
                total[weekend] += 1
                last = ""
                for segment in segments:
                    k = place[segment.kind.category]
                    first, end = int(np.ceil(segment.start / MINUTES_PER_TICK)), int(np.ceil(segment.end / MINUTES_PER_TICK))
                    at[weekend, k, first:end] += 1
                    self.minutes[k] += segment.end - segment.start
                    self.bouts[k] += segment.kind.category != last
                    self.changes[i] += segment.kind.category != last
                    last = segment.kind.category
                self.changes[i] -= 1
        self.at = at / total[:, None, None]
        self.shares = total / total.sum()
        self.bouts /= n * days
        self.minutes /= n * days
        self.changes /= days

    def hourly(self, category: str, weekend: int | None = None) -> NDArray[np.float64]:
        """Percent of people at a category in each hour, shape ``(24,)``; on all days unless told."""
        k = self.categories.index(category)
        at = self.at[weekend, k] if weekend is not None else self.shares @ self.at[:, k]
        hours: NDArray[np.float64] = 100 * at.reshape(24, -1).mean(axis=1)
        return hours


@lru_cache(maxsize=2)
def diary(size: Size) -> Diary:
    """The days that V3, V4 and the card look at."""
    return Diary(100 if size == "small" else 500)


def variation(size: Size) -> NDArray[np.float64]:
    """Total variation between simulated and published days at each hour, over the six activities and the rest, 0..1."""
    table = references()["occupancy"]
    ours = np.stack([diary(size).hourly(name) for name in table])
    theirs = np.array(list(table.values()), float)
    gap = np.vstack([ours - theirs, theirs.sum(axis=0) - ours.sum(axis=0)])
    distance: NDArray[np.float64] = np.abs(gap).sum(axis=0) / 200
    return distance


def peak(hours: NDArray[np.float64], near: int) -> float:
    """Hour of the maximum near a given one; the middle where several hours are about as high (a night's sleep)."""
    around = [(near + d) % 24 for d in range(-PEAK_SEARCH, PEAK_SEARCH + 1)]
    values = hours[around]
    high = np.flatnonzero(values >= 0.95 * values.max())
    place = float(high.mean()) if high.size > 2 else float(values.argmax())
    return near - PEAK_SEARCH + place


def occupancy(size: Size) -> list[Value]:
    """V3: hourly occupancy against the table, and its peaks."""
    n = len(diary(size).changes)
    what = f"{n} sampled personas x {DAYS} days, six activities and the rest"
    values = [Value("V3", "mean total variation over the hours", float(variation(size).mean()),
                    threshold("total_variation"), "<=", what)]
    for name, peaks in references()["peaks"].items():
        hours = diary(size).hourly(name)
        for hour in peaks:
            off = abs(peak(hours, hour) - hour)
            values.append(Value("V3", f"{name}: hours between its peak and the published one at {hour:02d}", off,
                                threshold("peak_hours"), "<=", what))
    return values


def bouts(size: Size) -> list[Value]:
    """V4: changes of activity a day, lengths and numbers of bouts, weekday against weekend."""
    days = diary(size)
    what = f"{len(days.changes)} sampled personas x {DAYS} days"
    values = [Value("V4", "activity changes a day", float(days.changes.mean()), threshold("changes"), "within", what)]
    share = threshold("bout_share")
    for name, (number, minutes) in references()["bouts"].items():
        k = days.categories.index(name)
        length = days.minutes[k] / max(days.bouts[k], 1e-9)
        values.append(Value("V4", f"{name}: minutes of a bout", float(length),
                            (round(minutes * (1 - share), 1), round(minutes * (1 + share), 1)), "within", what))
        held = name in references()["bouts_not_moved"]
        limit = (round(number * (1 - share), 2), round(number * (1 + share), 2))
        values.append(Value("V4", f"{name}: bouts a day", float(days.bouts[k]), limit if held else None, "within",
                            what if held else f"{what}; the survey has {number}, days at home hold more"))
    weekdays, weekends = (np.stack([days.hourly(c, w) for c in days.categories]) for w in (0, 1))
    different = float(np.abs(weekdays - weekends).sum(axis=0).mean() / 200)
    values.append(Value("V4", "total variation between weekdays and weekends", different, threshold("weekend_variation"),
                        ">", what))
    return values
