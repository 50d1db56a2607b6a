"""A model from its name: where it is, and everything around it in the right order.

From outside in: answers that are remembered; trying again; the budget; the meter; the model. So what is remembered costs
nothing, and every try counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .cache import Cached
from .interface import Failed, Model, Price, Reply, Request
from .limits import Budget, Meter, Retrying
from .local import Local
from .probe import probe
from .server import KEY, Server

LOCAL = "local:"


class Stack:
    """A model with everything around it.

    Attributes:
        outer: What is asked.
        meter: Counts the calls that were really made.
        model: The model itself.
    """

    def __init__(self, outer: Model, meter: Meter, model: Server | Local, cached: Cached | None, retrying: Retrying) -> None:
        self.outer, self.meter, self.model, self.cached, self.retrying = outer, meter, model, cached, retrying
        self.name = outer.name

    def ask(self, requests: Sequence[Request]) -> list[Reply | Failed]:
        """Answers in the order of the requests; nothing is raised for one of them."""
        return self.outer.ask(requests)

    def about(self) -> Mapping[str, Any]:
        """What results are to say of it."""
        return self.outer.about()

    def close(self) -> None:
        """End connections, to the server and to the file of answers."""
        if isinstance(self.model, Server):
            self.model.close()
        if self.cached is not None:
            self.cached.close()

    def cost(self) -> dict[str, Any]:
        """Calls, tokens, seconds and money so far; what was remembered, and what was tried again."""
        return {**self.meter.cost(), "cached": self.cached.found if self.cached else 0,
                "retried": dict(sorted(self.retrying.retried.items()))}


def make_model(
    spec: str, *, cache: str | Path | None = None, mode: str = "use", tries: int = 5, timeout: float = 120.0,
    concurrency: int = 8, per_minute: float = 0.0, budget_tokens: int | None = None, budget_money: float | None = None,
    price_in: float | None = None, price_out: float | None = None, key_env: str = KEY, load_in_4bit: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> Stack:
    """A model from its name.

    Args:
        spec: ``"MODEL@URL"`` (any OpenAI-compatible server, e.g. ``"llama3@http://localhost:11434/v1"``), ``"MODEL"`` (the
            server that ``OPENAI_BASE_URL`` names, or OpenAI's own), or ``"local:MODEL"`` (transformers in this process).
        cache: File in which answers are remembered; None remembers nothing.
        mode: ``"use"``, or ``"replay"``: answers come from the file only, and nothing is connected to.
        tries: Of each call.
        timeout: Seconds for one call.
        concurrency: Calls at once.
        per_minute: Calls a minute at most; 0 for no limit.
        budget_tokens: Tokens, in and out, that all calls together may cost; stops before it is exceeded.
        budget_money: The same for money; needs a price.
        price_in: Money for a million tokens of prompts.
        price_out: Money for a million tokens of answers.
        key_env: Environment variable that holds the key.
        load_in_4bit: Quantise a local model (needs a GPU).
        extra: Further fields of every request to a server.

    Raises:
        ValueError: No such mode, a price without the other, or a budget of money without a price.
        ProbeError: The server does not answer.
    """
    if (price_in is None) != (price_out is None):
        raise ValueError("give both price_in and price_out, money for a million tokens, or neither")
    price = None if price_in is None or price_out is None else Price(price_in, price_out)
    model: Server | Local
    if spec.startswith(LOCAL):
        model = Local(spec.removeprefix(LOCAL), load_in_4bit)
    else:
        name, _, url = spec.partition("@")
        model = Server(name, url, key_env, timeout, concurrency, per_minute, None, price, extra)
        if mode != "replay":
            try:
                probe(model)
            except BaseException:
                model.close()
                raise
    meter = Meter(model)
    inner: Model = meter
    if budget_tokens is not None or budget_money is not None:
        inner = Budget(meter, budget_tokens, budget_money, price.of if price else lambda *_: None)
    retrying = Retrying(inner, tries)
    cached = None if cache is None else Cached(retrying, Path(cache), mode)
    if mode == "replay" and cached is None:
        raise ValueError("mode=replay needs cache=FILE, where the answers are recorded")
    return Stack(cached or retrying, meter, model, cached, retrying)
