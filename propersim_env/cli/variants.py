"""``propersim variants``: the named variants of the simulation."""

from __future__ import annotations

import argparse

from propersim_env.cli.console import OUT, add_common, print_json
from propersim_env.cli.layout import hanging
from propersim_env.variants import variants

EPILOG = """\
examples:
  propersim variants
  propersim run --variant drift-abrupt --assistants rate-matched,content-oracle --days 14
  propersim run --variant absences --user-option noise=0      what you give goes before what the variant sets
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "variants", help="list the named variants of the simulation", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="List the named variants: what each changes. Use one with propersim run --variant NAME, or variant=NAME "
                    "in gym.make.",
    )
    add_common(parser)
    parser.set_defaults(execute=run)


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    known = variants().values()
    if options.json:
        print_json({v.name: {"about": v.about, "environment": dict(v.environment), "user": dict(v.user)} for v in known})
        return 0
    width = max(len(v.name) for v in known)
    for v in known:
        sets = ", ".join(f"{k}={value}" for k, value in {**v.environment, **v.user}.items())
        OUT.print(hanging(f"{v.name:{width}}  ", f"{v.about} ({sets})"), soft_wrap=True)
    return 0
