"""The picture: utility and delivered score by day, one line an assistant, told apart by colour, stroke and mark."""

from __future__ import annotations

from typing import Any

import numpy as np

from .table import Comparison

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#000000")
"""The palette of Okabe and Ito, which people with the common kinds of colour blindness can tell apart; yellow, which is too
pale for a line, is replaced by a violet."""
MARKS = "osD^vPX*"
STROKES = ("-", "--", "-.", ":")
LOWEST = -1.05
"""Utility below this is cut: an assistant that talks all day would flatten all others."""


def learning_curve(comparison: Comparison) -> Any:
    """Utility (share of the oracle) and delivered score by day, with 95 % bands over personas (a matplotlib figure)."""
    from matplotlib.figure import Figure

    rows, days = comparison.rows, np.arange(1, comparison.days + 1)
    names = -(-len(rows) // 3)
    figure = Figure(figsize=(12, 4.9 + 0.22 * names), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, row in enumerate(rows):
        style = {"color": COLOURS[i % len(COLOURS)], "marker": MARKS[i % len(MARKS)], "linewidth": 1.8, "markersize": 5,
                 "linestyle": STROKES[(i // len(COLOURS) + (1 if row.privileged else 0)) % len(STROKES)],
                 "label": row.name + "*" * row.privileged, "zorder": 3}
        for axis, values in ((left, row.utility_by_day), (right, row.delivered_by_day)):
            axis.plot(days, values[:, 0], **style)
            axis.fill_between(days, values[:, 1], values[:, 2], color=style["color"], alpha=0.12, linewidth=0)
    tops = [np.nanmax(np.r_[row.utility_by_day[:, 0], 1.2]) for row in rows]
    left.axhline(0, color="0.5", linewidth=0.9)
    left.set(title="Utility a day (silence 0, oracle 1)", xlabel="day", ylabel="share of the oracle's mean day",
             ylim=(LOWEST if _low(comparison) < -0.5 else min(-0.15, _low(comparison) - 0.1), 1.1 * max(tops)))
    right.set(title="Delivered score (mean rating of what was said)", xlabel="day", ylabel="rating, 0 to 4", ylim=(-0.1, 4.1))
    for axis in (left, right):
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.xaxis.get_major_locator().set_params(integer=True)
        if len(days) > 3:
            axis.axvspan(days[-1] - comparison.last + 0.5, days[-1] + 0.5, color="0.5", alpha=0.08, linewidth=0)
        axis.set_xlim(0.5, days[-1] + 0.5)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=min(3, len(rows)), frameon=False,
                  handlelength=3.5)
    seeds = f", {comparison.seeds} seeds" if comparison.seeds > 1 else ""
    figure.suptitle(f"{len(comparison.personas)} personas{seeds}: mean over personas, 95 % interval; * knows the resident; "
                    f"grey: the last {comparison.last} days" + _cut(comparison), fontsize=10)
    return figure


def _cut(comparison: Comparison) -> str:
    """Which lines are not to be seen on the left."""
    names = [row.name for row in comparison.rows if np.nanmin(np.r_[row.utility_by_day[:, 0], 0.0]) < LOWEST]
    return f"; below -1 and cut on the left: {', '.join(names)}" if names else ""


def _low(comparison: Comparison) -> float:
    """The lowest mean of a day."""
    return float(np.nanmin([np.r_[row.utility_by_day[:, 0], 0.0].min() for row in comparison.rows]))
