"""Agents that misbehave are reported with their tick; their logs are kept, the others go on, and nobody is scored."""


import pytest

from propersim_env.evaluation import report
from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig
from propersim_env.log import read_episode
from propersim_env.persona import select_personas
from propersim_env.registry import make_assistant, make_user, make_users

BAD = '''
import time
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
    ("Hangs", "AssistantTimeout", "no decision within 0.5 s"),
])
def test_failures_are_reported_with_their_tick(tmp_path, bad, name, kind, message):
    spec = f"{bad}:{name}"
    plan, failures = run(tmp_path, spec, timeout=0.5 if name == "Hangs" else 600)
    assert [(f.assistant, f.persona, f.kind) for f in failures] == [(spec, "p01", kind), (spec, "p02", kind)]
    for failure in failures:
        assert message in str(failure)
        assert f"at tick {failure.tick} (Thursday 13 February 2025, " in str(failure)
        path = next(plan.folder.glob(f"*_{name}-{failure.persona}-*.jsonl"))
        episode = read_episode(path, allow_incomplete=True)
        assert len(list(episode.decisions())) == 39
        assert episode.events[-1]["kind"] == kind
        assert episode.events[-1]["tick"] == failure.tick
    result = report.summarise(plan.folder)
    assert [r.name for r in result.results] == ["oracle"]
    assert len(result.incomplete) == 2
    assert "the episode failed at tick" in result.incomplete[0]


def test_a_failed_unit_is_tried_again(tmp_path, bad):
    spec = f"{bad}:Raises"
    plan, _ = run(tmp_path, spec)
    with open(bad, "w") as file:
        file.write(BAD.replace('raise KeyError("lost my memory")', 'return ""'))
    assert execute(plan, prepare(plan)) == []
    assert len(report.summarise(plan.folder).results) == 2


def test_an_assistant_that_does_not_start(tmp_path, bad):
    _, failures = run(tmp_path, f"{bad}:FailsToStart")
    assert len(failures) == 2
    assert "before its first decision: ConnectionError: no server at this address" in str(failures[0])


def test_failures_in_worker_processes(tmp_path, bad):
    _, failures = run(tmp_path, f"{bad}:Raises", workers=2)
    assert len(failures) == 2


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
