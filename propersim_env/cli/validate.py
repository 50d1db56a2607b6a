"""``propersim validate``: is the simulated user what it claims to be? Values beside thresholds, and the validity card."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from propersim_env.cli.console import ERR, OUT, add_common, print_json
from propersim_env.cli.validate_cases import run_cases

if TYPE_CHECKING:
    from propersim_env.evaluation.validity import Value

EPILOG = """\
examples:
  propersim validate                              every check, small: about a minute
  propersim validate --checks V3,V4,noise-floor   some of them
  propersim validate --size full --out docs       minutes; writes the validity card and its figures
  propersim validate --cases cases.jsonl --personas persona_files --out marks.jsonl

Exit status of the checks: 0 when every one passes, 1 when one does not. A case is one JSON object a line: id, persona, weekday,
time, wake, activity, room, minutes_in_activity, next_activity, received_today, candidate and, where there are any, labels by
dimension (null: not counted); its persona is the file of that number in the folder of personas.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "validate", help="check the simulated user against published numbers", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run the validity checks V1-V17, what tricks earn, and the noise floor; print values beside thresholds.",
    )
    parser.add_argument("--checks", default="", metavar="V1,V3,…", help="which; default: all")
    parser.add_argument("--size", choices=["small", "full"], default="small", help="how much to simulate; default: small")
    parser.add_argument("--cases", type=Path, metavar="FILE.jsonl", help="instead: agreement with labelled rating cases")
    parser.add_argument("--personas", type=Path, metavar="DIR", help="with --cases: folder of their persona files")
    parser.add_argument("--setting", default="house", help="with --cases: name of a setting, or path of its folder")
    parser.add_argument("--reader", default="embedded", metavar="NAME",
                        help='with --cases: "embedded" (default), or a sentence-transformers model (extra "reader")')
    parser.add_argument("--out", type=Path, metavar="PATH",
                        help="folder for the validity card (validity_card.md, images/); with --cases: file for the marks")
    add_common(parser)
    parser.set_defaults(execute=run)


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    if (options.cases is None) != (options.personas is None):
        raise ValueError("--cases and --personas go together: the cases, and the folder of the personas they are about")
    return run_checks(options) if options.cases is None else run_cases(options)


def run_checks(options: argparse.Namespace) -> int:
    """Run the validity checks and show them; returns the exit status."""
    from propersim_env.evaluation import validity
    from propersim_env.evaluation.validity import card

    names = [name.strip() for name in options.checks.split(",") if name.strip()]
    with ERR.status("validating …") as status:
        values = validity.run(names, options.size, lambda name: status.update(f"validating: {name} …"),
                              None if options.json else show)
        written = card.save(values, options.size, options.out) if options.out else []
    if options.json:
        print_json({"size": options.size, "summary": card.summary(values), "values": [v.as_json() for v in values],
                    "files": [str(path) for path in written]})
    else:
        OUT.print(card.summary(values))
        for path in written:
            OUT.print(f"wrote {path}", soft_wrap=True)
    return 1 if any(v.passed is False for v in values) else 0


def show(name: str, values: Sequence[Value]) -> None:
    """Print the values of one check beside their thresholds."""
    from propersim_env.evaluation import validity
    from propersim_env.evaluation.validity import card

    OUT.print(f"{name}  {validity.title(name)}", style="bold")
    table = Table(box=None, pad_edge=False, show_header=False)
    for column in ("right", "left", "left", "left"):
        table.add_column(justify=column)  # type: ignore[arg-type]
    for v in values:
        table.add_row(f"  {card.number(v.value)}", v.demanded(), {True: "passes", False: "FAILS", None: ""}[v.passed], v.name,
                      style="red" if v.passed is False else None)
    OUT.print(table)
    for measured in dict.fromkeys(v.measured for v in values):
        OUT.print(f"  on {measured}", style="dim")
    OUT.print()
