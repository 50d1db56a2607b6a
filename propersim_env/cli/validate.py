"""``propersim validate``: is the simulated user what it claims to be? Values beside thresholds, and the validity card."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from propersim_env.cli.console import ERR, OUT, add_common, print_json

EPILOG = """\
examples:
  propersim validate                              every check, small: about a minute
  propersim validate --checks V3,V4,noise-floor   some of them
  propersim validate --size full --out docs       minutes; writes the validity card and its figures

Exit status: 0 when every check passes, 1 when one does not.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "validate", help="check the simulated user against published numbers", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run the validity checks V1-V17 and the noise floor; print values beside thresholds.",
    )
    parser.add_argument("--checks", default="", metavar="V1,V3,…", help="which; default: all")
    parser.add_argument("--size", choices=["small", "full"], default="small", help="how much to simulate; default: small")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the validity card (validity_card.md, images/) there")
    add_common(parser)
    parser.set_defaults(execute=run)


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    return run_checks(options)


def run_checks(options: argparse.Namespace) -> int:
    """Run the validity checks and show them; returns the exit status."""
    from propersim_env.evaluation import validity
    from propersim_env.evaluation.validity import card

    names = [name.strip() for name in options.checks.split(",") if name.strip()]
    with ERR.status("validating …") as status:
        values = validity.run(names, options.size, lambda name: status.update(f"validating: {name} …"))
        written = card.save(values, options.size, options.out) if options.out else []
    if options.json:
        print_json({"size": options.size, "summary": card.summary(values), "values": [v.as_json() for v in values],
                    "files": [str(path) for path in written]})
    else:
        table = Table("check", "what", "value", "passes when", "passed", "measured on")
        for v in values:
            passed = {True: "yes", False: "[red]no[/red]", None: ""}[v.passed]
            table.add_row(v.check, escape(v.name), card.number(v.value), v.demanded(), passed, escape(v.measured))
        OUT.print(table)
        OUT.print(card.summary(values))
        for path in written:
            OUT.print(f"wrote {path}", highlight=False, soft_wrap=True)
    return 1 if any(v.passed is False for v in values) else 0
