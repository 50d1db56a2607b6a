"""Deep reinforcement learning across residents: what is trained on some runs with others like any other assistant."""

import importlib.util
import json

import numpy as np
import pytest

from propersim_env import ProPerSimEnv
from propersim_env.baselines.deep_rl import CLASSES, People, Quiet, algorithm_class, learned_from, main, train
from propersim_env.cli import main as propersim
from propersim_env.features import Features
from propersim_env.persona import select_personas
from propersim_env.registry import make_assistant
from propersim_env.wrappers import Menu, catalogue_env

HAS_EXTRA = all(importlib.util.find_spec(name) for name in ("stable_baselines3", "sb3_contrib"))
needs_extra = pytest.mark.skipif(not HAS_EXTRA, reason='deep learners need the extra: pip install "propersim[rl]"')
QUICK = {
    "ppo": {"n_steps": 64, "batch_size": 64}, "dqn": {"learning_starts": 100},
    "recurrent-ppo": {"n_steps": 64, "batch_size": 64, "policy_kwargs": {"lstm_hidden_size": 8}},
}


@pytest.fixture(scope="session", params=list(CLASSES))
def policy(request, tmp_path_factory):
    """A folder with a hastily trained policy of each algorithm."""
    folder = tmp_path_factory.mktemp("policies") / request.param
    train(folder, request.param, "train:3", 1500, days=1, homes=2, setting="house@known", options=QUICK[request.param])
    return folder


@needs_extra
class TestPolicies:
    def test_says_where_it_comes_from(self, policy, setting):
        about = json.loads((policy / "about.json").read_text())
        assert about["steps"] >= 1500
        assert about["learned_from"] == ["train"]
        assert about["fields"] == Features(setting).names
        assert about["curve"]
        assert about["curve"] == sorted(about["curve"])
        assert sorted(path.name for path in policy.iterdir()) == ["about.json", "model.zip"]

    def test_runs_in_a_home(self, policy, setting):
        assistant, env = make_assistant("deep-rl", model=str(policy)), ProPerSimEnv(days=2, reward="utility")
        texts, said = {entry.text for entry in setting.catalogue}, []
        observation, _ = env.reset(seed=1)
        assistant.reset(1)
        over = False
        while not over:
            said.append(assistant.act(observation))
            observation, _, terminated, truncated, _ = env.step(said[-1])
            over = terminated or truncated
        assert {text for text in said if text} <= texts
        env.reset(seed=1)
        assistant.reset(1)
        assert [assistant.act(env.reset(seed=1)[0])] == said[:1]

    def test_goes_on_exactly_from_its_state(self, policy):
        env, first, other = ProPerSimEnv(days=1), *(make_assistant("deep-rl", model=str(policy)) for _ in range(2))
        observation, _ = env.reset(seed=2)
        first.reset(2)
        for _ in range(60):
            observation = env.step(first.act(observation))[0]
        other.set_state(json.loads(json.dumps(first.get_state())))
        for _ in range(60):
            text = first.act(observation)
            assert other.act(observation) == text
            observation = env.step(text)[0]
        assert first.get_state() == other.get_state()

    def test_is_run_and_compared_like_others_but_not_with_its_own_people(self, policy, tmp_path, capsys):
        run = ["run", "--assistants", f"deep-rl:model={policy}", "--days", "1", "--no-oracle", "--workers", "1"]
        assert propersim([*run, "--personas", "test:2", "--out", str(tmp_path / "run")]) == 0
        assert "deep-rl" in capsys.readouterr().out
        assert propersim([*run, "--personas", "train:2", "--out", str(tmp_path / "seen")]) != 0
        assert "it has learned from 'train'" in capsys.readouterr().err

    def test_new_texts_are_new_to_it(self, policy):
        assert make_assistant("deep-rl", model=str(policy), setting="house@new").menu.texts

    def test_drawn_actions_have_the_policys_probabilities(self, policy):
        assistant = make_assistant("deep-rl", model=str(policy))
        observation = ProPerSimEnv(days=1).reset(seed=0)[0]
        assistant.reset(0)
        if assistant.greedy:
            assert assistant.act(observation) == assistant.act(observation)
            return
        probabilities = assistant._preferences(Features(assistant.menu.setting).read(observation))
        silent = []
        for seed in range(300):
            assistant.reset(seed)
            silent.append(not assistant.act(observation))
        assert np.mean(silent) == pytest.approx(probabilities[0] / probabilities.sum(), abs=0.09)


@needs_extra
def test_silence_comes_first(tmp_path):
    """Before anything is learned it speaks rarely, whatever it sees."""
    still = {"n_steps": 64, "batch_size": 64, "learning_rate": 0.0}
    train(tmp_path / "new", "ppo", "train:1", 64, days=1, homes=1, options=still)
    assistant = make_assistant("deep-rl", model=str(tmp_path / "new"))
    observation = ProPerSimEnv(days=1).reset(seed=0)[0]
    assistant.reset(0)
    assert assistant._preferences(assistant.features.read(observation))[0] == pytest.approx(0.98, abs=0.01)


@needs_extra
def test_the_command_trains(tmp_path, capsys):
    main(["train", "--steps", "200", "--days", "1", "--homes", "2", "--people", "train:2", "--flat", "--option", "n_steps=50",
          "--option", "batch_size=50", "--out", str(tmp_path / "p")])
    assert f"propersim run --assistants deep-rl:model={tmp_path / 'p'}" in capsys.readouterr().out.replace("\n", "")
    assert json.loads((tmp_path / "p" / "about.json").read_text())["options"]["n_steps"] == 50


@needs_extra
@pytest.mark.parametrize(("wrong", "message"), [
    (["--algorithm", "pop"], "did you mean 'ppo'"), (["--option", "n_stepps=3"], "n_stepps"), (["--steps", "0"], "at least 1"),
    (["--people", "trian:3"], "trian"), (["--people", "temporal:2", "--days", "9"], "may see the first 7 days"),
])
def test_what_cannot_be_trained_is_said(wrong, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--steps", "50", "--days", "1", "--out", str(tmp_path / "p"), *wrong])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


@pytest.mark.skipif(HAS_EXTRA, reason="the extra rl is installed")
@pytest.mark.parametrize("name", CLASSES)
def test_without_the_extra_it_is_named(name):
    with pytest.raises(ImportError, match=r'pip install "propersim\[rl\]"'):
        algorithm_class(name)


def test_a_folder_without_a_policy_is_refused(tmp_path):
    for broken in (None, "{}", "not JSON"):
        if broken is not None:
            (tmp_path / "about.json").write_text(broken)
        with pytest.raises(ValueError, match="holds no policy of deep-rl"):
            make_assistant("deep-rl", model=str(tmp_path))
    with pytest.raises(ValueError, match="model"):
        make_assistant("deep-rl")


def test_a_policy_for_other_features_is_refused(tmp_path, setting):
    about = {"algorithm": "ppo", "factored": True, "fields": Features(setting).names[1:], "actions": Menu(setting, True).labels,
             "setting": "house", "learned_from": ["train"]}
    (tmp_path / "about.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="other features or actions"):
        make_assistant("deep-rl", model=str(tmp_path))
    with pytest.raises(ValueError, match="not new to an assistant"):
        make_assistant("deep-rl", model=str(tmp_path), setting="house@new")


def test_somebody_else_lives_there_in_each_episode():
    people = select_personas("train:3")
    homes = [People(catalogue_env(days=1), people, first, 2) for first in range(2)]
    met = []
    for _ in range(3):
        for home in homes:
            home.reset(seed=0)
            met.append(home.get_wrapper_attr("persona").id)
    assert met == [people[i % 3].id for i in range(6)]


def test_random_numbers_are_mostly_silence():
    space = Quiet(235, 0.9)
    space.seed(0)
    drawn = [space.sample() for _ in range(3000)]
    assert all(space.contains(number) for number in drawn)
    assert np.mean([number == 0 for number in drawn]) == pytest.approx(0.9, abs=0.02)
    assert {int(number) for number in drawn} >= {1, 234} or len(set(drawn)) > 150


@pytest.mark.parametrize(("people", "expected"), [
    ("train:2", ("train",)), ("train:1,dev:1", ("dev", "train")), ("p01,p02", ("p01", "p02")), ("sampled:2", ("s0",)),
    ("inner:2", ("inner",)), ("train:3,p03", ("p03", "s0")),
])
def test_whom_it_has_learned_from(people, expected):
    assert learned_from(people, select_personas(people), 3) == expected
