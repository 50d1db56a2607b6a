"""A plan before the words: what a text is about and how it sounds, e.g. ``(cooking, casual) How about…``.

A small model that first names topic and tone chooses them in two tokens, where learning can reach the choice, and then writes
what it chose. The plan is never said. Models made for it carry ``"propersim_plan": true`` in their configuration.
"""

from __future__ import annotations

import re
from typing import Any

from .labels import Labels, main

TOPIC_TOKEN = 1
"""Which token of a plan names the topic."""
_PLAN = re.compile(r"^\s*\([a-z ,'&-]+\)\s*")


class Plan:
    """Spells texts with their plan, by the assistant's own reading of them.

    Args:
        labels: The reading.
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.topics = [t.name.lower() for t in labels.setting.topics]
        self.tones = [t.name.lower() for t in labels.setting.tones]

    def tokens(self, tokenizer: Any) -> list[list[int]]:
        """Which tokens may stand at each place of a plan: names of topics and tones are one each.

        Raises:
            ValueError: The tokenizer was not made for such plans.
        """
        plans = [tokenizer.encode(f" ({topic}, {tone})", add_special_tokens=False)
                 for topic in self.topics for tone in self.tones]
        if {len(plan) for plan in plans} != {5}:
            raise ValueError("the model is said to plan (propersim_plan), but names of topics and tones are not one token each")
        return [sorted(set(place)) for place in zip(*plans, strict=True)]

    def spell(self, text: str) -> str:
        """A text with its plan before it."""
        topics, tones = self.labels.read(text)
        return f"({self.topics[main(topics)]}, {self.tones[main(tones)]}) {text}"


def without_plan(words: str) -> str:
    """What is to be said of a completion that may begin with a plan.

    Example:
        >>> without_plan(" (drinks and snacks, casual) Tea?")
        'Tea?'
    """
    return _PLAN.sub("", words, count=1)
