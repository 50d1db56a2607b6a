"""Summaries of what was remembered: of the hour that is running, of hours that are over, and of four-hour blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from propersim_env.clock import TICKS_PER_DAY, TICKS_PER_HOUR, date_of, span_text, time_text

from .memory import Level, Record

BLOCK_HOURS = 4
SHOWN = 3
"""Activities and texts that a summary by rule names at most."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What happened in ticks ``[start, end)``, in words."""

    start: int
    end: int
    text: str


Summarise = Callable[[Sequence[Record], int, int, Level], str]
"""Puts records of ticks ``[start, end)`` into words, showing what the level shows. A language model may be put behind it."""


def by_rule(records: Sequence[Record], start: int, end: int, level: Level) -> str:
    """Longest activities, and how what was said fared: no language model needed."""
    lengths: dict[str, int] = {}
    for record, following in zip(records, [*(r.tick for r in records[1:]), end], strict=True):
        lengths[record.action] = lengths.get(record.action, 0) + following - record.tick
    longest = sorted(lengths, key=lambda a: -lengths[a])[:SHOWN]
    parts = [", ".join(f"{action} ({span_text(lengths[action])})" for action in longest) + "."]
    said = [r for r in records if r.said]
    if said and level != "A":
        parts.append(f"You spoke {len(said)} times." if len(said) > 1 else "You spoke once.")
        rated = [r for r in said if r.rating is not None]
        if level in ("AS", "ASCR", "ASC") and (level == "AS" or not rated):
            parts += [f'"{r.said}"' for r in said[-SHOWN:]]
        elif rated:
            parts.append(f"Mean rating {sum(r.rating or 0 for r in rated) / len(rated):.1f} of 4.")
            extremes = sorted(rated, key=lambda r: (-abs((r.rating or 0) - 2), -r.tick))[:SHOWN]
            parts += [_shown(r, level) for r in sorted(extremes, key=lambda r: r.tick)]
    return " ".join(parts)


def _shown(record: Record, level: Level) -> str:
    why = f": {record.reason}" if record.reason and level == "ASCR" else ""
    return f'{record.rating}/4 at {time_text(record.tick)} while {record.action}: "{record.said}"{why}'


class Summaries:
    """Keeps the records of the running hour, and summaries of the hours and four-hour blocks before it.

    Hours are folded into a block when the block is over; blocks are kept for good.

    Args:
        summarise: Puts the records of past hours and blocks into words; by default by rule.
        level: What is shown.
    """

    def __init__(self, summarise: Summarise = by_rule, level: Level = "ASCR") -> None:
        self.summarise, self.level = summarise, level
        self.running: list[Record] = []
        self.hours: list[Summary] = []
        self.blocks: list[Summary] = []
        self._block: list[Record] = []
        self._last_block: list[Record] = []

    def add(self, record: Record) -> None:
        """Take in a record; what is over by its time is summarised first."""
        self.advance(record.tick)
        self.running.append(record)

    def advance(self, now: int) -> None:
        """Close the hour and the block that are over at an absolute tick."""
        if not self.running or now // TICKS_PER_HOUR == self.running[0].tick // TICKS_PER_HOUR:
            return
        start = self.running[0].tick // TICKS_PER_HOUR * TICKS_PER_HOUR
        self.hours.append(self._summary(self.running, start, start + TICKS_PER_HOUR))
        self._block += self.running
        self.running = []
        width = BLOCK_HOURS * TICKS_PER_HOUR
        begin = self._block[0].tick // width * width
        if now >= begin + width:
            self.blocks.append(self._summary(self._block, begin, begin + width))
            self._last_block, self._block, self.hours = self._block, [], []

    def _summary(self, records: Sequence[Record], start: int, end: int) -> Summary:
        return Summary(start, end, self.summarise(records, start, end, self.level))

    def revise(self, change: Callable[[Record], Record]) -> None:
        """Change records, and put the hours of this block and the last block into words anew; older blocks stay."""
        self.running, self._block, self._last_block = (
            [change(record) for record in records] for records in (self.running, self._block, self._last_block))
        if self.blocks:
            last = self.blocks[-1]
            self.blocks[-1] = self._summary(self._last_block, last.start, last.end)
        self.hours = [self._summary([r for r in self._block if h.start <= r.tick < h.end], h.start, h.end) for h in self.hours]

    def lines(self) -> list[str]:
        """Every summary in the order of time: past blocks, past hours of this block, the running hour."""
        return self.block_lines() + self.hour_lines() + self.running_lines()

    def block_lines(self, most: int | None = None) -> list[str]:
        """Blocks that are over; the last so many only, if given."""
        return [_line(s) for s in (self.blocks if most is None else self.blocks[len(self.blocks) - most :])]

    def hour_lines(self) -> list[str]:
        """Hours of this block that are over."""
        return [_line(s) for s in self.hours]

    def running_lines(self) -> list[str]:
        """The running hour, if anything is known of it; always by rule, as it changes all the time."""
        if not self.running:
            return []
        start, end = self.running[0].tick // TICKS_PER_HOUR * TICKS_PER_HOUR, self.running[-1].tick + 1
        return [_line(Summary(start, end, by_rule(self.running, start, end, self.level)))]


def _line(summary: Summary) -> str:
    day = date_of(summary.start // TICKS_PER_DAY)
    return f"{day:%A} {time_text(summary.start)}-{time_text(summary.end)}: {summary.text}"
