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


@lru_cache(maxsize=1)
def _general() -> dict[str, Any]:
    return dict(read_json(FILE))


def general_ability(policy: Policy, name: str) -> dict[str, float]:
    """Measure the policy of one resident.

    Args:
        policy: Base model and adapters.
        name: Of the resident whose adapter is used; one without an adapter measures the base model.

    Returns:
        ``perplexity`` a token of held-out text (1 and up; compare it with that of the same base model only), and
        ``questions``: share of questions whose right end is likelier than the wrong one (chance: .5).
    """
    general = _general()
    encode = policy.base.tokenizer.encode
    begin = [policy.base.tokenizer.bos_token_id] if policy.base.tokenizer.bos_token_id is not None else []
    texts = [begin + encode(text, add_special_tokens=False) for text in general["texts"]]
    scores = policy.log_probabilities([t[:1] for t in texts], [t[1:] for t in texts], [name] * len(texts))
    tokens = sum(len(t) - 1 for t in texts)
    asked = [begin + encode(q["ask"], add_special_tokens=False) for q in general["questions"] for _ in range(2)]
    ends = [encode(q[end], add_special_tokens=False) for q in general["questions"] for end in ("right", "wrong")]
    log_p = policy.log_probabilities(asked, ends, [name] * len(asked))
    mean = [p / len(end) for p, end in zip(log_p, ends, strict=True)]
    right = sum(a > b for a, b in zip(mean[::2], mean[1::2], strict=True))
    return {"perplexity": round(math.exp(-sum(scores) / tokens), 3), "questions": round(right / len(general["questions"]), 3)}
