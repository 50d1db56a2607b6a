"""Metrics and statistics against sums done by hand."""

import numpy as np
import pytest

from propersim_env.evaluation.metrics import measure
from propersim_env.evaluation.report import summarise
from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.statistics import interval
from propersim_env.evaluation.units import RunConfig
from propersim_env.log import EpisodeLog, read_episode
from propersim_env.messages import Rating
from propersim_env.persona import select_personas


def said(log, tick, text, marks, serves=()):
    log.said(tick, text, Rating(marks, "accept", {}, {"serves": list(serves)} if serves else {}))


@pytest.fixture
def episode(tmp_path, p01):
    """Two days, a few decisions: three texts (4, 2 and 1 marks), a need served, one lapsed, one never lived."""
    begin = {"assistant": "x", "seed": 0, "days": 2, "persona": p01.to_dict()}
    log = EpisodeLog(tmp_path / "events-x.jsonl", begin)
    needs = [{"id": 0, "want": "a", "topic": "music", "from": 200, "to": 203},
             {"id": 1, "want": "b", "topic": "art", "from": 202, "to": 206},
             {"id": 2, "want": "c", "topic": "art", "from": 400, "to": 420}]
    log.day(0, {"needs": needs, "activities": []})
    log.silence(200, 14)
    said(log, 201, "One.", 15, serves=[0])
    log.silence(202, 14)
    log.silence(203, 12)
    said(log, 204, "Two.", 9)
    log.silence(205, 12)
    log.day(1, {"needs": [], "activities": []})
    said(log, 576 + 200, "ONE. ", 8)
    log.silence(576 + 201, 15)
    log.end("horizon", 8)
    return read_episode(log.path)


def test_measures(episode):
    m = measure(episode)
    assert m.decisions.tolist() == [6, 2]
    assert m.rating_sum.tolist() == [3 + 4 + 3 + 2 + 2 + 2, 1 + 4]
    assert m.delivered.tolist() == [2, 1]
    assert m.delivered_sum.tolist() == [6, 1]
    assert m.utility.tolist() == [1.0 + 0.0, -0.5]
    assert m.needs.tolist() == [2, 0]
    assert m.missed.tolist() == [1, 0]
    assert m.moments.tolist() == [3, 1]
    assert m.moment_sum.tolist() == [4 + 2 + 2, 1]
    assert m.false_alarms.tolist() == [1, 1]
    assert m.duplicates.tolist() == [0, 1]
    assert m.dimensions.sum(axis=1).tolist() == [2, 1, 1, 3]


def test_utility_is_a_share_of_the_oracle_on_the_same_persona_and_seed(tmp_path):
    plan = RunPlan(tmp_path / "run", ("random:p=0.03", "oracle"), tuple(select_personas("3")), (0, 1), RunConfig(2))
    assert execute(plan, prepare(plan)) == []
    sums = {}
    for path in plan.folder.glob("events-*"):
        m = measure(read_episode(path))
        sums[m.assistant, m.persona, m.seed] = m.utility.sum()
    by_hand = [np.mean([sums["random:p=0.03", p, s] / sums["oracle", p, s] for s in (0, 1)]) for p in ("p01", "p02", "p03")]
    result = {r.name: r for r in summarise(plan.folder).results}
    assert result["random:p=0.03"].columns["utility"].mean == pytest.approx(np.mean(by_hand))
    assert result["random:p=0.03"].utility_by_day[:, 0].mean() == pytest.approx(np.mean(by_hand))
    assert result["oracle"].columns["utility"].mean == 1.0


@pytest.mark.parametrize("n", [2, 3, 5, 11, 12, 32])
def test_intervals_cover(n):
    """Close to 95 of 100 intervals of normal samples hold the true mean, whatever the number of personas."""
    rng = np.random.default_rng(n)
    held = [i.low <= 0 <= i.high for i in (interval(rng.standard_normal(n)) for _ in range(300))]
    assert 0.90 <= np.mean(held) <= 0.99


def test_intervals_of_little():
    assert interval(np.array([np.nan])).n == 0
    one = interval(np.array([3.0, np.nan]))
    assert (one.mean, one.n) == (3.0, 1)
    assert np.isnan(one.low)
    assert interval(np.arange(20.0)) == interval(np.arange(20.0))
