"""Where things go in a picture: text that the font can draw, broken into lines, and the labels of a floor plan.

Needs Pillow, like `propersim_env.rendering.picture`, which this is a part of.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import ImageFont

from propersim_env.rendering import clean
from propersim_env.setting import Room, Setting

PLAN_AREA = (20, 20, 692, 500)
"""Where the floor plan goes, in pixels."""

FIGURE = (30, 49)
"""Width and height of the resident's figure."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Label:
    """A name on the plan: its lines, font size and box in pixels."""

    lines: tuple[str, ...]
    size: int
    box: Box


@dataclass(frozen=True, eq=False)
class Plan:
    """A floor plan in pixels.

    Attributes:
        rooms: Rectangle of each room.
        marks: Middle of each object's mark, by room and object.
        names: Label of each room that has space for one.
        labels: Label of each object that has space for one, by room and object.
    """

    rooms: dict[str, Box]
    marks: dict[tuple[str, str], tuple[float, float]]
    names: dict[str, Label]
    labels: dict[tuple[str, str], Label]


# --- text ------------------------------------------------------------------------------------------------------------

_SPELLED = str.maketrans({"—": "-", "–": "-", "−": "-", "‐": "-", "‑": "-", "′": "'", "″": '"', "€": "EUR", "→": ">", "•": "·",
                          "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i", "œ": "oe", "Œ": "OE"})
_MISSING = "\uffff"
_LONGEST = 250  # characters: no line of ours holds so many, and long ones are slow to measure


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font; no font file is needed."""
    return ImageFont.load_default(size)


@lru_cache(maxsize=1 << 12)
def has(c: str) -> bool:
    """Whether the font has a picture of this character."""
    mask, missing = font(16).getmask(c), font(16).getmask(_MISSING)
    return c.isspace() or mask.size != missing.size or bytes(mask) != bytes(missing)


def drawable(text: str, limit: int = 700) -> tuple[str, int]:
    """A text as the font can draw it, and how many of its characters are boxes; accents that it lacks are left off."""
    drawn: list[str] = []
    missing = 0
    for c in clean(text, limit).translate(_SPELLED):
        base = c if has(c) else "".join(b for b in unicodedata.normalize("NFKD", c) if not unicodedata.combining(b))
        if base and all(map(has, base)):
            drawn.append(base)
        elif base:
            drawn.append(_MISSING)
            missing += 1
    return "".join(drawn), missing


@lru_cache(maxsize=1 << 13)
def text_width(text: str, size: int) -> float:
    """Width of a line in pixels."""
    return float(font(size).getlength(text))


def wrap(text: str, size: int, width: float, most: int) -> list[str]:
    """Break a drawable text into at most `most` lines of `width` pixels; ``…`` stands for what is left off."""
    lines = [""]
    for word in text.split(" "):
        rest = word
        while rest:
            joined = f"{lines[-1]} {rest}" if lines[-1] else rest
            if len(joined) <= _LONGEST and text_width(joined, size) <= width:
                lines[-1] = joined
                break
            if lines[-1]:
                lines.append("")
                continue
            fits = _fitting(rest, size, width)
            lines[-1], rest = rest[:fits], rest[fits:]
            lines.append("")
        if len(lines) > most:
            last = lines[most - 1] + (" " + lines[most] if lines[most] else "")
            cut = _fitting(last, size, width - text_width("…", size))
            return [*lines[: most - 1], last[:cut].rstrip(" ,.;:") + "…"]
    return lines


def _fitting(text: str, size: int, width: float) -> int:
    """How many characters of a text go into so many pixels; at least one."""
    used = 0.0
    for i, c in enumerate(text):
        used += text_width(c, size)
        if used > width:
            return max(1, i)
    return len(text)


# --- the static plan -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def plan_of(setting: Setting) -> Plan:
    """Lay out a setting's floor plan so that no two labels overlap; a label without space is left off."""
    left = min((r.plan[0] for r in setting.rooms), default=0.0)
    top = min((r.plan[1] for r in setting.rooms), default=0.0)
    wide = max((r.plan[0] + r.plan[2] for r in setting.rooms), default=1.0) - left
    high = max((r.plan[1] + r.plan[3] for r in setting.rooms), default=1.0) - top
    scale = min((PLAN_AREA[2] - PLAN_AREA[0]) / wide, (PLAN_AREA[3] - PLAN_AREA[1]) / high)
    x0 = (PLAN_AREA[0] + PLAN_AREA[2] - wide * scale) / 2 - left * scale
    y0 = (PLAN_AREA[1] + PLAN_AREA[3] - high * scale) / 2 - top * scale
    rooms, marks = {}, {}
    for room in setting.rooms:
        x, y, width, height = (value * scale for value in room.plan)
        box = rooms[room.id] = (x0 + x, y0 + y, x0 + x + width, y0 + y + height)
        for object_id, (_, at) in room.objects.items():
            marks[room.id, object_id] = (min(max(x0 + at[0] * scale, box[0] + 12), box[2] - 12),
                                         min(max(y0 + at[1] * scale, box[1] + 12), box[3] - 12))
    names: dict[str, Label] = {}
    labels: dict[tuple[str, str], Label] = {}
    for room in setting.rooms:
        name, placed = _room_labels(room, rooms[room.id], {o: marks[room.id, o] for o in room.objects})
        if name is not None:
            names[room.id] = name
        labels.update({(room.id, object_id): label for object_id, label in placed.items()})
    return Plan(rooms, marks, names, labels)


def around(at: tuple[float, float], radius: float) -> Box:
    """The square about a point."""
    return at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius


def grown(box: Box, by: float) -> Box:
    """The box, larger by so many pixels on each side."""
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def overlap(a: Box, b: Box) -> float:
    """Area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def within(box: Box, room: Box, margin: float) -> bool:
    """Whether a box lies in a room and as far from its walls."""
    return (box[0] >= room[0] + margin and box[1] >= room[1] + margin
            and box[2] <= room[2] - margin and box[3] <= room[3] - margin)


def _name_label(room: Room, box: Box, taken: Sequence[Box]) -> Label | None:
    """The room's name, as near to the middle as its objects allow."""
    text = drawable(room.name, 40)[0]
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    for size in (17, 14, 12):
        width, height = text_width(text, size), size * 1.15
        best: tuple[float, Box] | None = None
        for dx in range(-160, 161, 8):
            for dy in range(-120, 121, 6):
                x, y = middle[0] + dx - width / 2, middle[1] + dy - height / 2
                spot = (x, y, x + width, y + height)
                cost = math.hypot(dx, dy * 1.5)
                if within(spot, box, 6) and (best is None or cost < best[0]) and \
                        not any(overlap(grown(spot, 5), other) for other in taken):
                    best = (cost, spot)
        if best is not None:
            return Label((text,), size, best[1])
    return None


def _room_labels(
    room: Room, box: Box, marks: Mapping[str, tuple[float, float]]
) -> tuple[Label | None, dict[str, Label]]:
    """Labels of a room and its objects: the room's name in the middle, or where that costs a label, where it fits then."""
    own = [around(at, 7) for at in marks.values()]
    name = _name_label(room, box, own)
    labels = _object_labels(room, marks, box, own + ([grown(name.box, 3)] if name else []))
    if len(labels) < len(marks):
        more = _object_labels(room, marks, box, own)
        other = _name_label(room, box, own + [label.box for label in more.values()])
        if other is not None and len(more) > len(labels):
            return other, more
    return name, labels


def _object_labels(
    room: Room, marks: Mapping[str, tuple[float, float]], box: Box, taken: Sequence[Box]
) -> dict[str, Label]:
    """Labels of a room's objects. Those that found no space are tried first the next time, a few times over."""
    order = list(room.objects)
    best: dict[str, Label] = {}
    for _ in range(8):
        placed: dict[str, Label] = {}
        for object_id in order:
            others = [*taken, *(label.box for label in placed.values())]
            label = _object_label(room.objects[object_id][0], marks[object_id], box, others)
            if label is not None:
                placed[object_id] = label
        if len(placed) > len(best):
            best = placed
        if len(best) == len(order):
            break
        order.sort(key=lambda object_id: object_id in placed)
    return best


def _object_label(name: str, at: tuple[float, float], room: Box, taken: Sequence[Box]) -> Label | None:
    """An object's name beside its mark: on one line or two, wherever there is space."""
    text = drawable(name, 40)[0]
    first, _, rest = text.rpartition(" ")
    forms = [((text,), 12), *([((first, rest), 12)] if first else []), ((text,), 10), *([((first, rest), 10)] if first else [])]
    for lines, size in forms:
        width, height = max(text_width(line, size) for line in lines), len(lines) * size * 1.1
        x, y = at
        corners = [(x + 10, y - height / 2), (x - 10 - width, y - height / 2), (x - width / 2, y + 9),
                   (x - width / 2, y - 9 - height), (x - 6, y + 9), (x - width + 6, y + 9), (x - 6, y - 9 - height),
                   (x - width + 6, y - 9 - height), (x + 10, y - height + 5), (x + 10, y - 5),
                   (x - 10 - width, y - height + 5), (x - 10 - width, y - 5)]
        for left, top in corners:
            box = (left, top, left + width, top + height)
            near = (left - 2, top - 1, left + width + 2, top + height + 1)
            if within(box, room, 4) and not any(overlap(near, other) for other in taken):
                return Label(lines, size, box)
    return None


_OFFSETS = sorted((math.hypot(dx, dy), dx, dy) for dx in range(-90, 91, 3) for dy in range(-90, 91, 3))


@lru_cache(maxsize=512)
def figure_place(setting: Setting, room: str, thing: str) -> tuple[float, float]:
    """Where the middle of the figure goes: near its object, where it hides least."""
    plan = plan_of(setting)
    box = plan.rooms[room]
    at = plan.marks.get((room, thing))
    middle = at or ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    own = plan.labels.get((room, thing))
    covers = [(label.box, 2.0) for key, label in plan.labels.items() if key[0] == room and label is not own]
    covers += [(plan.names[room].box, 1.0)] if room in plan.names else []
    covers += [(around(mark, 8), 0.6) for (owner, _), mark in plan.marks.items() if owner == room]
    best, place = math.inf, middle
    for distance, dx, dy in _OFFSETS:
        if distance >= best:
            break
        x, y = middle[0] + dx, middle[1] + dy
        spot = (x - FIGURE[0] / 2, y - FIGURE[1] / 2, x + FIGURE[0] / 2, y + FIGURE[1] / 2)
        if within(spot, box, 3):
            hidden = sum(weight * overlap(spot, other) for other, weight in covers)
            if own is not None:  # its label is drawn over the figure: that may hide the body, but not the head
                hidden += 0.1 * overlap(spot, own.box) + 2 * overlap((*spot[:3], spot[1] + FIGURE[1] * 0.36), grown(own.box, 3))
            if distance + hidden < best:
                best, place = distance + hidden, (x, y)
    return place
