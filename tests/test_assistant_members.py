"""What an assistant may have beside `reset` and `act`, as the runner calls it: alternatives, acting together, files, notes."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest

from propersim_env.evaluation import report
from propersim_env.evaluation.metrics import measure
from propersim_env.evaluation.relive import relive
from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.units import Batch, RunConfig, Unit
from propersim_env.log import LogError, read_episode
from propersim_env.messages import marks_of
from propersim_env.persona import load_persona, select_personas
from propersim_env.registry import make_user

TEXT = "How about a slow vegetable soup tonight?"
OTHER = "Ginger tea with honey?"


class Plain:
    """Speaks at every fortieth decision."""

    def reset(self, seed):
        self.count = seed % 40

    def act(self, observation):
        self.count += 1
        return TEXT if self.count % 40 == 0 else ""


class Considers(Plain):
    """Has silence and another text rated when it speaks, and its text now and then when it does not."""

    taught: ClassVar[list] = []

    def alternatives(self):
        if self.count % 40 == 0:
            return ["", OTHER]
        return [TEXT] if self.count % 7 == 0 else ()

    def learn(self, events):
        Considers.taught.append(events)


class Together(Considers):
    """Decides for all homes at once, learns how many texts were rated well, and notes it; goes along with what it said."""

    homes: ClassVar[list] = []

    def reset(self, seed):
        super().reset(seed)
        self.liked, self.went_along = 0, 0

    @staticmethod
    def act_together(assistants, observations):
        Together.homes.append(len(assistants))
        return [assistant.act(observation) for assistant, observation in zip(assistants, observations, strict=True)]

    def replay(self, observation, text):
        assert self.act(observation) == text

    def learn(self, events):
        self.liked = sum(other["rating"] == 4 for event in events for other in event["alternatives"])

    def notes(self):
        return {"liked": self.liked, "malformed": {"no verdict": 0}, "loss": 0.5}


class TogetherByClass(Together):
    """The same, as a class method."""

    @classmethod
    def act_together(cls, assistants, observations):
        return Together.act_together(assistants, observations)


def units(name, personas="p01,p02,p03"):
    return [Unit(f"{__name__}:{name}", persona, 0) for persona in select_personas(personas)]


def live(folder, name, personas="p01,p02,p03", days=2, **config):
    """Run a class of this file in one batch; its failures and its logs by persona."""
    chosen = units(name, personas)
    batch = Batch(chosen, RunConfig(days, **config), folder)
    try:
        failures = batch.run()
    finally:
        batch.close()
    logs = {} if folder is None else {u.persona.id: u.log_path(folder) for u in chosen}
    return failures, logs


def events(path):
    """The lines of a log but the first and the last, which depend on the name of the assistant."""
    return path.read_bytes().splitlines()[1:-1]


def test_alternatives_are_rated_logged_and_taught(tmp_path):
    Considers.taught = []
    failures, logs = live(tmp_path, "Considers", "p01")
    assert failures == []
    episode = read_episode(logs["p01"])
    lines = [e for e in episode.events if e["event"] == "rated"]
    assert {tuple(e["texts"]) for e in lines} == {("", OTHER), (TEXT,)}
    decisions = {d.tick: d for d in episode.decisions()}
    for before, after in zip(episode.events, episode.events[1:], strict=False):
        if before["event"] == "rated":
            assert after["event"] in ("said", "silence")
            assert after["tick"] == before["tick"]
            pairs = zip(before["texts"], (int(digit, 16) for digit in before["marks"]), strict=True)
            assert decisions[before["tick"]].alternatives == tuple(pairs)
    assert sum(bool(d.alternatives) for d in decisions.values()) == len(lines)
    (day,) = Considers.taught
    assert all(set(event) >= {"tick", "marks", "alternatives"} for event in day)
    for event in day:
        told = [(other["text"], other["marks"]) for other in event["alternatives"]]
        assert told == list(decisions[event["tick"]].alternatives)
        assert all(other["rating"] == other["marks"].bit_count() for other in event["alternatives"])
    assert any(event["alternatives"] for event in day)
    assert any(not event["alternatives"] for event in day)


def test_marks_of_alternatives_are_those_of_rate_at_that_moment(tmp_path):
    _, logs = live(tmp_path, "Considers", "p01", days=1)
    user = make_user("simulated")
    user.reset(load_persona("p01"), 0)
    seen = 0
    for decision in read_episode(logs["p01"]).decisions():
        for text, marks in decision.alternatives:
            assert user.rate(text).marks == marks
            seen += 1
        assert marks_of(user.act(decision.text).rating.as_dict()) == decision.marks
    assert seen > 20


def test_considering_changes_nothing_of_the_episode(tmp_path):
    live(tmp_path, "Plain")
    live(tmp_path, "Considers")
    for plain, considering in zip(units("Plain"), units("Considers"), strict=True):
        one, other = (read_episode(u.log_path(tmp_path)) for u in (plain, considering))
        assert [(d.tick, d.text, d.marks, d.event) for d in one.decisions()] == [
            (d.tick, d.text, d.marks, d.event) for d in other.decisions()]
        measured, compared = measure(one), measure(other)
        for each in dataclasses.fields(measured):
            if each.name != "assistant":
                np.testing.assert_equal(getattr(measured, each.name), getattr(compared, each.name))
        tick = [d.tick for d in other.decisions() if d.alternatives][3]
        assert relive(other, tick)[1].alternatives


@pytest.mark.parametrize("feedback", ["delivered", "reactions", "sampled:0.5"])
def test_alternatives_are_asked_for_under_full_feedback_only(tmp_path, feedback, monkeypatch):
    Considers.taught = []
    monkeypatch.setattr(Considers, "alternatives", lambda self: pytest.fail("was asked"))
    failures, logs = live(tmp_path, "Considers", "p01", feedback=feedback)
    assert failures == []
    assert b'"rated"' not in logs["p01"].read_bytes().replace(b'"rating"', b"")
    assert {len(event["alternatives"]) for day in Considers.taught for event in day} == {0}


class Wrong(Considers):
    """Gives alternatives that are none, in the home with the earliest count, from its sixth decision on."""

    wrong: ClassVar = "a bare text"
    places: ClassVar[list] = []

    def reset(self, seed):
        self.bad, self.count = not Wrong.places, 0
        Wrong.places.append(seed)

    def alternatives(self):
        return Wrong.wrong if self.bad and self.count > 5 else ()


@pytest.mark.parametrize(("wrong", "message"), [
    ("a bare text", "TypeError: alternatives() returned str 'a bare text'; return a list of str, () for none"),
    (None, "TypeError: alternatives() returned NoneType None"),
    ([TEXT, 7], "TypeError: alternatives() gave int 7 among its texts"),
])
def test_wrong_alternatives_fail_their_own_unit_only(tmp_path, wrong, message):
    Wrong.wrong, Wrong.places = wrong, []
    failures, logs = live(tmp_path, "Wrong", days=1)
    assert [f.persona for f in failures] == ["p01"]
    assert message in str(failures[0])
    assert len(list(read_episode(logs["p01"], allow_incomplete=True).decisions())) == 5
    assert all(read_episode(logs[p]).complete for p in ("p02", "p03"))


USER = '''
from propersim_env.messages import Activity, Rating, UserTurn
class User:
    def __init__(self, way): self.way = way
    def reset(self, persona, seed):
        self.tick, self.bad = 200, persona.id == "p01"
        return UserTurn(None, Activity("waiting", "kitchen"), 200)
    def act(self, heard):
        self.tick += 1
        return UserTurn(Rating(15), Activity("waiting", "kitchen"), self.tick)
    def rate(self, text):
        if self.bad and self.way == "raises": raise RuntimeError("the resident left")
        if self.bad and self.way == "marks": return Rating(77)
        return 4 if self.bad else Rating(15)
'''


@pytest.mark.parametrize(("way", "message"), [
    ("raises", "user RuntimeError: the resident left"), ("marks", "user ValueError: marks=77 is no bit mask"),
    ("number", "user TypeError: a user must rate with a Rating, got int"),
])
def test_a_rating_that_fails_is_the_users_fault(tmp_path, way, message):
    (tmp_path / "user.py").write_text(USER)
    failures, logs = live(tmp_path, "Considers", "p01,p02", days=1, user=f"{tmp_path}/user.py:User", user_options={"way": way})
    assert [f.persona for f in failures] == ["p01"]
    assert message in str(failures[0])
    assert read_episode(logs["p01"], allow_incomplete=True).events[-1]["agent"] == "user_0"
    assert read_episode(logs["p02"]).complete


def test_together_equals_one_by_one(tmp_path):
    Together.homes = []
    assert live(tmp_path, "Together")[0] == []
    assert max(Together.homes) == 3
    assert live(tmp_path, "TogetherByClass")[0] == []
    Together.homes = []
    for persona in ("p01", "p02", "p03"):
        assert live(tmp_path / "single", "Together", persona)[0] == []
    assert set(Together.homes) == {1}
    for unit, by_class in zip(units("Together"), units("TogetherByClass"), strict=True):
        data = unit.log_path(tmp_path).read_bytes()
        assert data == unit.log_path(tmp_path / "single").read_bytes()
        assert events(by_class.log_path(tmp_path)) == events(unit.log_path(tmp_path))
        (notes,) = read_episode(unit.log_path(tmp_path)).notes()
        assert notes["day"] == 1
        assert notes["liked"] > 0


def test_assistants_of_several_classes_decide_each_with_their_own(tmp_path):
    Together.homes = []
    mixed = [*units("Together", "p01,p02"), *units("Considers", "p01"), *units("TogetherByClass", "p01")]
    batch = Batch(mixed, RunConfig(1), tmp_path)
    assert batch.run() == []
    batch.close()
    assert set(Together.homes) == {2, 1}
    assert live(tmp_path / "alone", "Together", "p01", days=1)[0] == []
    assert mixed[0].log_path(tmp_path).read_bytes() == mixed[0].log_path(tmp_path / "alone").read_bytes()


class Faulty(Plain):
    """Decides together, and goes wrong at the sixth decision in a chosen way."""

    way: ClassVar = ""

    def reset(self, seed):
        super().reset(0)

    @staticmethod
    def act_together(assistants, observations):
        answers = [assistant.act(observation) for assistant, observation in zip(assistants, observations, strict=True)]
        if assistants[0].count == 6 and len(assistants) == 3:
            if Faulty.way == "raises":
                raise ConnectionError("no server")
            if Faulty.way == "hangs":
                while True:
                    pass
            if Faulty.way == "short":
                return answers[1:]
            if Faulty.way == "text":
                return "hello"
            answers[1] = {"one": KeyError("lost my memory"), "type": 7, "interrupted": KeyboardInterrupt()}[Faulty.way]
        return answers


@pytest.mark.parametrize(("way", "who", "message"), [
    ("one", ["p02"], "KeyError: 'lost my memory'"),
    ("type", ["p02"], "TypeError: act_together() returned int 7 for a home"),
    ("raises", ["p01", "p02", "p03"], "ConnectionError: no server"),
    ("short", ["p01", "p02", "p03"], "ValueError: act_together() returned 2 answers for 3 homes"),
    ("text", ["p01", "p02", "p03"], "TypeError: act_together() returned str 'hello'"),
    ("hangs", ["p01", "p02", "p03"], "AgentTimeout: no decision within 0.6 s for 3 homes together"),
])
def test_faults_of_deciding_together(tmp_path, way, who, message):
    Faulty.way = way
    failures, logs = live(tmp_path, "Faulty", days=1, timeout=0.2 if way == "hangs" else 600.0)
    assert [f.persona for f in failures] == who
    assert all(message in str(f) for f in failures)
    for persona, path in logs.items():
        assert read_episode(path, allow_incomplete=True).complete == (persona not in who)


def test_an_interruption_that_was_caught_still_interrupts(tmp_path):
    Faulty.way = "interrupted"
    batch = Batch(units("Faulty"), RunConfig(1), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        batch.run()
    batch.close()


@pytest.mark.parametrize("name", ["Considers", "Together"])
def test_resume_from_many_bytes(tmp_path, name):
    """Cut in the lines of alternatives and notes too; each home at another place."""
    _, logs = live(tmp_path, name)
    whole = {p: path.read_bytes() for p, path in logs.items()}
    places = [whole["p01"].index(b'{"event":"rated"'), *(int(len(whole["p01"]) * share) for share in (0.0, 0.3, 0.8, 0.999))]
    if name == "Together":
        places.append(whole["p01"].index(b'{"event":"assistant"'))
    for place in places:
        for further, (persona, path) in enumerate(logs.items()):
            path.write_bytes(whole[persona][: min(place + 13 * further, len(whole[persona]) - 1)])
        failures, _ = live(tmp_path, name)
        assert failures == []
        assert {p: path.read_bytes() for p, path in logs.items()} == whole


def test_recorded_homes_are_replayed_and_the_others_decide_together(tmp_path):
    _, logs = live(tmp_path, "Together", days=1)
    whole = logs["p02"].read_bytes()
    decisions = len(list(read_episode(logs["p02"]).decisions()))
    for path in (logs["p01"], logs["p03"]):
        path.unlink()
    logs["p02"].write_bytes(whole[: whole.rindex(b"\n", 0, -1) - 20])
    Together.homes = []
    assert live(tmp_path, "Together", days=1)[0] == []
    assert Together.homes.count(2) >= decisions - 40  # p01 and p03, while p02 goes along
    assert logs["p02"].read_bytes() == whole


def test_notes_and_alternatives_that_change_are_found_when_resuming(tmp_path, monkeypatch):
    _, logs = live(tmp_path, "Together", "p01")
    data = logs["p01"].read_bytes()
    for name, value in (("notes", {"liked": -1}), ("alternatives", [OTHER])):
        logs["p01"].write_bytes(data[:-300])
        with monkeypatch.context() as patch, pytest.raises(LogError, match="is not what this run gives"):
            patch.setattr(Together, name, lambda self, value=value: value)
            live(tmp_path, "Together", "p01")


class Notes(Plain):
    """Notes what it is told to."""

    given: ClassVar = None

    def learn(self, events):
        pass

    def notes(self):
        return Notes.given


@pytest.mark.parametrize(("given", "message"), [
    (None, "TypeError: notes() returned NoneType None; return a dict"),
    ({"loss": float("nan")}, "ValueError: notes() of day 1 are no JSON values"),
    ({"loss": {1, 2}}, "ValueError: notes() of day 1 are no JSON values"),
    ({"day": 3}, "ValueError: notes() has the name 'day'"),
    ({7: 3}, "ValueError: notes() has the name 7"),
])
@pytest.mark.parametrize("logged", [True, False])
def test_notes_that_are_no_json_are_refused(tmp_path, given, message, logged):
    Notes.given = given
    failures, _ = live(tmp_path if logged else None, "Notes", "p01")
    assert len(failures) == 1
    assert message in str(failures[0])


class Keeps(Plain):
    """Keeps a file for each night, and fails on the second day if told to."""

    fails: ClassVar = False
    nights: ClassVar[list] = []

    def keep(self, folder):
        self.folder = folder

    def reset(self, seed):
        super().reset(seed)
        Keeps.nights.append(sorted(p.name for p in self.folder.iterdir()) if self.folder.exists() else [])

    def learn(self, events):
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"night{events[0]['tick'] // 576}").write_text("x")
        if Keeps.fails:
            raise RuntimeError("out of memory")


def test_files_are_kept_for_a_killed_run_and_emptied_after_a_failure(tmp_path):
    plan = RunPlan(tmp_path / "run", (f"{__name__}:Keeps", "silent"), tuple(select_personas("p01,p02")), (0,), RunConfig(2))
    Keeps.fails, Keeps.nights = True, []
    assert len(execute(plan, prepare(plan))) == 2
    unit = plan.units()[0]
    kept = plan.folder / "assistants" / unit.log_path(plan.folder).stem
    assert [p.name for p in kept.iterdir()] == ["night0"]
    Keeps.fails = False
    assert execute(plan, prepare(plan)) == []
    assert Keeps.nights == [[]] * 4  # failed, and so begun without its files
    assert prepare(plan) == []
    assert len(report.summarise(plan.folder).results) == 2
    log = unit.log_path(plan.folder)
    data = log.read_bytes()
    log.write_bytes(data[: len(data) - 200])
    assert execute(plan, prepare(plan)) == []
    assert Keeps.nights[4:] == [["night0"]]  # killed, and so gone on with
    assert log.read_bytes() == data
    log.unlink()
    assert execute(plan, prepare(plan)) == []
    assert Keeps.nights[5:] == [[]]  # begun anew: nothing of an earlier life


def test_without_a_folder_nothing_is_kept():
    Keeps.nights = []
    (failure,) = live(None, "Keeps", "p01", days=1)[0]
    assert "AttributeError" in str(failure)  # keep() was not called
