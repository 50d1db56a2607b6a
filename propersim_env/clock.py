"""Simulated time: ticks of 150 s, 576 a day, counted from midnight of the first day."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

TICK_SECONDS = 150
TICKS_PER_HOUR = 24
TICKS_PER_DAY = 576
MINUTES_PER_TICK = 2.5
START_DATE = date(2025, 2, 13)
"""First day of the published system's runs (a Thursday)."""

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def parse_time(text: str) -> int:
    """``"07:30"`` to minutes after midnight (0..1440; ``"24:00"`` is the end of the day)."""
    hours, _, minutes = text.partition(":")
    value = int(hours) * 60 + int(minutes)
    if not 0 <= value <= 1440:
        raise ValueError(f"time of day {text!r} is outside 00:00-24:00")
    return value


def tick_of(text: str) -> int:
    """``"07:30"`` to the first tick of the day at or after it (0..576)."""
    return -(-parse_time(text) * 2 // 5)


def time_text(tick: int) -> str:
    """Clock time ``"HH:MM"`` of a tick (absolute or within a day), rounded down to the minute."""
    minutes = (tick % TICKS_PER_DAY) * 5 // 2
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def date_of(day: int, start: date = START_DATE) -> date:
    """Calendar date of a day counted from 0."""
    return start + timedelta(days=day)


def is_weekend(day: int, start: date = START_DATE) -> bool:
    """Whether that day is a Saturday or Sunday."""
    return date_of(day, start).weekday() >= 5


def applies(days: str, day: int, start: date = START_DATE) -> bool:
    """Whether a window marked ``"all"``, ``"weekdays"`` or ``"weekend"`` applies on that day."""
    return days == "all" or (days == "weekend") == is_weekend(day, start)


@lru_cache(maxsize=1 << 14)
def moment_text(tick: int, start: date = START_DATE) -> str:
    """``"Thursday 13 February 2025, 07:05"`` for an absolute tick."""
    day = date_of(tick // TICKS_PER_DAY, start)
    return f"{day:%A} {day.day} {day:%B %Y}, {time_text(tick)}"


def span_text(ticks: float) -> str:
    """A duration in words, e.g. ``"2 h 15 min"``."""
    minutes = round(ticks * MINUTES_PER_TICK)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
