"""Rubrics in words: what the grammar understands, what the linter finds, and what comes out as a persona."""

import json

import pytest

from propersim_env.cli import main
from propersim_env.persona import load_persona, persona_from_dict
from propersim_env.rubric import compile_rubric, document_from_dict
from propersim_env.rubric.assemble import to_persona_dict
from propersim_env.rubric.clauses import asks, clauses
from propersim_env.rubric.compiler import USUAL_DAY, clock_text
from propersim_env.rubric.lint import lint
from propersim_env.rubric.rates import read_rate
from propersim_env.rubric.times import spans
from propersim_env.rubric.words import doing, lexicon, tidy
from propersim_env.schema import DataError

OWN_WORDS = """\
Name: Wren Holloway
Age: 41
Background: Wren mends clocks in a shed behind the house.
Interests: brass instruments
Lifestyle: Gets up at 6:30am and goes to bed at 10:30pm.

Preference: I like soup ideas when I'm cooking, and quiet albums while I sort my tools.
Timing: Between 10 and 11:30 in the morning, or after 7 pm. Never while I am on the phone.
Frequency: Three a day at most, at least two hours apart.
Communication: Plain and polite, at most 25 words. No sales talk, and keep my data private.
"""


@pytest.mark.parametrize(("words", "count", "interval", "per_day", "gap"), [
    ("once every 2 hours", None, (120, 120), 8, 120),
    ("every other hour", None, (120, 120), 8, 120),
    ("about twice every four hours", None, (120, 120), 8, 120),
    ("every hour and a half", None, (90, 90), 10.7, 90),
    ("every half an hour", None, (30, 30), 32, 30),
    ("hourly", None, (60, 60), 16, 60),
    ("one nudge per hour", None, (60, 60), 16, 60),
    ("every 5 to 6 hours", None, (300, 360), 2.9, 300),
    ("twice daily", (2, 2), None, 2, 120),
    ("two or three tips a day", (2, 3), None, 2.5, 96),
    ("a couple of messages per day", (2, 2), None, 2, 120),
    ("five to six times a day", (5, 6), None, 5.5, 43.6),
    ("once or twice a day", (1, 2), None, 1.5, 160),
    ("once per week", (1 / 7, 1 / 7), None, 0.14, 960),
    ("four a day, at least 90 minutes apart", (4, 4), None, 4, 90),
    ("no more than two a day", None, None, 1.6, 150),
    ("at most one every two hours", None, (120, 120), 8, 120),
])
def test_rates_are_read_from_words(words, count, interval, per_day, gap):
    rate = read_rate(words, USUAL_DAY)
    assert rate.count == (pytest.approx(count) if count else None)
    assert rate.interval == interval
    assert rate.per_day(960) == pytest.approx(per_day, abs=0.06)
    assert rate.min_gap(960) == pytest.approx(gap, abs=0.6)


def test_a_limit_holds_beside_an_interval_and_slots_are_named():
    assert read_rate("Every 3 to 4 hours, max five a day.", USUAL_DAY).most == 5
    slots = read_rate("Three a day: one in the morning, one at lunch, and another before bed.", USUAL_DAY).slots
    assert [s.label for s in slots] == ["morning", "at lunch", "before bed"]
    assert not read_rate("I am happy with the pace of life.", USUAL_DAY).stated


@pytest.mark.parametrize(("words", "start", "end"), [
    ("between 9 a.m. and 1 p.m.", "09:00", "13:00"),
    ("6\u20138am", "06:00", "08:00"),
    ("from 14:00 to 16:30", "14:00", "16:30"),
    ("from 9 to 11 in the morning", "09:00", "11:00"),
    ("between 7 and 9 pm", "19:00", "21:00"),
    ("around 8 pm", "19:25", "20:50"),
    ("in the evening, around 8", "19:25", "20:50"),
    ("after 8:30 p.m.", "20:30", "23:15"),
    ("late morning", "09:45", "12:15"),
    ("during my lunch break", "12:25", "13:55"),
    ("before bed", "21:30", "23:15"),
    ("after work", "17:00", "19:30"),
    ("between 11pm and 1am", "23:00", "24:00"),
])
def test_times_are_read_from_words(words, start, end):
    (span,) = spans(tidy(words), USUAL_DAY)
    assert (clock_text(span.start), clock_text(span.end)) == (start, end)


def test_a_number_that_is_no_time_is_none_and_two_times_are_two():
    assert spans("3 recommendations, 20 minutes each, about 2 hours apart", USUAL_DAY) == []
    assert len(spans("around 10:30am and 4pm", USUAL_DAY)) == 2
    assert spans("weekend mornings", USUAL_DAY)[0].days == "weekend"
    assert spans("on game nights with the good evening show", USUAL_DAY) == []


def test_polarity_turns_at_not_and_back_at_but():
    parts = clauses("Mornings are good, but never during breakfast; evenings are fine.")
    assert [c.wanted for c in parts] == [True, False, True]
    assert "breakfast" in parts[1].text
    assert clauses("I don't mind a few in the evening.")[0].weak


def test_contents_go_with_their_situations():
    found = asks("When I'm repotting, I'd love fern tips. I enjoy riddles while I wait for the bus, and jazz when I iron.")
    assert [(a.content, a.situation) for a in found] == [
        ("fern tips", "when i'm repotting"), ("riddles", "i wait for the bus"), ("jazz", "i iron")]


def test_what_is_over_is_not_being_done():
    assert "meditation" in doing("meditating by the window")
    assert "meditation" not in doing("making toast after meditating")
    assert "work" not in doing("slumped in the armchair, shift over")


def test_own_words_become_a_persona(compiled, setting):
    rubric = compiled(OWN_WORDS)
    persona = persona_from_dict(to_persona_dict(rubric, setting), setting)
    assert (persona.name, persona.data["age"], persona.routine["wake"], persona.routine["sleep"]) == (
        "Wren Holloway", 41, "06:30", "22:30")
    assert {w.topic for w in persona.wants} >= {"cooking", "music"}
    assert [(w.start, w.end) for w in persona.wanted] == [(600, 690), (1140, 1350)]
    assert "phone" in persona.unwanted_activities
    assert persona.min_gap == pytest.approx(120, abs=0.1) and persona.per_day <= 3
    assert persona.communication["max_words"] == 25
    assert "formal" in persona.communication["tones"]
    assert {"sales", "privacy"} <= set(persona.communication["boundaries"])


def test_every_sentence_is_accounted_for(compiled):
    rubric = compiled(OWN_WORDS + "Frequency: The moon is far away.\n")
    by_sentence = {n.sentence: n.understood for n in rubric.notes}
    assert by_sentence["The moon is far away."] == ()
    assert any("left alone: call" in u for u in by_sentence["Never while I am on the phone."])
    assert any(f.level == "note" and "moon" in f.problem for f in lint(rubric))


def test_running_text_without_headings_is_sorted_by_its_cues(compiled):
    rubric = compiled("I like stretching ideas while I watch television. Twice a day is plenty. Please use a gentle tone. "
                      "The best time is late morning.")
    assert rubric.rate.count == (2, 2)
    assert rubric.tones == ["gentle"]
    assert [s.label for m in rubric.wanted() for s in m.spans] == ["late morning"]
    assert any(w.kind == "tied" and "stretching" in w.content for w in rubric.wants)


@pytest.mark.parametrize("text", [
    "", "   \n\n", "asdf qwer zxcv", "!!! ??? 12 34", "\u4f60\u597d " * 30, "a" * 20_000, "not not not never no but no",
    "()[]{}\\*+?", "between and between 99 and 77", "every every every", "Timing:\nFrequency:\n",
])
def test_bad_rubrics_give_marked_defaults_and_never_crash(compiled, setting, text):
    rubric = compiled(text)
    persona = persona_from_dict(to_persona_dict(rubric, setting, "bad"), setting)
    findings = lint(rubric)
    assert findings[0].level in ("error", "warning")
    assert {"frequency", "timing.wanted", "communication.tones"} <= set(rubric.defaults)
    assert persona.per_day <= 3 and all(w.weight <= 0.6 for w in persona.wants)


def test_another_language_is_named_and_not_guessed_at(compiled):
    rubric = compiled("Timing: Ich m\u00f6chte morgens zwischen 9 und 11 Uhr und nicht beim Essen angesprochen werden.\n"
                      "Frequency: Bitte nur dreimal am Tag und nie mehr als das, danke sehr.")
    assert [f.place for f in lint(rubric) if f.level == "error"][:2] == ["Timing", "Frequency"]
    assert not rubric.moments and not rubric.rate.stated


@pytest.mark.parametrize(("text", "place"), [
    ("Timing: Between 9 and 11 am is best. Never between 10 and 11:30 am.", "Timing"),
    ("Frequency: Ten times a day, at least 4 hours apart.", "Frequency"),
    ("Frequency: Six times a day, at most two a day.", "Frequency"),
    ("Preference: I like poems when I rest. I don't like poems or books of poetry.", "Personal_Preference"),
])
def test_contradictions_are_found(compiled, text, place):
    assert any(f.level == "warning" and f.place == place and "default" not in f.problem for f in lint(compiled(text)))


def test_a_file_in_the_published_format_is_read(reader):
    document = document_from_dict({
        "name": "Ada Quill", "age": 50, "big_five_personality_traits": "Low in Extraversion, High in Openness to Experience",
        "background": "She restores maps.", "current_interests": "Ada Quill enjoys 1) Old atlases. 2) Choir.",
        "criteria": {"Timing": "Around 4 pm.", "Communication_&_Safety": "Warm, please."}}, "ada")
    assert document.fields["interests"] == ["Old atlases.", "Choir."]
    assert document.traits == {"extraversion": -1.0, "openness": 1.0} and document.pronouns == "she"
    with pytest.raises(DataError, match="no text about a person"):
        document_from_dict({"name": ""}, "nobody")


def test_the_lexicon_names_its_sources():
    assert all(table["source"] for name, table in lexicon().items() if name not in ("version", "about"))


def test_import_writes_a_file_that_can_be_used(tmp_path, capsys):
    source, out = tmp_path / "wren.txt", tmp_path / "people"
    source.write_text(OWN_WORDS, encoding="utf-8")
    assert main(["personas", "import", str(source), "--out", str(out), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["ok"] and result["defaults"]["routine.dinner"]
    assert load_persona(str(out / "wren.json")).name == "Wren Holloway"
    assert "left alone" in (out / "wren.report.txt").read_text(encoding="utf-8")
    assert main(["personas", "check", str(out / "wren.json")]) == 0


def test_import_reports_what_it_cannot_use(tmp_path, capsys):
    empty, broken = tmp_path / "empty.txt", tmp_path / "broken.json"
    empty.write_text("Hm.", encoding="utf-8")
    broken.write_text("{", encoding="utf-8")
    assert main(["personas", "import", str(empty), str(broken)]) == 1
    assert "no usable statement" in (errors := " ".join(capsys.readouterr().err.split()))
    assert "not valid JSON" in errors


def test_the_bundled_rubrics_give_back_what_they_were_written_from(setting, reader):
    from statistics import median

    from propersim_env.persona import select_personas

    rates, gaps, tones, topics, times = [], [], [], [], []
    for person in select_personas("all", setting):
        data = person.to_dict()
        words = {key: data[key] for key in ("name", "age", "background", "interests", "lifestyle", "goals", "rubric")}
        rubric = compile_rubric(document_from_dict(words, person.id), reader)
        again = persona_from_dict(to_persona_dict(rubric, setting), setting)
        rates.append(again.per_day / person.per_day)
        gaps.append(again.min_gap / max(person.min_gap, 1))
        tones.append(bool(set(person.communication["tones"]) & set(again.communication["tones"])))
        wanted = {want.topic for want in person.wants}
        topics.append(len(wanted & {want.topic for want in again.wants}) / len(wanted))
        ours, theirs = (({m for w in p.wanted if w.days != "weekend" for m in range(w.start, w.end)}) for p in (person, again))
        times.append(len(ours & theirs) / len(ours | theirs))
    assert median(rates) == pytest.approx(1, abs=0.1) and median(gaps) == pytest.approx(1, abs=0.1)
    assert sum(tones) >= 0.9 * len(tones)
    assert median(topics) >= 0.5 and median(times) >= 0.6
