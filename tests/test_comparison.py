"""Assistants against each other: reference implementations, false positives and power on real runs, and laws that hold."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from propersim_env.cli import main
from propersim_env.evaluation import statistics as s
from propersim_env.evaluation.comparison import Panel, compare_assistants, compare_values, rank_values, ranking
from propersim_env.evaluation.report import load_metrics, summarise
from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.standing import THRESHOLDS, Arrival, arrival_day, standing
from propersim_env.evaluation.units import RunConfig
from propersim_env.log import read_episode
from propersim_env.persona import select_personas

SPLITS = 2000
FALSE = (0.03, 0.07)
"""Share of false positives that a test at the 5 % level may show."""


def run(folder, assistants, personas, days, seeds=(0,)):
    plan = RunPlan(folder, tuple(assistants), tuple(select_personas(personas)), tuple(seeds), RunConfig(days))
    assert execute(plan, prepare(plan)) == []
    return folder


@pytest.fixture(scope="module")
def same(tmp_path_factory):
    """One assistant and the oracle with 32 people and four seeds each."""
    return Panel.of(load_metrics(run(tmp_path_factory.mktemp("aa") / "run", ["random", "oracle"], "32", 3, range(4)))[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four assistants with five people, three days and two seeds."""
    return run(tmp_path_factory.mktemp("few") / "run", ["silent", "random:p=0", "fixed-rate", "oracle"], "5", 3, (0, 1))


@pytest.fixture(scope="module")
def panel(folder):
    return Panel.of(load_metrics(folder)[0], ["silent", "random:p=0", "fixed-rate", "oracle"])


def draw(grid, rng):
    """The seeds of each persona in random order, each persona by itself."""
    return np.take_along_axis(grid, rng.random(grid.shape).argsort(axis=1), axis=1)


def split_differences(grid, splits=SPLITS):
    """Half of each persona's seeds, drawn at random, less the other half: one row of differences for each split."""
    rng, half = np.random.default_rng(1), grid.shape[1] // 2
    shuffled = (draw(grid, rng) for _ in range(splits))
    return [s.nanmean(one[:, :half].T) - s.nanmean(one[:, half:].T) for one in shuffled]


# --- what is printed is right: false positives and power on real runs ------------------------------------------------


@pytest.mark.parametrize("measure", ["utility", "delivered", "moment", "score", "false_alarms"])
def test_an_assistant_against_itself_differs_in_five_of_a_hundred_splits(same, measure):
    p = [s.paired_p(differences) for differences in split_differences(same.measures("random")[measure])]
    assert FALSE[0] <= np.mean(np.array(p) < s.LEVEL) <= FALSE[1]


def test_among_several_pairs_at_most_one_run_in_twenty_has_a_false_finding(same):
    """The four seeds of one assistant as four assistants: against a reference, and as a ranking."""
    grid, rng = same.measures("random")["utility"], np.random.default_rng(2)
    found, broken = [], []
    for _ in range(300):
        as_four = {name: column[:, None] for name, column in zip("abcd", draw(grid, rng).T, strict=True)}
        pairs = compare_values([("a", "d"), ("b", "d"), ("c", "d")], as_four, "utility")
        found.append(any(pair.verdict != "tie" for pair in pairs))
        broken.append(any(place.rank != 1 for place in rank_values(as_four, "utility")))
    assert 0 < np.mean(found) <= FALSE[1]
    assert np.mean(broken) <= FALSE[1]


def test_a_difference_of_the_printed_size_is_found_in_four_of_five_runs(same):
    differences = split_differences(same.measures("random")["utility"])
    printed = np.mean([s.detectable(one) for one in differences])
    found = [s.paired_p(one + printed) < s.LEVEL for one in differences]
    assert 0.76 <= np.mean(found) <= 0.84


@pytest.mark.parametrize("n", [2, 3, 5, 12, 32])
def test_the_detectable_difference_has_its_power_with_few_personas_too(n):
    rng = np.random.default_rng(n)
    shift = s.detectable_in_errors(n) / n**0.5  # of normal differences with a standard deviation of 1
    found = [s.paired_p(rng.standard_normal(n) + shift) < s.LEVEL for _ in range(SPLITS)]
    assert 0.77 <= np.mean(found) <= 0.83


# --- reference implementations ----------------------------------------------------------------------------------------

VALUES = [np.random.default_rng(n).standard_t(3, n) + 0.3 for n in (2, 3, 5, 8, 31, 32, 64)]


@pytest.mark.parametrize("values", VALUES, ids=len)
def test_t_test_iqm_and_interval_are_those_of_scipy(values):
    stats = pytest.importorskip("scipy.stats", reason='needs scipy: pip install -e ".[test]"')
    known = stats.ttest_1samp(values, 0)
    assert s.paired_p(values) == pytest.approx(known.pvalue, abs=1e-9)
    bounds = known.confidence_interval(0.95)
    ours = s.student_interval(values)
    assert (ours.mean, ours.low, ours.high) == pytest.approx((values.mean(), bounds.low, bounds.high), abs=1e-6)
    assert float(s.iqm(values)) == pytest.approx(stats.trim_mean(values, 0.25), abs=1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 10, 31, 200])
def test_students_distribution_is_that_of_scipy(freedom):
    stats = pytest.importorskip("scipy.stats", reason='needs scipy: pip install -e ".[test]"')
    for t in (0.0, 0.3, 1.0, 2.5, 7.0):
        assert s.student_p(-t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), abs=1e-12)
    for level in (0.5, 0.05, 0.01, 0.05 / 8):
        assert s.student_quantile(level, freedom) == pytest.approx(stats.t.ppf(1 - level / 2, freedom), rel=1e-9)


@pytest.mark.parametrize("n", [2, 3, 5, 12, 32, 128])
def test_the_detectable_difference_is_that_of_a_noncentral_t(n):
    stats = pytest.importorskip("scipy.stats", reason='needs scipy: pip install -e ".[test]"')
    limit, shift = stats.t.ppf(0.975, n - 1), s.detectable_in_errors(n)
    assert stats.nct.sf(limit, n - 1, shift) + stats.nct.cdf(-limit, n - 1, shift) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("n", [2, 5, 32])
@pytest.mark.filterwarnings("default")
def test_holm_and_power_are_those_of_statsmodels(n):
    reason = 'needs statsmodels: pip install -e ".[test]"'
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason=reason)
    power = pytest.importorskip("statsmodels.stats.power", reason=reason)
    p = np.random.default_rng(n).random(n) ** 3
    assert s.holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1], abs=1e-12)
    effect = power.TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8, alternative="two-sided")
    assert s.detectable_in_errors(n) / n**0.5 == pytest.approx(effect, rel=1e-6)


@pytest.mark.filterwarnings("default")
def test_iqm_profile_and_improvement_are_those_of_rliable(same):
    """Of one value a persona. Its probability of improvement compares runs within a task: here one run each, thus the pairs."""
    try:
        from rliable import library, metrics
    except (ImportError, AttributeError) as error:
        pytest.skip(f"needs rliable, which wants pandas below 3: {error}")
    ours, other = (s.nanmean(same.measures("random")["utility"][:, half].T)[None] for half in (slice(2), slice(2, 4)))
    assert float(s.iqm(ours[0])) == pytest.approx(metrics.aggregate_iqm(ours), abs=1e-9)
    shares, _ = library.create_performance_profile({"x": ours}, THRESHOLDS, reps=2)
    assert s.profile(ours[0], THRESHOLDS)[:, 0] == pytest.approx(shares["x"], abs=1e-9)
    improvement = metrics.probability_of_improvement(ours, other)
    assert float(s.share_better(ours[0] - other[0])) == pytest.approx(improvement, abs=1e-9)


# --- laws -------------------------------------------------------------------------------------------------------------

numbers = st.floats(-10, 10).map(lambda x: round(x, 3))
pairs_of_values = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=12)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=10)


@given(pairs_of_values, st.sampled_from(["utility", "missed"]))
def test_the_other_way_round_is_the_same_with_the_other_sign(values, by):
    found = {name: np.array(column, float)[:, None] for name, column in zip("ab", zip(*values, strict=True), strict=True)}
    (one,), (other,) = (compare_values([names], found, by) for names in (("a", "b"), ("b", "a")))
    assert other.difference.mean == -one.difference.mean
    assert (other.decided.low, other.decided.high) == (-one.decided.high, -one.decided.low)
    assert (other.p, other.adjusted, other.detectable) == (one.p, one.adjusted, one.detectable)
    assert other.improvement.mean == pytest.approx(1 - one.improvement.mean)
    assert {one.verdict, other.verdict} in ({"tie"}, {"better", "worse"})


@given(pairs_of_values, st.randoms(use_true_random=False))
def test_the_order_of_personas_does_not_matter(values, random):
    shuffled = random.sample(values, len(values))

    def numbers_of(rows):
        differences = np.array([a - b for a, b in rows])
        return [s.paired_p(differences), s.detectable(differences), *map(float, (
            differences.mean(), s.iqm(differences), s.worst_tenth(differences), s.share_better(differences))),
            *s.profile(differences, np.array([-1.0, 0.0, 1.0]))[:, 0]]

    assert numbers_of(shuffled) == pytest.approx(numbers_of(values), abs=1e-6)


@given(p_values)
def test_holm_keeps_the_order_and_lies_between_no_correction_and_bonferroni(p):
    adjusted = s.holm(p)
    assert all(a <= b for (_, a), (_, b) in pairwise(sorted(zip(p, adjusted, strict=True))))
    assert all(one <= found <= min(1.0, len(p) * one) for one, found in zip(p, adjusted, strict=True))


@given(p_values)
def test_levels_of_holm_decide_as_its_p_values_do(p):
    for one, adjusted, level in zip(p, s.holm(p), s.holm_levels(p), strict=True):
        assert (one < level) == (adjusted < s.LEVEL)


@given(st.lists(numbers, min_size=2, max_size=8), st.floats(0.001, 0.5))
def test_an_interval_holds_0_where_the_test_finds_nothing(values, level):
    values = np.array(values)
    found, p = s.student_interval(values, level), s.paired_p(values)
    if abs(p - level) > 1e-9:
        assert (found.low <= 0 <= found.high) == (p > level)


# --- assistants of a run ----------------------------------------------------------------------------------------------


def earned(folder, assistant, persona, seed):
    """Utility points by day, from the log alone."""
    name = "random_p=0" if assistant.startswith("random") else assistant
    path = next(folder.glob(f"events-{name}*-{persona}-s{seed}.jsonl"))
    days = np.zeros(3)
    for event in read_episode(path).said():
        days[event["tick"] // 576] += (event["rating"] - 2) / 2
    return days


def test_pairs_are_taken_home_by_home_and_averaged_over_seeds_first(folder, panel):
    shares = []
    for persona in panel.personas:
        own, best = ([earned(folder, name, persona, seed).sum() for seed in (0, 1)] for name in ("fixed-rate", "oracle"))
        shares.append(np.mean(np.divide(own, best)))
    pair = compare_assistants(panel, [("fixed-rate", "silent")])[0]
    assert pair.difference.mean == pytest.approx(np.mean(shares))
    assert pair.difference.n == 5
    assert pair.improvement.mean == np.mean(np.array(shares) > 0)
    assert pair.adjusted == pair.p == s.paired_p(np.array(shares))


def test_a_home_that_one_of_them_has_not_finished_is_in_neither_half_of_a_pair(panel):
    """With common random numbers, a seed that only one has lived through would be no comparison."""
    short = {**panel.episodes, "silent": [m for m in panel.episodes["silent"] if (m.persona, m.seed) != ("p01", 1)]}
    whole, one_seed = (compare_assistants(replace(panel, episodes=episodes), [("fixed-rate", "silent")])[0]
                       for episodes in (panel.episodes, short))
    alone = panel.measures("fixed-rate")["utility"]
    change = (alone[0, 0] - alone[0].mean()) / 5
    assert one_seed.difference.mean - whole.difference.mean == pytest.approx(change)


def test_the_same_behaviour_is_a_tie_and_shares_a_rank(panel):
    pair = compare_assistants(panel, [("silent", "random:p=0")])[0]
    assert (pair.verdict, pair.p, pair.detectable, pair.improvement.mean) == ("tie", 1, 0, 0.5)
    places = {place.name: place for place in ranking(panel)}
    assert places["oracle"].label == "1"
    assert places["silent"].label == places["random:p=0"].label
    assert places["silent"].shared


def test_fewer_is_better_for_what_is_better_fewer(panel):
    pair = compare_assistants(panel, [("oracle", "silent")], "missed")[0]
    assert pair.difference.mean < 0
    assert (pair.verdict, pair.improvement.mean) == ("better", 1)
    assert ranking(panel, "missed")[0].name == "oracle"


def test_with_one_persona_nothing_is_told_apart(panel):
    one = Panel.of(m for own in panel.episodes.values() for m in own if m.persona == "p01")
    pair = compare_assistants(one, [("oracle", "silent")])[0]
    assert pair.verdict == "unknown"
    assert np.isnan([pair.p, pair.detectable, pair.difference.low]).all()
    assert {place.label for place in ranking(one)} == {"1="}


def test_without_an_oracle_there_is_no_rank_by_utility_but_by_other_measures(panel):
    alone = Panel.of(panel.episodes["silent"] + panel.episodes["fixed-rate"])
    assert [place.label for place in ranking(alone)] == ["-", "-"]
    assert [place.name for place in ranking(alone, "moment")] == ["fixed-rate", "silent"]


def test_regret_is_what_the_oracle_earned_and_it_did_not(folder, panel):
    best = np.array([np.mean([earned(folder, "oracle", p, seed) for seed in (0, 1)], axis=0) for p in panel.personas])
    of_silence, of_oracle = standing(panel, "silent"), standing(panel, "oracle")
    assert of_silence.regret.mean == pytest.approx(best.sum(axis=1).mean())
    assert of_silence.regret_by_day[:, 0] == pytest.approx(best.mean(axis=0))
    assert not of_oracle.regret_by_day.any()
    assert (of_oracle.arrival.median, of_silence.arrival.median) == (1, np.inf)
    assert (str(of_oracle.arrival), str(of_silence.arrival)) == ("1 (5 of 5)", ">3 (0 of 5)")


def test_worst_tenth_names_its_personas(panel):
    found = standing(panel, "fixed-rate")
    utility = s.nanmean(panel.measures("fixed-rate")["utility"].T)
    assert found.worst.mean == utility.min()
    assert found.worst_personas == (panel.personas[utility.argmin()],)
    assert s.worst_tenth(np.arange(32.0)) == np.mean([0, 1, 2, 3])


@pytest.mark.parametrize(("own", "day"), [
    ([8, 8, 8, 8, 8, 8], 1),
    ([0, 0, 8, 8, 8, 8], 3),
    ([0, 0, 6, 9, 9, 9], 3),  # three days together suffice
    ([9, 9, 9, 0, 0, 0], np.inf),  # not kept
    ([0, 0, 0, 0, 9, 9], np.inf),  # the end comes before three days are full
    ([0, 20, 0, 0, 0, 0], np.inf),  # a lucky day
])
def test_arrival_needs_three_days_and_must_last(own, day):
    assert arrival_day(np.array(own, float), np.full(6, 10.0)) == day


def test_those_who_are_not_reached_are_counted_as_censored():
    found = Arrival(np.array([2, np.inf, np.inf, 4, np.nan]), 14)
    assert (found.known, found.arrived, found.median) == (4, 2, np.inf)
    assert str(found) == ">14 (2 of 4)"
    assert np.isnan(arrival_day(np.ones(3), np.zeros(3)))
    assert str(Arrival(np.array([np.nan]), 14)) == "-"


def test_seeds_are_resampled_within_their_personas():
    """Personas that differ widely and seeds that do not: narrow for these people, wide for others."""
    grid = np.arange(20.0)[:, None] + np.array([0.0, 0.1, 0.2])
    grid[0, 2] = np.nan
    within, between = s.stratified(grid, s.iqm), s.bootstrap(s.nanmean(grid.T), s.iqm)
    assert within.mean == between.mean
    assert within.high - within.low < 0.1 < 2 < between.high - between.low
    assert np.isnan(s.stratified(grid[:, :1], s.iqm).low)


# --- cost -------------------------------------------------------------------------------------------------------------

COSTLY = '''
class Costly:
    """Asks a model twice a day, and says so; what it cost on its first day it does not know."""

    def reset(self, seed):
        self.day = -1

    def act(self, observation):
        return ""

    def learn(self, events):
        self.day += 1

    def notes(self):
        return {"cost": {"calls": 2 + self.day, "money": VALUE}} if self.day else {}
'''


def test_cost_is_what_was_noted_and_unknown_is_not_free(tmp_path, capsys, monkeypatch):
    (tmp_path / "costly.py").write_text(COSTLY.replace("VALUE", "0.25"))
    name = f"{tmp_path / 'costly.py'}:Costly"
    folder = run(tmp_path / "run", [name], "2", 4)
    costs = standing(Panel.of(load_metrics(folder)[0]), name).costs
    assert costs["calls"].mean == np.mean([2 + 1, 2 + 2])  # of the second and the third day: the last has no morning after it
    assert (costs["money"].mean, costs["money"].n) == (0.25, 2)
    assert (costs["tokens"].n, costs["seconds"].n) == (0, 0)
    out = " ".join(report(folder, capsys, "--all", "--by", "moment", width=160, monkeypatch=monkeypatch)[1].split())
    assert "calls, money: cost a day, as noted" in out
    assert "3.5 0.25" in out.replace(" │ ", " ")
    assert "cost unknown, noted by no assistant: tokens, seconds" in out


@pytest.mark.parametrize("value", ["'much'", "-1", "True"])
def test_a_cost_that_is_none_fails_the_episode(tmp_path, value):
    (tmp_path / "costly.py").write_text(COSTLY.replace("VALUE", value))
    plan = RunPlan(tmp_path / "run", (f"{tmp_path / 'costly.py'}:Costly",), tuple(select_personas("1")), (0,), RunConfig(3))
    assert "give a number of at least 0" in str(execute(plan, prepare(plan))[0])


# --- the commands -----------------------------------------------------------------------------------------------------


def report(folder, capsys, *options, width=120, monkeypatch=None):
    if monkeypatch is not None:
        monkeypatch.setattr("propersim_env.cli.report.OUT.width", width)
    status = main(["report", str(folder), *options])
    printed = capsys.readouterr()
    return status, printed.out, " ".join(printed.err.split())


@pytest.mark.parametrize("width", [80, 120, 160])
def test_the_tables_fit_and_say_what_they_could_have_shown(folder, capsys, monkeypatch, width):
    status, out, _ = report(folder, capsys, "--against", "fixed-rate", "--all", width=width, monkeypatch=monkeypatch)
    plain = " ".join(out.split())
    assert status == 0
    assert "…" not in out
    assert "Minimum detectable difference in utility between neighbours in the ranking (80% power, two-sided 5%, " in plain
    assert "p: paired t test, adjusted after Holm over 3 pairs" in plain
    assert "cost unknown, noted by no assistant: calls, tokens, seconds, money" in plain
    assert "censored by the end" in plain
    tables = [line for line in out.splitlines() if not line.startswith(("Minimum", "written"))]
    assert max(map(len, tables)) <= width


def test_json_has_ranks_pairs_and_everything_else(folder, capsys):
    status, out, _ = report(folder, capsys, "--json", "--against", "silent", "--pair", "oracle", "fixed-rate",
                            "--pair", "silent", "oracle")
    data = json.loads(out)
    assert status == 0
    assert {(p["first"], p["second"]) for p in data["pairs"]} == {
        ("random:p=0", "silent"), ("fixed-rate", "silent"), ("oracle", "silent"), ("oracle", "fixed-rate")}
    rows = {row["name"]: row for row in data["assistants"]}
    assert (rows["oracle"]["rank"], rows["oracle"]["tied"], rows["oracle"]["next_better"]) == (1, False, None)
    assert rows["silent"]["days_to_goal"] == {"median": None, "arrived": 0, "censored": 5, "by_persona": [None] * 5}
    assert rows["silent"]["cost_a_day"]["tokens"] == {"mean": None, "low": None, "high": None, "n": 0}
    assert rows["oracle"]["utility_iqm"]["mean"] == 1
    assert len(rows["oracle"]["performance_profile"]) == len(data["statistics"]["thresholds"])
    assert json.loads((folder / "results.json").read_text()) == data


def test_markdown_has_the_line_and_the_pairs(folder, capsys):
    _, out, _ = report(folder, capsys, "--markdown", "--pair", "oracle", "fixed-rate")
    assert "| 1 | oracle\\* | 1.00 (1.00..1.00) |" in out
    assert "Minimum detectable difference" in out
    assert "| oracle | fixed-rate | +" in out


@pytest.mark.parametrize(("options", "message"), [
    (["--against", "fixed"], "--against 'fixed': no finished episode of it here; did you mean 'fixed-rate'"),
    (["--pair", "oracle", "nobody"], "compare 'nobody': no finished episode of it here"),
    (["--pair", "oracle", "oracle"], "compare 'oracle' with itself"),
])
def test_pairs_that_cannot_be_are_refused(folder, capsys, options, message):
    status, _, err = report(folder, capsys, *options)
    assert status == 2
    assert message in err


def test_a_run_without_an_oracle_says_how_it_can_be_ranked(tmp_path, capsys):
    folder = run(tmp_path / "run", ["silent", "fixed-rate"], "2", 1)
    assert "rank by another measure with --by" in " ".join(report(folder, capsys)[1].split())
    out = report(folder, capsys, "--by", "moment")[1]
    assert "--by" not in out
    assert "Minimum detectable difference in moment score" in out


def test_a_run_refuses_unknown_pairs_before_it_begins(tmp_path, capsys):
    assert main(["run", "--assistants", "silent", "--against", "silnt", "--out", str(tmp_path / "run")]) == 2
    assert "did you mean 'silent'" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_what_a_run_prints_is_what_report_prints(tmp_path, capsys):
    options = ["--assistants", "silent,fixed-rate", "--personas", "2", "--days", "1", "--against", "silent"]
    assert main(["run", *options, "--out", str(tmp_path / "r")]) == 0
    printed = capsys.readouterr().out
    _, out, _ = report(tmp_path / "r", capsys, "--against", "silent")
    assert printed.split("run folder")[0] == out.split("written:")[0]
    assert summarise(tmp_path / "r").pairs == ()
