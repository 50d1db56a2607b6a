"""The table: one row an assistant, the paired differences to a reference, and what can be told apart; Markdown and JSON.

The unit is the persona: a value is computed for each episode, averaged over the seeds of a persona, and then over personas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.evaluation.metrics import EpisodeMetrics
from propersim_env.evaluation.report import ORACLE, STAR
from propersim_env.evaluation.statistics import STUDENT, Interval, interval, nanmean, ratio
from propersim_env.messages import DIMENSIONS

from .runs import Results

FloatArray = NDArray[np.float64]
NEAR = 1.5
"""A rate within this factor of the person's own counts as right (the project's acceptance criterion)."""
NORMAL_975, NORMAL_80 = 1.960, 0.842
"""Quantiles of the normal distribution: two-sided 5 %, and 80 % power."""


@dataclass(frozen=True)
class Row:
    """One assistant.

    Attributes:
        name: Its name.
        privileged: It knew the resident.
        told: What it was told of how it was rated.
        columns: Interval over personas for each of `headers`.
        near, near_last: Share of personas whose rate is within `NEAR` of their own, over all and over the last days.
        utility_last: Utility over the last days, one value a persona; NaN where the oracle earned nothing.
        utility_by_day, delivered_by_day: Shape ``(days, 3)``: mean and interval.
        said: Rated recommendations, all episodes together.
        unrated: Decisions without a rating.
    """

    name: str
    privileged: bool
    told: str
    columns: Mapping[str, Interval]
    near: float
    near_last: float
    utility_last: FloatArray
    utility_by_day: FloatArray
    delivered_by_day: FloatArray
    said: int
    unrated: int


@dataclass(frozen=True)
class Difference:
    """Utility over the last days of an assistant less that of the reference, paired by persona.

    `detectable` is the smallest true difference that so many personas would show in 80 of 100 repetitions (two-sided, 5 %).
    """

    name: str
    interval: Interval
    detectable: float

    @property
    def verdict(self) -> str:
        """``"tie"`` where the interval holds 0, else ``"better"`` or ``"worse"``; ``"unknown"`` where there is none."""
        if np.isnan(self.interval.low):
            return "unknown"
        return "better" if self.interval.low > 0 else "worse" if self.interval.high < 0 else "tie"


@dataclass(frozen=True)
class Comparison:
    """Everything that the table says: `last` is how many of the last days are looked at apart."""

    rows: Sequence[Row]
    personas: Sequence[str]
    seeds: int
    days: int
    last: int
    against: str | None
    differences: Sequence[Difference]


def headers(last: int) -> dict[str, str]:
    """What stands above each column with an interval."""
    end = f", last {last}"
    return {
        "utility": "utility", "utility_last": "utility" + end, "delivered": "delivered score",
        "delivered_last": "delivered score" + end, **{f"{d}_last": d + end for d in DIMENSIONS},
        "rate": "a day / n*", "rate_last": "a day / n*" + end, "score": "tick mean", "missed": "missed needs",
    }


def compare(results: Results, last: int = 3, against: str | None = None) -> Comparison:
    """Compute the table.

    Args:
        results: From `runs.load`.
        last: How many of the last days to look at apart; all, where there are fewer.
        against: Assistant that the others are compared with, pair by pair.
    """
    last = min(last, results.days)
    best = {one.home: float(one.metrics.utility.sum()) for one in results.of(ORACLE)}
    rows = [_row(results, name, best, last) for name in results.names]
    rows.sort(key=lambda row: -np.nan_to_num(row.columns["utility_last"].mean, nan=-np.inf))
    reference = next((row for row in rows if row.name == against), None)
    differences = [] if reference is None else [_difference(row, reference) for row in rows if row is not reference]
    seeds = len({seed for _, seed in results.homes})
    return Comparison(rows, results.personas, seeds, results.days, last, against, differences)


def _row(results: Results, name: str, best: Mapping[tuple[str, int], float], last: int) -> Row:
    own = results.of(name)

    def over_personas(value: Callable[[EpisodeMetrics], Any]) -> FloatArray:
        """Value of each episode, averaged over seeds: shape (personas, …)."""
        rows = [[np.asarray(value(one.metrics), float) for one in own if one.metrics.persona == p] for p in results.personas]
        return np.array([nanmean(np.array(row)) for row in rows])

    def day_of_oracle(m: EpisodeMetrics) -> float:
        total = best[m.persona, m.seed]
        return total / m.days if total > 0 else np.nan  # an oracle that earns nothing makes utility undefined

    end = slice(-last, None)
    values: dict[str, Callable[[EpisodeMetrics], Any]] = {
        "utility": lambda m: m.utility.mean() / day_of_oracle(m),
        "utility_last": lambda m: m.utility[end].mean() / day_of_oracle(m),
        "delivered": lambda m: ratio(m.delivered_sum.sum(), m.delivered.sum()),
        "delivered_last": lambda m: ratio(m.delivered_sum[end].sum(), m.delivered[end].sum()),
        "rate": lambda m: m.delivered.mean() / m.per_day,
        "rate_last": lambda m: m.delivered[end].mean() / m.per_day,
        "score": lambda m: ratio(m.rating_sum.sum(), m.decisions.sum()),
        "missed": lambda m: ratio(m.missed.sum(), m.needs.sum()),
    }
    found = {key: over_personas(value) for key, value in values.items()}
    marks = over_personas(lambda m: ratio(m.dimensions[:, end].sum(axis=1), np.full(4, m.delivered[end].sum())))
    found |= {f"{dimension}_last": marks[:, i] for i, dimension in enumerate(DIMENSIONS)}
    return Row(
        name=name, privileged=any(one.metrics.privileged for one in own), told=" / ".join(sorted({one.told for one in own})),
        columns={key: interval(found[key]) for key in headers(last)},
        near=_near(found["rate"]), near_last=_near(found["rate_last"]), utility_last=found["utility_last"],
        utility_by_day=_daily(over_personas(lambda m: m.utility / day_of_oracle(m))),
        delivered_by_day=_daily(over_personas(lambda m: ratio(m.delivered_sum, m.delivered))),
        said=int(sum(one.metrics.delivered.sum() for one in own)), unrated=sum(one.metrics.failures for one in own),
    )


def _daily(values: FloatArray) -> FloatArray:
    """Shape (personas, days) to (days, 3): mean and interval of each day."""
    return np.array([[found.mean, found.low, found.high] for found in map(interval, values.T)])


def _near(rates: FloatArray) -> float:
    return float(((rates >= 1 / NEAR) & (rates <= NEAR)).mean())


def _difference(row: Row, reference: Row) -> Difference:
    pairs = row.utility_last - reference.utility_last
    pairs = pairs[~np.isnan(pairs)]
    n = len(pairs)
    if n < 2:
        return Difference(row.name, interval(pairs), np.nan)
    quantile = STUDENT[n - 2] if n - 1 <= len(STUDENT) else NORMAL_975
    return Difference(row.name, interval(pairs), (quantile + NORMAL_80) * float(pairs.std(ddof=1)) / n**0.5)


def _number(value: float, key: str = "") -> str:
    if np.isnan(value):
        return "-"
    return f"{value:.0%}" if key == "missed" or key.removesuffix("_last") in DIMENSIONS else f"{value:.2f}"


def with_interval(value: Interval, form: str = ".2f", personas: int = 0) -> str:
    """``"0.41 (0.24..0.58)"``; with the number of personas where it is below `personas`, or nothing more is known."""
    if np.isnan(value.mean):
        return "-"
    if np.isnan(value.low):
        return f"{value.mean:{form}} (n={value.n})"
    return f"{value.mean:{form}} ({value.low:{form}}..{value.high:{form}}" + f", n={value.n}" * (value.n < personas) + ")"


def markdown(comparison: Comparison, foot: Sequence[str] = ()) -> str:
    """The tables as Markdown, with what their columns mean; `foot` is put below."""
    c, titles = comparison, headers(comparison.last)
    broad = ("utility", "utility_last", "delivered", "delivered_last")
    shown: list[str] = ["assistant", "told"]
    for key, title in titles.items():
        shown.append(title)
        if key.startswith("rate"):
            shown.append(f"within x{NEAR}" + title.removeprefix("a day / n*"))
    lines = ["# Results", "", f"{len(c.personas)} personas, {c.seeds} seed{'s' * (c.seeds > 1)}, {c.days} days; mean over "
             "personas, 95 % interval over personas in brackets.", "",
             "| " + " | ".join(t.replace("n*", "n\\*") for t in shown) + " |", "| --- | --- |" + " ---: |" * (len(shown) - 2)]
    for row in c.rows:
        cells = [row.name.replace("|", "\\|") + STAR * row.privileged, row.told]
        for key in titles:
            value = row.columns[key]
            cells.append(with_interval(value, personas=len(c.personas)) if key in broad else _number(value.mean, key))
            if key.startswith("rate"):
                cells.append(f"{row.near if key == 'rate' else row.near_last:.0%}")
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *_legend(c), "", *_paired(c)]
    return "\n".join([*lines, *foot]).rstrip() + "\n"


def _legend(c: Comparison) -> list[str]:
    return [
        f"- \\* knows the resident. *told*: what the assistant learns of its ratings. *last {c.last}*: the last {c.last} days.",
        "- **utility**: sum of (rating - 2) / 2 over delivered texts as a share of the oracle's with the same persona and "
        f"seed; silence 0, oracle 1. For the last days: their mean day as a share of the oracle's mean day over all {c.days}.",
        "- **delivered score**: mean rating (0-4) of delivered texts; persons to whom nothing was said are left out. "
        "**preference, timing, frequency, communication**: share of delivered texts with that mark.",
        "- **a day / n\\***: delivered texts a day over what the person wants; **within**: share of personas for whom that is "
        f"between 1/{NEAR} and {NEAR}.",
        "- **tick mean**: mean rating of all waking ticks, silence included, the published measure. Silence is right nearly "
        "always: it says how quiet an assistant is. **missed needs**: lapsed needs over all needs.",
    ]


def _paired(c: Comparison) -> list[str]:
    if c.against is None:
        return ["No reference was named (`--against`): no paired differences.", ""]
    lines = [f"## Against {c.against}", "", f"Utility over the last {c.last} days less that of {c.against}, paired by persona.",
             "", "| assistant | difference | | detectable |", "| --- | ---: | --- | ---: |"]
    for d in c.differences:
        difference = with_interval(d.interval, "+.2f", len(c.personas))
        lines.append(f"| {d.name} | {difference} | {d.verdict} | {_number(d.detectable)} |")
    known = [d for d in c.differences if not np.isnan(d.detectable)]
    lines += ["", "*tie*: the interval holds 0; the runs do not tell the two apart, which is not to say that they are equal."]
    if known:
        small, large = min(known, key=lambda d: d.detectable), max(known, key=lambda d: d.detectable)
        lines += [f"Minimum detectable difference (80 % power, two-sided 5 %, {len(c.personas)} personas): "
                  f"{small.detectable:.2f} ({small.name}) to {large.detectable:.2f} ({large.name}). Intervals are of single "
                  f"comparisons, not corrected for their number."]
    else:
        lines += ["Minimum detectable difference: unknown from fewer than two personas."]
    return [*lines, ""]


def as_json(c: Comparison) -> dict[str, Any]:
    """Everything as JSON values; NaN becomes None."""
    return {
        "personas": list(c.personas), "seeds": c.seeds, "days": c.days, "last": c.last, "against": c.against,
        "columns": headers(c.last),
        "assistants": [
            {"name": r.name, "privileged": r.privileged, "told": r.told, "said": r.said, "unrated_decisions": r.unrated,
             **{key: _interval_json(value) for key, value in r.columns.items()},
             "within": _clean(r.near), "within_last": _clean(r.near_last), "utility_last_by_persona": _clean(r.utility_last),
             "utility_by_day": _clean(r.utility_by_day), "delivered_by_day": _clean(r.delivered_by_day)}
            for r in c.rows
        ],
        "differences": [{"name": d.name, **_interval_json(d.interval), "verdict": d.verdict, "detectable": _clean(d.detectable)}
                        for d in c.differences],
    }


def _interval_json(value: Interval) -> dict[str, Any]:
    return {"mean": _clean(value.mean), "low": _clean(value.low), "high": _clean(value.high), "n": value.n}


def _clean(value: Any) -> Any:
    array = np.asarray(value, float)
    return np.where(np.isnan(array), None, np.round(array, 6)).tolist()  # type: ignore[call-overload]
