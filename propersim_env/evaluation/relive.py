"""A logged episode, lived again up to one decision: the resident as it was when that decision was rated.

Episodes are functions of what their log begins with and of what was said, so nothing but the log is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from propersim_env.clock import TICKS_PER_DAY, moment_text
from propersim_env.episode import RUBRIC_VERSION
from propersim_env.log import Decision, Episode, LogError
from propersim_env.machine import Machine, MachineConfig
from propersim_env.persona import Persona, persona_from_dict
from propersim_env.protocols import UserBatch
from propersim_env.registry import make_users, user_names
from propersim_env.schema import DataError
from propersim_env.setting import load_setting
from propersim_env.what_if import capability


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


def observations(episode: Episode, setting: str | None = None) -> Iterator[tuple[str, Decision]]:
    """Every decision of a log with the observation that it was taken on, as the assistant saw it.

    Args:
        episode: From `propersim_env.log.read_episode`; it need not be complete.
        setting: As for `relive`.

    Raises:
        LogError, TypeError: As for `relive`.
    """
    users, persona = home(episode, setting)
    begin = episode.begin
    config = MachineConfig(begin["days"], "utility", begin["reveal_persona"], feedback=begin.get("feedback", "full"))
    machine = Machine(1, config)
    machine.begin(0, persona, None, begin["seed"])
    machine.first_turn(0, users.reset(0, persona, begin["seed"]))
    for decision in episode.decisions():
        if decision.tick != machine.tick[0]:
            raise LogError(_differs(episode, decision, f"it is at {moment_text(int(machine.tick[0]))} then"))
        yield machine.observation(0), decision
        machine.assistant_turn([decision.text])
        turns = users.act([decision.text])
        if 0 in turns.faults:
            raise turns.faults[0]
        if decision.marks is not None and int(turns.marks[0]) != decision.marks:
            raise LogError(_differs(episode, decision, f"it gives the marks {int(turns.marks[0]):x}, not {decision.marks:x}"))
        machine.user_turn(turns)


def home(episode: Episode, setting: str | None = None, **options: Any) -> tuple[UserBatch, Persona]:
    """Users of one home, and the persona, as the log says but for these options of the user.

    Raises:
        LogError, TypeError: As for `relive`.
    """
    path, begin = episode.path, episode.begin
    if begin["rubric"] != RUBRIC_VERSION:
        raise LogError(f"{path}: was rated by rubric version {begin['rubric']}, this is version {RUBRIC_VERSION}: install the "
                       f"version that wrote it, propersim {begin['version']}")
    name = begin["user"]["name"]
    if name not in user_names() and ":" not in name:
        raise LogError(f"{path}: its resident was played by {name!r}, which cannot be built from its name: only episodes of a "
                       f"registered user or an import path can be lived again")
    users = make_users(name, 1, **{**begin["user"].get("options", {}), **options})
    capability(getattr(users, "users", [users])[0], "what_if")
    home = load_setting(setting or begin["setting"])
    try:
        return users, persona_from_dict(begin["persona"], home, str(path))
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
