"""Ratings before and after (`rescore`) beside each other: scores, agreement of marks, and how the ranking moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.table import Table

from propersim_env.evaluation.agreement import kappa_of
from propersim_env.evaluation.comparison import Panel
from propersim_env.evaluation.report import HEADERS
from propersim_env.evaluation.rescore import Lived
from propersim_env.evaluation.runner import RunError
from propersim_env.evaluation.statistics import Interval, interval, kendall
from propersim_env.evaluation.tables import STAR, cell
from propersim_env.messages import DIMENSIONS

WIDE = 100
"""Columns of a terminal from which intervals are printed in full."""
RANKED = ("utility", "delivered")
CAVEAT = ("The decisions are those that were taken under the old ratings. This tells how the same behaviour is judged now; it "
          "does not tell how an assistant that learns from ratings would have behaved under the new ones, nor what an oracle "
          "that knew them would earn: utility is a share of what the logged oracle's decisions earn.")
Values = Mapping[str, NDArray[np.float64]]
TOTALS = np.array([mask.bit_count() for mask in range(16)])


@dataclass(frozen=True)
class Row:
    """One assistant.

    Attributes:
        name, privileged, episodes: Which; whether it knew the resident; how many episodes.
        said, same: Texts that were rated both times, and the share of them with the same rating.
        before, after: Each column of the report, one value a persona.
    """

    name: str
    privileged: bool
    episodes: int
    said: int
    same: float
    before: Values
    after: Values


@dataclass(frozen=True)
class Agreement:
    """Marks of one dimension before and after: number of decisions, share equal, Cohen's kappa, shares given."""

    n: int
    equal: float
    kappa: float
    before: float
    after: float


@dataclass(frozen=True)
class Swap:
    """Two assistants whose order turned round: difference first less second, paired by persona, before and after."""

    first: str
    second: str
    before: Interval
    after: Interval

    @property
    def within_noise(self) -> bool:
        """Whether neither difference can be told from none."""
        return all(np.isnan(i.low) or i.low <= 0 <= i.high for i in (self.before, self.after))


@dataclass(frozen=True)
class Ranking:
    """Assistants by one column, best first; Kendall's tau-b over all, and over those that do not know the resident."""

    by: str
    before: Sequence[str]
    after: Sequence[str]
    tau: float
    tau_fair: float
    fair: int
    swaps: Sequence[Swap]


@dataclass(frozen=True)
class Comparison:
    """Everything that was compared. `agreement` has a dimension's marks of texts and of silence."""

    rows: Sequence[Row]
    agreement: Mapping[str, Mapping[str, Agreement]]
    rankings: Sequence[Ranking]
    personas: int
    homes: int
    changes: Sequence[str]
    left_out: Sequence[str]
    days: tuple[int, int]
    counts: Mapping[str, int]
    lived: Sequence[Lived]


def compare(lived: Sequence[Lived], changes: Sequence[str], left_out: Sequence[str]) -> Comparison:
    """Put ratings beside each other, over the personas and seeds that every assistant has finished.

    Args:
        lived: Episodes, from `rescore.rescore`.
        changes: From `rescore.changes`.
        left_out: A line for each episode that is not complete.

    Raises:
        RunError: There is no persona and seed that every assistant has finished.
    """
    names = list(dict.fromkeys(one.name for one in lived))
    homes = [{(o.before.persona, o.before.seed) for o in lived if o.name == name} for name in names]
    shared = set.intersection(*homes) if homes else set()
    if not shared:
        raise RunError("there is no persona and seed that all assistants have finished: run the same commands again to go on, "
                       "or rate the runs again one by one")
    kept = [one for one in lived if (one.before.persona, one.before.seed) in shared]
    left_out = [*left_out, *(f"{o.name} with {o.before.persona}, seed {o.before.seed}: not every assistant has finished it"
                             for o in lived if o not in kept)]
    before = Panel.named({name: [o.before for o in kept if o.name == name] for name in names})
    after = Panel.named({name: [o.after for o in kept if o.name == name] for name in names})
    rows = []
    for name in names:
        own = [o for o in kept if o.name == name]
        said = np.sum([o.marks[1] for o in own], axis=0)
        same = said[TOTALS[:, None] == TOTALS[None, :]].sum()
        rows.append(Row(name, own[0].before.privileged, len(own), int(said.sum()), _share(same, said.sum()),
                        before.means(name), after.means(name)))
    marks = np.sum([o.marks for o in kept], axis=0)
    agreement = {kind: {name: _agreement(marks[k], i) for i, name in enumerate(DIMENSIONS)}
                 for k, kind in ((1, "texts"), (0, "silence"))}
    counts = {key: sum(getattr(o, key) for o in kept) for key in ("unheard", "unrated", "dropped", "catalogue")}
    rows.sort(key=lambda row: -np.nan_to_num(_mean(row.before["utility"]), nan=-np.inf))
    return Comparison(rows, agreement, [r for by in RANKED if (r := _ranking(rows, by)) is not None],
                      len({p for p, _ in shared}), len(shared), changes, left_out,
                      (sum(o.changed_days for o in kept), sum(o.days for o in kept)), counts, kept)


def _share(part: Any, whole: Any) -> float:
    return float(part) / float(whole) if whole else float("nan")


def _mean(values: NDArray[np.float64]) -> float:
    return interval(values).mean


def _agreement(marks: NDArray[np.int64], dimension: int) -> Agreement:
    bit = np.arange(16) >> dimension & 1
    table = np.array([[marks[np.ix_(bit == a, bit == b)].sum() for b in (0, 1)] for a in (0, 1)])
    total = table.sum()
    return Agreement(int(total), _share(np.trace(table), total), kappa_of(table), _share(table[1].sum(), total),
                     _share(table[:, 1].sum(), total))


def _ranking(rows: Sequence[Row], by: str) -> Ranking | None:
    """None where fewer than two assistants have this value both times."""
    ranked = [row for row in rows if not np.isnan([_mean(row.before[by]), _mean(row.after[by])]).any()]
    if len(ranked) < 2:
        return None

    def tau(chosen: Sequence[Row]) -> float:
        return kendall(np.array([_mean(r.before[by]) for r in chosen]), np.array([_mean(r.after[by]) for r in chosen]))

    fair = [row for row in ranked if not row.privileged]
    orders = ([r.name for r in sorted(ranked, key=lambda row: -_mean(row.before[by]))],
              [r.name for r in sorted(ranked, key=lambda row: -_mean(row.after[by]))])
    swaps = []
    for a, b in combinations(ranked, 2):
        before, after = a.before[by] - b.before[by], a.after[by] - b.after[by]
        if (_mean(a.before[by]) - _mean(b.before[by])) * (_mean(a.after[by]) - _mean(b.after[by])) < 0:
            swaps.append(Swap(a.name, b.name, interval(before), interval(after)))
    return Ranking(by, orders[0], orders[1], tau(ranked), tau(fair), len(fair), swaps)


def tables(found: Comparison, width: int = 200) -> list[Table]:
    """Scores, and agreement of marks, for a terminal of this width."""
    narrow = width < WIDE
    below = "half of the 95% interval" if narrow else "95% interval"
    scores = Table(title=f"{found.personas} personas, {found.homes} homes: before, and rated again", box=SIMPLE, pad_edge=False,
                   caption=f"below: {below}; * knows the resident, by the old ratings")
    scores.add_column("assistant", overflow="fold")
    for title in ("utility", "again", "delivered score", "again", "same rating", "texts"):
        scores.add_column(title, justify="right")
    for row in found.rows:
        cells = [cell(interval(side[key]), key, narrow) for key in RANKED for side in (row.before, row.after)]
        scores.add_row(row.name + "*" * row.privileged, *cells, _percent(row.same), f"{row.said:,}")
    marks = Table(title="agreement of marks", box=SIMPLE, pad_edge=False)
    marks.add_column("dimension")
    for title in ("texts: equal", "kappa", "given", "again", "silence: equal", "kappa"):
        marks.add_column(title, justify="right")
    for name in DIMENSIONS:
        said, silent = found.agreement["texts"][name], found.agreement["silence"][name]
        marks.add_row(name, _percent(said.equal), _number(said.kappa), _percent(said.before), _percent(said.after),
                      _percent(silent.equal), _number(silent.kappa))
    return [scores, marks]


def lines(found: Comparison) -> list[str]:
    """What was changed, how the ranking moved, and what was left out."""
    result = [f"changed: {line}" for line in found.changes]
    changed, days = found.days
    if changed:
        result.append(f"the residents' days differ on {changed} of {days} days (activities or needs): moments that the "
                      "assistants met are not these")
    for key, text in (("unheard", "decisions came after the resident had dismissed the assistant, and were not rated"),
                      ("unrated", "decisions that were rated before got no rating"),
                      ("dropped", "alternatives were left out: this user cannot rate what it does not hear")):
        if found.counts[key]:
            result.append(f"{found.counts[key]:,} {text}")
    said = sum(row.said for row in found.rows)
    if any(line.startswith("user option reader") for line in found.changes) and 2 * found.counts["catalogue"] > said:
        result.append(f"a weak test: {found.counts['catalogue']:,} of {said:,} texts are the catalogue's, which all readers "
                      "are fitted on")
    if not found.rankings:
        result.append("fewer than two assistants have a score: there is no ranking")
    for ranking in found.rankings:
        stands = "stands" if not ranking.swaps and ranking.before == ranking.after else "changes"
        fair = f", {ranking.tau_fair:.2f} without those that know the resident" \
            if 2 <= ranking.fair < len(ranking.before) and not np.isnan(ranking.tau_fair) else ""
        result.append(f"the ranking by {HEADERS[ranking.by]} {stands}: Kendall's tau {_number(ranking.tau)} over "
                      f"{len(ranking.before)} assistants{fair}")
        if stands == "changes":
            result += [f"  before: {' > '.join(ranking.before)}", f"  after:  {' > '.join(ranking.after)}"]
        result += [f"  swapped: {s.first} and {s.second}: difference {_signed(s.before)} -> {_signed(s.after)}"
                   + (" (neither can be told from none)" if s.within_noise else "") for s in ranking.swaps]
    return result


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1%}"


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


def _signed(value: Interval) -> str:
    return f"{value.mean:+.2f}" + ("" if np.isnan(value.low) else f" ({value.low:+.2f}..{value.high:+.2f})")


def markdown(found: Comparison) -> str:
    """The same as a page."""
    def joined(key: str, side: Values) -> str:
        text = cell(interval(side[key]), key)
        return text.replace("\n", " (") + ")" * ("\n" in text)

    page = ["# Rated again", "", CAVEAT, "", *(f"- {line.strip()}" for line in lines(found)), "",
            "| assistant | utility | again | delivered score | again | same rating | texts |", "| --- |" + " ---: |" * 6]
    for row in found.rows:
        cells = [joined(key, side) for key in RANKED for side in (row.before, row.after)]
        cells += [_percent(row.same), f"{row.said:,}"]
        page.append(f"| {row.name}{STAR * row.privileged} | " + " | ".join(cells) + " |")
    page += ["", f"{found.personas} personas, {found.homes} homes; mean over personas, 95 % interval in brackets. {STAR} knows "
             "the resident, by the old ratings. *Same rating*: share of texts with the same total from both.", "",
             "| dimension | texts: equal | kappa | given | again | silence: equal | kappa |", "| --- |" + " ---: |" * 6]
    for name in DIMENSIONS:
        said, silent = found.agreement["texts"][name], found.agreement["silence"][name]
        page.append(f"| {name} | {_percent(said.equal)} | {_number(said.kappa)} | {_percent(said.before)} | "
                    f"{_percent(said.after)} | {_percent(silent.equal)} | {_number(silent.kappa)} |")
    page += [f"\n- left out: {line}" for line in found.left_out]
    return "\n".join(page) + "\n"


def as_json(found: Comparison) -> dict[str, Any]:
    """The same as JSON values, and each episode; NaN becomes None."""
    def clean(value: float) -> float | None:
        return None if np.isnan(value) else round(float(value), 6)

    def score(value: Interval) -> dict[str, Any]:
        return {"mean": clean(value.mean), "low": clean(value.low), "high": clean(value.high), "n": value.n}

    def episode(one: Lived) -> dict[str, Any]:
        sides = {side: {"utility": clean(m.utility.sum()), "delivered": int(m.delivered.sum()),
                        "delivered_sum": int(m.delivered_sum.sum()), "decisions": int(m.decisions.sum()),
                        "rating_sum": int(m.rating_sum.sum())}
                 for side, m in (("before", one.before), ("after", one.after))}
        return {"assistant": one.name, "persona": one.before.persona, "seed": one.before.seed, "log": one.path.name, **sides}

    return {
        "changes": list(found.changes), "caveat": CAVEAT, "personas": found.personas, "homes": found.homes,
        "days": {"all": found.days[1], "changed": found.days[0]}, **found.counts,
        "assistants": [{"name": r.name, "privileged": r.privileged, "episodes": r.episodes, "texts": r.said,
                        "same": clean(r.same),
                        **{side: {key: score(interval(values[key])) for key in HEADERS}
                           for side, values in (("before", r.before), ("after", r.after))}} for r in found.rows],
        "agreement": {kind: {name: {"n": a.n, "equal": clean(a.equal), "kappa": clean(a.kappa), "before": clean(a.before),
                                    "after": clean(a.after)} for name, a in by.items()}
                      for kind, by in found.agreement.items()},
        "rankings": [{"by": r.by, "before": list(r.before), "after": list(r.after), "tau": clean(r.tau),
                      "tau_without_privileged": clean(r.tau_fair),
                      "swapped": [{"first": s.first, "second": s.second, "before": score(s.before), "after": score(s.after),
                                   "within_noise": s.within_noise} for s in r.swaps]} for r in found.rankings],
        "episodes": [episode(one) for one in found.lived], "left_out": list(found.left_out),
    }
