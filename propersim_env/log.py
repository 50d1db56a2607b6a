"""The event log: one append-only JSON Lines file an episode, written before the next decision is asked for.

Lines, in order: ``begin`` (what this episode is), then for each day ``day`` (the user's diary), ``assistant`` (what the
assistant notes of itself), ``said`` (a text and its rating) and ``silence`` (a stretch of silent decisions at consecutive
ticks: one hexadecimal digit of marks each), with ``rated`` before a decision where other texts were rated without being heard;
at last ``end`` with the SHA-256 of everything before it. A silent decision appends one byte to the line of its stretch, so a
killed run has lost at most the unfinished tick.

Resuming is replaying: the run is stepped again, and what it writes is compared with the bytes that are already there until
they are used up. An edited file, or an assistant that is not deterministic, shows at the first byte that differs.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from propersim_env.clock import TICKS_PER_DAY, time_text
from propersim_env.messages import Rating

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FORMAT = 1
LOCK_SECONDS = 5.0
"""How long to wait for a process that is just ending to let go of a log."""
_HEX = b"0123456789abcdef"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False).encode


class LogError(ValueError):
    """A log that cannot be trusted: truncated, edited, or of another episode. The message names file and place."""


def encode(event: Mapping[str, Any]) -> bytes:
    """One event as a line of JSON."""
    return _encode(event).encode("utf-8", "surrogatepass")


def lock(file: int, seconds: float = 0.0) -> bool:
    """Take the exclusive lock of an open file, trying for some seconds; True where the system has no such locks."""
    if fcntl is None:
        return True
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)


class EpisodeLog:
    """Writes the log of one episode; where the file has content already, replays onto it.

    Args:
        path: The file. Its folder must exist.
        begin: What this episode is: the content of the ``begin`` event.

    Raises:
        LogError: The file holds another episode, or one that has already ended.
    """

    def __init__(self, path: Path, begin: Mapping[str, Any]) -> None:
        self.path = path
        self._position = 0
        self._digest = hashlib.sha256()
        self._next_silent = -1
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            if not lock(self._file, LOCK_SECONDS):
                raise LogError(f"{path}: another process is writing this log; wait for it, or stop it")
            self._written = path.read_bytes()
            self._write(encode({"event": "begin", "format": FORMAT, **begin}) + b"\n")
        except LogError:
            self.close()
            raise

    @property
    def replaying(self) -> bool:
        """Whether what is written now was already there."""
        return self._position < len(self._written)

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        if self._position < len(self._written):
            there = self._written[self._position : self._position + len(data)]
            if there != data[: len(there)]:
                raise LogError(self._difference(there, data))
            self._position += len(there)
            data = data[len(there) :]
        if data:
            while data:
                data = data[os.write(self._file, data) :]

    def _difference(self, there: bytes, data: bytes) -> str:
        offset = next(i for i, (a, b) in enumerate(zip(there, data, strict=False)) if a != b)
        line = self._written[: self._position + offset].count(b"\n") + 1
        return (
            f"{self.path}: line {line} is not what this run gives (found {there[offset : offset + 60]!r}, expected "
            f"{data[offset : offset + 60]!r}). The file was edited, or is of another version, configuration or of an "
            f"assistant that is not deterministic; delete it to run this episode anew"
        )

    def _line(self, event: Mapping[str, Any]) -> None:
        close = b'"}\n' if self._next_silent >= 0 else b""
        self._next_silent = -1
        self._write(close + encode(event) + b"\n")

    def day(self, day: int, diary: Mapping[str, Any]) -> None:
        """A new day begins."""
        self._line({"event": "day", "day": day, **diary})

    def notes(self, day: int, notes: Mapping[str, Any]) -> None:
        """What the assistant has to say of itself as this day begins; JSON values."""
        self._line({"event": "assistant", "day": day, **notes})

    def rated(self, tick: int, alternatives: Sequence[tuple[str, int]]) -> None:
        """Texts (``""``: silence) with their marks, 0..15, rated at this absolute tick without being heard."""
        self._line({"event": "rated", "tick": tick, "texts": [text for text, _ in alternatives],
                    "marks": "".join(f"{marks:x}" for _, marks in alternatives)})

    def silence(self, tick: int, marks: int) -> None:
        """The assistant stayed silent at this absolute tick; marks are 0..15."""
        if tick == self._next_silent:
            self._write(_HEX[marks : marks + 1])
        else:
            close = '"}\n' if self._next_silent >= 0 else ""
            self._write(f'{close}{{"event":"silence","tick":{tick},"marks":"{marks:x}'.encode())
        self._next_silent = tick + 1

    def said(self, tick: int, text: str, rating: Rating | None, failure: str = "") -> None:
        """The assistant said a text (or stayed silent and the rating failed) at this absolute tick."""
        event: dict[str, Any] = {"event": "said", "tick": tick, "text": text}
        if rating is None:
            event.update(marks=None, failure=failure)
        else:
            event.update(marks=f"{rating.marks:x}", rating=rating.total, reaction=rating.reaction,
                         reasons=dict(rating.reasons), terms=dict(rating.terms))
        self._line(event)

    def failure(self, tick: int, agent: str, kind: str, message: str) -> None:
        """An agent broke at this tick; the episode has no end."""
        self._line({"event": "failure", "tick": tick, "agent": agent, "kind": kind, "message": message})
        self.close()

    def end(self, reason: str, decisions: int) -> None:
        """The episode is complete."""
        if self._next_silent >= 0:
            self._next_silent = -1
            self._write(b'"}\n')
        digest = self._digest.hexdigest()
        self._write(encode({"event": "end", "reason": reason, "decisions": decisions, "sha256": digest}) + b"\n")
        if self._position < len(self._written):
            raise LogError(f"{self.path}: goes on after its end event: the file was edited; delete it to run this episode anew")
        self.close()

    def close(self) -> None:
        """Close the file; an episode that has not ended can be resumed."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of an assistant as the log has it; marks is None where the rating failed.

    `alternatives` are the texts (``""``: silence) with their marks that were rated at that moment without being heard.
    """

    tick: int
    text: str
    marks: int | None
    event: Mapping[str, Any] | None = None
    alternatives: tuple[tuple[str, int], ...] = ()

    @property
    def rating(self) -> int | None:
        """Total rating, 0..4, or None."""
        return None if self.marks is None else self.marks.bit_count()


@dataclass(frozen=True)
class Episode:
    """A parsed log. `complete` tells whether it has its ``end``; `torn` holds an unfinished last line."""

    path: Path
    begin: Mapping[str, Any]
    events: tuple[Mapping[str, Any], ...]
    end: Mapping[str, Any] | None
    torn: str = ""

    @property
    def complete(self) -> bool:
        """Whether the episode ran to its end."""
        return self.end is not None

    def days(self) -> Iterator[Mapping[str, Any]]:
        """The ``day`` events."""
        return (e for e in self.events if e["event"] == "day")

    def said(self) -> Iterator[Mapping[str, Any]]:
        """The ``said`` events."""
        return (e for e in self.events if e["event"] == "said")

    def notes(self) -> Iterator[Mapping[str, Any]]:
        """The ``assistant`` events: what the assistant noted of itself as a ``day`` began."""
        return (e for e in self.events if e["event"] == "assistant")

    def decisions(self) -> Iterator[Decision]:
        """Every decision in order, silent ones included."""
        rated: dict[int, tuple[tuple[str, int], ...]] = {}
        for event in self.events:
            if event["event"] == "silence":
                for tick, digit in enumerate(event["marks"], event["tick"]):
                    yield Decision(tick, "", int(digit, 16), None, rated.pop(tick, ()) if rated else ())
            elif event["event"] == "said":
                marks = None if event["marks"] is None else int(event["marks"], 16)
                yield Decision(event["tick"], event["text"], marks, event, rated.pop(event["tick"], ()))
            elif event["event"] == "rated":
                pairs = zip(event["texts"], event["marks"], strict=True)
                rated = {event["tick"]: tuple((text, int(digit, 16)) for text, digit in pairs)}


def read_episode(path: Path, *, allow_incomplete: bool = False) -> Episode:
    """Read a log and check it.

    Args:
        path: An ``events-….jsonl`` file.
        allow_incomplete: Accept an episode without its end (a run that was stopped); a torn last line is kept in `torn`,
            and its silent stretch counts.

    Raises:
        LogError: The file is truncated, edited, or no log; the message names the file and the place.
    """
    data = path.read_bytes()
    lines = data.split(b"\n")
    tail = lines.pop()
    events = []
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
            event["event"]
        except (ValueError, KeyError, TypeError) as error:
            raise LogError(f"{path}: line {number} is no event ({line[:80]!r}): the file was edited or damaged") from error
        events.append(event)
    if not events or events[0]["event"] != "begin":
        if not events and allow_incomplete:
            raise LogError(f"{path}: is empty or torn in its first line; delete it to run the episode anew")
        raise LogError(f"{path}: line 1 is not the begin event: this is no episode log")
    if events[0]["format"] != FORMAT:
        raise LogError(f"{path}: has format {events[0]['format']}; this version reads format {FORMAT}")
    end = events[-1] if events[-1]["event"] == "end" else None
    if end is None:
        if not allow_incomplete:
            raise LogError(f"{path}: {_where_it_stops(events, tail)}; run the same command again to finish it")
        if tail.startswith(b'{"event":"silence"') and b'"marks":"' in tail:
            events.append(json.loads(tail.rstrip(b'"}') + b'"}'))
        return Episode(path, events[0], tuple(events[1:]), None, tail.decode("utf-8", "replace"))
    if tail:
        raise LogError(f"{path}: goes on after its end event: the file was edited")
    body = data[: data.rstrip(b"\n").rfind(b"\n") + 1]
    if hashlib.sha256(body).hexdigest() != end["sha256"]:
        raise LogError(f"{path}: its content does not match the SHA-256 in its end event: the file was edited")
    return Episode(path, events[0], tuple(events[1:-1]), end)


def _where_it_stops(events: list[dict[str, Any]], tail: bytes) -> str:
    last = next((e for e in reversed(events) if "tick" in e and e["event"] != "assistant"), None)
    if events[-1]["event"] == "failure":
        e = events[-1]
        return f"the episode failed at tick {e['tick']} ({e['agent']}: {e['kind']}: {e['message']})"
    if last is None:
        return "the log is truncated: it stops before the first decision"
    tick = last["tick"]
    return f"the log is truncated: it stops in day {tick // TICKS_PER_DAY}, near {time_text(tick)} (tick {tick})"
