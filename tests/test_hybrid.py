"""The hybrid user: the simulation's days and doses, a language model's judgement, and no failed call that becomes a mark."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

pytest.importorskip("httpx", reason='needs pip install "propersim[llm]"')
pytest.importorskip("torch", reason='needs pip install "propersim[train]"')

from model_server import EMBEDDED, proxy, serve

from propersim_env.agents.models.interface import Failed, Reply
from propersim_env.agents.users.hybrid import ANSWERS, HybridUsers, Opinion, wording_hash
from propersim_env.agents.users.simulated import SimulatedUsers
from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.units import Batch, RunConfig
from propersim_env.log import read_episode
from propersim_env.persona import load_persona, select_personas
from propersim_env.registry import make_users

SERVING = all(importlib.util.find_spec(name) for name in ("transformers", "fastapi", "uvicorn"))
TEXT = "How about a slow vegetable soup tonight?"


class Judge:
    """Gives the answers that it was told, over and over, and counts what it is asked."""

    name = "judge"

    def __init__(self, *answers: Reply | Failed) -> None:
        self.answers, self.asked = answers, []

    def about(self):
        return {"model": "judge"}

    def ask(self, requests):
        self.asked.append(list(requests))
        start = sum(map(len, self.asked)) - len(requests)
        return [self.answers[(start + k) % len(self.answers)] for k in range(len(requests))]


def at(users, i, tick):
    while int(users.tick[i]) < tick:
        users.act([""] * users.n)


class TestJudging:
    def test_silence_asks_nobody_and_a_text_asks_once(self):
        judge = Judge(Reply("A"))
        users = HybridUsers(2, model=judge)
        for i in range(2):
            users.reset(i, load_persona(f"p0{i + 1}"), i)
        for _ in range(50):
            users.act(["", ""])
        assert judge.asked == []
        users.act([TEXT, TEXT])
        assert [len(part) for part in judge.asked] == [2]  # both homes in one call

    @pytest.mark.parametrize("answer", list(ANSWERS))
    def test_content_and_manner_are_the_models_and_the_rest_is_simulated(self, answer):
        persona, plain, users = load_persona("p01"), SimulatedUsers(1), HybridUsers(1, model=Judge(Reply(answer)))
        for one in (plain, users):
            one.reset(0, persona, 3)
            at(one, 0, 240)
        simulated, rating = plain.act([TEXT]).one(0).rating, users.act([TEXT]).one(0).rating
        assert rating.marks & 0b0110 == simulated.marks & 0b0110
        assert ((rating.marks & 1 == 1), (rating.marks >> 3 == 1)) == ANSWERS[answer]
        assert rating.terms["preference"][0] == rating.terms["communication"][0] == "model"
        assert rating.terms["timing"] == simulated.terms["timing"]
        if answer == "D":
            assert rating.reaction == "dismiss"

    def test_the_question_has_the_wishes_the_moment_and_what_was_said(self):
        judge = Judge(Reply("A"))
        users = HybridUsers(1, model=judge)
        persona = load_persona("p01")
        users.reset(0, persona, 0)
        at(users, 0, 240)
        users.act(["Tea?"])
        users.act([TEXT])
        request = judge.asked[-1][0]
        asked = request.messages[1]["content"]
        assert persona.rubric["Personal_Preference"] in asked and persona.rubric["Communication_&_Safety"] in asked
        assert TEXT in asked and '"Tea?"' in asked and "10:0" in asked
        assert request.options == tuple(ANSWERS)

    def test_days_are_those_of_the_simulation(self):
        users, plain = HybridUsers(1, model=Judge(Reply("A"))), SimulatedUsers(1)
        turns = [one.reset(0, load_persona("p02"), 5).diary for one in (users, plain)]
        assert turns[0] == turns[1]

    def test_probabilities_and_repeats_become_one_opinion(self):
        assert Opinion.of([Reply("B", {"A": 0.3, "B": 0.4, "C": 0.2, "D": 0.1})]) == Opinion(0.7, 0.5)
        opinion = Opinion.of([Reply("A"), Reply("A"), Reply("D")])
        assert (opinion.content, opinion.manner, opinion.spread) == pytest.approx((2 / 3, 2 / 3, 1 / 3))
        with pytest.raises(ValueError, match="temperature"):
            HybridUsers(1, model=Judge(), repeats=3)

    def test_candidates_are_judged_without_being_heard(self):
        users = HybridUsers(1, model=Judge(Reply("A"), Failed("timeout", "late")))
        users.reset(0, load_persona("p01"), 0)
        before = users.get_state(0)
        assert users.rate(0, TEXT).marks & 9 == 9
        assert users.get_state(0) == before
        with pytest.raises(RuntimeError, match="timeout"):
            users.rate(0, TEXT)


class TestFailures:
    def test_a_failed_call_is_a_failure_and_no_mark(self):
        users = HybridUsers(2, model=Judge(Failed("server_error", "boom"), Reply("A")))
        for i in range(2):
            users.reset(i, load_persona(f"p0{i + 1}"), 0)
        turns = users.act([TEXT, TEXT])
        assert turns.one(0).rating is None
        assert turns.one(0).failure == "model: server_error"
        assert turns.one(1).rating is not None
        assert users.residents[0].mind.delivered == 1  # it was said all the same, and is felt

    def test_an_answer_that_is_none_of_the_four_is_asked_for_once_more(self):
        judge = Judge(Failed("malformed", "perhaps"), Reply("B"))
        users = HybridUsers(1, model=judge)
        users.reset(0, load_persona("p01"), 0)
        assert users.act([TEXT]).one(0).rating.marks & 9 == 1
        assert "exactly one letter" in judge.asked[1][0].messages[-1]["content"]
        worse = HybridUsers(1, model=Judge(Failed("malformed", "perhaps")))
        worse.reset(0, load_persona("p01"), 0)
        assert worse.act([TEXT]).one(0).failure == "model: malformed"


class TestRuns:
    def plan(self, folder: Path, **options) -> RunPlan:
        return RunPlan(folder, ("fixed-rate:per_day=6", "silent"), tuple(select_personas("test:2")), (0,),
                       RunConfig(1, "hybrid", options))

    def test_a_run_goes_on_without_paying_twice(self, tmp_path):
        options = {"model": "local:embedded", "cache": str(tmp_path / "answers.sqlite")}
        plan = self.plan(tmp_path / "run", **options)
        units = prepare(plan)
        batch = Batch(units, plan.config, plan.folder)
        assert batch.run() == []
        batch.close()
        cost = batch.users.cost()
        said = sum(len(list(read_episode(unit.log_path(plan.folder)).said())) for unit in units)
        assert cost["calls"] == said > 5
        logs = {path: path.read_bytes() for path in plan.folder.glob("events-*")}
        about = json.loads(next(iter(logs.values())).split(b"\n")[0])["user"]["about"]
        assert about["wording"] == wording_hash()
        assert about["model"]["abilities"]["chooses"] == "probabilities"
        for path, log in logs.items():
            path.write_bytes(log[: len(log) * 2 // 3])
        again = Batch(units, plan.config, plan.folder)
        assert again.run() == []
        again.close()
        assert {path: path.read_bytes() for path in logs} == logs
        assert (again.users.cost()["calls"], again.users.cost()["cached"]) == (0, said)

    def test_a_missing_model_is_told(self, tmp_path):
        with pytest.raises(ValueError, match="needs a model"):
            make_users("hybrid", 1)
        with pytest.raises((ValueError, TypeError), match="unexpected"):
            make_users("hybrid", 1, model="local:embedded", cash="x")

    @pytest.mark.skipif(not SERVING, reason='needs pip install "transformers[serving]"')
    def test_faults_of_a_real_server_surface_and_none_is_scored(self, tmp_path):
        with serve() as url, proxy(url) as spoilt:
            options = {"model": f"{EMBEDDED}@{spoilt.url}", "tries": 1, "timeout": 2.0, "cache": str(tmp_path / "a.sqlite")}
            plan = self.plan(tmp_path / "run", **options)
            units = prepare(plan)
            batch = Batch(units, plan.config, plan.folder)
            faults = ["500", "say A", "hang", "say D", "cut", "say B", "html", "empty", "401", "429"]
            spoilt.faults = list(faults)
            assert batch.run() == []
            batch.close()
            events = [event for unit in units for event in read_episode(unit.log_path(plan.folder)).said()]
            failed = [event["failure"] for event in events if event["marks"] is None]
            good = [event for event in events if event["marks"] is not None]
            kinds = ["model: server_error", "model: timeout", "model: connection", "model: malformed", "model: empty",
                     "model: refused", "model: rate_limited"]
            assert all(kind in failed for kind in kinds)
            assert len(good) <= 3 + len(events) - len(faults)
            assert all("rating" not in event for event in events if event["marks"] is None)
            spoilt.faults = ["say A"] * 100
            assert execute(plan, [unit for unit in units if unit.assistant != "silent"]) == []
            events = [event for unit in units for event in read_episode(unit.log_path(plan.folder)).said()]
            assert all(event["marks"] is not None for event in events)
