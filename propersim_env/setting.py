"""A setting: the rooms, activities, topics, tones and catalogue that a world is made of. All of it is data.

A second setting is a folder with the same files (see ``data/settings/house``); pass its path wherever a setting's name is
accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from propersim_env.clock import parse_time
from propersim_env.names import near_matches
from propersim_env.schema import DATA, DataError, read_json, read_json_lines, validate

SETTINGS = DATA / "settings"
PARTS = ("@known", "@new")
"""Endings of names of settings with a part of the catalogue."""


@dataclass(frozen=True, slots=True)
class Room:
    """A room: its rectangle ``(x, y, width, height)`` on the floor plan and its objects' places, in metres."""

    id: str
    name: str
    plan: tuple[float, float, float, float]
    objects: Mapping[str, tuple[str, tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Topic:
    """Something that a recommendation can be about."""

    id: str
    name: str
    description: str
    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tone:
    """A way of speaking, with words that give it away."""

    id: str
    name: str
    description: str
    markers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ActivityKind:
    """Something people do in the home, e.g. "baking bread".

    Attributes:
        minutes: Shortest and longest bout.
        absorption: 0 (idle) to 1 (deep focus).
        weight: How often, relative to others of its category.
        hours: First and last minute of the day at which it makes sense.
        days: ``"all"``, ``"weekdays"`` or ``"weekend"``.
        texts: Phrases that may describe it.
        needs: Topic that a person must like for it to be theirs, or "".
        meal: ``"breakfast"``, ``"lunch"``, ``"dinner"`` or "".
    """

    id: str
    category: str
    room: str
    object: str
    minutes: tuple[int, int]
    absorption: float
    weight: float
    hours: tuple[int, int]
    days: str
    topics: tuple[str, ...]
    texts: tuple[str, ...]
    needs: str = ""
    meal: str = ""

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> ActivityKind:
        """Build from an already validated dictionary."""
        return ActivityKind(
            id=data["id"], category=data["category"], room=data["room"], object=data["object"],
            minutes=(data["minutes"][0], data["minutes"][1]), absorption=float(data["absorption"]),
            weight=float(data["weight"]), hours=(parse_time(data["hours"]["from"]), parse_time(data["hours"]["to"])),
            days=data["days"], topics=tuple(data["topics"]), texts=tuple(data["texts"]),
            needs=data.get("needs", ""), meal=data.get("meal", ""),
        )


@dataclass(frozen=True, slots=True)
class CatalogueText:
    """One ready-made recommendation; `effort` is in minutes, `when` is before, during or any time of an activity."""

    id: str
    topic: str
    tone: str
    effort: float
    when: str
    text: str


@dataclass(frozen=True, eq=False)
class Setting:
    """Everything the world of one setting is made of. Load with `load_setting`; one folder gives one object."""

    name: str
    folder: Path
    rooms: tuple[Room, ...]
    topics: tuple[Topic, ...]
    tones: tuple[Tone, ...]
    tone_affinity: Mapping[str, Mapping[str, float]]
    activities: tuple[ActivityKind, ...]
    catalogue: tuple[CatalogueText, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        # By reference: a worker process loads the folder once, however many personas it receives.
        return load_setting, (str(self.folder) + self.name.removeprefix(self.folder.name),)

    @cached_property
    def topic_ids(self) -> tuple[str, ...]:
        """Topic ids in their fixed order."""
        return tuple(t.id for t in self.topics)

    @cached_property
    def topic_index(self) -> dict[str, int]:
        """Position of each topic id."""
        return {t: i for i, t in enumerate(self.topic_ids)}

    @cached_property
    def room_names(self) -> dict[str, str]:
        """Spoken name of each room."""
        return {room.id: room.name for room in self.rooms}

    @cached_property
    def categories(self) -> frozenset[str]:
        """Categories of activity that occur in this setting."""
        return frozenset(a.category for a in self.activities)

    def table(self, name: str) -> Any:
        """A further data file of this setting (``"names"``, ``"occupations"``…), parsed and validated where it has a schema."""
        path = self.folder / f"{name}.json"
        value = read_json(path)
        if (DATA / "schemas" / f"{name}.schema.json").exists():
            validate(value, name, str(path))
        return value

    def persona_files(self) -> dict[str, Path]:
        """The bundled personas of this setting: id to file."""
        return {path.stem: path for path in sorted((self.folder / "personas").glob("*.json"))}


def setting_names() -> list[str]:
    """Names of the bundled settings."""
    return sorted(path.name for path in SETTINGS.iterdir() if (path / "home.json").exists())


def whole(name: str) -> str:
    """The name of a setting without the part of the catalogue that it names.

    Example:
        >>> whole("house@new"), whole("house")
        ('house', 'house')
    """
    return name.rpartition("@")[0] if name.endswith(PARTS) else name


def load_setting(name: str = "house") -> Setting:
    """Load a bundled setting by name, or one of your own by the path of its folder.

    Args:
        name: ``"house@known"`` has two thirds of the texts of each topic and tone in its catalogue, ``"house@new"`` the others:
            for assistants that are to learn with one part and be tried with the other.

    Raises:
        ValueError: No such setting; near matches are listed.
        DataError: A file of it is malformed.
    """
    name, part = whole(name), name[len(whole(name)) + 1 :]
    folder = SETTINGS / name if (SETTINGS / name / "home.json").exists() else Path(name)
    if not (folder / "home.json").exists():
        raise ValueError(f"unknown setting {name!r}: {near_matches(name, setting_names())}, or the path of a folder")
    return _part(folder.resolve(), part) if part else _load(folder.resolve())


@lru_cache(maxsize=8)
def _part(folder: Path, part: str) -> Setting:
    """A setting with a part of its catalogue."""
    setting = _load(folder)
    groups: dict[tuple[str, str], list[CatalogueText]] = {}
    for entry in sorted(setting.catalogue, key=lambda t: t.id):
        groups.setdefault((entry.topic, entry.tone), []).append(entry)
    known = {entry.id for entries in groups.values() for entry in entries[: -(-2 * len(entries) // 3)]}
    texts = tuple(entry for entry in setting.catalogue if (entry.id in known) == (part == "known"))
    return replace(setting, name=f"{setting.name}@{part}", catalogue=texts)


@lru_cache(maxsize=8)
def _load(folder: Path) -> Setting:
    home = _checked(folder, "home")
    rooms = tuple(
        Room(r["id"], r["name"], tuple(r["plan"]), {o["id"]: (o["name"], tuple(o["at"])) for o in r["objects"]})
        for r in home["rooms"]
    )
    topics = tuple(Topic(t["id"], t["name"], t["description"], tuple(t["keywords"]))
                   for t in _checked(folder, "topics")["topics"])
    tones = _checked(folder, "tones")
    activities = tuple(ActivityKind.from_dict(a) for a in _checked(folder, "activities")["activities"])
    setting = Setting(
        name=folder.name, folder=folder, rooms=rooms, topics=topics,
        tones=tuple(Tone(t["id"], t["name"], t["description"], tuple(t["markers"])) for t in tones["tones"]),
        tone_affinity=tones["affinity"], activities=activities, catalogue=_catalogue(folder),
    )
    _check_tones(setting)
    _check_catalogue(setting)
    for i, activity in enumerate(activities):
        check_activity(setting, activity, str(folder / "activities.json"), f"activities[{i}]")
    return setting


def _checked(folder: Path, name: str) -> Any:
    path = folder / f"{name}.json"
    value = read_json(path)
    validate(value, name, str(path))
    return value


def _catalogue(folder: Path) -> tuple[CatalogueText, ...]:
    path = folder / "catalogue.jsonl"
    rows = read_json_lines(path)
    if folder.parent != SETTINGS.resolve():  # those of the package are checked by its tests, and loading them is quick
        for i, row in enumerate(rows, 1):
            validate(row, "catalogue", f"{path} line {i}")
    return tuple(CatalogueText(r["id"], r["topic"], r["tone"], r["effort"], r["when"], r["text"]) for r in rows)


def _check_tones(setting: Setting) -> None:
    source, names = str(setting.folder / "tones.json"), [t.id for t in setting.tones]
    for a in names:
        for b in names:
            given = setting.tone_affinity.get(a, {}).get(b)
            if a != b and (given is None or given != setting.tone_affinity.get(b, {}).get(a)):
                raise DataError(source, f"affinity.{a}.{b}", f"is {given}", "give every pair in both directions, the same")


def _check_catalogue(setting: Setting) -> None:
    source, tones, seen = str(setting.folder / "catalogue.jsonl"), {t.id for t in setting.tones}, set[str]()
    for i, entry in enumerate(setting.catalogue, 1):
        for field, value, known in (("topic", entry.topic, setting.topic_ids), ("tone", entry.tone, tones)):
            if value not in known:
                raise DataError(source, f"line {i}: {field}", f"no {field} {value!r}", near_matches(value, known))
        if entry.id in seen:
            raise DataError(source, f"line {i}: id", f"{entry.id!r} is there twice", "give each text an id of its own")
        seen.add(entry.id)


def check_activity(setting: Setting, activity: ActivityKind, source: str, field: str) -> None:
    """Raise a `DataError` when an activity names a room, object or topic that the setting lacks."""
    rooms = {room.id: room for room in setting.rooms}
    if activity.room not in rooms:
        raise DataError(source, f"{field}.room", f"no room {activity.room!r}", near_matches(activity.room, rooms))
    objects = rooms[activity.room].objects
    if activity.object and activity.object not in objects:
        raise DataError(source, f"{field}.object", f"no object {activity.object!r} in {activity.room}",
                        near_matches(activity.object, objects))
    for topic in [*activity.topics, *([activity.needs] if activity.needs else [])]:
        if topic not in setting.topic_index:
            raise DataError(source, f"{field}.topics", f"no topic {topic!r}", near_matches(topic, setting.topic_ids))
    if activity.minutes[0] > activity.minutes[1]:
        raise DataError(source, f"{field}.minutes", f"{activity.minutes} runs backwards", "write [shortest, longest]")
