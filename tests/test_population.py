"""The population sampler: unlimited residents that are coherent, varied, and correlated as published."""

import json
import shutil
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from propersim_env.clock import parse_time
from propersim_env.persona import TRAITS, persona_from_dict
from propersim_env.population import sample_persona
from propersim_env.population.tables import FILE, leaning, load_numbers, trait_correlations
from propersim_env.schema import read_json
from propersim_env.setting import load_setting

N = 2000


@pytest.fixture(scope="module")
def population(setting):
    return [sample_persona(3, i, setting) for i in range(N)]


@pytest.fixture(scope="module")
def traits(population):
    return np.array([[p.traits[t] for t in TRAITS] for p in population])


@pytest.fixture(scope="module")
def liking(population, setting):
    return np.array([[p.liking.get(t, 0.0) for t in setting.topic_ids] for p in population])


def spans(windows):
    return [(w.start, w.end, w.days) for w in windows]


def meet(a, b):
    return a == b or "all" in (a, b)


def test_a_persona_depends_on_seed_and_index_alone(setting):
    forwards = [sample_persona(5, i, setting).to_dict() for i in range(6)]
    backwards = [sample_persona(5, i, setting).to_dict() for i in reversed(range(6))]
    assert forwards == backwards[::-1]
    assert sample_persona(5, 4, setting, validate=True).to_dict() == forwards[4]
    assert forwards[4]["id"] == "s5-0004"
    assert sample_persona(6, 4, setting).to_dict()["preferences"] != forwards[4]["preferences"]


def test_negative_numbers_are_refused(setting):
    with pytest.raises(ValueError, match="persona -1 of seed 0"):
        sample_persona(0, -1, setting)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_personas_pass_the_checks_of_a_persona_file(setting, seed):
    for i in range(100):
        data = json.loads(json.dumps(sample_persona(seed, i, setting).data))
        persona_from_dict(data, setting, data["id"])


def test_every_number_has_a_source():
    for name, entry in read_json(FILE)["numbers"].items():
        assert set(entry) == {"value", "source"} and entry["source"], name


def test_published_trait_correlations(traits):
    assert np.linalg.eigvalsh(trait_correlations()).min() > 0.4
    assert np.abs(np.corrcoef(traits.T) - trait_correlations()).max() < 0.08
    assert np.abs(traits.mean(0)).max() < 0.08 and np.abs(traits.std(0) - 1).max() < 0.08


def test_published_effects_of_traits(population, traits, liking, setting):
    wake = np.array([parse_time(p.routine["wake"]) for p in population])
    assert np.corrcoef(traits[:, TRAITS.index("conscientiousness")], -wake)[0, 1] == pytest.approx(0.29, abs=0.08)
    for topic, effects in load_numbers().liking_by_trait.items():
        for trait, r in effects.items():
            found = np.corrcoef(traits[:, TRAITS.index(trait)], liking[:, setting.topic_index[topic]])[0, 1]
            assert found == pytest.approx(r, abs=0.08), (topic, trait)


def test_assumed_effects_stay_small():
    n = load_numbers()
    tables = [*n.liking_by_trait.values(), *n.tone_by_trait.values(), n.per_day_by_trait]
    assert max(abs(r) for table in tables for r in table.values()) <= 0.25
    assert leaning({"openness": 0.25}).rest == pytest.approx(np.sqrt(1 - 0.25**2))


def test_liking_and_rate_are_mostly_ones_own(population, traits, liking):
    occupations = sorted({p.data["occupation"] for p in population})
    known = np.array([[p.data["occupation"] == o for o in occupations] for p in population], float)
    for values, known_part, limit in ((liking, known, 0.3), (np.log([[p.per_day] for p in population]), known[:, :0], 0.4)):
        x = np.column_stack([np.ones(N), known_part, traits])
        rest = values - x @ np.linalg.lstsq(x, values, rcond=None)[0]
        assert (1 - rest.var(0) / values.var(0)).max() <= limit


def test_rate_is_spread_as_published(population):
    rate = np.array([p.per_day for p in population])
    assert np.median(rate) == pytest.approx(3.5, abs=0.5)
    assert 0.86 <= np.mean((rate >= 1.5) & (rate <= 14)) <= 0.96
    assert rate.min() >= 1 and rate.max() <= 16 and (rate * 2 == np.round(rate * 2)).all()
    share = [p.min_gap * p.per_day / p.waking_minutes for p in population]
    assert min(share) >= 0.549 and max(share) <= 0.901


def test_waking_times_are_spread(population):
    wake = np.array([parse_time(p.routine["wake"]) for p in population]) / 60
    assert wake.min() >= 5.5 and wake.max() <= 9.5 and np.ptp(np.quantile(wake, [0.05, 0.95])) > 2
    for p in population:
        times = [parse_time(p.routine[k]) for k in ("wake", "breakfast", "lunch", "dinner", "sleep")]
        assert times == sorted(times) and times[-1] >= 21.5 * 60
        assert times[-1] + p.routine["weekend_shift_minutes"] <= 1440
        work = [parse_time(w[k]) for w in p.routine["work"] for k in ("from", "to")]
        assert work == sorted(work) and bool(work) == bool(p.routine["work_days"])


def test_windows_are_coherent(population):
    for p in population:
        wanted, unwanted = spans(p.wanted), spans(p.unwanted)
        assert 2 <= len(wanted) <= 4 and len(unwanted) <= 3 and len(p.unwanted_activities) <= 4, p.id
        assert sum(e - s for s, e, d in wanted if d == "all") >= 240 and sum(e - s for s, e, _ in wanted) <= 480, p.id
        bed = parse_time(p.routine["sleep"])
        assert all(parse_time(p.routine["wake"]) <= s < e <= bed for s, e, _ in wanted + unwanted), p.id
        everything = sorted(wanted + unwanted)
        assert all(a[1] <= b[0] for a, b in pairwise(everything) if meet(a[2], b[2])), p.id
        assert wanted[0][0] < 14 * 60 < wanted[-1][1], p.id


def test_work_left_alone_keeps_windows_out_of_work(population):
    for p in (p for p in population if "work" in p.unwanted_activities):
        for block in p.routine["work"]:
            start, end = parse_time(block["from"]), parse_time(block["to"])
            assert not any(w.start < end and start < w.end for w in p.wanted if w.days == "all"), p.id


def test_wants_fit_the_windows_and_the_routine(population, setting):
    for p in population:
        topics = Counter(w.topic for w in p.wants)
        assert 5 <= len(p.wants) <= 8 and max(topics.values()) <= 2, p.id
        assert len({w.id for w in p.wants}) == len(p.wants) and len(topics) >= 3, p.id
        assert min(p.liking[t] for t in topics) >= 0.3, p.id
        assert max(w.window.end for w in p.wants) - min(w.window.start for w in p.wants) >= 240, p.id
        for want in p.wants:
            days = {want.window.days, "all"} if want.window.days != "all" else {"all"}
            shared = [min(want.window.end, w.end) - max(want.window.start, w.start) for w in p.wanted if w.days in days]
            assert max(shared) >= 30, (p.id, want.id)
            assert not want.activities & p.unwanted_activities, (p.id, want.id)
            free = [(w.start, w.end) for w in p.unwanted if meet(w.days, want.window.days)]
            assert not any(want.window.start < e and s < want.window.end for s, e in free), (p.id, want.id)
            assert occurs(p, want, setting), (p.id, want.id)


def occurs(p, want, setting):
    """Every activity of the want, or one of each category, has hours or a meal in its window."""
    kinds = (*p.activities, *(k for k in setting.activities if p.liking.get(k.needs or "-", 1.0) > 0.2))

    def then(kind):
        meal = parse_time(p.routine[kind.meal]) if kind.meal else 0
        low, high = (meal - 60, meal + 40) if kind.meal else kind.hours
        return min(high, want.window.end) - max(low, want.window.start) >= 30

    return all(any(then(k) for k in kinds if name in (k.id, k.category)) for name in want.activities)


def test_activities_are_the_persons_own(population, setting):
    common = {a.id for a in setting.activities}
    for p in population:
        ids = [a.id for a in p.activities]
        assert 5 <= len(ids) <= 8 and len(set(ids)) == len(ids) and not common & set(ids), p.id
        work = sum(a.category == "work" for a in p.activities)
        assert work >= 2 if p.routine["work"] else work == 0, p.id


def test_likings_have_extremes(population):
    for p in population:
        assert 10 <= len(p.liking) <= 16, p.id
        assert sum(v >= 0.6 for v in p.liking.values()) >= 3 and sum(v <= -0.4 for v in p.liking.values()) >= 2, p.id


def test_rubric_says_what_is_structured(population, setting):
    phrases = setting.table("rubric_templates")
    for p in population[:500]:
        content, timing, rate, manner = (p.rubric[k] for k in phrases["paragraphs"])
        assert all(45 <= len(text.split()) <= 110 for text in p.rubric.values()), p.id
        named = {w.topic for w in p.wants} | {t for t, v in p.liking.items() if v >= 0.6 or v <= -0.4}
        assert {t for t, phrase in phrases["topic_phrases"].items() if phrase in content} >= named, p.id
        texts = {k.id: k.texts for k in (*setting.activities, *p.activities)}
        for name in (name for w in p.wants for name in w.activities):
            said = [phrases["category_phrases"][name]] if name in phrases["category_phrases"] else texts[name]
            assert any(text in content or text[0].upper() + text[1:] in content for text in said), (p.id, name)
        for window in (*(w.window for w in p.wants), *p.wanted, *p.unwanted):
            text = timing if window in (*p.wanted, *p.unwanted) else content
            for minute in (window.start, window.end):
                assert f"{minute // 60:02d}:{minute % 60:02d}" in text, p.id
        for name in p.unwanted_activities & set(phrases["category_phrases"]):
            assert phrases["category_phrases"][name] in timing, p.id
        for key in ("tones", "avoid_tones", "boundaries"):
            table = phrases["boundary_phrases" if key == "boundaries" else "tone_phrases"]
            assert all(table[name] in manner for name in p.communication[key]), p.id
        assert f" {p.communication['max_words']} words" in manner, p.id
        assert not set("{}") & set("".join(p.rubric.values())), p.id
        assert ("minutes" in rate or "hour" in rate) and not set(p.communication["tones"]) & set(
            p.communication["avoid_tones"]
        ), p.id


def test_names_do_not_repeat(population):
    assert len({p.name for p in population}) == N


def test_a_second_setting_brings_its_own_tables(setting, tmp_path):
    folder = tmp_path / "flat"
    shutil.copytree(setting.folder, folder)
    occupations = read_json(folder / "occupations.json")
    occupations["occupations"] = occupations["occupations"][-1:]
    (folder / "occupations.json").write_text(json.dumps(occupations), encoding="utf-8")
    (folder / "names.json").write_text(json.dumps({"version": 1, "first": ["Uma"], "last": ["Ek", "Moss"]}), encoding="utf-8")
    flat = load_setting(str(folder))
    people = [sample_persona(0, i, flat, validate=True) for i in range(4)]
    assert {p.name for p in people} == {"Uma Ek", "Uma Moss"}
    assert {p.data["occupation"] for p in people} == {occupations["occupations"][0]["title"]}
