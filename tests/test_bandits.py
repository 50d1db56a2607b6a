"""The bandit baselines: the algebra under them, what they learn, and that they run like any other assistant."""

import json

import numpy as np
import pytest

from propersim_env.baselines import thompson
from propersim_env.baselines.bandit import LinearModel, Moment, bumps, world
from propersim_env.baselines.linucb import LinUCB
from propersim_env.baselines.thompson import LinearThompson, Thompson, exchangeable, fit, load_prior, roll_out
from propersim_env.clock import TICKS_PER_DAY, moment_text
from propersim_env.evaluation.units import Batch, RunConfig, Unit
from propersim_env.messages import DIMENSIONS
from propersim_env.observation import Observation
from propersim_env.persona import load_persona
from propersim_env.registry import make_assistant
from propersim_env.setting import load_setting
from propersim_env.single_agent import ProPerSimEnv

NAMES = ("linucb", "linear-thompson", "thompson-pooled")


def live(assistant, taste, days, action="reading a novel", every=6):
    """A toy home: from 8 to 22 something is seen each quarter of an hour, and `taste(tick, topic, text)` gives the marks."""
    place = {text: int(k) for text, k in zip(world("house").texts, world("house").topic, strict=True)}
    told, said = " You have not said anything yet.", []
    for day in range(days):
        for tick in range(day * TICKS_PER_DAY + 192, day * TICKS_PER_DAY + 528, every):
            text = assistant.act(f"{moment_text(tick)}. The resident is {action} (common room).{told}")
            if text:
                marks = taste(tick, place[text], text)
                said.append((tick, place[text], text, marks))
                words = ", ".join(f"{d} {'yes' if marks >> i & 1 else 'no'}" for i, d in enumerate(DIMENSIONS))
                told = (f' At {moment_text(tick)[-5:]} you said: "{text}" The resident rated it {marks.bit_count()} of 4 '
                        f"({words}): ignore.")
    return said


def toy(tick, topic, text):
    """Likes one topic, in the afternoon."""
    return (topic == 3) | 2 * (tick % TICKS_PER_DAY >= 336) | 12


def test_rank_one_updates_are_ridge_regression():
    rng = np.random.default_rng(0)
    x, y, noise = rng.normal(size=(40, 5)), rng.normal(size=40), 0.3
    prior, start = np.diag([0.5, 1, 2, 0.1, 1]), rng.normal(size=5)
    model = LinearModel(start, prior, noise)
    for row, target in zip(x, y, strict=True):
        model.update([4, 0, 1, 2, 3], row[[4, 0, 1, 2, 3]], target)  # features come as places and values, in any order
    precision = x.T @ x / noise + np.linalg.inv(prior)
    assert model.covariance == pytest.approx(np.linalg.inv(precision), abs=1e-10)
    ridge = np.linalg.solve(precision, x.T @ y / noise + np.linalg.solve(prior, start))
    assert model.mean == pytest.approx(ridge, abs=1e-10)


def test_models_and_options_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="square"):
        LinearModel(np.zeros(2), np.eye(3), 1.0)
    with pytest.raises(ValueError, match="no variance"):
        LinearModel(np.zeros(2), np.eye(2), 0.0)
    for build in (lambda: LinUCB(alpha=-1), lambda: LinearThompson(spread=-1), lambda: LinUCB(worth=2),
                  lambda: Thompson(spread=-1), lambda: LinUCB(easing=-1)):
        with pytest.raises(ValueError, match=r"choose|between"):
            build()
    with pytest.raises(ValueError, match="no prior"):
        Thompson(prior="nowhere.npz")


def test_bumps_share_out_the_day():
    for hours in (1.0, 2.0):
        values = bumps(hours)
        assert values.sum(axis=1) == pytest.approx(np.ones(TICKS_PER_DAY))
        assert values[0] == pytest.approx(values[-1], abs=0.1)  # midnight is no border


def test_features_follow_what_was_said_and_how_it_was_marked():
    moment = Moment(world("house"))
    moment.see(Observation(200, "reading a novel", "common room"))
    fresh = moment.frequency()
    moment.say(4)
    moment.hear(0b1111)
    moment.see(Observation(206, "reading a novel", "common room"))
    after = moment.frequency()
    assert (after[1:4] > fresh[1:4]).all()  # lately
    assert after[4] == pytest.approx(np.exp(-0.25 / 12))  # a dose of one, fading
    rows = moment.preference()
    assert np.flatnonzero(rows[:, 3]).tolist() == [4]
    assert load_setting("house").topic_ids[int(np.argmax(rows[:, 1]))] == "reading"


@pytest.mark.parametrize("assistant", [LinUCB(worth=0.6), LinearThompson(worth=0.6, spread=0.5)], ids=["linucb", "thompson"])
def test_learners_of_one_resident_learn_what_and_when(assistant):
    assistant.reset(0)  # with a worth at which three marks are too few
    said = live(assistant, toy, days=12)
    late = [s for s in said if s[0] >= 8 * TICKS_PER_DAY]

    def good(rows):
        return np.mean([marks == 15 for *_, marks in rows])

    assert good(late) > max(0.8, good(said[:10]) + 0.25)


@pytest.mark.parametrize("assistant", [LinUCB(alpha=0, worth=0.5, easing=0, start=0.5),
                                       LinearThompson(spread=0, worth=0.5, easing=0, start=0.5)], ids=["linucb", "thompson"])
def test_one_that_may_not_hope_never_tries(assistant):
    assistant.reset(0)
    assert live(assistant, toy, days=3) == []


def test_frequency_marks_make_it_rare():
    rates = []
    for taste in ("often", "seldom"):
        assistant, before = LinUCB(), []
        assistant.reset(0)

        def marks(tick, topic, text, before=before, taste=taste):
            given = 15 if taste == "often" or not before or tick - before[-1] >= 240 else 9
            before.append(tick)
            return given

        rates.append(len(live(assistant, marks, days=6)))
    assert rates[1] < 0.6 * rates[0]


def test_fit_recovers_people_and_their_spread():
    rng = np.random.default_rng(1)
    mean, root = np.array([0.5, -1.0, 0.2]), np.array([[0.6, 0, 0], [0.3, 0.4, 0], [0, 0, 0.05]])
    data = []
    for _ in range(400):
        x = rng.normal(size=(12, 3))
        data.append((x, x @ (mean + root @ rng.normal(size=3)) + 0.5 * rng.normal(size=12)))
    found, covariance, noise = fit(data, rounds=60)
    assert found == pytest.approx(mean, abs=0.1)
    assert covariance == pytest.approx(root @ root.T, abs=0.1)
    assert noise == pytest.approx(0.25, abs=0.03)


def test_exchangeable_is_the_mean_over_orders_of_the_blocks():
    rng = np.random.default_rng(2)
    root = rng.normal(size=(8, 8))
    covariance = root @ root.T
    tied = exchangeable(covariance, shared=2, width=2)
    orders = [[0, 1, *(2 + 2 * k + i for k in order for i in (0, 1))]
              for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))]
    assert tied == pytest.approx(np.mean([covariance[np.ix_(o, o)] for o in orders], axis=0))


def test_shipped_prior_fits_the_setting_and_says_where_it_is_from():
    prior = load_prior()
    assert tuple(len(mean) for mean, _, _ in prior) == world("house").sizes
    for _, covariance, noise in prior:
        assert np.linalg.eigvalsh(covariance)[0] > -1e-6
        assert 0 < noise < 0.25
    provenance = json.loads(thompson.PRIOR_FILE.with_suffix(".json").read_text())
    assert provenance["learned_from"] == ["train"]
    assert set(provenance["share_of_marks"]) == set(DIMENSIONS)


def test_a_prior_can_be_fitted_from_the_command_line(tmp_path, capsys):
    thompson.main(["fit", "--personas", "3", "--days", "2", "--out", str(tmp_path / "prior.npz")])
    assert "preference" in capsys.readouterr().out
    assistant = Thompson(prior=str(tmp_path / "prior.npz"))
    assistant.reset(0)
    assert live(assistant, toy, days=1) is not None
    assert json.loads((tmp_path / "prior.json").read_text())["personas"] == "train:3"


def test_rollouts_log_what_was_said():
    logged = roll_out("train:2", days=2)
    assert len(logged) == 4
    assert [len(data) for data in logged] == [2] * 4
    for (x, y), size in zip((data[0] for data in logged), world("house").sizes, strict=True):
        assert x.shape == (len(y), size)
        assert set(y.tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("name", NAMES)
def test_state_brings_back_the_same_decisions(name):
    first, second = make_assistant(name), make_assistant(name)
    first.reset(5)
    live(first, toy, days=3)
    state = json.loads(json.dumps(first.get_state()))
    second.reset(9)
    second.set_state(state)

    def go_on(assistant):
        texts = []
        for tick in range(4 * TICKS_PER_DAY + 200, 4 * TICKS_PER_DAY + 500, 4):
            texts.append(assistant.act(f"{moment_text(tick)}. The resident is watering the ferns (common room). "
                                       "You have not said anything yet."))
        return texts

    ahead = go_on(first)
    assert any(ahead)
    assert go_on(second) == ahead


def run(name, feedback="delivered", days=3, reveal=False):
    batch = Batch([Unit(name, load_persona("p01"), 3)], RunConfig(days, feedback=feedback, reveal_persona=reveal), None)
    assert batch.run() == []
    return batch.assistants[0].get_state()


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_run_whatever_else_is_told(name):
    told = run(name)
    assert len(told["learnt"]) > 2
    assert run(name) == told
    assert run(name, "full") == told  # ratings of silence and of alternatives are not used
    assert run(name, reveal=True) == told  # nor is the persona


@pytest.mark.parametrize("name", NAMES)
def test_without_ratings_nothing_is_learnt(name):
    assert run(name, "reactions")["learnt"] == []


@pytest.mark.parametrize("name", NAMES)
def test_runs_in_the_gym_and_does_not_repeat_itself(name):
    env, assistant = ProPerSimEnv(days=3), make_assistant(name)
    observation, _ = env.reset(seed=2)
    assistant.reset(2)
    texts, over = [], False
    while not over:
        text = assistant.act(observation)
        texts += [text] if text else []
        observation, _, terminated, truncated, _ = env.step(text)
        over = terminated or truncated
    assert texts
    assert len(set(texts)) == len(texts)
