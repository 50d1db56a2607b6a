"""The data that the world is made of: complete, coherent, checked, and replaceable."""

import itertools
import json
import shutil

import gymnasium as gym
import numpy as np
import pytest

from propersim_env.clock import moment_text, parse_time, tick_of
from propersim_env.persona import TRAITS, Window, load_persona, persona_from_dict, select_personas
from propersim_env.schema import DataError, read_json, validate
from propersim_env.setting import SETTINGS, load_setting

PERSONAS = [load_persona(f"p{i:02d}") for i in range(1, 33)]


def test_traits_are_the_full_factorial():
    cells = {tuple(p.traits[t] > 0 for t in TRAITS) for p in PERSONAS}
    assert cells == set(itertools.product((True, False), repeat=5))


def test_bundled_people_are_different():
    assert len({p.name for p in PERSONAS}) == 32
    assert len({p.data["occupation"] for p in PERSONAS}) == 32
    texts = [text for p in PERSONAS for a in p.activities for text in a.texts]
    assert len(texts) == len(set(texts))
    assert len({w.topic for p in PERSONAS for w in p.wants}) == 26
    rates = [p.per_day for p in PERSONAS]
    assert 3 <= np.median(rates) <= 4
    assert (min(rates), max(rates)) == (1.5, 14)


@pytest.mark.parametrize("persona", PERSONAS, ids=lambda p: p.id)
def test_structured_preferences_and_rubric_agree(persona):
    """Times, rate and length that the structure has are said in the rubric; wants lie in wanted windows."""
    timing, frequency = persona.rubric["Timing"], persona.rubric["Frequency"]
    for window in (*persona.data["preferences"]["timing"]["wanted"], *persona.data["preferences"]["timing"]["unwanted"]):
        assert any(form in timing for form in (window["from"], window["from"].lstrip("0"), "midnight")), window
    assert frequency
    assert str(persona.communication["max_words"]) in persona.rubric["Communication_&_Safety"]
    for want in persona.wants:
        assert max(_overlap(want.window, w) for w in persona.wanted) >= 30, want.id
    for wanted, unwanted in itertools.product(persona.wanted, persona.unwanted):
        days = {wanted.days, unwanted.days}
        assert days == {"weekdays", "weekend"} or _overlap(wanted, unwanted) <= 0


def _overlap(a: Window, b: Window) -> int:
    return min(a.end, b.end) - max(a.start, b.start)


def test_catalogue_is_whole(setting):
    assert len(setting.catalogue) >= 700
    assert len({t.id for t in setting.catalogue}) == len({t.text for t in setting.catalogue}) == len(setting.catalogue)
    cells = {(t.topic, t.tone) for t in setting.catalogue}
    assert cells == set(itertools.product(setting.topic_ids, [t.id for t in setting.tones]))
    for entry in setting.catalogue:
        validate({"id": entry.id, "topic": entry.topic, "tone": entry.tone, "effort": entry.effort, "when": entry.when,
                  "text": entry.text}, "catalogue", entry.id)


def test_tone_affinity_is_symmetric(setting):
    for a, b in itertools.permutations([t.id for t in setting.tones], 2):
        assert setting.tone_affinity[a][b] == setting.tone_affinity[b][a]


def test_rooms_do_not_overlap(setting):
    for a, b in itertools.combinations(setting.rooms, 2):
        (ax, ay, aw, ah), (bx, by, bw, bh) = a.plan, b.plan
        assert ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay, (a.id, b.id)


def test_clock():
    assert [parse_time(t) for t in ("00:00", "07:30", "24:00")] == [0, 450, 1440]
    assert [tick_of(t) for t in ("00:00", "00:01", "24:00")] == [0, 1, 576]
    assert moment_text(0) == "Thursday 13 February 2025, 00:00"
    assert moment_text(576 * 2 + 24 * 9 + 1) == "Saturday 15 February 2025, 09:02"
    with pytest.raises(ValueError, match="outside 00:00-24:00"):
        parse_time("25:00")


def change(path, value):
    """A copy of p01 with one field changed; `path` like "preferences.wants.0.topic"; None deletes."""
    data = load_persona("p01").to_dict()
    *parents, last = [int(k) if k.isdigit() else k for k in path.split(".")]
    place = data
    for key in parents:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return data


@pytest.mark.parametrize(("path", "value", "field", "remedy"), [
    ("traits.openness", None, "traits", "openness"),
    ("age", "old", "age", "age"),
    ("preferences.topics.art", float("nan"), "(numbers)", "ordinary numbers"),
    ("preferences.frequency.min_gap_minutes", 0, "preferences.frequency.min_gap_minutes", "from 1 to 960"),
    ("routine.wake", "7 o'clock", "routine.wake", "HH:MM"),
    ("routine.sleep", "09:00", "routine", "at least 10 hours after wake"),
    ("nickname", "Il", "(top level)", "nickname"),
    ("preferences.wants.0.topic", "musik", "preferences.wants[0].topic", "did you mean 'music'"),
    ("preferences.wants.1.activities", ["cookin"], "preferences.wants[1].activities", "did you mean 'cooking'"),
    ("preferences.topics.musik", 0.5, "preferences.topics.musik", "did you mean 'music'"),
    ("preferences.communication.tones", ["worm"], "preferences.communication.tones", "did you mean 'warm'"),
    ("preferences.frequency.per_day", 40, "preferences.frequency", "lower per_day or min_gap_minutes"),
    ("preferences.timing.wanted.0.to", "00:30", "preferences.timing.wanted[0]", "crosses midnight"),
    ("activities.0.room", "kitchn", "activities[0].room", "did you mean 'kitchen'"),
    ("activities.0.object", "stov", "activities[0].object", "known:"),
])
def test_a_malformed_persona_names_file_field_and_remedy(setting, path, value, field, remedy):
    with pytest.raises(DataError) as error:
        persona_from_dict(change(path, value), setting, "mine.json")
    assert error.value.source == "mine.json"
    assert error.value.field == field
    assert remedy in str(error.value)


def test_a_file_that_is_no_json_names_the_place(tmp_path):
    (tmp_path / "me.json").write_text('{"id": "me",\n "age": }')
    with pytest.raises(DataError, match=r"me.json: line 2, column 9: is not valid JSON"):
        load_persona(str(tmp_path / "me.json"))


@pytest.fixture
def second_setting(tmp_path):
    """The house with another name, one room renamed and one topic less: a setting of one's own."""
    folder = tmp_path / "cabin"
    shutil.copytree(SETTINGS / "house", folder)
    for path in (*folder.glob("*.json"), *folder.glob("personas/*.json")):
        path.write_text(path.read_text().replace('"common_room"', '"main_room"'))
    home = json.loads((folder / "home.json").read_text())
    home["name"] = "A cabin"
    (folder / "home.json").write_text(json.dumps(home))
    return folder


def test_a_second_setting_needs_no_code(second_setting):
    setting = load_setting(str(second_setting))
    assert "main_room" in {room.id for room in setting.rooms}
    env = gym.make("ProPerSim-v0", setting=str(second_setting), persona="sampled", days=1)
    env.reset(seed=4)
    over, rooms = False, set()
    while not over:
        _, _, terminated, truncated, _ = env.step("")
        over = terminated or truncated
        rooms.add(env.unwrapped.machine.activities[0].room)
    assert "main_room" in rooms
    assert len(select_personas("all", str(second_setting))) == 32


@pytest.mark.parametrize(("file", "old", "new", "message"), [
    ("home.json", '"plan"', '"plam"', "home.json: rooms[0]"),
    ("activities.json", '"room": "bathroom"', '"room": "bathrom"', "did you mean 'bathroom'"),
    ("topics.json", '"keywords"', '"keyword"', "topics.json"),
    ("tones.json", '"warm"', '"worm"', "tones.json"),
])
def test_a_malformed_setting_names_file_and_field(second_setting, file, old, new, message):
    path = second_setting / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError) as error:
        load_setting(str(second_setting))
    assert message in str(error.value)


def test_an_unknown_setting_lists_what_is_there():
    with pytest.raises(ValueError, match="did you mean 'house'"):
        load_setting("hous")


def test_a_key_given_twice_is_refused(tmp_path):
    path = tmp_path / "twice.json"
    path.write_text('{"a": 1, "b": 2, "a": 3}')
    with pytest.raises(DataError, match="'a' is given twice"):
        read_json(path)
