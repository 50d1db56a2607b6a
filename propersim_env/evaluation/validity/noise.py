"""V8 and V9: how far a rating repeats itself, and how far the situation tells whether a text is taken up."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.clock import MINUTES_PER_TICK, TICKS_PER_DAY

from .values import Size, Value, residents, sampled, threshold

SPOKEN_TO = 0.012
"""Share of ticks at which a random text is said: about 4.6 a day."""

LIKED = 0.3
"""Liking of the topics whose texts V9 says: of a random text, content alone decides whether it is taken up."""


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks, ties sharing their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    middle: NDArray[np.float64] = (np.cumsum(count) - (count - 1) / 2)[place]
    return middle


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation of two samples."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def retest(size: Size) -> list[Value]:
    """V8: the same text in the same situation, rated again with fresh noise."""
    n, days = (32, 4) if size == "small" else (128, 14)
    people = sampled(n)
    first, again = residents(people), residents(people, parameters={"noise_stream": 1})
    texts = [t.text for t in people[0].setting.catalogue]
    rng = np.random.default_rng(0)
    ratings: list[tuple[int, int]] = []
    for one, other in zip(first.residents, again.residents, strict=True):
        for _ in range(days):
            for tick in range(one.plan.wake, one.plan.sleep):
                if rng.random() < SPOKEN_TO:
                    one.tick = tick
                    text = texts[int(rng.integers(len(texts)))]
                    rated = one.rater.judge(other.plan, tick, one.mind, text).marks.bit_count()
                    ratings.append((one.deliver(text).marks.bit_count(), rated))
            one.next_day()
            other.next_day()
    a, b = np.array(ratings, float).T
    what = f"{len(ratings)} ratings of random texts, {n} sampled personas x {days} days"
    return [
        Value("V8", "Spearman of ratings with fresh noise", spearman(a, b), threshold("retest"), "within", what),
        Value("V8", "sd of the difference, on the scale 0-4", float((a - b).std()), None, "within", what),
    ]


def _situations(n: int, days: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Features of situations in which a text on a liked topic was said, whether it was taken up, and who it was said to."""
    people = sampled(n, 1)
    categories = sorted(people[0].setting.categories)
    rng = np.random.default_rng(1)
    rows, taken, who = [], [], []
    for i, resident in enumerate(residents(people).residents):
        heard: list[Any] = []
        liking = resident.persona.liking
        texts = [t.text for t in resident.persona.setting.catalogue if liking.get(t.topic, 0.0) >= LIKED]
        for _ in range(days):
            plan = resident.plan
            for tick in range(plan.wake, plan.sleep):
                if rng.random() < SPOKEN_TO:
                    resident.tick = tick
                    rows.append(_features(resident, tick, categories, heard))
                    reaction = resident.deliver(texts[int(rng.integers(len(texts)))]).reaction
                    heard.append((resident.now, reaction))
                    taken.append(reaction == "accept")
                    who.append(i)
            resident.next_day()
    return np.array(rows), np.array(taken, float), np.array(who)


def _features(resident: Any, tick: int, categories: list[str], heard: list[Any]) -> list[float]:
    """What a phone might know: hour, day, kind of activity, how new it is, and how the last messages went."""
    plan = resident.plan
    segment = plan.segments[plan.segment[tick]]
    hour = tick * MINUTES_PER_TICK / 60
    row = [float(int(hour) // 2 == k) for k in range(3, 12)]
    row += [float(segment.kind.category == c) for c in categories]
    row += [float(tick * MINUTES_PER_TICK - segment.start <= 10), float(plan.day % 7 in (2, 3))]
    since = min((resident.now - heard[-1][0]) / TICKS_PER_DAY if heard else 1.0, 1.0)
    accepted = [r == "accept" for _, r in heard[-10:]]
    return [*row, since, since < 0.05, float(np.mean(accepted)) if accepted else 0.0, float(bool(accepted and accepted[-1]))]


def logistic(x: NDArray[np.float64], y: NDArray[np.float64], ridge: float = 1.0) -> NDArray[np.float64]:
    """Weights of a ridge-penalised logistic regression; the first is the constant. Newton's method."""
    x = np.column_stack([np.ones(len(x)), x])
    w = np.zeros(x.shape[1])
    for _ in range(12):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + ridge * np.eye(len(w))
        w = w + np.linalg.solve(hessian, x.T @ (y - p) - ridge * w)
    return w


def auc(scores: NDArray[np.float64], positive: NDArray[np.float64]) -> float:
    """Chance that a positive case scores above a negative one."""
    n = positive.sum()
    return float((ranks(scores)[positive > 0].sum() - n * (n + 1) / 2) / (n * (len(positive) - n)))


def receptivity(size: Size) -> list[Value]:
    """V9: a classifier of acceptance from the situation alone, trained on other people."""
    n, days = (64, 14) if size == "small" else (256, 14)
    x, y, who = _situations(n, days)
    seen = who < n // 2
    weights = logistic(x[seen], y[seen])
    scores = weights[0] + x[~seen] @ weights[1:]
    what = f"{len(y)} texts on liked topics at random times, trained on {n // 2} sampled personas, tested on as many others"
    return [Value("V9", "AUC of acceptance from the situation", auc(scores, y[~seen]), threshold("auc"), "within", what),
            Value("V9", "share of these texts that are taken up", float(y.mean()), None, "within", what)]
