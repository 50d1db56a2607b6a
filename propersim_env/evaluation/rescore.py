"""Logged decisions, rated again: by another user, the same one with other options, or by the present version of the rubric.

What was said stays as it was, at the ticks at which it was said. The resident hears it, and what it remembers of it follows its
own judgement. An assistant that learns from ratings would have decided otherwise; nothing here tells how.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env import __version__
from propersim_env.episode import RUBRIC_VERSION, episode_log
from propersim_env.evaluation.metrics import EpisodeMetrics, measure, same
from propersim_env.evaluation.relive import NotThereError, Step, live, resident_of
from propersim_env.evaluation.report import episodes
from propersim_env.evaluation.runner import RunError, read_config, write_config
from propersim_env.log import Episode, EpisodeLog, LogError, read_episode
from propersim_env.machine import MachineConfig
from propersim_env.protocols import UserBatch
from propersim_env.registry import make_users

MARK = "rescored"
"""Key in ``run.json`` and in the first line of a log whose ratings were given afterwards."""


@dataclass(frozen=True)
class Judge:
    """Who rates again.

    Attributes:
        user: Registered name or import path; None for the user of the log.
        options: Of that user. Where it is the one of the log, the log's options hold beside these.
    """

    user: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def of(self, name: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Name and options of the user that rates again what this one has rated."""
        if self.user is not None and self.user != name:
            return self.user, dict(self.options)
        return name, {**options, **self.options}

    def users(self, name: str, options: Mapping[str, Any]) -> UserBatch:
        """The same, built for one home.

        Raises:
            ImportError, ValueError: There is no such user, it does not take these options, or it is a person.
        """
        chosen, given = self.of(name, options)
        users = make_users(chosen, 1, **given)
        if any(getattr(user, "interactive", False) for user in getattr(users, "users", ())):
            raise ValueError(f"user {chosen!r} is a person at this terminal, who cannot live logged days; choose another")
        return users


@dataclass
class Lived:
    """One episode before and after.

    Attributes:
        name: Of its assistant; runs that share one get the folder's name behind it.
        path: The new log.
        before, after: Metrics by the old and by the new ratings.
        marks: Shape (2, 16, 16): decisions, by silent (0) or said (1), old marks, new marks; without those that either
            did not rate.
        days, changed_days: Days of the resident's diary, and those that differ.
        unheard: Decisions after the resident dismissed the assistant, which nobody rated again.
        unrated: Decisions that were rated in the old log and could not be now.
        dropped: Alternatives that this user cannot rate.
        catalogue: Texts rated both times that are in the setting's catalogue.
    """

    name: str
    path: Path
    before: EpisodeMetrics
    after: EpisodeMetrics
    marks: NDArray[np.int64]
    days: int = 0
    changed_days: int = 0
    unheard: int = 0
    unrated: int = 0
    dropped: int = 0
    catalogue: int = 0


def rerate(episode: Episode, judge: Judge, log: EpisodeLog | None = None) -> Iterator[Step]:
    """The decisions of a log with the ratings that they get now; ends early where the resident dismisses the assistant.

    Args:
        episode: From `propersim_env.log.read_episode`; of whatever version of the rubric.
        judge: Who rates.
        log: Where to log it.

    Raises:
        LogError: The persona is not one of this version, or the new resident is asleep or away at a logged decision.
    """
    begin = episode.begin
    name, options = begin["user"]["name"], begin["user"].get("options", {})
    users, persona = judge.users(name, options), resident_of(episode)
    if callable(foresee := getattr(users, "foresee", None)):
        said = [text for d in episode.decisions() for text in (d.text, *(text for text, _ in d.alternatives))]
        foresee(persona.setting, [text for text in said if text])
    try:
        yield from live(episode, users, persona, log, alternatives="rated" if _rates(users) else "dropped")
    except NotThereError as error:
        who, given = judge.of(name, options)
        raise LogError(f"user {who!r} with options {json.dumps(given)} is asleep or away at a logged decision, and cannot rate "
                       f"it: choose options that leave the resident's hours as they were ({error})") from error


def _rates(users: UserBatch) -> bool:
    """Whether candidates can be rated."""
    return all(callable(getattr(user, "rate", None)) for user in getattr(users, "users", [users]))


def resolved(config: Mapping[str, Any], judge: Judge) -> dict[str, Any]:
    """The configuration of a run, from ``run.json``, as it is after being rated again."""
    user, options = judge.of(config["user"], config["user_options"])
    same = (user, options) == (config["user"], config["user_options"])
    before = {key: config.get(key) for key in ("propersim", "rubric", "user", "user_options", "variant")}
    return {**config, "propersim": __version__, "rubric": RUBRIC_VERSION, "user": user, "user_options": options,
            "variant": config.get("variant") if same else None, MARK: before}


def changes(config: Mapping[str, Any], judge: Judge) -> list[str]:
    """What is different from when a run was rated, in a line each."""
    after = resolved(config, judge)
    lines = []
    if config["rubric"] != RUBRIC_VERSION:
        lines.append(f"rubric version {config['rubric']} (propersim {config['propersim']}) -> {RUBRIC_VERSION} (propersim "
                     f"{__version__}): the same text in the same situation may get other marks")
    if config["user"] != after["user"]:
        lines.append(f"user {config['user']} -> {after['user']}")
    old, new = config["user_options"], after["user_options"]
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            lines.append(f"user option {key}: {_shown(old.get(key, 'default'))} -> {_shown(new.get(key, 'default'))}")
    return lines or ["nothing: the same user, options and rubric, which must give the same ratings"]


def _shown(value: Any) -> str:
    """An option's value; of a path its last two parts, where a model lies on this disk is nobody's business."""
    if isinstance(value, str) and Path(value).is_absolute():
        return "/".join(Path(value).parts[-2:])
    return value if isinstance(value, str) else json.dumps(value)


def prepare(folder: Path, config: Mapping[str, Any], replace: bool = False) -> None:
    """Make or empty the folder of a run that is rated again.

    Raises:
        RunError: It holds something else, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        there = read_config(folder) if (folder / "run.json").exists() else {}
        if MARK not in there:
            raise RunError(f"--out {folder} is not empty, and holds nothing that propersim rescore wrote: choose another "
                           f"folder")
        if there != config and not replace:
            raise RunError(f"--out {folder} holds ratings of another run or by another user: choose another folder, or "
                           f"replace them with --replace")
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_config(folder, config)
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error.strerror or error}; choose another folder with --out") from error


def rescore(run: Path, judge: Judge, out: Path, left_out: list[str], seen: Callable[[], None] | None = None) -> Iterator[Lived]:
    """Rate every complete episode of a run again, and log it.

    Args:
        run: The run folder.
        judge: Who rates.
        out: Where the new logs go; from `prepare`.
        left_out: Gets a line for each episode that is not complete.
        seen: Called after each log.

    Raises:
        LogError: A log was edited, or as for `rerate`.
        RunError: `run` is no run folder.
    """
    config = resolved(read_config(run), judge)
    for episode in episodes(run):
        if isinstance(episode, str):
            left_out.append(episode)
        else:
            yield _one(episode, judge, out, config)
        if seen is not None:
            seen()


def _one(episode: Episode, judge: Judge, out: Path, config: Mapping[str, Any]) -> Lived:
    begin = episode.begin
    assert episode.end is not None  # complete
    machine = MachineConfig(begin["days"], "utility", begin["reveal_persona"], begin.get("max_cycles"),
                            begin.get("feedback", "full"))
    more = {"privileged": True} if begin.get("privileged") else {}
    persona = resident_of(episode)
    known = {same(entry.text) for entry in persona.setting.catalogue}
    log = episode_log(out, begin["assistant"], persona, begin["seed"], machine,
                      {"name": config["user"], "options": config["user_options"]}, config["variant"], **more,
                      **{MARK: {"sha256": episode.end["sha256"], "rubric": begin["rubric"], "version": begin["version"]}})
    marks = np.zeros((2, 16, 16), np.int64)
    heard = unrated = dropped = catalogue = 0
    try:
        for step in rerate(episode, judge, log):
            old, heard = step.decision.marks, heard + 1
            dropped += len(step.decision.alternatives) - len(step.alternatives)
            if old is not None and step.marks is not None:
                marks[int(bool(step.decision.text)), old, step.marks] += 1
                catalogue += same(step.decision.text) in known
            unrated += old is not None and step.marks is None
    finally:
        log.close()
    again = read_episode(log.path)
    old_days, new_days = ([{k: v for k, v in day.items() if k != "event"} for day in e.days()] for e in (episode, again))
    first = config.get("from_day", 0)
    return Lived(begin["assistant"], log.path, measure(episode).since(first), measure(again).since(first), marks,
                 days=len(old_days), changed_days=sum(a != b for a, b in zip(old_days, new_days, strict=False)),
                 unheard=sum(1 for _ in episode.decisions()) - heard, unrated=unrated, dropped=dropped, catalogue=catalogue)
