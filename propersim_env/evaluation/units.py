"""Work units: (assistant, persona, seed, configuration) fully determines an episode. Here units are run, in batches."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from propersim_env.clock import TICKS_PER_DAY
from propersim_env.episode import episode_log, log_name
from propersim_env.evaluation.answers import ActTogether, checked_alternatives, checked_notes, checked_together
from propersim_env.evaluation.failures import FAULTS, Failure, describe
from propersim_env.evaluation.watchdog import Stopwatch, watchdog
from propersim_env.log import EpisodeLog, LogError, read_episode
from propersim_env.machine import Machine, MachineConfig
from propersim_env.messages import ASSISTANT, USER
from propersim_env.names import near_matches
from propersim_env.persona import Persona
from propersim_env.registry import assistant_names, check_rating, make_assistant, make_users
from propersim_env.seeding import derive

ASSISTANTS_FOLDER = "assistants"
"""Folder in a run folder in which assistants keep files of their own."""
_LEARN_FIELDS = ("tick", "observation", "text", "rating", "marks", "reaction")


@dataclass(frozen=True, slots=True)
class Unit:
    """One episode to run. `assistant` is a specification as on the command line (see `parse_assistant`)."""

    assistant: str
    persona: Persona
    seed: int

    def log_path(self, folder: Path) -> Path:
        """Where its log is, or will be."""
        return folder / log_name(self.assistant, self.persona.id, self.seed)

    def kept_path(self, folder: Path) -> Path:
        """Where its assistant may keep files."""
        return folder / ASSISTANTS_FOLDER / self.log_path(folder).stem


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What all units of a run share; JSON values.

    Attributes:
        days: Horizon.
        user, user_options: Who plays the residents.
        reveal_persona: Put the persona into every observation.
        timeout: Seconds that an assistant may take for one decision before it counts as hanging.
        feedback: What assistants are told (see `propersim_env.feedback`); metrics use the true ratings whatever it is.
        variant: Name of the variant that these options were taken from, if any; the options themselves are what counts.
        from_day: First day that counts in results; those before are lived and learnt from.
    """

    days: int = 14
    user: str = "simulated"
    user_options: Mapping[str, Any] = field(default_factory=dict)
    reveal_persona: bool = False
    timeout: float = 600.0
    feedback: str = "full"
    variant: str | None = None
    from_day: int = 0


_PART = re.compile(r"(?<!=local):(?!//|\d{2,5}(?:/|:|$))")
"""What parts a specification: colons, but for those of a URL and of ``local:``."""


def parse_assistant(spec: str) -> tuple[str, dict[str, Any]]:
    """``"fixed-rate:per_day=6"`` to ``("fixed-rate", {"per_day": 6})``; also ``"file.py:Name:key=value"``.

    Raises:
        ValueError: An option without a value, or an unknown name.
    """
    parts = _PART.split(spec)
    name = parts[0]
    rest = parts[1:]
    if rest and "=" not in rest[0] and name not in assistant_names():
        name, rest = f"{name}:{rest[0]}", rest[1:]
    options: dict[str, Any] = {}
    for part in rest:
        key, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"assistant {spec!r}: {part!r} is no option; write name:key=value, e.g. random:p=0.02")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    if ":" not in name and name not in assistant_names():
        raise ValueError(f"unknown assistant {name!r}: {near_matches(name, assistant_names())}; or an import path such as "
                         f"my_package.module:Name or folder/file.py:Name")
    return name, options


def build_assistant(spec: str) -> Any:
    """The assistant that a specification names."""
    name, options = parse_assistant(spec)
    return make_assistant(name, **options)


def is_finished(unit: Unit, folder: Path) -> bool:
    """Whether the unit's log is there and complete.

    Raises:
        LogError: The log was edited after it was finished.
    """
    path = unit.log_path(folder)
    if not path.exists():
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 400))
        lines = file.read().split(b"\n")
    if lines[-1] or len(lines) < 2 or not lines[-2].startswith(b'{"event":"end"'):
        return False  # cut, or torn in its last line
    begin = read_episode(path).begin
    found = (begin.get("assistant"), begin["persona"]["id"], begin.get("seed"))
    if found != (unit.assistant, unit.persona.id, unit.seed):
        raise LogError(f"{path}: is the log of {found[0]} with {found[1]}, seed {found[2]}: it was copied there; delete it")
    return True


def machine_config(config: RunConfig) -> MachineConfig:
    """What the machine of a run is told; rewards are not used there."""
    return MachineConfig(config.days, "utility", config.reveal_persona, feedback=config.feedback)


class Batch:
    """Units that run side by side in one machine, one home each.

    Args:
        units: All of the same configuration; finished ones should be left out.
        config: Of the run.
        folder: Where logs go; None keeps none.
    """

    def __init__(self, units: Sequence[Unit], config: RunConfig, folder: Path | None) -> None:
        self.units, self.config, self.folder = list(units), config, folder
        n = len(self.units)
        self.machine = Machine(n, machine_config(config))
        self.users = make_users(config.user, n, **config.user_options)
        self.assistants: list[Any] = [None] * n
        self.failures: list[Failure] = []
        self._learning: dict[int, list[dict[str, Any]]] = {}
        self._asked = Stopwatch()
        self._recorded: dict[int, Iterator[tuple[int, str]]] = {}
        self._together: dict[int, ActTogether] = {}
        self._considering: set[int] = set()
        self._rated: dict[int, list[tuple[str, int]]] = {}

    def run(self, progress: Callable[[int], None] | None = None) -> list[Failure]:
        """Run every unit to its end.

        Args:
            progress: Called now and then with the number of decisions taken since the last call.

        Returns:
            The units that failed. Their logs are kept, with the failure as the last event.
        """
        with watchdog(self.config.timeout, self._asked), redirect_stdout(sys.stderr):
            for i in range(len(self.units)):
                self._begin(i)
            machine, taken = self.machine, 0
            while machine.active.any():
                everyone = bool(machine.active.all())
                if self._learning:
                    self._learn()
                texts = self._decide()
                if self._considering:
                    self._rate_alternatives()
                active = machine.active
                everyone = everyone and bool(active.all())
                machine.assistant_turn(texts)
                self._asked.since = time.monotonic()
                turns = self.users.act(texts, None if everyone else active.copy())
                self._asked.since = 0.0
                for i, fault in turns.faults.items():
                    self._fail(i, fault, USER)
                machine.user_turn(turns)
                if self._learning:
                    self._collect(texts)
                taken += int(machine.active.sum())
                if progress is not None and taken >= 4096:
                    progress(taken)
                    taken = 0
            if progress is not None:
                progress(taken)
        return self.failures

    def _begin(self, i: int) -> None:
        unit = self.units[i]
        seed = derive(unit.seed, "assistant", unit.persona.id)
        there = self.folder is not None and _can_go_on(unit.log_path(self.folder))
        try:
            assistant = self.assistants[i] = build_assistant(unit.assistant)
            self._asked.since = time.monotonic()
            if self.folder is not None and hasattr(assistant, "keep"):
                kept = unit.kept_path(self.folder)
                if not there and kept.exists():
                    shutil.rmtree(kept)  # of an attempt that failed: this one begins anew
                assistant.keep(kept)
            assistant.reset(seed)
            self._asked.since = 0.0
        except FAULTS as error:
            self._asked.since = 0.0
            self.failures.append(self._failure(i, -1, error))
            return
        privileged = hasattr(assistant, "bind")
        self.machine.begin(i, unit.persona, self._open_log(i, privileged, there), unit.seed)
        try:
            self.machine.first_turn(i, self.users.reset(i, unit.persona, unit.seed))
        except FAULTS as error:
            self._fail(i, error, USER)
            return
        if privileged:
            try:
                assistant.bind(lambda: self.users.resident(i))
            except FAULTS as error:
                self._fail(i, error)
        if hasattr(assistant, "learn"):
            self._learning[i] = []
        if hasattr(assistant, "alternatives"):
            self._considering.add(i)
        if hasattr(type(assistant), "act_together"):
            self._together[i] = type(assistant).act_together

    def _open_log(self, i: int, privileged: bool, there: bool) -> EpisodeLog | None:
        if self.folder is None:
            return None
        unit = self.units[i]
        path = unit.log_path(self.folder)
        if not there:
            path.unlink(missing_ok=True)  # a failed unit is run anew
        elif hasattr(self.assistants[i], "replay") and b"\n" in path.read_bytes():  # else torn in its first line
            episode = read_episode(path, allow_incomplete=True)
            self._recorded[i] = iter([(d.tick, d.text) for d in episode.decisions()])
        user = {"name": self.config.user, "options": dict(self.config.user_options)}
        if hasattr(self.users, "about"):
            user["about"] = self.users.about()
        more = {"privileged": True} if privileged else {}
        return episode_log(self.folder, unit.assistant, unit.persona, unit.seed, self.machine.config, user,
                           self.config.variant, **more)

    def _decide(self) -> list[str]:
        texts = [""] * len(self.units)
        machine, asked, clock = self.machine, self._asked, time.monotonic
        observations = machine.observations()
        plain = not (self._recorded or self._together)
        waiting: dict[ActTogether, list[int]] = {}
        for i in np.flatnonzero(machine.active).tolist():
            asked.since = clock()
            try:
                text = self.assistants[i].act(observations[i]) if plain else self._act(i, observations[i], waiting)
                if type(text) is not str:
                    raise TypeError(f"act() returned {type(text).__name__} {text!r:.80}; return a str, '' for silence")
                texts[i] = text
            except FAULTS as error:
                asked.since = 0.0
                self._fail(i, error)
            asked.since = 0.0
        for act_together, homes in waiting.items():
            self._act_together(act_together, homes, observations, texts)
        if self._learning:
            self._observations = observations
        return texts

    def _act(self, i: int, observation: str, waiting: dict[ActTogether, list[int]]) -> Any:
        """Take what the assistant said before the run was interrupted, let it wait for the others, or ask it."""
        recorded = next(self._recorded[i], None) if i in self._recorded else None
        if recorded is not None and recorded[0] == int(self.machine.tick[i]):
            self.assistants[i].replay(observation, recorded[1])
            return recorded[1]
        self._recorded.pop(i, None)
        if i in self._together:
            waiting.setdefault(self._together[i], []).append(i)
            return ""
        return self.assistants[i].act(observation)

    def _act_together(
        self, act_together: ActTogether, homes: Sequence[int], observations: Sequence[str], texts: list[str]
    ) -> None:
        self._asked.since, self._asked.homes = time.monotonic(), len(homes)
        answers: Sequence[str | BaseException]
        try:
            given = act_together([self.assistants[i] for i in homes], [observations[i] for i in homes])
            answers = checked_together(given, len(homes))
        except FAULTS as error:
            answers = [error] * len(homes)
        finally:
            self._asked.since, self._asked.homes = 0.0, 1
        for i, answer in zip(homes, answers, strict=True):
            if isinstance(answer, FAULTS):
                self._fail(i, answer)
            elif isinstance(answer, BaseException):
                raise answer  # Ctrl-C, whoever caught it
            else:
                texts[i] = answer

    def _learn(self) -> None:
        """Hand over the events of the day before at the first decision of a new day, and log what is noted then."""
        machine = self.machine
        ticks = machine.tick.tolist()
        for i, events in self._learning.items():
            day = ticks[i] // TICKS_PER_DAY
            if not events or events[-1]["tick"] // TICKS_PER_DAY >= day or not machine.active[i]:
                continue
            assistant, notes = self.assistants[i], None
            self._asked.since = time.monotonic()
            try:
                assistant.learn(events)
                if hasattr(assistant, "notes"):
                    notes = checked_notes(assistant.notes(), day)
                self._asked.since = 0.0
            except FAULTS as error:
                self._asked.since = 0.0
                self._fail(i, error)
            self._learning[i] = []
            log = machine.logs[i]
            if log is not None and notes is not None:
                log.notes(day, notes)

    def _rate_alternatives(self) -> None:
        """Ask for texts that are to be rated without being heard, and have the residents rate them."""
        self._rated = {}
        if not self.machine.feedback.full:
            return
        for i in self._considering:
            if not self.machine.active[i]:
                continue
            agent = ASSISTANT
            self._asked.since = time.monotonic()
            try:
                texts = checked_alternatives(self.assistants[i].alternatives())
                agent = USER
                rated = [(text, int(check_rating(self.users.rate(i, text)).marks)) for text in texts]
                self._asked.since = 0.0
            except FAULTS as error:
                self._asked.since = 0.0
                self._fail(i, error, agent)
                continue
            if rated:
                self._rated[i] = rated
                log = self.machine.logs[i]
                if log is not None:
                    log.rated(int(self.machine.tick[i]), rated)

    def _collect(self, texts: Sequence[str]) -> None:
        machine = self.machine
        for i, events in self._learning.items():
            rating = machine.ratings.get(i)
            marks = None if i in machine.failures or not machine.tells(i) else int(machine.marks[i])
            values = (int(machine.decided_tick[i]), self._observations[i], texts[i],
                      None if marks is None else marks.bit_count(), marks, rating.reaction if rating else "none")
            event: dict[str, Any] = dict(zip(_LEARN_FIELDS, values, strict=True))
            if rating is not None and texts[i] and marks is not None:
                event["reasons"] = dict(rating.reasons)
            if i in self._considering:
                event["alternatives"] = [{"text": text, "rating": mark.bit_count(), "marks": mark}
                                         for text, mark in self._rated.get(i, ())]
            events.append(event)

    def _fail(self, i: int, error: BaseException, agent: str = ASSISTANT) -> None:
        machine = self.machine
        if not machine.active[i]:
            return
        failure = self._failure(i, int(machine.tick[i]), error, agent)
        self.failures.append(failure)
        machine.active[i] = False
        log = machine.logs[i]
        if log is not None:
            try:
                log.failure(failure.tick, agent, failure.kind, failure.message)
            except LogError:
                log.close()

    def _failure(self, i: int, tick: int, error: BaseException, agent: str = ASSISTANT) -> Failure:
        unit = self.units[i]
        kind = type(error).__name__ if agent == ASSISTANT else f"user {type(error).__name__}"
        return Failure(unit.assistant, unit.persona.id, unit.seed, tick, kind, describe(error))

    def close(self) -> None:
        """Close all logs; episodes that have not ended can be resumed."""
        for log in self.machine.logs:
            if log is not None:
                log.close()


def _can_go_on(path: Path) -> bool:
    """Whether a unit has a log that did not end in a failure, nor has a rating that failed, which is to be asked for again."""
    if not path.exists():
        return False
    log = path.read_bytes()
    last = log.rstrip(b"\n").rpartition(b"\n")[2]
    return b'"marks":null,"failure":' not in log and not last.startswith(b'{"event":"failure"')
