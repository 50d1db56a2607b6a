"""Feedback protocols: what the assistant is told, in every view; and the named variants that use them."""

from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest

import propersim_env
from propersim_env.agents.users.simulated import SimulatedUser
from propersim_env.cli import main
from propersim_env.evaluation.metrics import measure
from propersim_env.evaluation.units import Batch, RunConfig, Unit
from propersim_env.feedback import REACTION_UTILITY, Feedback
from propersim_env.log import read_episode
from propersim_env.messages import ASSISTANT, USER
from propersim_env.persona import load_persona
from propersim_env.registry import make_assistant
from propersim_env.variants import settle, variants
from propersim_env.vector import ProPerSimVectorEnv

TEXT = "How about a slow vegetable soup tonight?"


def play(feedback, days=1, every=9, log=None):
    """One day; the texts of a random speaker. Gives observations, rewards and infos."""
    env = propersim_env.ProPerSimEnv(persona="p01", days=days, reward="utility", feedback=feedback, log_dir=log)
    speaker = make_assistant("random", p=0.08)
    speaker.reset(3)
    observation, info = env.reset(seed=0)
    steps, over = [], False
    while not over:
        text = speaker.act(observation)
        observation, reward, terminated, truncated, info = env.step(text)
        steps.append((text, observation, reward, info))
        over = terminated or truncated
    env.close()
    return steps


def test_specifications_are_read_or_refused():
    assert Feedback.parse("sampled:0.3") == Feedback("sampled", 0.3)
    for wrong in ("half", "sampled", "sampled:2", "sampled:x", "full:1", ""):
        with pytest.raises(ValueError, match="feedback="):
            Feedback.parse(wrong)
    with pytest.raises(ValueError, match="use reward='utility'"):
        propersim_env.ProPerSimEnv(feedback="delivered", reward="rating")


def test_delivered_rates_only_what_was_said():
    full, told = play("full"), play("delivered")
    assert any(text for text, *_ in told)
    for (text, _, reward, _), (said, _, given, info) in zip(full, told, strict=True):
        assert text == said
        assert given == reward  # utility of silence is 0 in both
        assert bool(info["marks"]) == bool(text)


def test_reactions_tell_no_rating_anywhere():
    for text, observation, reward, info in play("reactions"):
        assert info["marks"] == {}
        assert info["reasons"] == {}
        assert "rated it" not in observation
        assert reward == (REACTION_UTILITY[info["reaction"]] if text else 0)


def test_a_share_of_the_ratings_is_told_the_same_to_all():
    told = [(info["tick"], bool(info["marks"])) for text, _, _, info in play("sampled:0.3", days=3) if text]
    share = np.mean([rated for _, rated in told])
    assert 0.1 < share < 0.6
    persona = load_persona("p01")
    feedback = Feedback.parse("sampled:0.3")
    assert [feedback.rated(0, persona.id, t) for t in range(2000)] == [feedback.rated(0, persona.id, t) for t in range(2000)]
    assert np.mean([feedback.rated(0, persona.id, t) for t in range(20_000)]) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("feedback", ["delivered", "reactions", "sampled:0.5"])
def test_views_tell_the_same(feedback):
    single = play(feedback)
    many = ProPerSimVectorEnv(2, persona="p01", days=1, reward="utility", feedback=feedback)
    seen, _ = many.reset(seed=[0, 7])
    two = propersim_env.env(persona="p01", days=1, reward="utility", feedback=feedback).unwrapped
    two.reset(seed=0)
    user = SimulatedUser()
    turn = user.reset(two.persona, 0)
    for text, observation, reward, info in single:
        seen, rewards, _, _, infos = many.step([text, ""])
        assert (seen[0], rewards[0]) == (observation, reward)
        assert bool(infos["_marks"][0]) == bool(info["marks"])
        two.step(turn)
        two.step(text)
        turn = user.act(two.observe(USER)["text"])
    del seen
    assert set(two.infos[ASSISTANT]) <= {"reaction", "marks", "reasons"}


@pytest.mark.parametrize("feedback", ["delivered", "reactions", "sampled:0.5"])
def test_candidates_cannot_be_rated(feedback):
    env = propersim_env.ProPerSimEnv(days=1, reward="utility", feedback=feedback)
    env.reset(seed=0)
    for ask in (env.rate, env.explain, env.what_if, env.best_moment):
        with pytest.raises(ValueError, match="use feedback='full'"):
            ask(TEXT)
    many = ProPerSimVectorEnv(1, days=1, reward="utility", feedback=feedback)
    many.reset(seed=0)
    with pytest.raises(ValueError, match="use feedback='full'"):
        many.rate(0, TEXT)


class Listener:
    """Speaks now and then, and keeps what it is taught."""

    taught: ClassVar[list] = []

    def reset(self, seed):
        self.count = 0

    def act(self, observation):
        assert "rated it" not in observation
        self.count += 1
        return TEXT if self.count % 40 == 0 else ""

    def learn(self, events):
        Listener.taught += events


def test_learners_are_taught_no_more_than_they_are_told(tmp_path):
    Listener.taught = []
    batch = Batch([Unit(f"{__name__}:Listener", load_persona("p01"), 0)], RunConfig(2, feedback="reactions"), tmp_path)
    assert not batch.run()
    batch.close()
    assert Listener.taught
    assert all(event["marks"] is None and event["rating"] is None for event in Listener.taught)
    assert any(event["reaction"] != "none" for event in Listener.taught)
    (log,) = tmp_path.glob("events-*.jsonl")
    metrics = measure(read_episode(log))
    assert metrics.delivered.sum() > 0
    assert metrics.delivered_sum.sum() > 0  # the log keeps the true ratings


def test_every_variant_runs_and_names_are_checked():
    for name, variant in variants().items():
        env = gym.make("ProPerSim-v0", variant=name, max_cycles=30)
        env.reset(seed=0)
        for _ in range(29):
            env.step("")
        chosen, user = settle(name)
        assert {k: chosen[k] for k in variant.environment} == dict(variant.environment)
        assert user == dict(variant.user)
    with pytest.raises(ValueError, match="unknown variant 'drift'"):
        gym.make("ProPerSim-v0", variant="drift")
    env = propersim_env.ProPerSimEnv(variant="noisy", user_options={"noise": 0.5}, days=2)
    assert env.user_options == {"noise": 0.5}


def test_a_run_of_a_variant(tmp_path, capsys):
    assert main(["run", "--variant", "reactions-only", "--personas", "1", "--days", "1", "--assistants", "random", "--workers",
                 "1", "--out", str(tmp_path / "run")]) == 0
    begin = read_episode(next((tmp_path / "run").glob("events-random*"))).begin
    assert begin["feedback"] == "reactions"
    assert main(["variants"]) == 0
    assert "drift-abrupt" in capsys.readouterr().out
    assert main(["run", "--variant", "nonsense", "--out", str(tmp_path / "x")]) == 2
