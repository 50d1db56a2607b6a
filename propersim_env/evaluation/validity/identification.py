"""V6 and V7: whether reactions give the person away, neither at once nor never; whether one's own treatment matters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.clock import TICKS_PER_DAY
from propersim_env.log import Episode
from propersim_env.messages import REACTIONS
from propersim_env.persona import Persona, select_personas

from .episodes import HERE, Results, episodes, logged
from .values import Size, Value, threshold

HOURS_PER_PART = 2
TALKER = "random:p=0.02"
"""Who collects the reactions: random texts, nearly eight a day."""
Clue = tuple[int, int]
"""Where an answer was given, and what it was: places in one table."""


def _clues(episode: Episode, days: int, places: dict[str, tuple[int, int]]) -> list[tuple[Clue, ...]]:
    """What each answer of the first days tells, table by table."""
    found: list[tuple[Clue, ...]] = []
    for event in episode.said():
        if event["tick"] < days * TICKS_PER_DAY:
            topic, tone = places[event["text"]]
            part = event["tick"] % TICKS_PER_DAY * 24 // TICKS_PER_DAY // HOURS_PER_PART
            marks, reaction = int(event["marks"], 16), REACTIONS.index(event["reaction"])
            found.append(((topic, marks & 1), (part, marks >> 1 & 1), (0, marks >> 2 & 1), (tone, marks >> 3 & 1),
                          (topic, reaction)))
    return found


class Guesser:
    """Naive Bayes over who answers so: how often each person wants a topic, an hour, a tone, and how they react to topics.

    Args:
        personas: Among whom to guess; each has lived through the training episodes.
        training: Their episodes.
    """

    def __init__(self, personas: Sequence[Persona], training: Sequence[Episode]) -> None:
        setting = personas[0].setting
        tones = [t.id for t in setting.tones]
        self.places = {t.text: (setting.topic_index[t.topic], tones.index(t.tone)) for t in setting.catalogue}
        self.ids = [p.id for p in personas]
        shapes = ((len(setting.topics), 2), (24 // HOURS_PER_PART, 2), (1, 2), (len(tones), 2),
                  (len(setting.topics), len(REACTIONS)))
        tables = [np.zeros((len(self.ids), *shape)) for shape in shapes]
        for episode in training:
            who = self.ids.index(episode.begin["persona"]["id"])
            for clues in _clues(episode, 10**6, self.places):
                for table, (place, answer) in zip(tables, clues, strict=True):
                    table[who, place, answer] += 1
        self.logs = [np.log((t + 2 * _prior(t)) / (t.sum(axis=2, keepdims=True) + 2)) for t in tables]

    def guess(self, episode: Episode, days: int) -> str:
        """Who it most likely is, from the first days."""
        scores = np.zeros(len(self.ids))
        for clues in _clues(episode, days, self.places):
            for log, (place, answer) in zip(self.logs, clues, strict=True):
                scores += log[:, place, answer]
        return self.ids[int(scores.argmax())]


def _prior(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reactions of all people together, for places where a person has few."""
    pooled = table.sum(axis=0, keepdims=True) + 0.5
    share: NDArray[np.float64] = pooled / pooled.sum(axis=2, keepdims=True)
    return share


def telling_apart(size: Size) -> list[Value]:
    """V6: the bundled people told apart by their ratings and reactions."""
    people = select_personas("all")
    seeds, tests = (2, 1) if size == "small" else (6, 2)
    with logged(people, [TALKER], 14, range(seeds + tests)) as folder:
        found = episodes(folder)
    guesser = Guesser(people, [e for e in found if e.begin["seed"] < seeds])
    unseen = [e for e in found if e.begin["seed"] >= seeds]
    what = f"{len(people)} bundled personas, naive Bayes on {seeds} episodes each, tested on {len(unseen)} others"

    def right(days: int) -> float:
        return float(np.mean([guesser.guess(e, days) == e.begin["persona"]["id"] for e in unseen]))

    values = [Value("V6", f"told apart after {days} days, as a multiple of chance", right(days) * len(people),
                    threshold(f"identify_{days}"), ">", what) for days in (3, 14)]
    return [*values, Value("V6", "share told apart on the first day", right(1), threshold("identify_day_1"), "<", what)]


def _moment_scores(results: Results, name: Any) -> NDArray[np.float64]:
    return results.each(name, lambda m: float(m.moment_sum.sum() / max(m.moments.sum(), 1)))[0]


def swapped(size: Size) -> list[Value]:
    """V7: what the oracle says to one person, said to another."""
    people = select_personas("10" if size == "small" else "all")
    days = 3 if size == "small" else 4
    with logged(people, ["oracle"], days) as folder:
        logs = {e.begin["persona"]["id"]: e.path for e in episodes(folder)}
        names = {i: f"{HERE}:Replayed:log={Path(path)}" for i, path in logs.items()}
        results = Results(people, ["oracle", *names.values()], days)
    own = _moment_scores(results, "oracle")
    losses = np.array([own - _moment_scores(results, names[i]) for i in results.personas])
    apart = ~np.eye(len(people), dtype=bool)
    what = f"{int(apart.sum())} ordered pairs of bundled personas x {days} days, moment score (0-4)"
    return [
        Value("V7", f"share of pairs that lose at least {threshold('swap_loss')} on moments that matter",
              float((losses[apart] >= threshold("swap_loss")).mean()), threshold("swap_pairs"), ">=", what),
        Value("V7", "mean loss", float(losses[apart].mean()), None, "equal", what),
    ]
