"""Agents that misbehave are reported with their tick; their logs are kept, the others go on, and nobody is scored."""


import pytest

from propersim_env.episode import log_name
from propersim_env.evaluation import report
from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig
from propersim_env.log import read_episode
from propersim_env.persona import select_personas
from propersim_env.registry import make_assistant, make_user, make_users

BAD = '''
import asyncio, time
class Base:
    def reset(self, seed): self.n = 0
    def act(self, observation):
        self.n += 1
        return self.bad() if self.n == 40 and "Thursday" in observation else ""
class Raises(Base):
    def bad(self): raise KeyError("lost my memory")
class NoText(Base):
    def bad(self): return 7
class HangsUp(Base):
    def bad(self): raise SystemExit("server hung up")
class Hangs(Base):
    def bad(self):
        while True: time.sleep(0.05)
class HangsAndSwallows(Base):
    def bad(self):
        while True:
            try: time.sleep(0.05)
            except Exception: pass
class Cancelled(Base):
    def bad(self): raise asyncio.CancelledError
class Odd(Base):
    def bad(self): raise ValueError("[/x] \\ud800")
class Long(Base):
    def bad(self): raise ValueError("y" * 10_000)
class FailsToStart:
    def reset(self, seed): raise ConnectionError("no server at this address")
    def act(self, observation): return ""
def function(observation):
    return "Open a window." if "09:0" in observation else ""
'''


@pytest.fixture
def bad(tmp_path):
    (tmp_path / "bad.py").write_text(BAD)
    return f"{tmp_path}/bad.py"


def run(tmp_path, spec, workers=1, timeout=600.0):
    config = RunConfig(1, timeout=timeout)
    plan = RunPlan(tmp_path / "run", (spec, "oracle"), tuple(select_personas("p01,p02")), (0,), config)
    return plan, execute(plan, prepare(plan), workers)


@pytest.mark.parametrize(("name", "kind", "message"), [
    ("Raises", "KeyError", "lost my memory"),
    ("NoText", "TypeError", "act() returned int 7; return a str"),
    ("HangsUp", "SystemExit", "server hung up"),
    ("Hangs", "AgentTimeout", "no decision within 0.5 s"),
    ("HangsAndSwallows", "AgentTimeout", "no decision within 0.5 s"),
    ("Cancelled", "CancelledError", "no message"),
    ("Odd", "ValueError", "[/x] \\ud800"),
])
def test_failures_are_reported_with_their_tick(tmp_path, bad, name, kind, message):
    spec = f"{bad}:{name}"
    plan, failures = run(tmp_path, spec, timeout=0.5 if "Hangs" in name else 600)
    assert [(f.assistant, f.persona, f.kind) for f in failures] == [(spec, "p01", kind), (spec, "p02", kind)]
    for failure in failures:
        assert message in str(failure)
        assert f"at tick {failure.tick} (Thursday 13 February 2025, " in str(failure)
        path = plan.folder / log_name(spec, failure.persona, 0)
        episode = read_episode(path, allow_incomplete=True)
        assert len(list(episode.decisions())) == 39
        assert episode.events[-1]["kind"] == kind
        assert episode.events[-1]["tick"] == failure.tick
    result = report.summarise(plan.folder)
    assert [r.name for r in result.results] == ["oracle"]
    assert len(result.incomplete) == 2
    assert "the episode failed at tick" in result.incomplete[0]


@pytest.mark.parametrize(("name", "statement"), [("Raises", 'raise KeyError("lost my memory")'),
                                                 ("Long", 'raise ValueError("y" * 10_000)')])
def test_a_failed_unit_is_tried_again(tmp_path, bad, name, statement):
    spec = f"{bad}:{name}"
    plan, _ = run(tmp_path, spec)
    with open(bad, "w") as file:
        file.write(BAD.replace(statement, 'return ""'))
    assert execute(plan, prepare(plan)) == []
    assert len(report.summarise(plan.folder).results) == 2


def test_an_assistant_that_does_not_start(tmp_path, bad):
    _, failures = run(tmp_path, f"{bad}:FailsToStart")
    assert len(failures) == 2
    assert "before its first decision: ConnectionError: no server at this address" in str(failures[0])


def test_failures_in_worker_processes(tmp_path, bad):
    _, failures = run(tmp_path, f"{bad}:Raises", workers=2)
    assert len(failures) == 2


USER = '''
from propersim_env.messages import Activity, Rating, UserTurn
class User:
    """Fails in some way at the tenth turn, with p01 only."""
    def __init__(self, way): self.way = way
    def reset(self, persona, seed):
        self.n, self.bad = 0, persona.id == "p01"
        return UserTurn(None, Activity("waiting", "kitchen"), 200)
    def act(self, heard):
        self.n += 1
        rating, tick = Rating(15), 200 + 30 * self.n
        if self.bad and self.n == 10:
            if self.way == "raises": raise RuntimeError("the resident left")
            if self.way == "nothing": return None
            if self.way == "stuck": tick -= 30
            if self.way == "marks": rating = Rating(77)
            if self.way == "reaction": rating = Rating(15, "love")
            if self.way == "terms": rating = Rating(15, "none", {}, {"x": object()})
        return UserTurn(rating, Activity("waiting", "kitchen"), tick)
'''


@pytest.mark.parametrize(("way", "message"), [
    ("raises", "user RuntimeError: the resident left"), ("nothing", "a user must return a UserTurn, got NoneType"),
    ("stuck", "time must go on"), ("marks", "marks=77 is no bit mask"), ("reaction", "choose one of none, accept"),
    ("terms", "not JSON serializable"),
])
def test_a_user_that_fails_is_reported_and_the_others_go_on(tmp_path, way, message):
    (tmp_path / "user.py").write_text(USER)
    config = RunConfig(1, f"{tmp_path}/user.py:User", {"way": way})
    plan = RunPlan(tmp_path / "run", ("silent",), tuple(select_personas("p01,p02")), (0,), config)
    failures = execute(plan, prepare(plan))
    assert [f.persona for f in failures] == ["p01"]
    assert failures[0].tick == 470
    assert message in str(failures[0])
    assert read_episode(plan.folder / log_name("silent", "p02", 0)).complete
    assert not read_episode(plan.folder / log_name("silent", "p01", 0), allow_incomplete=True).complete


def test_a_plain_function_is_an_assistant(tmp_path, bad):
    plan, failures = run(tmp_path, f"{bad}:function")
    assert failures == []
    assert report.summarise(plan.folder).results[0].columns["a_day"].mean > 0


@pytest.mark.parametrize(("call", "message"), [
    (lambda: make_assistant("slient"), "did you mean 'silent'"),
    (lambda: make_assistant("nothing_like_it"), "known: always, content-oracle"),
    (lambda: make_assistant("no_such_module:X"), "cannot import 'no_such_module'"),
    (lambda: make_assistant("propersim_env.agents.assistants.scripted:Silnt"), "did you mean 'Silent'"),
    (lambda: make_assistant("random", q=1), "it accepts: p, setting"),
    (lambda: make_assistant("random", p=2), "p=2 is not a probability"),
    (lambda: make_user("simulatd"), "did you mean 'simulated'"),
    (lambda: make_users("simulated", 2, nois=1), "it accepts: noise"),
    (lambda: make_users("simulated", 2, parameters={"nois": 1}), "did you mean 'noise'"),
    (lambda: select_personas("p99"), "did you mean 'p29' or"),
    (lambda: select_personas("0"), "there are 32 bundled ones"),
    (lambda: select_personas("sampled:many"), "write sampled:N"),
    (lambda: select_personas("p01,p01"), "named twice: p01"),
])
def test_unknown_names_list_near_matches(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


def test_things_that_are_no_agents():
    with pytest.raises(TypeError, match="is no assistant"):
        make_assistant(7)
    with pytest.raises(TypeError, match="is no user"):
        make_user(7)
    assert make_assistant(lambda observation: "hello").act("") == "hello"
