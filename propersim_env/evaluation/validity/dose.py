"""V10, V11 and V12: how a resident answers to the rate, to one category day after day, and to being interrupted."""

from __future__ import annotations

from functools import lru_cache
from math import erf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.clock import MINUTES_PER_TICK

from .episodes import SIX_AN_HOUR, Results, paced
from .values import Size, Value, residents, sampled, threshold

FACTORS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
DAYS_OF_ONE_CATEGORY = 28
REST_DAYS = 7
ABSORBING = 0.3


@lru_cache(maxsize=2)
def rates(size: Size) -> Results:
    """Episodes at multiples of each person's own rate, at six an hour, and at every tick."""
    n, days = (16, 3) if size == "small" else (64, 7)
    return Results(sampled(n), [*map(paced, FACTORS), SIX_AN_HOUR, "always"], days)


def rate(size: Size) -> list[Value]:
    """V10: utility against rate."""
    results = rates(size)
    n, days = len(results.personas), int(results.each("always", lambda m: float(m.days))[0, 0])
    what = f"{n} sampled personas x {days} days, the best text at even intervals"
    curve = np.array([results.earned(paced(f))[0].mean() for f in FACTORS])
    top = FACTORS[int(curve.argmax())]
    rising, falling = np.diff(curve)[: curve.argmax()], np.diff(curve)[curve.argmax() :]
    turns = int((rising < 0).sum() + (falling > 0).sum())
    own, often = results.earned(paced(1.0))[0], results.earned(SIX_AN_HOUR)[0]
    always = results.earned("always")[0]
    factor = threshold("rate_factor")
    return [
        Value("V10", "rate of the highest utility, as a multiple of n*", top, (1 / factor, factor), "within", what),
        Value("V10", "departures from one rise and one fall", turns, 0, "equal", what),
        Value("V10", "share of people to whom 6 an hour is worth less than their own n*", float((often < own).mean()),
              threshold("six_an_hour"), ">=", what),
        Value("V10", "share of people to whom always speaking is worth less than silence", float((always < 0).mean()), 1.0,
              "equal", what),
    ]


def _chance(margin: float, sd: float) -> float:
    return 0.5 * (1 + erf(margin / sd / sqrt(2)))


def _moment(resident: Any, topic: int) -> int:
    """A tick of today at which the topic fits as well as it ever does, no need being open for it."""
    plan, rater = resident.plan, resident.rater
    ticks = range(plan.wake, plan.sleep, 6)
    return max(ticks, key=lambda t: rater.topic_values(plan, t)[topic][0])


def _category(resident: Any) -> list[float]:
    """Chance of the preference mark on each day of one category a day, and one more after the rest."""
    rater, setting = resident.rater, resident.persona.setting
    sd = resident.parameters.noise["preference"]
    topic = int(np.argmax([rater.topic_values(resident.plan, _moment(resident, k))[k][0] for k in range(len(rater.liking))]))
    texts = [t.text for t in setting.catalogue if rater.hear(t.text).topics[:1] and rater.hear(t.text).topics[0][0] == topic]
    texts.sort(key=lambda t: -rater.hear(t).topics[0][1])
    chances = []
    for day in range(DAYS_OF_ONE_CATEGORY + REST_DAYS):
        if day < DAYS_OF_ONE_CATEGORY or day == DAYS_OF_ONE_CATEGORY + REST_DAYS - 1:
            resident.tick = _moment(resident, topic)
            resident.mind.served = -1  # no need is open: what is measured is liking
            text = texts[day % min(len(texts), 8)]
            margin = resident.judge(text).margins[0] - float(resident.plan.noise[0, resident.tick])
            chances.append(_chance(margin, sd))
            if day < DAYS_OF_ONE_CATEGORY:
                resident.deliver(text)
        resident.next_day()
    return chances


@lru_cache(maxsize=2)
def category_effect(size: Size) -> NDArray[np.float64]:
    """Effect of one category a day: mean chance of the preference mark by day, the last entry after the rest."""
    users = residents(sampled(24 if size == "small" else 128))
    return np.array([_category(resident) for resident in users.residents]).mean(axis=0)


def habituation(size: Size) -> list[Value]:
    """V11: one category every day."""
    effect = category_effect(size)
    daily, rested = effect[:-1], effect[-1]
    below = np.flatnonzero(daily <= daily[0] / 2)
    half = float("nan")
    if below.size and below[0] > 0:
        k = int(below[0])
        half = k - 1 + (daily[k - 1] - daily[0] / 2) / (daily[k - 1] - daily[k])
    recovered = (rested - daily[-1]) / (daily[0] - daily[-1])
    what = f"{24 if size == 'small' else 128} sampled personas, the category each likes most, {DAYS_OF_ONE_CATEGORY} days"
    return [
        Value("V11", "days until the effect of one category a day has halved", half, threshold("habituation_days"), "within",
              what),
        Value("V11", f"share of the loss recovered after {REST_DAYS} days' rest", float(recovered), threshold("recovery"),
              "within", what),
    ]


def interruption(size: Size) -> list[Value]:
    """V12: the same text at the beginning of an activity and in the middle of it."""
    n, days = (32, 3) if size == "small" else (128, 7)
    gaps: list[float] = []
    for resident in residents(sampled(n)).residents:
        text = resident.persona.setting.catalogue[0].text
        for _ in range(days):
            for segment in resident.plan.segments[1:-1]:
                gap = _gap(resident, segment, text)
                gaps += [] if gap is None else [gap]
            resident.next_day()
    what = f"{len(gaps)} activities of {n} sampled personas, at least {ABSORBING:g} absorbing, noise averaged"
    return [Value("V12", "rating at a breakpoint less rating mid-task", float(np.mean(gaps)), threshold("breakpoint_gap"),
                  ">=", what)]


def _gap(resident: Any, segment: Any, text: str) -> float | None:
    """Expected rating at the start less that 20 minutes on; None where anything else differs but the breakpoint."""
    first = int(np.ceil(segment.start / MINUTES_PER_TICK))
    middle = first + round(20 / MINUTES_PER_TICK)
    plan, sds = resident.plan, resident.parameters.noise
    if segment.kind.absorption < ABSORBING or middle * MINUTES_PER_TICK >= segment.end or middle >= plan.sleep:
        return None
    margins = []
    for tick in (first, middle):
        resident.tick = tick
        margins.append(np.array(resident.judge(text).margins) - plan.noise[:, tick])
    change = plan.timing[first] - plan.timing[middle]
    p = resident.parameters
    if not np.isclose(change, p.breakpoint_bonus + p.absorption_cost * segment.kind.absorption):
        return None  # a window begins or ends in between
    return sum(_chance(a, sd) - _chance(b, sd) for a, b, sd in [(margins[0][1], margins[1][1], sds["timing"])])
