"""``propersim compare``: a comparison that is written down in a file, from there to table, figures and page."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from propersim_env.cli import run as run_command
from propersim_env.cli.console import OUT, add_common
from propersim_env.cli.report import summarise
from propersim_env.evaluation.engines import make_engine
from propersim_env.evaluation.page import write_page
from propersim_env.evaluation.runner import check
from propersim_env.evaluation.spec import EXAMPLE, describe, read_spec

EPILOG = """\
examples:
  propersim compare --example > mine.toml      a file to begin with
  propersim compare mine.toml --dry-run        check it, and say what it would do
  propersim compare mine.toml                  do it; the same command goes on where it was stopped

keys of the file:
{keys}

The run folder then also holds the file itself (compare.toml) and report.html: one page, readable without a network.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    keys = "\n".join(f"  {key:15}{about}" for key, about in describe().items())
    parser = commands.add_parser(
        "compare", help="run a comparison that is written in a file", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run the comparison that a TOML file describes, and write table, figures and a page.",
        epilog=EPILOG.format(keys=keys).replace("%", "%%"),
    )
    parser.add_argument("file", type=Path, nargs="?", metavar="SPEC.toml", help="the comparison")
    parser.add_argument("--dry-run", action="store_true", help="check everything and say what would be run")
    parser.add_argument("--example", action="store_true", help="print a file to begin with")
    add_common(parser)
    parser.set_defaults(execute=run)


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    if options.example:
        print(EXAMPLE, end="")
        return 0
    if options.file is None:
        raise ValueError("name the file of a comparison; propersim compare --example prints one to begin with")
    spec = read_spec(options.file)
    described = run_command.options_of({**spec, "json": options.json})
    if options.dry_run:
        make_engine(described.engine, described.workers)
        plan = run_command.plan_of(described)
        check(plan)
        OUT.print(f"{len(plan.assistants)} assistants x {len(plan.personas)} people x {len(plan.seeds)} seeds x "
                  f"{plan.config.days} days: {len(plan.units())} episodes in {described.out}; nothing was run", soft_wrap=True)
        return 0
    status = run_command.run(described)
    options.interrupted = described.interrupted
    kept = described.out / "compare.toml"
    if options.file.resolve() != kept.resolve():
        shutil.copyfile(options.file, kept)
    page = write_page(described.out, title=spec.get("title", options.file.stem), result=summarise(described.out, described))
    if not options.json:
        OUT.print(f"page: {page}", soft_wrap=True)
    return status
