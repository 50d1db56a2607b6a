"""Pictures of a moment: as text, on the terminal, or as an image of the floor plan.

A `Scene` is all that a picture needs. Text for a terminal is drawn here, images in `propersim_env.rendering.picture`.
Whatever the agents say is shown safely: nothing in it can steer the terminal or break the frame.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size

from propersim_env.clock import TICKS_PER_DAY, moment_text, time_text
from propersim_env.messages import DIMENSIONS, Activity, Rating
from propersim_env.protocols import UserBatch
from propersim_env.setting import Room, Setting

if TYPE_CHECKING:
    from propersim_env.machine import Machine

RENDER_MODES = ("ansi", "human", "rgb_array")
REACTION_WORDS = {"accept": "accepted", "dismiss": "dismissed", "ignore": "ignored"}
_NO_PILLOW = 'rendering "rgb_array" needs Pillow: pip install "propersim[plot]"'
_ENDS = {"horizon": "The episode is over.", "dismissed": "The assistant was dismissed for good."}


@dataclass(frozen=True)
class Scene:
    """A moment in one home.

    Attributes:
        setting: Where the rooms come from; None in an episode without a persona.
        persona: The resident's name.
        tick: Now, an absolute tick.
        activity: What the resident does now, and where.
        said: What the assistant said last, ``""`` for silence.
        said_tick: When that was decided; None before the first decision.
        rating: How it was rated; None where it was not.
        failure: Kind of failure where the rating failed.
        ended: ``"horizon"``, ``"dismissed"``, or ``""`` while the episode goes on.
    """

    setting: Setting | None
    persona: str
    tick: int
    activity: Activity
    said: str = ""
    said_tick: int | None = None
    rating: Rating | None = None
    failure: str = ""
    ended: str = ""

    @staticmethod
    def of(machine: Machine, i: int, users: UserBatch | None = None) -> Scene:
        """What is to be seen in home i.

        Args:
            machine: The machine of the home.
            i: Its index.
            users: Who plays the resident; a picture asks nothing of them today.
        """
        persona = machine.personas[i]
        decided = not machine.answered or int(machine.cycles[i]) > 0
        ended = "dismissed" if machine.terminated[i] else "" if machine.active[i] else "horizon"
        return Scene(
            persona.setting if persona else None, persona.name if persona else "The resident", int(machine.tick[i]),
            machine.activities[i], machine.said[i], int(machine.decided_tick[i]) if decided else None,
            machine.last_rating(i), machine.failures.get(i, ""), ended,
        )

    @property
    def room(self) -> Room | None:
        """The room that the resident is in; None where the setting has no such room."""
        rooms = self.setting.rooms if self.setting else ()
        return next((room for room in rooms if room.id == self.activity.room), None)

    @property
    def spot(self) -> tuple[float, float] | None:
        """Where the resident is on the floor plan, in metres: at the object, else in the middle of the room."""
        room = self.room
        if room is None:
            return None
        if self.activity.object in room.objects:
            return room.objects[self.activity.object][1]
        x, y, width, height = room.plan
        return x + width / 2, y + height / 2

    @property
    def object_name(self) -> str:
        """The object at hand in words, ``""`` for none."""
        known = self.room.objects if self.room else {}
        return known[self.activity.object][0] if self.activity.object in known else clean(self.activity.object, 30)

    @property
    def place(self) -> str:
        """Room and object in words, e.g. ``"Kitchen · stove"``."""
        room = self.room.name if self.room else clean(self.activity.room, 30)
        return " · ".join(part for part in (room, self.object_name) if part)

    @property
    def doing(self) -> str:
        """What the resident does, as a sentence of any length."""
        text = self.activity.text.strip()
        also = f" Also at home: {self.activity.company}." if self.activity.company else ""
        return (f"{self.persona} is {text}." if text else f"{self.persona} is not seen doing anything.") + also

    @property
    def weekday_and_date(self) -> str:
        """For example ``"Thursday 13 February 2025"``."""
        return moment_text(self.tick).rpartition(",")[0]

    @property
    def clock(self) -> str:
        """For example ``"07:05"``."""
        return time_text(self.tick)

    @property
    def day(self) -> int:
        """Day of the episode, from 0."""
        return self.tick // TICKS_PER_DAY

    @property
    def verdict(self) -> str:
        """The rating in a few words."""
        if self.rating is not None:
            reaction = REACTION_WORDS.get(self.rating.reaction, "")
            return f"{self.rating.total} of 4" + (f", {reaction}" if reaction else "")
        if self.failure:
            return "rating failed"
        return "not rated yet" if self.said_tick is not None else "nothing said yet"

    @property
    def notice(self) -> str:
        """What stands outside the ordinary: the end of the episode, or a failure; else ``""``."""
        failed = f"No rating: {clean(self.failure, 60)}." if self.failure else ""
        return " ".join(part for part in (failed, _ENDS.get(self.ended, "")) if part)

    def reasons(self) -> dict[str, str]:
        """What the resident said about each dimension, as far as there is something to say."""
        given = self.rating.reasons if self.rating else {}
        return {name: given[name] for name in DIMENSIONS if given.get(name)}


def render(scene: Scene, mode: str) -> str | NDArray[np.uint8] | None:
    """Draw a scene.

    Args:
        scene: What to draw.
        mode: ``"ansi"`` gives a text panel, ``"human"`` prints it, ``"rgb_array"`` gives an image of shape
            ``(720, 960, 3)``.

    Raises:
        ImportError: ``"rgb_array"`` without Pillow; the message says how to get it.
        ValueError: Unknown mode.

    Example:
        >>> scene = Scene(None, "Ada", 170, Activity("making tea", ""), "Good morning!", 169)
        >>> print(render(scene, "ansi").splitlines()[1].strip("│ "))
        07:05  Ada is making tea.
    """
    if mode == "ansi":
        return panel(scene)
    if mode == "human":
        _print(panel(scene))
        return None
    if mode == "rgb_array":
        try:
            import PIL  # noqa: F401
        except ImportError as problem:
            raise ImportError(_NO_PILLOW) from problem
        from propersim_env.rendering.picture import picture

        return picture(scene)
    raise ValueError(f"render mode {mode!r}: choose one of {', '.join(map(repr, RENDER_MODES))}")


def clean(text: str, limit: int) -> str:
    """One line of at most `limit` characters that is safe to show.

    White space is joined, invisible characters are dropped, control characters, lone surrogates and unassigned ones become
    ``�``, and of piled-up accents two are kept.
    """
    kept: list[str] = []
    accents = 0
    for c in text[: 8 * limit]:
        accents = accents + 1 if unicodedata.combining(c) else 0
        if c.isspace():
            if kept and kept[-1] != " ":
                kept.append(" ")
        elif unicodedata.category(c) != "Cf" and not "\ufe00" <= c <= "\ufe0f" and accents <= 2:
            kept.append(c if c.isprintable() else "�")
    line = "".join(kept).strip()
    return line if len(line) <= limit and len(text) <= 8 * limit else line[: limit - 1].rstrip() + "…"


# --- the text panel --------------------------------------------------------------------------------------------------

_INNER = 76
_PLAN_COLUMNS, _PLAN_ROWS = 55, 13
_SIDE = _INNER - _PLAN_COLUMNS - 2
# Light lines by the directions they leave a cell in: 1 up, 2 right, 4 down, 8 left.
_LINES = " ╵╶└╷│┌├╴┘─┴┐┤┬┼"
_PLAIN = str.maketrans({"─": "-", "│": "|", "●": "@", "·": ".", "✓": "+", "✗": "-", "“": '"', "”": '"', "…": "~",
                        **dict.fromkeys("└┌├┘┴┐┤┬┼╵╶╷╴", "+")})


def panel(scene: Scene) -> str:
    """The scene as 80 columns of plain text in a frame, without colours or control sequences."""
    lines = [_rule("┌", "┐", scene.weekday_and_date, f"day {scene.day + 1}")]
    lines += _rows(_hanging(f"{scene.clock}  ", scene.doing, 2))
    if scene.setting is not None:
        lines.append(_rule("├", "┤"))
        side = [*_place_lines(scene), "", *_marks_lines(scene)]
        plan = floor_plan(scene)
        side += [""] * (len(plan) - len(side))
        lines += _rows(f"{row}  {beside}" for row, beside in zip(plan, side, strict=True))
    else:
        lines += _rows([f"       {scene.verdict}"])
    lines.append(_rule("├", "┤"))
    lines += _rows(_words(scene))
    lines.append(_rule("└", "┘"))
    return "\n".join(lines)


def _words(scene: Scene) -> list[str]:
    """What was said, and what the resident had to say about it."""
    if scene.said_tick is None:
        lines = ["The assistant has not been asked yet."]
    elif scene.said.strip():
        lines = _hanging(f"{time_text(scene.said_tick)}  ", f"“{clean(scene.said, 600)}”", 4)
    else:
        lines = [f"{time_text(scene.said_tick)}  (the assistant stays silent)"]
    for name, reason in scene.reasons().items():
        lines += _hanging(f"  {_mark(scene.rating, name)} {name:<14}", clean(reason, 300), 2)
    if scene.notice:
        lines += _hanging("", scene.notice, 2)
    return lines


def _place_lines(scene: Scene) -> list[str]:
    return [f"● {line}" if i == 0 else f"  {line}" for i, line in enumerate(wrap(scene.place or "nowhere", _SIDE - 2, 3))]


def _marks_lines(scene: Scene) -> list[str]:
    lines = wrap(scene.verdict, _SIDE, 2)
    return lines + [f"{_mark(scene.rating, name)} {name}" for name in DIMENSIONS] if scene.rating else lines


def _mark(rating: Rating | None, name: str) -> str:
    return "✓" if rating and rating.as_dict()[name] else "✗"


def _rule(left: str, right: str, title: str = "", note: str = "") -> str:
    title, note = (f" {text} " if text else "" for text in (title, note))
    return f"{left}─{title}{'─' * (_INNER - len(title) - len(note))}{note}─{right}"


def _rows(lines: Iterable[str]) -> list[str]:
    return [f"│ {set_cell_size(line, _INNER)} │" for line in lines]


def _hanging(lead: str, text: str, most: int) -> list[str]:
    """A text with a lead in front; its further lines are indented as far."""
    lines = wrap(clean(text, 1000), _INNER - len(lead), most)
    return [(lead if i == 0 else " " * len(lead)) + line for i, line in enumerate(lines)]


def wrap(text: str, width: int, most: int) -> list[str]:
    """Break a cleaned text into at most `most` lines of `width` terminal columns; ``…`` stands for what is left off."""
    lines = [""]
    for word in text.split(" "):
        while word:
            gap = " " if lines[-1] else ""
            if cell_len(lines[-1] + gap + word) <= width:
                lines[-1] += gap + word
                break
            if lines[-1] and (cell_len(word) <= width or cell_len(lines[-1]) > width // 2):
                lines.append("")
                continue
            fits = _fitting(word, width - cell_len(lines[-1] + gap))
            lines[-1] += gap + word[:fits]
            word = word[fits:]
            lines.append("")
        if len(lines) > most:
            break
    if len(lines) > most:
        last = lines[most - 1]
        lines = [*lines[: most - 1], last[: _fitting(last, width - 1)].rstrip() + "…"]
    return lines


def _fitting(word: str, width: int) -> int:
    """How many characters of a word go into so many columns; at least one, so that wrapping gets on."""
    columns = 0
    for i, c in enumerate(word):
        columns += cell_len(c)
        if columns > width:
            return max(1, i)
    return len(word)


def floor_plan(scene: Scene) -> list[str]:
    """The rooms in lines, their objects as dots, and the resident as ``●`` with the object at hand."""
    assert scene.setting is not None
    rooms = scene.setting.rooms
    right = max((r.plan[0] + r.plan[2] for r in rooms), default=1.0)
    bottom = max((r.plan[1] + r.plan[3] for r in rooms), default=1.0)

    def cell(x: float, y: float) -> tuple[int, int]:
        return round(x / right * (_PLAN_COLUMNS - 1)), round(y / bottom * (_PLAN_ROWS - 1))

    walls = [[0] * _PLAN_COLUMNS for _ in range(_PLAN_ROWS)]
    corners = {room.id: (*cell(*room.plan[:2]), *cell(room.plan[0] + room.plan[2], room.plan[1] + room.plan[3]))
               for room in rooms}
    for box in corners.values():
        _draw_box(walls, box)
    grid = [[_LINES[bits] for bits in row] for row in walls]
    for room in rooms:
        box = corners[room.id]
        for _, at in room.objects.values():
            column, row = _inside(cell(*at), box)
            grid[row][column] = "·"
        taken: set[tuple[int, int]] = set()
        if room is scene.room and scene.spot is not None:
            column, row = _inside(cell(*scene.spot), box)
            taken = {(x, row) for x in _write_tag(grid, box, column, row, scene.object_name)}
        _write_name(grid, box, room.name, taken)
    return ["".join(row) for row in grid]


Box = tuple[int, int, int, int]


def _inside(at: tuple[int, int], box: Box) -> tuple[int, int]:
    x0, y0, x1, y1 = box
    return max(x0, min(max(at[0], x0 + 1), x1 - 1)), max(y0, min(max(at[1], y0 + 1), y1 - 1))


def _draw_box(walls: list[list[int]], box: Box) -> None:
    x0, y0, x1, y1 = box
    for x in range(x0, x1):
        for y in (y0, y1):
            walls[y][x] |= 2
            walls[y][x + 1] |= 8
    for y in range(y0, y1):
        for x in (x0, x1):
            walls[y][x] |= 4
            walls[y + 1][x] |= 1


def _write_tag(grid: list[list[str]], box: Box, column: int, row: int, name: str) -> range:
    """Mark the resident, with a name on the side that has room; returns the columns taken."""
    grid[row][column] = "●"
    if name and column + len(name) + 2 < box[2]:
        grid[row][column + 1 : column + 3 + len(name)] = f" {name} "
        return range(column, column + len(name) + 3)
    if name and column - len(name) - 2 > box[0]:
        grid[row][column - len(name) - 2 : column] = f" {name} "
        return range(column - len(name) - 2, column + 2)
    return range(column - 1, column + 2)


def _write_name(grid: list[list[str]], box: Box, name: str, taken: set[tuple[int, int]]) -> None:
    """Write the room's name into its first row that has space left, right or in the middle; else leave it off."""
    x0, y0, x1, y1 = box
    name = name[: max(0, x1 - x0 - 1)]
    space = x1 - x0 - 1 - len(name)
    for row in range(y0 + 1, y1):
        for start in (x0 + 1 + min(1, space), x1 - len(name) - min(1, space), x0 + 1 + space // 2):
            if not any((x, row) in taken for x in range(start, start + len(name))):
                grid[row][start : start + len(name)] = name
                return


def _print(text: str) -> None:
    """Print, in plain characters where the terminal's encoding has no others."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    print(text, flush=True)
