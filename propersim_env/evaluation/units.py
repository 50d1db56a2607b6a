"""Work units: (assistant, persona, seed, configuration) fully determines an episode. Here units are run, in batches."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from propersim_env.clock import TICKS_PER_DAY, moment_text
from propersim_env.episode import episode_log, log_name
from propersim_env.log import EpisodeLog, LogError, read_episode
from propersim_env.machine import Machine, MachineConfig
from propersim_env.messages import ASSISTANT, USER
from propersim_env.names import near_matches
from propersim_env.persona import Persona
from propersim_env.protocols import AgentTimeout
from propersim_env.registry import assistant_names, make_assistant, make_users
from propersim_env.seeding import derive

FAULTS = (Exception, SystemExit, GeneratorExit, asyncio.CancelledError, AgentTimeout)
"""What an agent may raise that stops its own episode only; Ctrl-C is not among it."""
LONGEST_MESSAGE = 500
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


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What all units of a run share; JSON values.

    Attributes:
        days: Horizon.
        user, user_options: Who plays the residents.
        reveal_persona: Put the persona into every observation.
        timeout: Seconds that an assistant may take for one decision before it counts as hanging.
        feedback: What assistants are told (see `propersim_env.feedback`); metrics use the true ratings whatever it is.
    """

    days: int = 14
    user: str = "simulated"
    user_options: Mapping[str, Any] = field(default_factory=dict)
    reveal_persona: bool = False
    timeout: float = 600.0
    feedback: str = "full"


@dataclass(frozen=True, slots=True)
class Failure:
    """A unit that did not finish; it is reported and never scored."""

    assistant: str
    persona: str
    seed: int
    tick: int
    kind: str
    message: str

    def __str__(self) -> str:
        when = f"at tick {self.tick} ({moment_text(self.tick)})" if self.tick >= 0 else "before its first decision"
        return f"{self.assistant} with {self.persona}, seed {self.seed}, failed {when}: {self.kind}: {self.message}"


def parse_assistant(spec: str) -> tuple[str, dict[str, Any]]:
    """``"fixed-rate:per_day=6"`` to ``("fixed-rate", {"per_day": 6})``; also ``"file.py:Name:key=value"``.

    Raises:
        ValueError: An option without a value, or an unknown name.
    """
    parts = spec.split(":")
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


@contextmanager
def _watchdog(limit: float, deciding: list[float]) -> Iterator[None]:
    """Raise `AgentTimeout` inside a decision that takes longer than `limit` seconds.

    Works in the main thread of systems with SIGALRM; elsewhere a hanging agent must be stopped by hand.
    """
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def check(*_: Any) -> None:
        if deciding[0] and time.monotonic() - deciding[0] > limit:
            deciding[0] = time.monotonic()  # fires again if this one is swallowed
            raise AgentTimeout(f"no decision within {limit:g} s; raise the limit with --timeout")

    previous = signal.signal(signal.SIGALRM, check)
    signal.setitimer(signal.ITIMER_REAL, min(1.0, limit), min(1.0, limit))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


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
        self._deciding = [0.0]
        self._recorded: dict[int, Iterator[tuple[int, str]]] = {}

    def run(self, progress: Callable[[int], None] | None = None) -> list[Failure]:
        """Run every unit to its end.

        Args:
            progress: Called now and then with the number of decisions taken since the last call.

        Returns:
            The units that failed. Their logs are kept, with the failure as the last event.
        """
        with _watchdog(self.config.timeout, self._deciding), redirect_stdout(sys.stderr):
            for i in range(len(self.units)):
                self._begin(i)
            machine, taken = self.machine, 0
            while machine.active.any():
                everyone = bool(machine.active.all())
                texts = self._decide()
                active = machine.active
                everyone = everyone and bool(active.all())
                machine.assistant_turn(texts)
                self._deciding[0] = time.monotonic()
                turns = self.users.act(texts, None if everyone else active.copy())
                self._deciding[0] = 0.0
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
        try:
            assistant = self.assistants[i] = build_assistant(unit.assistant)
            self._deciding[0] = time.monotonic()
            assistant.reset(seed)
            self._deciding[0] = 0.0
        except FAULTS as error:
            self._deciding[0] = 0.0
            self.failures.append(_failure(unit, -1, error))
            return
        privileged = hasattr(assistant, "bind")
        self.machine.begin(i, unit.persona, self._open_log(unit, privileged, assistant, i), unit.seed)
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

    def _open_log(self, unit: Unit, privileged: bool, assistant: Any, i: int) -> EpisodeLog | None:
        if self.folder is None:
            return None
        path = unit.log_path(self.folder)
        if path.exists() and path.read_bytes().rstrip(b"\n").rpartition(b"\n")[2].startswith(b'{"event":"failure"'):
            path.unlink()  # a failed unit is run anew
        elif path.exists() and hasattr(assistant, "replay"):
            episode = read_episode(path, allow_incomplete=True)
            self._recorded[i] = iter([(d.tick, d.text) for d in episode.decisions()])
        user = {"name": self.config.user, "options": dict(self.config.user_options)}
        more = {"privileged": True} if privileged else {}
        return episode_log(self.folder, unit.assistant, unit.persona, unit.seed, self.machine.config, user, **more)

    def _decide(self) -> list[str]:
        texts = [""] * len(self.units)
        machine, deciding, clock = self.machine, self._deciding, time.monotonic
        observations = machine.observations()
        for i in np.flatnonzero(machine.active).tolist():
            deciding[0] = clock()
            try:
                if i in self._learning:
                    self._learn(i)
                text = self._act(i, observations[i]) if self._recorded else self.assistants[i].act(observations[i])
                if type(text) is not str:
                    raise TypeError(f"act() returned {type(text).__name__} {text!r:.80}; return a str, '' for silence")
                texts[i] = text
            except FAULTS as error:
                deciding[0] = 0.0
                self._fail(i, error)
            deciding[0] = 0.0
        if self._learning:
            self._observations = observations
        return texts

    def _act(self, i: int, observation: str) -> str:
        """Ask the assistant, or take what it said before the run was interrupted."""
        recorded = next(self._recorded[i], None) if i in self._recorded else None
        if recorded is None or recorded[0] != int(self.machine.tick[i]):
            self._recorded.pop(i, None)
            return str(self.assistants[i].act(observation))
        self.assistants[i].replay(observation, recorded[1])
        return recorded[1]

    def _learn(self, i: int) -> None:
        """Hand over the events of the day before at the first decision of a new day."""
        events = self._learning[i]
        if events and events[-1]["tick"] // TICKS_PER_DAY < self.machine.tick[i] // TICKS_PER_DAY:
            self.assistants[i].learn(events)
            self._learning[i] = []

    def _collect(self, texts: Sequence[str]) -> None:
        machine = self.machine
        for i, events in self._learning.items():
            rating = machine.ratings.get(i)
            marks = None if i in machine.failures or not machine.tells(i) else int(machine.marks[i])
            values = (int(machine.decided_tick[i]), self._observations[i], texts[i],
                      None if marks is None else marks.bit_count(), marks, rating.reaction if rating else "none")
            events.append(dict(zip(_LEARN_FIELDS, values, strict=True)))

    def _fail(self, i: int, error: BaseException, agent: str = ASSISTANT) -> None:
        machine = self.machine
        if not machine.active[i]:
            return
        failure = _failure(self.units[i], int(machine.tick[i]), error, agent)
        self.failures.append(failure)
        machine.active[i] = False
        log = machine.logs[i]
        if log is not None:
            try:
                log.failure(failure.tick, agent, failure.kind, failure.message)
            except LogError:
                log.close()

    def close(self) -> None:
        """Close all logs; episodes that have not ended can be resumed."""
        for log in self.machine.logs:
            if log is not None:
                log.close()


def _failure(unit: Unit, tick: int, error: BaseException, agent: str = ASSISTANT) -> Failure:
    try:
        message = str(error) or "no message"
    except Exception as second:  # an error whose text cannot be made is still an error to report
        message = f"(its message raised {type(second).__name__})"
    message = message.encode("utf-8", "backslashreplace").decode()[:LONGEST_MESSAGE]
    kind = type(error).__name__ if agent == ASSISTANT else f"user {type(error).__name__}"
    return Failure(unit.assistant, unit.persona.id, unit.seed, tick, kind, message)
