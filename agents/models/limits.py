"""Patience and thrift around a model: retrying, calls a minute, a budget, and a meter."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .interface import PASSING, Around, Failed, Reply, Request

CHARACTERS_PER_TOKEN = 3.0
"""Of prompts, for what a call may cost before it is made (assumption: few, so that the budget is not exceeded)."""


@dataclass
class Retrying(Around):
    """Asks again where a failure may pass.

    Attributes:
        tries: Of each request, at least 1.
        first: Seconds before the second try; each further wait is twice as long, with up to half of it added at random.
        longest: Seconds to wait at most, whatever the server says.
        sleep: Waits.
    """

    tries: int = 5
    first: float = 1.0
    longest: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    retried: dict[str, int] = field(default_factory=dict)
    """Failures after which was asked again, by kind."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tries < 1 or self.first < 0 or self.longest < 0:
            raise ValueError(f"tries={self.tries}, first={self.first}, longest={self.longest}: too small")
        self._random = random.Random(0)

    def ask(self, requests: Sequence[Request]) -> list[Reply | Failed]:
        """Answers; those that failed are asked for again together."""
        answers = self.inner.ask(requests)
        for attempt in range(1, self.tries):
            failed = [i for i, a in enumerate(answers) if isinstance(a, Failed) and a.kind in PASSING]
            if not failed:
                break
            told = [a.retry_after for i in failed if isinstance(a := answers[i], Failed) and a.retry_after is not None]
            wait = max([self.first * 2 ** (attempt - 1) * (1 + 0.5 * self._random.random()), *told])
            self.sleep(min(wait, self.longest))
            for i in failed:
                kind = answers[i].kind  # type: ignore[union-attr]
                self.retried[kind] = self.retried.get(kind, 0) + 1
            for i, again in zip(failed, self.inner.ask([requests[i] for i in failed]), strict=True):
                answers[i] = again
        return answers


class Pace:
    """Lets so many calls a minute through, evenly spread, whoever makes them.

    Args:
        per_minute: Above 0.
        sleep, clock: Wait, and tell the time.
    """

    def __init__(self, per_minute: float, sleep: Callable[[float], None] = time.sleep,
                 clock: Callable[[], float] = time.monotonic) -> None:
        if per_minute <= 0:
            raise ValueError(f"per_minute={per_minute}: must be above 0")
        self.between, self._sleep, self._clock = 60 / per_minute, sleep, clock
        self._next, self._lock = 0.0, threading.Lock()

    def __call__(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            now = self._clock()
            wait, self._next = max(0.0, self._next - now), max(now, self._next) + self.between
        if wait:
            self._sleep(wait)


@dataclass
class Meter(Around):
    """Counts calls, tokens, seconds and money. Money is None as soon as the price of one call is not known."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    uncounted: int = 0
    """Calls of which the tokens are not known."""
    seconds: float = 0.0
    money: float | None = 0.0
    failed: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._lock = threading.Lock()

    def ask(self, requests: Sequence[Request]) -> list[Reply | Failed]:
        """Answers, counted."""
        answers = self.inner.ask(requests)
        with self._lock:
            for answer in answers:
                self._count(answer)
        return answers

    def _count(self, answer: Reply | Failed) -> None:
        if isinstance(answer, Failed):
            self.failed[answer.kind] = self.failed.get(answer.kind, 0) + 1
        else:
            self.seconds += answer.seconds
        self.calls += 1
        if answer.tokens_in is None or answer.tokens_out is None:
            self.uncounted += isinstance(answer, Reply)
        else:
            self.tokens_in += answer.tokens_in
            self.tokens_out += answer.tokens_out
        if isinstance(answer, Reply) or answer.tokens_in is not None:
            self.money = None if self.money is None or answer.money is None else self.money + answer.money

    def cost(self) -> dict[str, Any]:
        """What it came to, as JSON values."""
        return {"calls": self.calls, "tokens_in": None if self.uncounted else self.tokens_in,
                "tokens_out": None if self.uncounted else self.tokens_out, "seconds": round(self.seconds, 3),
                "money": self.money, "failed": dict(sorted(self.failed.items()))}


@dataclass
class Budget(Around):
    """Stops before a call that could exceed a budget; what is refused is a failure of kind ``budget``.

    Around a model that counts tokens. A call is taken to cost at most its prompt, by its characters, and all the tokens that it
    may answer with; afterwards what it really cost is counted. Where a server does not count tokens, the estimate stands.

    Attributes:
        tokens: At most, in and out together; None for no limit.
        money: At most; needs a model with a price.
    """

    tokens: int | None = None
    money: float | None = None
    price: Callable[[int, int], float | None] = field(default=lambda tokens_in, tokens_out: None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.money is not None and self.price(1, 1) is None:
            raise ValueError(f"a budget of {self.money} needs the price of the model: give price_in and price_out, or a budget "
                             "of tokens")
        self.spent_tokens, self.spent_money, self._lock = 0, 0.0, threading.Lock()

    def ask(self, requests: Sequence[Request]) -> list[Reply | Failed]:
        """Answers to as many as the budget surely allows, in order."""
        allowed, most = [], []
        with self._lock:
            for request in requests:
                worst = self._worst(request)
                if not self._fits(*worst):
                    break
                allowed.append(request)
                most.append(worst)
                self._spend(*worst)
        answers = self.inner.ask(allowed) if allowed else []
        with self._lock:
            for answer, (tokens, money) in zip(answers, most, strict=True):
                real_tokens, real_money = self._real(answer, tokens, money)
                self._spend(real_tokens - tokens, real_money - money)
        refused = Failed("budget", f"the next call may exceed the budget ({self._left()})")
        return [*answers, *[refused] * (len(requests) - len(allowed))]

    def _worst(self, request: Request) -> tuple[int, float]:
        prompt = int(sum(len(m["content"]) for m in request.messages) / CHARACTERS_PER_TOKEN) + 16 * len(request.messages)
        return prompt + request.max_tokens, self.price(prompt, request.max_tokens) or 0.0

    def _real(self, answer: Reply | Failed, tokens: int, money: float) -> tuple[int, float]:
        if answer.tokens_in is None or answer.tokens_out is None:
            return tokens, money
        return answer.tokens_in + answer.tokens_out, money if answer.money is None else answer.money

    def _fits(self, tokens: int, money: float) -> bool:
        return ((self.tokens is None or self.spent_tokens + tokens <= self.tokens)
                and (self.money is None or self.spent_money + money <= self.money))

    def _spend(self, tokens: int, money: float) -> None:
        self.spent_tokens += tokens
        self.spent_money += money

    def _left(self) -> str:
        parts = []
        if self.tokens is not None:
            parts.append(f"{self.spent_tokens} of {self.tokens} tokens are spent")
        if self.money is not None:
            parts.append(f"{self.spent_money:.4f} of {self.money:.4f} is spent")
        return ", ".join(parts)

    def about(self) -> Mapping[str, Any]:
        """That of the model, and the budget."""
        return {**self.inner.about(), "budget": {"tokens": self.tokens, "money": self.money}}
