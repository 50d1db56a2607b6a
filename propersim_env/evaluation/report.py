"""The report of a run: a table with intervals, a learning-curve picture, and both as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import HEAVY_HEAD, SIMPLE
from rich.table import Table

from propersim_env.episode import log_name
from propersim_env.evaluation.metrics import EpisodeMetrics, measure
from propersim_env.evaluation.runner import RunError, read_config, write_atomically
from propersim_env.evaluation.statistics import Interval, bands, interval, nanmean, ratio
from propersim_env.log import Episode, LogError, read_episode

ORACLE = "oracle"
STAR = "\\*"
WIDE = 125
"""Columns of a terminal from which the whole table fits."""
COLUMNS = {
    "utility": "sum of (rating-2)/2 over what was said, as a share of the oracle's; silence 0, oracle 1",
    "delivered": "mean rating (0-4) of what was said",
    "moment": "mean rating (0-4) over what was said and every need that lapsed",
    "score": "mean rating (0-4) over all waking ticks, the published measure; silent ticks dominate it",
    "missed": "share of needs that lapsed",
    "a_day": "recommendations a day",
    "rate": "recommendations a day over what the person wants (n*)",
    "false_alarms": "share of what was said that was rated 2 or less",
}
HEADERS = {"utility": "utility", "delivered": "delivered score", "moment": "moment score", "score": "score",
           "missed": "missed needs", "a_day": "a day", "rate": "a day / n*", "false_alarms": "false alarms"}


@dataclass(frozen=True)
class AssistantResult:
    """One assistant over all personas.

    Attributes:
        name: Its specification.
        privileged: It knew the resident.
        episodes: Number of episodes.
        columns: Interval over personas for each of `COLUMNS`.
        utility_by_day, delivered_by_day: Shape ``(days, 3)``: mean and interval.
        delivered_daily: Recommendations a day, mean over personas, shape ``(days,)``.
        failures: Decisions without a rating.
    """

    name: str
    privileged: bool
    episodes: int
    columns: dict[str, Interval]
    utility_by_day: NDArray[np.float64]
    delivered_by_day: NDArray[np.float64]
    delivered_daily: NDArray[np.float64]
    failures: int


@dataclass(frozen=True)
class RunResult:
    """All assistants of a run, what could not be counted, and what must be known to read the figures."""

    results: list[AssistantResult]
    personas: int
    seeds: int
    days: int
    incomplete: list[str]
    notes: tuple[str, ...] = ()


def load_metrics(folder: Path) -> tuple[list[EpisodeMetrics], list[str]]:
    """Metrics of every complete episode of a run folder, and a line for each that is not complete.

    Raises:
        RunError: The folder holds no run.
        LogError: A finished log was edited.
    """
    metrics, incomplete = [], []
    first = read_config(folder).get("from_day", 0)
    for episode in episodes(folder):
        if isinstance(episode, Episode):
            metrics.append(measure(episode).since(first))
        else:
            incomplete.append(episode)
    return metrics, incomplete


def episodes(folder: Path) -> Iterator[Episode | str]:
    """Every complete episode of a run folder, checked against its ``run.json``, and a line for each that is not complete.

    Raises:
        RunError: The folder holds no run.
        LogError: A finished log was edited, or is of another run.
    """
    config = read_config(folder)
    for path in sorted(folder.glob("events-*.jsonl")):
        try:
            episode = read_episode(path)
        except LogError as error:
            if "edited" in str(error) or "format" in str(error):
                raise
            yield str(error)
            continue
        begin = episode.begin
        if path.name != log_name(begin["assistant"], begin["persona"]["id"], begin["seed"]) or begin["days"] != config["days"]:
            raise LogError(f"{path}: its content is of another episode ({begin['assistant']} with {begin['persona']['id']}, "
                           f"seed {begin['seed']}, {begin['days']} days): it was copied there; delete it")
        _same_world(path, begin, config)
        yield episode


def _same_world(path: Path, begin: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Refuse an episode of another world than that of the run: a table has one variant, one user, one kind of feedback."""
    user = begin["user"]
    here = {"variant": begin.get("variant"), "user": user["name"], "user_options": user.get("options", {}),
            "feedback": begin.get("feedback", "full"), "reveal_persona": begin["reveal_persona"]}
    for key, value in here.items():
        of_run = config.get(key, "full" if key == "feedback" else None)
        if value != of_run:
            raise LogError(f"{path}: {key} is {json.dumps(value)}, in run.json it is {json.dumps(of_run)}: one table holds one "
                           "variant; it was copied there: delete it, and report each variant from a folder of its own")


WORLD = ("rubric", "setting", "days", "user", "user_options")
"""What runs must share for their episodes to stand in one table. What assistants are told may differ."""


def same_worlds(folders: Sequence[Path], configs: Sequence[Mapping[str, Any]]) -> None:
    """Refuse runs that do not compare.

    Raises:
        RunError: Their worlds differ, or personas of one id.
    """
    known: dict[str, tuple[str, Path]] = {}
    for folder, config in zip(folders, configs, strict=True):
        for key in WORLD:
            if config.get(key) != configs[0].get(key):
                raise RunError(f"{folder}: {key} is {json.dumps(config.get(key))}, in {folders[0]} it is "
                               f"{json.dumps(configs[0].get(key))}: they do not compare; make a table of each")
        for persona, mark in config["personas"].items():
            there, where = known.setdefault(persona, (mark, folder))
            if there != mark:
                raise RunError(f"{folder}: persona {persona} is not the {persona} of {where}: they do not compare")


def summarise(folder: Path) -> RunResult:
    """Read a run folder and compute its results."""
    metrics, incomplete = load_metrics(folder)
    if not metrics:
        raise RunError(f"{folder} has no complete episode yet; run the same command again to finish it")
    config = read_config(folder)
    order = config["assistants"]
    oracle = earned_by_oracle(metrics)
    results = []
    for name in order:
        own = [m for m in metrics if m.assistant == name]
        if own:
            results.append(_summarise_assistant(name, own, oracle))
    personas, seeds = {m.persona for m in metrics}, {m.seed for m in metrics}
    return RunResult(results, len(personas), len(seeds), metrics[0].days, incomplete, _notes(config))


def _notes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What the configuration says of how to read the figures."""
    notes = []
    if names := config.get("splits"):
        notes.append(f"people of {', '.join(names)}")
    if first := config.get("from_day"):
        notes.append(f"only days from the {first + 1}th on count")
    if seen := config.get("allow_seen"):
        notes.append(f"NOT a fair comparison: {', '.join(seen)} has learned from some of these people")
    return tuple(notes)


def earned_by_oracle(metrics: Sequence[EpisodeMetrics]) -> dict[tuple[str, int], float]:
    """What the oracle earned with each persona and seed; NaN where it earned nothing, which makes utility undefined."""
    earned = {(m.persona, m.seed): float(m.utility.sum()) for m in metrics if m.assistant == ORACLE}
    return {home: total if total > 0 else np.nan for home, total in earned.items()}


def over_personas(own: Sequence[EpisodeMetrics], value: Callable[[EpisodeMetrics], Any]) -> NDArray[np.float64]:
    """A value of each episode, averaged over seeds: shape (personas, …), by id of the persona."""
    rows = [[np.asarray(value(m), float) for m in own if m.persona == p] for p in sorted({m.persona for m in own})]
    return np.array([nanmean(np.array(row)) for row in rows])


def values_of(own: Sequence[EpisodeMetrics], oracle: Mapping[tuple[str, int], float]) -> dict[str, NDArray[np.float64]]:
    """Each of `COLUMNS` of one assistant, one value a persona: shape (personas,), by id of the persona."""
    values: dict[str, Callable[[EpisodeMetrics], Any]] = {
        "utility": lambda m: m.utility.sum() / oracle.get((m.persona, m.seed), np.nan),
        "delivered": lambda m: ratio(m.delivered_sum.sum(), m.delivered.sum()),
        "moment": lambda m: ratio(m.moment_sum.sum(), m.moments.sum()),
        "score": lambda m: ratio(m.rating_sum.sum(), m.decisions.sum()),
        "missed": lambda m: ratio(m.missed.sum(), m.needs.sum()),
        "a_day": lambda m: m.delivered.mean(),
        "rate": lambda m: m.delivered.mean() / m.per_day,
        "false_alarms": lambda m: ratio(m.false_alarms.sum(), m.delivered.sum()),
    }
    return {key: over_personas(own, value) for key, value in values.items()}


def _summarise_assistant(
    name: str, own: Sequence[EpisodeMetrics], oracle: Mapping[tuple[str, int], float]
) -> AssistantResult:
    utility = over_personas(own, lambda m: m.utility / (oracle.get((m.persona, m.seed), np.nan) / m.days))
    delivered = over_personas(own, lambda m: ratio(m.delivered_sum, m.delivered))
    return AssistantResult(
        name=name, privileged=any(m.privileged for m in own), episodes=len(own),
        columns={key: interval(values) for key, values in values_of(own, oracle).items()},
        utility_by_day=bands(utility), delivered_by_day=bands(delivered),
        delivered_daily=nanmean(over_personas(own, lambda m: m.delivered)), failures=sum(m.failures for m in own),
    )


def cell(value: Interval, key: str, narrow: bool = False) -> str:
    """An interval as the table prints it: mean above; below it the interval, or where it is narrow half its width."""
    if np.isnan(value.mean):
        return "-"
    if np.isnan(value.low):
        return f"{value.mean:.2f}\nn={value.n}"
    percent = key in ("missed", "false_alarms")
    form = ".0%" if percent else ".1f" if max(abs(value.low), abs(value.high)) >= 20 else ".2f"
    below = f"±{(value.high - value.low) / 2:{form}}" if narrow else f"{value.low:{form}}..{value.high:{form}}"
    return f"{value.mean:{form}}\n{below}"


def table(result: RunResult, width: int = 200) -> Table:
    """The results as a table for a terminal of this width."""
    narrow = width < WIDE
    keys = [key for key in COLUMNS if width >= 95 or key != "false_alarms"]
    what = "half of its" if narrow else "its"
    title = f"{result.personas} personas x {result.seeds} seed{'s' * (result.seeds > 1)} x {result.days} days\n" \
            f"mean over personas, {what} 95% interval below"
    grid = Table(title=title, caption="\n".join(["* knows the resident (an oracle, or tuned in hindsight)", *result.notes]),
                 box=SIMPLE if narrow else HEAVY_HEAD, padding=(0, 0, 0, 0) if narrow else (0, 1), pad_edge=False)
    longest = max(len(row.name) + row.privileged for row in result.results)
    grid.add_column("assistant", overflow="fold", width=min(longest, 15 if narrow else 30))
    for key in keys:
        grid.add_column(HEADERS[key], justify="right")
    for row in _by_utility(result):
        name = row.name + ("*" if row.privileged else "")
        grid.add_row(name, *[cell(row.columns[key], key, narrow) for key in keys])
    return grid


def markdown(result: RunResult) -> str:
    """The results as a Markdown table, for a README or a paper's notes."""
    lines = ["| assistant | " + " | ".join(HEADERS.values()) + " |", "| --- |" + " ---: |" * len(COLUMNS)]
    for row in _by_utility(result):
        cells = [cell(row.columns[key], key).replace("\n", " (") for key in COLUMNS]
        cells = [text + ")" if "(" in text else text for text in cells]
        lines.append(f"| {row.name}{STAR * row.privileged} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _by_utility(result: RunResult) -> list[AssistantResult]:
    return sorted(result.results, key=lambda row: -np.nan_to_num(row.columns["utility"].mean, nan=-np.inf))


def as_json(result: RunResult) -> dict[str, Any]:
    """The results as JSON values; NaN becomes None."""

    def clean(value: Any) -> Any:
        array = np.asarray(value, float)
        return np.where(np.isnan(array), None, np.round(array, 6)).tolist()  # type: ignore[call-overload]

    return {
        "personas": result.personas, "seeds": result.seeds, "days": result.days, "incomplete": result.incomplete,
        "notes": list(result.notes),
        "columns": COLUMNS,
        "assistants": [
            {
                "name": r.name, "privileged": r.privileged, "episodes": r.episodes, "unrated_decisions": r.failures,
                **{k: dict(zip(("mean", "low", "high"), clean([v.mean, v.low, v.high]), strict=True)) | {"n": v.n}
                   for k, v in r.columns.items()},
                "utility_by_day": clean(r.utility_by_day), "delivered_by_day": clean(r.delivered_by_day),
                "recommendations_by_day": clean(r.delivered_daily),
            }
            for r in result.results
        ],
    }


def save(result: RunResult, folder: Path) -> list[Path]:
    """Write ``results.json`` and, where matplotlib is installed, ``learning_curve.png``; returns what was written."""
    written = [folder / "results.json"]
    write_atomically(written[0], json.dumps(as_json(result), indent=1, ensure_ascii=False) + "\n")
    try:
        picture = learning_curve(result)
    except ImportError:
        return written
    picture.savefig(folder / "learning_curve.png", dpi=130)
    return [*written, folder / "learning_curve.png"]


def learning_curve(result: RunResult) -> Any:
    """Utility, delivered score and recommendations by day, one line an assistant, with intervals (a matplotlib figure)."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.6), layout="constrained")
    axes = figure.subplots(1, 3)
    days = np.arange(1, result.days + 1)
    colours = colormaps["tab10"].colors  # type: ignore[attr-defined]
    for i, row in enumerate(result.results):
        style = {"color": colours[i % 10], "linestyle": "--" if row.privileged else "-"}
        for axis, band in ((axes[0], row.utility_by_day), (axes[1], row.delivered_by_day)):
            axis.plot(days, band[:, 0], label=row.name, linewidth=1.8, **style)
            axis.fill_between(days, band[:, 1], band[:, 2], color=style["color"], alpha=0.15, linewidth=0)
        axes[2].plot(days, row.delivered_daily, linewidth=1.8, **style)
    highest = np.nanmax([1.2, *(row.utility_by_day[:, 0].max() for row in result.results)])
    axes[0].set(title="Utility (silence 0, oracle 1)", xlabel="day", ylim=(-1.05, 1.05 * highest))
    axes[0].axhline(0, color="0.6", linewidth=0.8)
    axes[1].set(title="Delivered score (mean rating of what was said)", xlabel="day", ylim=(-0.1, 4.1))
    axes[2].set(title="Recommendations a day", xlabel="day")
    axes[2].set_yscale("symlog", linthresh=1)
    axes[2].set_yticks([0, 1, 3, 10, 30, 100, 300], labels=["0", "1", "3", "10", "30", "100", "300"])
    for axis in axes:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(5, len(result.results)),
                  frameon=False)
    seeds = f", {result.seeds} seeds" if result.seeds > 1 else ""
    figure.suptitle(f"{result.personas} personas{seeds}: mean over personas, 95 % interval; dashed: knows the resident; "
                    "utility below -1 is cut", fontsize=10)
    return figure
