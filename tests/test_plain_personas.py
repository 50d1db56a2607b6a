"""Personas in running text: what is read, what is left, what is settled and what is only guessed."""

from collections import Counter

import plain_facts
import pytest

from propersim_env.cli import main
from propersim_env.persona import persona_from_dict
from propersim_env.rubric import compile_rubric, document_from_dict
from propersim_env.rubric.assemble import to_persona_dict
from propersim_env.rubric.first_person import first_person
from propersim_env.rubric.lint import lint
from propersim_env.rubric.running import parts_of, sort_running


@pytest.mark.parametrize(("part", "recall", "precision"), [("develop", 0.95, 0.93), ("final", 0.83, 0.88)])
def test_facts_of_plain_texts_are_found(setting, reader, part, recall, precision):
    count = Counter()
    for name, facts in plain_facts.expected_facts(part).items():
        count += plain_facts.score(name, facts, setting, reader)
    found = plain_facts.summary(count)
    assert found["all"][0] >= recall and found["all"][1] >= precision, found


@pytest.mark.parametrize(("words", "parts"), [
    ("talk to me after lunch", {"Timing"}),
    ("not while I am ironing", {"Timing"}),
    ("never after nine in the evening", {"Timing"}),
    ("no messages before 8", {"Timing"}),
    ("mid-mornings are good", {"Timing"}),
    ("four times a day is plenty", {"Frequency"}),
    ("an hour and a half between them", {"Frequency"}),
    ("under 20 words", {"Communication_&_Safety"}),
    ("gentle, please", {"Communication_&_Safety"}),
    ("don't try to sell me anything", {"Communication_&_Safety"}),
    ("tell me about birds when I'm on the balcony", {"Personal_Preference"}),
    ("nothing about money", {"Personal_Preference"}),
    ("nothing about my health", {"Personal_Preference", "Communication_&_Safety"}),
    ("I get up at 6:30", {"lifestyle"}),
    ("the cat sat on the mat", set()),
    ("it rained on Tuesday", set()),
])
def test_a_statement_shows_by_its_words_what_it_is_about(words, parts):
    assert parts_of(words) == parts


def test_one_sentence_may_serve_several_parts():
    found = sort_running("Two tips a day, in a friendly tone, and never while I am eating (I have dinner at 7).").statements
    assert found["Frequency"] == ["Two tips a day."]
    assert found["Communication_&_Safety"] == ["In a friendly tone."]
    assert found["Timing"] == ["Never while I am eating."]
    assert found["lifestyle"] == ["I have dinner at 7."]


def test_a_text_about_somebody_is_read_as_that_persons_own():
    assert first_person("Noor goes to bed at 10. Ask her gently; she doesn't like noise.", "Noor") == (
        "I go to bed at 10. Ask me gently; I don't like noise.")
    document = document_from_dict({"name": "Noor Vale", "criteria": {"Timing": "She likes to be asked while she is ironing."}})
    assert document.sections["Timing"] == "I like to be asked while I am ironing."


def test_lists_under_short_headings_are_read(compiled):
    rubric = compiled("LIKES: sea songs in the evening, riddles\nNOT WHEN: on calls\nHOW OFTEN: 3 a day\nHOW: politely")
    assert [w.content for w in rubric.wants if w.kind != "refused"] == ["sea songs", "riddles"]
    assert [m.concepts for m in rubric.unwanted()] == [{"call"}]
    assert rubric.rate.count == (3, 3) and rubric.tones == ["formal"]


@pytest.mark.parametrize("text", [
    "The cat sat on the mat. Blue is a colour. It rained on Tuesday.",
    "A kettle whistled somewhere. Nobody came.",
    "Heute morgen war es kalt, und wir haben lange auf den Bus gewartet, der nicht kam.",
])
def test_a_text_without_a_usable_statement_is_an_error_and_nothing_is_guessed(compiled, setting, tmp_path, capsys, text):
    rubric = compiled(text)
    assert not rubric.wants and not rubric.moments and not rubric.rate.stated
    assert {"frequency", "timing.wanted", "communication.tones"} <= set(rubric.defaults)
    file = tmp_path / "me.txt"
    file.write_text(text, encoding="utf-8")
    assert main(["personas", "import", str(file)]) == 1
    errors = " ".join(capsys.readouterr().err.split())
    assert "no usable statement" in errors and "not used" in errors
    persona = persona_from_dict(to_persona_dict(rubric, setting, "none"), setting)
    assert "preferences.wants" in rubric.defaults and max(w.weight for w in persona.wants) == pytest.approx(0.1)


def test_a_text_in_another_language_is_named(compiled):
    rubric = compiled("Me gustaría recibir ideas de cocina por la tarde, tres veces al día, con un tono amable y sin prisas.")
    assert "does not read as English" in lint(rubric)[0].problem
    assert not rubric.wants and not rubric.rate.stated


def test_loose_wording_is_marked_as_a_guess_and_weighs_little(reader, setting):
    rubric = compile_rubric(document_from_dict({"name": "Tam", "criteria": {
        "Personal_Preference": "Match reports over lunch. I like soup recipes when I am cooking."}}), reader)
    guessed = [w for w in rubric.wants if w.guessed]
    assert [w.content for w in guessed] == ["match reports"]
    assert any(f.level == "warning" and "guessed" in f.problem for f in lint(rubric))
    weights = {w["why"]: w["weight"] for w in to_persona_dict(rubric, setting)["preferences"]["wants"]}
    assert weights["Match reports over lunch."] < weights["I like soup recipes when I am cooking."]


@pytest.mark.parametrize(("text", "words", "per_day", "gap"), [
    ("Two a day at most. At least ten a day please, one every 3 hours.", ('"two a day at most" (at most 2 a day)',
     '"at least ten a day" (at least 10 a day)', "taken: at most 2 a day"), 2, 180),
    ("Three times a day is right. I want eight a day.", ("(3 a day)", "(8 a day)", "taken: 3 a day"), 3, None),
    ("One every two hours. At least four hours apart.", ("(one every 120 minutes)", "taken: 240 minutes apart"), 4, 240),
    ("At least an hour apart. At least three hours apart.", ("(60 minutes apart)", "taken: 180 minutes apart"), None, 180),
    ("Ten times a day. Leave four hours in between.", ("(10 a day)", "(240 minutes apart)", "taken: 4 a day"), 4, 240),
])
def test_contradicting_rates_are_reported_with_both_and_settled_the_careful_way(compiled, text, words, per_day, gap):
    rubric = compiled(text)
    problems = " ".join(f.problem for f in lint(rubric) if f.place == "Frequency")
    assert all(word in problems for word in words)
    assert per_day is None or rubric.rate.per_day(960) <= per_day + 0.1
    assert gap is None or rubric.rate.min_gap(960) == pytest.approx(gap, abs=0.2)


def test_an_unwanted_time_is_cut_out_of_a_wanted_one(compiled, setting):
    rubric = compiled("Talk to me between 9 and 12. Never between 10 and 11.")
    timing = to_persona_dict(rubric, setting)["preferences"]["timing"]
    assert [(w["from"], w["to"]) for w in timing["wanted"]] == [("09:00", "10:00"), ("11:00", "12:00")]
    assert [(w["from"], w["to"]) for w in timing["unwanted"]] == [("10:00", "11:00")]


@pytest.mark.parametrize(("words", "starts", "ends"), [
    ("Not before nine.", "07:00", "09:00"), ("Never after nine in the evening.", "21:00", "23:00"),
])
def test_an_open_unwanted_time_reaches_the_end_of_the_day(compiled, setting, words, starts, ends):
    rubric = compiled(f"I get up at 7 and go to bed at 11 pm. {words}")
    (window,) = to_persona_dict(rubric, setting)["preferences"]["timing"]["unwanted"]
    assert (window["from"], window["to"]) == (starts, ends)


def test_a_day_that_cannot_be_kept_is_reported(compiled):
    rubric = compiled("I wake at 11 and sleep at 3am. Tips on tea, please, twice a day.")
    assert rubric.routine["sleep"] == "24:00"
    assert any(f.place == "routine.sleep" and "03:00" in f.problem for f in lint(rubric))


def test_a_refusal_after_its_situation_or_its_thing_is_one(compiled):
    rubric = compiled("When I'm on the phone I don't wish to be bothered. Gym tips are not for me.")
    assert [m.wanted for m in rubric.moments] == [False]
    assert [(w.kind, w.topics[0][0]) for w in rubric.wants] == [("refused", "fitness")]
