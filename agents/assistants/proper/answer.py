"""What a language model answers: silence, or something to say. Anything else is malformed, and counted as such."""

from __future__ import annotations

import re
from dataclasses import dataclass

SILENT = "SILENT"
"""The answer that says nothing."""
SPEAK = "SAY:"
"""What an answer that says something begins with; the text follows on the same line."""
LONGEST = 400
"""Characters of a text at most: what is longer has run away."""
_TEMPLATE_MARK = re.compile(r"<\|[^|]*\|>|\[/?INST\]|</?s>|^\s*(?:assistant|user|system)\s*:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion, read.

    Attributes:
        text: What to say, ``""`` for silence or when malformed.
        malformed: What is wrong, ``""`` for nothing.
    """

    text: str
    malformed: str = ""


def read_answer(completion: str, ended: bool = True) -> Answer:
    """Read a completion.

    Args:
        completion: The model's words, decoded.
        ended: Whether the model ended it itself, rather than the limit of tokens.

    Example:
        >>> read_answer("SAY: A pinch of cumin would lift that stew.").text
        'A pinch of cumin would lift that stew.'
        >>> read_answer("Well, perhaps").malformed
        'begins with neither SAY: nor SILENT'
    """
    answer = completion.strip()
    if answer.rstrip(".").upper() == SILENT:
        return Answer("")
    if not answer.startswith(SPEAK):
        return Answer("", "empty" if not answer else f"begins with neither {SPEAK} nor {SILENT}")
    return read_text(answer[len(SPEAK) :], ended)


def read_text(words: str, ended: bool = True) -> Answer:
    """Read what follows ``SAY:``; arguments as for `read_answer`."""
    text = words.strip().strip('"').strip()
    if not text:
        return Answer("", "nothing to say after SAY:")
    if not ended:
        return Answer("", "cut off at the limit of tokens")
    if len(text) > LONGEST:
        return Answer("", f"longer than {LONGEST} characters")
    if "\n" in text or _TEMPLATE_MARK.search(text):
        return Answer("", "more than one line, or marks of a chat template")
    if SPEAK in text:
        return Answer("", f"says {SPEAK} again")
    if not any(c.isalpha() for c in text):
        return Answer("", "no words")
    return Answer(text)
