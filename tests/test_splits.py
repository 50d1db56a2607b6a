"""Splits: who belongs to them, whom an assistant may not be evaluated with, and what the runner does about it."""

from __future__ import annotations

import json
import pickle
from math import hypot

import pytest

from propersim_env import splits
from propersim_env.baselines.thompson import Thompson, write_prior
from propersim_env.cli import main
from propersim_env.evaluation import report
from propersim_env.evaluation.runner import RunError, RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig
from propersim_env.persona import select_personas
from propersim_env.setting import load_setting

HOUSE = load_setting("house")


def ids(spec: str, **more: int) -> list[str]:
    return [p.id for p in select_personas(spec, **more)]


def plan(folder, assistants=("thompson-pooled",), spec="test:2", days=2, named=("test",), from_day=0, **more):
    return RunPlan(folder, assistants, tuple(select_personas(spec)), (0,), RunConfig(days, from_day=from_day), named, **more)


class TestPeople:
    def test_named_populations_are_apart(self):
        assert ids("train:2,dev:2,test:2") == ["s0-0000", "s0-0001", "s1-0000", "s1-0001", "s2-0000", "s2-0001"]
        numbers = [splits.split(name).population for name in ("train", "dev", "test", "more-train", "temporal")]
        assert len(set(numbers)) == len(numbers)

    def test_traits_do_not_overlap(self):
        inner, outer = ([hypot(*p.traits.values()) for p in select_personas(spec)] for spec in ("inner:20", "outer:20"))
        assert max(inner) <= 2.0 < 2.6 <= min(outer)

    def test_more_people_begin_with_the_same(self):
        assert ids("outer:9")[:4] == ids("outer:4")

    def test_hidden_people_are_new_each_time_and_can_be_had_again(self):
        first, second = ids("hidden:2"), ids("hidden:2")
        assert not set(first) & set(second)
        population = splits.hidden_population(first)
        assert population is not None and population >= 1000
        assert ids("hidden:2", hidden=population) == first
        assert splits.hidden_population(["s2-0001", "p01"]) is None

    @pytest.mark.parametrize(("spec", "said"), [
        ("tset:4", "did you mean 'test'"), ("test:0", "test:64"), ("test:-1", "test:64")])
    def test_mistakes_are_told(self, spec, said):
        with pytest.raises(ValueError, match=said):
            select_personas(spec)


class TestCatalogue:
    def test_parts_make_the_whole_and_share_topics_and_tones(self):
        known, new = load_setting("house@known"), load_setting("house@new")
        assert {t.id for t in known.catalogue} | {t.id for t in new.catalogue} == {t.id for t in HOUSE.catalogue}
        assert not {t.id for t in known.catalogue} & {t.id for t in new.catalogue}
        assert {(t.topic, t.tone) for t in known.catalogue} == {(t.topic, t.tone) for t in new.catalogue}
        assert len(known.catalogue) == 2 * len(new.catalogue)

    def test_they_survive_the_way_to_another_process(self):
        part = load_setting("house@new")
        assert pickle.loads(pickle.dumps(part)) is part

    def test_people_understand_all_of_it(self):
        with pytest.raises(ValueError, match="for assistants"):
            select_personas("2", "house@new")

    def test_a_prior_learned_with_all_texts_is_refused(self):
        with pytest.raises(ValueError, match="house@known"):
            Thompson(setting="house@new")

    def test_one_learned_with_the_others_is_not(self, tmp_path):
        write_prior(tmp_path / "known.npz", "inner", 3, 2, "house@known")
        assistant = Thompson(setting="house@new", prior=str(tmp_path / "known.npz"))
        assert assistant.learned_from == ("inner",)
        assert not splits.problem(assistant.learned_from, select_personas("outer:2"), ("outer",))


class TestWhoMayBeEvaluated:
    def test_people_it_has_learned_from_are_refused_however_they_are_named(self, tmp_path):
        for spec in ("train:1", "sampled:1", "inner:1"):
            with pytest.raises(RunError, match="it has learned from 'train'"):
                prepare(plan(tmp_path / "run", spec=spec, named=()))

    def test_others_are_not(self, tmp_path):
        assert prepare(plan(tmp_path / "run"))
        assert prepare(plan(tmp_path / "silent", assistants=("silent",), spec="train:2", named=("train",)))

    @pytest.mark.parametrize(("learned", "spec", "allowed"), [
        ((), "outer", True), (("inner",), "outer", True), (("train",), "outer", False), (("temporal",), "temporal", True),
        (("s4",), "temporal", False), (("inner",), "temporal", False), (("s77",), "test", True), (("s2",), "test", False),
        (("s2-0001",), "test", False), (("s2-0100",), "test", True), (("train", "dev"), "test", True)])
    def test_what_each_split_asks_for(self, learned, spec, allowed):
        assert bool(splits.problem(learned, select_personas(f"{spec}:4"), (spec,))) is not allowed

    def test_logs_say_whom_they_are_of(self):
        def lives(spec, days):
            return [({"id": p.id, "traits": p.traits}, days) for p in select_personas(spec)]

        assert splits.learned_from(lives("inner:3", 14)) == ("inner",)
        assert splits.learned_from(lives("train:30", 14)) == ("s0",)
        assert splits.learned_from(lives("temporal:3", 7)) == ("temporal",)
        assert splits.learned_from(lives("temporal:3", 8)) == ("s4",)
        assert splits.learned_from(lives("test:1,p01", 8)) == ("p01", "s2")

    def test_results_say_so_where_it_is_allowed(self, tmp_path):
        allowed = plan(tmp_path, ("thompson-pooled", "oracle"), "train:2", named=("train",), allow_seen=True)
        assert execute(allowed, prepare(allowed)) == []
        notes = report.as_json(report.summarise(tmp_path))["notes"]
        assert notes == ["people of train", "NOT a fair comparison: thompson-pooled has learned from some of these people"]


class TestRuns:
    def test_only_the_later_days_count(self, tmp_path):
        counted = {}
        for first in (0, 1):
            made = plan(tmp_path / str(first), ("fixed-rate", "oracle"), days=3, from_day=first)
            assert execute(made, prepare(made)) == []
            counted[first], _ = report.load_metrics(made.folder)
        for whole, later in zip(counted[0], counted[1], strict=True):
            assert later.days == 2
            assert later.utility.tolist() == whole.utility[1:].tolist()
            assert later.dimensions.tolist() == whole.dimensions[:, 1:].tolist()
        assert report.summarise(tmp_path / "1").days == 2

    def test_an_episode_that_ends_before_is_refused(self, tmp_path):
        with pytest.raises(RunError, match="day 8 on"):
            prepare(plan(tmp_path, days=7, from_day=7))

    def test_a_hidden_run_goes_on_with_the_same_people(self, tmp_path, capsys):
        command = ["run", "--assistants", "silent", "--personas", "hidden:2", "--days", "1", "--out", str(tmp_path / "run")]
        assert main(command) == 0
        people = json.loads((tmp_path / "run" / "run.json").read_text())["config"]["personas"]
        assert main(command) == 0
        assert "4 of 4 episodes are finished" in capsys.readouterr().err
        assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["personas"] == people

    def test_a_temporal_run_counts_the_second_week(self, tmp_path, capsys):
        assert main(["run", "--assistants", "silent", "--personas", "temporal:2", "--days", "9", "--out", str(tmp_path)]) == 0
        assert json.loads((tmp_path / "results.json").read_text())["days"] == 2
        assert "only days from the 8th on count" in capsys.readouterr().out
