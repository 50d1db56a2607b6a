"""A resident that lives by the simulation and judges by a language model: the recommended user with a model in it.

Routine, needs, timing and dose are simulated; whether a text is wanted and well put is asked of the model, in one call for each
text that is said and none for silence. A call that failed is a failure in the log, never a mark.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from propersim_env.agents.models.interface import Failed, Model, Reply, Request
from propersim_env.agents.models.make import make_model
from propersim_env.clock import moment_text, span_text
from propersim_env.messages import Rating
from propersim_env.schema import read_json

from .simulated.rater import Judgement
from .simulated.sentence_encoder import cache_folder
from .simulated.user import Resident, SimulatedUser, SimulatedUsers

FILE = Path(__file__).with_name("hybrid.json")
ANSWERS = {"A": (True, True), "B": (True, False), "C": (False, True), "D": (False, False)}
"""Content and manner of each answer."""
PREFERENCE, COMMUNICATION = "Personal_Preference", "Communication_&_Safety"


@lru_cache(maxsize=1)
def words() -> dict[str, Any]:
    """The wording of the question."""
    return dict(read_json(FILE))


def wording_hash() -> str:
    """SHA-256 of the wording: results of two wordings do not belong in one table."""
    return hashlib.sha256(FILE.read_bytes()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the model makes of a text.

    Attributes:
        content, manner: Probabilities that they are right: of the answers, where the model tells them, else shares of answers.
        spread: Share of repeated answers that differ from the most frequent; 0 for one answer.
    """

    content: float
    manner: float
    spread: float = 0.0

    @staticmethod
    def of(replies: Sequence[Reply]) -> Opinion:
        """The mean of one or more answers."""
        each = [reply.probabilities or {reply.text: 1.0} for reply in replies]
        content, manner = (sum(p for one in each for answer, p in one.items() if ANSWERS[answer][k]) / len(each)
                           for k in (0, 1))
        texts = [reply.text for reply in replies]
        return Opinion(content, manner, 1 - max(map(texts.count, texts)) / len(texts))


class HybridUsers(SimulatedUsers):
    """n residents whose judgement of content and manner is a language model's.

    Args:
        n: Number of homes.
        model: Name of the model (see `propersim_env.agents.models.make.make_model`), or a model.
        repeats: Answers to each question; more than one needs a temperature above 0.
        temperature: Of the answers.
        model_options: Of the model: cache, mode, tries, price_in and the like. Answers are remembered in
            ``~/.cache/propersim/answers.sqlite`` if no cache is named, so that a run that was cut off pays for nothing twice;
            ``cache=none`` remembers nothing.
        simulated: Options of `SimulatedUsers`, by name.
    """

    def __init__(self, n: int = 1, *, model: str | Model, repeats: int = 1, temperature: float = 0.0,
                 model_options: Mapping[str, Any] | None = None, **simulated: Any) -> None:
        super().__init__(n, **simulated)
        if repeats < 1 or (repeats > 1 and temperature <= 0):
            raise ValueError(f"repeats={repeats} with temperature={temperature}: several answers need a temperature above 0")
        self.model: Model = _made(model, dict(model_options or {})) if isinstance(model, str) else model
        self.repeats, self.temperature = repeats, temperature

    def about(self) -> dict[str, Any]:
        """What a log keeps of the model and the wording."""
        return {"model": dict(self.model.about()), "wording": wording_hash()}

    def cost(self) -> dict[str, Any]:
        """Calls, tokens, seconds and money so far, where the model counts them."""
        return self.model.cost() if hasattr(self.model, "cost") else {}

    def _hear_all(self, heard: Mapping[int, str]) -> tuple[dict[int, Rating], dict[int, str]]:
        ratings, failures = dict[int, Rating](), dict[int, str]()
        for i in heard:
            self.residents[i].tick = int(self.tick[i])
        opinions = self._ask([(self.residents[i], text) for i, text in heard.items()])
        for (i, text), opinion in zip(heard.items(), opinions, strict=True):
            resident = self.residents[i]
            judgement = resident.judge(text)
            if isinstance(opinion, Opinion):
                judgement = _with(resident, judgement, opinion)
                ratings[i] = _rating(resident, judgement, opinion)
            else:
                failures[i] = f"model: {opinion.kind}"
            resident.rater.deliver(resident.plan, resident.tick, resident.mind, text, judgement)
            self.heard_awake[i], self.served[i] = self.awake[i], resident.mind.served
        return ratings, failures

    def rate(self, i: int, text: str) -> Rating:
        """Judge a candidate now, without consequences; silence is judged by the simulation.

        Raises:
            RuntimeError: The model failed.
        """
        if not text:
            return super().rate(i, text)
        resident = self.resident(i)
        opinion, = self._ask([(resident, text)])
        if isinstance(opinion, Failed):
            raise RuntimeError(f"the model could not judge a candidate: {opinion.kind}: {opinion.message}")
        return _rating(resident, _with(resident, resident.judge(text), opinion), opinion)

    def branch(self, i: int, **changes: Any) -> SimulatedUsers:
        """Not to be had: what a model would say at other moments would have to be asked."""
        raise TypeError("a hybrid user cannot be branched; use the simulated one for what_if")

    def _ask(self, heard: Sequence[tuple[Resident, str]]) -> list[Opinion | Failed]:
        """Opinions of all texts at once; an answer that is none of the four is asked for once more."""
        requests = [request for resident, text in heard for request in self._requests(resident, text)]
        answers = self.model.ask(requests)
        again = [k for k, a in enumerate(answers) if isinstance(a, Failed) and a.kind == "malformed"]
        if again:
            repaired = [replace(requests[k], messages=(*requests[k].messages, {"role": "user", "content": words()["repair"]}))
                        for k in again]
            for k, answer in zip(again, self.model.ask(repaired), strict=True):
                answers[k] = answer
        opinions: list[Opinion | Failed] = []
        for first in range(0, len(answers), self.repeats):
            part = answers[first : first + self.repeats]
            failed = next((a for a in part if isinstance(a, Failed)), None)
            opinions.append(failed or Opinion.of([a for a in part if isinstance(a, Reply)]))
        return opinions

    def _requests(self, resident: Resident, text: str) -> list[Request]:
        asked = words()
        question = asked["question"].format(
            preference=resident.persona.rubric[PREFERENCE], communication=resident.persona.rubric[COMMUNICATION],
            moment=moment_text(resident.now), text=text, lately=_lately(resident), **_doing(resident))
        messages = ({"role": "system", "content": asked["system"]}, {"role": "user", "content": question})
        return [Request(messages, 8, self.temperature, k if self.temperature else None, (), tuple(ANSWERS), None, k)
                for k in range(self.repeats)]


def _made(name: str, options: dict[str, Any]) -> Model:
    cache = options.pop("cache", cache_folder() / "answers.sqlite")
    return make_model(name, cache=None if cache == "none" else cache, **options)


def _doing(resident: Resident) -> dict[str, str]:
    segment = resident.plan.segments[resident.plan.segment[resident.tick]]
    return {"activity": segment.text, "room": resident.persona.setting.room_names[segment.kind.room]}


def _lately(resident: Resident) -> str:
    """What was said before, in words."""
    asked, mind = words(), resident.mind
    slots = list(mind.slots.values())[-asked["remembered"] :]
    if not slots:
        return ""
    said = [asked["said"].format(text=mind.texts[k], ago=span_text(resident.now - mind.heard_tick[k])) for k in slots]
    return str(asked["lately"].format(said="; ".join(said)))


def _with(resident: Resident, judgement: Judgement, opinion: Opinion) -> Judgement:
    """A simulated judgement with the model's marks for content and manner, and what follows from them."""
    content, manner = opinion.content > 0.5, opinion.manner > 0.5
    marks = judgement.marks & 0b0110 | content | manner << 3
    rater, plan, tick = resident.rater, resident.plan, resident.tick
    serves = 0
    if content and judgement.topic >= 0:
        serves = rater.topic_base(plan, tick, resident.mind, judgement.topic)[3]
    return replace(judgement, marks=marks, reaction=rater.reaction(marks, float(plan.uniform[tick])), serves=serves)


def _rating(resident: Resident, judgement: Judgement, opinion: Opinion) -> Rating:
    """A judgement in words, with the model's in place of the simulation's."""
    rating = resident.rating(judgement)
    reasons, terms = dict(rating.reasons), dict(rating.terms)
    for name, p, good, bad in (
            ("preference", opinion.content, "I want to hear about that now.", "I do not want to hear about that now."),
            ("communication", opinion.manner, "Well put.", "I do not like how that was put.")):
        terms[name] = ["model", round(p - 0.5, 3)]
        reasons[name] = good if p > 0.5 else bad
    if opinion.spread:
        terms["spread"] = round(opinion.spread, 3)
    return Rating(judgement.marks, judgement.reaction, reasons, terms)


class HybridUser(SimulatedUser):
    """One hybrid resident as a user agent. Options as in `HybridUsers`.

    Example:
        ``propersim run --user hybrid --user-option model=llama3@http://localhost:11434/v1 --user-option cache=answers.sqlite``
    """

    deterministic = False

    def __init__(self, *, model: str | Model = "", **options: Any) -> None:
        self.users = self.batch(1, model=model, **options)

    @staticmethod
    def batch(n: int, *, model: str | Model = "", **options: Any) -> SimulatedUsers:
        """N residents at once, who share one model."""
        if not model:
            raise ValueError("the hybrid user needs a model: --user-option model=NAME@URL, model=NAME, or model=local:NAME")
        simulated = {key: value for key, value in options.items() if key in _simulated_options()}
        own = {key: options[key] for key in ("repeats", "temperature") if key in options}
        rest = {key: value for key, value in options.items() if key not in simulated and key not in own}
        return HybridUsers(n, model=model, model_options=rest, **own, **simulated)


@lru_cache(maxsize=1)
def _simulated_options() -> frozenset[str]:
    import inspect

    return frozenset(inspect.signature(SimulatedUsers.__init__).parameters) - {"self", "n"}
