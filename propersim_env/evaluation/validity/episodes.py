"""Episodes that the checks need: run in a temporary folder, read back as metrics and events."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.evaluation.metrics import EpisodeMetrics, measure
from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig
from propersim_env.log import Episode, read_episode
from propersim_env.persona import Persona
from propersim_env.registry import make_assistant

HERE = "propersim_env.evaluation.validity.episodes"


@contextmanager
def logged(
    personas: Sequence[Persona], assistants: Sequence[str], days: int, seeds: Sequence[int] = (0,),
    options: Mapping[str, Any] | None = None, feedback: str = "full",
) -> Iterator[Path]:
    """A temporary run folder with finished logs.

    Raises:
        RuntimeError: An episode failed; a check must not be computed from the rest.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(days, user_options=dict(options or {}), feedback=feedback)
        plan = RunPlan(Path(folder) / "run", tuple(assistants), tuple(personas), tuple(seeds), config)
        failures = execute(plan, prepare(plan))
        if failures:
            raise RuntimeError(f"{len(failures)} episodes of a validity check failed, the first: {failures[0]}")
        yield plan.folder


def episodes(folder: Path) -> list[Episode]:
    """All logs of a folder."""
    return [read_episode(path) for path in sorted(folder.glob("events-*.jsonl"))]


class Results:
    """Metrics of episodes: assistants x seeds x personas."""

    def __init__(
        self, personas: Sequence[Persona], assistants: Sequence[str], days: int, seeds: Sequence[int] = (0,),
        options: Mapping[str, Any] | None = None, feedback: str = "full",
    ) -> None:
        with logged(personas, assistants, days, seeds, options, feedback) as folder:
            found = [measure(episode) for episode in episodes(folder)]
        self.metrics = {(m.assistant, m.seed, m.persona): m for m in found}
        self.assistants, self.seeds, self.personas = list(assistants), list(seeds), [p.id for p in personas]

    def each(self, assistant: str, value: Callable[[EpisodeMetrics], float]) -> NDArray[np.float64]:
        """A value of every episode of an assistant, shape ``(seeds, personas)``."""
        return np.array([[value(self.metrics[assistant, s, p]) for p in self.personas] for s in self.seeds])

    def earned(self, assistant: str) -> NDArray[np.float64]:
        """Sum of (rating - 2) / 2 over what was said, shape ``(seeds, personas)``."""
        return self.each(assistant, lambda m: float(m.utility.sum()))

    def utility(self, assistant: str) -> NDArray[np.float64]:
        """Share of what the oracle earns, shape ``(personas,)``; needs the oracle among the assistants."""
        return self.earned(assistant).sum(axis=0) / self.earned("oracle").sum(axis=0)


class Replayed:
    """Says at each tick what a log has there, whoever listens.

    Args:
        log: Path of an episode log.
    """

    def __init__(self, log: str) -> None:
        self.texts = {event["tick"]: event["text"] for event in read_episode(Path(log)).said()}

    def reset(self, seed: int) -> None:
        """Nothing to reset."""

    def bind(self, look: Callable[[], Any]) -> None:
        """Get at the clock."""
        self.look = look

    def act(self, observation: str) -> str:
        """What was said at this tick."""
        return str(self.texts.get(self.look().now, ""))


class Paced:
    """Speaks at even intervals, always the text that fits best: what a rate alone is worth.

    Args:
        factor: Rate as a multiple of the person's own.
        per_hour: A rate of its own instead, if above 0.
    """

    def __init__(self, factor: float = 1.0, per_hour: float = 0.0) -> None:
        self.factor, self.per_hour = factor, per_hour
        self.chooser: Any = make_assistant("content-oracle")

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        self.chooser.reset(seed)
        self._since = 0.0

    def bind(self, look: Callable[[], Any]) -> None:
        """Learn everything about the resident."""
        self.look = look
        self.chooser.bind(look)
        persona = look().persona
        per_day = self.per_hour * persona.waking_minutes / 60 if self.per_hour else self.factor * persona.per_day
        self.interval = persona.waking_minutes / 2.5 / per_day
        self._since = self.interval / 2

    def act(self, observation: str) -> str:
        """Speak when the interval has passed."""
        self._since += 1
        if self._since < self.interval:
            return ""
        self._since -= self.interval
        resident = self.look()
        text, _ = self.chooser.best_text(resident, dimensions=0b1001)
        return str(self.chooser.note(text, resident.now))


def paced(factor: float) -> str:
    """Specification of `Paced` at a multiple of the person's own rate."""
    return f"{HERE}:Paced:factor={factor:g}"


SIX_AN_HOUR = f"{HERE}:Paced:per_hour=6"
