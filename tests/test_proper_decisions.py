"""How ProPerAssistant decides: by memory and model together, without repeating itself, and never by words it is unsure of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason='needs pip install "propersim[train]"')

import torch

from propersim_env.agents.assistants.proper.assistant import ProPerAssistant, Situation
from propersim_env.agents.assistants.proper.expectation import prior, signs
from propersim_env.agents.assistants.proper.plan import Plan
from propersim_env.agents.assistants.proper.policy import shared_policy
from propersim_env.baselines.studies import memory_prior
from propersim_env.evaluation.living import Step, live
from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig
from propersim_env.observation import read_observation
from propersim_env.persona import select_personas
from propersim_env.single_agent import ProPerSimEnv

PROMPT = [{"role": "user", "content": "Thursday 09:42. listening to folk songs (kitchen), for 10 min."}]


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other are slower on a busy machine
    yield
    torch.set_num_threads(threads)


def lived(days: int, preset: str = "amortised", **changes: Any) -> tuple[ProPerAssistant, list[Step], list[list[str]]]:
    """An assistant after some days with p01, what happened, and the texts it had rated at each decision."""
    assistant = ProPerAssistant(preset, train=False, ability=False, pool=4, remembered=4, **changes)
    shown, steps = [], []
    for step in live(ProPerSimEnv(persona="p01", days=days), assistant, 0):
        steps.append(step)
        shown.append(list(assistant.alternatives()))
    return assistant, steps, shown


@pytest.fixture(scope="module")
def three_days() -> tuple[ProPerAssistant, list[Step], list[list[str]]]:
    return lived(3, worth=0.1)


class TestWhatIsSaid:
    def test_nothing_is_said_twice_in_a_week(self, three_days: Any) -> None:
        said = [step.text for step in three_days[1] if step.text]
        assert len(said) >= 5
        assert len(set(said)) == len(said)

    def test_texts_are_rated_beside_what_is_said_and_not_that_itself(self, three_days: Any) -> None:
        _, steps, shown = three_days
        assert sum(len(texts) == 2 for texts in shown) > 0.9 * len(steps)
        assert all(step.text not in texts and "" not in texts for step, texts in zip(steps, shown, strict=True))

    def test_the_day_is_told_in_numbers(self, three_days: Any) -> None:
        notes = [step.learnt for step in three_days[1] if step.learnt]
        assert [n["said"] for n in notes] == [sum(bool(s.text) for s in three_days[1] if s.tick // 576 == d) for d in (0, 1)]
        assert all(len(n["weights"]) == 3 for n in notes)

    def test_words_that_the_model_is_not_sure_of_are_counted_and_not_said(self) -> None:
        _, steps, shown = lived(2, least_log_probability=0.0)
        notes, = (step.learnt for step in steps if step.learnt)
        assert notes["malformed"]["unsure of its words"] > 20
        assert not any(step.text for step in steps)
        assert not any(shown)

    def test_plans_name_topics_and_tones_however_hot_they_are_sampled(self) -> None:
        policy = shared_policy("embedded")
        plan = policy.plan
        assert isinstance(plan, Plan)
        begun = policy._generate([policy.encode(PROMPT, "SAY:")], [""], 32, [1], (5.0, 50.0), 5, policy._places)
        named = [policy.base.tokenizer.decode(tokens).strip() for tokens, _ in begun]
        topics = {name[1:].split(", ")[0] for name in named}
        assert topics <= set(plan.topics)
        assert len(topics) > 8
        assert {name[:-1].split(", ")[-1] for name in named} <= set(plan.tones)
        assert all(log_p == 0 for _, log_p in begun)  # the plan is no part of how sure the model is of its words


class TestWhenItSpeaks:
    @given(st.floats(-5, 5), st.floats(0, 2), st.floats(-8, 4), st.floats(0, 8))
    def test_the_model_is_asked_wherever_it_could_make_a_difference(self, three_days: Any, memory: float, content: float,
                                                                    least: float, width: float) -> None:
        assistant, steps, _ = three_days
        assistant.learner.odds_range = (least, least + width)
        seen = read_observation(steps[-1].observation)
        now = Situation(seen, tuple(PROMPT), assistant.recall.instant(seen), memory, "Tea?", content)
        if not assistant._asks(now):
            assert not any(assistant._speaks(now, least + share * width) for share in (0, 0.3, 1))

    def test_it_speaks_for_what_is_worth_more_than_it_asks(self, three_days: Any) -> None:
        assistant, steps, _ = three_days
        seen = read_observation(steps[-1].observation)
        at = assistant.recall.instant(seen)
        good, dull, bad_time = (Situation(seen, tuple(PROMPT), at, memory, "Tea?", content)
                                for memory, content in ((4.0, 1.9), (4.0, 0.1), (-4.0, 1.9)))
        assert [assistant._speaks(now, 0.0) for now in (good, dull, bad_time)] == [True, False, False]

    def test_silence_makes_a_patient_assistant_ask_for_less(self) -> None:
        patient = ProPerAssistant("cold", patience=0.2, train=False)
        patient.reset(0)
        assert patient._least(1000) == pytest.approx(0.2)
        patient.recall.said.append((1000, "Tea?"))
        assert [patient._least(1000 + day * 576) for day in (0, 1, 9)] == pytest.approx([0.2, 0.0, -0.2])

    def test_the_first_day_is_the_models_alone(self) -> None:
        assistant = ProPerAssistant("cold", train=False)
        assistant.reset(0)
        observation, _ = ProPerSimEnv(persona="p01").reset(seed=0)
        assert assistant._see(observation).memory is None


def test_the_control_never_learns_a_true_rating() -> None:
    assistant, steps, _ = lived(2, shuffle=True, decide="sample", by_memory=False, untrained_bias=-1.0)
    said = {step.tick: step for step in steps if step.text}
    first = [step for tick, step in said.items() if tick < 576]
    assert len(first) >= 5
    kept = assistant.recall.judged
    true = [step.rating for step in first]
    assert all(j.instant.tick < 576 for j in kept)  # the second day is not over: it has told nothing yet
    told = [next(j.marks.bit_count() for j in kept if j.delivered and j.instant.tick == step.tick) for step in first]
    assert told != true
    assert len(kept) > 100


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "others"
    spec = "proper:preset=amortised:train=false:ability=false:pool=2:remembered=2:show_share=0.2"
    plan = RunPlan(folder, (spec,), tuple(select_personas("3")), (0,), RunConfig(3))
    assert execute(plan, prepare(plan)) == []
    return folder


class TestMemoryPrior:
    def test_it_is_made_of_logs_and_can_be_used(self, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                capsys: pytest.CaptureFixture[str]) -> None:
        out = tmp_path / "prior.json"
        monkeypatch.setattr("sys.argv", ["memory_prior", str(logs), "--out", str(out)])
        memory_prior.main()
        table = capsys.readouterr().out
        made = prior(str(out))
        for mark, names in memory_prior.NAMES.items():
            assert mark in table
            assert (made.weights[mark] * signs(names) >= 0).all()
            assert made.trust[mark] in memory_prior.TRUSTS
        assert made.weights["timing"].tolist() != prior("neutral").weights["timing"].tolist()
        assert json.loads(out.read_text())["weights"]["timing"]["moments"] > 0
        ProPerAssistant("amortised", prior=str(out), train=False)

    @pytest.mark.parametrize(("arguments", "said"), [
        (["--out", "prior.txt"], "name a .json file"), (["--out", "prior.json"], "fewer than three personas")])
    def test_what_it_cannot_use_is_told(self, arguments: list[str], said: str, tmp_path: Path,
                                        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        folder = tmp_path / "silent"
        plan = RunPlan(folder, ("silent",), tuple(select_personas("3")), (0,), RunConfig(1))
        assert execute(plan, prepare(plan)) == []
        monkeypatch.setattr("sys.argv", ["memory_prior", str(folder), *arguments])
        with pytest.raises(SystemExit):
            memory_prior.main()
        assert said in capsys.readouterr().err
