"""Any OpenAI-compatible server: OpenAI, vLLM, Ollama, llama.cpp, ``transformers serve``, Gemini's compatible endpoint.

Keys come from the environment, go into the header of a request, and nowhere else: neither into a log nor an error nor a cache.
"""

from __future__ import annotations

import json
import math
import os
import time
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .interface import Abilities, Failed, Price, Reply, Request
from .limits import Pace

OPENAI = "https://api.openai.com/v1"
KEY = "OPENAI_API_KEY"
LONGEST_MESSAGE = 300
TOP = 20
"""Likeliest tokens of which a probability is asked: the most that servers of this kind give."""


class Server:
    """A model behind a URL.

    Args:
        model: Its name there.
        url: Base address, ending in ``/v1`` as a rule; ``OPENAI_BASE_URL`` or OpenAI's own if empty.
        key_env: Environment variable that holds the key, if the server wants one.
        timeout: Seconds for one call.
        concurrency: Calls at once.
        per_minute: Calls a minute at most; 0 for no limit.
        abilities: What the server does, from `propersim_env.agents.models.probe`; careful ones if None.
        price: Of tokens, if known.
        extra: Further fields of every request, e.g. ``{"top_p": 0.9}``.
    """

    def __init__(self, model: str, url: str = "", key_env: str = KEY, timeout: float = 120.0, concurrency: int = 8,
                 per_minute: float = 0.0, abilities: Abilities | None = None, price: Price | None = None,
                 extra: Mapping[str, Any] | None = None) -> None:
        try:
            import httpx
        except ImportError as error:
            raise ImportError('language models behind a URL need httpx: pip install "propersim[llm]"') from error
        if timeout <= 0 or concurrency < 1:
            raise ValueError(f"timeout={timeout}, concurrency={concurrency}: both must be above 0")
        self.model, self.url = model, (url or os.environ.get("OPENAI_BASE_URL") or OPENAI).rstrip("/")
        self.name, self.key_env, self.concurrency = f"{model}@{_host(self.url)}", key_env, concurrency
        self.abilities, self.price, self.extra = abilities or Abilities(), price, dict(extra or {})
        self._httpx = httpx
        self._client = httpx.Client(timeout=timeout, headers=self._headers(), limits=httpx.Limits(max_connections=concurrency))
        weakref.finalize(self, self._client.close)  # for who forgets to
        self.timeout, self._pace = timeout, Pace(per_minute) if per_minute else None

    def _headers(self) -> dict[str, str]:
        key = os.environ.get(self.key_env, "")
        return {"Authorization": f"Bearer {key}"} if key else {}

    def ask(self, requests: Sequence[Request]) -> list[Reply | Failed]:
        """Answers in the order of the requests, so many calls at once as `concurrency` says."""
        if len(requests) <= 1 or self.concurrency == 1:
            return [self._one(request) for request in requests]
        with ThreadPoolExecutor(min(self.concurrency, len(requests))) as pool:
            return list(pool.map(self._one, requests))

    def about(self) -> Mapping[str, Any]:
        """Name, address and settings; no key."""
        return {"model": self.model, "url": self.url, "timeout": self.timeout, "extra": self.extra,
                "abilities": {name: getattr(self.abilities, name) for name in Abilities.__slots__}}

    def _one(self, request: Request) -> Reply | Failed:
        began = time.monotonic()
        sent = self.post(self.body(request))
        if isinstance(sent, Failed):
            return sent
        return self._read(request, sent, time.monotonic() - began)

    def body(self, request: Request) -> dict[str, Any]:
        """What is sent for a request."""
        body: dict[str, Any] = {"model": self.model, "messages": [dict(m) for m in request.messages],
                                "max_tokens": request.max_tokens, "temperature": request.temperature, **self.extra}
        if request.seed is not None:
            body["seed"] = request.seed
        if request.stop:
            body["stop"] = list(request.stop)
        if request.options and self.abilities.chooses == "probabilities":
            body |= {"max_tokens": 1, "logprobs": True, "top_logprobs": TOP}
        elif request.options and self.abilities.chooses == "constrained":
            body["response_format"] = _format({"type": "string", "enum": list(request.options)})
        elif request.schema is not None and self.abilities.follows_schema:
            body["response_format"] = _format(request.schema)
        return body

    def post(self, body: Mapping[str, Any]) -> dict[str, Any] | Failed:
        """One call; every way in which it can fail has its kind."""
        httpx = self._httpx
        if self._pace is not None:
            self._pace()
        try:
            answer = self._client.post(f"{self.url}/chat/completions", json=body)
        except httpx.TimeoutException:
            return Failed("timeout", f"no answer of {self.url} within {self.timeout:g} s")
        except httpx.HTTPError as error:
            return Failed("connection", self._clean(f"{type(error).__name__}: {error}"))
        if answer.status_code != 200:
            kind = "rate_limited" if answer.status_code == 429 else "server_error" if answer.status_code >= 500 else "refused"
            return Failed(kind, self._clean(f"status {answer.status_code}: {answer.text}"), _seconds(answer.headers))
        try:
            read = json.loads(answer.text)
            if not isinstance(read["choices"][0]["message"], dict):
                raise TypeError("no message")
        except (ValueError, LookupError, TypeError) as error:
            return Failed("malformed", self._clean(f"the server's answer is no chat completion ({error}): {answer.text}"))
        return dict(read)

    def _clean(self, text: str) -> str:
        """A text fit for a log: short, on one line, and without the key."""
        key = os.environ.get(self.key_env, "")
        if key:
            text = text.replace(key, "[key]")
        return " ".join(text.split())[:LONGEST_MESSAGE]

    def _read(self, request: Request, sent: Mapping[str, Any], seconds: float) -> Reply | Failed:
        choice, usage = sent["choices"][0], sent.get("usage") or {}
        tokens = tuple(usage.get(f"{part}_tokens") for part in ("prompt", "completion"))
        money = self.price.of(*tokens) if self.price else None
        cost: dict[str, Any] = {"tokens_in": tokens[0], "tokens_out": tokens[1], "money": money}
        text = choice["message"].get("content") or ""
        if request.options:
            if self.abilities.chooses == "probabilities":
                known = option_probabilities(choice.get("logprobs"), request.options)
                if known is not None:
                    return Reply(max(known, key=lambda o: known[o]), known, seconds=seconds, **cost)
            found = option_of(text, request.options)
            if found is None:
                return Failed("malformed" if text.strip() else "empty", self._clean(f"none of the options: {text!r}"), **cost)
            return Reply(found, seconds=seconds, **cost)
        if not text.strip():
            return Failed("empty", "the answer has no text", **cost)
        if choice.get("finish_reason") == "length":
            return Failed("truncated", self._clean(f"cut at {request.max_tokens} tokens: {text[-80:]!r}"), **cost)
        return Reply(text, seconds=seconds, **cost)

    def close(self) -> None:
        """End the connections."""
        self._client.close()


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2]


def _format(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": dict(schema)}}


def _seconds(headers: Mapping[str, str]) -> float | None:
    """What ``Retry-After`` says, in seconds; None where it says nothing, or a date."""
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def option_of(text: str, options: Sequence[str]) -> str | None:
    """Which option a text names: exactly, as a JSON string, or as the only one that it begins with.

    Example:
        >>> option_of(' "Yes"', ["Yes", "No"]), option_of("1", ["0", "1"]), option_of("perhaps", ["Yes", "No"])
        ('Yes', '1', None)
    """
    plain = text.strip().strip('"').strip().rstrip(".").casefold()
    for option in options:
        if plain == option.casefold():
            return option
    begun = [option for option in options if plain.startswith(option.casefold())
             and not plain[len(option) : len(option) + 1].isalnum()]
    return begun[0] if len(begun) == 1 else None


def option_probabilities(logprobs: Any, options: Sequence[str]) -> dict[str, float] | None:
    """Probabilities of options by the first token of an answer; None where none of them is among the likeliest tokens.

    A token counts for the option that it is, or that alone begins with it.
    """
    try:
        top = logprobs["content"][0]["top_logprobs"]
        found = [(str(entry["token"]), float(entry["logprob"])) for entry in top]
    except (LookupError, TypeError, ValueError):
        return None
    total = dict.fromkeys(options, 0.0)
    for token, log_p in found:
        plain = token.strip().strip('"').casefold()
        named = [o for o in options if plain == o.casefold()]
        named = named or [o for o in options if plain and o.casefold().startswith(plain)]
        if len(named) == 1:
            total[named[0]] += math.exp(log_p)
    everything = sum(total.values())
    return {option: p / everything for option, p in total.items()} if everything > 0 else None
