"""A language model of transformers in this process: from the hub, a folder, a GGUF file or a package.

It chooses by the log-probability of each option, so that every choice comes with probabilities.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from propersim_env.agents.assistants.proper.policy import Policy, shared_policy
from propersim_env.seeding import derive

from .interface import Abilities, Failed, Reply, Request

ABILITIES = Abilities("probabilities", False, True, "exact")


class Local:
    """A model in this process.

    Args:
        model: Hub id, folder, ``.gguf`` file, package, or one of the embedded ones.
        load_in_4bit: Quantise it (needs a GPU).
    """

    def __init__(self, model: str, load_in_4bit: bool = False) -> None:
        self.model, self.name, self.abilities = model, f"{model}@local", ABILITIES
        self.policy: Policy = shared_policy(model, load_in_4bit)

    def about(self) -> Mapping[str, Any]:
        """Name, fingerprint and abilities."""
        return {"model": self.model, "url": "local", "fingerprint": self.policy.base.fingerprint,
                "abilities": {name: getattr(ABILITIES, name) for name in Abilities.__slots__}}

    def ask(self, requests: Sequence[Request]) -> list[Reply | Failed]:
        """Answers; requests that sample alike are computed together."""
        answers: list[Reply | Failed | None] = [None] * len(requests)
        groups: dict[tuple[float, int, bool], list[int]] = {}
        for i, request in enumerate(requests):
            if request.options:
                answers[i] = self._choose(request)
            else:
                groups.setdefault((request.temperature, request.max_tokens, bool(request.stop)), []).append(i)
        for (temperature, most, _), members in groups.items():
            for i, answer in zip(members, self._sample([requests[i] for i in members], temperature, most), strict=True):
                answers[i] = answer
        return [answer for answer in answers if answer is not None]

    def _sample(self, requests: Sequence[Request], temperature: float, most: int) -> list[Reply | Failed]:
        began = time.monotonic()
        seeds = [derive(request.seed or 0, "answer", request.repeat) % 2**63 for request in requests]
        read = [len(self.policy.encode(_chat(request))) for request in requests]
        written = self.policy.answers([_chat(request) for request in requests], seeds, temperature, most)
        seconds = (time.monotonic() - began) / len(requests)
        found: list[Reply | Failed] = []
        for request, tokens_in, (text, ended, tokens) in zip(requests, read, written, strict=True):
            cut = [text.find(stop) for stop in request.stop if stop in text]
            if cut:
                text, ended = text[: min(cut)], True
            if not text.strip():
                found.append(Failed("empty", "the answer has no text", None, tokens_in, tokens, 0.0))
            elif not ended:
                found.append(Failed("truncated", f"cut at {most} tokens", None, tokens_in, tokens, 0.0))
            else:
                found.append(Reply(text, None, tokens_in, tokens, seconds, 0.0))
        return found

    def _choose(self, request: Request) -> Reply:
        began = time.monotonic()
        prompt = self.policy.encode(_chat(request))
        ends = [list(self.policy.base.tokenizer.encode(option, add_special_tokens=False)) for option in request.options]
        log_p = self.policy.log_probabilities([prompt] * len(ends), ends, ["nobody"] * len(ends))
        weights = [math.exp(p - max(log_p)) for p in log_p]
        known = {option: w / sum(weights) for option, w in zip(request.options, weights, strict=True)}
        tokens = sum(map(len, ends))
        return Reply(max(known, key=lambda o: known[o]), known, len(prompt), tokens, time.monotonic() - began, 0.0)


def _chat(request: Request) -> list[dict[str, str]]:
    return [dict(message) for message in request.messages]
