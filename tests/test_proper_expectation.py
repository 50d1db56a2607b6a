"""What ProPerAssistant's memory expects of a text at a moment, and how ratings change what it trusts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propersim_env.agents.assistants.proper.expectation import (
    CONTENT,
    FEATURES,
    FREQUENCY,
    TIMING,
    WELCOME,
    Expectation,
    numbers,
    prior,
    signs,
)
from propersim_env.agents.assistants.proper.labels import labels_of
from propersim_env.agents.assistants.proper.regression import chance, fit, logit
from propersim_env.agents.assistants.proper.tallies import Instant, Judged
from propersim_env.agents.users.simulated.encoder import Encoder
from propersim_env.clock import TICKS_PER_DAY, TICKS_PER_HOUR
from propersim_env.setting import load_setting

HOUSE = load_setting("house")
MORNING, EVENING = 8 * TICKS_PER_HOUR, 20 * TICKS_PER_HOUR
WANTED, TIMELY, RARE_ENOUGH, KIND = 1, 2, 4, 8
ALL = WANTED | TIMELY | RARE_ENOUGH | KIND


def instant(tick: int, action: str = "reading a novel", gap: float = 240, load: float = 1.0, lasting: float = 30) -> Instant:
    return Instant(tick, action, lasting, gap, load)


def memory(prior_name: str = "neutral", by_dimension: bool = True) -> Expectation:
    encoder = Encoder.load()
    return Expectation(labels_of("house", encoder), encoder, 6.0, by_dimension, prior_name)


def text_on(topic: str, tone: str | None = None, k: int = 0) -> str:
    return [t.text for t in HOUSE.catalogue if t.topic == topic and tone in (None, t.tone)][k]


def timing(expectation: Expectation, at: Instant) -> float:
    return expectation.moment_marks(at)[0]


def often(expectation: Expectation, at: Instant) -> float:
    return expectation.moment_marks(at)[1]


class TestMoments:
    @pytest.mark.parametrize("start", ["neutral", "pooled"])
    def test_a_welcome_hour_is_told_from_an_unwelcome_one(self, start: str) -> None:
        knows = memory(start)
        for day in (0, 4, 5):  # Thursday, Monday, Tuesday
            knows.learn([Judged(instant(day * TICKS_PER_DAY + MORNING), text_on("reading"), ALL - TIMELY),
                         Judged(instant(day * TICKS_PER_DAY + EVENING), text_on("reading"), ALL)])
        tuesday = 6 * TICKS_PER_DAY
        assert timing(knows, instant(tuesday + MORNING)) < 0.25
        assert timing(knows, instant(tuesday + EVENING)) > 0.6

    def test_weekends_are_no_guide_to_weekdays(self) -> None:
        knows = memory()
        for day in (2, 3):  # Saturday and Sunday
            knows.learn([Judged(instant(day * TICKS_PER_DAY + MORNING), text_on("reading"), ALL)])
        saturday, monday = (timing(knows, instant(day * TICKS_PER_DAY + MORNING)) for day in (9, 4))
        assert monday < saturday - 0.15

    def test_what_the_resident_is_doing_counts_at_the_same_hour(self) -> None:
        knows = memory("pooled")
        for day in (0, 4, 5):
            at = day * TICKS_PER_DAY + EVENING
            knows.learn([Judged(instant(at, "reading a novel"), text_on("reading"), ALL)])
            knows.learn([Judged(instant(at + 8, "chopping onions for a stew"), text_on("cooking"), ALL - TIMELY)])
        then = 6 * TICKS_PER_DAY + EVENING
        assert (timing(knows, instant(then, "reading a thriller"))
                > timing(knows, instant(then, "chopping carrots for a soup")) + 0.3)

    @pytest.mark.parametrize("start", ["neutral", "pooled"])
    def test_frequency_is_told_apart_by_gap_and_load(self, start: str) -> None:
        knows = memory(start)
        for day in range(3):
            tick = day * TICKS_PER_DAY + MORNING
            knows.learn([Judged(instant(tick, gap=20, load=3.0), text_on("reading"), ALL - RARE_ENOUGH),
                         Judged(instant(tick + 9, gap=300, load=1.0), text_on("reading"), ALL)])
        later = 3 * TICKS_PER_DAY + EVENING
        assert often(knows, instant(later, gap=25, load=3.0)) < 0.3
        assert often(knows, instant(later, gap=280, load=1.1)) > 0.7

    def test_many_ratings_of_one_day_are_one_days_evidence(self) -> None:
        once, many, days = memory(), memory(), memory()
        at = instant(MORNING)
        once.learn([Judged(at, text_on("reading"), ALL)] * 2)
        many.learn([Judged(at, text_on("reading"), ALL)] * 200)
        for day in (0, 1, 4, 5):
            days.learn([Judged(instant(day * TICKS_PER_DAY + MORNING), text_on("reading"), ALL)] * 50)
        one, lots, four = (timing(m, instant(6 * TICKS_PER_DAY + MORNING)) for m in (once, many, days))
        p = numbers()
        bound = (p["most_a_day"] + p["expected_timing"] * p["doubt"]) / (p["most_a_day"] + p["doubt"])
        assert one < lots < bound < four

    def test_what_is_long_ago_counts_less(self) -> None:
        def then(*days: tuple[int, int]) -> float:
            knows = memory()
            for day, marks in days:
                knows.learn([Judged(instant(day * TICKS_PER_DAY + MORNING), text_on("reading"), marks)])
            return timing(knows, instant(21 * TICKS_PER_DAY + MORNING))

        assert then((0, 0), (20, ALL)) > 0.6 > 0.4 > then((0, ALL), (20, 0))


class TestTexts:
    AT = instant(4 * TICKS_PER_DAY + EVENING)

    def content(self, knows: Expectation, *texts: str, at: Instant = AT) -> list[float]:
        return knows.content(at, texts).tolist()

    @pytest.mark.parametrize("start", ["neutral", "pooled"])
    def test_a_liked_topic_is_expected_to_be_liked_in_other_words_too(self, start: str) -> None:
        knows = memory(start)
        knows.learn([Judged(instant(EVENING), text_on("music"), ALL), Judged(instant(EVENING), text_on("money"), ALL - WANTED)])
        music, money = self.content(knows, text_on("music", k=3), text_on("money", k=3))
        assert music > money + 0.1

    def test_a_disliked_tone_is_expected_to_be_disliked_on_another_topic(self) -> None:
        knows = memory("pooled")
        tones = [t.id for t in HOUSE.tones][:2]
        for tone, marks in zip(tones, (ALL, ALL - KIND), strict=True):
            knows.learn([Judged(instant(EVENING), text_on("music", tone), marks)] * 3)
        liked, disliked = (knows._text_features(self.AT, [text_on("music", tone, 1)])[1] @ knows.weights["communication"]
                           for tone in tones)
        assert liked > disliked

    def test_a_topic_may_be_wanted_at_one_hour_and_not_at_another(self) -> None:
        knows = memory("pooled")
        for day in (0, 1):
            knows.learn([Judged(instant(day * TICKS_PER_DAY + MORNING), text_on("technology", k=day), ALL)] * 2)
            knows.learn([Judged(instant(day * TICKS_PER_DAY + EVENING), text_on("technology", k=day), ALL - WANTED)] * 2)
        new = text_on("technology", k=5)
        morning, = self.content(knows, new, at=instant(4 * TICKS_PER_DAY + MORNING))
        evening, = self.content(knows, new, at=instant(4 * TICKS_PER_DAY + EVENING))
        assert morning > evening

    def test_what_was_just_said_and_taken_up_is_not_wanted_again(self) -> None:
        knows = memory("pooled")
        before, = self.content(knows, text_on("music", k=3))
        knows.said(self.AT.tick - 2 * TICKS_PER_HOUR, text_on("music"))
        waiting, = self.content(knows, text_on("music", k=3))
        assert waiting < before
        knows.learn([Judged(instant(self.AT.tick - 2 * TICKS_PER_HOUR), text_on("music"), ALL - WANTED)])
        features = knows._text_features(self.AT, [text_on("music", k=3)])[0][0]
        assert features[CONTENT.index("satiation")] == 0  # it was not taken up, so it satisfied nothing
        assert features[CONTENT.index("habit")] > 0

    def test_the_same_words_are_stale_for_a_week(self) -> None:
        knows, text = memory(), text_on("music")
        knows.said(0, text)
        repeated = CONTENT.index("repeated")
        assert knows._text_features(instant(TICKS_PER_DAY), [text])[0][0, repeated] == pytest.approx(1, abs=1e-5)
        assert knows._text_features(instant(8 * TICKS_PER_DAY), [text])[0][0, repeated] == 0

    def test_a_bad_day_makes_tired(self) -> None:
        knows = memory()
        knows.said(MORNING, text_on("music"))
        tired = TIMING.index("tired")
        later = instant(MORNING + TICKS_PER_HOUR)
        assert knows._moment_features(later)[0][tired] == 0
        knows.learn([Judged(instant(MORNING), text_on("music"), 0)])
        assert knows._moment_features(later)[0][tired] > 1


class TestWithoutMarks:
    def test_only_a_good_rating_counts_and_for_everything(self) -> None:
        knows = memory(by_dimension=False)
        for tick, marks in ((MORNING, ALL - TIMELY), (EVENING, KIND)):
            knows.learn([Judged(instant(tick), text_on("music"), marks)])
        morning, evening = (timing(knows, instant(4 * TICKS_PER_DAY + tick)) for tick in (MORNING, EVENING))
        assert morning > 0.6
        assert evening < 0.3


@given(st.integers(0, 13 * TICKS_PER_DAY), st.floats(-1, 3000), st.floats(0, 40), st.sampled_from(["", "sleeping", "zxqv"]),
       st.sampled_from(["neutral", "pooled"]))
@settings(max_examples=30, deadline=None)
def test_whatever_the_moment_expectations_are_probabilities(tick: int, gap: float, load: float, action: str,
                                                            start: str) -> None:
    knows = memory(start)
    at = instant(tick, action, gap, load, lasting=0)
    for _ in range(2):  # with an empty memory, and with one rating
        assert all(0 < p < 1 for p in knows.moment_marks(at))
        content = knows.content(at, ["Tea?", "x" * 300])
        assert content.shape == (2,)
        assert ((content > 0) & (content < 2)).all()
        assert np.isfinite(knows.moment(at))
        knows.learn([Judged(at, "Tea?", ALL)])


class TestNights:
    def test_a_resident_who_is_moved_by_activities_is_learnt(self) -> None:
        knows = memory()
        rng = np.random.default_rng(0)
        for day in range(6):
            for _ in range(40):
                action = ("reading a novel", "mopping the floor")[int(rng.integers(2))]
                at = instant(day * TICKS_PER_DAY + int(rng.integers(180, 540)), action)
                knows.learn([Judged(at, text_on("reading"), ALL if action == "reading a novel" else ALL - TIMELY)])
            knows.night(day + 1)
        new = dict(zip(TIMING, knows.weights["timing"] - knows.prior.weights["timing"], strict=True))
        assert new["activity"] > 0.1
        assert new["activity"] > new["hour"]
        fitted, unfitted = knows, memory()
        unfitted._rated, unfitted.actions, unfitted.texts = knows._rated, knows.actions, knows.texts
        for action, better in (("reading a novel", 1), ("mopping the floor", -1)):
            at = instant(7 * TICKS_PER_DAY + MORNING + 13, action)
            assert better * (timing(fitted, at) - timing(unfitted, at)) > 0

    def test_few_ratings_change_no_weights(self) -> None:
        knows = memory()
        knows.learn([Judged(instant(MORNING + k), text_on("reading"), 0) for k in range(10)])
        knows.night(1)
        assert all((knows.weights[mark] == knows.prior.weights[mark]).all() for mark in FEATURES)

    def test_evidence_is_what_was_known_before_the_rating(self) -> None:
        knows = memory()
        knows.learn([Judged(instant(MORNING), text_on("reading"), ALL)])  # the first has nothing to be held against
        knows.learn([Judged(instant(MORNING + 1), text_on("reading"), 0)] * 3)
        days, rows, was_given = knows.evidence("timing")
        assert rows.shape == (3, len(TIMING))
        assert days.tolist() == [0, 0, 0]
        assert was_given.tolist() == [0, 0, 0]
        assert (rows[:, TIMING.index("moments")] > logit(np.array(numbers()["expected_timing"]))).all()

    def test_the_oldest_evidence_is_forgotten_first(self) -> None:
        knows = memory()
        for day in range(3):
            knows.learn([Judged(instant(day * TICKS_PER_DAY + MORNING), text_on("reading"), ALL)])
        knows._kept["timing"].keep_last(1)
        assert knows.evidence("timing")[0].tolist() == [2]

    def test_memory_and_model_are_weighed_by_who_was_right(self) -> None:
        rng = np.random.default_rng(1)
        welcome = rng.random(400) < 0.5
        telling, noise = np.where(welcome, 2.0, -2.0) + rng.normal(size=400), rng.normal(size=400)
        trusts_memory, trusts_model = memory(), memory()
        trusts_memory.fit_welcome(noise.tolist(), telling.tolist(), welcome.tolist())
        trusts_model.fit_welcome((3 * telling).tolist(), noise.tolist(), welcome.tolist())
        k, m = WELCOME.index("memory"), WELCOME.index("model")
        assert trusts_memory.weights["welcome"][k] > trusts_memory.weights["welcome"][m] + 0.5
        assert trusts_model.weights["welcome"][m] > trusts_model.weights["welcome"][k] + 0.5


class TestFit:
    def rows(self, n: int = 4000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(2)
        rows = np.stack([np.ones(n), rng.normal(size=n), rng.normal(size=n)], axis=1)
        true = np.array([-0.5, 1.5, -1.0])
        return rows, (rng.random(n) < chance(rows @ true)).astype(float), true

    def test_it_finds_the_weights_that_made_the_data(self) -> None:
        rows, was_given, true = self.rows()
        assert fit(rows, was_given, np.ones(len(rows)), np.zeros(3), 0.01) == pytest.approx(true, abs=0.15)

    def test_trust_keeps_the_start(self) -> None:
        rows, was_given, _ = self.rows()
        start = np.array([1.0, 0.0, 1.0])
        away = [np.abs(fit(rows, was_given, np.ones(len(rows)), start, trust) - start).max() for trust in (1e9, 1e3, 1)]
        assert away[0] < 1e-4 < away[1] < away[2]

    def test_a_weight_keeps_its_sign_even_against_evidence(self) -> None:
        rows, was_given, _ = self.rows()
        allowed = np.array([0.0, -1.0, -1.0])
        weights = fit(rows, was_given, np.ones(len(rows)), np.zeros(3), 0.01, allowed)
        assert weights[1] == 0
        assert weights[2] < -0.5

    def test_evidence_against_a_text_can_only_speak_against_it(self) -> None:
        assert dict(zip(CONTENT, signs(CONTENT), strict=True))["repeated"] == -1
        assert dict(zip(FREQUENCY, signs(FREQUENCY), strict=True))["like dose"] == 1
        assert signs(TIMING)[0] == 0

    @pytest.mark.parametrize("name", ["neutral", "pooled"])
    def test_shipped_priors_have_the_signs_they_must_have(self, name: str) -> None:
        for mark, weights in prior(name).weights.items():
            names = WELCOME if mark == "welcome" else FEATURES[mark]
            assert (weights * signs(names) >= 0).all(), mark


class TestPriors:
    def test_unknown_names_are_told(self) -> None:
        with pytest.raises(ValueError, match="neutral"):
            prior("neutrall")

    def test_one_may_come_from_a_file(self, tmp_path: Path) -> None:
        values = {"trust": dict.fromkeys((*FEATURES, "welcome"), 5), "weights": {"timing": {"hour": 2.0}}}
        path = tmp_path / "mine.json"
        path.write_text(json.dumps(values))
        mine = prior(str(path))
        assert mine.weights["timing"][TIMING.index("hour")] == 2
        assert mine.trust["welcome"] == 5
        path.write_text(json.dumps({**values, "weights": {"timing": {"our": 2.0}}}))
        with pytest.raises(ValueError, match="'our'"):
            prior(str(path))
