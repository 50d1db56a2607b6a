"""``propersim report``: the table and picture of a run folder, from its logs alone."""

from __future__ import annotations

import argparse
from pathlib import Path

from propersim_env.cli.console import ERR, OUT, add_common, print_json
from propersim_env.evaluation import report, tables
from propersim_env.evaluation.comparison import HIGHER_IS_BETTER
from propersim_env.evaluation.page import write_page

EPILOG = """\
examples:
  propersim report runs/latest
  propersim report runs/latest --against fixed-rate          every other assistant less this one, paired by persona
  propersim report runs/latest --pair linucb fixed-rate      one declared pair: fewer pairs find smaller differences
  propersim report runs/latest --all                         IQM, last days, worst tenth, regret, days to 80 %, cost
  propersim report runs/latest --html                        also runs/latest/report.html: one file, readable without a network
  propersim report runs/latest --json | jq '.assistants[] | {name, rank, utility}'

Assistants that share a rank (2=) are not told apart from their neighbours by this run; below the table stands how small a
difference it could have shown. Declare the pairs that you care about before you look.
Every log is checked against the SHA-256 in its last line: an edited one is refused and named.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "report", help="table and picture of a run folder", epilog=EPILOG,
        description="Compute the results of a run folder from its logs.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs/latest"), help="default: runs/latest")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown, to paste")
    parser.add_argument("--html", nargs="?", type=Path, const=Path(), metavar="FILE",
                        help="also write a page with curves, marks and days of residents; default: report.html in the folder")
    add_comparison(parser)
    add_common(parser)
    parser.set_defaults(execute=run)


def add_comparison(parser: argparse.ArgumentParser) -> None:
    """Options that say what is compared, which ``propersim run`` has too."""
    parser.add_argument("--against", action="append", default=[], metavar="NAME",
                        help="compare every other assistant with this one, corrected for their number; may be repeated")
    parser.add_argument("--pair", action="append", default=[], nargs=2, metavar=("FIRST", "SECOND"),
                        help="compare these two; may be repeated, and is corrected together with --against")
    parser.add_argument("--by", default="utility", choices=list(HIGHER_IS_BETTER), metavar="MEASURE",
                        help=f"what assistants are ranked and compared by: {', '.join(HIGHER_IS_BETTER)}; default: utility")
    parser.add_argument("--all", action="store_true", help="print a second table: IQM, last days, worst tenth, regret, cost")


def summarise(folder: Path, options: argparse.Namespace) -> report.RunResult:
    """The results of a folder, compared as the options say."""
    return report.summarise(folder, options.against, [(first, second) for first, second in options.pair], options.by)


def show(result: report.RunResult, everything: bool) -> None:
    """Print the tables of a result, with how small a difference they can show."""
    OUT.print(tables.table(result, OUT.width))
    OUT.print(result.detectable, soft_wrap=True)
    if everything:
        OUT.print(tables.more(result, OUT.width))
    if result.pairs:
        OUT.print(tables.pair_table(result, OUT.width))


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    result = summarise(options.folder, options)
    written = report.save(result, options.folder)
    if options.html is not None:
        written.append(write_page(options.folder, options.html if options.html.name else None, result=result))
    if options.json:
        print_json(report.as_json(result))
        return 0
    if options.markdown:
        print(tables.markdown(result))
        return 0
    show(result, options.all)
    for line in result.incomplete:
        ERR.print(f"left out: {line}", style="yellow", soft_wrap=True)
    OUT.print("written: " + ", ".join(map(str, written)), soft_wrap=True)
    return 0
