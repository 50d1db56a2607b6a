"""What a server really does, found by asking it, because servers accept options that they then ignore."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .interface import Abilities, Failed, Request
from .server import Server

NUMBER = ({"role": "user", "content": "Write any word of your own. Not a number, not JSON, just one word."},)
STORY = ({"role": "user", "content": "Write the first sentence of a story."},)
SCHEMA = {"type": "object", "properties": {"mark": {"type": "integer", "enum": [0, 1]}}, "required": ["mark"],
          "additionalProperties": False}


class ProbeError(RuntimeError):
    """A server that does not answer at all; the message says how."""


def probe(server: Server) -> Abilities:
    """Find out what a server does, with half a dozen short calls.

    Raises:
        ProbeError: It answers nothing.
    """
    server.abilities = Abilities()
    first = server.ask([Request(STORY, max_tokens=16)])[0]
    if isinstance(first, Failed) and first.kind != "truncated":
        raise ProbeError(f"{server.url} does not answer as model {server.model!r}: {first.kind}: {first.message}")
    abilities = Abilities(_chooses(server), _follows_schema(server), _tells_usage(server), _repeatable(server))
    server.abilities = abilities
    return abilities


def _answer(server: Server, request: Request, **changes: Any) -> Mapping[str, Any] | None:
    """A chat completion, or None."""
    sent = server.post({**server.body(request), **changes})
    return None if isinstance(sent, Failed) else sent


def _text(sent: Mapping[str, Any] | None) -> str:
    return "" if sent is None else str(sent["choices"][0]["message"].get("content") or "")


def _chooses(server: Server) -> str:
    sent = _answer(server, Request(STORY, max_tokens=1), logprobs=True, top_logprobs=5)
    try:
        if sent is not None and len(sent["choices"][0]["logprobs"]["content"][0]["top_logprobs"]) >= 2:
            return "probabilities"
    except (LookupError, TypeError):
        pass
    schema = {"type": "string", "enum": ["zq7", "xk4"]}  # what nobody says unless nothing else gets through
    constrained = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    return "constrained" if _text(_answer(server, Request(NUMBER, max_tokens=16), response_format=constrained)).strip(' "') in (
        "zq7", "xk4") else "words"


def _follows_schema(server: Server) -> bool:
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}
    try:
        read = json.loads(_text(_answer(server, Request(NUMBER, max_tokens=32), response_format=wanted)))
    except ValueError:
        return False
    return isinstance(read, dict) and set(read) == {"mark"} and read["mark"] in (0, 1)


def _tells_usage(server: Server) -> bool:
    sent = _answer(server, Request(STORY, max_tokens=4))
    usage = (sent or {}).get("usage") or {}
    return isinstance(usage.get("prompt_tokens"), int) and isinstance(usage.get("completion_tokens"), int)


def _repeatable(server: Server) -> str:
    greedy = [_text(_answer(server, Request(STORY, max_tokens=24))) for _ in range(2)]
    if not greedy[0] or greedy[0] != greedy[1]:
        return "no"
    seeded = [_text(_answer(server, Request(STORY, max_tokens=24, temperature=1.0, seed=seed))) for seed in (7, 7, 8)]
    return "exact" if seeded[0] and seeded[0] == seeded[1] != seeded[2] else "greedy"
