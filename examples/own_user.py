"""A user of one's own: somebody who gets up at eight, and likes to hear about tea or a walk once an hour, after noon.

A user agent needs two methods, ``reset`` and ``act``; both return a `UserTurn`. ``rate``, ``get_state`` and ``set_state``
are optional: they allow candidates to be rated without being delivered, and branching.

Run it: ``python examples/own_user.py``. The same user in a run of its own (the oracles know the simulated user only):
``propersim run --user examples/own_user.py:TeaDrinker --assistants silent,fixed-rate --no-oracle --personas p01``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym

import propersim_env  # noqa: F401 (registers the environment)
from propersim_env.clock import TICKS_PER_DAY, TICKS_PER_HOUR, tick_of, time_text
from propersim_env.messages import ALL_MARKS, Activity, Rating, UserTurn, marks_of
from propersim_env.persona import Persona

WAKE, SLEEP = tick_of("08:00"), tick_of("22:00")
DAY = [
    ("08:00", Activity("having breakfast", "kitchen", "kitchen_table")),
    ("09:00", Activity("writing letters", "study", "desk")),
    ("13:00", Activity("sitting in the sun", "garden", "bench")),
    ("17:00", Activity("listening to the radio", "common_room", "sofa")),
]
NEVER = -TICKS_PER_DAY


class TeaDrinker:
    """Rates by three plain rules, and silence always with 4. All state is the tick and when something was last heard."""

    deterministic = True

    def reset(self, persona: Persona, seed: int) -> UserTurn:
        """Begin at the first waking tick; this user is the same whoever the persona is."""
        self.tick, self.heard = WAKE, NEVER
        return UserTurn(None, self._activity(), self.tick)

    def act(self, heard: str) -> UserTurn:
        """Rate what was heard at this tick, then go on to the next waking one."""
        rating = self.rate(heard)
        if heard:
            self.heard = self.tick
        self.tick += 1
        if self.tick % TICKS_PER_DAY >= SLEEP:
            self.tick += TICKS_PER_DAY - SLEEP + WAKE
        return UserTurn(rating, self._activity(), self.tick)

    def rate(self, text: str) -> Rating:
        """Judge a text, or silence, as it would be judged now; nothing changes."""
        if not text:
            return Rating(ALL_MARKS)
        marks = {
            "preference": any(word in text.lower() for word in ("tea", "walk")),
            "timing": self.tick % TICKS_PER_DAY >= tick_of("12:00"),
            "frequency": self.tick - self.heard >= TICKS_PER_HOUR,
            "communication": len(text.split()) <= 30,
        }
        failed = {name: f"the rule for {name} is not met" for name, good in marks.items() if not good}
        return Rating(marks_of(marks), "dismiss" if failed else "accept", failed)

    def _activity(self) -> Activity:
        now = time_text(self.tick)
        return [activity for start, activity in DAY if start <= now][-1]

    def get_state(self) -> dict[str, Any]:
        """State as JSON values."""
        return {"tick": self.tick, "heard": self.heard}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` gave."""
        self.tick, self.heard = state["tick"], state["heard"]


def main() -> None:
    """Say three things in the course of a day and print how they are received."""
    env = gym.make("ProPerSim-v0", user=TeaDrinker, days=1)
    plan = {"09:30": "Shall I put the kettle on for tea?", "14:00": "Shall I put the kettle on for tea?",
            "14:20": "How about a walk to the river?", "18:00": "There is a new film about bees."}
    env.reset(seed=0)
    done, total = False, 0.0
    while not done:
        now = time_text(env.unwrapped.machine.tick[0])  # type: ignore[attr-defined]
        text = plan.get(now, "")
        _, reward, terminated, truncated, info = env.step(text)
        done, total = terminated or truncated, total + float(reward)
        if text:
            why = "; ".join(info["reasons"].values()) or "nothing to complain of"
            print(f"{now}  {text:<36} {reward:.0f} of 4, {info['reaction']}: {why}")
    print(f"\nsum of ratings of the day, silence included: {total:.0f}")


if __name__ == "__main__":
    main()
