"""ProPerAssistant with its embedded language model: it decides, writes, learns at night, and resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason='needs pip install "propersim[train]"')
pytest.importorskip("trl", reason='needs pip install "propersim[train]"')

import torch

from propersim_env.agents.assistants.proper.ability import Ability, general_ability
from propersim_env.agents.assistants.proper.assistant import ProPerAssistant
from propersim_env.agents.assistants.proper.from_logs import moments_of
from propersim_env.agents.assistants.proper.pairs import Moment, Option, pairs_of
from propersim_env.agents.assistants.proper.policy import Policy, shared_policy
from propersim_env.agents.assistants.proper.presets import preset
from propersim_env.agents.assistants.proper.train import TrainSettings, train
from propersim_env.evaluation.units import Batch, RunConfig, Unit
from propersim_env.log import read_episode
from propersim_env.population import sample_persona
from propersim_env.setting import load_setting

QUICK = "proper:preset=amortised:replay=small:training=small-cpu:show_share=0.1:bias=2"
HOUSE = load_setting("house")


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other are slower on a busy machine
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return shared_policy("embedded-amortised")


def prompt(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


NOW = "Thursday 09:42. listening to a programme about folk songs (kitchen), for 10 min."
GOOD, BAD = (f"{NOW}\nLast said 4 h ago, load 0.7.\nMoment {m}, rate {r}."
             for m, r in (("9/9", "9/9"), ("0/9", "0/9")))


def run(folder: Path, personas: int, days: int, spec: str = QUICK) -> Batch:
    units = [Unit(spec, sample_persona(1, i, HOUSE), i) for i in range(personas)]
    batch = Batch(units, RunConfig(days=days), folder)
    assert batch.run() == []
    batch.close()
    return batch


class TestPolicy:
    def test_it_speaks_where_ratings_like_these_were_good(self, policy: Policy) -> None:
        good, bad = policy.speak_log_odds([prompt(GOOD), prompt(BAD)], ["", ""])
        assert good > bad + 2

    def test_the_untrained_base_does_not_care(self) -> None:
        good, bad = shared_policy("embedded").speak_log_odds([prompt(GOOD), prompt(BAD)], ["", ""])
        assert abs(good - bad) < 0.5

    def test_what_is_computed_together_is_what_is_computed_alone(self, policy: Policy) -> None:
        together = policy.speak_log_odds([prompt(GOOD), prompt(BAD)], ["", ""])
        alone = [policy.speak_log_odds([prompt(text)], [""])[0] for text in (GOOD, BAD)]
        assert together == pytest.approx(alone, abs=1e-3)
        written = policy.write([prompt(GOOD), prompt(BAD)], ["", ""], 3, [1, 2], 0.5)
        again = policy.write([prompt(BAD)], [""], 3, [2], 0.5)
        assert [w.answer for w in written[1]] == [w.answer for w in again[0]]

    def test_texts_are_whole_and_carry_no_plan(self, policy: Policy) -> None:
        written = policy.write([prompt(GOOD)], [""], 24, [3], 0.5)[0]
        texts = [w.answer.text for w in written if not w.answer.malformed]
        assert len(texts) >= 22
        assert not any(text.startswith("(") for text in texts)

    def test_general_ability_is_a_number(self, policy: Policy) -> None:
        ability = general_ability(policy, "")
        assert ability["perplexity"] > 1
        assert 0 <= ability["questions"] <= 1


class Counting(Policy):
    """A policy that counts its batches."""

    passes = 0

    def log_probabilities(self, prompts: Any, ends: Any, names: Any) -> list[float]:
        self.passes += -(-len(prompts) // self.batch)
        return super().log_probabilities(prompts, ends, names)


class TestAbility:
    def test_it_takes_one_batch_however_small(self, policy: Policy) -> None:
        for batch in (64, 8):
            counting = Counting(policy.base, batch=batch)
            assert general_ability(counting, "")["perplexity"] > 1
            assert counting.passes == 1

    def test_nights_tell_the_base_once_and_measure_only_new_adapters(self, policy: Policy) -> None:
        counting, ability = Counting(policy.base), Ability()
        first = ability.night(counting, "x", None)
        assert first == {**first["base"], "base": general_ability(policy, "")}
        assert ability.night(counting, "x", None) == first["base"]
        assert counting.passes == 1
        ability.night(counting, "x", Path("another"))
        assert counting.passes == 2


def test_a_large_model_reads_prompts_from_where_they_differ_and_decides_and_writes_alike(
        policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    import propersim_env.agents.assistants.proper.policy as module

    monkeypatch.setattr(module, "SMALL", 0)
    large = Policy(policy.base)
    whole = [f"{NOW}\nMoment {m}." for m in ("9/9", "5/9, and a longer line than the other", "0/9")]
    for texts in (whole[:1], whole[1:], whole):
        prompts, nobody = [prompt(text) for text in texts], [""] * len(texts)
        assert large.speak_log_odds(prompts, nobody) == pytest.approx(policy.speak_log_odds(prompts, nobody), abs=1e-3)
        written = [p.write(prompts, nobody, 2, list(range(len(texts))), 0.5) for p in (policy, large)]
        assert [[w.answer for w in row] for row in written[0]] == [[w.answer for w in row] for row in written[1]]
    before = large.tokens_read
    large.speak_log_odds([prompt(whole[0])], [""])
    assert 0 < large.tokens_read - before < len(large.encode(prompt(whole[0]))) / 2
    monkeypatch.setattr(policy, "_choices", [[4, 5, 6], [4, 7]])  # answers that begin alike
    large._choices = policy._choices
    both = [p.speak_log_odds([prompt(t) for t in whole], [""] * 3) for p in (policy, large)]
    assert both[0] == pytest.approx(both[1], abs=1e-3)


def test_what_was_read_with_another_adapter_is_not_reused(policy: Policy, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    import propersim_env.agents.assistants.proper.policy as module

    adapter = tmp_path / "a"
    moment = Moment(0, (prompt(GOOD)[0],), (Option("Some tea?", 0, 0, True),))
    pairs = pairs_of([moment] * 8)[0]
    train(policy.base, pairs, adapter, TrainSettings.preset("embedded", batch=8, learning_rate=1e-2))
    monkeypatch.setattr(module, "SMALL", 0)
    small, large = policy, Policy(policy.base)
    odds = []
    try:
        for folder in (None, adapter, None):
            for one in (small, large):
                one.assign("x", folder)
            mine = [one.speak_log_odds([prompt(GOOD), prompt(BAD)], ["x", "y"]) for one in (small, large)]
            assert mine[1] == pytest.approx(mine[0], abs=1e-3)
            odds.append(mine[1])
    finally:
        for one in (small, large):
            one.assign("x", None)
    assert odds[1][0] < odds[0][0] - 0.5
    assert odds[1][1] == pytest.approx(odds[0][1], abs=1e-3)
    assert odds[2] == pytest.approx(odds[0], abs=1e-3)


def test_a_run_learns_at_night_and_a_rerun_finds_the_nights_adapter(tmp_path: Path) -> None:
    batch = run(tmp_path, 1, 2)
    log = batch.units[0].log_path(tmp_path)
    episode = read_episode(log)
    notes = list(episode.notes())
    assert len(notes) == 1
    assert notes[0]["adapter"] == "day-001"
    assert notes[0]["kept"] >= 4
    assert notes[0]["base"] == general_ability(shared_policy("embedded-amortised"), "")
    assert notes[0]["perplexity"] > 1
    assert 0 <= notes[0]["questions"] <= 1
    assert any(decision.alternatives for decision in episode.decisions())
    adapter = next(tmp_path.glob("assistants/*/day-001/adapter_model.safetensors"))
    trained = adapter.stat().st_mtime_ns
    whole = log.read_bytes()
    log.write_bytes(whole[: len(whole) * 2 // 3])
    run(tmp_path, 1, 2)
    assert log.read_bytes() == whole
    assert adapter.stat().st_mtime_ns == trained


def test_logs_become_the_prompts_that_were_seen(tmp_path: Path) -> None:
    batch = run(tmp_path, 1, 1, QUICK + ":train=false")
    moments = list(moments_of(read_episode(batch.units[0].log_path(tmp_path)), preset("amortised").recall))
    pairs, counts = pairs_of(moments)
    assert counts.decision == len(moments)
    assert pairs
    assert "Nothing said yet" in moments[0].messages[-1]["content"]


def test_a_wrong_preset_is_told() -> None:
    with pytest.raises(ValueError, match="amortised"):
        ProPerAssistant(preset="amortized")
