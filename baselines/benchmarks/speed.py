"""How fast a simulated day passes, beside PettingZoo's own games, as ratios measured in one run.

    propersim benchmark speed [--days 14] [--homes 256] [--json]

Times, one after another on this machine: the AEC loops of PettingZoo's rock-paper-scissors and tic-tac-toe with random
actions; the Gymnasium view with a silent assistant, with one that says the same text at every tick, with one that says
another text of the catalogue at every tick, with one that goes through 10,000 free texts that were read before, and with one
whose every text is new; the vector view with silent assistants; and a whole run (32 personas, logs included) of one
scripted assistant; and the reading of a new text.
"""

from __future__ import annotations

import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import gymnasium as gym

from propersim_env.agents.users.simulated.compiled import text_reader
from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig
from propersim_env.persona import select_personas
from propersim_env.setting import load_setting
from propersim_env.vector import ProPerSimVectorEnv

SECONDS = 2.0
FREE_TEXTS = 10_000


def _rate(step: Callable[[], int], seconds: float = SECONDS) -> float:
    """Steps a second: `step` does some and returns how many."""
    step()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        count += step()
    return count / (time.perf_counter() - start)


def pettingzoo_rate(name: str) -> float:
    """Agent steps a second of one of PettingZoo's classic games in its AEC loop."""
    with warnings.catch_warnings():  # newer PettingZoo warns that games are made in another way; both are the same game
        warnings.simplefilter("ignore", DeprecationWarning)
        env = import_module(f"pettingzoo.classic.{name}").env()

    def episode() -> int:
        env.reset(seed=0)
        steps = 0
        for agent in env.agent_iter():
            observation, _, terminated, truncated, _ = env.last()
            mask = observation["action_mask"] if isinstance(observation, dict) else None
            env.step(None if terminated or truncated else env.action_space(agent).sample(mask))
            steps += 1
        return steps

    return _rate(episode)


def free_texts() -> Iterator[str]:
    """Texts that nobody listed, all distinct: the beginning of one catalogue text and the end of another, numbered."""
    words = [entry.text.split() for entry in load_setting().catalogue]
    size = len(words)
    for i in count():
        a, b = words[i % size], words[(i * 7 + i // size + 1) % size]
        yield " ".join([*a[: len(a) // 2], *b[len(b) // 2 :], f"({i})"])


def gym_rate(text: Callable[[int], str], days: int = 3) -> float:
    """Waking ticks a second through ``gym.make``; `text` gets the number of the tick in its episode."""
    env = gym.make("ProPerSim-v0", persona="p01", days=days)

    def episode() -> int:
        env.reset(seed=0)
        ticks, over = 0, False
        while not over:
            _, _, terminated, truncated, _ = env.step(text(ticks))
            over = terminated or truncated
            ticks += 1
        return ticks

    return _rate(episode)


def vector_rate(homes: int, days: int) -> tuple[float, float]:
    """Waking ticks a second through the vector view, planning of days included; and the peak memory in MiB."""
    personas = [f"p{i % 32 + 1:02d}" for i in range(homes)]
    env = ProPerSimVectorEnv(homes, persona=personas, days=days)
    env.reset(seed=0)
    silence = [""] * homes
    start, steps = time.perf_counter(), 380 * days
    for _ in range(steps):
        env.step(silence)
    rate = homes * steps / (time.perf_counter() - start)
    return rate, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_seconds(assistant: str, days: int, workers: int) -> float:
    """Seconds for 32 personas with one scripted assistant, logs included, after imports."""
    with tempfile.TemporaryDirectory() as folder:
        plan = RunPlan(Path(folder) / "run", (assistant,), tuple(select_personas("all")), (0,), RunConfig(days))
        start = time.perf_counter()
        failures = execute(plan, prepare(plan), workers)
        if failures:
            raise RuntimeError(str(failures[0]))
        return time.perf_counter() - start


def reading_milliseconds() -> float:
    """Milliseconds to understand a text that was never seen before: catalogue texts, each with a word added."""
    setting = load_setting()
    reader = text_reader(setting)
    texts = [f"Perhaps {i}: {entry.text}" for i, entry in enumerate(setting.catalogue)]
    start = time.perf_counter()
    for text in texts:
        reader.read(text)
    return 1000 * (time.perf_counter() - start) / len(texts)


def measure(homes: int = 256, days: int = 14) -> dict[str, Any]:
    """All figures; rates are steps or waking ticks a second."""
    texts = [t.text for t in load_setting().catalogue]
    games = {}
    for name in ("rps_v2", "tictactoe_v3"):
        try:
            games[name] = pettingzoo_rate(name)
        except ImportError:  # the games draw with pygame
            continue
    vector, memory = vector_rate(homes, days)
    new = free_texts()
    free = list(islice(new, FREE_TEXTS))
    reader = text_reader(load_setting())
    for text in free:
        reader.read(text)
    known = cycle(free)
    return {
        "pettingzoo_agent_steps_per_second": games,
        "gym_ticks_per_second": {
            "silent": gym_rate(lambda _: ""), "same text at every tick": gym_rate(lambda _: texts[0]),
            "another text at every tick": gym_rate(lambda i: texts[i % len(texts)]),
            f"{FREE_TEXTS:,} free texts, read before": gym_rate(lambda _: next(known)),
            "free texts, each of them new": gym_rate(lambda _: next(new), days=1),
        },
        "vector_ticks_per_second": {f"{homes} homes": vector},
        "vector_peak_memory_mib": memory, "new_text_milliseconds": reading_milliseconds(),
        "run_seconds": {
            f"32 personas x {days} days, {assistant}, 1 process": run_seconds(assistant, days, 1)
            for assistant in ("fixed-rate", "always")
        },
    }
