"""What the commands share: consoles, options that several have, messages."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

from rich.console import Console

OUT = Console(markup=False, highlight=False)
ERR = Console(stderr=True, markup=False, highlight=False)


def error(message: str) -> None:
    """Print an error as one block on standard error."""
    ERR.print("error:", style="bold red", end=" ")
    ERR.print(message, soft_wrap=True)


class _Output:
    """Where `print_json` prints while `json_alone` keeps others from standard output."""

    stream: TextIO | None = None


def print_json(value: Any) -> None:
    """Print JSON for machines on standard output."""
    print(json.dumps(value, indent=1, ensure_ascii=False), file=_Output.stream or sys.stdout)


@contextmanager
def json_alone() -> Iterator[None]:
    """Send to standard error whatever is printed, but for `print_json`: some libraries print when they are imported."""
    _Output.stream = sys.stdout
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _Output.stream = None


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options of every command."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON on standard output, nothing else there")
    parser.add_argument("--traceback", action="store_true", help="show the Python traceback of an error")


def key_value(text: str) -> tuple[str, Any]:
    """An argument ``key=value``; the value is read as JSON where it is JSON."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r}: write key=value, e.g. noise=0")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
