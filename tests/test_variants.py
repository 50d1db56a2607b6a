"""Stress variants of the simulated user: drift. Off, they change nothing; on, days stay deterministic and the policy's alone."""

import json

import numpy as np
import pytest

from propersim_env.agents.users.simulated import SimulatedUsers
from propersim_env.agents.users.simulated.drift import drifted
from propersim_env.agents.users.simulated.parameters import STRESS_FILE, load_parameters
from propersim_env.checks import check_user
from propersim_env.evaluation import report
from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig
from propersim_env.persona import load_persona, persona_from_dict, select_personas

OFF = {"drift": "none"}
VARIANTS = [{"drift": "slow"}, {"drift": "abrupt"}]
EVERY_VARIANT = pytest.mark.parametrize("options", VARIANTS, ids=lambda o: "-".join(f"{k}={v}" for k, v in o.items()))
P = load_parameters()


def living(persona="p01", seed=0, **options):
    """One resident at the beginning of an episode."""
    users = SimulatedUsers(1, **options)
    users.reset(0, load_persona(persona) if isinstance(persona, str) else persona, seed)
    return users


def live(users, ticks, text=lambda n: ""):
    """What is seen and rated in the next so many decisions."""
    seen = []
    for n in range(ticks):
        turn = users.act([text(n)]).one(0)
        seen.append((turn.tick, turn.activity, turn.rating.marks, turn.rating.reaction))
    return seen


def plans(days=21, persona="p01", seed=0, **options):
    """The plans of so many days."""
    life = living(persona, seed, **options).residents[0].life
    return [life.on(day).plan for day in range(days)]


def shown(plan):
    """Everything in a plan that an assistant can meet."""
    arrays = (plan.segment, plan.want_bits, plan.need_bits, plan.felt_bits, plan.timing, plan.preferred, plan.overdue_after,
              plan.noise, plan.uniform)
    return plan.segments, [(n.want, n.start, n.end) for n in plan.needs], [a.tolist() for a in arrays]


def test_every_number_of_the_variants_has_a_source():
    for name, entry in json.loads(STRESS_FILE.read_text()).items():
        if name not in ("version", "about"):
            assert len(entry["source"]) > 10, name
    assert load_parameters({"drift_day": 3}).drift_day == 3


def test_off_is_the_default():
    texts = {40: "How about a cup of ginger tea?", 200: "A short stretch for your neck?"}
    lives = [live(living(**options), 800, lambda n: texts.get(n % 380, "")) for options in ({}, OFF)]
    assert lives[0] == lives[1]


@EVERY_VARIANT
def test_the_same_seed_gives_the_same_days(options):
    first, again, other = (plans(15, seed=seed, **options) for seed in (3, 3, 4))
    assert [shown(p) for p in first] == [shown(p) for p in again]
    assert shown(first[-1]) != shown(other[-1])


@EVERY_VARIANT
def test_what_is_said_changes_no_day(options, catalogue_texts):
    for seed in (0, 1):
        quiet, spoken = living(seed=seed, **options), living(seed=seed, **options)
        for n in range(9 * 380):
            quiet.act([""])
            spoken.act([catalogue_texts[n % 700] if n % 9 == 0 else ""])
            if n % 380 == 0:
                assert quiet.tick == spoken.tick
                assert shown(quiet.residents[0].plan) == shown(spoken.residents[0].plan)


@EVERY_VARIANT
@pytest.mark.parametrize("decisions", [150, 8 * 380, 12 * 380])
def test_a_branch_goes_on_exactly(options, decisions, catalogue_texts):
    def text(n):
        return catalogue_texts[7 * n % 700] if n % 23 == 0 else ""

    users = living("p05", 2, follow_through=True, **options)
    live(users, decisions, text)
    state = json.loads(json.dumps(users.get_state(0)))
    branch = living("p01", 0, follow_through=True, **options)
    branch.set_state(0, state)
    assert branch.get_state(0) == state
    assert branch.activities == users.activities
    for candidate in ("", *catalogue_texts[:50:10]):
        assert branch.rate(0, candidate) == users.rate(0, candidate)
    assert live(branch, 500, text) == live(users, 500, text)


@EVERY_VARIANT
def test_the_simulated_user_keeps_its_contract(options):
    findings = list(check_user("simulated", persona=load_persona("p03"), days=9, seed=1, options=options))
    assert not [f for f in findings if f.level in ("warning", "error")], findings
    assert any(f.check.startswith("lives the same days") and f.level == "ok" for f in findings)


@EVERY_VARIANT
def test_oracles_see_the_day_as_it_is(options, tmp_path):
    """In the second week the oracle, which plans with what it is bound to, still earns most; knowing the time alone, less."""
    names = ("oracle", "timing-oracle", "content-oracle", "silent", "rate-matched")
    plan = RunPlan(tmp_path / "run", names, tuple(select_personas("p01,p02,p05,p21,sampled:4")), (0,),
                   RunConfig(10, user_options=options))
    assert execute(plan, prepare(plan)) == []
    utility = {r.name: r.columns["utility"] for r in report.summarise(plan.folder).results}
    assert utility["oracle"].mean == 1.0
    assert utility["silent"].mean == 0.0
    assert 0 < utility["timing-oracle"].mean < 0.85
    assert 0 < utility["content-oracle"].mean < 0.85
    assert utility["rate-matched"].mean < min(utility["timing-oracle"].mean, utility["content-oracle"].mean)


# --- drift ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("done", [0.3, 1.0])
def test_a_drifted_persona_is_a_valid_one(done):
    for persona in select_personas("all,sampled:40"):
        data = drifted(persona, 5, done, P).to_dict()
        again = persona_from_dict(data, persona.setting)
        assert again.rubric == persona.rubric
        assert again.routine == persona.routine
        assert again.communication == persona.communication


def test_what_drift_changes():
    changed, shifts, rates = [], [], []
    for persona in select_personas("all"):
        after = drifted(persona, 0, 1.0, P)
        new = [(a, b) for a, b in zip(persona.wants, after.wants, strict=True) if a.topic != b.topic]
        changed.append(len(new) / len(persona.wants))
        for a, b in new:
            assert persona.liking.get(b.topic, 0.0) < P.drift_unloved <= after.liking[b.topic]
            assert b.why != a.why
        shifts += [abs(a.start - b.start) for a, b in zip(persona.wanted, after.wanted, strict=True)]
        rates.append(after.per_day / persona.per_day)
        assert after.min_gap <= persona.min_gap / rates[-1] * 1.02
    assert np.mean(changed) == pytest.approx(P.drift_wants, abs=0.1)
    assert max(shifts) <= P.drift_shift_minutes[1]
    assert np.mean(np.array(shifts) >= P.drift_shift_minutes[0]) > 0.6
    assert all(1.19 < max(r, 1 / r) < 1.51 for r in rates)
    assert min(rates) < 1 < max(rates)


def test_drift_leads_elsewhere_for_another_seed(p01):
    topics = {tuple(w.topic for w in drifted(p01, seed, 1.0, P).wants) for seed in range(5)}
    assert len(topics) == 5


def test_abrupt_drift_comes_on_its_day_and_leaves_the_routine():
    before, after = plans(), plans(drift="abrupt")
    for day, (a, b) in enumerate(zip(before, after, strict=True)):
        assert a.segments == b.segments
        assert (a.noise == b.noise).all()
        assert (shown(a) == shown(b)) == (day < P.drift_day)
    life = living(drift="abrupt").residents[0].life
    assert life.on(20).persona is life.on(7).persona
    assert life.on(3).persona is life.persona  # days may be asked for in any order


def test_slow_drift_goes_step_by_step():
    life = living("p28", drift="slow").residents[0].life
    wants = [[w.topic for w in life.on(day).persona.wants] for day in range(15)]
    steps = [sum(a != b for a, b in zip(x, y, strict=True)) for x, y in zip(wants, wants[1:], strict=False)]
    assert max(steps) == 1
    assert sum(steps) == round(P.drift_wants * len(wants[0]))
    assert wants[13] == wants[14]
    rates = [life.on(day).persona.per_day for day in range(14)]
    assert len(set(rates)) == 14
    assert rates == sorted(rates) or rates == sorted(rates, reverse=True)


def test_unknown_drift_is_refused():
    with pytest.raises(ValueError, match="drift='fast': choose one of 'none', 'slow', 'abrupt'"):
        SimulatedUsers(1, drift="fast")
