"""``propersim explain``: why a logged decision was rated as it was, and how others would have been."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.table import Table

from propersim_env.cli.console import OUT, add_common, print_json
from propersim_env.cli.layout import hanging
from propersim_env.clock import TICKS_PER_DAY, moment_text, tick_of
from propersim_env.evaluation.relive import relive
from propersim_env.log import Episode, read_episode
from propersim_env.messages import DIMENSIONS
from propersim_env.what_if import WhatIf, capability

LISTED = 20
"""Texts, or names of logs, that are listed to choose from."""
LATER = (10, 20, 60)
EPILOG = """\
examples:
  propersim explain runs/latest --episode random-p01-s0                  which texts were rated worst
  propersim explain runs/latest --episode random-p01-s0 --tick 303       why, and what if
  propersim explain runs/latest --episode random-p01-s0 --tick 0/12:37   the same moment: day 0, 12:37
  propersim explain logs/events-mine-p01-s0.jsonl --tick 0/09:00 --text "Ginger tea before you record?"

The resident is brought to that moment by living the episode again from its log, and asked. The margins of the four
dimensions are given with the parts that they add up from; a mark is given above 0. "What if" is exact: it is the rating
that the changed decision would have got. Both are for studies: no assistant knows them while it acts.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "explain", help="why a logged decision was rated so, and what if", epilog=EPILOG,
        description="Explain the rating of one decision of a log, and rate what might have been decided instead.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/latest"), metavar="RUN",
                        help="a run folder, or the log of one episode; default: runs/latest")
    parser.add_argument("--episode", default="", metavar="NAME",
                        help="name of the log in the folder, or a part of it that no other has, e.g. oracle-p01-s0")
    parser.add_argument("--tick", metavar="TICK", help="the decision: an absolute tick, or DAY/HH:MM with days from 0; "
                        "default: list the texts that were rated worst")
    parser.add_argument("--text", help="ask about this text at that moment instead of what was said")
    parser.add_argument("--setting", help="folder of the setting, where it is not a bundled one")
    add_common(parser)
    parser.set_defaults(execute=run)


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    episode = read_episode(find_log(options.run, options.episode), allow_incomplete=True)
    if options.tick is None:
        return _list(episode, options.json)
    tick = read_tick(options.tick)
    users, decision = relive(episode, tick, options.setting)
    text = decision.text if options.text is None else options.text
    why = capability(users, "explain")(0, text)
    answers = standard_questions(users, text, int(episode.begin["days"]) * TICKS_PER_DAY)
    if options.json:
        given = {name: answer.as_dict() if isinstance(answer, WhatIf) else {"none": answer} for name, answer in answers.items()}
        print_json({"log": str(episode.path), "explanation": why.as_dict(), "what_if": given})
        return 0
    begin = episode.begin
    OUT.print(f"{begin['assistant']} with {begin['persona']['name']} ({begin['persona']['id']}), seed {begin['seed']}, "
              f"tick {tick}" + ("" if options.text is None else "; the text is not the one in the log"), soft_wrap=True)
    for line in str(why).splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        OUT.print(hanging(indent, line.lstrip()), soft_wrap=True)
    OUT.print(_table(answers, text))
    return 0


def find_log(run: Path, name: str) -> Path:
    """The log that a folder (or file) and a part of a name mean.

    Raises:
        ValueError: None, or several; they are listed.
    """
    if run.is_file():
        return run
    if not run.is_dir():
        raise ValueError(f"{run} is no run folder and no log: propersim run --out {run} makes one")
    logs = sorted(run.glob("events-*.jsonl"))
    found = [p for p in logs if p.name in (name, f"events-{name}.jsonl")] or [p for p in logs if name in p.name]
    if len(found) == 1:
        return found[0]
    shown = [p.stem.removeprefix("events-") for p in (found or logs)]
    more = f" and {len(shown) - LISTED} more" if len(shown) > LISTED else ""
    problem = f"no log in {run}" if not found else f"{len(found)} logs in {run}"
    named = f" with {name!r} in the name" if name else ""
    raise ValueError(f"{problem}{named}: choose one with --episode: {', '.join(shown[:LISTED]) or 'there is none'}{more}")


def read_tick(text: str) -> int:
    """``"879"``, or ``"1/12:37"`` (day from 0, and time), as an absolute tick."""
    day, slash, time = text.partition("/")
    try:
        return int(day) * TICKS_PER_DAY + tick_of(time) if slash else int(text)
    except ValueError as error:
        raise ValueError(f"--tick {text!r}: write an absolute tick, or a day from 0 and a time as in 1/12:37") from error


def standard_questions(users: Any, text: str, horizon: int) -> dict[str, WhatIf | str]:
    """The counterfactuals that are always asked for; a string says why there is none."""
    other: dict[str, Any] = {"topic": "other"}
    questions: dict[str, dict[str, Any]] = {f"{m} min later": {"minutes_later": m} for m in LATER}
    if text:
        questions |= {"shorter": {"shorter": True}, "another tone": {"tone": "other"}, "another topic": other,
                      "silence": {"instead": ""}}
    else:
        questions = {"a text": other, **{f"{name}, a text": {**later, **other} for name, later in questions.items()}}
    answers: dict[str, WhatIf | str] = {}
    for name, question in questions.items():
        try:
            answers[name] = capability(users, "what_if")(0, text, horizon=horizon, **question)
        except ValueError as problem:
            answers[name] = str(problem)
    if text:
        answers["best moment in 2 h"] = capability(users, "best_moment")(0, text, within_minutes=120, horizon=horizon)
    return answers


def _table(answers: dict[str, WhatIf | str], text: str) -> Table:
    table = Table("what if", "when", "rating", "marks", "what changes", title_justify="left")
    for name, answer in answers.items():
        if isinstance(answer, str):
            table.add_row(name, "", "", "", answer)
            continue
        marks = " ".join(f"{d[0]}{m}" for d, m in answer.rating.as_dict().items())
        told = ([f'"{answer.text}"'] if answer.text not in ("", text) else []) + (answer.changes or ["no mark"])
        when = moment_text(answer.tick).rpartition(", ")[2] if answer.waited else "then"
        table.add_row(name, when, f"{answer.rating.total} ({answer.gain:+d})", marks, "\n".join(told))
    return table


def _list(episode: Episode, as_json: bool) -> int:
    """The texts that were rated worst, to choose from."""
    said = [d for d in episode.decisions() if d.text and d.rating is not None]
    worst = sorted(said, key=lambda d: (d.rating, d.tick))[:LISTED]
    rows: list[dict[str, Any]] = [
        {"tick": d.tick, "when": moment_text(d.tick), "rating": d.rating, "marks": (d.event or {}).get("marks"), "text": d.text,
         "reasons": dict((d.event or {}).get("reasons", {}))} for d in worst
    ]
    if as_json:
        print_json({"log": str(episode.path), "said": len(said), "worst": rows})
        return 0
    table = Table("tick", "when", "rating", "text and why")
    for row, decision in zip(rows, worst, strict=True):
        why = [row["reasons"][d] for k, d in enumerate(DIMENSIONS)
               if not (decision.marks or 0) >> k & 1 and row["reasons"].get(d)]
        table.add_row(str(row["tick"]), str(row["when"]), str(row["rating"]), "\n".join([f'"{row["text"]}"', *why]))
    OUT.print(table)
    OUT.print(f"the {len(worst)} worst of {len(said)} texts; ask about one, or about any other moment, with --tick",
              soft_wrap=True)
    return 0
