"""Text laid out for the terminal, and left alone where it is piped."""

from __future__ import annotations

import textwrap

from propersim_env.cli.console import OUT


def hanging(prefix: str, text: str) -> str:
    """The text after a prefix; on a terminal wrapped by words, with its further lines under the first."""
    if not OUT.is_terminal:
        return prefix + text
    indent = " " * len(prefix)
    return textwrap.fill(text, max(OUT.width, len(prefix) + 20), initial_indent=prefix, subsequent_indent=indent)
