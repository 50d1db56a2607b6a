"""An assistant of one's own: it learns at which hours of the day it is well received.

Run it: ``python examples/own_assistant.py``. It lives with eight residents for ten days, as do two other assistants; their
results are printed, and how the learner does day by day. Its texts are random: it learns when to speak, not what to say.

Enter it into the table of all assistants: ``propersim run --assistants examples/own_assistant.py:HourLearner,random,oracle``.
An option follows after a colon: ``examples/own_assistant.py:HourLearner:confidence=0.8``.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from propersim_env.clock import TICKS_PER_DAY, TICKS_PER_HOUR
from propersim_env.evaluation.report import summarise
from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig
from propersim_env.persona import select_personas
from propersim_env.setting import load_setting

CLOCK = re.compile(r", ([01]\d|2[0-3]):\d\d\.")


class HourLearner:
    """Says a random text of the catalogue in those hours in which it expects a rating of 3 or 4 (Thompson sampling).

    Args:
        confidence: Chance of a good rating, 0..1, above which it speaks.
    """

    def __init__(self, confidence: float = 0.6) -> None:
        self.confidence = confidence
        self.texts = [entry.text for entry in load_setting("house").catalogue]

    def reset(self, seed: int) -> None:
        """Begin an episode: one good and one bad experience are assumed for every hour."""
        self.rng = np.random.default_rng(seed)
        self.good, self.bad, self.hour = np.ones(24), np.ones(24), -1

    def act(self, observation: str) -> str:
        """Decide once an hour, at its first waking tick."""
        clock = CLOCK.search(observation)
        if not clock or int(clock[1]) == self.hour:
            return ""
        self.hour = int(clock[1])
        if self.rng.beta(self.good[self.hour], self.bad[self.hour]) < self.confidence:
            return ""
        return self.texts[self.rng.integers(len(self.texts))]

    def learn(self, events: Sequence[dict[str, Any]]) -> None:
        """Count how yesterday's texts were received; called once a day."""
        for event in events:
            if event["text"] and event["rating"] is not None:
                hour = event["tick"] % TICKS_PER_DAY // TICKS_PER_HOUR
                self.good[hour] += event["rating"] >= 3
                self.bad[hour] += event["rating"] < 3


def main() -> None:
    """Compare the learner with a fixed rate and the oracle; print the results and the learner's days."""
    learner = f"{os.path.relpath(__file__)}:HourLearner"
    with tempfile.TemporaryDirectory() as folder:
        plan = RunPlan(Path(folder), (learner, "fixed-rate", "oracle"), tuple(select_personas("8")), (0,), RunConfig(days=10))
        failures = execute(plan, prepare(plan))
        result = summarise(plan.folder)
    for failure in failures:
        print(failure)
    for row in result.results:
        utility, rate = row.columns["utility"], row.columns["a_day"]
        print(f"{row.name:<42} utility {utility.mean:5.2f} ({utility.low:.2f}..{utility.high:.2f}), {rate.mean:.1f} a day")
    own = next(row for row in result.results if row.name == learner)
    print(f"\n{'day':>5} {'utility':>9} {'recommendations':>17}")
    for day, (earned, said) in enumerate(zip(own.utility_by_day[:, 0], own.delivered_daily, strict=True), 1):
        print(f"{day:>5} {earned:>9.2f} {said:>17.1f}")


if __name__ == "__main__":
    main()
