"""Where exports read from: run folders and single logs, one episode in memory at a time; and how their files come to be."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from propersim_env.evaluation.report import episodes
from propersim_env.evaluation.runner import RunError
from propersim_env.log import Episode, LogError, read_episode
from propersim_env.names import near_matches

TO_MAKE_ONE = "to make a run: propersim run --out {place}"


@dataclass(frozen=True, slots=True)
class Source:
    """An episode and the run that it is of."""

    run: str
    episode: Episode

    @property
    def name(self) -> str:
        """Name of the episode within its run: assistant, persona and seed, as its file is called."""
        return self.episode.path.stem.removeprefix("events-")


def find_logs(place: Path, takes: str = "RUN", hint: str = TO_MAKE_ONE) -> list[Path]:
    """The logs that a path stands for: those of a folder, or itself.

    Args:
        place: A folder or file.
        takes: The argument that it was given as, for the message.
        hint: How to make one.

    Raises:
        ValueError: There is none.
    """
    wanted = (f"{takes} takes run folders, or logs (events-….jsonl), that propersim run wrote; "
              f"{hint.format(place=place)}")
    if not place.exists():
        raise ValueError(f"{place}: no such folder or file; {wanted}")
    files = sorted(place.glob("events-*.jsonl")) if place.is_dir() else [place]
    if not files:
        raise ValueError(f"{place}: a folder without logs; {wanted}")
    return files


def read_log(file: Path, takes: str = "RUN") -> Episode:
    """A complete episode.

    Raises:
        LogError: It is not complete, not a log, or may not be read.
    """
    try:
        return read_episode(file)
    except OSError as error:
        raise LogError(f"{file}: cannot be read: {error.strerror or error}; {takes} takes logs that you may read") from error


@dataclass(frozen=True)
class Places:
    """Run folders and logs to read, in their order.

    Args:
        places: As given; each may be named once.
        assistant: Only episodes of this one; all by default.

    Raises:
        RunError: One is named twice.
        ValueError: One is not there, or holds no logs.
    """

    places: Sequence[Path]
    assistant: str | None = None

    def __post_init__(self) -> None:
        if len({place.resolve() for place in self.places}) < len(self.places):
            raise RunError("a run is named twice; name each once")
        for place in self.places:
            find_logs(place)

    def count(self) -> int:
        """Logs that `read` goes through."""
        return sum(len(find_logs(place)) for place in self.places)

    def run_name(self, place: Path) -> str:
        """Name of a run in an export: that of its folder, or its path where two are called alike."""
        folders = {p if p.is_dir() else p.parent for p in self.places}
        folder = place if place.is_dir() else place.parent
        name = folder.resolve().name
        return name if sum(f.resolve().name == name for f in folders) == 1 else folder.as_posix()

    def read(self, seen: Callable[[], None] | None = None, left_out: Callable[[str], None] | None = None) -> Iterator[Source]:
        """Every complete episode, checked.

        Args:
            seen: Called after each log, whether it is used or not.
            left_out: Called with a line for each episode that is not complete.

        Raises:
            LogError: A log was edited, is of another run or format, or a single log is not complete.
            ValueError: There is no episode of that assistant, or none is complete.
        """
        names: set[str] = set()
        number = 0
        for place in self.places:
            for episode in _episodes(place):
                if isinstance(episode, str):
                    if left_out is not None:
                        left_out(episode)
                elif self.assistant in (None, episode.begin["assistant"]):
                    number += 1
                    yield Source(self.run_name(place), episode)
                else:
                    names.add(episode.begin["assistant"])
                if seen is not None:
                    seen()
        if number == 0 and names:
            raise ValueError(f"--assistant {self.assistant!r}: no episode of it; "
                             f"{near_matches(str(self.assistant), sorted(names))}")
        if number == 0:
            raise ValueError(f"{', '.join(map(str, self.places))}: no episode is complete; run the same command again to "
                             f"finish it")


def _episodes(place: Path) -> Iterator[Episode | str]:
    if place.is_dir() and (place / "run.json").exists():
        yield from episodes(place)
    else:
        for file in find_logs(place):
            yield read_log(file)


def utf8(text: str) -> str:
    """The text with every half of a surrogate pair, which a log can hold and UTF-8 cannot, as U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\N{REPLACEMENT CHARACTER}" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text


def check_out(out: Path, replace: bool) -> None:
    """Refuse a path that is taken, or that cannot be written, before any work.

    Raises:
        ValueError: It is.
    """
    if out.exists() and not replace:
        raise ValueError(f"--out {out} exists: choose another path, or replace it with --replace")
    folder = out.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{out.name}.{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ValueError(f"--out {out}: cannot be written: {error.strerror or error}; choose another path") from error


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A path to write to, which becomes `out` when all went well and vanishes otherwise; `out` is replaced."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        yield temporary
        if out.is_dir():
            shutil.rmtree(out)
        os.replace(temporary, out)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)
