"""Lived days of train personas, as the embedded language model learns from them: prompts, and texts with their ratings.

Behaviour is mixed on purpose. Some days are those of an assistant that knows the resident (but not the rating noise), and visit
the moments that a good assistant visits; the others speak at random at several rates, so that too often and at bad times are
seen too. The resident rates several texts at each sampled moment without hearing them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

from propersim_env.agents.assistants.oracles import ExpectedOracle
from propersim_env.agents.assistants.proper.presets import preset
from propersim_env.agents.assistants.proper.recall import Recall
from propersim_env.agents.assistants.proper.tallies import Judged
from propersim_env.agents.assistants.scripted import WAKING_TICKS
from propersim_env.agents.users.simulated import SimulatedUsers
from propersim_env.machine import Machine, MachineConfig
from propersim_env.observation import Observation, read_observation
from propersim_env.population import sample_persona
from propersim_env.setting import Setting, load_setting

RATES = (2, 5, 10, 20)
"""Texts a day of the days that speak at random."""
KNOWING_DAYS = 0.6
"""Share of days, after the first, of the assistant that knows the resident."""
SHARES_SHOWN, SHOWN = (0.2, 1.0, 1.0, 1.0), 2
"""Share of moments at which texts are rated without being said, one of these for each resident; and how many texts."""
SAMPLED, SAMPLED_SPOKEN = 0.12, 0.5
"""Share of silent moments, and of those at which something was said, that become samples."""
CANDIDATES = 4
FITTING = 0.5
"""Share of texts that are about what the resident is doing."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A moment to learn from: the prompt, topics of the activity, and texts with the marks they would have earned."""

    prompt: str
    topics: tuple[str, ...]
    rated: tuple[tuple[str, int], ...]


@lru_cache(maxsize=1)
def _catalogue(setting: Setting) -> tuple[list[str], Mapping[str, list[str]]]:
    by_topic: dict[str, list[str]] = {}
    for entry in setting.catalogue:
        by_topic.setdefault(entry.topic, []).append(entry.text)
    return [entry.text for entry in setting.catalogue], by_topic


class _Days:
    """One resident's days under mixed behaviour."""

    def __init__(self, population: int, index: int, setting: str) -> None:
        self.setting = load_setting(setting)
        self.rng = random.Random(population * 1_000_003 + index)
        self.texts, self.by_topic = _catalogue(self.setting)
        self.persona, self.seed = sample_persona(population, index, self.setting), index
        self.recall = Recall(preset("amortised").recall, setting)
        self.users = SimulatedUsers(1)
        self.knowing = ExpectedOracle()
        self.knowing.reset(index)
        self.share = self.rng.choice(SHARES_SHOWN)
        self._behaviour: dict[int, float] = {}

    def topics(self) -> tuple[str, ...]:
        """Of what the resident is doing."""
        plan, tick = self.users.resident(0).plan, self.users.resident(0).tick
        return tuple(plan.segments[plan.segment[tick]].kind.topics)

    def text(self) -> str:
        """A catalogue text, half of the time about what the resident is doing."""
        topics = self.topics()
        if topics and self.rng.random() < FITTING:
            return self.rng.choice(self.by_topic[self.rng.choice(topics)])
        return self.rng.choice(self.texts)

    def decide(self, seen: Observation) -> str:
        """What is said now."""
        if seen.day not in self._behaviour:
            knowing = seen.day > 0 and self.rng.random() < KNOWING_DAYS
            self._behaviour[seen.day] = -1.0 if knowing else self.rng.choice(RATES) / WAKING_TICKS
        rate = self._behaviour[seen.day]
        if rate >= 0:
            return self.text() if self.rng.random() < rate else ""
        best = self.knowing.act("")
        if best and self.rng.random() < 0.5:  # half of its moments pass unused, so that waiting is seen too
            return best if self.rng.random() < 0.6 else self.text()
        return self.text() if self.rng.random() < 0.003 else ""

    def live(self, days: int) -> Iterator[Sample]:
        """Live through days, and give the sampled moments."""
        machine, users, rng, recall = Machine(1, MachineConfig(days=days)), self.users, self.rng, self.recall
        machine.begin(0, self.persona, None, self.seed)
        machine.first_turn(0, users.reset(0, self.persona, self.seed))
        self.knowing.bind(lambda: users.resident(0))
        considered: list[Judged] = []
        day = 0
        while machine.active.any():
            seen = read_observation(machine.observation(0))
            if seen.day > day:
                recall.learn(considered)
                recall.night()
                considered, day = [], seen.day
            recall.see(seen)
            said = self.decide(seen)
            if rng.random() < self.share:
                at = recall.instant(seen)
                for text in dict.fromkeys(self.text() for _ in range(SHOWN)):
                    considered.append(Judged(at, text, users.rate(0, text).marks, False))
            if rng.random() < (SAMPLED_SPOKEN if said else SAMPLED):
                texts = dict.fromkeys([*(self.text() for _ in range(CANDIDATES)), *([said] if said else [])])
                rated = tuple((text, users.rate(0, text).marks) for text in texts)
                yield Sample(recall.messages(seen)[-1]["content"], self.topics(), rated)
            machine.assistant_turn([said])
            if said:
                recall.spoke(seen, said)
            machine.user_turn(users.act([said]))


def samples_of(population: int, index: int, days: int, setting: str = "house") -> list[Sample]:
    """Samples of one sampled persona's days; the same for the same arguments."""
    return list(_Days(population, index, setting).live(days))


def collect(population: int, personas: int, days: int, workers: int) -> list[Sample]:
    """Samples of many personas' days."""
    with ProcessPoolExecutor(workers) as pool:
        parts = pool.map(samples_of, [population] * personas, range(personas), [days] * personas)
        return [sample for part in parts for sample in part]
