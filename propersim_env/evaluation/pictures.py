"""Pictures of results: learning curves and performance profiles (extra ``plot``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from propersim_env.evaluation.standing import THRESHOLDS

if TYPE_CHECKING:
    from propersim_env.evaluation.report import AssistantResult, RunResult


def learning_curve(result: RunResult) -> Any:
    """Utility, delivered score and recommendations by day, one line an assistant, with intervals (a matplotlib figure)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.6), layout="constrained")
    axes = figure.subplots(1, 3)
    days = np.arange(1, result.days + 1)
    for i, row in enumerate(result.results):
        for axis, band in ((axes[0], row.utility_by_day), (axes[1], row.delivered_by_day)):
            _line(axis, days, band, row, i)
        axes[2].plot(days, row.delivered_daily, linewidth=1.8, **_style(row, i))
    highest = np.nanmax([1.2, *(row.utility_by_day[:, 0].max() for row in result.results)])
    axes[0].set(title="Utility (silence 0, oracle 1)", xlabel="day", ylim=(-1.05, 1.05 * highest))
    axes[0].axhline(0, color="0.6", linewidth=0.8)
    axes[1].set(title="Delivered score (mean rating of what was said)", xlabel="day", ylim=(-0.1, 4.1))
    axes[2].set(title="Recommendations a day", xlabel="day")
    axes[2].set_yscale("symlog", linthresh=1)
    axes[2].set_yticks([0, 1, 3, 10, 30, 100, 300], labels=["0", "1", "3", "10", "30", "100", "300"])
    for axis in axes:
        axis.xaxis.get_major_locator().set_params(integer=True)
    _finish(figure, axes, result, "utility below -1 is cut")
    return figure


def performance_profile(result: RunResult) -> Any:
    """The share of personas with a utility above each value, one line an assistant, with intervals (a matplotlib figure)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axis = figure.subplots()
    for i, row in enumerate(result.results):
        _line(axis, THRESHOLDS, row.standing.profile, row, i)
    axis.set(title="Performance profile", xlabel="utility (silence 0, oracle 1)", ylabel="share of personas above it",
             ylim=(-0.03, 1.03))
    _finish(figure, [axis], result, "")
    return figure


def _style(row: AssistantResult, place: int) -> dict[str, Any]:
    from matplotlib import colormaps

    colours = colormaps["tab10"].colors  # type: ignore[attr-defined]
    return {"color": colours[place % 10], "linestyle": "--" if row.privileged else "-", "label": row.name}


def _line(axis: Any, x: Any, band: Any, row: AssistantResult, place: int) -> None:
    style = _style(row, place)
    axis.plot(x, band[:, 0], linewidth=1.8, **style)
    axis.fill_between(x, band[:, 1], band[:, 2], color=style["color"], alpha=0.15, linewidth=0)


def _finish(figure: Any, axes: Any, result: RunResult, note: str) -> None:
    for axis in axes:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    wide = 5 if len(axes) > 1 else 3
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(wide, len(result.results)),
                  frameon=False)
    seeds = f", {result.seeds} seeds" if result.seeds > 1 else ""
    figure.suptitle(f"{result.personas} personas{seeds}: mean over personas, 95 % interval; dashed: knows the resident"
                    + f"; {note}" * bool(note), fontsize=10)
