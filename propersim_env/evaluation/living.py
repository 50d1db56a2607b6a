"""One assistant in one home, decision by decision: what the runner does with many, as a loop that can be watched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from propersim_env.clock import TICKS_PER_DAY
from propersim_env.protocols import Assistant
from propersim_env.seeding import derive
from propersim_env.single_agent import ProPerSimEnv


@dataclass(frozen=True, slots=True)
class Step:
    """A decision and what came of it.

    Attributes:
        tick: Absolute tick of the decision.
        observation: What was seen.
        text: What was said, ``""`` for silence.
        info: ``info`` of the step after it: marks, reaction, reasons.
        learnt: Notes of the assistant where a day was learnt from before this decision.
    """

    tick: int
    observation: str
    text: str
    info: Mapping[str, Any]
    learnt: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rating(self) -> int:
        """Of what was said, or of silence, 0..4."""
        return int(sum(self.info["marks"].values()))


def live(env: ProPerSimEnv, assistant: Assistant, seed: int) -> Iterator[Step]:
    """Let an assistant live with a resident to the end of the episode.

    Args:
        env: With full feedback.
        assistant: Reset here, with the seed that the runner would give it; its optional `learn` and `alternatives` are used.
        seed: Of the episode.
    """
    observation, info = env.reset(seed=seed)
    assert env.persona is not None
    assistant.reset(derive(seed, "assistant", env.persona.id))
    learn, consider = getattr(assistant, "learn", None), getattr(assistant, "alternatives", None)
    events: list[dict[str, Any]] = []
    ended = False
    while not ended:
        tick, learnt = int(info["tick"]), {}
        if learn is not None and events and events[-1]["tick"] // TICKS_PER_DAY < tick // TICKS_PER_DAY:
            learn(events)
            events = []
            learnt = dict(getattr(assistant, "notes", dict)())
        text = assistant.act(observation)
        rated = [(other, env.rate(other)) for other in (consider() if consider is not None else ())]
        after, _, terminated, truncated, info = env.step(text)
        ended = terminated or truncated
        step = Step(tick, observation, text, info, learnt)
        marks = env.machine.last_rating(0)
        events.append({"tick": tick, "observation": observation, "text": text, "rating": step.rating,
                       "marks": None if marks is None else marks.marks, "reaction": info["reaction"],
                       **({"reasons": info["reasons"]} if text and marks is not None else {}),
                       "alternatives": [{"text": t, "rating": r.total, "marks": r.marks} for t, r in rated]})
        observation = after
        yield step
