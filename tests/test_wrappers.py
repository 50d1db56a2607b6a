"""Wrappers for learners: actions as numbers, observations as vectors."""

import json
import re
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from propersim_env import ProPerSimEnv, load_setting
from propersim_env.features import FIELDS, Features
from propersim_env.persona import load_persona
from propersim_env.wrappers import CatalogueActions, ChatMessages, FeatureObservations, Menu, Messages, catalogue_env


def numbers(seed, count, highest, talkative=0.1):
    """Numbers of actions, most of them silence."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(count) < talkative, rng.integers(1, highest, count), 0).tolist()


@pytest.mark.parametrize(
    "options", [{}, {"factored": True}, {"reward": "rating", "persona": "p04"}, {"variant": "reactions-only"}])
def test_check_env(options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*different from the unwrapped version")  # it says so of every wrapper
        check_env(gym.make("ProPerSimCatalogue-v0", days=1, **options), skip_render_check=True)


def test_spec_makes_the_same_environment():
    env = gym.make("ProPerSimCatalogue-v0", days=2, factored=True)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.action_space == env.action_space == gym.spaces.Discrete(235)
    assert again.unwrapped.machine.config == env.unwrapped.machine.config
    assert np.array_equal(again.reset(seed=4)[0], env.reset(seed=4)[0])


def test_silence_earns_nothing_unless_ratings_are_asked_for():
    for options, silent in (({}, {0.0}), ({"variant": "delivered-only"}, {0.0}), ({"reward": "rating"}, {2.0, 3.0, 4.0})):
        env = catalogue_env(days=1, **options)
        env.reset(seed=0)
        assert {env.step(0)[1] for _ in range(50)} <= silent


def test_what_no_field_would_show_is_refused():
    with pytest.raises(ValueError, match="hold nothing of the persona"):
        gym.make("ProPerSimCatalogue-v0", reveal_persona=True)
    for wrapper in (CatalogueActions, FeatureObservations):
        with pytest.raises(TypeError, match="wraps a ProPerSim home"):
            wrapper(gym.make("CartPole-v1"))


@pytest.mark.parametrize("number", [-1, 703, 1.5, "", None])
def test_a_number_that_is_none_is_refused(number):
    env = catalogue_env(days=1)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"choose 0 \(silence\) to 702"):
        env.step(number)


@pytest.mark.parametrize("factored", [False, True])
def test_wrapped_trajectory_is_that_of_the_same_texts(factored):
    wrapped, plain = catalogue_env(factored, days=3, persona="p05"), ProPerSimEnv(days=3, persona="p05", reward="utility")
    wrapped.reset(seed=11)
    plain.reset(seed=11)
    menu, spoken = Menu(load_setting(), factored), 0
    for number in numbers(1, 2000, len(menu), 0.05):
        text = menu.take(number)
        spoken += bool(text)
        _, *told = wrapped.step(number)
        _, *expected = plain.step(text)
        assert told == expected
        if told[1] or told[2]:
            break
    else:
        pytest.fail("the episode did not end")
    assert spoken > 20


def test_numbers_are_the_texts_of_the_catalogue(setting):
    menu = Menu(setting)
    assert menu.look(0) == ""
    assert [menu.take(k) for k in range(1, len(menu))] == [entry.text for entry in setting.catalogue]
    assert menu.take(7) == menu.take(7)


@given(st.lists(st.integers(0, 234), max_size=60), st.sampled_from(["house", "house@known", "house@new"]))
@settings(max_examples=40, deadline=None)
def test_factored_numbers_say_the_text_of_the_pair_said_longest_ago(taken, name):
    setting = load_setting(name)
    menu, last = Menu(setting, factored=True), {}
    assert len(menu) == 1 + len(setting.topics) * len(setting.tones)
    by_text = {entry.text: entry for entry in setting.catalogue}
    for turn, number in enumerate(taken):
        text = menu.take(number)
        if not number:
            assert text == ""
            continue
        entry = by_text[text]
        topic, tone = divmod(number - 1, len(setting.tones))
        assert (entry.topic, entry.tone) == (setting.topics[topic].id, setting.tones[tone].id)
        others = [t.text for t in setting.catalogue if (t.topic, t.tone) == (entry.topic, entry.tone)]
        assert last.get(text, -1) == min(last.get(other, -1) for other in others)
        last[text] = turn


@given(seed=st.integers(0, 2**20), factored=st.booleans(),
       feedback=st.sampled_from(["full", "delivered", "reactions", "sampled:0.3"]), company=st.booleans(),
       talkative=st.sampled_from([0.0, 0.02, 0.5, 1.0]))
@settings(max_examples=15, deadline=None)
def test_observations_lie_in_their_space(seed, factored, feedback, company, talkative):
    env = catalogue_env(factored, persona="sampled", days=2, feedback=feedback, user_options={"company": company})
    observation, _ = env.reset(seed=seed)
    for number in numbers(seed, 2000, env.action_space.n, talkative):
        assert env.observation_space.contains(observation)
        observation, _, terminated, truncated, _ = env.step(number)
        if terminated or truncated:
            break
    assert env.observation_space.contains(observation)


@given(seed=st.integers(0, 2**20))
@settings(max_examples=10, deadline=None)
def test_nothing_hidden_is_in_the_features(seed):
    """They are a function of the texts read and of when something was said: a recording gives the same as the home."""
    env = catalogue_env(persona="sampled", days=2, feedback="sampled:0.5")
    recorder = ProPerSimEnv(persona="sampled", days=2, feedback="sampled:0.5", reward="utility")
    features, menu = Features(load_setting()), Menu(load_setting())
    vector, _ = env.reset(seed=seed)
    text, _ = recorder.reset(seed=seed)
    assert np.array_equal(features.read(text), vector)
    for number in numbers(seed, 400, len(menu)):
        vector, _, terminated, truncated, _ = env.step(number)
        text = recorder.step(menu.take(number))[0]
        assert np.array_equal(features.read(text, bool(number)), vector)
        if terminated or truncated:
            break


def test_two_residents_who_look_the_same_give_the_same_features(p01):
    """Other tastes, times and patience: as long as texts read the same, vectors do, whatever the resident thinks."""
    hidden = p01.to_dict()
    other = json.loads(json.dumps(hidden))
    other["preferences"]["timing"] = {**load_persona("p07").to_dict()["preferences"]["timing"], "unwanted_activities": []}
    other["preferences"]["frequency"] = {**other["preferences"]["frequency"], "per_day": 1, "min_gap_minutes": 5}
    assert hidden != other
    envs = [catalogue_env(persona=one, days=1) for one in (hidden, other)]
    texts = [ProPerSimEnv(persona=one, days=1, reward="utility") for one in (hidden, other)]
    for environment in (*envs, *texts):
        environment.reset(seed=3)
    menu, same = Menu(load_setting()), 0
    for number in numbers(5, 300, len(menu), 0.02):
        text = menu.take(number)
        vectors, read = [env.step(number)[0] for env in envs], [env.step(text)[0] for env in texts]
        if read[0] != read[1]:
            break
        assert np.array_equal(*vectors)
        same += 1
    assert same > 20
    assert not np.array_equal(*vectors)  # they were marked differently, and that is told


def walk(features, env, texts):
    """The named features after each text."""
    env.reset(seed=0)
    features.reset()
    rows = [features.read(env.reset(seed=0)[0])]
    rows += [features.read(env.step(text)[0], bool(text)) for text in texts]
    return [dict(zip(features.names, row.tolist(), strict=True)) for row in rows]


def test_fields_say_what_their_descriptions_say(setting):
    entry = setting.catalogue[0]
    env, features = ProPerSimEnv(days=3, user_options={"noise": 0.0}), Features(setting)
    rows = walk(features, env, ["", "", entry.text, "", "Words of my own about nothing at all.", ""])
    topic, tone = f"topic_said:{entry.topic}", f"tone_said:{entry.tone}"
    assert [row["today"] * 12 for row in rows] == pytest.approx([0, 0, 0, 1, 1, 2, 2])
    assert [row["told"] for row in rows] == [0, 0, 0, 1, 1, 1, 1]
    assert rows[2]["since_said"] == 1
    assert 0 < rows[3]["since_said"] < rows[4]["since_said"]
    assert rows[5]["since_said"] == rows[3]["since_said"]
    assert [round(row[topic] * 8, 1) for row in rows] == [0, 0, 0, 1, 1, 1, 1]  # words of one's own are on no topic
    assert rows[6][tone] * 16 == pytest.approx(1, abs=0.01)
    for row in rows[3:]:
        assert row["rating"] * 4 == sum(row[name] for name in row if name.startswith("marks:"))
        assert sum(row[name] for name in row if name.startswith("reaction:")) == 1
    liked = round(rows[3][f"topic_liked:{entry.topic}"] * 8, 1)
    assert liked == rows[3]["marks:preference"]
    assert round(rows[3][f"tone_liked:{entry.tone}"] * 16, 1) == rows[3]["marks:communication"]
    lost = 0.5 * (1 - rows[3]["marks:preference"]) + (1 - rows[3]["marks:frequency"])
    assert rows[3]["weary"] * 4 == pytest.approx(lost, abs=0.02)


def test_ratings_that_are_kept_back_are_not_told(setting):
    env = ProPerSimEnv(days=1, feedback="reactions", reward="utility")
    rows = walk(Features(setting), env, [entry.text for entry in setting.catalogue[:30]])
    for row in rows[1:]:
        assert row["told"] == row["rating"] == row["weary"] == 0
        assert not any(row[name] for name in row if name.startswith(("marks:", "topic_liked:", "tone_liked:")))
        assert sum(row[name] for name in row if name.startswith("reaction:")) == 1


def test_a_new_day_is_seen(setting):
    env, features = ProPerSimEnv(days=3), Features(setting)
    rows = [row for row in walk(features, env, [setting.catalogue[0].text] + [""] * 600) if row["yesterday"]]
    assert rows
    assert rows[0]["yesterday"] * 12 == pytest.approx(1)
    assert rows[0]["today"] == 0
    assert rows[0]["since_change"] == 0


def test_state_goes_on_exactly(setting):
    env, features, again = ProPerSimEnv(days=2), Features(setting), Features(setting)
    menu = Menu(setting, factored=True)
    walk(features, env, [menu.take(number) for number in numbers(2, 60, len(menu), 0.2)])
    again.set_state(json.loads(json.dumps(features.get_state())))
    copy = Menu(setting, factored=True)
    copy.set_state(json.loads(json.dumps(menu.get_state())))
    for number in numbers(3, 60, len(menu), 0.2):
        text = menu.take(number)
        assert text == copy.take(number)
        seen = env.step(text)[0]
        assert np.array_equal(features.read(seen, bool(text)), again.read(seen, bool(text)))


def test_every_field_is_described_and_named(setting):
    features = Features(setting)
    assert len(features.names) == len(set(features.names)) == len(features.low) == len(features.high)
    assert list(dict.fromkeys(name.partition(":")[0] for name in features.names)) == [f.name for f in FIELDS]
    page = (Path(__file__).parent.parent / "docs" / "train_your_own_learner.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)`.* \| (\S+)\.\.(\S+) \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(f.name, f"{f.low:g}", f"{f.high:g}", f.about) for f in FIELDS]


def test_chat_checks_and_spaces():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*different from the unwrapped version")
        warnings.filterwarnings("ignore", ".*Observation is not a NumPy array")
        check_env(ChatMessages(ProPerSimEnv(days=1), history=3), skip_render_check=True)
    space = Messages(seed=0)
    assert all(space.contains(space.sample()) for _ in range(20))
    for wrong in ((), "text", [{"role": "user"}], [{"role": "judge", "content": ""}], [{"role": "user", "content": 1}], [3]):
        assert not space.contains(wrong)


@pytest.mark.parametrize(("answer", "said"), [
    ("SILENCE", ""), (" silence.\n", ""), ("**Silence**", ""), ('"SILENCE"', ""), ("", ""), (" \n", ""),
    ("  Tea?\n", "Tea?"), ("Silence is golden.", "Silence is golden."), ("*smiles*", "*smiles*"),
])
def test_what_an_answer_says(answer, said):
    assert ChatMessages(ProPerSimEnv(days=1)).text(answer) == said


@given(st.lists(st.sampled_from(["SILENCE", "silence.", "", "Tea?", " A short walk? ", "Read a page."]), max_size=40),
       st.integers(0, 4))
@settings(max_examples=25, deadline=None)
def test_chat_is_the_same_episode(answers, history):
    chat, plain = ChatMessages(ProPerSimEnv(days=1), history=history), ProPerSimEnv(days=1)
    messages, _ = chat.reset(seed=2)
    seen, said = [plain.reset(seed=2)[0]], []
    for answer in answers:
        messages, *told = chat.step(answer)
        said.append(chat.text(answer))
        text, *expected = plain.step(said[-1])
        seen.append(text)
        assert told == expected
    shown = min(history, len(answers))
    assert [m["content"] for m in messages if m["role"] == "user"] == seen[-shown - 1:]
    assert [m["content"] for m in messages if m["role"] == "assistant"] == [t or "SILENCE" for t in said][len(said) - shown:]
    roles = [m["role"] for m in messages]
    assert roles == ["system"] + ["user", "assistant"] * shown + ["user"]
    assert chat.observation_space.contains(messages)


def test_words_of_the_chat_can_be_chosen():
    chat = ChatMessages(ProPerSimEnv(days=1), silence="PASS")
    messages, _ = chat.reset(seed=0)
    assert "PASS" in messages[0]["content"]
    assert "SILENCE" not in messages[0]["content"]
    assert chat.text("pass") == ""
    assert ChatMessages(ProPerSimEnv(days=1), system="Be brief.").reset(seed=0)[0][0]["content"] == "Be brief."
    for wrong in ({"history": -1}, {"silence": " . "}):
        with pytest.raises(ValueError, match="name a word"):
            ChatMessages(ProPerSimEnv(days=1), **wrong)
