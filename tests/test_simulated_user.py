"""The simulated user: days that make sense, judgements that follow from the persona, and no reward for silence or chatter."""

import gc
import itertools
import json
import weakref

import numpy as np
import pytest

from propersim_env.agents.users.simulated import SimulatedUsers
from propersim_env.agents.users.simulated.parameters import FILE, load_parameters
from propersim_env.agents.users.simulated.reasons import FACTS, REASONS
from propersim_env.evaluation import report
from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig
from propersim_env.persona import load_persona, select_personas
from propersim_env.population import sample_persona

BUNDLED = [f"p{i:02d}" for i in range(1, 33)]


def residents(names, seed=0, **options):
    users = SimulatedUsers(len(names), **options)
    for i, name in enumerate(names):
        users.reset(i, load_persona(name), seed)
    return users


def test_every_number_has_a_source():
    for name, entry in json.loads(FILE.read_text()).items():
        if name not in ("version", "about"):
            assert len(entry["source"]) > 10, name
    assert load_parameters({"need_rate": 2.0}).need_rate == 2.0


def test_every_term_has_a_sentence():
    known = {*FACTS, "tone", "words", "limit", "since", "until", "waited", "interval"}
    for terms in REASONS.values():
        for sentence in terms.values():
            sentence.format_map(dict.fromkeys(known, "a calm evening"))


@pytest.mark.parametrize("name", BUNDLED)
def test_days_are_whole(name):
    """Segments tile the day; the resident wakes, eats, and sleeps before midnight; needs lie in waking time."""
    users = residents([name])
    for day in range(7):
        plan = users.residents[0].plan
        segments = plan.segments
        assert segments[0].start == 0
        assert segments[-1].end == 1440
        assert all(a.end == b.start for a, b in itertools.pairwise(segments))
        assert all(s.end > s.start for s in segments[1:-1])
        assert segments[0].kind.category == segments[-1].kind.category == "sleep"
        assert 10 <= len(segments) <= 40
        assert 240 <= plan.sleep - plan.wake <= 480
        for need in plan.needs:
            assert plan.wake <= need.start < need.end <= plan.sleep
        assert plan.day == day
        users.residents[0].next_day()


def test_needs_arrive_about_as_often_as_wanted():
    users = residents(BUNDLED)
    ratio = []
    for resident in users.residents:
        count = 0
        for _ in range(14):
            count += len(resident.plan.needs)
            resident.next_day()
        ratio.append(count / 14 / resident.persona.per_day)
    assert 0.75 <= np.mean(ratio) <= 1.1


def test_every_want_has_its_situation_on_some_days():
    users = residents(BUNDLED)
    for resident in users.residents:
        seen = 0
        for _ in range(28):
            seen |= int(np.bitwise_or.reduce(resident.plan.want_bits))
            resident.next_day()
        missing = [w.id for i, w in enumerate(resident.persona.wants) if not seen >> i & 1]
        assert not missing, (resident.persona.id, missing)


def test_noise_can_be_switched_off_and_is_shared():
    quiet = residents(["p01"], noise=0.0).residents[0].plan
    assert not quiet.noise.any()
    loud, again = (residents(["p01"], noise=2.0).residents[0].plan for _ in range(2))
    one = residents(["p01"]).residents[0].plan
    assert np.allclose(loud.noise, 2 * one.noise)
    assert (loud.noise == again.noise).all()


def test_each_dimension_is_judged_alone(setting):
    """The same text keeps its preference mark where the time is wrong, and loses only frequency right after another."""
    users = residents(["p01"], noise=0.0)
    resident = users.residents[0]
    plan, mind = resident.plan, resident.mind
    tick = int(np.flatnonzero((plan.need_bits != 0) & (plan.timing > 0))[0])
    resident.tick = tick
    need = next(n for n in plan.needs if plan.need_bits[tick] >> n.index & 1)
    texts = [t.text for t in setting.catalogue if t.topic == need.want.topic]
    good = [t for t in texts if resident.judge(t).marks == 15]
    assert good, need
    text, other = good[0], good[1]
    resident.deliver(text)
    assert mind.served >> need.index & 1
    resident.tick += 1
    again, soon = resident.judge(text), resident.judge(other)
    assert again.terms[0] == "repeat"
    assert not again.marks & 1
    assert not soon.marks & 4
    assert soon.terms[2] == "gap"


def test_satiation_and_habituation_fade(p01):
    users = residents(["p01"], noise=0.0)
    resident = users.residents[0]
    rater, mind = resident.rater, resident.mind
    topic = max(range(len(rater.liking)), key=lambda k: rater.liking[k])
    mind.habituation[topic], mind.habituation_tick[topic] = 0.8, 0
    assert rater.levels(mind, topic, rater.p.habituation_half_life_days * 576)[0] == pytest.approx(0.4)
    mind.satiation[topic], mind.satiation_tick[topic] = 1.0, 0
    assert rater.levels(mind, topic, round(24 * rater.p.satiation_hours))[1] == pytest.approx(np.exp(-1), abs=1e-3)


def test_silence_is_overdue_only_after_long():
    users = residents(["p28"], noise=0.0)
    interval = users.residents[0].planner.interval_ticks
    first = None
    for n in range(380):
        turns = users.act([""])
        if first is None and not turns.marks[0] & 4:
            first = n
    assert first == pytest.approx(1.5 * interval, abs=2)


def test_follow_through_changes_what_comes_next(catalogue_texts):
    for follow in (False, True):
        users = residents(["p05"], follow_through=follow)
        followed = 0
        for n in range(370):
            texts = catalogue_texts[n : n + 80] if n % 25 == 0 else [""]
            turns = users.act([max(texts, key=lambda text: users.rate(0, text).total)])
            followed += turns.activities[0].text.startswith("trying out")
        assert (followed > 0) == follow


def test_a_resident_may_dismiss_the_assistant():
    users = residents(["p02"], dismissal=True)
    dismissed = [n for n in range(300) if users.act(["Buy this now, you must!"]).dismissals]
    assert dismissed
    assert dismissed[0] > 40


def test_what_was_followed_elsewhere_changes_no_judgement(catalogue_texts):
    """Raters are shared by episodes: what one resident follows must not change what another thinks."""
    def lived(before):
        users = residents(["p05"], follow_through=True)
        for n in range(before):
            users.act([max(catalogue_texts[n : n + 40], key=lambda t: users.rate(0, t).total) if n % 20 == 0 else ""])
        users = residents(["p05"], seed=1, follow_through=True)
        return [users.act([catalogue_texts[(7 * n) % 700] if n % 10 == 0 else ""]).marks[0] for n in range(300)]

    assert lived(0) == lived(300)


def test_near_duplicates_are_repeats(p01):
    users = residents(["p01"], noise=0.0)
    resident = users.residents[0]
    text = "Put the kettle on and steep some fresh ginger with a spoon of honey."
    for tick, said in ((200, text), (300, text + " Enjoy.")):
        resident.tick = tick
        resident.deliver(said)
    resident.tick = 320
    assert resident.judge(text).terms[0] == "repeat"
    assert resident.mind.last_heard(resident.rater.hear(text).reading, resident.rater.repeat_limits) == 300


@pytest.mark.parametrize("text", ["re*lax* in the garden with a book", "a ca`fe` visit with music", "*", "\x00tea"])
def test_memory_of_odd_texts_is_restored_exactly(text):
    users, other = residents(["p01"]), residents(["p01"])
    users.act([text])
    other.set_state(0, json.loads(json.dumps(users.get_state(0))))
    assert other.get_state(0) == users.get_state(0)
    for candidate in (text, "Relax in the garden with a book.", "A visit to a cafe with music."):
        assert other.rate(0, candidate) == users.rate(0, candidate)


@pytest.mark.parametrize("text", ["Hello there.", "tea", ".", "👍", "qwx zzkj vvpq lll"])
def test_empty_words_are_not_well_put(text):
    users = residents(["p01"], noise=0.0)
    judgement = users.residents[0].judge(text)
    assert not judgement.marks & 8
    assert judgement.reaction == "dismiss"


OPPORTUNIST = '''
from propersim_env.agents.assistants.oracles import ContentOracle
class Opportunist(ContentOracle):
    """Knows all that the oracle knows, and speaks whenever something good enough can be said."""
    def __init__(self, least=4): self.least = least
    def act(self, observation):
        resident = self.look()
        text, marks = self.best_text(resident)
        return self.note(text, resident.now) if marks >= self.least else ""
'''


def test_opportunism_and_chatter_do_not_beat_the_oracle(tmp_path):
    (tmp_path / "zoo.py").write_text(OPPORTUNIST)
    four, three = (f"{tmp_path}/zoo.py:Opportunist:least={n}" for n in (4, 3))
    plan = RunPlan(tmp_path / "run", ("oracle", four, three), tuple(select_personas("sampled:10")), (0,), RunConfig(4))
    assert execute(plan, prepare(plan)) == []
    results = {r.name: r.columns for r in report.summarise(plan.folder).results}
    assert results[four]["utility"].mean < 1.05
    assert results[three]["utility"].mean < 0.9
    assert results["oracle"]["missed"].mean < results[four]["missed"].mean


def test_silence_and_chatter_end_clearly_below_serving_needs(tmp_path):
    """The order of the scripted assistants, outside their intervals, on 12 personas and 5 days."""
    names = ("oracle", "timing-oracle", "content-oracle", "silent", "fixed-rate", "rate-matched", "always")
    plan = RunPlan(tmp_path / "run", names, tuple(select_personas("12")), (0,), RunConfig(5))
    assert execute(plan, prepare(plan)) == []
    utility = {r.name: r.columns["utility"] for r in report.summarise(plan.folder).results}
    assert utility["oracle"].mean == 1.0
    assert utility["silent"].mean == 0.0
    for weaker in ("timing-oracle", "content-oracle"):
        assert utility[weaker].mean > 0
        assert utility[weaker].high < 1.0
        assert utility["rate-matched"].high < utility[weaker].low
    assert utility["fixed-rate"].high < 0.4
    assert utility["always"].high < -5


def test_residents_of_long_ago_are_let_go(setting):
    """Training on sampled personas meets thousands of them; what was compiled for each must not stay for ever."""
    users = SimulatedUsers(1)
    first = sample_persona(0, 0, setting)
    gone = weakref.ref(first)
    users.reset(0, first, 0)
    del first
    for i in range(1, 300):
        users.reset(0, sample_persona(0, i, setting), 0)
    gc.collect()
    assert gone() is None
