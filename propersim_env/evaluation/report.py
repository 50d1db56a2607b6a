"""The results of a run: what its logs amount to, assistant by assistant and pair by pair; kept as JSON and as pictures.

How they look on a terminal is in `propersim_env.evaluation.tables`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.episode import log_name
from propersim_env.evaluation.comparison import (
    Pair,
    Panel,
    Place,
    compare_assistants,
    declared,
    detectable_line,
    ranking,
)
from propersim_env.evaluation.metrics import COSTS, EpisodeMetrics, day_of_oracle, measure
from propersim_env.evaluation.pictures import learning_curve, performance_profile
from propersim_env.evaluation.runner import RunError, read_config, write_atomically
from propersim_env.evaluation.standing import GOAL, LAST, THRESHOLDS, Standing, standing
from propersim_env.evaluation.statistics import LEVEL, POWER, Interval, bands, interval, nanmean, ratio
from propersim_env.log import Episode, LogError, read_episode

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
        place: Where it stands among the others.
        standing: What the means hide.
    """

    name: str
    privileged: bool
    episodes: int
    columns: dict[str, Interval]
    utility_by_day: NDArray[np.float64]
    delivered_by_day: NDArray[np.float64]
    delivered_daily: NDArray[np.float64]
    failures: int
    place: Place
    standing: Standing


@dataclass(frozen=True)
class RunResult:
    """All assistants of a run, what could not be counted, and what must be known to read the figures.

    Attributes:
        results: The assistants, in the order of the run.
        personas, seeds, days: How many.
        incomplete: A line for each episode that is not counted.
        notes: What the configuration says of how to read the figures.
        by: The measure by which they are ranked and compared.
        pairs: The declared pairs.
    """

    results: list[AssistantResult]
    personas: int
    seeds: int
    days: int
    incomplete: list[str]
    notes: tuple[str, ...] = ()
    by: str = "utility"
    pairs: tuple[Pair, ...] = ()

    @property
    def ranked(self) -> list[AssistantResult]:
        """The assistants from the best to the worst, those without a rank last."""
        return sorted(self.results, key=lambda row: row.place.position)

    @property
    def detectable(self) -> str:
        """How small a difference the table can show, in one line."""
        pairs = [row.place.next_better for row in self.results if row.place.next_better is not None]
        line = detectable_line(pairs, self.personas, f"{HEADERS[self.by]} between neighbours in the ranking")
        unranked = self.by == "utility" and all(row.place.rank is None for row in self.results)
        return line + " There is no oracle whose share utility would be: rank by another measure with --by." * unranked


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


def summarise(
    folder: Path, references: Sequence[str] = (), pairs: Sequence[tuple[str, str]] = (), by: str = "utility"
) -> RunResult:
    """Read a run folder and compute its results.

    Args:
        folder: As ``propersim run`` leaves it.
        references: Assistants that all others are compared with.
        pairs: More pairs to compare.
        by: Measure by which assistants are ranked and compared.

    Raises:
        RunError: The folder holds no run, or no finished episode.
        LogError: A finished log was edited.
        ValueError: A name of no assistant or measure.
    """
    metrics, incomplete = load_metrics(folder)
    if not metrics:
        raise RunError(f"{folder} has no complete episode yet; run the same command again to finish it")
    config = read_config(folder)
    panel = Panel.of(metrics, config["assistants"])
    compared = compare_assistants(panel, declared(panel, references, pairs), by)
    places = {place.name: place for place in ranking(panel, by)}
    results = [_summarise_assistant(panel, places[name]) for name in panel.episodes]
    return RunResult(results, len(panel.personas), len(panel.seeds), metrics[0].days, incomplete, _notes(config), by,
                     tuple(compared))


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


def _summarise_assistant(panel: Panel, place: Place) -> AssistantResult:
    name, own = place.name, panel.episodes[place.name]
    found = panel.means(name)
    return AssistantResult(
        name=name, privileged=any(m.privileged for m in own), episodes=len(own),
        columns={key: interval(found[key]) for key in COLUMNS},
        utility_by_day=bands(panel.by_persona(name, lambda m, oracle: m.utility / day_of_oracle(oracle))),
        delivered_by_day=bands(panel.by_persona(name, lambda m, oracle: ratio(m.delivered_sum, m.delivered))),
        delivered_daily=nanmean(panel.by_persona(name, lambda m, oracle: m.delivered)), failures=sum(m.failures for m in own),
        place=place, standing=standing(panel, name),
    )


def as_json(result: RunResult) -> dict[str, Any]:
    """The results as JSON values; NaN and infinite values become None."""
    return {
        "personas": result.personas, "seeds": result.seeds, "days": result.days, "incomplete": result.incomplete,
        "notes": list(result.notes),
        "columns": COLUMNS,
        "statistics": {"by": result.by, "level": LEVEL, "power": POWER, "test": "paired t over personas, Holm over the pairs",
                       "last_days": LAST, "goal": GOAL, "thresholds": clean(THRESHOLDS)},
        "assistants": [
            {
                "name": r.name, "privileged": r.privileged, "episodes": r.episodes, "unrated_decisions": r.failures,
                **{key: interval_json(value) for key, value in r.columns.items()},
                "utility_by_day": clean(r.utility_by_day), "delivered_by_day": clean(r.delivered_by_day),
                "recommendations_by_day": clean(r.delivered_daily),
                "rank": r.place.rank, "tied": r.place.shared,
                "next_better": None if r.place.next_better is None else pair_json(r.place.next_better),
                **_standing_json(r.standing),
            }
            for r in result.results
        ],
        "pairs": [pair_json(pair) for pair in result.pairs],
    }


def clean(value: Any) -> Any:
    """Numbers for JSON, rounded to six decimals; None where they are not finite."""
    array = np.asarray(value, float)
    return np.where(np.isfinite(array), np.round(array, 6), None).tolist()  # type: ignore[call-overload]


def _small(value: float) -> float | None:
    """A p-value with six significant figures, however small it is."""
    return None if np.isnan(value) else float(f"{value:.6g}")


def interval_json(value: Interval) -> dict[str, Any]:
    """Mean, bounds and number of personas."""
    return {"mean": clean(value.mean), "low": clean(value.low), "high": clean(value.high), "n": value.n}


def pair_json(pair: Pair) -> dict[str, Any]:
    """A pair: the difference is that of the first less that of the second."""
    return {
        "first": pair.first, "second": pair.second, "by": pair.by, "verdict": pair.verdict,
        "difference": interval_json(pair.difference), "p": _small(pair.p), "p_holm": _small(pair.adjusted),
        "low_holm": clean(pair.decided.low), "high_holm": clean(pair.decided.high), "iqm": interval_json(pair.iqm),
        "probability_of_improvement": interval_json(pair.improvement), "minimum_detectable": clean(pair.detectable),
    }


def _standing_json(own: Standing) -> dict[str, Any]:
    when = own.arrival
    return {
        "utility_iqm": interval_json(own.iqm), "utility_iqm_seeds": interval_json(own.iqm_seeds),
        "utility_last_days": interval_json(own.last),
        "worst_tenth": {**interval_json(own.worst), "personas": list(own.worst_personas)},
        "regret": interval_json(own.regret), "regret_by_day": clean(own.regret_by_day),
        "days_to_goal": {"median": clean(when.median), "arrived": when.arrived, "censored": when.known - when.arrived,
                         "by_persona": clean(when.days)},
        "performance_profile": clean(own.profile),
        "cost_a_day": {key: interval_json(own.costs[key]) for key in COSTS},
    }


def save(result: RunResult, folder: Path) -> list[Path]:
    """Write ``results.json`` and, where matplotlib is installed, two pictures; returns what was written."""
    written = [folder / "results.json"]
    write_atomically(written[0], json.dumps(as_json(result), indent=1, ensure_ascii=False) + "\n")
    for name, draw in (("learning_curve.png", learning_curve), ("performance_profile.png", performance_profile)):
        try:
            picture = draw(result)
        except ImportError:
            return written
        picture.savefig(folder / name, dpi=130)
        written.append(folder / name)
    return written
