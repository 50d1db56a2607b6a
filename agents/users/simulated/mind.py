"""What a resident remembers of the assistant: dose, fatigue, habits, and what was said. Changed by deliveries only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MEMORY = 64
"""Distinct texts remembered at most; the oldest is forgotten first."""

NEVER = -(10**9)


class Mind:
    """Memory of one resident. All levels are stored with the tick they held at, and decay lazily."""

    __slots__ = (
        "bad", "delivered", "dose", "fatigue", "habituation", "habituation_tick", "last_tick", "satiation",
        "satiation_tick", "served", "texts",
    )  # fmt: skip

    def __init__(self, n_topics: int) -> None:
        self.last_tick = NEVER
        self.delivered = 0
        self.dose = 0.0
        self.fatigue = 0.0
        self.habituation = [0.0] * n_topics
        self.habituation_tick = [0] * n_topics
        self.satiation = [0.0] * n_topics
        self.satiation_tick = [0] * n_topics
        self.served = 0
        self.bad = 0.0
        self.texts: dict[str, tuple[int, NDArray[np.float32]]] = {}

    def remember(self, key: str, tick: int, embedding: NDArray[np.float32]) -> None:
        """Remember a text that was heard at this absolute tick."""
        self.texts.pop(key, None)
        self.texts[key] = (tick, embedding)
        if len(self.texts) > MEMORY:
            del self.texts[next(iter(self.texts))]

    def get_state(self) -> dict[str, Any]:
        """Everything, as JSON values; embeddings are left out because they follow from the texts."""
        state = {name: getattr(self, name) for name in self.__slots__ if name != "texts"}
        state = {k: list(v) if isinstance(v, list) else v for k, v in state.items()}
        return {**state, "texts": [[key, tick] for key, (tick, _) in self.texts.items()]}

    def set_state(self, state: dict[str, Any], embed: Any) -> None:
        """Restore; `embed` gives the embedding of a remembered text."""
        for name in self.__slots__:
            if name != "texts":
                value = state[name]
                setattr(self, name, list(value) if isinstance(value, list) else value)
        self.texts = {key: (tick, embed(key)) for key, tick in state["texts"]}
