"""When: clock times, parts of the day and moments of the person's own day, read from words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from propersim_env.clock import parse_time

from .clock_words import in_figures
from .words import lexicon, pattern

_CLOCK = r"(?:(?P<h{0}>\d{{1,2}})(?:[:.](?P<m{0}>\d\d))?\s?(?P<p{0}>am|pm|o'clock)?|(?P<w{0}>noon|midnight))(?![\w%])"
_RANGE = re.compile(rf"(?P<lead>between |from )?{_CLOCK.format(1)}\s?(?:-|to|and|until|till)\s?{_CLOCK.format(2)}")
_AMOUNT = re.compile(r"\s?(?:hours?|minutes?|mins?|times|recomm|sugg|messages|a day|per day|days|%)")
_RELATIONS = (r"(?P<rel>before|after|once|during|at|over|following|prior to|ahead of|on|when(?:ever)? (?:i'm|i am|i)|"
              r"while(?: i'm)?)")
_BEFORE_A_TIME = ("around", "at", "after", "before", "past", "by", "until", "from")
_LINKS = r"(?:and|or|but|before|after|during|at|between|from|until) "
_SINGLE = re.compile(
    r"(?P<rel>(?:shortly |right |just |soon |any ?time )?(?:after|past|from)|"
    r"before|until|till|by|around|about|at|circa|towards?|near)?"
    rf"\s*(?P<tilde>~)?(?<![\w.:/]){_CLOCK.format(1)}(?P<on> onwards?| or later| on(?=[,.;]|$))?"
)

_FIRST = re.compile(r"first (?:(?P<half>half(?:[- ]an)?[- ])?hour|(?P<minutes>\d+) min\w*|"
                    r"(?P<words>five|ten|fifteen|twenty|thirty|forty) minutes) $")
_AHEAD = re.compile(r"(?:(?P<half>half an hour|half-hour)|(?P<hours>an|one|two|three|a couple of|[1-4]) hours?|"
                    r"(?P<minutes>\d+) min\w*) $")
_HALF_OF_DAY = re.compile(r"(?P<am>morning|breakfast|sunrise|dawn)|"
                          r"(?P<pm>afternoon|evening|night|dinner|supper|tonight|sunset|dusk)")


@dataclass(frozen=True, slots=True)
class Day:
    """A person's usual day in minutes after midnight, against which "before bed" is read.

    `guessed` names the events whose time nobody stated: their windows are wider.
    """

    wake: int
    sleep: int
    breakfast: int
    lunch: int
    dinner: int
    work_end: int
    guessed: frozenset[str] = frozenset()

    def anchor(self, event: str) -> int:
        """Minute of the day of an event of the lexicon."""
        return {"bed": self.sleep, "waking": self.wake, "breakfast": self.breakfast, "lunch": self.lunch,
                "dinner": self.dinner, "work_end": self.work_end, "routine": self.wake}[event]


USUAL_DAY = Day(435, 1395, 475, 765, 1125, 1020)
"""A day against which a persona's own times are read, before they are known."""


def clock_text(minute: int) -> str:
    """Minutes after midnight as HH:MM."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


@dataclass(frozen=True, slots=True)
class Span:
    """Minutes ``[start, end]`` of a day that words describe.

    Attributes:
        label: The words.
        kind: ``clock``, ``daypart`` or ``event``.
        at: Where in the text the words begin.
        days: ``all``, ``weekdays`` or ``weekend``.
    """

    start: int
    end: int
    label: str
    kind: str
    at: int
    days: str = "all"

    def holds(self, minute: int, weekend: bool = False) -> bool:
        """Whether a minute of such a day lies in it."""
        return self.start <= minute <= self.end and self.days in ("all", "weekend" if weekend else "weekdays")

    def overlaps(self, other: Span) -> bool:
        """Whether the two share more than a border."""
        return {self.days, other.days} != {"weekdays", "weekend"} and self.start < other.end and other.start < self.end


def _minute(match: re.Match[str], n: int, half: str = "") -> int | None:
    if match[f"w{n}"]:
        return 720 if match[f"w{n}"] == "noon" else 1440
    hour, minute = int(match[f"h{n}"]), int(match[f"m{n}"] or 0)
    if hour > 24 or minute > 59:
        return None
    suffix = match[f"p{n}"] if match[f"p{n}"] in ("am", "pm") else half
    if suffix == "am":
        hour = 0 if hour == 12 else hour
    elif suffix == "pm":
        hour += 12 if hour < 12 else 0
    return min(hour * 60 + minute, 1440)


def _guess_half(hour: int, text: str, at: int) -> str:
    """Morning or afternoon, for "around 8" without either: by the nearest part of the day in the sentence, else by use."""
    near = min(((abs(m.start() - at), m.lastgroup or "") for m in _HALF_OF_DAY.finditer(text)), default=(99, ""))
    if near[0] < 40 and hour <= 12:
        return near[1]
    return "pm" if 1 <= hour <= 5 else ""


def _explicit(text: str, at: int, match: re.Match[str], n: int) -> bool:
    """Whether a bare number is a time: it has am/pm, minutes, or stands after a word of time."""
    return bool(match[f"p{n}"] or match[f"m{n}"] or match[f"w{n}"])


def _to_24(minute: int | None, match: re.Match[str], n: int, text: str) -> int | None:
    if minute is None or match[f"w{n}"] or match[f"p{n}"] in ("am", "pm") or minute >= 13 * 60:
        return minute
    half = _guess_half(minute // 60, text, match.start())
    return minute + 720 if half == "pm" and minute < 720 else minute


def _clock_spans(text: str, day: Day) -> Iterator[tuple[Span, int]]:
    """Spans given by the clock, and where their words end."""
    rules, taken, latest = lexicon()["clock"], list[tuple[int, int]](), 0
    for match in _RANGE.finditer(text):
        listed = re.search(r"\dm?\s?and\s?\d|[ap]m and ", match[0]) and not (match["lead"] or "").startswith("between")
        if listed or not (match["lead"] or _explicit(text, 0, match, 1) or _explicit(text, 0, match, 2)):
            continue
        if _AMOUNT.match(text[match.end():]):
            continue
        late = match["p2"] if match["p2"] in ("am", "pm") else ""
        end = _to_24(_minute(match, 2), match, 2, text)
        start = _minute(match, 1, "" if match["p1"] else late)
        start = _to_24(start, match, 1, text) if not late else start
        if start is None or end is None:
            continue
        if start > end and start >= 720 and not match["p1"]:
            if end + 720 > start and not match["p2"] and not match["w2"] and end + 720 <= 1440:
                end += 720  # "from four to seven"
            else:
                start -= 720
        end = 1440 if end <= start and end <= 300 else end
        end = end + 720 if end <= start < end + 720 <= 1440 and not match["p2"] else end  # "nine to six"
        start, end = _in_order(start, end, latest, match)
        if end > start:
            latest = start
            taken.append(match.span())
            yield Span(start, end, match[0].strip(), "clock", match.start()), match.end()
    for match in _SINGLE.finditer(text):
        relation = (match["rel"] or "").split()[-1:] or [""]
        word = relation[0]
        if any(a < match.end() and match.start() < b for a, b in taken):
            continue
        strong = _explicit(text, 0, match, 1) and match["w1"] is None
        if not strong and not (match["w1"] and word) and word not in _BEFORE_A_TIME:
            continue
        after = text[match.end(1 if match["h1"] is None else "h1"):]
        if not strong and (_AMOUNT.match(after) or re.match(r"\s?to \d", after)):
            continue
        minute = _to_24(_minute(match, 1), match, 1, text)
        if minute is None:
            continue
        open_end = bool(match["on"]) or (match["rel"] or "").startswith("any")
        yield Span(*_around(minute, word, open_end, rules, day), match[0].strip(), "clock", match.start()), match.end()


def _in_order(start: int, end: int, latest: int, match: re.Match[str]) -> tuple[int, int]:
    """A range without am or pm that would come before the range said before it is half a day later."""
    bare = match["p1"] not in ("am", "pm") and match["p2"] not in ("am", "pm") and not match["w1"] and not match["w2"]
    if bare and start < latest and latest < start + 720 and end + 720 <= 1440:
        return start + 720, end + 720
    return start, end


def _around(minute: int, word: str, onwards: bool, rules: dict[str, int], day: Day) -> tuple[int, int]:
    if onwards:
        return minute, max(day.sleep, min(minute + 60, 1440))
    if word in ("after", "past", "from"):
        ends = [parse_time(str(rules["morning_end"])), parse_time(str(rules["afternoon_end"]))]
        end = next((e for e in ends if minute < e - 30), max(day.sleep, min(minute + 60, 1440)))
        return minute, end
    if word in ("before", "until", "till"):
        return max(day.wake if minute > day.wake else 0, minute - 240), minute
    if word == "by":
        return max(0, minute - int(rules["before_span"])), minute
    return max(0, minute - int(rules["around_before"])), min(1440, minute + int(rules["around_after"]))


def _dayparts(text: str) -> Iterator[tuple[Span, int]]:
    table = lexicon()["dayparts"]
    masked = pattern(table["not"]).sub(lambda m: "_" * len(m[0]), text)
    for name, expression in table["patterns"].items():
        start, end = table["modified"].get(name) or table["parts"][name]
        for match in pattern(expression).finditer(masked):
            yield Span(parse_time(start), parse_time(end), match[0], "daypart", match.start()), match.end()
        masked = pattern(expression).sub(lambda m: "_" * len(m[0]), masked)


def _window(table: dict[str, Any], name: str, place: str, day: Day) -> tuple[int, int]:
    low, high = table["windows"][name][place]
    wider = table["guessed_wider"] if name in day.guessed else 0
    return low - wider, high + wider


def _events(text: str, day: Day) -> Iterator[tuple[Span, int]]:
    table = lexicon()["events"]
    for name, expression in table["patterns"].items():
        leading = re.compile(rf"(?<!\w){_RELATIONS} (?:(?!{_LINKS})\w+ ){{0,3}}?(?:{expression})(?!\w)")
        for match in leading.finditer(text):
            relation = match["rel"].split()[0]
            place = ("before" if relation in ("before", "prior", "ahead") else
                     "after" if relation in ("after", "once", "following") else "during")
            if name == "work_end" and place == "before":
                continue
            low, high = _window(table, name, place, day)
            anchor = day.anchor(name)
            start, end = max(0, anchor + low), min(1440, anchor + high)
            ahead = _AHEAD.search(text[: match.start()]) if place == "before" else None
            if ahead:  # "half an hour before dinner"
                minutes = 30 if ahead["half"] else 60 * _few(ahead["hours"]) if ahead["hours"] else int(ahead["minutes"])
                start, end = max(0, anchor - minutes - 15), max(15, anchor - minutes + 30)
            first = _FIRST.search(text[: match.start()]) if place == "after" else None
            if first:  # "the first half hour after waking"
                told = lexicon()["numbers"]["words"].get(first["words"], first["minutes"] or 60)
                start, end = anchor, anchor + (30 if first["half"] else int(told))
            if end > start:
                yield Span(start, end, match[0], "event", match.start()), match.end()
    for name in ("lunch", "routine"):
        alone = "lunch ?(?:break|hour|time)s?" if name == "lunch" else table["patterns"][name]
        for match in pattern(alone).finditer(text):
            low, high = _window(table, name, "during", day)
            start, end = max(0, day.anchor(name) + low), min(1440, day.anchor(name) + high)
            yield Span(start, end, match[0], "event", match.start()), match.end()


def _days(text: str, at: int) -> str:
    """The days that a time at this place of a text is for: those named in its own part of the sentence, or before all parts."""
    borders = [0, *(m.end() for m in re.finditer(r"[,;()]| (?:and|or) (?=on )", text)), len(text)]
    k = max(i for i, border in enumerate(borders[:-1]) if border <= at)
    own = _named_days(text[borders[k]: borders[k + 1]])
    if own or k == 0:
        return own or "all"
    first = text[: borders[1]]
    return _named_days(first) if not re.search(r"\d", first) and len(first.split()) <= 5 and _named_days(first) else "all"


def _few(words: str) -> int:
    """A small number of hours."""
    known = {"an": 1, "one": 1, "two": 2, "a couple of": 2, "three": 3}
    return known.get(words) or int(words)


def _named_days(text: str) -> str:
    weekend = bool(re.search(r"\bweekends?\b|\bsaturdays?\b|\bsundays?\b", text))
    week = bool(re.search(r"\bweekdays?\b|\bwork(?:ing)? ?days?\b|\bmondays?\b", text))
    return "weekend" if weekend and not week else "weekdays" if week and not weekend else ""


_MEALS = ("breakfast", "lunch", "dinner", "bed", "waking")


@lru_cache(maxsize=1)
def _mixed_range() -> re.Pattern[str]:
    events = lexicon()["events"]["patterns"]
    event = rf"(?:\w+ ){{0,4}}?(?:{'|'.join(events[name] for name in _MEALS)})"
    clock = r"(?:\d{1,2}(?::\d\d)?(?: ?(?:am|pm|o'clock))?|noon|midnight)"
    event += rf"|(?:the )?(?:{'|'.join(lexicon()['dayparts']['patterns'].values())})"
    return re.compile(rf"\b(?P<lead>between|from) (?P<a>{clock}|{event}) (?P<link>and|until|till|to) "
                      rf"(?:(?P<named>(?:\w+ ){{1,6}}?)at (?P<at>{clock})|(?P<b>{clock}|{event}))(?![\w:])")


def _by_clock(words: str, day: Day, after: bool) -> str:
    """The clock time at which what is named is over (`after`) or begins; other words as they are."""
    events = lexicon()["events"]
    for name in _MEALS:
        if re.search(events["patterns"][name], words):
            minute = day.anchor(name) + (events["windows"][name]["after"][0] if after else 0)
            return _in_half(minute)
    parts = lexicon()["dayparts"]
    for name, expression in parts["patterns"].items():
        if pattern(expression).search(words):
            start, end = map(parse_time, parts["modified"].get(name) or parts["parts"][name])
            return _in_half(start if after else (start + end) // 2)
    return words


def _in_half(minute: int) -> str:
    return f"{(minute // 60 + 11) % 12 + 1}:{minute % 60:02d} {'am' if minute % 1440 < 720 else 'pm'}"


def _mixed(text: str, day: Day) -> str:
    """Ranges between a clock time and a moment of the day, by the clock: "from 6 until supper at 7:30"."""
    def replaced(match: re.Match[str]) -> str:
        start, end = _by_clock(match["a"], day, True), match["at"] or _by_clock(match["b"], day, False)
        half = _by_clock(match["named"] or "", day, False)[-2:]
        if match["at"] and match["at"][-1].isdigit() and half in ("am", "pm"):
            end += f" {half}"  # supper at 7:30 is in the evening
        return match[0] if (start, end) == (match["a"], match["b"]) else f"{match['lead']} {start} {match['link']} {end}"

    return _mixed_range().sub(replaced, text)


def spans(text: str, day: Day) -> list[Span]:
    """All times that a piece of text names, in order.

    A part of the day that a clock time in the same piece makes more precise is left out ("in the evening around 8 pm" is
    the clock time).

    Example:
        >>> [s.label for s in spans("late morning, or between 4 and 5pm", Day(420, 1380, 460, 765, 1125, 1020))]
        ['late morning', 'between 4 and 5pm']
    """
    text = _mixed(in_figures(text.lower()), day)
    clock = [s for s, _ in _clock_spans(text, day)]
    parts = [s for s, _ in _dayparts(text)]
    events = [s for s, _ in _events(text, day)]
    parts = [p for p in parts if not any(c.overlaps(p) and abs(c.at - p.at) < 45 for c in clock)]
    events = [e for e in events if not any(c.overlaps(e) and abs(c.at - e.at) < 45 for c in clock)]
    parts = [p for p in parts if not any(e.at <= p.at < e.at + len(e.label) for e in events)]
    seen = dict[tuple[int, int], Span]()
    for span in sorted([*clock, *parts, *events], key=lambda s: s.at):
        seen.setdefault((span.start, span.end), replace(span, days=_days(text, span.at)))
    return list(seen.values())
