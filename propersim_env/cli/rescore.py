"""``propersim rescore``: logged decisions, rated again by another user or the present rubric."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from propersim_env.cli.console import ERR, OUT, add_common, key_value, print_json
from propersim_env.evaluation import rescore_report
from propersim_env.evaluation.metrics import ORACLE
from propersim_env.evaluation.report import same_worlds
from propersim_env.evaluation.rescore import Judge, Lived, changes, prepare, rescore, resolved
from propersim_env.evaluation.runner import RunError, read_config, write_atomically
from propersim_env.export.source import Places

EPILOG = """\
examples:
  propersim rescore runs/latest --option noise=0 --out runs/noiseless
  propersim rescore runs/latest --reader sentence-transformers/all-mpnet-base-v2 --out runs/other-reader
  propersim rescore runs/old --out runs/new-rubric                    a log of an older rubric, by the present one
  propersim rescore runs/a runs/b --user my_user.py:MyUser --out runs/mine

Each episode is lived again. The resident hears the same texts at the same moments, and rates them by its own judgement. The
new logs are a run folder (with several runs: one for each), which propersim report and explain take; rescore.md and
rescore.json have both ratings beside each other: utility and delivered score, agreement of marks by dimension, Kendall's tau
of the ranking, and which assistants changed places.

What it shows: how the same behaviour is judged by somebody else, and so whether a ranking hangs on one reader of texts, on
the noise, or on a version of the rubric. What it cannot show: how an assistant that learns from ratings would have behaved
under the new ones, for the decisions stay as they were; or an oracle, which knew the old ones only (utility is a share of
what the logged oracle's decisions earn). For that, run the assistants: propersim run --user-option KEY=VALUE. An option that
changes when the resident is awake or away (absences) is refused: there would be nobody to rate.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "rescore", help="rate logged decisions again, by another user", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Have logged decisions rated again, by another user or the present rubric, and compare the rankings.",
        epilog=EPILOG)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders")
    parser.add_argument("--user", metavar="SPEC", help="registered name or import path; default: as in the run")
    parser.add_argument("--reader", metavar="MODEL", help="what understands texts: short for --option reader=MODEL")
    parser.add_argument("--option", "--user-option", type=key_value, action="append", default=[], metavar="KEY=VALUE",
                        help="option of the user; those of the run hold beside it. May be repeated")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where new logs and tables go")
    parser.add_argument("--replace", action="store_true", help="replace ratings of another kind in --out")
    add_common(parser)
    parser.set_defaults(execute=run)


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    options.interrupted = "you stopped it; nothing of the runs is changed, and the same command begins anew"
    given = dict(options.option)
    if options.reader is not None:
        if "reader" in given:
            raise ValueError("--reader and --option reader=… are the same: give one")
        given["reader"] = options.reader
    judge = Judge(options.user, given)
    configs = [read_config(place) for place in options.runs]
    places = Places(options.runs)
    same_worlds(options.runs, configs)
    with ERR.status("building the user …"):
        judge.users(configs[0]["user"], configs[0]["user_options"])
    outs = _folders(options.out, places, configs)
    for out, config in zip(outs, configs, strict=True):
        prepare(out, resolved(config, judge), options.replace)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("logs"), TimeElapsedColumn(),
               TimeRemainingColumn())
    lived: list[Lived] = []
    left_out: list[str] = []
    with Progress(*columns, console=ERR, transient=True) as bar:
        task = bar.add_task("rating again", total=places.count())
        for place, out in zip(options.runs, outs, strict=True):
            for one in rescore(place, judge, out, left_out, lambda: bar.advance(task)):
                if len(outs) > 1 and one.name != ORACLE and sum(one.name in c["assistants"] for c in configs) > 1:
                    one.name = f"{one.name}@{places.run_name(place)}"
                lived.append(one)
    found = rescore_report.compare(_once(lived), changes(configs[0], judge), left_out)
    report = rescore_report.as_json(found)
    write_atomically(options.out / "rescore.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    write_atomically(options.out / "rescore.md", rescore_report.markdown(found))
    if options.json:
        print_json(report)
        return 0
    for table in rescore_report.tables(found, OUT.width):
        OUT.print(table)
    for line in rescore_report.lines(found):
        OUT.print(line, soft_wrap=True)
    OUT.print(rescore_report.CAVEAT, soft_wrap=True)
    for line in found.left_out:
        ERR.print(f"left out: {line}", style="yellow", soft_wrap=True)
    OUT.print(f"written: {options.out} (rescore.md, rescore.json); new logs: {', '.join(map(str, outs))}", soft_wrap=True)
    return 0


def _folders(out: Path, places: Places, configs: list[dict[str, Any]]) -> list[Path]:
    """Where the new logs of each run go."""
    inside = [place for place in places.places if out.resolve().is_relative_to(place.resolve())]
    if inside:
        raise RunError(f"--out {out} is in the run folder {inside[0]}: choose another one, its logs stay as they are")
    if len(configs) == 1:
        return [out]
    if (out / "run.json").exists():
        raise RunError(f"--out {out} holds one run, and {len(configs)} are to go into folders of their own there: choose "
                       f"another")
    names = [places.run_name(place) for place in places.places]
    if any("/" in name for name in names):
        raise RunError(f"two runs are called {places.places[0].name}: rate them again one by one")
    return [out / name for name in names]


def _once(lived: list[Lived]) -> list[Lived]:
    """The oracle is in most runs: of each home it counts once."""
    known: dict[tuple[str, str, int], Lived] = {}
    for one in lived:
        known.setdefault((one.name, one.before.persona, one.before.seed), one)
    return list(known.values())
