"""Gymnasium, vector and PettingZoo views are one machine: the same trajectories and, byte for byte, the same logs."""

import json

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

import propersim_env
from propersim_env.messages import UserTurn
from propersim_env.registry import make_user
from propersim_env.vector import ProPerSimVectorEnv

CASES = st.tuples(
    st.sampled_from(["p02", "p05", "p11", "sampled"]),
    st.integers(0, 2**31 - 1),
    st.lists(st.sampled_from(["", "", "", "hello", "Try a slow curry tonight.", "🙂 שלום \x00"]), min_size=5, max_size=40),
    st.sampled_from([{}, {"noise": 0.0}, {"follow_through": True}]),
)


def policy(texts):
    """A policy that says each text in turn, again and again."""
    return lambda n: texts[n % len(texts)]


def through_gym(persona, seed, say, options, folder):
    env = gym.make("ProPerSim-v0", persona=persona, days=1, user_options=options, log_dir=folder)
    trajectory = [env.reset(seed=seed)[0]]
    n, over = 0, False
    while not over:
        observation, reward, terminated, truncated, info = env.step(say(n))
        trajectory.append((observation, reward, terminated, truncated, info["tick"]))
        over, n = terminated or truncated, n + 1
    return trajectory


def through_vector(persona, seed, say, options, folder):
    """The case lives in home 1 of 3; its neighbours must not matter."""
    env = ProPerSimVectorEnv(3, persona=["p30", persona, "p07"], days=1, user_options=options, log_dir=folder,
                             autoreset=False)
    trajectory = [env.reset(seed=[1, seed, 2])[0][1]]
    n, over = 0, False
    while not over:
        observations, rewards, terminated, truncated, info = env.step(["", say(n), "hello" if n % 9 == 0 else ""])
        trajectory.append((observations[1], rewards[1], terminated[1], truncated[1], info["tick"][1]))
        over, n = terminated[1] or truncated[1], n + 1
    env.close()
    return trajectory


def through_aec(persona, seed, say, options, folder):
    env = propersim_env.env(persona=persona, days=1, log_dir=folder, log_user={"name": "simulated", "options": options})
    env.reset(seed=seed)
    base, user = env.unwrapped, make_user("simulated", **options)
    env.step(user.reset(base.persona, base.episode_seed))
    trajectory = [env.observe("assistant_0")["text"]]
    turns, n = [], 0
    while True:
        heard = say(n)
        env.step(heard)
        turn = user.act(env.observe("user_0")["text"])
        action = turn.to_action(int(base.machine.tick[0]))
        assert env.action_space("user_0").contains(action)
        assert UserTurn.from_action(action, int(base.machine.tick[0])) == turn
        turns.append((heard, turn))
        env.step(action)
        observation, reward, _, _, _ = env.last()
        trajectory.append((observation["text"], reward, base.machine.terminated[0], base.machine.truncated[0],
                           int(base.machine.tick[0])))
        n += 1
        if not base.machine.active[0]:
            break
    env.step("ignored: the episode is over")
    assert all(env.truncations.values())
    env.close()
    return trajectory, turns


def through_parallel(persona, seed, turns, options, folder):
    """Replays the actions of the AEC run: the parallel view takes both at once."""
    env = propersim_env.parallel_env(persona=persona, days=1, log_dir=folder,
                                     log_user={"name": "simulated", "options": options})
    env.reset(seed=seed)
    base = env.unwrapped
    user = make_user("simulated", **options)
    first = user.reset(base.persona, base.episode_seed)
    rewards, said = [], [text for text, _ in turns]
    acted = [first] + [turn for _, turn in turns]
    for n, turn in enumerate(acted):
        _, reward, _, truncations, _ = env.step({"user_0": turn, "assistant_0": said[n] if n < len(said) else ""})
        rewards.append(reward["assistant_0"])
    assert all(truncations.values())
    assert not env.agents
    env.close()
    return rewards[1:]


@settings(max_examples=8, deadline=None)
@given(case=CASES)
def test_views_are_equal(case, tmp_path_factory):
    persona, seed, texts, options = case
    say = policy(texts)
    folders = [tmp_path_factory.mktemp(name) for name in ("gym", "vector", "aec", "parallel")]
    one = through_gym(persona, seed, say, options, folders[0])
    two = through_vector(persona, seed, say, options, folders[1])
    three, turns = through_aec(persona, seed, say, options, folders[2])
    rewards = through_parallel(persona, seed, turns, options, folders[3])
    assert one == two == three
    assert rewards == [step[1] for step in one[1:]]
    name = next(folders[0].iterdir()).name
    logs = [(folder / name).read_bytes() for folder in folders]
    assert logs[0] == logs[1] == logs[2] == logs[3]
    assert json.loads(logs[0].splitlines()[-1])["event"] == "end"


def test_branching_is_exact(p01):
    """`get_state` is JSON; a branch goes on exactly as the original would have, in another environment too."""
    env = gym.make("ProPerSim-v0", persona="p01", days=3, user_options={"follow_through": True}).unwrapped
    env.reset(seed=5)
    for n in range(500):
        env.step("Try a slow curry tonight." if n % 50 == 0 else "")
    state = json.loads(json.dumps(env.get_state()))

    def go_on(home):
        return [home.step("How about a walk in the garden?" if n % 70 == 3 else "")[:4] for n in range(400)]

    rates = [env.rate(text) for text in ("", "Put on a quiet record.")]
    original = go_on(env)
    other = gym.make("ProPerSim-v0", persona="p09", days=3, user_options={"follow_through": True}).unwrapped
    other.set_state(state)
    assert [other.rate(text) for text in ("", "Put on a quiet record.")] == rates
    assert go_on(other) == original
    env.set_state(state)
    assert go_on(env) == original
    vector = ProPerSimVectorEnv(2, persona="p02", days=3, user_options={"follow_through": True}, autoreset=False)
    vector.reset(seed=0)
    vector.set_state(1, state)
    branch = []
    for n in range(400):
        step = vector.step(["", "How about a walk in the garden?" if n % 70 == 3 else ""])
        branch.append((step[0][1], step[1][1], step[2][1], step[3][1]))
    assert branch == original


def test_rating_a_candidate_changes_nothing():
    env = gym.make("ProPerSim-v0", persona="p04", days=1).unwrapped
    env.reset(seed=1)
    for _ in range(100):
        env.step("")
    before = env.get_state()
    foreseen = env.rate("Put the kettle on and try the ginger tea.")
    assert env.get_state() == before
    _, reward, _, _, info = env.step("Put the kettle on and try the ginger tea.")
    assert reward == foreseen.total
    assert info["marks"] == foreseen.as_dict()
    assert info["reasons"] == foreseen.reasons


def test_the_rating_of_silence_is_foreseen_too():
    env = gym.make("ProPerSim-v0", persona="p01", days=2).unwrapped
    env.reset(seed=3)
    for _ in range(700):
        foreseen = env.rate("")
        assert env.step("")[1] == foreseen.total


def test_common_random_numbers():
    """Another policy meets the same routine, needs and noise."""

    def days(text):
        env = gym.make("ProPerSim-v0", persona="p06", days=2).unwrapped
        env.reset(seed=9)
        seen, over = [], False
        while not over:
            observation, _, terminated, truncated, _ = env.step(text)
            over = terminated or truncated
            seen.append(observation.split(". ")[1])
            plan = env.users.residents[0].plan
        return seen, [(n.want.id, n.start, n.end) for n in plan.needs], plan.noise.tolist()

    assert days("") == days("How about a walk in the garden?")


def test_vector_resets_finished_homes():
    env = gym.make_vec("ProPerSim-v0", num_envs=3, persona="bundled", days=1)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    env.reset(seed=0)
    ends = np.zeros(3, int)
    for _ in range(900):
        before = ends.copy()
        observations, rewards, terminated, truncated, _ = env.step(("", "", ""))
        ends += terminated | truncated
        assert ((rewards >= 0) & (rewards <= 4)).all()
        assert all(isinstance(o, str) for o in observations)
        assert (before <= ends).all()
    assert (ends >= 2).all()
    assert env.observation_space.contains(observations)
    env.close()


def test_vector_view_equals_single_views_across_resets():
    """Each home draws its next seed by itself, so what happens in one home changes nothing in another."""
    options = {"dismissal": True}
    single = gym.vector.SyncVectorEnv([
        (lambda p=p: gym.make("ProPerSim-v0", persona=p, days=1, user_options=options)) for p in ("p01", "sampled", "bundled")
    ])
    vector = ProPerSimVectorEnv(3, persona=["p01", "sampled", "bundled"], days=1, user_options=options)
    assert single.reset(seed=5)[0] == vector.reset(seed=5)[0]
    for n in range(1100):
        texts = ("", "Buy it now!" if n % 2 else "", "hello" if n % 100 == 0 else "")
        one, two = single.step(texts), vector.step(texts)
        assert one[0] == two[0]
        for a, b in zip(one[1:4], two[1:4], strict=True):
            assert a.tolist() == b.tolist()


def test_what_a_step_returned_stays_as_it_was():
    env = ProPerSimVectorEnv(2, max_cycles=1, autoreset=False)
    env.reset(seed=0)
    _, _, _, truncated, _ = env.step(["", ""])
    env.reset(options={"reset_mask": truncated})
    assert truncated.all()
    with pytest.raises(ValueError, match="a mask of 1 for 2 homes"):
        env.reset(options={"reset_mask": np.ones(1, bool)})
    with pytest.raises(ValueError, match=r"\['persona'\] are unknown"):
        env.reset(options={"persona": "p02"})


def test_utility_reward_and_revealed_persona():
    env = gym.make("ProPerSim-v0", persona="p01", days=1, reward="utility", reveal_persona=True)
    observation, _ = env.reset(seed=0)
    assert env.unwrapped.persona.rubric["Timing"] in observation
    assert env.step("")[1] == 0.0
    _, reward, _, _, info = env.step("A word about everything and nothing.")
    assert reward == (sum(info["marks"].values()) - 2) / 2


@pytest.mark.parametrize("text", [
    "x" * 100_000, "🙂" * 5_000, "\u202eשלום \u0627\u0644\u0633\u0644\u0627\u0645", "\x00\x01\x1b[31m\r\n\t", "\ud800", " ",
    "'; DROP TABLE residents; --", '{"rating": 4}', "４ ｏｕｔ ｏｆ ４",
])
def test_any_string_is_survivable(text, tmp_path):
    env = gym.make("ProPerSim-v0", persona="p01", days=1, log_dir=tmp_path)
    env.reset(seed=0)
    for _ in range(3):
        observation, reward, _, _, _ = env.step(text)
        assert 0 <= reward <= 4
    over = False
    while not over:
        over = env.step("")[3]
    path = next(tmp_path.glob("*.jsonl"))
    episode = propersim_env.read_episode(path)
    assert [e["text"] for e in episode.said()] == [text] * 3
    assert env.observation_space.contains(observation)


def test_actions_must_be_text():
    env = gym.make("ProPerSim-v0", days=1, disable_env_checker=True)
    env.reset(seed=0)
    with pytest.raises(TypeError, match="an action is a text"):
        env.step(3)
    with pytest.raises(gym.error.ResetNeeded):
        gym.make("ProPerSim-v0").unwrapped.step("")
