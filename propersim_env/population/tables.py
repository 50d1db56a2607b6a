"""What the population sampler draws from: its numbers and wording, a setting's tables, and random choices on a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import gcd, log, sqrt
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from propersim_env.persona import TRAITS
from propersim_env.schema import DATA, read_json, sourced_values
from propersim_env.seeding import stream
from propersim_env.setting import Setting

FILE = DATA / "population.json"

T = TypeVar("T")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Leaning:
    """How a quantity of unit variance leans on the five traits: weights of their z-scores, and sd of what is left."""

    weights: tuple[float, ...]
    rest: float

    def of(self, traits: Sequence[float]) -> float:
        """The part that the traits explain."""
        return sum(w * z for w, z in zip(self.weights, traits, strict=True))


@lru_cache(maxsize=1)
def load_numbers() -> SimpleNamespace:
    """The sampler's numbers as attributes, from ``data/population.json``.

    Raises:
        DataError: A number has no source.
    """
    return SimpleNamespace(**sourced_values(read_json(FILE)["numbers"], str(FILE)))


@lru_cache(maxsize=1)
def load_wording() -> Json:
    """The sampler's phrases (``wording``) and ``number_words``."""
    table = read_json(FILE)
    return {**table["wording"], "number_words": table["number_words"]}


def trait_correlations() -> NDArray[np.float64]:
    """Correlations of the five traits, shape (5, 5), in the order of `TRAITS` (van der Linden 2010)."""
    matrix = np.eye(len(TRAITS))
    for pair, r in load_numbers().trait_correlations.items():
        i, j = (TRAITS.index(t) for t in pair.split("-"))
        matrix[i, j] = matrix[j, i] = r
    return matrix


def leaning(effects: Mapping[str, float]) -> Leaning:
    """Weights that give a quantity these correlations with the named traits, and no further tie to the others."""
    weights = np.zeros(len(TRAITS))
    if effects:
        places = [TRAITS.index(t) for t in effects]
        wanted = np.array(list(effects.values()))
        weights[places] = np.linalg.solve(trait_correlations()[np.ix_(places, places)], wanted)
        explained = float(weights[places] @ wanted)
    else:
        explained = 0.0
    return Leaning(tuple(weights.tolist()), sqrt(max(0.0, 1 - explained)))


class Draw:
    """Random choices from one stream."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.u, self.normal = rng.random, rng.standard_normal

    def chance(self, p: float) -> bool:
        """Whether something of this chance happens."""
        return self.u() < p

    def between(self, low: float, high: float) -> float:
        """A number between two."""
        return low + (high - low) * self.u()

    def whole(self, low: int, high: int) -> int:
        """A whole number, `high` included."""
        return low + int(self.u() * (high - low + 1))

    def gauss(self, spec: Mapping[str, Any], lean: Leaning | None = None, traits: Sequence[float] = ()) -> float:
        """A normal number with ``mean`` and ``sd``, leaning on traits, cut at ``low`` and ``high`` if they are given."""
        z = float(self.normal())
        if lean is not None:
            z = lean.of(traits) + lean.rest * z
        value = spec["mean"] + spec["sd"] * z
        return float(min(max(value, spec.get("low", value)), spec.get("high", value)))

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[int(self.u() * len(items))]

    def some(self, items: Sequence[T], number: int, weights: Sequence[float] | None = None) -> list[T]:
        """So many different items (or all there are), drawn by weight, in the order in which they stand."""
        keys = [log(self.u() + 1e-300) / (weights[i] if weights else 1.0) for i in range(len(items))]
        chosen = sorted(range(len(items)), key=keys.__getitem__, reverse=True)[: max(number, 0)]
        return [items[i] for i in sorted(chosen)]

    def index(self, chances: Sequence[float]) -> int:
        """A position, with these chances."""
        u = self.u() * sum(chances)
        for i, p in enumerate(chances):
            u -= p
            if u < 0:
                return i
        return len(chances) - 1


@dataclass(frozen=True, eq=False)
class Tables:
    """Everything compiled once for a setting.

    Attributes:
        n, wording: Numbers and phrases of the sampler.
        root: Lower triangle whose product with itself is the matrix of trait correlations.
        topic_leanings: For each topic, its tie to the traits.
        topic_own: For each topic, sd of the idiosyncratic part of a liking of unit variance.
        occupation_pull: For each occupation and topic, what the occupation adds, in the same unit.
        tone_leanings: For each tone, its tie to the traits.
    """

    setting: Setting
    n: SimpleNamespace
    wording: Json
    root: NDArray[np.float64]
    occupations: tuple[Json, ...]
    occupation_pull: tuple[tuple[float, ...], ...]
    names: Json
    rubric: Json
    topic_leanings: tuple[Leaning, ...]
    topic_own: tuple[float, ...]
    tone_leanings: tuple[Leaning, ...]
    leanings: dict[str, Leaning]

    def name(self, seed: int, index: int) -> str:
        """A full name: all of a population differ until the setting's names have been used up."""
        first, last = self.names["first"], self.names["last"]
        start, step = _name_walk(seed, len(first) * len(last))
        place = (start + index * step) % (len(first) * len(last))
        return f"{first[place % len(first)]} {last[place // len(first)]}"


@lru_cache(maxsize=64)
def _name_walk(seed: int, size: int) -> tuple[int, int]:
    """Start and stride of a walk that visits every pair of names once."""
    rng = stream(seed, "population", "names")
    start, step = int(rng.integers(size)), int(rng.integers(1, size)) if size > 1 else 1
    while gcd(step, size) != 1:
        step += 1
    return start, step


@lru_cache(maxsize=8)
def tables(setting: Setting) -> Tables:
    """The tables of a setting, compiled on first use."""
    n = load_numbers()
    occupations = tuple(setting.table("occupations")["occupations"])
    topics = [leaning(n.liking_by_trait.get(t, {})) for t in setting.topic_ids]
    pull, own = _occupation_pull(setting, occupations, topics)
    return Tables(
        setting=setting, n=n, wording=load_wording(), root=np.linalg.cholesky(trait_correlations()).astype(np.float64),
        occupations=occupations, occupation_pull=pull, names=setting.table("names"),
        rubric=setting.table("rubric_templates"), topic_leanings=tuple(topics), topic_own=own,
        tone_leanings=tuple(leaning(n.tone_by_trait.get(t.id, {})) for t in setting.tones),
        leanings={
            "morningness": leaning(n.morningness_by_trait), "consistency": leaning(n.consistency["by_trait"]),
            "work_hours": leaning(n.work_hours["by_trait"]), "per_day": leaning(n.per_day_by_trait),
            "max_words": leaning(n.max_words["by_trait"]),
        },
    )


def _occupation_pull(
    setting: Setting, occupations: Sequence[Json], topics: Sequence[Leaning]
) -> tuple[tuple[tuple[float, ...], ...], tuple[float, ...]]:
    """What occupations add to a liking, scaled down where less than the idiosyncratic share would be left."""
    spec = load_numbers().liking
    raw = np.array([[o["topics"].get(t, 0.0) for t in setting.topic_ids] for o in occupations])
    pull = (raw - raw.mean(axis=0)) * spec["occupation_scale"] / spec["sd"]
    explained = np.array([1 - lean.rest**2 for lean in topics])
    variance = pull.var(axis=0)
    room = np.maximum(0.0, 1 - explained - spec["idiosyncratic_share"])
    shrink = np.sqrt(np.minimum(1.0, room / np.maximum(variance, 1e-12)))
    own = np.sqrt(1 - explained - variance * shrink**2)
    return tuple(map(tuple, (pull * shrink).tolist())), tuple(own.tolist())
