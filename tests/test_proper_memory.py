"""ProPerAssistant's memory: what is kept, what is found, what is shown, and what had to be left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from propersim_env.agents.assistants.proper.context import Part, assemble
from propersim_env.agents.assistants.proper.memory import LEVELS, Memory, Record, Retrieval, importance
from propersim_env.agents.assistants.proper.summaries import Summaries
from propersim_env.agents.users.simulated.encoder import Encoder
from propersim_env.clock import TICKS_PER_DAY, TICKS_PER_HOUR

ENCODER = Encoder.load()
STEW = Record(200, "chopping onions", "A pinch of cumin would lift that.", 4, "all yes", "It goes with what I am doing.")
NOVEL = Record(300, "reading a novel", "How about some push-ups?", 1, "preference no", "I do not care for fitness.")


def filled(records, retrieval="default", **options):
    memory = Memory(ENCODER, retrieval, **options)
    memory.extend(records)
    return memory


def test_relevance_finds_what_is_like_the_situation():
    memory = filled([STEW, NOVEL], "relevance-only")
    assert memory.retrieve("stirring a stew", k=1) == [0]
    assert memory.retrieve("turning pages of a thriller", k=1) == [1]


def test_recency_halves_in_its_half_life_and_prefers_the_new():
    same = [Record(t, "watering the ferns") for t in (0, 48 * TICKS_PER_HOUR, 96 * TICKS_PER_HOUR)]
    scores = filled(same, Retrieval(1.0, 0.0, 0.0, half_life_hours=48.0)).scores("anything")
    assert scores[2] - scores[1] == pytest.approx(2 * (scores[1] - scores[0]), rel=1e-4)
    assert scores[2] - scores[0] == pytest.approx(1.0, rel=1e-5)


def test_the_published_preset_keeps_its_faults():
    records = [Record(t, "watering the ferns", "Tea?", rating) for t, rating in ((1, 2), (2, 4), (3, 2))]
    paper = filled(records, Retrieval(0.5, 0.0, 2.0, decay_per_rank=0.995, recency_inverted=True, importance_constant=True))
    assert paper.retrieve("x", k=1) == [0]
    mended = filled(records, Retrieval(0.5, 0.0, 0.0, decay_per_rank=0.995))
    assert mended.retrieve("x", k=1) == [2]
    assert filled(records, Retrieval(0.0, 0.0, 1.0)).retrieve("x", k=1) == [1]
    assert Retrieval.preset("paper").recency_inverted
    assert Retrieval.preset("paper").importance_constant


def test_importance_grows_with_how_decided_a_rating_is():
    order = [Record(0, "x"), Record(0, "x", "y"), Record(0, "x", "y", 2), Record(0, "x", "y", 1), Record(0, "x", "y", 0)]
    values = [importance(r) for r in order]
    assert values == sorted(values)
    assert len(set(values)) == len(values)
    assert all(0 <= v <= 1 for v in values)


@pytest.mark.parametrize(("level", "shows"), [("A", []), ("AS", ["cumin"]), ("ASC", ["cumin", "4 of 4"]),
                                              ("ASCR", ["cumin", "4 of 4", "It goes with"])])
def test_levels_show_what_they_say(level, shows):
    text = STEW.text(level)
    assert "chopping onions" in text
    for part in ("cumin", "4 of 4", "It goes with"):
        assert (part in text) == (part in shows)


def test_a_long_life_keeps_the_order_of_recency():
    days = [Record(d * TICKS_PER_DAY, "watering the ferns") for d in range(0, 3000, 10)]
    memory = Memory(ENCODER, Retrieval(1.0, 0.0, 0.0, half_life_hours=6.0))
    for record in days:
        memory.add(record)
    scores = memory.scores("x")
    assert np.isfinite(scores).all()
    assert scores.argmax() == len(days) - 1


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 10))
def test_as_many_as_asked_for_in_the_order_of_time(n, k, leave_out):
    memory = filled([Record(t, f"activity {t % 7}", "x" * (t % 2), t % 5) for t in range(n)])
    found = memory.retrieve("activity 3", k=k, leave_out=leave_out)
    assert found == sorted(set(found))
    assert len(found) == min(k, max(n - leave_out, 0))
    assert all(i < max(n - leave_out, 0) for i in found)


def test_records_come_in_the_order_of_time():
    memory = filled([NOVEL])
    with pytest.raises(ValueError, match="tick 200 after one of tick 300"):
        memory.add(STEW)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown retrieval preset 'papper'"):
        Memory(ENCODER, "papper")
    with pytest.raises(ValueError, match="level 'B'"):
        Memory(ENCODER, level="B")
    assert LEVELS[0] == "A"


def test_state_goes_round():
    memory = filled([STEW, NOVEL])
    other = Memory(ENCODER)
    other.set_state(memory.get_state())
    assert other.records == memory.records
    assert np.array_equal(other.scores("stirring a stew"), memory.scores("stirring a stew"))


def test_summaries_fold_hours_into_blocks():
    summaries = Summaries()
    for tick in range(8 * TICKS_PER_HOUR, 13 * TICKS_PER_HOUR, 6):
        summaries.add(Record(tick, "mending a net", "Tea?" if tick % 24 == 0 else "", 3 if tick % 24 == 0 else None))
    assert [(s.start // TICKS_PER_HOUR, s.end // TICKS_PER_HOUR) for s in summaries.blocks] == [(8, 12)]
    assert not summaries.hours
    text = summaries.blocks[0].text
    assert "mending a net (4 h)" in text
    assert "You spoke 4 times. Mean rating 3.0 of 4." in text
    assert summaries.lines()[-1].startswith("Thursday 12:00-")


def test_summaries_over_a_night():
    summaries = Summaries(level="A")
    summaries.add(Record(540, "reading in bed", "Tea?", 4))
    summaries.add(Record(TICKS_PER_DAY + 180, "washing"))
    assert [s.text for s in summaries.blocks] == ["reading in bed (1 h 30 min)."]
    assert "Tea" not in " ".join(summaries.lines())


def words(text):
    return len(text.split())


def test_a_context_keeps_what_matters_and_counts_the_rest():
    parts = [Part("instructions", "say something useful", 0), Part("record", "old old", 2), Part("record", "new new", 2),
             Part("now", "it is noon", 0), Part("summary", "a b c d", 1)]
    context = assemble(parts, 12, words)
    assert context.text == "say something useful\nnew new\nit is noon\na b c d"
    assert (context.kept["record"], context.dropped["record"]) == (1, 1)
    assert context.tokens <= 12
    assert assemble(parts, 100, words).dropped.total() == 0


def test_a_budget_below_what_must_be_there_is_refused():
    with pytest.raises(ValueError, match="a budget of 2 tokens is below the 3"):
        assemble([Part("now", "it is noon", 0)], 2, words)
