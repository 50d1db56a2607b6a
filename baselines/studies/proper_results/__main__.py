"""Turn finished runs of assistants into published results: a table, a picture, texts to read, a second opinion.

All runs must be of one world (setting, user and its options, days, rubric), and every assistant must have lived with some of
the same personas and seeds; the others are left out and listed. One run must be the oracle's, because utility is a share of
what it earns.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from propersim_env.cli.console import ERR, OUT, error
from propersim_env.evaluation.runner import write_atomically
from propersim_env.setting import load_setting

from . import provenance, reader, table, texts
from .curve import learning_curve
from .runs import Labels, Results, Run, count_logs, known_name, load, named, open_runs

EPILOG = """\
example: two assistants and the oracle with the same three people, compared

  propersim run --assistants thompson-pooled,random --personas 3 --days 5 --out runs/bandits
  propersim run --assistants rate-matched --personas 3 --days 5 --out runs/rate
  python -m propersim_env.baselines.studies.proper_results runs/bandits runs/rate --out results \\
      --against thompson-pooled --texts-of thompson-pooled

The folder then holds
  table.md, table.json   one row an assistant; paired differences to --against, corrected for their number, with 'tie' where
                         the interval holds 0; how small a difference such runs can show; commands and versions of the runs
  learning_curve.png     utility and delivered score by day
  texts.md               with --texts-of: 100 random texts with their moments, marks and reasons, to be read by a person; how
                         many of all texts are new, and how many of those are plainly garbled
  reader.md, reader.json with --reader: the same texts at the same moments rated by a stronger reader, and whether the
                         ranking stands. A name or folder that sentence-transformers can load (extra 'reader')

An assistant is named as in the run (proper:preset=amortised); one that has a label, by that:
  --label full=proper:preset=amortised            short names for table and picture
  --label 'told less=thompson-pooled@runs/less'   one name for each of two runs of the same assistant
"""


def build_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m propersim_env.baselines.studies.proper_results", description=__doc__,
                                     epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders, as propersim run leaves them")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the results go; made if missing")
    parser.add_argument("--against", metavar="NAME", help="assistant that all others are compared with, pair by pair")
    parser.add_argument("--texts-of", metavar="NAME", help="assistant whose texts are to be read")
    parser.add_argument("--reader", metavar="MODEL", help="rate all texts again with this sentence-transformers model")
    parser.add_argument("--assistants", metavar="A,B,…", default="", help="keep these and the oracle; default: all in the runs")
    parser.add_argument("--label", action="append", default=[], metavar="LABEL=NAME", help="short name; may be repeated")
    parser.add_argument("--last", type=int, default=3, metavar="N", help="how many of the last days to show apart; default: 3")
    parser.add_argument("--seed", type=int, default=0, help="of the sample of texts; default: 0")
    parser.add_argument("--traceback", action="store_true", help="show the Python traceback of an error")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status (0 done, 2 bad input, 130 interrupted)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    options = build_parser().parse_args(arguments)
    try:
        make(options, arguments)
    except KeyboardInterrupt:
        error("stopped; nothing of the runs is changed")
        return 130
    except (ValueError, TypeError, ImportError, OSError, RuntimeError) as problem:
        if options.traceback:
            raise
        error(str(problem))
        return 2
    return 0


def make(options: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Check everything that can be checked, read the logs, and write the results."""
    runs = open_runs(options.runs)
    labels = Labels.parse(options.label, options.runs)
    names = named(runs, labels, [name.strip() for name in options.assistants.split(",") if name.strip()])
    _check(options, runs, list(names))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=ERR) as bar:
        task = bar.add_task("reading logs", total=count_logs(runs))
        results = load(runs, labels, names, lambda n: bar.advance(task, n))
        collected = None
        if options.texts_of:
            task = bar.add_task(f"texts of {options.texts_of}", total=len(results.homes))
            collected = texts.collect(results, options.texts_of, lambda n: bar.advance(task, n))
        opinion = None
        if options.reader:
            task = bar.add_task("rating again", total=len(results.homes) * len(results.names))
            opinion = reader.second_opinion(results, options.reader, lambda n: bar.advance(task, n))
    _write(options, arguments, results, collected, opinion)


def _check(options: argparse.Namespace, runs: Sequence[Run], names: Sequence[str]) -> None:
    """Refuse what cannot work before a log is read."""
    if options.last < 1:
        raise ValueError(f"--last {options.last}: must be at least 1")
    for name, where in ((options.against, "--against"), (options.texts_of, "--texts-of")):
        if name is not None:
            known_name(name, names, where)
    if (options.out / "run.json").exists():
        raise ValueError(f"--out {options.out} is a run folder: choose another one, its picture would be overwritten")
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError('the picture needs matplotlib: pip install "propersim[plot]"')
    if options.reader:
        with ERR.status(f"loading reader {options.reader} …"):
            reader.check(runs, options.reader)
    options.out.mkdir(parents=True, exist_ok=True)


def _write(options: argparse.Namespace, arguments: Sequence[str], results: Results, collected: texts.Collected | None,
           opinion: reader.SecondOpinion | None) -> None:
    out: Path = options.out
    comparison = table.compare(results, options.last, options.against)
    about = {**table.as_json(comparison), "provenance": provenance.as_json(results), "left_out": list(results.left_out)}
    foot = provenance.lines(results, _plain(arguments, options))
    pages = {"table.md": table.markdown(comparison, foot)}
    if collected is not None:
        setting = load_setting(collected.setting)
        vocabulary = texts.Vocabulary.of(setting, list(collected.personas.values()), [one.doing for one in collected.said])
        pages["texts.md"] = texts.markdown(options.texts_of, collected, vocabulary, seed=options.seed)
        about["texts"] = {"assistant": options.texts_of, **texts.counts(collected, vocabulary)}
    pages["table.json"] = _json(about)
    if opinion is not None:
        name = _short(options.reader)
        pages |= {"reader.md": reader.markdown(opinion, name), "reader.json": _json(reader.as_json(opinion, name))}
    for file, text in pages.items():
        write_atomically(out / file, text)
    learning_curve(comparison).savefig(out / "learning_curve.png", dpi=150)
    _say(comparison, results, opinion)
    OUT.print(f"written to {out}: {', '.join(sorted([*pages, 'learning_curve.png']))}", soft_wrap=True)


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _short(model: str) -> str:
    """A model's name: of a folder its last two parts."""
    return "/".join(Path(model).parts[-2:])


def _plain(arguments: Sequence[str], options: argparse.Namespace) -> list[str]:
    """The arguments with folders by their names: results are published, where they lay on a disk is not."""
    folders = {str(path): path.name for path in (*options.runs, options.out)}
    if options.reader:
        folders[options.reader] = _short(options.reader)
    return [folders.get(argument.rstrip("/"), argument) for argument in arguments]


def _say(comparison: table.Comparison, results: Results, opinion: reader.SecondOpinion | None) -> None:
    """The most important of it for the terminal."""
    last = comparison.last
    personas, seeds = len(comparison.personas), comparison.seeds
    OUT.print(f"{personas} personas, {seeds} seed{'s' * (seeds > 1)}, {comparison.days} days")
    for row in comparison.rows:
        OUT.print(f"  {row.name}: utility {table.with_interval(row.columns['utility'])}, last {last} days "
                  f"{table.with_interval(row.columns['utility_last'])}", soft_wrap=True)
    for d in comparison.differences:
        difference = table.with_interval(d.decided, "+.2f")
        OUT.print(f"  {d.first} less {d.second}: {difference}: {d.verdict}", soft_wrap=True)
    if opinion is not None:
        for line in reader.verdict(opinion):
            OUT.print(line, soft_wrap=True)
    if results.left_out:
        ERR.print(f"{len(results.left_out)} episodes left out; table.md lists them", style="yellow")


if __name__ == "__main__":
    sys.exit(main())
