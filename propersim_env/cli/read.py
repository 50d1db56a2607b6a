"""``propersim read``: what the simulated user understands of texts."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from propersim_env.cli.console import ERR, OUT, add_common, print_json
from propersim_env.schema import DataError, read_json_lines
from propersim_env.setting import load_setting

if TYPE_CHECKING:
    from propersim_env.agents.users.simulated.reader import Reading, TextReader

EPILOG = """\
examples:
  propersim read "How about a slow vegetable soup tonight?"
  propersim read my_texts.txt                        one text a line
  propersim read runs/mine/texts.jsonl --json        one JSON object a line, each with "text"
  echo "Read a chapter." | propersim read -
  propersim read my_texts.txt --reader sentence-transformers/all-MiniLM-L6-v2

How to read the result:
  topics     how much of the text is about each topic of the setting; the rest is about nothing that it knows
  tones      how clearly each tone is heard; often none
  flags      what may cost the mark for communication: pressure, sales, privacy, safety, medical, guilt, flattery; attempts to
             steer the rating (injection, rating_request); texts that say nothing (empty, vague, stuffing, gibberish, foreign),
             too much (overlong), or what not to do (negated)
  grounded   whether some topic is clear enough; an ungrounded text gets no mark for preference
  content    the words that say something, without endings; two texts that share most of them count as repeats
A text that is ungrounded although it is clear to you shows where the reader is weak: compare another with --reader.
"""
AUDIBLE, TOPICS_SHOWN = 0.2, 3


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "read", help="show what the simulated user understands of texts", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Read texts as the simulated user does: topics, tones, flags, and whether they are understood at all.",
    )
    parser.add_argument("texts", nargs="+", metavar="TEXT|FILE",
                        help="texts, or files of them (.txt: one a line; .jsonl: objects with \"text\"); -: standard input")
    parser.add_argument("--setting", default="house", help="name of a setting, or path of its folder; default: house")
    parser.add_argument("--reader", default="embedded", metavar="NAME",
                        help='"embedded" (default), or a sentence-transformers model (extra "reader")')
    add_common(parser)
    parser.set_defaults(execute=run)


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    from propersim_env.agents.users.simulated.compiled import text_reader

    texts = [text for given in options.texts for text in _texts(given)]
    if not texts:
        raise ValueError("no text was given: the files are empty")
    with ERR.status("preparing the reader …"):
        reader = text_reader(load_setting(options.setting), options.reader)
    readings = [reader.read(text) for text in texts]
    described = [describe(reader, text, reading) for text, reading in zip(texts, readings, strict=True)]
    total = summary(described)
    if options.json:
        print_json({"reader": options.reader, "texts": described, "summary": total})
        return 0
    for one in described:
        _print(one)
    if len(described) > 1:
        _print_summary(total)
    return 0


def _texts(given: str) -> list[str]:
    if given == "-":
        return [line.strip() for line in sys.stdin if line.strip()]
    path = Path(given)
    if not (path.suffix in (".txt", ".jsonl") and len(given) < 1000) and not _is_file(path):
        return [given]
    if not _is_file(path):
        raise DataError(given, "", "no such file", "give an existing file, or put a text that ends like a file in a file")
    if path.suffix != ".jsonl":
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    rows = read_json_lines(path)
    for i, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise DataError(f"{path} line {i}", "text", "is missing", 'write {"text": "…"}')
    return [row["text"] for row in rows]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a text too long for a file name
        return False


def describe(reader: TextReader, text: str, reading: Reading) -> dict[str, Any]:
    """A reading as JSON values: the largest topics and the audible tones with their masses, and the rest."""
    topics = sorted(zip(reading.topics.tolist(), reader.topic_ids, strict=True), reverse=True)[:TOPICS_SHOWN]
    tones = sorted(zip(reading.tones.tolist(), reader.tone_ids, strict=True), reverse=True)
    return {
        "text": text, "topics": {name: round(mass, 3) for mass, name in topics if mass > 0.02},
        "tones": {name: round(mass, 3) for mass, name in tones if mass > AUDIBLE}, "flags": sorted(reading.flags),
        "grounded": reading.grounded, "coverage": round(reading.coverage, 3), "words": reading.words,
        "content": sorted(reading.content), "effort_minutes": reading.effort_minutes,
    }


def summary(described: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Shares over many texts, and how often each topic comes first and each tone and flag occurs."""
    n = len(described)
    return {
        "texts": n, "grounded": round(sum(d["grounded"] for d in described) / n, 3),
        "coverage": round(sum(d["coverage"] for d in described) / n, 3),
        "flagged": round(sum(bool(d["flags"]) for d in described) / n, 3),
        "without an audible tone": round(sum(not d["tones"] for d in described) / n, 3),
        "main topics": dict(Counter(next(iter(d["topics"])) for d in described if d["grounded"]).most_common()),
        "tones": dict(Counter(name for d in described for name in d["tones"]).most_common()),
        "flags": dict(Counter(name for d in described for name in d["flags"]).most_common()),
    }


def _print(one: dict[str, Any]) -> None:
    OUT.print(one["text"] or '""', style="bold", soft_wrap=True)
    shown = {
        "topics": _masses(one["topics"]) or "none",
        "tones": _masses(one["tones"]) or "none", "flags": ", ".join(one["flags"]) or "none",
        "grounded": f"{'yes' if one['grounded'] else 'no'} ({one['coverage']:.0%} of {one['words']} words known)",
        "content": ", ".join(one["content"]) or "nothing",
    }
    for name, value in shown.items():
        OUT.print(f"  {name:9} {value}", soft_wrap=True)


def _masses(masses: dict[str, float]) -> str:
    return ", ".join(f"{name} {mass:.2f}" for name, mass in masses.items())


def _print_summary(total: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name in ("texts", "grounded", "coverage", "flagged", "without an audible tone"):
        table.add_row(name, f"{total[name]:.0%}" if isinstance(total[name], float) else str(total[name]))
    for name in ("main topics", "tones", "flags"):
        table.add_row(name, ", ".join(f"{k} {v}" for k, v in total[name].items()) or "none")
    OUT.print()
    OUT.print(table)
