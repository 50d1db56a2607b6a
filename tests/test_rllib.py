"""RLlib: the parallel view through its wrapper of PettingZoo, and its PPO on ``ProPerSimCatalogue-v0``."""

import gymnasium as gym
import numpy as np
import pytest
from test_examples import ROOT, blocks

import propersim_env

pytest.importorskip("ray.rllib", reason='needs RLlib: pip install "ray[rllib]" torch')

ENV = "ProPerSimCatalogue-v0"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own


def test_parallel_view_through_the_wrapper_is_the_same():
    """A whole day with the simulated user; RLlib's wrapper hands everything on unchanged, and says when all is over."""
    from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv

    def day(env):
        observations, _ = env.reset(seed=0)
        home, user = propersim_env.parallel_env(persona="p05", days=1).unwrapped, propersim_env.make_user("simulated")
        home.reset(seed=0)
        turn = user.reset(home.persona, home.episode_seed)
        while True:
            text = "Fresh air does wonders." if ", 14:57." in observations["assistant_0"]["text"] else ""
            observations, rewards, terminated, truncated, _ = env.step({"user_0": turn, "assistant_0": text})
            yield observations, rewards
            if terminated.get("__all__") or truncated.get("__all__") or not env.agents:
                return
            turn = user.act(observations["user_0"]["text"])

    wrapped = list(day(ParallelPettingZooEnv(propersim_env.parallel_env(persona="p05", days=1))))
    assert wrapped == list(day(propersim_env.parallel_env(persona="p05", days=1)))
    assert len(wrapped) > 300
    assert {rewards["assistant_0"] for _, rewards in wrapped} > {3}


def test_its_ppo_trains_on_the_catalogue(tmp_path):
    from ray.rllib.algorithms.algorithm import Algorithm
    from ray.rllib.algorithms.ppo import PPOConfig

    config = (PPOConfig().environment(ENV, env_config={"persona": "sampled", "days": 1, "factored": True})
              .env_runners(num_env_runners=0).training(train_batch_size_per_learner=2000, minibatch_size=500, num_epochs=2))
    algorithm = config.build_algo()
    try:
        result = algorithm.train()
        assert result["env_runners"]["num_env_steps_sampled_lifetime"] >= 2000
        assert np.isfinite(result["env_runners"]["episode_return_mean"])
        assert np.isfinite(result["learners"]["default_policy"]["total_loss"])
        module = algorithm.get_module()
        assert module.action_space == gym.make(ENV, factored=True).action_space
        path = algorithm.save_to_path(tmp_path / "checkpoint")
        again = Algorithm.from_checkpoint(path)
        try:
            for name, value in module.get_state().items():
                assert np.array_equal(value, again.get_module().get_state()[name])
        finally:
            again.stop()
    finally:
        algorithm.stop()
        import ray

        ray.shutdown()


def test_code_of_the_documentation_runs(capsys):
    [(_, code)] = blocks(ROOT / "docs" / "train_your_own_learner.md", "py rllib")
    namespace = {"__name__": "page"}
    try:
        exec(code, namespace)
        assert np.isfinite(float(capsys.readouterr().out.splitlines()[-1]))
    finally:
        namespace["algorithm"].stop()
        import ray

        ray.shutdown()
