"""Prompts for models that read prose: what they tell of the past, what has no room, and that logs give the same ones."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from propersim_env import ProPerSimEnv
from propersim_env.agents.assistants.proper.assistant import ProPerAssistant
from propersim_env.agents.assistants.proper.chronicle import Chronicle, Retold, reason_of, reasons_of
from propersim_env.agents.assistants.proper.from_logs import moments_of
from propersim_env.agents.assistants.proper.memory import Record
from propersim_env.agents.assistants.proper.models import EMBEDDED
from propersim_env.agents.assistants.proper.pairs import OF_CONTENT, pairs_of
from propersim_env.agents.assistants.proper.presets import preset
from propersim_env.agents.assistants.proper.recall import Recall, RecallSettings
from propersim_env.agents.assistants.proper.summaries import by_rule
from propersim_env.agents.users.simulated.encoder import Encoder
from propersim_env.clock import TICKS_PER_DAY, TICKS_PER_HOUR
from propersim_env.evaluation.living import live
from propersim_env.evaluation.relive import observations
from propersim_env.evaluation.units import Batch, RunConfig, Unit
from propersim_env.log import Episode, read_episode
from propersim_env.observation import Observation, read_observation
from propersim_env.persona import load_persona

Prompt = tuple[dict[str, str], ...]
NEEDS_TORCH = 'needs pip install "propersim[train]"'
PROSE = RecallSettings(context_tokens=100_000)
MORNING = 8 * TICKS_PER_HOUR


def words(text: str) -> int:
    """A count for tests that are not about tokens."""
    return len(text.split())


@pytest.fixture(scope="module")
def tokens() -> Any:
    """Tokens of a text, as the embedded language model reads it."""
    transformers = pytest.importorskip("transformers", reason=NEEDS_TORCH)
    tokenizer = transformers.AutoTokenizer.from_pretrained(EMBEDDED / "embedded")
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


@pytest.fixture(scope="module")
def episode(tmp_path_factory: pytest.TempPathFactory) -> Episode:
    """Two days with something said every hour or so."""
    return episode_of(tmp_path_factory.mktemp("logs"), "fixed-rate:per_day=12", 2)


def episode_of(folder: Path, spec: str, days: int) -> Episode:
    batch = Batch([Unit(spec, load_persona("p01"), 0)], RunConfig(days=days), folder)
    assert batch.run() == []
    batch.close()
    return read_episode(batch.units[0].log_path(folder))


def prompts(episode: Episode, settings: RecallSettings, count: Any = words) -> Iterator[tuple[Observation, Prompt, Recall]]:
    """Every decision of a log with its prompt; reasons are told at the day's end."""
    recall = Recall(settings, count=count)
    events: list[Mapping[str, Any]] = []
    for text, decision in observations(episode):
        seen = read_observation(text)
        if events and seen.day > events[-1]["tick"] // TICKS_PER_DAY:
            recall.told(reasons_of(events))
            events = []
        recall.see(seen)
        yield seen, recall.messages(seen), recall
        if decision.text:
            recall.spoke(seen, decision.text)
            event = decision.event or {}
            events.append({"tick": seen.tick, "text": decision.text, "marks": decision.marks, "reasons": event["reasons"]})


def last_of(episode: Episode, **changes: Any) -> str:
    """The prompt at the end of a log."""
    *_, (_, messages, _) = prompts(episode, replace(PROSE, **changes))
    return messages[-1]["content"]


class TestBudget:
    @pytest.mark.parametrize("instructions", [True, False])
    @pytest.mark.parametrize("budget", [330, 600, 1200])
    def test_no_prompt_has_more_tokens(self, episode: Episode, tokens: Any, budget: int, instructions: bool) -> None:
        settings = RecallSettings(context_tokens=budget, instructions=instructions)
        sizes = [sum(tokens(m["content"]) for m in messages) for _, messages, _ in prompts(episode, settings, tokens)]
        assert 0.8 * budget < max(sizes) <= budget

    def test_every_part_is_kept_or_counted_as_dropped(self, episode: Episode) -> None:
        *_, (_, _, tight) = prompts(episode, replace(PROSE, context_tokens=250))
        *_, (_, _, loose) = prompts(episode, PROSE)
        few, all_of_them = tight.notes()["prompt"], loose.notes()["prompt"]
        assert all_of_them["dropped"] == {}
        assert few["dropped"]["block"] > 0
        together = {kind: few["kept"].get(kind, 0) + few["dropped"].get(kind, 0) for kind in all_of_them["kept"]}
        assert together == all_of_them["kept"]
        assert tight.notes()["prompt"]["kept"] == {}

    def test_the_newest_records_are_kept(self, episode: Episode) -> None:
        shortened = 0
        tight = prompts(episode, replace(PROSE, context_tokens=200))
        for (_, few, _), (_, whole, _) in zip(tight, prompts(episode, PROSE), strict=True):
            kept, lines = ([x for x in m[-1]["content"].split("\n") if x.startswith("Lately")] for m in (few, whole))
            assert set(kept) <= set(lines)
            for older, newer in itertools.combinations(lines, 2):
                if older in kept and newer not in kept:  # only a longer one gives way to an older one
                    assert words(newer) > words(older)
            shortened += 0 < len(kept) < len(lines)
        assert shortened > 20

    def test_what_cannot_fit_is_refused(self, episode: Episode) -> None:
        with pytest.raises(ValueError, match=r"context_tokens=20 .* instructions"):
            next(prompts(episode, replace(PROSE, context_tokens=20)))

    @pytest.mark.parametrize(("changes", "needs"), [
        ({"context_tokens": 100}, "tokenizer"), ({"context_tokens": -1}, "context_tokens=-1"),
        ({"summaries": "poem"}, "summaries='poem'")])
    def test_settings_that_make_no_sense_are_refused(self, changes: Mapping[str, Any], needs: str) -> None:
        with pytest.raises(ValueError, match=needs):
            Recall(RecallSettings(**changes))

    def test_summaries_by_a_model_need_one(self) -> None:
        with pytest.raises(ValueError, match=r"complete=policy\.complete"):
            Recall(replace(PROSE, summaries="model"), count=words)

    def test_counts_alone_are_as_before(self, episode: Episode) -> None:
        counts = last_of(episode, context_tokens=0)
        assert "Remembered" not in counts
        assert all(line in last_of(episode) for line in counts.split("\n"))


class TestLevels:
    @pytest.mark.parametrize(("level", "said", "rated", "why"), [
        ("A", False, False, False), ("AS", True, False, False), ("ASC", True, True, False), ("ASCR", True, True, True)])
    def test_they_show_what_they_say(self, episode: Episode, level: str, said: bool, rated: bool, why: bool) -> None:
        shown = "\n".join(messages[-1]["content"] for seen, messages, _ in prompts(episode, replace(PROSE, level=level))
                          if seen.day == 1 and seen.tick % 20 == 0)
        assert "Remembered: " in shown
        assert "Lately: " in shown
        assert re.search(r"day \d\d:00-\d\d:00: ", shown)
        assert ("You said" in shown) == said
        assert ("Rated " in shown and " of 4" in shown) == rated
        assert ("Why: " in shown) == ("no mark for" in shown) == why

    def test_no_memory_shows_the_moment_alone(self, episode: Episode) -> None:
        assert last_of(episode, level="none").count("\n") == 0

    def test_nothing_hidden_is_kept(self, episode: Episode) -> None:
        *_, (_, _, recall) = prompts(episode, replace(PROSE, level="AS"))
        assert recall.chronicle is not None
        assert any(r.said for r in recall.chronicle.memory.records)
        assert all(r.rating is None and not r.marks and not r.reason for r in recall.chronicle.memory.records)

    def test_a_rating_kept_back_leaves_the_reaction(self) -> None:
        chronicle = Chronicle("ASC", Encoder.load(), "default", 1000, words)
        seen = Observation(MORNING, "reading a novel", "common room")
        chronicle.see(seen)
        chronicle.spoke(seen, "Tea?")
        chronicle.see(Observation(MORNING + 1, "reading a novel", "common room", reaction="dismiss"))
        assert chronicle.memory.records[-1].text("ASC").endswith('You said: "Tea?" Reaction: dismiss.')


class TestReasons:
    def test_marks_kept_back_are_explained(self) -> None:
        reasons = {"preference": "I like it.", "timing": "I was busy.", "frequency": "", "communication": "Too long."}
        assert reason_of(reasons, 0b0001) == "I was busy. Too long."
        assert reason_of(reasons, 0b1111) == "I like it."
        assert reasons_of([{"tick": 3, "text": "Tea?", "marks": None}, {"tick": 4, "text": "", "marks": 15}]) == {}

    def test_they_come_with_the_next_day_and_change_records_and_summaries(self) -> None:
        chronicle = Chronicle("ASCR", Encoder.load(), "default", 1000, words)
        evening = 20 * TICKS_PER_HOUR
        for tick in (evening, evening + TICKS_PER_HOUR, evening + 5 * TICKS_PER_HOUR):
            seen = Observation(tick, f"doing things at {tick}", "kitchen", marks=0b0001)
            chronicle.see(seen)
            chronicle.spoke(seen, f"How about number {tick}?")
        assert "no time" not in "\n".join(part.text for part in chronicle.parts(seen))
        chronicle.told({evening: "I had no time.", seen.tick: "I was asleep."})
        assert chronicle.summaries.blocks[-1].text.count("I had no time.") == 1
        shown = "\n".join(part.text for part in chronicle.parts(seen))
        assert "Why: I had no time." in shown
        chronicle.see(Observation(seen.tick + 1, "sleeping", "bedroom", marks=0b0001))
        assert "I was asleep." in [record.reason for record in chronicle.memory.records]


class TestSummaries:
    RECORDS = (Record(MORNING, "chopping onions", "A pinch of cumin?", 3), Record(MORNING + 4, "reading a novel"))

    def told(self, words_of_model: str, ended: bool = True, budget: Sequence[dict[str, str]] | None = None) -> tuple[str, Any]:
        asked: list[Sequence[dict[str, str]]] = []

        def complete(messages: Sequence[dict[str, str]], most: int) -> tuple[str, bool]:
            asked.append(messages)
            return words_of_model, ended

        retold = Retold(complete, words)
        text = retold(self.RECORDS, MORNING, MORNING + TICKS_PER_HOUR, "ASC")
        assert "A pinch of cumin?" in asked[0][-1]["content"]
        return text, retold.notes()

    def test_a_good_one_is_taken_on_one_line(self) -> None:
        text, notes = self.told("They cooked,\nthen read. ")
        assert text == "They cooked, then read."
        assert notes == {"by_model": 1, "by_rule": {}, "records_left_out": 0}

    @pytest.mark.parametrize(("bad", "ended", "why"), [
        ("  \n", True, "empty"), ("They cooked and", False, "cut off"), ("- 12 -", True, "no words"),
        ("They <|im_start|>user", True, "chat template"), ("cooked " * 99, True, "longer than")])
    def test_the_rule_takes_the_place_of_a_bad_one_and_that_is_counted(self, bad: str, ended: bool, why: str) -> None:
        text, notes = self.told(bad, ended)
        assert text == by_rule(self.RECORDS, MORNING, MORNING + TICKS_PER_HOUR, "ASC")
        assert notes["by_model"] == 0
        assert [why in reason for reason in notes["by_rule"]] == [True]

    def test_an_activity_that_goes_on_belongs_to_every_hour(self) -> None:
        chronicle = Chronicle("A", Encoder.load(), "default", 1000, words)
        for tick in range(MORNING + 12, MORNING + 3 * TICKS_PER_HOUR):
            chronicle.see(Observation(tick, "painting the shed", "garden"))
        assert len(chronicle.memory) == 1
        assert [part.kind for part in chronicle.parts(Observation(tick, "painting the shed", "garden"))] == [
            "hour", "hour", "running"]


class Noting:
    """Speaks by the clock, has the memory of ProPerAssistant, and keeps its prompts."""

    def reset(self, seed: int) -> None:
        self.recall = Recall(replace(PROSE, context_tokens=300), count=words)
        self.prompts: dict[int, Prompt] = {}

    def act(self, observation: str) -> str:
        seen = read_observation(observation)
        self.recall.see(seen)
        self.prompts[seen.tick] = self.recall.messages(seen)
        if seen.tick % 37:
            return ""
        self.recall.spoke(seen, "A pinch of cumin would lift that.")
        return "A pinch of cumin would lift that."

    def learn(self, events: Sequence[Mapping[str, Any]]) -> None:
        self.recall.told(reasons_of(events))


def test_logs_give_the_prompts_that_were_live(tmp_path: Path) -> None:
    noting = Noting()
    with ProPerSimEnv("p07", days=3, log_dir=tmp_path) as env:
        assert list(live(env, noting, 0))
    log = next(tmp_path.rglob("events-*.jsonl"))
    moments = list(moments_of(read_episode(log), replace(PROSE, context_tokens=300), count=words))
    assert len(moments) > 20
    assert all(moment.messages == noting.prompts[moment.tick] for moment in moments)
    assert any("Why: " in moment.messages[-1]["content"] for moment in moments)


class TestPresets:
    def test_prose_is_for_models_that_read_it(self) -> None:
        told = {name: preset(name) for name in ("smollm2", "gpu", "llama-70b", "gpu-as", "paper-prose")}
        assert all(p.recall.context_tokens > 0 for p in told.values())
        assert not any(preset(name).recall.context_tokens for name in ("cold", "amortised", "paper", "gpu-counts"))

    def test_the_persona_is_wanted_where_the_preset_says_so(self) -> None:
        recall = Recall(preset("persona-revealed").recall)
        seen = Observation(MORNING, "reading a novel", "common room")
        recall.see(seen)
        with pytest.raises(ValueError, match="--reveal-persona"):
            recall.messages(seen)
        assert recall.messages(replace(seen, persona="Ada, 40."))[-1]["content"].startswith("Ada, 40.\n")

    def test_a_persona_is_never_dropped(self) -> None:
        recall = Recall(replace(PROSE, persona=True), count=words)
        seen = Observation(MORNING, "reading a novel", "common room", persona=load_persona("p01").describe())
        recall.see(seen)
        assert recall.messages(seen)[-1]["content"].startswith(seen.persona)


class TestWithAModel:
    @pytest.fixture(autouse=True)
    def one_thread(self) -> Iterator[None]:
        torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
        pytest.importorskip("trl", reason=NEEDS_TORCH)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)

    def test_its_summaries_and_its_budget_are_in_the_notes(self, tmp_path: Path) -> None:
        assistant = ProPerAssistant("amortised", train=False, alternatives=0, bias=2.0, context_tokens=240, summaries="model")
        assistant.keep(tmp_path)
        with ProPerSimEnv("p01", days=2, max_cycles=360) as env:
            notes = next(step.learnt for step in live(env, assistant, 0) if step.learnt)
        assert 0 < notes["prompt"]["most_tokens"] <= 240
        assert notes["prompt"]["dropped"]
        assert notes["summaries"]["by_model"] + sum(notes["summaries"]["by_rule"].values()) >= 16

    def test_a_greedy_answer_is_the_same_twice_and_no_longer_than_asked(self) -> None:
        from propersim_env.agents.assistants.proper.policy import shared_policy

        policy = shared_policy("embedded-amortised")
        asked = [{"role": "user", "content": "Thursday 09:42. chopping onions (kitchen), for 10 min."}]
        short, ended = policy.complete(asked, 1)
        assert not ended
        assert policy.count(short) == 1
        assert policy.complete(asked, 60) == policy.complete(asked, 60)
        assert policy.complete(asked, 60)[0].startswith(short)

    def test_the_resident_rewrites_what_it_is_shown(self, tmp_path: Path) -> None:
        spec = "proper:preset=cold-user-revision:train=false:show_share=0.2"
        episode = episode_of(tmp_path, spec, 1)
        assert episode.begin["privileged"]
        shown = [d.alternatives for d in episode.decisions() if d.alternatives]
        revised = [alternatives for alternatives in shown if len(alternatives) > preset("cold").alternatives]
        assert len(revised) > 10
        assert all(after[-1][1] & OF_CONTENT == OF_CONTENT for after in revised)
        assert all(any(marks & OF_CONTENT != OF_CONTENT for _, marks in before[:-1]) for before in revised)
        pairs, _ = pairs_of(moments_of(episode, preset("cold").recall))
        own = {alternatives[-1][0] for alternatives in revised}
        assert sum(pair.chosen.strip() in own for pair in pairs if pair.kind == "content") >= len(revised)
