"""The report of a run as one HTML file that needs no network: table, learning curves, marks, days of residents, provenance.

What is shown is put into the page as JSON, and ``data/report/page.js`` draws it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from propersim_env.clock import MINUTES_PER_TICK, TICKS_PER_DAY, date_of, parse_time
from propersim_env.episode import log_name
from propersim_env.evaluation.metrics import ORACLE, EpisodeMetrics
from propersim_env.evaluation.report import HEADERS, RunResult, as_json, load_metrics, summarise
from propersim_env.evaluation.runner import read_config, write_atomically
from propersim_env.log import Episode, read_episode
from propersim_env.messages import DIMENSIONS
from propersim_env.schema import DATA

TEMPLATE = DATA / "report"
RESIDENTS = 3
"""Residents whose days are shown: those with whom the best assistant fared worst, middling and best."""
MOST_SAID = 40
"""Texts of a day that are shown of an assistant at most; more would hide each other."""
PERCENT = ("missed", "false_alarms")
Json = dict[str, Any]


def write_page(folder: Path, to: Path | None = None, title: str = "", result: RunResult | None = None) -> Path:
    """Write the report of a run folder.

    Args:
        folder: With at least one finished episode.
        to: The file; ``report.html`` in the folder if None.
        title: Of the page; by default the name of the folder.
        result: From `report.summarise` of this folder, where pairs were declared; by default without any.

    Returns:
        The file.

    Raises:
        RunError: The folder holds no run, or none that is finished.
        LogError: A log was edited.
    """
    to = to or folder / "report.html"
    data = page_data(folder, title or folder.resolve().name, result)
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("</", "<\\/")
    page = _template("page.html")
    for mark, content in (("TITLE", escape(data["title"])), ("STYLE", _template("page.css")), ("SCRIPT", _template("page.js")),
                          ("DATA", text)):  # the data last: nothing in a log can stand for another part
        page = page.replace(f"<!--{mark}-->", content, 1)
    write_atomically(to, page)
    return to


@cache
def _template(name: str) -> str:
    return (TEMPLATE / name).read_text(encoding="utf-8")


def page_data(folder: Path, title: str, result: RunResult | None = None) -> Json:
    """Everything that the page shows, as JSON values."""
    result, config = result or summarise(folder), read_config(folder)
    metrics, _ = load_metrics(folder)
    shown = as_json(result)
    marks = _marks(metrics)
    return {
        "title": title, "about": _about(result), "notes": shown["notes"], "incomplete": shown["incomplete"],
        "detectable": result.detectable, "pairs": shown["pairs"],
        "columns": [{"key": key, "name": name, "about": shown["columns"][key], "percent": key in PERCENT}
                    for key, name in HEADERS.items()],
        "assistants": [{**row, "marks": marks[row["name"]]} for row in shown["assistants"]],
        "dimensions": list(DIMENSIONS), "first_day": config.get("from_day", 0),
        "residents": [_resident(folder, persona, config) for persona in _chosen(result, metrics)],
        "provenance": json.loads((folder / "run.json").read_text(encoding="utf-8")),
    }


def _about(result: RunResult) -> str:
    seeds = f", {result.seeds} seeds" if result.seeds > 1 else ""
    return f"{result.personas} people{seeds}, {result.days} days; means over people with 95 % intervals"


def _marks(metrics: Iterable[EpisodeMetrics]) -> dict[str, list[float | None]]:
    """Share of what each assistant said that got each mark; None where nothing was said."""
    given: dict[str, Any] = {}
    for one in metrics:
        counts = given.setdefault(one.assistant, np.zeros(len(DIMENSIONS) + 1))
        counts += [*one.dimensions.sum(axis=1), one.delivered.sum()]
    return {name: [round(float(n / said), 4) if said else None for n in marks] for name, (*marks, said) in given.items()}


def _chosen(result: RunResult, metrics: Sequence[EpisodeMetrics]) -> list[str]:
    """People to look at: worst, middle and best of the best assistant that is not the oracle, by what it earned of it."""
    oracle = {(m.persona, m.seed): m.utility.sum() for m in metrics if m.assistant == ORACLE}
    rows = [row for row in result.results if row.name != ORACLE] or result.results
    best = max(rows, key=lambda row: np.nan_to_num(row.columns["utility"].mean, nan=-np.inf)).name
    earned: dict[str, list[float]] = {}
    for m in metrics:
        if m.assistant == best:
            earned.setdefault(m.persona, []).append(float(m.utility.sum() / max(oracle.get((m.persona, m.seed), 1.0), 1e-9)))
    order = sorted(earned, key=lambda persona: (np.mean(earned[persona]), persona))
    places = np.unique(np.linspace(0, len(order) - 1, min(RESIDENTS, len(order))).round().astype(int))
    return [order[k] for k in places[::-1]]


def _resident(folder: Path, persona: str, config: Mapping[str, Any]) -> Json:
    """One person: who, the days, and what each assistant said."""
    episodes = [read_episode(path) for name in config["assistants"]
                if (path := folder / log_name(name, persona, config["seeds"][0])).exists()]
    whole = [e for e in episodes if e.complete]
    about = whole[0].begin["persona"]
    frequency = about["preferences"]["frequency"]
    return {
        "id": persona, "name": about["name"], "age": about["age"], "occupation": about["occupation"],
        "background": about["background"], "rubric": about["rubric"], "per_day": frequency["per_day"],
        "days": [_day(event) for event in whole[0].days()],
        "said": {e.begin["assistant"]: _said(e) for e in whole},
    }


def _day(event: Mapping[str, Any]) -> Json:
    """Activities ``[minute, category, text, room]``, and needs ``[first minute, last minute, topic]``."""
    needs = event.get("needs")
    return {
        "date": f"{date_of(event['day']):%A %d %B}",
        "activities": [[parse_time(start), category, text, room] for start, _, category, text, room in event["activities"]],
        "needs": [[n["from"] * MINUTES_PER_TICK, n["to"] * MINUTES_PER_TICK, n["topic"], n["id"]]
                  for n in (needs if isinstance(needs, list) else ())],
    }


def _said(episode: Episode) -> list[Json]:
    """For each day, what was said, and how many texts more are not shown."""
    days: list[Json] = [{"texts": [], "more": 0} for _ in range(int(episode.begin["days"]))]
    for event in episode.said():
        day, tick = divmod(event["tick"], TICKS_PER_DAY)
        if len(days[day]["texts"]) == MOST_SAID:
            days[day]["more"] += 1
            continue
        marks = None if event["marks"] is None else int(event["marks"], 16)
        days[day]["texts"].append({
            "minute": tick * MINUTES_PER_TICK, "text": event["text"], "marks": marks, "reaction": event.get("reaction", ""),
            "reasons": [event.get("reasons", {}).get(name, "") for name in DIMENSIONS],
            "serves": event.get("terms", {}).get("serves", []),
        })
    return days
