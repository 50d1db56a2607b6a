"""What a resident remembers of the assistant: dose, fatigue, habits, and what was said. Changed by deliveries only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .reader import FEW_WORDS, Reading, RepeatLimits, is_repeat

MEMORY = 128
"""Distinct texts remembered at most; the oldest is forgotten first."""

NEVER = -(10**9)
_TEXTS = ("few", "heard_tick", "index", "none", "readings", "slots", "texts")


class Mind:
    """Memory of one resident. All levels are stored with the tick they held at, and decay lazily.

    Texts stand in slots. A set of slots is an int, one bit a slot, so that those which share words with a new text are found
    without looking at each: `index` holds the slots of every content word, `few` those of texts with few of them, `none`
    those of texts without any.
    """

    __slots__ = (
        "bad", "delivered", "dose", "fatigue", "few", "habituation", "habituation_tick", "heard_tick", "index", "last_tick",
        "none", "readings", "satiation", "satiation_tick", "served", "slots", "texts", "today",
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
        self._forget_texts()

    def _forget_texts(self) -> None:
        self.slots: dict[str, int] = {}
        self.texts: list[str] = []
        self.readings: list[Reading] = []
        self.heard_tick: list[int] = []
        self.index: dict[str, int] = {}
        self.few = self.none = 0

    def remember(self, text: str, reading: Reading, tick: int) -> None:
        """Remember a text that was heard at this absolute tick; the longest unheard one gives way."""
        slot = self.slots.pop(reading.key, -1)
        if slot >= 0:
            self.texts[slot], self.heard_tick[slot] = text, tick
        elif len(self.slots) < MEMORY:
            slot = len(self.texts)
            self.texts.append(text)
            self.readings.append(reading)
            self.heard_tick.append(tick)
            self._enter(slot, reading)
        else:
            slot = self.slots.pop(next(iter(self.slots)))
            self._leave(slot, self.readings[slot])
            self.texts[slot], self.readings[slot], self.heard_tick[slot] = text, reading, tick
            self._enter(slot, reading)
        self.slots[reading.key] = slot

    def _leave(self, slot: int, reading: Reading) -> None:
        bit, index = 1 << slot, self.index
        for word in reading.content:
            others = index[word] ^ bit
            if others:
                index[word] = others
            else:
                del index[word]
        self.few &= ~bit
        self.none &= ~bit

    def _enter(self, slot: int, reading: Reading) -> None:
        bit, index = 1 << slot, self.index
        for word in reading.content:
            index[word] = index.get(word, 0) | bit
        if len(reading.content) < FEW_WORDS:
            self.few |= bit
            if not reading.content:
                self.none |= bit

    def last_heard(self, reading: Reading, limits: RepeatLimits) -> int:
        """Absolute tick at which this text, or one that it repeats, was last heard; `NEVER` if not remembered."""
        slot = self.slots.get(reading.key)
        latest = self.heard_tick[slot] if slot is not None else NEVER
        once = twice = 0
        find = self.index.get
        for word in reading.content:
            slots = find(word)
            if slots:
                twice |= once & slots
                once |= slots
        likely = twice | once & self.few if len(reading.content) >= FEW_WORDS else once | self.none
        while likely:
            slot = likely.bit_length() - 1
            likely ^= 1 << slot
            if self.heard_tick[slot] > latest and is_repeat(reading, self.readings[slot], limits):
                latest = self.heard_tick[slot]
        return latest

    def get_state(self) -> dict[str, Any]:
        """Everything, as JSON values; what follows from the texts is left out."""
        state = {name: getattr(self, name) for name in self.__slots__ if name not in _TEXTS}
        state = {k: list(v) if isinstance(v, list) else v for k, v in state.items()}
        return {**state, "texts": [[self.texts[slot], self.heard_tick[slot]] for slot in self.slots.values()]}

    def set_state(self, state: Mapping[str, Any], read: Callable[[str], Reading]) -> None:
        """Restore; `read` understands the remembered texts anew."""
        for name in self.__slots__:
            if name not in _TEXTS:
                value = state[name]
                setattr(self, name, list(value) if isinstance(value, list) else value)
        self._forget_texts()
        for text, tick in state["texts"]:
            self.remember(text, read(text), tick)
