"""Stress variants of the simulated user: off they change nothing; on, no assistant changes what happens."""

import itertools
import json
import shutil

import gymnasium as gym
import numpy as np
import pytest

import propersim_env
from propersim_env.agents.users.simulated import SimulatedUsers
from propersim_env.agents.users.simulated.absences import works_away
from propersim_env.agents.users.simulated.drift import drifted
from propersim_env.agents.users.simulated.events import event_on
from propersim_env.agents.users.simulated.occasions import occasions
from propersim_env.agents.users.simulated.parameters import STRESS_FILE, load_parameters
from propersim_env.checks import check_user
from propersim_env.clock import is_weekend
from propersim_env.evaluation import report
from propersim_env.evaluation.metrics import measure
from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig
from propersim_env.persona import load_persona, persona_from_dict, select_personas
from propersim_env.registry import make_user
from propersim_env.schema import DataError
from propersim_env.setting import load_setting
from propersim_env.vector import ProPerSimVectorEnv

OFF = {"drift": "none", "absences": False, "events": False, "company": False}
VARIANTS = [{"drift": "slow"}, {"drift": "abrupt"}, {"absences": True}, {"events": True}, {"company": True},
            {"drift": "abrupt", "absences": True, "events": True, "company": True}]
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
    others = plan.company and [plan.company.seen(tick) for tick in range(576)]
    arrays = (plan.segment, plan.available, plan.want_bits, plan.need_bits, plan.felt_bits, plan.timing, plan.preferred,
              plan.overdue_after, plan.noise, plan.uniform)
    return plan.segments, [(n.want, n.start, n.end) for n in plan.needs], [a.tolist() for a in arrays], others


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
            assert quiet.tick == spoken.tick
            quiet.act([""])
            spoken.act([catalogue_texts[n % 700] if n % 9 == 0 else ""])
            if n % 380 == 0:
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
    names = ("oracle", "timing-oracle", "content-oracle", "schedule", "silent", "rate-matched")
    plan = RunPlan(tmp_path / "run", names, tuple(select_personas("p01,p05,p21,sampled:3")), (0,),
                   RunConfig(9, user_options=options))
    assert execute(plan, prepare(plan)) == []
    utility = {r.name: r.columns["utility"] for r in report.summarise(plan.folder).results}
    assert utility["oracle"].mean == 1.0
    assert utility["silent"].mean == 0.0
    assert 0 < utility["timing-oracle"].mean < 0.85
    assert 0 < utility["content-oracle"].mean < 0.85
    assert utility["schedule"].mean < utility["timing-oracle"].mean
    assert utility["rate-matched"].mean < min(utility["timing-oracle"].mean, utility["content-oracle"].mean)


@EVERY_VARIANT
def test_explanations_add_up_and_counterfactuals_are_exact(options, catalogue_texts):
    users = living("p05", 4, **options)
    for n in range(9 * 380):
        text = catalogue_texts[11 * n % 700]
        if n % 97 == 0:
            margins = users.resident(0).judge(text).margins
            assert list(users.explain(0, text).margins.values()) == pytest.approx(margins, abs=1e-9)
            later = users.what_if(0, text, minutes_later=50)
            branch = users.branch(0)
            live(branch, 20)
            assert (later.tick, later.rating) == (branch.resident(0).now, branch.rate(0, text))
        users.act([text if n % 40 == 0 else ""])


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
    steps = [sum(a != b for a, b in zip(x, y, strict=True)) for x, y in itertools.pairwise(wants)]
    assert max(steps) == 1
    assert sum(steps) == round(P.drift_wants * len(wants[0]))
    assert wants[13] == wants[14]
    rates = [life.on(day).persona.per_day for day in range(14)]
    assert len(set(rates)) == 14
    assert rates == sorted(rates) or rates == sorted(rates, reverse=True)


def test_what_was_learned_before_the_drift_fails_after_it(setting):
    """Where a want has changed, a text on its old topic seldom earns the preference mark that one on the new topic earns."""
    texts = {topic: next(t.text for t in setting.catalogue if t.topic == topic) for topic in setting.topic_ids}
    marks = {"old": [], "new": []}
    for persona in select_personas("8"):
        resident = living(persona, noise=0.0, drift="abrupt").residents[0]
        before = {today.id: old.topic for today, old in zip(resident.life.on(9).persona.wants, persona.wants, strict=True)}
        for day in range(7, 14):
            resident.enter(day)
            for need in resident.plan.needs:
                if before[need.want.id] != need.want.topic:
                    resident.tick = need.start
                    marks["old"].append(resident.judge(texts[before[need.want.id]]).marks & 1)
                    marks["new"].append(resident.judge(texts[need.want.topic]).marks & 1)
    assert len(marks["new"]) > 50
    assert np.mean(marks["new"]) > 0.9
    assert np.mean(marks["old"]) < 0.4


def test_unknown_values_are_refused():
    with pytest.raises(ValueError, match="drift='fast': choose one of 'none', 'slow', 'abrupt'"):
        SimulatedUsers(1, drift="fast")
    with pytest.raises(ValueError, match="absences='no': write true or false"):
        SimulatedUsers(1, absences="no")


# --- absences ---------------------------------------------------------------------------------------------------------


def stretches(mask):
    """Stretches ``[start, end)`` of ticks at which a mask of a day holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def absent(plan):
    """Stretches of a day spent away."""
    return stretches(np.array([s.kind.category == "away" for s in plan.segments])[plan.segment])


def test_days_with_absences_are_whole():
    blocks = []
    for persona in select_personas("all,sampled:20"):
        for plan in plans(14, persona, absences=True):
            segments = plan.segments
            assert segments[0].start == 0
            assert segments[-1].end == 1440
            assert all(a.end == b.start for a, b in itertools.pairwise(segments))
            assert all(s.end - s.start >= 1 for s in segments)
            away = absent(plan)
            assert all(plan.wake + 10 <= start < end <= plan.sleep - 10 for start, end in away)
            assert plan.available.sum() == plan.sleep - plan.wake - sum(end - start for start, end in away)
            blocks.append(len(away))
    assert set(blocks) == {0, 1, 2}
    assert 0.1 < np.mean(np.array(blocks) == 2) < 0.5


def test_who_works_out_of_home_is_away_about_as_long_as_the_survey_says():
    minutes, others = [], []
    for persona in select_personas("sampled:60"):
        away = [sum(s.end - s.start for s in plan.segments if s.kind.category == "away")
                for plan in plans(14, persona, absences=True)]
        (minutes if works_away(persona, P)[0] else others).append(np.mean(away))
    assert np.mean(minutes) == pytest.approx(443, rel=0.15)
    assert 60 < np.mean(others) < 180


def test_nobody_is_asked_while_the_resident_is_away(catalogue_texts):
    """Every waking tick at home is asked for once, and no other, however the day is cut up."""
    twice = 0
    for name, text in (("p01", lambda n: ""), ("p21", lambda n: catalogue_texts[n % 700] if n % 5 == 0 else "")):
        users = living(name, 1, absences=True)
        asked = [int(users.tick[0]), *(tick for tick, *_ in live(users, 14 * 576, text))]
        for plan in plans(14, name, 1, absences=True):
            there = [t % 576 for t in asked if t // 576 == plan.day]
            assert there == np.flatnonzero(plan.available).tolist()
            twice += len(absent(plan)) == 2
    assert twice >= 3


def test_nothing_is_wanted_while_the_resident_is_away():
    ends = 0
    for persona in select_personas("all"):
        for plan in plans(5, persona, absences=True):
            assert not plan.want_bits[~plan.available].any()
            assert not plan.need_bits[~plan.available].any()
            leaving = {start for start, _ in absent(plan)}
            ends += sum(n.end in leaving for n in plan.needs)
    assert ends > 10  # needs lapse at the door


def test_silence_is_overdue_after_time_at_home_only():
    """Spoken to just before leaving, the resident misses nothing until so many ticks at home have passed."""
    users = living("p28", noise=0.0, absences=True)
    plan = users.residents[0].plan
    leaving, back = absent(plan)[0]
    spoken = int(plan.available[: leaving - 10].sum())
    late = [n for n, (_, _, marks, _) in enumerate(live(users, 350, lambda n: "A warm drink?" if n == spoken else ""))
            if n > spoken and not marks & 4]
    assert late[0] - spoken == pytest.approx(1.5 * users.residents[0].planner.interval_ticks, abs=2)
    assert np.flatnonzero(plan.available)[late[0]] > back


def test_absences_in_logs_metrics_and_replay(tmp_path):
    env = gym.make("ProPerSim-v0", persona="p01", days=3, user_options={"absences": True}, log_dir=tmp_path).unwrapped
    observation, over = env.reset(seed=0)[0], False
    seen = [observation]
    while not over:
        observation, _, _, over, _ = env.step("A game before bed?" if len(seen) % 90 == 0 else "")
        seen.append(observation)
    (path,) = tmp_path.glob("*.jsonl")
    episode = propersim_env.read_episode(path)
    days = plans(3, absences=True)
    assert [d.tick % 576 for d in episode.decisions()] == [t for plan in days for t in np.flatnonzero(plan.available).tolist()]
    assert measure(episode).decisions.tolist() == [plan.available.sum() for plan in days]
    diaries = [[a for a in day["activities"] if a[2] == "away"] for day in episode.days()]
    assert [len(d) > 0 for d in diaries] == [len(absent(plan)) > 0 for plan in days]


@EVERY_VARIANT
def test_a_log_is_replayed_as_it_was_seen(options, tmp_path):
    def lived(**how):
        env = gym.make("ProPerSim-v0", persona="p01", days=9, **how).unwrapped
        seen, over = [env.reset(seed=3)[0]], False
        while not over:
            observation, _, _, over, _ = env.step("A game before bed?" if len(seen) % 90 == 0 else "")
            seen.append(observation)
        return seen

    seen = lived(user_options=options, log_dir=tmp_path)
    (path,) = tmp_path.glob("*.jsonl")
    assert lived(user="replay", user_options={"log": str(path)})[:-1] == seen[:-1]


def test_all_views_skip_absences_alike():
    options = {"absences": True, "events": True, "company": True}
    single = gym.make("ProPerSim-v0", persona="p09", days=2, user_options=options).unwrapped
    vector = ProPerSimVectorEnv(2, persona=["p28", "p09"], days=2, user_options=options, autoreset=False)
    two, user = propersim_env.raw_env(persona="p09", days=2), make_user("simulated", **options)
    one = single.reset(seed=1)[0]
    many = vector.reset(seed=[5, 1])[0]
    two.reset(seed=1)
    turn = user.reset(two.persona, 1)
    over = False
    while not over:
        two.step(turn.to_action(int(two.machine.tick[0])))
        assert one == many[1] == two.observe("assistant_0")["text"]
        one, _, _, over, _ = single.step("")
        many = vector.step(["", ""])[0]
        two.step("")
        turn = user.act("")


# --- events -----------------------------------------------------------------------------------------------------------


def eventful(kind, persona, days=28, **options):
    """Days of a persona on which there is such an event, of several episodes."""
    found = []
    for seed in range(4):
        life = living(persona, seed, noise=0.0, events=True, **options).residents[0].life
        found += [life.on(day) for day in range(days) if event_on(life.persona, seed, day, P) == kind]
    return found


def guests_in(plan):
    """Ticks of a day with guests."""
    return np.array([s.kind.category == "guests" for s in plan.segments])[plan.segment]


def test_days_without_an_event_are_as_they_would_be():
    kinds = []
    for name in ("p01", "p07", "p22"):
        for plain, plan in zip(plans(persona=name, seed=5), plans(persona=name, seed=5, events=True), strict=True):
            kinds.append(event_on(load_persona(name), 5, plan.day, P))
            assert (plain.noise == plan.noise).all()
            assert (plain.wake, plain.sleep) == (plan.wake, plan.sleep)
            special = kinds[-1] == "ill" or guests_in(plan).any()  # guests may find no time after work
            assert (shown(plain) == shown(plan)) == (not special)
    assert set(kinds) == {"", "ill", "guests"}


def test_how_often_there_are_events():
    personas = select_personas("sampled:150")
    kinds = np.array([[event_on(p, 0, day, P) for day in range(28)] for p in personas])
    begins = np.concatenate([kinds[:, :1] == "ill", (kinds[:, 1:] == "ill") & (kinds[:, :-1] != "ill")], axis=1)
    assert begins[:, 3:].mean() == pytest.approx(P.ill_begins, rel=0.25)
    weekend = np.array([is_weekend(day) for day in range(28)])
    assert (kinds[:, weekend] == "guests").mean() == pytest.approx(P.guests_weekend, rel=0.25)
    assert (kinds[:, ~weekend] == "guests").mean() == pytest.approx(P.guests_weekday, rel=0.25)


@pytest.mark.parametrize("absences", [False, True])
def test_a_day_with_guests(absences, catalogue_texts):
    visits = 0
    for name in ("p01", "p05", "p16", "p28"):
        for today in eventful("guests", name, absences=absences):
            plan = today.plan
            stays = stretches(guests_in(plan))
            assert len(stays) <= 1
            if not stays:
                continue  # no time is left after work
            (start, end), visits = stays[0], visits + 1
            assert {s.kind.room for s in plan.segments if s.kind.category == "guests"} == {"common_room"}
            assert plan.available[start:end].all()
            assert not plan.want_bits[start:end].any()
            assert not plan.need_bits[start:end].any()
            assert (plan.timing[start:end] < 0).all()
            persona_from_dict(today.persona.to_dict(), today.persona.setting)
            if absences:
                assert all(back <= start for _, back in absent(plan) if back < end)
    assert visits > 10


def test_who_likes_to_host_wants_help_before_the_guests_come(setting):
    help_with_it = [t.text for t in setting.catalogue if t.topic == "hosting"]
    personas = select_personas("all")
    likes = [p for p in personas if p.liking.get("hosting", 0.0) > P.hosting_liked][:2]
    not_so = next(p for p in personas if p.liking.get("hosting", 0.0) < 0)
    for persona, wanted in ((likes[0], True), (likes[1], True), (not_so, False)):
        for today in eventful("guests", persona.id):
            plan = today.plan
            needs = [n for n in plan.needs if n.want.id == "before_guests"]
            if not guests_in(plan).any():
                assert not needs
                continue
            assert len(needs) == wanted
            if needs:
                need, come = needs[0], int(np.flatnonzero(guests_in(plan))[0])
                assert need.end == come
                assert 4 <= need.end - need.start <= 49
                mind = living(persona).residents[0].mind
                marks = [today.rater.judge(plan, need.start, mind, text) for text in help_with_it]
                assert any(m.marks & 1 and m.serves >> need.index & 1 for m in marks)


def test_a_day_of_illness(setting):
    by_topic = {topic: [t.text for t in setting.catalogue if t.topic == topic][:6] for topic in ("fitness", "tidying", "sleep")}
    days = 0
    for name in ("p02", "p07", "p09", "p18", "p31"):
        before = load_persona(name)
        for today in eventful("ill", name):
            plan, persona, days = today.plan, today.persona, days + 1
            persona_from_dict(persona.to_dict(), setting)
            assert persona.per_day == pytest.approx(before.per_day / 2)
            inside = plan.segments[1:-1]
            assert all(a.end == b.start for a, b in itertools.pairwise(plan.segments))
            assert {s.kind.category for s in inside} <= {"rest", "eating", "washing"}
            assert sum(s.end - s.start for s in inside if s.kind.category == "rest") > 500
            assert not {n.want.topic for n in plan.needs} & {"fitness", "tidying", "gardening"}
            mind = living(name).residents[0].mind
            asleep = [s.kind.id == "ill_in_bed" for s in plan.segments]
            tick = int(np.flatnonzero(np.array(asleep)[plan.segment])[0])
            share = {k: np.mean([today.rater.judge(plan, tick, mind, text).marks & 1 for text in texts])
                     for k, texts in by_topic.items()}
            assert share["fitness"] == share["tidying"] == 0
            assert share["sleep"] > 0.5 or before.liking.get("sleep", 0.0) < 0
    assert days > 10


def test_nobody_goes_out_when_ill():
    for today in eventful("ill", "p21", absences=True):
        assert not absent(today.plan)


@pytest.mark.parametrize("kind", ["ill", "guests"])
def test_a_branch_on_such_a_day_goes_on_exactly(kind, p01, catalogue_texts):
    seed = next(s for s in range(999) if event_on(p01, s, 1, P) == kind and event_on(p01, s, 2, P) == "")
    users = living(p01, seed, events=True, absences=True)
    while users.day[0] < 1 or users.tick[0] < 420:
        users.act([""])
    users.act([catalogue_texts[0]])
    branch = living("p02", 0, events=True, absences=True)
    branch.set_state(0, json.loads(json.dumps(users.get_state(0))))
    assert [branch.rate(0, t) for t in catalogue_texts[:20]] == [users.rate(0, t) for t in catalogue_texts[:20]]
    assert live(branch, 400) == live(users, 400)


# --- company ----------------------------------------------------------------------------------------------------------


def test_the_observation_says_what_the_other_does():
    options = {"company": True, "absences": True}
    env = gym.make("ProPerSim-v0", persona="p01", user_options=options, render_mode="ansi").unwrapped
    observation, _ = env.reset(seed=0)
    alone = 0
    for _ in range(700):
        tick = int(env.machine.tick[0])
        plan = env.users.residents[0].plan
        other = plan.company.segments[plan.company.segment[tick % 576]]
        if other.kind.category == "away":
            alone += 1
            assert "Also at home" not in observation
        else:
            room = env.source.setting.room_names[other.kind.room].lower()
            assert f"). Also at home: {plan.company.name} is {other.text} ({room}). " in observation
            assert "Also" in env.render()
        observation = env.step("")[0]
    assert 0 < alone < 600
    env = gym.make("ProPerSim-v0", persona="p01").unwrapped
    assert "Also at home" not in env.reset(seed=0)[0]


def test_who_the_other_is():
    names = [{plan.company.name for plan in plans(3, "p01", seed, company=True)} for seed in range(6)]
    assert all(len(n) == 1 for n in names)
    assert len(set.union(*names)) > 3
    assert "Zuleica" not in set.union(*names)


def test_company_leaves_the_resident_s_own_day_alone():
    for plain, plan in zip(plans(7), plans(7, company=True), strict=True):
        together = plan.company.together
        assert plain.segments == plan.segments
        assert plain.needs == plan.needs
        assert np.allclose(plain.timing - plan.timing, P.company_timing * together)
        rooms = [s.kind.room for s in plan.segments]
        theirs = [s.kind.room for s in plan.company.segments]
        same = [rooms[a] == theirs[b] for a, b in zip(plan.segment, plan.company.segment, strict=True)]
        assert (together == (same & plan.available & plan.company.around)).all()
        assert 0.05 < together[plan.available].mean() < 0.8


def test_in_company_the_resident_is_harder_to_interrupt_and_private_matters_are_out_of_place(setting):
    topics = {True: {"money", "self_care"}, False: {"cooking", "games"}}
    texts = {private: [t.text for t in setting.catalogue if t.topic in names] for private, names in topics.items()}
    lost, busy = {True: [], False: []}, []
    for name in ("p01", "p05", "p11", "p20", "p28"):
        here, alone = (living(name, noise=0.0, company=c).residents[0] for c in (True, False))
        ticks = np.flatnonzero(here.plan.company.together)
        for tick in (ticks[0], ticks[ticks.size // 2]):
            here.tick = alone.tick = int(tick)
            for private, candidates in texts.items():
                for text in candidates[::3]:
                    a, b = alone.judge(text), here.judge(text)
                    assert (a.marks & 5, a.margins[0]) == (b.marks & 5, b.margins[0])  # preference and frequency stay
                    assert b.marks & 10 & ~a.marks == 0
                    lost[private].append(b.margins[3] < a.margins[3])
                    assert (b.terms[3] == "company") == (a.margins[3] > 0 >= b.margins[3])
                    assert (b.terms[1] == "company") == (a.margins[1] > 0 >= b.margins[1])
                    busy.append(b.terms[1] == "company")
                    if "company" in b.terms:
                        reasons = here.rating(b).reasons
                        assert reasons["timing" if b.terms[1] == "company" else "communication"]
    assert np.mean(lost[True]) > 0.8
    assert np.mean(lost[False]) < 0.1
    assert any(busy)
    assert not all(busy)


def test_a_breach_of_privacy_is_worse_before_others():
    resident = living("p01", noise=0.0, company=True).residents[0]
    resident.tick = int(np.flatnonzero(resident.plan.company.together)[0])
    text = "I read your private messages, so shall we cook what your sister asked you for?"
    heard = resident.rater.hear(text)
    assert "privacy" in heard.reading.flags
    assert resident.judge(text).margins[3] == pytest.approx(heard.communication - P.company_private)


# --- the setting's part -----------------------------------------------------------------------------------------------


def test_a_setting_without_occasions_says_what_is_missing(tmp_path, setting):
    folder = shutil.copytree(setting.folder, tmp_path / "bare")
    (folder / "occasions.json").unlink()
    bare = load_persona("p01", load_setting(str(folder)))
    living(bare)
    with pytest.raises(DataError, match=r"occasions\.json: is missing, and the options absences"):
        living(bare, absences=True)
    table = json.loads((setting.folder / "occasions.json").read_text())
    table["work_away"][0]["object"] = "gate"
    (folder / "occasions.json").write_text(json.dumps(table))
    with pytest.raises(DataError, match=r"work_away\[0\].object: no object 'gate'"):
        living(bare, absences=True)
    table["work_away"][0]["object"], table["topics"]["gentle"] = "door", ["slep"]
    (folder / "occasions.json").write_text(json.dumps(table))
    occasions.cache_clear()
    with pytest.raises(DataError, match=r"topics.gentle: no topic 'slep'.*sleep"):
        living(bare, events=True, absences=True)
