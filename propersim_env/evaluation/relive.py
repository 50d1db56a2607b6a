"""A logged episode, lived again: up to one decision, from beginning to end, or with another resident.

Episodes are functions of what their log begins with and of what was said, so nothing but the log is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from propersim_env.clock import TICKS_PER_DAY, moment_text
from propersim_env.episode import RUBRIC_VERSION
from propersim_env.log import Decision, Episode, EpisodeLog, LogError
from propersim_env.machine import Machine, MachineConfig, RewardKind
from propersim_env.messages import Rating
from propersim_env.persona import Persona, persona_from_dict
from propersim_env.protocols import UserBatch
from propersim_env.registry import check_rating, make_users, user_names
from propersim_env.schema import DataError
from propersim_env.setting import load_setting
from propersim_env.what_if import capability


class NotThereError(LogError):
    """The resident is asleep or away at a logged decision."""


def relive(episode: Episode, tick: int, setting: str | None = None) -> tuple[UserBatch, Decision]:
    """Bring a resident to a decision of a log.

    Args:
        episode: From `propersim_env.log.read_episode`; it need not be complete.
        tick: Absolute tick of the decision.
        setting: Name or folder of the setting; by default the name in the log.

    Returns:
        Users of one home, at the moment of that decision (they have not heard it yet), and the decision.

    Raises:
        LogError: This version does not give the marks of the log: it is of another version, or was edited.
        TypeError: The user of the log cannot explain itself.
        ValueError: No decision was taken at that tick.
    """
    decisions = list(episode.decisions())
    if not any(d.tick == tick for d in decisions):
        raise ValueError(_no_decision(episode, decisions, tick))
    users, persona = home(episode, setting)
    capability(getattr(users, "users", [users])[0], "what_if")
    now = users.reset(0, persona, episode.begin["seed"]).tick
    for decision in decisions:
        if decision.tick != now:
            raise LogError(_differs(episode, decision, f"it is at {moment_text(now)} then"))
        if decision.tick == tick:
            return users, decision
        turns = users.act([decision.text])
        if 0 in turns.faults:
            raise turns.faults[0]
        if decision.marks is not None and int(turns.marks[0]) != decision.marks:
            raise LogError(_differs(episode, decision, f"it gives the marks {int(turns.marks[0]):x}, not {decision.marks:x}"))
        now = int(turns.tick[0])
    raise AssertionError("unreachable: the decision is in the log")


@dataclass(frozen=True, slots=True)
class Step:
    """One decision of a log, lived again.

    Attributes:
        decision: As logged.
        observation, after: What the assistant saw, and what it would see next.
        marks: Bit mask 0..15 given now; None where the rating failed.
        rating: The whole of it, where there is more than marks.
        alternatives: Texts that were rated without being heard, with the marks that they get now.
        reward: As the environment gives it; NaN where the rating failed.
        next_tick: When the assistant is asked next, or would be.
        dismissed, over: Whether the resident has dismissed the assistant; whether the episode ended with this decision.
    """

    decision: Decision
    observation: str
    after: str
    marks: int | None
    rating: Rating | None
    alternatives: tuple[tuple[str, int], ...]
    reward: float
    next_tick: int
    dismissed: bool
    over: bool


def live(
    episode: Episode, users: UserBatch, persona: Persona, log: EpisodeLog | None = None, reward: RewardKind = "utility",
    alternatives: Literal["logged", "rated", "dropped"] = "logged",
) -> Iterator[Step]:
    """Live the decisions of a log with a resident, who rates them; whether it rates as logged is for the caller to see.

    It ends early where the resident dismisses the assistant.

    Args:
        episode: From `propersim_env.log.read_episode`; it need not be complete.
        users: Of one home.
        persona: Who lives there.
        log: Where to log it, with the assistant's notes as they were.
        reward: Of the steps; logs in which ratings were kept back need ``"utility"``.
        alternatives: What becomes of texts that were rated without being heard: they keep the marks of the log, are rated
            again, or are left out.

    Raises:
        NotThereError: The resident is not there to be spoken to when a decision was taken.
    """
    begin = episode.begin
    config = MachineConfig(begin["days"], reward, begin["reveal_persona"], begin.get("max_cycles"),
                           begin.get("feedback", "full"))
    machine = Machine(1, config)
    machine.begin(0, persona, log, begin["seed"])
    machine.first_turn(0, users.reset(0, persona, begin["seed"]))
    notes = {note["day"]: note for note in episode.notes()} if log is not None else {}
    for decision in episode.decisions():
        if decision.tick != machine.tick[0]:
            raise NotThereError(_differs(episode, decision, f"it is at {moment_text(int(machine.tick[0]))} then"))
        if log is not None and (note := notes.pop(decision.tick // TICKS_PER_DAY, None)) is not None:
            log.notes(note["day"], {key: value for key, value in note.items() if key not in ("event", "day")})
        others = decision.alternatives if alternatives != "dropped" else ()
        if alternatives == "rated" and others:
            others = tuple((text, check_rating(users.rate(0, text)).marks) for text, _ in others)
        if log is not None and others:
            log.rated(decision.tick, others)
        observation = machine.observation(0)
        machine.assistant_turn([decision.text])
        turns = users.act([decision.text])
        if 0 in turns.faults:
            raise turns.faults[0]
        machine.user_turn(turns)
        failed = 0 in turns.failures
        yield Step(decision, observation, machine.observation(0), None if failed else int(turns.marks[0]),
                   turns.ratings.get(0), others, float(machine.rewards[0]), int(machine.tick[0]),
                   bool(machine.terminated[0]), not machine.active[0])
        if machine.terminated[0]:
            return


def observations(episode: Episode, setting: str | None = None) -> Iterator[tuple[str, Decision]]:
    """Every decision of a log with the observation that it was taken on, as the assistant saw it.

    Args:
        episode: From `propersim_env.log.read_episode`; it need not be complete.
        setting: As for `relive`.

    Raises:
        LogError, TypeError: As for `relive`.
    """
    for step in steps(episode, setting):
        yield step.observation, step.decision


def steps(episode: Episode, setting: str | None = None, reward: RewardKind = "utility") -> Iterator[Step]:
    """Every decision of a log, lived again exactly: each step has been found to be rated as logged.

    Args:
        episode: From `propersim_env.log.read_episode`; it need not be complete.
        setting: As for `relive`.
        reward: As for `live`.

    Raises:
        LogError: As for `relive`.
    """
    users, persona = home(episode, setting)
    for step in live(episode, users, persona, reward=reward):
        decision = step.decision
        if decision.marks is not None and step.marks != decision.marks:
            now = "no rating" if step.marks is None else f"the marks {step.marks:x}"
            raise LogError(_differs(episode, decision, f"it gives {now}, not {decision.marks:x}"))
        yield step


def home(episode: Episode, setting: str | None = None, **options: Any) -> tuple[UserBatch, Persona]:
    """Users of one home, and the persona, as the log says but for these options of the user.

    Raises:
        LogError: As for `relive`.
    """
    same_rubric(episode)
    path, begin = episode.path, episode.begin
    name = begin["user"]["name"]
    if name not in user_names() and ":" not in name:
        raise LogError(f"{path}: its resident was played by {name!r}, which cannot be built from its name: only episodes of a "
                       f"registered user or an import path can be lived again")
    users = make_users(name, 1, **{**begin["user"].get("options", {}), **options})
    return users, resident_of(episode, setting)


def same_rubric(episode: Episode) -> None:
    """Refuse a log that another version of the rubric rated.

    Raises:
        LogError: It is one.
    """
    path, begin = episode.path, episode.begin
    if begin["rubric"] != RUBRIC_VERSION:
        raise LogError(f"{path}: was rated by rubric version {begin['rubric']}, this is version {RUBRIC_VERSION}: install the "
                       f"version that wrote it, propersim {begin['version']}, or rate it again (propersim rescore)")


def resident_of(episode: Episode, setting: str | None = None) -> Persona:
    """The persona of a log.

    Raises:
        LogError: It is not one of this version.
    """
    path, begin = episode.path, episode.begin
    place = load_setting(setting or begin["setting"])
    try:
        return persona_from_dict(begin["persona"], place, str(path))
    except DataError as error:
        raise LogError(f"{path}: its persona is not one of this version ({error.field}: {error.problem}): install the "
                       f"version that wrote the log, propersim {begin['version']}, or name the setting it lives in") from error


def _no_decision(episode: Episode, decisions: list[Decision], tick: int) -> str:
    where = f"{episode.path}: no decision was taken at tick {tick} ({moment_text(max(tick, 0))})"
    if not decisions:
        return f"{where}: the log has none"
    near = min(decisions, key=lambda d: abs(d.tick - tick)).tick
    return (f"{where}: the resident slept or was away, or the episode was over; the nearest decision is at tick {near} (day "
            f"{near // TICKS_PER_DAY}, {moment_text(near)})")


def _differs(episode: Episode, decision: Decision, found: str) -> str:
    return (f"{episode.path}: living it again does not give what is logged at tick {decision.tick} "
            f"({moment_text(decision.tick)}): {found}; the log was edited, or is of another version (it says "
            f"{episode.begin['version']}) or setting (--setting)")
