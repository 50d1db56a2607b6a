"""Personas: who the resident is. Structured preferences are the source; the rubric says the same in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from propersim_env.clock import applies, parse_time
from propersim_env.names import near_matches
from propersim_env.schema import DataError, read_json, validate
from propersim_env.setting import PARTS, ActivityKind, Setting, check_activity, load_setting

TRAITS = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")


@dataclass(frozen=True, slots=True)
class Window:
    """Minutes ``[start, end)`` of a day, on some days."""

    start: int
    end: int
    days: str = "all"
    label: str = ""

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Window:
        """Build from ``{"from": "HH:MM", "to": "HH:MM", …}``."""
        return Window(parse_time(data["from"]), parse_time(data["to"]), data.get("days", "all"), data.get("label", ""))

    def on(self, day: int) -> bool:
        """Whether it applies on that day (counted from 0)."""
        return applies(self.days, day)


@dataclass(frozen=True, slots=True)
class Want:
    """A topic that the person wants in a situation: around some activities, at some time of day."""

    id: str
    topic: str
    activities: frozenset[str]
    window: Window
    weight: float
    why: str


class Persona:
    """One resident.

    Built from a validated dictionary (format: ``data/schemas/persona.schema.json``), which `to_dict` gives back.

    Attributes:
        id: Short name such as ``"p01"``.
        name: Full name.
        traits: Five z-scores by trait name.
        activities: What this person in particular does, beside the setting's common activities.
        liking: Topic id to liking, -1..1; topics not listed are 0.
        wants: What is wanted in which situation.
        wanted, unwanted: Windows in which to be spoken to, or left alone.
        unwanted_activities: Categories and activity ids during which to be left alone.
        per_day: Recommendations wanted a day (n*).
        min_gap: Minutes that should lie between two.
    """

    def __init__(self, data: Mapping[str, Any], setting: Setting, source: str = "persona") -> None:
        self.data, self.setting, self.source = data, setting, source
        self.id: str = data["id"]
        self.name: str = data["name"]
        self.traits: dict[str, float] = dict(data["traits"])
        self.routine: dict[str, Any] = data["routine"]
        self.activities = tuple(ActivityKind.from_dict(a) for a in data["activities"])
        preferences = data["preferences"]
        self.liking: dict[str, float] = dict(preferences["topics"])
        self.wants = tuple(
            Want(w["id"], w["topic"], frozenset(w["activities"]), Window.from_dict(w), w["weight"], w["why"])
            for w in preferences["wants"]
        )
        timing = preferences["timing"]
        self.wanted = tuple(map(Window.from_dict, timing["wanted"]))
        self.unwanted = tuple(map(Window.from_dict, timing["unwanted"]))
        self.unwanted_activities = frozenset(timing["unwanted_activities"])
        self.per_day = float(preferences["frequency"]["per_day"])
        self.min_gap = float(preferences["frequency"]["min_gap_minutes"])
        self.communication: dict[str, Any] = preferences["communication"]
        self.rubric: dict[str, str] = dict(data["rubric"])

    @cached_property
    def waking_minutes(self) -> int:
        """Length of a waking weekday in minutes."""
        return parse_time(self.routine["sleep"]) - parse_time(self.routine["wake"])

    def to_dict(self) -> dict[str, Any]:
        """The dictionary it was built from (a copy)."""
        copy: dict[str, Any] = json.loads(json.dumps(self.data))
        return copy

    def describe(self) -> str:
        """The persona in words, as an assistant with ``reveal_persona=True`` reads it."""
        lines = [f"{self.name}, {self.data['age']}, {self.data['occupation']}. {self.data['background']}"]
        lines += [f"{title.replace('_', ' ')}: {text}" for title, text in self.rubric.items()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Persona({self.id!r}, {self.name!r}, {self.per_day:g} a day)"


def persona_from_dict(data: Any, setting: Setting, source: str = "persona") -> Persona:
    """Check a dictionary against the schema and the setting, and build the persona.

    Raises:
        DataError: Naming the source, the field and the remedy.
    """
    validate(data, "persona", source)
    try:
        json.dumps(data, allow_nan=False)
    except ValueError as error:
        raise DataError(source, "(numbers)", "holds NaN or an infinity", "write ordinary numbers") from error
    try:
        persona = Persona(data, setting, source)
    except ValueError as error:
        raise DataError(source, "(times)", str(error), 'write times as "HH:MM"') from error
    _check_references(persona)
    _check_times(persona)
    return persona


def _check_references(persona: Persona) -> None:
    setting, source = persona.setting, persona.source
    for i, activity in enumerate(persona.activities):
        check_activity(setting, activity, source, f"activities[{i}]")
    for topic in persona.liking:
        if topic not in setting.topic_index:
            raise DataError(source, f"preferences.topics.{topic}", "no such topic",
                            near_matches(topic, setting.topic_ids))
    known = {a.id for a in (*setting.activities, *persona.activities)} | setting.categories
    for i, want in enumerate(persona.wants):
        if want.topic not in setting.topic_index:
            raise DataError(source, f"preferences.wants[{i}].topic", f"no topic {want.topic!r}",
                            near_matches(want.topic, setting.topic_ids))
        for activity_id in sorted(want.activities - known):
            raise DataError(source, f"preferences.wants[{i}].activities", f"no activity or category {activity_id!r}",
                            near_matches(activity_id, known))
    for activity_id in sorted(persona.unwanted_activities - known):
        raise DataError(source, "preferences.timing.unwanted_activities",
                        f"no activity or category {activity_id!r}", near_matches(activity_id, known))
    tones = [t.id for t in setting.tones]
    for key in ("tones", "avoid_tones"):
        for tone in persona.communication[key]:
            if tone not in tones:
                raise DataError(source, f"preferences.communication.{key}", f"no tone {tone!r}",
                                near_matches(tone, tones))


def _check_times(persona: Persona) -> None:
    source = persona.source
    windows = [(f"preferences.timing.wanted[{i}]", w) for i, w in enumerate(persona.wanted)]
    windows += [(f"preferences.timing.unwanted[{i}]", w) for i, w in enumerate(persona.unwanted)]
    windows += [(f"preferences.wants[{i}]", w.window) for i, w in enumerate(persona.wants)]
    for field, window in windows:
        if window.end <= window.start:
            raise DataError(source, field, '"to" is not after "from"', "split a window that crosses midnight in two")
    if persona.waking_minutes < 600:
        raise DataError(source, "routine", f"only {persona.waking_minutes} waking minutes between wake and sleep",
                        "sleep must come at least 10 hours after wake, before 24:00")
    if persona.min_gap * persona.per_day > persona.waking_minutes:
        raise DataError(source, "preferences.frequency", f"{persona.per_day:g} a day do not fit with a gap of "
                        f"{persona.min_gap:g} minutes", "lower per_day or min_gap_minutes")


def load_persona(name: str, setting: Setting | str = "house") -> Persona:
    """A bundled persona by id (``"p01"``), or your own by the path of a JSON file.

    Raises:
        ValueError: No such persona; near matches are listed.
        DataError: The file is malformed.
    """
    setting = load_setting(setting) if isinstance(setting, str) else setting
    files = setting.persona_files()
    path = files.get(name) or Path(name)
    if not path.is_file():
        raise ValueError(f"unknown persona {name!r}: {near_matches(name, files)}, or the path of a persona file")
    return persona_from_dict(read_json(path), setting, str(path))


def select_personas(
    spec: str | Sequence[str], setting: Setting | str = "house", seed: int = 0, hidden: int | None = None
) -> list[Persona]:
    """The personas that a specification names.

    Args:
        spec: ``"all"`` (the bundled ones), a number (the first so many bundled ones), ``"test:64"`` (people of a split, see
            `propersim_env.splits`), ``"sampled:64"`` (fresh ones from `population`), or comma-separated ids and file paths; a
            list of such.
        setting: Name or object.
        seed: Which population ``sampled:N`` is of; persona i of it is the same whatever the number sampled.
        hidden: Which population ``hidden:N`` is of; a new one is drawn if None.
    """
    setting = load_setting(setting) if isinstance(setting, str) else setting
    if setting.name.endswith(PARTS):
        raise ValueError(f"setting {setting.name!r} has a part of the catalogue and is for assistants (name:setting="
                         f"{setting.name}): people understand all of it")
    parts = spec.split(",") if isinstance(spec, str) else list(spec)
    personas: list[Persona] = []
    for part in (p.strip() for p in parts):
        bundled = list(setting.persona_files())
        if part == "all":
            personas += [load_persona(name, setting) for name in bundled]
        elif part.isdigit():
            if not 1 <= int(part) <= len(bundled):
                raise ValueError(f"personas {part!r}: there are {len(bundled)} bundled ones; use sampled:{part} for more")
            personas += [load_persona(name, setting) for name in bundled[: int(part)]]
        elif split_of(part):
            personas += _sampled(part, setting, seed, hidden)
        else:
            personas.append(load_persona(part, setting))
    ids = [p.id for p in personas]
    if repeated := sorted({i for i in ids if ids.count(i) > 1}):
        raise ValueError(f"personas named twice: {', '.join(repeated)}")
    return personas


def split_of(part: str) -> str:
    """Name of the split in ``"test:64"``, also ``"sampled"``; ``""`` for what is not of this form.

    Raises:
        ValueError: It is, but there is no such split.
    """
    from propersim_env.splits import split, splits

    name, colon, number = part.strip().partition(":")
    if not colon or (not number.isdigit() and name != "sampled" and name not in splits()):
        return ""
    return name if name == "sampled" else split(name).name


def _sampled(part: str, setting: Setting, seed: int, hidden: int | None) -> list[Persona]:
    from propersim_env.population import sample_persona
    from propersim_env.splits import people

    name, _, number = part.partition(":")
    if not number.isdigit() or int(number) < 1:
        raise ValueError(f"personas {part!r}: write {name}:N with N >= 1, e.g. {name}:64")
    if name != "sampled":
        return people(name, int(number), setting, hidden)
    return [sample_persona(seed, i, setting) for i in range(int(number))]
