"""The checkers of Gymnasium and PettingZoo pass with warnings as errors.

Three warnings come from text itself and cannot be avoided; they are filtered by name here, and nothing else is.
"""

import warnings

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env

import propersim_env
from propersim_env import two_agent

with warnings.catch_warnings():  # importing the tests imports games of PettingZoo, which warn about themselves
    warnings.simplefilter("ignore", DeprecationWarning)
    from pettingzoo.test import api_test, max_cycles_test, parallel_api_test, parallel_seed_test, render_test, seed_test

TEXT_WARNINGS = [
    "ignore:Observation is not a NumPy array:UserWarning",
    "ignore:Observation space for each agent probably should be:UserWarning",
    "ignore:Action space for each agent probably should be:UserWarning",
]
text_warnings = pytest.mark.filterwarnings(*TEXT_WARNINGS)


@pytest.mark.parametrize("env_id", ["ProPerSim-v0", "ProPerSimLive-v0"])
def test_check_env(env_id):
    check_env(gym.make(env_id, persona="p03", days=1).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_check_env_render(mode):
    check_env(gym.make("ProPerSim-v0", days=1, render_mode=mode).unwrapped)


def test_check_env_through_spec():
    """Render modes and reproducibility through the registered spec, as `check_env` does for a made environment."""
    env = gym.make("ProPerSim-v0", days=1)
    assert env.spec is not None
    assert env.spec.nondeterministic is False
    assert gym.spec("ProPerSimLive-v0").nondeterministic is True
    gym.make(env.spec).close()
    assert gym.envs.registration.EnvSpec.from_json(env.spec.to_json()) == env.spec


@text_warnings
def test_api():
    api_test(propersim_env.env(days=1), num_cycles=50)
    api_test(propersim_env.raw_env(days=2), num_cycles=600)


@text_warnings
def test_parallel_api():
    parallel_api_test(propersim_env.parallel_env(days=1), num_cycles=50)


@text_warnings
def test_seeds():
    seed_test(lambda: propersim_env.env(days=1), num_cycles=40)
    parallel_seed_test(lambda: propersim_env.parallel_env(days=1), num_cycles=40)


@text_warnings
def test_max_cycles():
    max_cycles_test(two_agent)


@text_warnings
def test_render(capsys):
    render_test(lambda **kwargs: propersim_env.env(days=1, **kwargs))
