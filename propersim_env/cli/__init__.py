"""The command ``propersim``. Each command lives in a module of its own with ``add(subparsers)``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from propersim_env import __version__
from propersim_env.cli import (
    benchmark,
    check,
    compare,
    demo,
    explain,
    export,
    personas,
    play,
    read,
    report,
    rescore,
    run,
    sweep,
    train,
    validate,
    variants,
)
from propersim_env.cli.console import error, json_alone

EXAMPLES = """\
first steps:
  propersim run --assistants silent,always,oracle --personas 8 --days 3
  propersim personas show p01
  propersim play                        be the assistant of one resident for a day
  propersim check my_file.py:MyAssistant

Every command has its own help with examples: propersim run --help
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="propersim", description="A simulated home for proactive, personalised assistants.", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"propersim {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (demo, run, compare, sweep, report, explain, export, rescore, personas, play, check, read, train, validate,
                   variants, benchmark):
        module.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 done, 1 failed, 2 bad input, 130 interrupted)."""
    parser = build_parser()
    options, more = parser.parse_known_args(arguments)
    if more and not getattr(options, "takes_more", False):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    options.more = more
    try:
        with json_alone() if getattr(options, "json", False) else nullcontext():
            return int(options.execute(options))
    except KeyboardInterrupt:
        print(file=sys.stderr)
        error(getattr(options, "interrupted", "stopped"))
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except (ValueError, TypeError, ImportError, OSError, RuntimeError) as problem:
        if getattr(options, "traceback", False):
            raise
        error(str(problem))
        return 2
