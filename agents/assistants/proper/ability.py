"""Whether general ability survives training: perplexity of held-out text, and questions of general knowledge.

A small model that never had general ability shows that in its first figures; what matters is how they move from day to day.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

from propersim_env.schema import read_json

from .policy import Policy

FILE = Path(__file__).with_name("general.json")
BASE = "__nobody__"
"""A name that no resident has, and so no adapter."""
LARGEST = 50.0
"""Mean loss beyond which a perplexity would be no finite number worth noting."""


@lru_cache(maxsize=1)
def _general() -> dict[str, Any]:
    return dict(read_json(FILE))


Tokens = list[int]


def _rows(policy: Policy) -> tuple[list[tuple[Tokens, Tokens]], int]:
    """Beginnings and the ends that are scored, texts first, then right and wrong ends by turns; and how many are texts.

    All of them are one batch. Where a policy takes fewer rows at once, as many of both are left out in proportion.
    """
    general, tokenizer = _general(), policy.base.tokenizer
    begin = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    texts, questions = general["texts"], general["questions"]
    share = min(1.0, policy.batch / (len(texts) + 2 * len(questions)))
    texts = texts[: max(1, int(share * len(texts)))]
    questions = questions[: max(1, int(share * len(questions)))]

    def encode(text: str) -> Tokens:
        return list(tokenizer.encode(text, add_special_tokens=False))

    whole = [begin + encode(text) for text in texts]
    rows = [(t[:1], t[1:]) for t in whole]
    rows += [(begin + encode(q["ask"]), encode(q[end])) for q in questions for end in ("right", "wrong")]
    return rows, len(texts)


def general_ability(policy: Policy, name: str) -> dict[str, float]:
    """Measure the policy of one resident, in one batch.

    Args:
        policy: Base model and adapters.
        name: Of the resident whose adapter is used; one without an adapter measures the base model.

    Returns:
        ``perplexity`` a token of held-out text (1 and up; compare it with that of the same base model only), and
        ``questions``: share of questions whose right end is likelier than the wrong one (chance: .5).
    """
    rows, texts = _rows(policy)
    log_p = policy.log_probabilities([start for start, _ in rows], [end for _, end in rows], [name] * len(rows))
    mean = [p / len(end) for p, (_, end) in zip(log_p[texts:], rows[texts:], strict=True)]
    right = sum(a > b for a, b in zip(mean[::2], mean[1::2], strict=True))
    perplexity = math.exp(min(-sum(log_p[:texts]) / sum(len(end) for _, end in rows[:texts]), LARGEST))
    return {"perplexity": round(perplexity, 3), "questions": round(2 * right / len(mean), 3)}


class Ability:
    """General ability from night to night, for the notes.

    Measured anew only when there is another adapter.
    """

    def __init__(self) -> None:
        self._measured: dict[str, float] = {}
        self._of: Path | None = None

    def night(self, policy: Policy, name: str, adapter: Path | None) -> dict[str, Any]:
        """What the notes say after a night: ``perplexity`` and ``questions``, the first time also those of the base (``base``).

        Args:
            policy: After training.
            name: Of the resident.
            adapter: The one in use.
        """
        first: dict[str, Any] = {}
        if not self._measured:
            first = {"base": general_ability(policy, BASE)}
            self._measured = first["base"]
        if adapter != self._of:
            self._measured, self._of = general_ability(policy, name), adapter
        return {**self._measured, **first}
