"""Rates that contradict each other: reported with the words and numbers of both, and settled the careful way.

Careful is the lower rate and the longer gap: a resident who is spoken to too seldom loses less than one who is pestered.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from .rates import Rate, read_rate
from .times import Day
from .words import sentences

_Stated = tuple[float, float, str]


def settle(rate: Rate, text: str, day: Day) -> list[str]:
    """Find contradictions in what was said about how often, and change `rate` to the careful reading.

    Args:
        rate: What the whole text came to.
        text: Tidy text.
        day: The person's usual day.

    Returns:
        A message for each contradiction.

    Example:
        >>> text, day = "Two a day. Or four a day.", Day(420, 1380, 460, 765, 1125, 1020)
        >>> settle(read_rate(text, day), text, day)
        ['"two a day" (2 a day) and "four a day" (4 a day) do not agree; taken: 2 a day']
    """
    said = [read_rate(sentence, day) for sentence in sentences(text)]
    waking = day.sleep - day.wake
    return [*_counts(rate, said), *_limits(rate, said), *_gaps(rate, said), *_room(rate, waking)]


def _numbers(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g}-{high:g}"


def _message(a: tuple[str, str], b: tuple[str, str], taken: str) -> str:
    return f'"{a[0]}" ({a[1]}) and "{b[0]}" ({b[1]}) do not agree; taken: {taken}'


def _stated(said: list[Rate], name: str) -> list[_Stated]:
    found = list[_Stated]()
    for rate in said:
        value = getattr(rate, name)
        if value is not None:
            low, high = value if isinstance(value, tuple) else (value, value)
            found.append((low, high, rate.words.get(name, "")))
    return found


def _apart(stated: list[_Stated]) -> Iterator[tuple[_Stated, _Stated]]:
    """Pairs of stated ranges without a common value, the lower one first."""
    for a, b in combinations(stated, 2):
        low, high = sorted((a, b))
        if low[1] < 0.95 * high[0]:
            yield low, high


def _counts(rate: Rate, said: list[Rate]) -> list[str]:
    found, stated = list[str](), _stated(said, "count")
    for low, high in _apart(stated):
        found.append(_message((low[2], f"{_numbers(*low[:2])} a day"), (high[2], f"{_numbers(*high[:2])} a day"),
                              f"{_numbers(*low[:2])} a day"))
    if found and rate.count:
        rate.count = min(stated)[:2]
    return found


def _limits(rate: Rate, said: list[Rate]) -> list[str]:
    found, most = list[str](), min(_stated(said, "most"), default=None)
    least, counts = max(_stated(said, "least"), default=None), _stated(said, "count")
    if most:
        rate.most, taken = most[0], f"at most {most[0]:g} a day"
        limit = (most[2], taken)
        found += [_message(limit, (c[2], f"{_numbers(*c[:2])} a day"), taken) for c in counts if c[0] > most[0]]
        if least and least[0] > most[0]:
            found.append(_message(limit, (least[2], f"at least {least[0]:g} a day"), taken))
    elif least:
        found += [_message((c[2], f"{_numbers(*c[:2])} a day"), (least[2], f"at least {least[0]:g} a day"),
                           f"{_numbers(*c[:2])} a day") for c in counts if c[1] < least[0]]
    return found


def _gaps(rate: Rate, said: list[Rate]) -> list[str]:
    found = list[str]()
    for name, words in (("interval", "one every {} minutes"), ("gap", "{} minutes apart")):
        stated = _stated(said, name)
        for low, high in _apart(stated):
            taken = words.format(_numbers(*high[:2]))
            found.append(_message((low[2], words.format(_numbers(*low[:2]))), (high[2], taken), taken))
            if name == "gap":
                rate.gap = max(rate.gap or 0.0, high[0])
            else:
                rate.interval = high[:2]
    return found


def _room(rate: Rate, waking: int) -> list[str]:
    """Counts that do not fit with an interval or a gap in the waking hours."""
    found = list[str]()
    if rate.interval and rate.gap and rate.gap > 1.05 * rate.interval[1]:
        taken = f"{rate.gap:g} minutes apart"
        interval = (rate.words.get("interval", ""), f"one every {_numbers(*rate.interval)} minutes")
        found.append(_message(interval, (rate.words.get("gap", ""), taken), taken))
        rate.interval = (rate.gap, rate.gap)
    words = (rate.words.get("count", ""), f"{_numbers(*rate.count)} a day") if rate.count else ("", "")
    if rate.count and rate.interval:
        by_interval = (waking / rate.interval[1], waking / rate.interval[0])
        if rate.count[1] < 0.5 * by_interval[0] or rate.count[0] > 1.5 * by_interval[1]:
            interval = (rate.words.get("interval", ""), f"one every {_numbers(*rate.interval)} minutes")
            fewer = rate.count if rate.count[1] < by_interval[0] else by_interval
            rate.count = (round(fewer[0], 1), round(fewer[1], 1))
            found.append(_message(words, interval, f"{_numbers(*rate.count)} a day"))
    if rate.count and rate.gap and rate.gap * rate.count[0] > waking:
        gap = (rate.words.get("gap", ""), f"{rate.gap:g} minutes apart")
        rate.count = (round(waking / rate.gap, 1),) * 2
        found.append(_message(words, gap, f"{_numbers(*rate.count)} a day, {rate.gap:g} minutes apart"))
    return found
