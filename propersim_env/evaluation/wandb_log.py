"""A cell at Weights & Biases: curves by day, a table of what was said, the summary, and the page as an artifact."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from propersim_env.clock import TICKS_PER_DAY, time_text
from propersim_env.evaluation.cells import Cell
from propersim_env.evaluation.report import HEADERS
from propersim_env.log import read_episode
from propersim_env.messages import DIMENSIONS

TRACKERS = ("none", "wandb")
MOST_ROWS = 2000
"""Rows of the table of what was said at most."""


def check_tracker(tracker: str) -> None:
    """See that a tracker is installed.

    Raises:
        ImportError: wandb is not.
    """
    if tracker == "wandb":
        try:
            import wandb  # noqa: F401
        except ImportError as error:
            raise ImportError('tracker "wandb" needs the package wandb: pip install "propersim[wandb]"') from error


def log_cell(tracker: str, cell: Cell, results: Mapping[str, Any], folder: Path, page: Path) -> None:
    """Log a finished cell.

    The run's id is that of the cell, so that the same cell is one run however often it is logged; under ``wandb agent`` the
    sweep's own id stands, and the cell's is in the configuration. ``WANDB_MODE=offline`` needs neither network nor account.

    Args:
        tracker: ``"none"`` does nothing.
        cell: What was run.
        results: Its row of `propersim_env.evaluation.report.as_json`.
        folder: Of the run.
        page: The report.

    Raises:
        RuntimeError: wandb cannot begin, for want of an account for example.
    """
    if tracker == "none":
        return
    import wandb

    under_agent = bool(os.environ.get("WANDB_SWEEP_ID"))
    try:
        run = wandb.init(project=os.environ.get("WANDB_PROJECT") or "propersim", id=None if under_agent else cell.id,
                         resume=None if under_agent else "allow", config={**cell.values, "cell": cell.id},
                         settings=wandb.Settings(console="off"))
    except wandb.Error as error:
        raise RuntimeError(f"wandb cannot begin a run ({' '.join(str(error).split())}): run wandb login, set "
                           "WANDB_MODE=offline, or leave out --tracker") from error
    with run:
        for day, values in enumerate(_days(results)):
            run.log({"day": day + 1, **values}, step=day)
        table = wandb.Table(columns=["person", "seed", "day", "time", "text", "rating", *DIMENSIONS, "reaction"],
                            data=list(_said(cell, folder)))
        run.log({"said": table})
        for key in HEADERS:
            run.summary[key] = results[key]["mean"]
        artifact = wandb.Artifact(f"report-{cell.id}", type="report")
        artifact.add_file(str(page))
        run.log_artifact(artifact)


def _days(results: Mapping[str, Any]) -> Iterator[dict[str, float]]:
    for utility, delivered, number in zip(results["utility_by_day"], results["delivered_by_day"],
                                          results["recommendations_by_day"], strict=True):
        named = {"by_day/utility": utility[0], "by_day/delivered": delivered[0], "by_day/a_day": number}
        yield {key: value for key, value in named.items() if value is not None}


def _said(cell: Cell, folder: Path) -> Iterator[list[Any]]:
    """Rows of what the cell's assistant said, person by person."""
    left = MOST_ROWS
    for path in sorted(folder.glob("events-*.jsonl")):
        episode = read_episode(path)
        if episode.begin["assistant"] != cell.spec:
            continue
        for event in episode.said():
            if not left:
                return
            left -= 1
            day, tick = divmod(event["tick"], TICKS_PER_DAY)
            marks = None if event["marks"] is None else int(event["marks"], 16)
            given = [None if marks is None else marks >> k & 1 for k in range(len(DIMENSIONS))]
            yield [episode.begin["persona"]["id"], episode.begin["seed"], day + 1, time_text(tick), event["text"],
                   None if marks is None else marks.bit_count(), *given, event.get("reaction", "")]
