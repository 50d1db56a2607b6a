"""What ProPerAssistant remembers of a resident, and how it finds what matters now.

Records are kept as columns, so that one retrieval is one pass over the embeddings (a matrix-vector product at the speed of
the memory bus) and a few passes over short columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from propersim_env.clock import TICKS_PER_HOUR, moment_text, time_text
from propersim_env.names import near_matches
from propersim_env.schema import read_json, sourced_values

FILE = Path(__file__).with_name("memory.json")
LEVELS = ("A", "AS", "ASC", "ASCR")
Level = Literal["A", "AS", "ASC", "ASCR"]
FloatArray = NDArray[np.float32]
TINY = 1e-9
FEW = 16
"""Up to so many best records are found by repeated search for the largest."""
LARGEST_EXPONENT = 60.0
"""Recency is kept as a power that grows with time; past this exponent the column is brought back to 1."""


class TextEncoder(Protocol):
    """Turns texts into rows of unit length."""

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Embed texts: float32, shape (n, dim)."""


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened.

    Attributes:
        tick: Absolute tick.
        action: What the resident was doing, in words.
        said: What the assistant said, ``""`` for silence.
        rating: Its rating, 0..4; None where there was none.
        marks: The rating by dimension in words, or the reaction, e.g. ``"timing no, preference yes"``.
        reason: Why it was rated so, in the resident's words.
    """

    tick: int
    action: str
    said: str = ""
    rating: int | None = None
    marks: str = ""
    reason: str = ""

    def text(self, level: Level = "ASCR", date: bool = True) -> str:
        """The record in words, with what the level shows: action, + suggestion, + score, + reason."""
        when = moment_text(self.tick) if date else time_text(self.tick)
        parts = [f"{when}: the resident was {self.action}."]
        if self.said and level != "A":
            parts.append(f'You said: "{self.said}"')
            if self.rating is not None and level in ("ASC", "ASCR"):
                parts.append(f"Rated {self.rating} of 4{f' ({self.marks})' if self.marks else ''}.")
            elif self.marks and level in ("ASC", "ASCR"):
                parts.append(f"Reaction: {self.marks}.")
            if self.reason and level == "ASCR":
                parts.append(f"Why: {self.reason}")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How records are scored: each part is brought to 0..1 over the store, then weighed and added.

    Attributes:
        recency, relevance, importance: Weights.
        half_life_hours: Recency halves in this time.
        decay_per_rank: Instead: recency is this to the power of the rank, the newest having rank 0.
        recency_inverted, importance_constant: The published system's faults, for its preset.
    """

    recency: float
    relevance: float
    importance: float
    half_life_hours: float = 48.0
    decay_per_rank: float | None = None
    recency_inverted: bool = False
    importance_constant: bool = False

    @staticmethod
    def preset(name: str) -> Retrieval:
        """A named preset of ``memory.json``.

        Raises:
            ValueError: No such preset; near matches are listed.
        """
        known = _numbers()["retrieval"]
        if name not in known:
            raise ValueError(f"unknown retrieval preset {name!r}: {near_matches(name, known)}")
        return Retrieval(**known[name])


@lru_cache(maxsize=1)
def _numbers() -> dict[str, Any]:
    return sourced_values(read_json(FILE), str(FILE))


class Memory:
    """Records of one resident.

    Args:
        encoder: For relevance; embeddings are of the action and what was said.
        retrieval: Preset name or weights.
        level: How much of a record is shown.

    Example:
        >>> from propersim_env.agents.users.simulated.encoder import Encoder
        >>> memory = Memory(Encoder.load())
        >>> memory.add(Record(200, "chopping onions", "A pinch of cumin would lift that.", 4))
        >>> memory.add(Record(300, "reading a novel", "How about some push-ups?", 1))
        >>> [memory.records[i].tick for i in memory.retrieve("stirring a stew", k=1)]
        [200]
    """

    def __init__(self, encoder: TextEncoder, retrieval: Retrieval | str = "default", level: Level = "ASCR") -> None:
        if level not in LEVELS:
            raise ValueError(f"level {level!r}: choose one of {', '.join(LEVELS)}")
        self.encoder, self.level = encoder, level
        self.retrieval = Retrieval.preset(retrieval) if isinstance(retrieval, str) else retrieval
        self.records: list[Record] = []
        self._dim = int(encoder.encode([""]).shape[1])
        self._embeddings: FloatArray = np.zeros((256, self._dim), np.float32)
        self._fresh, self._importance = np.zeros(256, np.float32), np.zeros(256, np.float32)
        self._importance_range = (float("inf"), float("-inf"))
        self._origin = 0

    def __len__(self) -> int:
        return len(self.records)

    @property
    def embeddings(self) -> FloatArray:
        """Embeddings of all records, shape (n, dim); a view."""
        return self._embeddings[: len(self.records)]

    def add(self, record: Record) -> None:
        """Remember a record; records must come in the order of time.

        Raises:
            ValueError: It is older than the last.
        """
        self.extend([record])

    def extend(self, records: Sequence[Record]) -> None:
        """Remember several records, embedding them together."""
        last = self.records[-1].tick if self.records else -1
        for record in records:
            if record.tick < last:
                raise ValueError(f"a record of tick {record.tick} after one of tick {last}: add them in the order of time")
            last = record.tick
        n, new = len(self.records), len(records)
        self._grow(n + new)
        if new:
            shown = [f"{r.action}. {r.said}" if r.said and self.level != "A" else r.action for r in records]
            self._embeddings[n : n + new] = self.encoder.encode(shown)
            self._fresh[n : n + new] = self._freshness(records)
            matter = self._importance[n : n + new] = [importance(r) for r in records]
            low, high = self._importance_range
            self._importance_range = min([low, *matter]), max([high, *matter])
        self.records += records

    def _freshness(self, records: Sequence[Record]) -> FloatArray:
        """Recency as a power that grows with the tick: only ratios matter, and none of them changes as time goes on."""
        rate = np.log(2) / (self.retrieval.half_life_hours * TICKS_PER_HOUR)
        ahead = (records[-1].tick - self._origin) * rate
        if ahead > LARGEST_EXPONENT:
            self._fresh *= np.float32(np.exp(-ahead))
            self._origin = records[-1].tick
        return np.asarray(np.exp([(r.tick - self._origin) * rate for r in records]), np.float32)

    def _grow(self, size: int) -> None:
        capacity = len(self._fresh)
        if size > capacity:
            capacity = max(size, 2 * capacity)
            for name in ("_embeddings", "_fresh", "_importance"):
                old = getattr(self, name)
                grown = np.zeros((capacity, *old.shape[1:]), np.float32)
                grown[: len(old)] = old
                setattr(self, name, grown)

    def scores(self, query: str) -> FloatArray:
        """Score of every record for a situation, shape ``(n,)``, up to a constant that all share.

        Recency is scaled by its own range over the store, which makes it independent of now: the column needs no pass of its
        own, and neither does importance, whose range is kept while records come in.
        """
        n, r = len(self.records), self.retrieval
        if not n:
            return np.zeros(0, np.float32)
        total = self._embeddings[:n] @ self.encoder.encode([query])[0]
        total *= np.float32(r.relevance / max(float(total.max()) - float(total.min()), TINY))
        if r.recency:
            total += self._recency(n)
        low, high = self._importance_range
        if r.importance and high > low and not r.importance_constant:
            total += self._importance[:n] * np.float32(r.importance / (high - low))
        return total

    def _recency(self, n: int) -> FloatArray:
        """Weighted recency, scaled by its range over the store."""
        r = self.retrieval
        if r.decay_per_rank is None:
            weight = self._fresh[:n]
        else:  # by rank: the newest has rank 0
            rank = np.arange(n - 1, -1, -1, dtype=np.float32)
            weight = np.exp(np.float32(np.log(r.decay_per_rank)) * (rank[::-1] if r.recency_inverted else rank))
        return weight * np.float32(r.recency / max(abs(float(weight[-1]) - float(weight[0])), TINY))

    def retrieve(self, query: str, k: int = 3, leave_out: int = 0) -> list[int]:
        """The k records that matter most now, in the order of time.

        Args:
            query: The situation, in words.
            k: How many at most.
            leave_out: How many of the newest to leave out (they are shown anyway).

        Returns:
            Indices into `records`.
        """
        n = len(self.records) - leave_out
        if n <= 0 or k <= 0:
            return []
        scores = self.scores(query)[:n]
        if k > FEW:
            return sorted(np.argpartition(scores, max(n - k, 0))[max(n - k, 0) :].tolist())
        best = []
        for _ in range(min(k, n)):  # a few passes over one column are faster than a partition of it
            best.append(int(scores.argmax()))
            scores[best[-1]] = -np.inf
        return sorted(best)

    def get_state(self) -> dict[str, Any]:
        """All records as JSON values; embeddings follow from them."""
        return {"records": [asdict(record) for record in self.records]}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` gave."""
        self.records, self._origin, self._importance_range = [], 0, (float("inf"), float("-inf"))
        self.extend([Record(**record) for record in state["records"]])


def importance(record: Record) -> float:
    """How much a record teaches, 0..1: a decided rating most, what was only seen least."""
    p = _numbers()["importance"]
    if not record.said:
        return float(p["seen"])
    if record.rating is None:
        return float(p["unrated"])
    return float(p["rated"] + p["per_mark_from_middle"] * abs(record.rating - 2))
