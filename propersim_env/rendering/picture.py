"""The image of a scene: floor plan, clock, what was said, and how it was rated.

Needs Pillow; `propersim_env.rendering` imports it on demand. What does not change within a setting, rooms and labels, is
drawn once and kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from propersim_env.clock import TICKS_PER_DAY, time_text
from propersim_env.messages import DIMENSIONS
from propersim_env.rendering import REACTION_WORDS, Scene
from propersim_env.rendering.layout import (
    FIGURE,
    PLAN_AREA,
    Box,
    Label,
    Plan,
    around,
    drawable,
    figure_place,
    font,
    grown,
    plan_of,
    wrap,
)
from propersim_env.setting import Setting

WIDTH, HEIGHT = 960, 720
_SIDE = (716, 20, 940, 500)
_BUBBLE = (84, 520, 470, 700)
_CARD = (490, 520, 940, 700)
_SMOOTH = 3  # shapes are drawn this much larger and reduced, which smooths their edges

_PAPER, _WHITE, _INK, _SOFT, _FAINT = "#f3efe8", "#ffffff", "#2e2a36", "#7b7686", "#c9c3cf"
_ACCENT, _GOOD, _BAD, _WALL, _MARK = "#5b4bb5", "#2f9e73", "#d1495b", "#574f60", "#a3978f"
_ROOMS = ("#e7def2", "#d8eaf1", "#f6e6c9", "#eee9e1", "#f7dcd2", "#fbf0c6", "#dcebcf", "#e3e6f3")
_OUTDOORS = {"garden": "#cfe5bd", "balcony": "#d8e8cf", "terrace": "#dfe6c9"}

def picture(scene: Scene) -> NDArray[np.uint8]:
    """The scene as an image of shape ``(720, 960, 3)``."""
    image = _background(scene.setting).copy()
    draw = ImageDraw.Draw(image)
    if scene.setting is not None:
        _draw_resident(image, draw, scene, scene.setting)
    else:
        _text(draw, (PLAN_AREA[0] + 24, PLAN_AREA[1] + 24), "no floor plan", 16, _SOFT)
    _draw_side(image, draw, scene)
    _draw_bubble(draw, scene)
    _draw_card(image, draw, scene)
    return np.asarray(image, np.uint8).copy()


def _text(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, colour: str, anchor: str = "la") -> None:
    draw.text(at, text, fill=colour, font=font(size), anchor=anchor)


def _block(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], lines: Iterable[str], size: int, colour: str, step: float = 1.35
) -> float:
    """Draw lines below each other; returns where the next would be."""
    x, y = at
    for line in lines:
        _text(draw, (x, y), line, size, colour)
        y += round(size * step)
    return y


# --- what stays -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _background(setting: Setting | None) -> Image.Image:
    """Everything that stays the same from frame to frame."""
    large = Image.new("RGB", (WIDTH * _SMOOTH, HEIGHT * _SMOOTH), _PAPER)
    draw = ImageDraw.Draw(large)
    for x0, y0, x1, y1 in (_SIDE, _CARD, _BUBBLE):
        _rounded(draw, (x0 - 1, y0 + 1, x1 + 1, y1 + 3), 14, "#e4ddd3")
        _rounded(draw, (x0, y0, x1, y1), 14, _WHITE)
    draw.polygon(_large((_BUBBLE[0] - 14, 640, _BUBBLE[0] + 4, 622, _BUBBLE[0] + 4, 650)), fill=_WHITE)
    _draw_assistant(draw)
    plan = plan_of(setting) if setting else Plan({}, {}, {}, {})
    for i, (room, box) in enumerate(plan.rooms.items()):
        draw.rectangle(_large(box), fill=_OUTDOORS.get(room, _ROOMS[i % len(_ROOMS)]))
    for box in plan.rooms.values():
        draw.rectangle(_large(grown(box, 1.5)), outline=_WALL, width=3 * _SMOOTH)
    for at in plan.marks.values():
        draw.rounded_rectangle(_large(around(at, 5.5)), 3 * _SMOOTH, fill=_WHITE, outline=_MARK, width=2 * _SMOOTH)
    image = large.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(image)
    for label in plan.names.values():
        _draw_label(draw, label, _WALL)
    for label in plan.labels.values():
        _draw_label(draw, label, "#6d6470")
    return image


def _draw_assistant(draw: ImageDraw.ImageDraw) -> None:
    """A small round speaker, the assistant's face."""
    x, y = 42, 640
    draw.ellipse(_large(around((x, y), 22)), fill=_ACCENT)
    for radius, width in ((12, 2.5), (6, 2.5)):
        draw.ellipse(_large(around((x, y), radius)), outline=_WHITE, width=round(width * _SMOOTH))
    draw.ellipse(_large(around((x, y), 2)), fill=_WHITE)


def _large(values: Iterable[float]) -> list[float]:
    return [value * _SMOOTH for value in values]


def _rounded(draw: ImageDraw.ImageDraw, box: Box, radius: float, colour: str) -> None:
    draw.rounded_rectangle(_large(box), radius * _SMOOTH, fill=colour)


def _draw_label(draw: ImageDraw.ImageDraw, label: Label, colour: str) -> None:
    middle, y = (label.box[0] + label.box[2]) / 2, label.box[1]
    for line in label.lines:
        _text(draw, (middle, y + label.size * 0.55), line, label.size, colour, "mm")
        y += label.size * 1.1


# --- what changes ----------------------------------------------------------------------------------------------------


def _draw_resident(image: Image.Image, draw: ImageDraw.ImageDraw, scene: Scene, setting: Setting) -> None:
    """The figure, its room framed and its object set off."""
    if scene.room is None:
        return
    plan, room, thing = plan_of(setting), scene.room.id, scene.activity.object
    draw.rectangle(grown(plan.rooms[room], -1), outline=_ACCENT, width=3)
    x, y = figure_place(setting, room, thing)
    figure = _figure()
    image.paste(figure, (round(x - figure.width / 2), round(y - figure.height / 2)), figure)
    label = plan.labels.get((room, thing))
    boxes: list[tuple[tuple[int, int, int, int], int]] = []
    if (room, thing) in plan.marks:
        x, y = (round(v) for v in plan.marks[room, thing])
        boxes.append(((x - 5, y - 5, x + 6, y + 6), 3))
    if label is not None:
        left, top, right, bottom = (round(v) for v in label.box)
        boxes.append(((left - 3, top - 2, right + 4, bottom + 2), 6))
    for (x0, y0, x1, y1), radius in boxes:
        _paste_rounded(image, (x0 - 1, y0 - 1, x1 + 1, y1 + 1), radius + 1, _WHITE)
    for box, radius in boxes:
        _paste_rounded(image, box, radius, _ACCENT)
    if label is not None:
        _draw_label(draw, label, _WHITE)


@lru_cache(maxsize=1)
def _figure() -> Image.Image:
    """The resident, seen from the front, with a white edge."""
    k = 6
    large = Image.new("RGBA", (28 * k, 46 * k), (255, 255, 255, 0))
    draw = ImageDraw.Draw(large)

    def person(edge: float, colours: tuple[str, str, str]) -> None:
        body, head, legs = colours
        for x in (8.5, 14.5):
            draw.rounded_rectangle([v * k for v in (x - edge, 30 - edge, x + 5 + edge, 44 + edge)], 2.5 * k, fill=legs)
        draw.rounded_rectangle([v * k for v in (5 - edge, 17 - edge, 23 + edge, 35 + edge)], 7 * k, fill=body)
        draw.ellipse([v * k for v in (7.5 - edge, 2 - edge, 20.5 + edge, 15 + edge)], fill=head)

    person(1.6, (_WHITE, _WHITE, _WHITE))
    person(0, (_ACCENT, "#e9b48c", _INK))
    draw.chord([v * k for v in (7.5, 2, 20.5, 15)], 180, 360, fill="#4b3325")
    return large.resize(FIGURE, Image.Resampling.LANCZOS)


def _paste_rounded(image: Image.Image, box: tuple[int, int, int, int], radius: float, colour: str) -> None:
    """Fill a rounded rectangle with smooth corners."""
    mask = _rounded_mask(box[2] - box[0], box[3] - box[1], radius)
    image.paste(colour, box, mask)


@lru_cache(maxsize=128)
def _rounded_mask(width: int, height: int, radius: float) -> Image.Image:
    k = 4
    large = Image.new("L", (width * k, height * k), 0)
    ImageDraw.Draw(large).rounded_rectangle((0, 0, width * k - 1, height * k - 1), radius * k, fill=255)
    return large.resize((width, height), Image.Resampling.LANCZOS)


def _draw_side(image: Image.Image, draw: ImageDraw.ImageDraw, scene: Scene) -> None:
    """Clock and date, who does what where, and the rating in one number."""
    x, y = _SIDE[0] + 18, _SIDE[1] + 18
    image.paste(_clock(scene.tick % TICKS_PER_DAY), (x, y))
    _text(draw, (x + 98, y + 6), scene.clock, 32, _INK)
    weekday, _, date = scene.weekday_and_date.partition(" ")
    _text(draw, (x + 98, y + 46), weekday, 15, _INK)
    _text(draw, (x + 98, y + 66), f"day {scene.day + 1}", 13, _SOFT)
    _text(draw, (x, y + 100), date, 13, _SOFT)
    _draw_hours(image, draw, (x, y + 126), _SIDE[2] - _SIDE[0] - 36, scene.tick % TICKS_PER_DAY)
    y += 168
    width = _SIDE[2] - x - 16
    y = round(_block(draw, (x, y), wrap(drawable(scene.persona, 60)[0], 18, width, 2), 18, _INK))
    doing = drawable(scene.activity.text, 400)[0] or "not seen doing anything"
    y = round(_block(draw, (x, y + 4), wrap(doing, 15, width, 4), 15, _INK))
    _block(draw, (x, y + 4), wrap(drawable(scene.place, 80)[0], 13, width, 2), 13, _ACCENT)
    _draw_total(image, draw, scene)


def _draw_hours(image: Image.Image, draw: ImageDraw.ImageDraw, at: tuple[int, int], width: int, tick: int) -> None:
    """The day as a bar, filled up to now."""
    x, y = at
    _paste_rounded(image, (x, y, x + width, y + 6), 3, "#ebe6ee")
    _paste_rounded(image, (x, y, x + max(6, width * tick // TICKS_PER_DAY), y + 6), 3, _ACCENT)
    for hour in (0, 6, 12, 18, 24):
        anchor = "la" if hour == 0 else "ra" if hour == 24 else "ma"
        _text(draw, (x + width * hour / 24, y + 10), str(hour), 11, _SOFT, anchor)


@lru_cache(maxsize=64)
def _clock(tick: int) -> Image.Image:
    """A clock face; dark in the evening and at night, because a dial does not tell morning from evening."""
    k, size = 4, 84
    night = not 6 <= tick / 24 < 20
    face, hand = ("#38324a", _WHITE) if night else ("#fbf7ea", _INK)
    large = Image.new("RGB", (size * k, size * k), _WHITE)
    draw = ImageDraw.Draw(large)
    middle = size * k / 2
    draw.ellipse((2 * k, 2 * k, (size - 2) * k, (size - 2) * k), fill=face, outline=_WALL, width=2 * k)

    def point(turn: float, radius: float) -> tuple[float, float]:
        return middle + radius * k * math.sin(turn * math.tau), middle - radius * k * math.cos(turn * math.tau)

    for hour in range(12):
        inner = 30 if hour % 3 == 0 else 33
        draw.line((*point(hour / 12, inner), *point(hour / 12, 36)), fill=_FAINT, width=2 * k)
    minutes = tick * 2.5
    for turn, radius, width, colour in ((minutes / 720, 19, 4, hand), (minutes / 60, 30, 3, "#8f83dd" if night else _ACCENT)):
        draw.line((middle, middle, *point(turn, radius)), fill=colour, width=width * k)
        x, y = point(turn, radius)
        draw.ellipse(around((x, y), width * k / 2), fill=colour)
    draw.ellipse(around((middle, middle), 3.5 * k), fill=hand)
    return large.resize((size, size), Image.Resampling.LANCZOS)


def _draw_total(image: Image.Image, draw: ImageDraw.ImageDraw, scene: Scene) -> None:
    """The rating as a ring of four arcs with its number."""
    size = 88
    x, y = _SIDE[0] + 18, _SIDE[3] - 18 - size
    image.paste(_arcs(scene.rating.marks & 15 if scene.rating else -1), (x, y))
    number = str(scene.rating.total) if scene.rating else "-"
    _text(draw, (x + size / 2, y + size / 2), number, 36, _INK if scene.rating else _FAINT, "mm")
    if scene.rating is None:
        _block(draw, (x + size + 14, y + 24), wrap(scene.verdict, 15, 90, 2), 15, _SOFT)
        return
    _text(draw, (x + size + 14, y + 24), "of 4", 15, _SOFT)
    reaction = REACTION_WORDS.get(scene.rating.reaction, "silence" if not scene.said else "no reaction")
    colour = {"accept": _GOOD, "dismiss": _BAD}.get(scene.rating.reaction, _SOFT)
    _text(draw, (x + size + 14, y + 45), reaction, 17, colour)


@lru_cache(maxsize=17)
def _arcs(marks: int) -> Image.Image:
    k, size = 4, 88
    large = Image.new("RGB", (size * k, size * k), _WHITE)
    draw = ImageDraw.Draw(large)
    for i in range(4):
        colour = "#ebe6ee" if marks < 0 else _GOOD if marks >> i & 1 else _BAD
        draw.arc((3 * k, 3 * k, (size - 3) * k, (size - 3) * k), i * 90 - 86, i * 90 - 4, fill=colour, width=9 * k)
    return large.resize((size, size), Image.Resampling.LANCZOS)


def _draw_bubble(draw: ImageDraw.ImageDraw, scene: Scene) -> None:
    """What the assistant said, as large as it fits."""
    x0, y0, x1, y1 = _BUBBLE
    x, width = x0 + 18, x1 - x0 - 36
    title = "The assistant" + (f", {time_text(scene.said_tick)}" if scene.said_tick is not None else "")
    _text(draw, (x, y0 + 14), title, 12, _SOFT)
    if not scene.said.strip() or scene.said_tick is None:
        silent = "stays silent" if scene.said_tick is not None else "has not been asked yet"
        _text(draw, ((x0 + x1) / 2, (y0 + y1) / 2 + 6), silent, 18, _FAINT, "mm")
        return
    said, missing = drawable(scene.said)
    lacks = "1 character is" if missing == 1 else f"{missing} characters are"
    note = f'{lacks} not in this font: see render_mode="ansi"' if missing else ""
    space = y1 - y0 - 50 - (16 if note else 0)
    for size in (20, 17, 15, 13):
        most = int(space / round(size * 1.35))
        lines = wrap(said, size, width, most + 1)
        if len(lines) <= most:
            break
    _block(draw, (x, y0 + 36), wrap(said, size, width, most), size, _INK)
    if note:
        _text(draw, (x, y1 - 24), note, 12, _SOFT)


def _draw_card(image: Image.Image, draw: ImageDraw.ImageDraw, scene: Scene) -> None:
    """The four marks as dots, each with what the resident had to say about it."""
    x0, y0, x1, _ = _CARD
    reasons = scene.reasons()
    _text(draw, (x0 + 18, y0 + 14), drawable(scene.notice or "The resident's rating", 90)[0], 12,
          _BAD if scene.notice else _SOFT)
    for i, name in enumerate(DIMENSIONS):
        middle = y0 + 51 + i * 35
        mark = -1 if scene.rating is None else scene.rating.marks >> i & 1
        image.paste(_dot(mark), (x0 + 18, middle - 10))
        _text(draw, (x0 + 46, middle), name, 14, _INK if mark >= 0 else _SOFT, "lm")
        lines = wrap(drawable(reasons.get(name, ""), 300)[0], 12, x1 - x0 - 46 - 112 - 14, 2)
        _block(draw, (x0 + 46 + 112, middle - len(lines) * 8 + 1), lines, 12, _SOFT, 1.3)


_STROKES: dict[int, tuple[tuple[float, ...], ...]] = {
    0: ((6.8, 6.8, 13.2, 13.2), (13.2, 6.8, 6.8, 13.2)), 1: ((5.8, 10.2, 8.8, 13.2, 14.4, 7),),
}


@lru_cache(maxsize=3)
def _dot(mark: int) -> Image.Image:
    """A green dot with a tick, a red one with a cross, or a grey one."""
    k = 6
    large = Image.new("RGB", (20 * k, 20 * k), _WHITE)
    draw = ImageDraw.Draw(large)
    draw.ellipse((k, k, 19 * k, 19 * k), fill=("#e4dfe8" if mark < 0 else _GOOD if mark else _BAD))
    for stroke in _STROKES.get(mark, ()):
        draw.line([v * k for v in stroke], fill=_WHITE, width=2 * k, joint="curve")
    return large.resize((20, 20), Image.Resampling.LANCZOS)
