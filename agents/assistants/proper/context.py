"""The prompt of a decision, put together within a token budget: what does not fit is left out by priority, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the prompt.

    Attributes:
        kind: What it is, e.g. ``"retrieved"``; kept and dropped are counted by it.
        text: Its text.
        priority: Lower is kept first; 0 must fit. Among equals the later part is kept first (it is the newer).
    """

    kind: str
    text: str
    priority: int


@dataclass(frozen=True, slots=True)
class Context:
    """A prompt, how many tokens it has, and how many parts of each kind were kept and dropped."""

    text: str
    tokens: int
    kept: Counter[str]
    dropped: Counter[str]


def assemble(parts: Sequence[Part], budget: int, count: Callable[[str], int], separator: str = "\n") -> Context:
    """Join parts, in the order given, as far as they fit.

    Args:
        parts: The pieces.
        budget: Tokens at most.
        count: Tokens of a text; each part is counted with the separator after it.
        separator: Put between parts.

    Raises:
        ValueError: The parts that must fit do not.
    """
    sizes = [count(part.text + separator) for part in parts]
    needed = sum(size for part, size in zip(parts, sizes, strict=True) if part.priority == 0)
    if needed > budget:
        raise ValueError(f"a budget of {budget} tokens is below the {needed} of what must be in the prompt: raise it, or "
                         "shorten the instructions")
    left = budget
    chosen: set[int] = set()
    for i in sorted(range(len(parts)), key=lambda i: (parts[i].priority, -i)):
        if sizes[i] <= left:
            chosen.add(i)
            left -= sizes[i]
    text = separator.join(part.text for i, part in enumerate(parts) if i in chosen)
    kept = Counter(part.kind for i, part in enumerate(parts) if i in chosen)
    dropped = Counter(part.kind for i, part in enumerate(parts) if i not in chosen)
    return Context(text, count(text), kept, dropped)
