"""A language model as the assistant: asked when to speak and what to say, with more or less of a memory before it.

One class; what it is shown is data (``llm.json``). It learns nothing but what its prompt holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from propersim_env.agents.models.interface import Failed, Message, Model, Reply, Request
from propersim_env.agents.models.make import make_model
from propersim_env.clock import MINUTES_PER_TICK
from propersim_env.names import near_matches
from propersim_env.observation import Observation, read_observation
from propersim_env.schema import read_json

from .proper.answer import Answer, read_answer
from .proper.chronicle import reasons_of
from .proper.recall import Recall, RecallSettings

FILE = Path(__file__).with_name("llm.json")
CHARACTERS_PER_TOKEN = 3.5
"""For budgets of prompts of models whose tokenizer is elsewhere (assumption: few, so that prompts fit)."""


@dataclass(frozen=True)
class Preset:
    """How the model is asked.

    Attributes:
        about: What it is for.
        recall: What it is shown (see `proper.recall.RecallSettings`).
        shots: Worked examples before the question.
        every_minutes: It is asked when the activity changes, and this often besides; 0: at every decision.
        max_tokens: Of an answer.
        temperature: Of sampling.
    """

    about: str = ""
    recall: RecallSettings = field(default_factory=RecallSettings)
    shots: int = 0
    every_minutes: float = 15.0
    max_tokens: int = 80
    temperature: float = 0.0


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    return dict(read_json(FILE))


def presets() -> dict[str, Preset]:
    """All presets by name."""
    made: dict[str, Preset] = {}
    for name, values in _data()["presets"].items():
        values = dict(values)
        base = made[values.pop("like")] if "like" in values else Preset()
        made[name] = replace(base, recall=replace(base.recall, **values.pop("recall", {})), **values)
    return made


class LLMAssistant:
    """Asks a language model.

    Args:
        model: Name of the model (see `propersim_env.agents.models.make.make_model`), or a model.
        preset: Name in ``llm.json``.
        cache: Where answers are remembered, so that a run that was cut off pays for nothing twice; ``"none"`` for nowhere.
        changes: Fields of the preset or of its `recall`, and options of the model.

    Example:
        ``propersim run --assistants llm:model=llama3@http://localhost:11434/v1:preset=numbers``
    """

    def __init__(self, model: str | Model = "", preset: str = "reasons", cache: str = "", **changes: Any) -> None:
        known = presets()
        if not model:
            raise ValueError("the assistant llm needs a model: llm:model=MODEL@URL, llm:model=MODEL or llm:model=local:MODEL")
        if preset not in known:
            raise ValueError(f"unknown preset {preset!r} of llm: {near_matches(preset, known)}")
        own, recall = ({f.name for f in fields(kind)} - {"about", "recall"} for kind in (Preset, RecallSettings))
        chosen = known[preset]
        self.preset = replace(chosen, recall=replace(chosen.recall, **{k: v for k, v in changes.items() if k in recall}),
                              **{k: v for k, v in changes.items() if k in own})
        rest = {k: v for k, v in changes.items() if k not in own | recall}
        self.model: Model = shared_model(model, cache, tuple(sorted(rest.items()))) if isinstance(model, str) else model

    def reset(self, seed: int) -> None:
        """Begin with a resident of whom nothing is known."""
        self.seed = seed
        self.recall = Recall(self.preset.recall, count=lambda text: int(len(text) / CHARACTERS_PER_TOKEN) + 1)
        self._asked: tuple[str, int] = ("", -(10**9))
        self._notes: dict[str, Any] = {}
        self._today = _Day()

    def act(self, observation: str) -> str:
        """Decide for one resident."""
        answer = self.act_together([self], [observation])[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @staticmethod
    def act_together(assistants: Sequence[LLMAssistant], observations: Sequence[str]) -> list[str | BaseException]:
        """Decide for several residents: all questions to a model go there at once."""
        texts: list[str | BaseException] = [""] * len(assistants)
        groups: dict[int, list[tuple[int, Observation, Request]]] = {}
        for i, (assistant, observation) in enumerate(zip(assistants, observations, strict=True)):
            seen = read_observation(observation)
            assistant.recall.see(seen)
            if assistant._asks(seen):
                groups.setdefault(id(assistant.model), []).append((i, seen, assistant._request(seen)))
        for members in groups.values():
            model = assistants[members[0][0]].model
            for (i, seen, _), text in zip(members, _answers(model, [assistants[i] for i, _, _ in members],
                                                            [request for _, _, request in members]), strict=True):
                texts[i] = text
                if isinstance(text, str) and text:
                    assistants[i].recall.spoke(seen, text)
        return texts

    def learn(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Take the day's reasons into memory."""
        self.recall.night()
        self.recall.told(reasons_of(events))
        day, self._today = self._today, _Day()
        self._notes = {"asked": day.calls, "malformed": dict(sorted(day.malformed.items())), "cost": day.cost()}

    def notes(self) -> Mapping[str, Any]:
        """Yesterday in numbers."""
        return self._notes

    def _asks(self, seen: Observation) -> bool:
        """Whether it is time to ask."""
        action, tick = self._asked
        if seen.action == action and (seen.tick - tick) * MINUTES_PER_TICK < self.preset.every_minutes:
            return False
        self._asked = (seen.action, seen.tick)
        return True

    def _request(self, seen: Observation) -> Request:
        messages: list[Message] = list(self.recall.messages(seen))
        examples = [message for asked, said in _data()["examples"][: self.preset.shots]
                    for message in ({"role": "user", "content": asked}, {"role": "assistant", "content": said})]
        messages[-1:-1] = examples
        return Request(tuple(messages), self.preset.max_tokens, self.preset.temperature, self.seed % 2**31)


class _Day:
    """What a day has cost, by the answers: the same whether they were asked for or remembered."""

    def __init__(self) -> None:
        self.calls = self.tokens = 0
        self.money: float | None = 0.0
        self.malformed: dict[str, int] = {}

    def count(self, reply: Reply) -> None:
        self.calls += 1
        self.tokens += (reply.tokens_in or 0) + (reply.tokens_out or 0)
        self.money = None if self.money is None or reply.money is None else self.money + reply.money

    def cost(self) -> dict[str, float | None]:
        return {"calls": self.calls, "tokens": self.tokens, "money": self.money}


class ModelFailedError(RuntimeError):
    """A model did not answer: the episode fails, is not scored, and is asked for again by the same command."""


def _answers(model: Model, assistants: Sequence[LLMAssistant], requests: Sequence[Request]) -> list[str | BaseException]:
    """What is said for each request; what cannot be read is asked for once more, then counted, and nothing is said."""
    replies = model.ask(requests)
    found = [_read(reply) for reply in replies]
    for assistant, reply in zip(assistants, replies, strict=True):
        if isinstance(reply, Reply):
            assistant._today.count(reply)
    again = [k for k, answer in enumerate(found) if isinstance(answer, Answer) and answer.malformed]
    repaired = [replace(requests[k], messages=(*requests[k].messages, {"role": "user", "content": _data()["repair"]}))
                for k in again]
    for k, reply in zip(again, model.ask(repaired) if again else [], strict=True):
        found[k] = _read(reply)
        if isinstance(reply, Reply):
            assistants[k]._today.count(reply)
    texts: list[str | BaseException] = []
    for assistant, answer in zip(assistants, found, strict=True):
        if isinstance(answer, Answer):
            if answer.malformed:
                counts = assistant._today.malformed
                counts[answer.malformed] = counts.get(answer.malformed, 0) + 1
            texts.append(answer.text)
        else:
            texts.append(answer)
    return texts


def _read(reply: Reply | Failed) -> Answer | ModelFailedError:
    if isinstance(reply, Reply):
        return read_answer(reply.text)
    if reply.kind in ("truncated", "empty"):
        return Answer("", reply.kind)
    return ModelFailedError(f"{reply.kind}: {reply.message}")


@lru_cache(maxsize=8)
def shared_model(name: str, cache: str, options: tuple[tuple[str, Any], ...]) -> Model:
    """The model of this name, shared by all assistants of this process that ask it in the same way."""
    from propersim_env.agents.users.simulated.sentence_encoder import cache_folder

    place = None if cache == "none" else Path(cache) if cache else cache_folder() / "answers.sqlite"
    return make_model(name, cache=place, **dict(options))
