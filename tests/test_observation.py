"""Observations can be read back into the values that they were written from."""

from __future__ import annotations

import gymnasium as gym
import pytest
from hypothesis import given
from hypothesis import strategies as st

from propersim_env.machine import Machine, MachineConfig
from propersim_env.messages import REACTIONS, Activity, Rating, UserTurn, gather
from propersim_env.observation import read_observation
from propersim_env.registry import make_assistant
from propersim_env.vector import ProPerSimVectorEnv


@pytest.mark.parametrize("feedback", ["full", "reactions"])
def test_parts_are_those_of_the_machine(feedback: str) -> None:
    env = ProPerSimVectorEnv(4, days=2, reward="utility", feedback=feedback, autoreset=False)
    speaker = make_assistant("random", p=0.05)
    speaker.reset(3)
    observations, _ = env.reset(seed=5)
    said = [""] * 4
    for _ in range(500):
        machine = env.machine
        for i in range(4):
            seen = read_observation(observations[i])
            assert seen.tick == machine.tick[i]
            assert seen.action == machine.activities[i].text
            assert seen.said == said[i]
            assert (seen.rating is None) == (not said[i] or feedback == "reactions")
            assert seen.rating is None or (seen.marks is not None and seen.rating == seen.marks.bit_count())
        actions = [speaker.act(text) for text in observations]
        said = [action or before for action, before in zip(actions, said, strict=True)]
        observations, _, _, _, _ = env.step(actions)


@given(said=st.text(min_size=1, max_size=80), marks=st.integers(0, 15), reaction=st.sampled_from(REACTIONS),
       company=st.sampled_from(["", "Ines is reading (study)"]), tick=st.integers(1, 5000))
def test_whatever_was_said_is_read_back(said: str, marks: int, reaction: str, company: str, tick: int) -> None:
    machine = Machine(1, MachineConfig(days=20))
    machine.begin(0, None)
    machine.first_turn(0, UserTurn(None, Activity("stirring a stew", "kitchen"), tick - 1))
    machine.assistant_turn([said])
    activity = Activity("reading (again)", "living room", company=company)
    machine.user_turn(gather([UserTurn(Rating(marks, reaction), activity, tick)], [Activity("", "")]))
    seen = read_observation(machine.observation(0))
    assert (seen.tick, seen.action, seen.room, seen.company) == (tick, "reading (again)", "living room", company)
    assert (seen.said, seen.marks, seen.reaction) == (said, marks, reaction)


def test_a_revealed_persona_stands_apart() -> None:
    env = gym.make("ProPerSim-v0", reveal_persona=True)
    observation, _ = env.reset(seed=1)
    seen = read_observation(observation)
    assert seen.persona and seen.persona in observation and seen.action


def test_another_text_is_refused() -> None:
    with pytest.raises(ValueError, match="no observation of a ProPerSim home"):
        read_observation("It is raining.")
