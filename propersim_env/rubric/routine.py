"""The usual day of a person: waking, sleeping, meals and work, read from statements; what nobody states is a default."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from propersim_env.clock import parse_time

from .clock_words import in_figures
from .times import USUAL_DAY, Day, clock_text, spans
from .words import lexicon, running

_TIME = re.compile(r"(?<![\w:.])(?:(?P<h>\d{1,2})(?:[:.](?P<m>\d\d))?\s?(?P<p>am|pm)?|(?P<noon>noon|midday)|"
                   r"(?P<midnight>midnight))(?![\w:]|\.\d)(?! ?(?:hours?|minutes?|times|words|years|a day|days|per ))")
_CLOCK = r"\d{1,2}(?:[:.]\d\d)?\s?(?:am|pm)?"
_RANGE = re.compile(rf"(?P<a>{_CLOCK}) ?(?:-|to|till|until) ?(?P<b>{_CLOCK})(?![\w:])|"
                    rf"starts? at (?P<c>{_CLOCK}).{{1,12}}?(?:stop|finish|end)s? at (?P<d>{_CLOCK})")
_LIMITS = {"wake": (210, 900), "bed": (1170, 1860), "breakfast": (240, 900), "lunch": (630, 930), "dinner": (990, 1350)}
"""Minutes after midnight between which a stated time is believed; a bed after midnight counts on beyond 1440."""


@dataclass(slots=True)
class UsualDay:
    """A usual day.

    Attributes:
        day: The minutes against which "before bed" is read.
        routine: The same as the persona format has it.
        marks: What was made of each statement.
        defaults: What nobody stated, with the value that was taken.
        adjusted: What was stated and cannot be kept, with what was taken instead.
    """

    day: Day
    routine: dict[str, Any] = field(default_factory=dict)
    marks: dict[str, list[str]] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)
    adjusted: dict[str, str] = field(default_factory=dict)


def read_routine(statements: list[str], own: list[str], known_wake: int | None = None) -> UsualDay:
    """The usual day.

    Args:
        statements: Tidy texts in which the day may be told beside other things.
        own: Statements of running text that are about the day; they are read first, and more closely.
        known_wake: Minute of getting up, where the day is known.
    """
    defaults, found = lexicon()["routine_defaults"], UsualDay(USUAL_DAY)
    said = {name: _of_own(name, own, found) for name in _LIMITS}
    texts = [s.lower() for s in statements]

    def stated(name: str, expression: str, low: int, high: int) -> int | None:
        value = said[name]
        return value if value is not None else _mentioned(texts, expression, low, high)

    def choose(name: str, value: int | None, default: int) -> int:
        if value is None:
            found.defaults[f"routine.{name}"] = f"not stated: {clock_text(default)}"
        return default if value is None else value

    wake = choose("wake", known_wake if known_wake is not None else stated("wake", defaults["waking_words"], 210, 780),
                  parse_time(defaults["wake"]))
    late = said["bed"] is None and any(re.search(defaults["late_words"], s) for s in texts)
    bed, latest = stated("bed", defaults["bed_words"], 1200, 1440), parse_time(defaults["latest_sleep"])
    if bed is not None and bed > latest:
        found.adjusted["routine.sleep"] = f"bed at {clock_text(bed % 1440)}, but a day ends at 24:00 here: 24:00 is taken"
    sleep = choose("sleep", latest if late else bed, min(wake + defaults["sleep_after_wake"], latest))
    sleep = max(min(sleep, latest), min(wake + 720, latest))
    lunch = choose("lunch", stated("lunch", "lunch", 600, 1000), max(parse_time(defaults["lunch"]), wake + 180))
    dinner = choose("dinner", stated("dinner", "dinner|supper", 960, 1320), max(parse_time(defaults["dinner"]), lunch + 240))
    breakfast = choose("breakfast", stated("breakfast", "breakfast", wake, lunch - 60),
                       wake + int(defaults["breakfast_after_wake"]))
    dinner = min(dinner, sleep - 60)
    work = _work(own, found)
    if not work:
        retired = bool(re.search(defaults["retired"], " ".join(texts)))
        work = [] if retired else [tuple(w) for w in defaults["work"] if parse_time(w[0]) >= breakfast + 20 or wake <= 480]
        if work:
            found.defaults["routine.work"] = "not stated: " + ", ".join(f"{a}-{b}" for a, b in work)
    end = parse_time(work[-1][1]) if work else dinner - 60
    guessed = frozenset(name for name in ("lunch", "dinner") if f"routine.{name}" in found.defaults)
    found.day = Day(wake, sleep, breakfast, lunch, dinner, end, guessed)
    found.routine = {
        "wake": clock_text(wake), "sleep": clock_text(sleep),
        "weekend_shift_minutes": min(defaults["weekend_shift_minutes"], 1440 - sleep),
        "breakfast": clock_text(breakfast), "lunch": clock_text(lunch), "dinner": clock_text(dinner),
        "work": [{"from": a, "to": b} for a, b in work], "work_days": list(defaults["work_days"]) if work else [],
        "consistency": defaults["consistency"],
    }
    return found


def _mentioned(texts: list[str], expression: str, low: int, high: int) -> int | None:
    """A clock time within a few words after an expression."""
    for text in texts:
        for match in re.finditer(rf"(?:{expression})(?! (?:and|until|till|to) )[^.;]{{0,40}}?", text):
            for span in spans(text[match.start(): match.end() + 45], USUAL_DAY):
                if span.kind != "clock":
                    continue
                middle = span.start + (35 if span.end - span.start == 85 else 0)
                middle = span.end if re.match("before|until|till|by", span.label) else middle
                middle = middle + 1440 if low >= 1200 and middle < 240 else middle
                if low <= middle <= high:
                    return middle
    return None


def _of_own(name: str, own: list[str], found: UsualDay) -> int | None:
    """The time of an event in statements about the day: the first one after its word, before the next event's word."""
    rules, (low, high) = running()["routine"], _LIMITS[name]
    others = "|".join(rules[n] for n in _LIMITS if n != name)
    for statement in own:
        text = in_figures(statement.lower())
        for match in re.finditer(rules[name], text):
            rest = re.split(rf"\b(?:{others})", text[match.end(): match.end() + 45])[0]
            time = _TIME.search(rest) or (_TIME.search(match[0]) if re.search(r"\d", match[0]) else None)
            minute = _placed(time, low, high) if time else None
            if minute is not None:
                what = "sleep" if name == "bed" else name
                found.marks.setdefault(statement, []).append(f"{what} {clock_text(minute % 1440)}")
                return minute
    return None


def _placed(time: re.Match[str], low: int, high: int) -> int | None:
    """The minute that a time means where it must lie between two; half a day or a day later if it was told loosely."""
    if time["noon"] or time["midnight"]:
        minute = 720 if time["noon"] else 1440
        return minute if low <= minute <= high else None
    hour, half = int(time["h"]), time["p"]
    if hour > 24:
        return None
    minute = (hour % 12 + (12 if half == "pm" else 0) if half else hour) * 60 + int(time["m"] or 0)
    steps = (0, 1440) if half or hour > 12 else (0, 720, 1440)
    return next((minute + step for step in steps if low <= minute + step <= high), None)


def _work(own: list[str], found: UsualDay) -> list[tuple[str, str]]:
    """Working hours of statements about the day."""
    blocks = list[tuple[str, str]]()
    for statement in own:
        text = in_figures(statement.lower())
        if not re.search(running()["routine"]["work"], text):
            continue
        for match in _RANGE.finditer(text):
            ends = [_TIME.search(part) for part in (match["a"] or match["c"], match["b"] or match["d"])]
            start = _placed(ends[0], 240, 1260) if ends[0] else None
            end = _placed(ends[1], (start or 0) + 30, 1440) if ends[1] and start is not None else None
            if start is not None and end is not None:
                blocks.append((clock_text(start), clock_text(end)))
                found.marks.setdefault(statement, []).append(f"work {clock_text(start)}-{clock_text(end)}")
    return sorted(set(blocks))[:3]
