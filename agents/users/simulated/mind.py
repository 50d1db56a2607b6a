"""What a resident remembers of the assistant: dose, fatigue, habits, and what was said. Changed by deliveries only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .reader import Reading

MEMORY = 128
"""Distinct texts remembered at most; the oldest is forgotten first."""

NEVER = -(10**9)
_TEXTS = ("embeddings", "heard_tick", "slots", "texts")


class Mind:
    """Memory of one resident. All levels are stored with the tick they held at, and decay lazily."""

    __slots__ = (
        "bad", "delivered", "dose", "embeddings", "fatigue", "habituation", "habituation_tick", "heard_tick", "last_tick",
        "satiation", "satiation_tick", "served", "slots", "texts", "today",
    )

    def __init__(self, n_topics: int) -> None:
        self.last_tick = NEVER
        self.delivered = 0
        self.today = 0
        self.dose = 0.0
        self.fatigue = 0.0
        self.habituation = [0.0] * n_topics
        self.habituation_tick = [0] * n_topics
        self.satiation = [0.0] * n_topics
        self.satiation_tick = [0] * n_topics
        self.served = 0
        self.bad = 0.0
        self.slots: dict[str, int] = {}
        self.texts: list[str] = [""] * MEMORY
        self.heard_tick = np.full(MEMORY, NEVER, np.int64)
        self.embeddings: NDArray[np.float32] = np.zeros((0, 0), np.float32)

    def remember(self, text: str, key: str, tick: int, embedding: NDArray[np.float32]) -> None:
        """Remember a text that was heard at this absolute tick; the longest unheard one gives way."""
        if not self.embeddings.size:
            self.embeddings = np.zeros((MEMORY, embedding.size), np.float32)
        slot = self.slots.pop(key, -1)
        if slot < 0:
            slot = self.slots.pop(next(iter(self.slots))) if len(self.slots) == MEMORY else len(self.slots)
            self.embeddings[slot] = embedding
        self.slots[key] = slot
        self.texts[slot] = text
        self.heard_tick[slot] = tick

    def last_heard(self, key: str, embedding: NDArray[np.float32], similarity: float) -> int:
        """Absolute tick at which this text, or one at least so similar, was last heard; `NEVER` if not remembered."""
        if not self.slots:
            return NEVER
        alike = self.embeddings @ embedding > similarity
        slot = self.slots.get(key)
        if slot is not None:
            alike[slot] = True  # an embedding of nothing is not similar even to itself
        return int(self.heard_tick[alike].max()) if alike.any() else NEVER

    def get_state(self) -> dict[str, Any]:
        """Everything, as JSON values; embeddings are left out because they follow from the texts."""
        state = {name: getattr(self, name) for name in self.__slots__ if name not in _TEXTS}
        state = {k: list(v) if isinstance(v, list) else v for k, v in state.items()}
        return {**state, "texts": [[self.texts[slot], int(self.heard_tick[slot])] for slot in self.slots.values()]}

    def set_state(self, state: Mapping[str, Any], read: Callable[[str], Reading]) -> None:
        """Restore; `read` understands the remembered texts anew."""
        for name in self.__slots__:
            if name not in _TEXTS:
                value = state[name]
                setattr(self, name, list(value) if isinstance(value, list) else value)
        self.slots.clear()
        for text, tick in state["texts"]:
            reading = read(text)
            self.remember(text, reading.key, tick, reading.embedding)
