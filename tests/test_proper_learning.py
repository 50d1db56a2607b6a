"""What ProPerAssistant makes of ratings: counts, prompts, preference pairs, and which of them a night trains on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from propersim_env.agents.assistants.proper.answer import SILENT, SPEAK, read_answer
from propersim_env.agents.assistants.proper.labels import Labels, labels_of, main
from propersim_env.agents.assistants.proper.learning import best_bias
from propersim_env.agents.assistants.proper.pairs import Moment, Option, Pair, Scheme, pairs_of, replay
from propersim_env.agents.assistants.proper.presets import preset, preset_names
from propersim_env.agents.assistants.proper.recall import Recall, RecallSettings
from propersim_env.agents.assistants.proper.tallies import Instant, Judged, Tallies, load_of, show
from propersim_env.agents.assistants.proper.watch import Watch
from propersim_env.agents.users.simulated.encoder import Encoder
from propersim_env.clock import TICKS_PER_DAY, TICKS_PER_HOUR
from propersim_env.observation import Observation
from propersim_env.setting import load_setting

HOUSE = load_setting("house")
MORNING = 8 * TICKS_PER_HOUR
PROMPT = ({"role": "user", "content": "Now."},)


def instant(tick: int, gap: float = 240, load: float = 1.0, action: str = "reading a novel") -> Instant:
    return Instant(tick, action, 30, gap, load)


def moment(*options: tuple[str, int], tick: int = 0) -> Moment:
    return Moment(tick, PROMPT, tuple(Option(text, marks.bit_count(), marks, False) for text, marks in options))


@pytest.fixture(scope="module")
def labels() -> Labels:
    return labels_of("house", Encoder.load())


class TestAnswers:
    @pytest.mark.parametrize(("completion", "text"), [
        ("SILENT", ""), (" SILENT.", ""), ("SAY: Open a window.", "Open a window."), ('SAY: "Tea?"', "Tea?")])
    def test_good_ones(self, completion: str, text: str) -> None:
        assert read_answer(completion).text == text
        assert not read_answer(completion).malformed

    @pytest.mark.parametrize(("completion", "why"), [
        ("", "empty"), ("Perhaps tea?", "begins with neither"), ("SAY:", "nothing to say"), ("SAY: a\nb", "more than one line"),
        ("SAY: Tea? SAY: Tea!", "again"), ("SAY: hello <|im_end|>", "chat template"),
        ("SAY: " + "tea " * 200, "longer than"), ("SAY: 12 !", "no words")])
    def test_malformed_ones_say_why_and_say_nothing(self, completion: str, why: str) -> None:
        assert why in read_answer(completion).malformed
        assert read_answer(completion).text == ""

    def test_a_text_cut_off_is_malformed(self) -> None:
        assert "cut off" in read_answer("SAY: How about a", ended=False).malformed


class TestLabels:
    def test_catalogue_texts_are_read_as_themselves(self, labels: Labels) -> None:
        for entry in HOUSE.catalogue[::25]:
            topics, tones = labels.read(entry.text)
            assert HOUSE.topics[main(topics)].id == entry.topic
            assert HOUSE.tones[main(tones)].id == entry.tone

    def test_a_new_text_is_read_by_its_neighbours(self, labels: Labels) -> None:
        topics, tones = labels.read("Shall we simmer a tomato soup with basil and garlic for supper?")
        assert HOUSE.topics[main(topics)].id == "cooking"
        assert sum(share for _, share in topics) == pytest.approx(1)
        assert sum(share for _, share in tones) == pytest.approx(1)


class TestTallies:
    def test_what_is_long_ago_counts_less(self) -> None:
        tallies = Tallies(2, 2, half_life_days=2)
        tallies.add(Judged(instant(0), "x", 15), ((0, 1.0),), ())
        tallies.add(Judged(instant(2 * TICKS_PER_DAY), "x", 0), ((0, 1.0),), ())
        assert tallies.topic[0] == pytest.approx([0.5, 1.5])

    def test_without_dimensions_only_a_good_rating_counts(self) -> None:
        tallies = Tallies(2, 2, by_dimension=False)
        for marks in (0b0001, 0b0011, 0b1110, 0b1111):
            tallies.add(Judged(instant(0), "x", marks), ((0, 1.0),), ())
        assert tallies.topic[0] == pytest.approx([2, 4])

    def test_load_fades(self) -> None:
        assert load_of(0, []) == 0
        assert 0 < load_of(TICKS_PER_DAY, [(0, "x")]) < load_of(TICKS_PER_HOUR, [(0, "x")]) < 1

    @given(st.floats(0, 1), st.floats(0, 1000))
    def test_counts_are_shown_as_a_share(self, share: float, possible: float) -> None:
        shown = show(share * possible, possible)
        if shown != "-":
            a, b = map(int, shown.split("/"))
            assert 0 <= a <= b <= 9


class TestRecall:
    SEEN = Observation(MORNING, "reading a novel", "common room")

    def told(self, level: str) -> str:
        recall = Recall(RecallSettings(level=level, instructions=False))
        recall.see(replace(self.SEEN, tick=MORNING - 60))
        recall.spoke(replace(self.SEEN, tick=MORNING - 60), HOUSE.catalogue[0].text)
        answered = replace(self.SEEN, said=HOUSE.catalogue[0].text, said_at=300, rating=3, marks=0b0111, reaction="accept")
        recall.see(answered)
        return recall.messages(answered)[-1]["content"]

    def test_levels_show_more_and_more(self) -> None:
        none, said, rated, by_mark = (self.told(level) for level in ("none", "AS", "ASC", "ASCR"))
        assert "Last said" not in none
        assert "Last said 2 h 30 ago" in said
        assert "welcome" not in said
        assert "Tones welcome" in rated  # 3 of 4 counts for all dimensions
        assert "Tones unwelcome" in by_mark  # the mark of communication was not given
        assert "Topics welcome: cooking" in by_mark

    def test_a_rating_that_is_kept_back_teaches_nothing(self) -> None:
        recall = Recall(RecallSettings(instructions=False))
        recall.see(self.SEEN)
        recall.spoke(self.SEEN, HOUSE.catalogue[0].text)
        recall.see(replace(self.SEEN, tick=MORNING + 1, said=HOUSE.catalogue[0].text, reaction="accept"))
        assert recall.judged == []


class TestThreshold:
    def test_it_lies_where_speaking_stops_to_pay(self) -> None:
        bias = best_bias([3.0, 2.0, 1.0, 0.0], [True, True, False, False], 0.5, 0.0)
        assert [odds + bias > 0 for odds in (3.0, 2.0, 1.0, 0.0)] == [True, True, False, False]

    def test_a_policy_that_never_pays_still_tries_now_and_then(self) -> None:
        odds = [float(-k) for k in range(100)]
        assert sum(o + best_bias(odds, [False] * 100, 0.5, 0.02) > 0 for o in odds) == 2
        assert sum(o + best_bias(odds, [False] * 100, 0.5, 0.0) > 0 for o in odds) == 0


class TestPairs:
    def test_the_moment_decides_whether_and_the_text_decides_what(self) -> None:
        pairs, counts = pairs_of([moment(("tea", 0b1111), ("news", 0b0110))], Scheme.preset("moment"))
        assert [(p.kind, p.prefix, p.chosen, p.rejected, p.margin) for p in pairs] == [
            ("decision", "", SPEAK, SILENT, 1.0), ("content", SPEAK, " tea", " news", 2.0)]
        assert (counts.decision, counts.content, counts.tied, counts.unrated) == (1, 1, 0, 0)

    def test_a_bad_moment_calls_for_silence_whatever_was_said(self) -> None:
        pairs, _ = pairs_of([moment(("tea", 0b1101))], Scheme.preset("moment"))
        assert [(p.chosen, p.rejected) for p in pairs] == [(SILENT, SPEAK)]

    def test_as_published_silence_is_worth_its_own_rating_and_ties_are_dropped(self) -> None:
        pairs, counts = pairs_of([moment(("tea", 0b1111), ("", 0b1111)), moment(("tea", 0b0001), ("", 0b0111))],
                                 Scheme.preset("paper"))
        assert [(p.chosen, p.rejected, p.margin) for p in pairs] == [(SILENT, f"{SPEAK} tea", 2.0)]
        assert counts.tied == 1

    def test_what_was_not_rated_is_counted(self) -> None:
        _, counts = pairs_of([Moment(0, PROMPT, (Option("tea", None, None, True),))], Scheme())
        assert counts.unrated == 1

    def test_texts_are_spelled_as_the_model_writes_them(self) -> None:
        pairs, _ = pairs_of([moment(("tea", 0b1111), ("news", 0b0110))], spell=lambda text: f"(plan) {text}")
        assert [p.chosen for p in pairs] == [SPEAK, " (plan) tea"]

    @pytest.mark.parametrize(("name", "size"), [("equally200", 200), ("equally400", 400), ("halftoday", 120)])
    def test_replays(self, name: str, size: int) -> None:
        days = {d: [Pair(PROMPT, "", SPEAK, SILENT, 1.0, kind, d) for kind in ("decision", "content") for _ in range(n)]
                for d, n in ((0, 400), (1, 400), (2, 30))}
        chosen = replay(days, name, np.random.default_rng(0))
        assert len(chosen) == size
        assert len({id(p) for p in chosen}) == size
        if name == "halftoday":
            assert Counter(p.tick == 2 for p in chosen) == {True: 60, False: 60}

    def test_unknown_names_are_told(self) -> None:
        with pytest.raises(ValueError, match="balanced"):
            replay({0: [Pair(PROMPT, "", SPEAK, SILENT, 1.0, "decision", 0)]}, "balancd", np.random.default_rng(0))
        with pytest.raises(ValueError, match="moment"):
            Scheme.preset("moments")


class TestPresets:
    def test_every_preset_says_what_it_is_for(self) -> None:
        assert all(preset_names().values())

    def test_changes_reach_both_parts(self) -> None:
        changed = preset("cold", level="none", train=False)
        assert changed.recall.level == "none"
        assert not changed.train

    def test_a_wrong_option_is_told(self) -> None:
        with pytest.raises(ValueError, match="temperature"):
            preset("cold", temperatur=2)


def test_a_dying_policy_is_called_so_once_silence_is_not_what_is_wanted() -> None:
    hungry, content = Watch(), Watch()
    assert [bool(hungry.day(said, 30, 384)) for said in (12, 8, 1, 0, 0)] == [False, False, False, True, True]
    assert not any(content.day(said, 0, 384) for said in (12, 8, 1, 0, 0))
