"""The table: one row an assistant, the paired differences to a reference, and what can be told apart; Markdown and JSON.

The unit is the persona: a value is computed for each episode, averaged over the seeds of a persona, and then over personas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.evaluation.comparison import Pair, Panel, compare_values, detectable_line
from propersim_env.evaluation.metrics import day_of_oracle
from propersim_env.evaluation.report import clean, interval_json, pair_json
from propersim_env.evaluation.statistics import Interval, bands, interval, ratio
from propersim_env.evaluation.tables import STAR, pair_notes, pairs_markdown
from propersim_env.messages import DIMENSIONS

from .runs import Results

FloatArray = NDArray[np.float64]
NEAR = 1.5
"""A rate within this factor of the person's own counts as right (the project's acceptance criterion)."""


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
class Comparison:
    """Everything that the table says: `last` is how many of the last days are looked at apart, also in `differences`."""

    rows: Sequence[Row]
    personas: Sequence[str]
    seeds: int
    days: int
    last: int
    against: str | None
    differences: Sequence[Pair]


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
    seeds = len({seed for _, seed in results.homes})
    panel = Panel.named({name: [one.metrics for one in results.of(name)] for name in results.names}, results.personas)
    rows = [_row(results, panel, name, last) for name in results.names]
    rows.sort(key=lambda row: -np.nan_to_num(row.columns["utility_last"].mean, nan=-np.inf))
    pairs = [(row.name, against) for row in rows if row.name != against] if against is not None else []
    last_days = {row.name: panel.measures(row.name, last)["utility"] for row in rows}
    return Comparison(rows, results.personas, seeds, results.days, last, against, compare_values(pairs, last_days, "utility"))


def _row(results: Results, panel: Panel, name: str, last: int) -> Row:
    own = results.of(name)
    found = panel.means(name) | {f"{key}_last": value for key, value in panel.means(name, last).items()}
    return Row(
        name=name, privileged=any(one.metrics.privileged for one in own), told=" / ".join(sorted({one.told for one in own})),
        columns={key: interval(found[key]) for key in headers(last)},
        near=_near(found["rate"]), near_last=_near(found["rate_last"]), utility_last=found["utility_last"],
        utility_by_day=bands(panel.by_persona(name, lambda m, oracle: m.utility / day_of_oracle(oracle))),
        delivered_by_day=bands(panel.by_persona(name, lambda m, oracle: ratio(m.delivered_sum, m.delivered))),
        said=int(sum(one.metrics.delivered.sum() for one in own)), unrated=sum(one.metrics.failures for one in own),
    )


def _near(rates: FloatArray) -> float:
    return float(((rates >= 1 / NEAR) & (rates <= NEAR)).mean())


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
    personas = len(c.personas)
    return [
        f"## Against {c.against}", "", f"Utility over the last {c.last} days less that of {c.against}, paired by persona.", "",
        *pairs_markdown(c.differences), "", *(f"- {note}" for note in pair_notes(c.differences, personas)),
        "- *tie*: the runs do not tell the two apart, which is not to say that they are equal.", "",
        detectable_line(c.differences, personas, f"utility over the last {c.last} days"), "",
    ]


def as_json(c: Comparison) -> dict[str, Any]:
    """Everything as JSON values; NaN becomes None."""
    return {
        "personas": list(c.personas), "seeds": c.seeds, "days": c.days, "last": c.last, "against": c.against,
        "columns": headers(c.last),
        "assistants": [
            {"name": r.name, "privileged": r.privileged, "told": r.told, "said": r.said, "unrated_decisions": r.unrated,
             **{key: interval_json(value) for key, value in r.columns.items()},
             "within": clean(r.near), "within_last": clean(r.near_last), "utility_last_by_persona": clean(r.utility_last),
             "utility_by_day": clean(r.utility_by_day), "delivered_by_day": clean(r.delivered_by_day)}
            for r in c.rows
        ],
        "differences": [pair_json(pair) for pair in c.differences],
    }
