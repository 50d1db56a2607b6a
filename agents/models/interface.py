"""What is asked of a language model, and what comes back: a text or a choice, with its cost, or a failure with its kind.

A model answers many requests at once and never raises for one of them: a call that failed is a `Failed`, which is never a
score. Caching, retrying, limits and metering are models around a model (see the modules beside this one).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Message = Mapping[str, str]
"""A chat message: ``role`` and ``content``."""

KINDS = ("rate_limited", "server_error", "timeout", "connection", "refused", "empty", "truncated", "malformed", "budget",
         "not_recorded")
"""Kinds of failure: 429; 5xx; no answer in time; cut or no connection; other 4xx; no text; cut at the limit of tokens; not what
was asked for; a budget would be exceeded; replaying, and the answer was never recorded."""
PASSING = frozenset({"rate_limited", "server_error", "timeout", "connection", "empty"})
"""Kinds that may be gone at the next try."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question.

    Attributes:
        messages: The chat so far.
        max_tokens: Of the answer, at most.
        temperature: 0 takes the likeliest words.
        seed: For servers that honour it.
        stop: Texts at which the answer ends.
        options: If any, the answer is one of these.
        schema: If any, the answer is JSON that fits this JSON schema.
        repeat: Number of this among equal requests, which are answered one by one.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    repeat: int = 0

    def key(self, model: str) -> str:
        """SHA-256 of the model's name and everything that is asked: the same question has the same key."""
        asked = {name: getattr(self, name) for name in self.__slots__}
        text = json.dumps({"model": model, **asked}, sort_keys=True, ensure_ascii=False, default=dict)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Attributes:
        text: Of the answer; one of the options where there were any.
        probabilities: Of the options, where the model tells them; they sum to 1.
        tokens_in, tokens_out: As the server counted; None where it did not.
        seconds: Until it came; of a cached one, as it was then.
        money: What it cost; None where no price is known, which is not 0.
        cached: Whether it was remembered, not asked.
    """

    text: str
    probabilities: Mapping[str, float] | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    seconds: float = 0.0
    money: float | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A call that gave no answer; never a score.

    Attributes:
        kind: One of `KINDS`.
        message: What happened, without any key.
        retry_after: Seconds after which the server wants to be asked again, if it said so.
        tokens_in, tokens_out, money: What the call cost all the same, where that is known.
    """

    kind: str
    message: str
    retry_after: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    money: float | None = None


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a model really does, found by trying; recorded with every result.

    Attributes:
        chooses: ``"probabilities"``, ``"constrained"`` (the server lets nothing else through) or ``"words"`` (it is asked to,
            and what it says is read).
        follows_schema: Whether the server constrains answers to a JSON schema.
        tells_usage: Whether it counts tokens.
        repeatable: ``"exact"`` (equal requests, equal answers at temperature 0, and at others with a seed), ``"greedy"`` (at
            temperature 0 only) or ``"no"``.
    """

    chooses: str = "words"
    follows_schema: bool = False
    tells_usage: bool = False
    repeatable: str = "no"


@dataclass(frozen=True, slots=True)
class Price:
    """Money for a million tokens."""

    tokens_in: float
    tokens_out: float

    def of(self, tokens_in: int | None, tokens_out: int | None) -> float | None:
        """What a call cost; None where its tokens are not known."""
        if tokens_in is None or tokens_out is None:
            return None
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6


class Model(Protocol):
    """Answers requests."""

    name: str
    """Stands for the model in keys of the cache and in results."""

    def ask(self, requests: Sequence[Request]) -> list[Reply | Failed]:
        """Answers in the order of the requests; nothing is raised for one of them."""

    def about(self) -> Mapping[str, Any]:
        """What results are to say of the model: name, address without keys, abilities, settings; JSON values."""


@dataclass
class Around:
    """A model around a model; others build on it."""

    inner: Model
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.inner.name

    def ask(self, requests: Sequence[Request]) -> list[Reply | Failed]:
        """Pass on."""
        return self.inner.ask(requests)

    def about(self) -> Mapping[str, Any]:
        """Pass on."""
        return self.inner.about()
