"""Assistants that learn nothing: silent, always, random, at a fixed rate. The floor that every other one must beat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from propersim_env.log import read_episode
from propersim_env.persona import Persona
from propersim_env.seeding import rng_from_state, rng_state, stream
from propersim_env.setting import load_setting

WAKING_TICKS = 384
"""Waking ticks of a typical day (16 hours), used where a rate a day becomes a rate a tick."""


class Silent:
    """Never says anything. Utility 0 by definition."""

    def reset(self, seed: int) -> None:
        """Nothing to reset."""

    def act(self, observation: str) -> str:
        """Stay silent."""
        return ""


class CatalogueSpeaker:
    """Says texts of a setting's catalogue in random order, each once before any is repeated.

    Args:
        setting: Whose catalogue.
    """

    def __init__(self, setting: str = "house") -> None:
        self.texts = [t.text for t in load_setting(setting).catalogue]

    def reset(self, seed: int) -> None:
        """Shuffle."""
        self.rng = stream(seed, "speaker")
        self._order: list[int] = []

    def text(self) -> str:
        """The next text."""
        if not self._order:
            self._order = self.rng.permutation(len(self.texts)).tolist()
        return self.texts[self._order.pop()]

    def get_state(self) -> dict[str, Any]:
        """State as JSON values."""
        return {"rng": rng_state(self.rng), "order": list(self._order)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_state` gave."""
        self.rng = rng_from_state(state["rng"])
        self._order = list(state["order"])


class Always(CatalogueSpeaker):
    """Speaks at every waking tick.

    Args:
        text: Say this each time; by default texts of the catalogue in random order.
        setting: Whose catalogue.
    """

    def __init__(self, text: str = "", setting: str = "house") -> None:
        super().__init__(setting)
        self.fixed = text

    def act(self, observation: str) -> str:
        """Speak."""
        return self.fixed or self.text()


class Random(CatalogueSpeaker):
    """Speaks with probability p at each tick, a random text of the catalogue.

    Args:
        p: Probability, 0..1. The default is about 4 a day.
        setting: Whose catalogue.
    """

    def __init__(self, p: float = 0.0104, setting: str = "house") -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p={p} is not a probability between 0 and 1")
        super().__init__(setting)
        self.p = p

    def act(self, observation: str) -> str:
        """Throw the dice."""
        return self.text() if self.rng.random() < self.p else ""


class FixedRate(CatalogueSpeaker):
    """Speaks at even intervals of waking time, a random text of the catalogue.

    Args:
        per_day: Recommendations a waking day of 16 hours.
        setting: Whose catalogue.
    """

    def __init__(self, per_day: float = 4.0, setting: str = "house") -> None:
        if not 0 < per_day <= WAKING_TICKS:
            raise ValueError(f"per_day={per_day} is not between 0 and {WAKING_TICKS}")
        super().__init__(setting)
        self.interval = WAKING_TICKS / per_day

    def reset(self, seed: int) -> None:
        """Begin at a random point of the interval."""
        super().reset(seed)
        self._since = float(self.rng.random()) * self.interval

    def act(self, observation: str) -> str:
        """Speak when the interval has passed."""
        self._since += 1
        if self._since < self.interval:
            return ""
        self._since -= self.interval
        return self.text()

    def get_state(self) -> dict[str, Any]:
        """State as JSON values."""
        return {**super().get_state(), "since": self._since}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_state` gave."""
        super().set_state(state)
        self._since = state["since"]


class RateMatched(Random):
    """Random timing and content at a given rate: what an assistant's rate alone is worth.

    Args:
        log: An episode log, or a run folder, in which this persona occurs; its rate is matched. Without one, the rate that
            the person wants (privileged knowledge).
        setting: Whose catalogue.
    """

    def __init__(self, log: str = "", setting: str = "house") -> None:
        super().__init__(0.0, setting)
        self.log = log

    def bind(self, look: Callable[[], Any]) -> None:
        """Learn the rate to match."""
        persona: Persona = look().persona
        self.p = persona.per_day / (persona.waking_minutes / 2.5)
        if self.log:
            self.p = logged_rate(Path(self.log), persona.id)


def logged_rate(path: Path, persona: str) -> float:
    """Share of decisions at which the assistant of a log spoke to this persona.

    Raises:
        ValueError: No log of this persona there.
    """
    files = [path] if path.is_file() else sorted(path.glob("events-*.jsonl"))
    spoken = total = 0
    for file in files:
        episode = read_episode(file, allow_incomplete=True)
        if episode.begin["persona"]["id"] == persona:
            decisions = list(episode.decisions())
            total += len(decisions)
            spoken += sum(1 for d in decisions if d.text)
    if not total:
        raise ValueError(f"no log of persona {persona!r} in {path}: rate-matched needs one to take the rate from")
    return spoken / total
