"""One moment, several futures: what would have happened if the assistant had said something else, or had waited?

``get_state`` gives everything that the home and its resident are made of, as JSON values; ``set_state`` goes on from there,
exactly, as often as one likes. All branches share what the assistant cannot change (the day, the needs, the noise), so a
difference between them is due to what was said.

Run it: ``python examples/branch_and_compare.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import propersim_env
from propersim_env.clock import tick_of, time_text

MOMENT, LATER = tick_of("12:45"), tick_of("14:00")
WAIT = 8
"""Ticks of 2.5 minutes: 20 minutes."""
STRETCH = "Let your neck go soft and roll your shoulders back ten times, my dear; the booth can wait."
TEXTS = {
    "a stretch": STRETCH,
    "a stretch, pushed": "You must stretch your neck right now, no excuses, or you will regret it tonight!",
    "a book": "A new novel is out; shall we read the first chapter together?",
}
NEXT = "Shall we look at just one envelope together and see how far the debt has come down?"


def branch(env: propersim_env.ProPerSimEnv, state: Mapping[str, Any], text: str, wait: int) -> list[dict[str, Any]]:
    """Go on from a state: stay silent for some ticks, say a text, and later another one, the same in all branches."""
    env.set_state(state)
    plan = {MOMENT + wait: text, LATER: NEXT}
    heard = []
    while (tick := int(env.machine.tick[0])) <= LATER:
        _, rating, *_, info = env.step(plan.get(tick, ""))
        if tick in plan:
            heard.append({"time": time_text(tick), "rating": rating, **info})
    return heard


def main() -> None:
    """Walk to a moment, save it, and print how each branch is received."""
    env = propersim_env.ProPerSimEnv(persona="p01", days=1)
    env.reset(seed=0)
    while env.machine.tick[0] < MOMENT:
        env.step("")
    print(env.machine.observation(0))
    saved = json.dumps(env.get_state())
    print(f"state saved: {len(saved):,} characters of JSON")

    branches = [(name, text, 0) for name, text in TEXTS.items()] + [("a stretch, after 20 min", STRETCH, WAIT)]
    for name, text, wait in branches:
        print(f"\n{name}")
        for event in branch(env, json.loads(saved), text, wait):
            why = [event["reasons"][dimension] for dimension, mark in event["marks"].items() if not mark]
            print(f"  {event['time']}  {event['rating']:.0f} of 4, {event['reaction']:<8} {' '.join(why)}")


if __name__ == "__main__":
    main()
