"""Splits: which people learners may have learned from, and which ones results are told of (``data/splits.json``).

A person of a sampled population says in the id which one it is of (``s2-0004``). An assistant that comes with knowledge of
other people says whom it has learned from (``learned_from``), and the runner refuses to evaluate it with one of them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import hypot, inf
from typing import Any

from propersim_env.names import near_matches
from propersim_env.persona import Persona
from propersim_env.population import sample_persona
from propersim_env.schema import DATA, DataError, read_json
from propersim_env.setting import Setting

FILE = DATA / "splits.json"
_SAMPLED = re.compile(r"(s\d+)-\d{4,}$")
_FIRST_HIDDEN, _LAST_HIDDEN = 1000, 2**31


@dataclass(frozen=True, slots=True)
class Split:
    """Some people.

    Attributes:
        name, about: Which.
        population: Whose members; None for one that is drawn when a run begins.
        radius: Least and greatest length of the vector of traits, in standard deviations.
        from_day: First day that counts in results.
        learned: Splits of which an assistant may have seen people, where it may have seen no others; empty: any but these.
    """

    name: str
    about: str
    population: int | None
    radius: tuple[float, float] = (0.0, inf)
    from_day: int = 0
    learned: tuple[str, ...] = ()

    def has(self, traits: Mapping[str, float]) -> bool:
        """Whether a member of the population with these traits belongs to the split."""
        return self.radius[0] <= hypot(*traits.values()) <= self.radius[1]

    def shows(self, traits: Mapping[str, float], days: int) -> bool:
        """Whether so many days with a member with these traits may be learned from."""
        return self.has(traits) and (not self.from_day or days <= self.from_day)


@lru_cache(maxsize=1)
def splits() -> dict[str, Split]:
    """All splits by name.

    Raises:
        DataError: One has no source.
    """
    found = {}
    for name, entry in read_json(FILE)["splits"].items():
        if not entry.get("source"):
            raise DataError(str(FILE), f"splits.{name}", "has no source", "give one; an assumption says so")
        least, greatest = entry.get("radius", (0.0, None))
        found[name] = Split(name, entry["about"], entry["population"], (least, inf if greatest is None else greatest),
                            entry.get("from_day", 0), tuple(entry.get("learned", ())))
    return found


def split(name: str) -> Split:
    """A split by name.

    Raises:
        ValueError: There is none; near matches are listed.
    """
    if name not in splits():
        raise ValueError(f"unknown split {name!r}: {near_matches(name, splits())}")
    return splits()[name]


def people(name: str, number: int, setting: Setting, hidden: int | None = None) -> list[Persona]:
    """The first so many people of a split.

    Args:
        name: Of the split.
        number: At least 1.
        setting: Where they live.
        hidden: Population of the split ``hidden``; a new one is drawn if None.
    """
    chosen = split(name)
    population = chosen.population
    if population is None:
        population = draw_hidden() if hidden is None else hidden
    found: list[Persona] = []
    index = 0
    while len(found) < number:
        persona = sample_persona(population, index, setting)
        if chosen.has(persona.traits):
            found.append(persona)
        index += 1
    return found


def draw_hidden() -> int:
    """A population that nobody knows before; never one of a named split."""
    return _FIRST_HIDDEN + secrets.randbelow(_LAST_HIDDEN - _FIRST_HIDDEN)


def hidden_population(ids: Iterable[str]) -> int | None:
    """The hidden population among these people, if there is one."""
    numbers = {int(found[1][1:]) for i in ids if (found := _SAMPLED.match(i))}
    return next((n for n in sorted(numbers) if n >= _FIRST_HIDDEN), None)


def group_of(persona: str) -> str:
    """What stands for whom an assistant has learned from: the population (``"s2"``) of a sampled person, else the id itself."""
    found = _SAMPLED.match(persona)
    return found[1] if found else persona


def learned_from(lives: Iterable[tuple[Mapping[str, Any], int]]) -> tuple[str, ...]:
    """What to note beside something that was learned from logged lives: the narrowest splits, populations, or single ids.

    Args:
        lives: Persona as in a log (``begin["persona"]``) and days of each.
    """
    groups: dict[str, list[tuple[Mapping[str, Any], int]]] = {}
    for persona, days in lives:
        groups.setdefault(group_of(persona["id"]), []).append((persona, days))
    narrow = [one for one in splits().values() if one.radius != (0.0, inf) or one.from_day]

    def name(group: str, members: list[tuple[Mapping[str, Any], int]]) -> str:
        for one in narrow:
            if group == f"s{one.population}" and all(one.shows(persona["traits"], days) for persona, days in members):
                return one.name
        return group

    return tuple(sorted(name(*group) for group in groups.items()))


def problem(learned_from: Iterable[str], personas: Iterable[Persona], names: Iterable[str] = ()) -> str:
    """Why an assistant may not be evaluated with these people; ``""`` if it may.

    Args:
        learned_from: Names of splits, populations (``"s5"``) or single ids of people whom it has learned from.
        personas: The residents.
        names: Splits that these were taken from.
    """
    known = set(learned_from)
    for chosen in map(split, names):
        if chosen.learned and (other := known - set(chosen.learned)):
            return (f"it has learned from {_listed(other)}, and with people of {chosen.name!r} only those count that learned "
                    f"from {_listed(chosen.learned)} or from nobody")
    allowed = {name for chosen in map(split, names) for name in chosen.learned}
    seen = {name: split(name) for name in known - allowed if name in splits()}
    groups = {f"s{one.population}": name for name, one in seen.items()} | {name: name for name in known - set(splits())}
    for persona in personas:
        for key in (persona.id, group_of(persona.id)):
            if key in groups:
                return f"it has learned from {groups[key]!r}, and {persona.id} is of them"
    return ""


def check_catalogue(setting: str, learned_with: str, remedy: str) -> None:
    """Refuse to try an assistant with new texts that it has learned with.

    Args:
        setting: In which it is tried, e.g. ``"house@new"`` (see `propersim_env.setting.load_setting`).
        learned_with: In which it has learned.
        remedy: How to learn with the other texts.

    Raises:
        ValueError: The texts are not new to it.
    """
    if setting.endswith("@new") and not learned_with.endswith("@known"):
        raise ValueError(f"texts of {setting!r} are not new to an assistant that has learned with {learned_with!r}: {remedy}")


def _listed(names: Iterable[str]) -> str:
    return " and ".join(repr(name) for name in sorted(names))
