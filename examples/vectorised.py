"""Many homes at once: at what time of day does a text come at a good moment?

64 different residents live for four days side by side. Each hears a random text now and then; the environment is stepped
for all of them together. A bar chart shows the share of texts that got the mark for timing, by hour.

Run it: ``python examples/vectorised.py``.
"""

from __future__ import annotations

import time

import gymnasium as gym
import numpy as np

import propersim_env
from propersim_env.clock import TICKS_PER_DAY, TICKS_PER_HOUR

HOMES, DAYS = 64, 4
TIMING = 1 << 1
"""Bit of the second dimension; see `propersim_env.messages.DIMENSIONS`."""


def main() -> None:
    """Speak at random in all homes, and print the share of good moments by hour."""
    env = gym.make_vec("ProPerSim-v0", num_envs=HOMES, persona="sampled", days=DAYS)
    texts = np.array([entry.text for entry in propersim_env.load_setting("house").catalogue], object)
    rng = np.random.default_rng(0)
    spoken, good = np.zeros(24), np.zeros(24)
    _, info = env.reset(seed=0)
    begin, decisions, over = time.perf_counter(), 0, np.zeros(HOMES, bool)
    while not over.all():
        hours = info["tick"] % TICKS_PER_DAY // TICKS_PER_HOUR
        speak = (rng.random(HOMES) < 0.015) & ~over
        actions = np.where(speak, texts[rng.integers(len(texts), size=HOMES)], "")
        _, _, terminated, truncated, info = env.step(actions.tolist())
        np.add.at(spoken, hours[speak], 1)
        np.add.at(good, hours[speak & (info["marks"] & TIMING > 0)], 1)
        decisions += int((~over).sum())
        over |= terminated | truncated
    seconds = time.perf_counter() - begin
    for hour in np.flatnonzero(spoken >= 10):
        share = good[hour] / spoken[hour]
        print(f"{hour:02d}:00  {'#' * round(40 * share):<40} {share:4.0%} of {spoken[hour]:.0f}")
    print(f"\n{HOMES} residents, {decisions:,} decisions, {spoken.sum():,.0f} texts in {seconds:.1f} s")


if __name__ == "__main__":
    main()
