"""``propersim report``: the table and picture of a run folder, from its logs alone."""

from __future__ import annotations

import argparse
from pathlib import Path

from propersim_env.cli.console import ERR, OUT, add_common, print_json
from propersim_env.evaluation import report
from propersim_env.evaluation.page import write_page

EPILOG = """\
examples:
  propersim report runs/latest
  propersim report runs/latest --html                      also runs/latest/report.html: one file, readable without a network
  propersim report runs/latest --json | jq '.assistants[] | {name, utility}'

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
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown, to paste")
    parser.add_argument("--html", nargs="?", type=Path, const=Path(), metavar="FILE",
                        help="also write a page with curves, marks and days of residents; default: report.html in the folder")
    add_common(parser)
    parser.set_defaults(execute=run)


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    result = report.summarise(options.folder)
    written = report.save(result, options.folder)
    if options.html is not None:
        written.append(write_page(options.folder, options.html if options.html.name else None))
    if options.json:
        print_json(report.as_json(result))
        return 0
    if options.markdown:
        print(report.markdown(result))
        return 0
    OUT.print(report.table(result, OUT.width))
    for line in result.incomplete:
        ERR.print(f"left out: {line}", style="yellow", soft_wrap=True)
    OUT.print("written: " + ", ".join(map(str, written)), soft_wrap=True)
    return 0
