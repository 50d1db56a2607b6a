"""Language models: against a real server, and a proxy that spoils its answers; nothing that fails is an answer."""

from __future__ import annotations

import importlib.util
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("httpx", reason='needs pip install "propersim[llm]"')

from model_server import EMBEDDED, Proxy, proxy, serve

from propersim_env.agents.models.cache import Cached
from propersim_env.agents.models.interface import KINDS, PASSING, Abilities, Failed, Price, Reply, Request
from propersim_env.agents.models.limits import Budget, Meter, Pace, Retrying
from propersim_env.agents.models.make import make_model
from propersim_env.agents.models.probe import ProbeError
from propersim_env.agents.models.server import Server, option_of, option_probabilities

SERVING = all(importlib.util.find_spec(name) for name in ("transformers", "torch", "fastapi", "uvicorn"))
needs_server = pytest.mark.skipif(not SERVING, reason='needs pip install "transformers[serving]" torch')
MODEL = str(EMBEDDED)


def ask(text: str = "Thursday 09:40. reading a novel (study), just begun.", **more) -> Request:
    return Request(({"role": "user", "content": text},), **{"max_tokens": 64, **more})


@pytest.fixture(scope="module")
def url():
    with serve() as found:
        yield found


@pytest.fixture
def spoilt(url):
    with proxy(url) as server:
        yield server


def server_of(spoilt: Proxy, **more) -> Server:
    return Server(MODEL, spoilt.url, **{"timeout": 2.0, "concurrency": 1, **more})


class TestReading:
    @given(st.text(), st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True))
    def test_whatever_is_said_it_is_an_option_or_none(self, text, options):
        assert option_of(text, options) in (*options, None)

    @pytest.mark.parametrize(("text", "option"), [
        ("1", "1"), (" 0.", "0"), ('"1"', "1"), ("1, because it is late", "1"), ("10", None), ("It depends", None), ("", None)])
    def test_an_option_is_read_where_it_stands_first(self, text, option):
        assert option_of(text, ["0", "1"]) == option

    def test_probabilities_are_those_of_the_options(self):
        top = [{"token": " Yes", "logprob": -0.5}, {"token": "yes", "logprob": -2.0}, {"token": "No", "logprob": -1.5},
               {"token": "So", "logprob": -0.1}]
        found = option_probabilities({"content": [{"top_logprobs": top}]}, ["Yes", "No"])
        assert sum(found.values()) == pytest.approx(1)
        assert found["Yes"] > found["No"] > 0.2
        assert option_probabilities({"content": []}, ["Yes"]) is None
        assert option_probabilities(None, ["Yes"]) is None

    def test_the_same_question_has_the_same_key_and_another_another(self):
        keys = [ask().key("m"), ask("x").key("m"), ask().key("n"), ask(repeat=1).key("m"), ask(seed=1).key("m"),
                ask(options=("0", "1")).key("m"), ask(schema={"type": "string"}).key("m")]
        assert len(set(keys)) == len(keys)
        assert ask().key("m") == keys[0]


class Says:
    """A model that gives what it was told to give, in order, and counts what it is asked."""

    name = "says"

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def about(self):
        return {"model": "says"}

    def ask(self, requests):
        self.asked += requests
        return [self.answers.pop(0) for _ in requests]


YES = Reply("yes", tokens_in=10, tokens_out=5, seconds=0.1, money=0.01)


class TestAround:
    def test_what_may_pass_is_tried_again_and_the_rest_is_not(self):
        waits = []
        model = Says(Failed("server_error", "x"), YES, Failed("refused", "x"), Failed("rate_limited", "x", 7.0), YES)
        answers = Retrying(model, 3, first=1.0, sleep=waits.append).ask([ask("a"), ask("b"), ask("c")])
        assert [a.kind if isinstance(a, Failed) else a.text for a in answers] == ["yes", "yes", "refused"]
        assert [r.messages[0]["content"] for r in model.asked] == ["a", "b", "c", "a", "a"]
        assert 1 <= waits[0] <= 1.5
        assert waits[1] == 7.0

    def test_it_gives_up_at_last(self):
        model = Says(*[Failed("timeout", "x")] * 3)
        assert Retrying(model, 3, sleep=lambda _: None).ask([ask()]) == [Failed("timeout", "x")]
        assert len(model.asked) == 3

    def test_money_is_unknown_as_soon_as_a_price_is(self):
        meter = Meter(Says(YES, replace(YES, money=None)))
        meter.ask([ask()])
        assert meter.cost()["money"] == 0.01
        meter.ask([ask()])
        assert meter.cost()["money"] is None
        assert (meter.cost()["tokens_in"], meter.cost()["calls"]) == (20, 2)

    @given(st.integers(0, 400), st.lists(st.tuples(st.integers(1, 200), st.integers(1, 64)), min_size=1, max_size=12))
    def test_a_budget_is_never_exceeded(self, budget, costs):
        spent = 0

        class Model(Says):
            def ask(self, requests):
                nonlocal spent
                answers = []
                for request in requests:
                    words, most = len(request.messages[0]["content"]), request.max_tokens
                    spent += words // 4 + most
                    answers.append(Reply("x", None, words // 4, most, 0.0, None))
                return answers

        around = Budget(Model(), tokens=budget)
        answers = [around.ask([ask("w" * size, max_tokens=most)])[0] for size, most in costs]
        assert spent <= budget
        assert all(isinstance(a, Reply) or a.kind == "budget" for a in answers)

    def test_a_budget_of_money_needs_a_price(self):
        with pytest.raises(ValueError, match="price"):
            Budget(Says(), money=1.0)
        around = Budget(Says(*[YES] * 9), money=0.025, price=Price(100, 100).of)
        answers = around.ask([ask("x", max_tokens=64) for _ in range(9)])
        assert [isinstance(a, Reply) for a in answers] == [True] * 3 + [False] * 6

    def test_calls_are_paced(self):
        waits, now = [], [0.0]
        pace = Pace(120, waits.append, lambda: now[0])
        for _ in range(3):
            pace()
        now[0] = 60.0
        pace()
        assert waits == [0.5, 1.0]


class TestCache:
    def test_what_was_asked_is_not_asked_again_and_failures_are(self, tmp_path):
        model = Says(YES, Failed("refused", "no"), YES)
        cached = Cached(model, tmp_path / "a.sqlite")
        assert [isinstance(a, Reply) for a in cached.ask([ask("a"), ask("b"), ask("a")])] == [True, False, True]
        assert len(model.asked) == 2
        again = Cached(model, tmp_path / "a.sqlite")
        assert again.ask([ask("a")]) == [replace(YES, cached=True)]
        assert isinstance(again.ask([ask("b")])[0], Reply)
        assert len(model.asked) == 3

    def test_replaying_asks_nobody(self, tmp_path):
        Cached(Says(YES), tmp_path / "a.sqlite").ask([ask("a")])
        replayed = Cached(Says(), tmp_path / "a.sqlite", "replay")
        known, unknown = replayed.ask([ask("a"), ask("b")])
        assert known == replace(YES, cached=True)
        assert unknown.kind == "not_recorded"

    def test_bad_files_are_told(self, tmp_path):
        with pytest.raises(ValueError, match="no recorded answers"):
            Cached(Says(), tmp_path / "none.sqlite", "replay")
        (tmp_path / "text.sqlite").write_text("this is no database, but a text that is long enough to look like something" * 20)
        with pytest.raises(ValueError, match="name another file"):
            Cached(Says(), tmp_path / "text.sqlite")
        with pytest.raises(ValueError, match="use or replay"):
            Cached(Says(), tmp_path / "b.sqlite", "read")


@needs_server
class TestServer:
    def test_it_answers_and_says_what_it_can(self, url, tmp_path):
        model = make_model(f"{MODEL}@{url}", cache=tmp_path / "a.sqlite", price_in=1.0, price_out=2.0)
        requests = [ask(f"Thursday 0{k}:40. reading.") for k in range(4)]
        answers = model.ask(requests)
        assert all(isinstance(a, Reply) and a.tokens_in > 0 and a.tokens_out > 0 and a.money > 0 for a in answers)
        cost = model.cost()
        assert (cost["calls"], cost["cached"]) == (4, 0)
        assert cost["money"] == pytest.approx(sum(a.money for a in answers))
        assert [a.text for a in model.ask(requests)] == [a.text for a in answers]
        assert (model.cost()["calls"], model.cost()["cached"]) == (4, 4)
        abilities = model.about()["abilities"]
        assert abilities["tells_usage"]
        assert abilities["repeatable"] in ("greedy", "exact")
        assert abilities["chooses"] in ("probabilities", "constrained", "words")

    def test_replaying_needs_no_server(self, url, tmp_path):
        first = make_model(f"{MODEL}@{url}", cache=tmp_path / "a.sqlite").ask([ask()])[0]
        replayed = make_model(f"{MODEL}@{url}", cache=tmp_path / "a.sqlite", mode="replay")
        replayed.model.url = "http://127.0.0.1:9/v1"
        assert replayed.ask([ask()]) == [replace(first, cached=True)]
        assert replayed.ask([ask("new")])[0].kind == "not_recorded"
        assert replayed.cost()["calls"] == 0

    def test_nobody_there(self):
        with pytest.raises(ProbeError, match="connection"):
            make_model(f"{MODEL}@http://127.0.0.1:9/v1", timeout=2)

    @pytest.mark.parametrize(("fault", "kind"), [
        ("429", "rate_limited"), ("500", "server_error"), ("401", "refused"), ("hang", "timeout"), ("cut", "connection"),
        ("html", "malformed"), ("no choices", "malformed"), ("empty", "empty"), ("null", "empty"), ("length", "truncated")])
    def test_every_fault_comes_out_as_its_kind(self, fault, kind, spoilt, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
        spoilt.faults = [fault, ""]
        server = server_of(spoilt)
        spoilt_answer, good = server.ask([ask(), ask("another")])
        assert isinstance(spoilt_answer, Failed)
        assert spoilt_answer.kind == kind in KINDS
        assert "very-secret" not in repr(spoilt_answer)
        assert spoilt.headers_seen[0]["authorization"] == "Bearer sk-very-secret"
        assert isinstance(good, Reply)

    @pytest.mark.parametrize("fault", ["429", "500", "hang", "cut", "empty"])
    def test_passing_faults_are_overcome(self, fault, spoilt):
        spoilt.faults = [fault, fault]
        server = server_of(spoilt)
        retrying = Retrying(server, 4, first=0.05)
        assert isinstance(retrying.ask([ask()])[0], Reply)
        assert len(spoilt.calls) == 3
        assert sum(retrying.retried.values()) == 2
        assert set(retrying.retried) <= PASSING

    @pytest.mark.parametrize(("said", "found"), [("1", "1"), ("0, as it is late", "0"), ("perhaps", None), ("12", None)])
    def test_what_is_none_of_the_options_is_no_choice(self, said, found, spoilt):
        spoilt.faults = [f"say {said}"]
        answer = server_of(spoilt).ask([ask(options=("0", "1"))])[0]
        assert (answer.text == found) if found else (answer.kind == "malformed")

    def test_probabilities_are_read_where_a_server_gives_them(self, spoilt):
        spoilt.faults = ["logprobs"]
        answer = server_of(spoilt, abilities=Abilities("probabilities")).ask([ask(options=("0", "1"))])[0]
        assert answer.text == "1"
        assert answer.probabilities == pytest.approx({"0": 0.2, "1": 0.8}, abs=1e-3)
        assert spoilt.calls[0]["logprobs"] is True

    def test_calls_go_side_by_side(self, spoilt):
        spoilt.faults = ["hang"] * 4
        server = server_of(spoilt, concurrency=4, timeout=1.5)
        began = time.monotonic()
        assert [a.kind for a in server.ask([ask(str(k)) for k in range(4)])] == ["timeout"] * 4
        assert time.monotonic() - began < 4 * 1.5

    def test_no_key_reaches_a_file(self, spoilt, tmp_path, monkeypatch):
        monkeypatch.setenv("MY_KEY", "sk-very-secret")
        model = make_model(f"{MODEL}@{spoilt.url}", cache=tmp_path / "a.sqlite", key_env="MY_KEY")
        model.ask([ask()])
        assert any(h.get("authorization") == "Bearer sk-very-secret" for h in spoilt.headers_seen)
        assert "very-secret" not in json.dumps(model.about()) + json.dumps(model.cost())
        assert all(b"very-secret" not in path.read_bytes() for path in Path(tmp_path).iterdir())


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason='needs pip install "propersim[train]"')
class TestLocal:
    def test_it_samples_and_chooses_with_probabilities(self):
        model = make_model("local:embedded")
        texts = model.ask([ask(temperature=0.5, seed=k) for k in range(3)] + [ask(temperature=0.5, seed=0)])
        assert all(isinstance(t, Reply) and t.money == 0 for t in texts)
        assert texts[0].text == texts[3].text
        assert len({t.text for t in texts}) > 1
        choice = model.ask([ask(options=("SILENT", "SAY:"))])[0]
        assert sum(choice.probabilities.values()) == pytest.approx(1)
        assert choice.text == max(choice.probabilities, key=choice.probabilities.get)

    def test_an_answer_that_does_not_end_is_truncated(self):
        assert make_model("local:embedded").ask([ask(max_tokens=2)])[0].kind == "truncated"
