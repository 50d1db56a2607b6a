"""Deep learners of Stable-Baselines3 train unmodified on ``ProPerSimCatalogue-v0``."""

import gymnasium as gym
import numpy as np
import pytest

import propersim_env  # noqa: F401 (registers the environments)

pytest.importorskip("stable_baselines3", reason='deep learners need the extra: pip install "propersim[rl]"')
pytest.importorskip("sb3_contrib", reason='RecurrentPPO needs the extra: pip install "propersim[rl]"')

from sb3_contrib import RecurrentPPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_vec_env
from test_examples import ROOT, blocks

ENV, STEPS = "ProPerSimCatalogue-v0", 2000
ALGORITHMS = [
    (PPO, "MlpPolicy", {}), (DQN, "MlpPolicy", {}),
    (RecurrentPPO, "MlpLstmPolicy", {"policy_kwargs": {"lstm_hidden_size": 32}}),  # 256 would take half a minute
]


def weights(model):
    """All weights of a policy, in one vector."""
    return np.concatenate([tensor.detach().numpy().ravel() for tensor in model.policy.state_dict().values()])


@pytest.mark.filterwarnings("error")
def test_their_own_checker_is_content():
    check_env(gym.make(ENV, days=1), skip_render_check=True)


@pytest.mark.parametrize("several", [False, True], ids=["one resident", "four residents"])
@pytest.mark.parametrize(("algorithm", "policy", "options"), ALGORITHMS, ids=lambda value: getattr(value, "__name__", ""))
def test_trains_saves_and_loads(algorithm, policy, options, several, tmp_path):
    residents = {"persona": "sampled", "days": 1, "factored": True}
    env = make_vec_env(ENV, n_envs=4, seed=0, env_kwargs=residents) if several else ENV
    model = algorithm(policy, env, seed=0, **options)
    before = weights(model)
    model.learn(STEPS)
    assert model.num_timesteps >= STEPS
    after = weights(model)
    assert np.isfinite(after).all()
    assert not np.array_equal(before, after)
    if several:
        people = {env.env_method("get_wrapper_attr", "persona", indices=i)[0].name for i in range(4)}
        assert len(people) == 4
    model.save(tmp_path / "model")
    again = algorithm.load(tmp_path / "model")
    observation = gym.make(ENV, days=1).reset(seed=5)[0]
    assert np.array_equal(weights(again), after)
    assert again.predict(observation, deterministic=True)[0] == model.predict(observation, deterministic=True)[0]


def test_code_of_the_documentation_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    codes = [code for _, code in blocks(ROOT / "docs" / "train_your_own_learner.md", "py")]
    assert codes
    for code in codes:
        exec(code, {"__name__": "page"})
    assert (tmp_path / "policy.zip").exists()
