"""Logs in other formats: written, read back with the library of that format, and compared with the log."""

import gc
import importlib.util
import json
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logged_runs import AGENTS, make_run, seal

import propersim_env
from propersim_env.agents.assistants.proper import trl_data
from propersim_env.agents.assistants.proper.from_logs import moments_of
from propersim_env.agents.assistants.proper.pairs import Scheme, kto_examples, pairs_of
from propersim_env.agents.assistants.proper.presets import preset
from propersim_env.cli import main
from propersim_env.evaluation.relive import observations
from propersim_env.export import minari_dataset, parquet
from propersim_env.export.source import Places, utf8
from propersim_env.log import LogError, read_episode
from propersim_env.messages import DIMENSIONS


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    base = tmp_path_factory.mktemp("runs")
    (base / "own.py").write_text(AGENTS)
    return base


@pytest.fixture(scope="module")
def run(base):
    return make_run(base / "a", ["fixed-rate", "silent", f"{base / 'own.py'}:Own"])


def episodes_of(*places):
    return [source.episode for source in Places(places).read()]


def refused(capsys, *arguments):
    assert main(list(map(str, arguments))) == 2
    return " ".join(capsys.readouterr().err.split())


def need(*names):
    for name in names:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


# Parquet


def test_parquet_reads_back_into_the_same_decisions(run, tmp_path, capsys):
    need("pyarrow")
    out = tmp_path / "a.parquet"
    assert main(["export", str(run), "--to", "parquet", "--out", str(out)]) == 0
    logged, read = episodes_of(run), list(parquet.read(out))
    assert [e.episode for e in read] == [e.path.stem.removeprefix("events-") for e in logged]
    for there, log in zip(read, logged, strict=True):
        assert there.decisions == tuple(log.decisions())
        assert (there.begin, there.end) == (log.begin, log.end)
        assert list(there.observations) == [observation for observation, _ in observations(log)]
    decisions = [d for log in logged for d in log.decisions()]
    printed = capsys.readouterr().out
    assert f"9 episodes, {len(decisions):,} decisions, {sum(bool(d.text) for d in decisions)} texts" in printed
    assert f"{sum(len(d.alternatives) for d in decisions)} alternatives" in printed
    assert parquet.about(out)["runs"]["a"] == json.loads((run / "run.json").read_text())


def test_parquet_has_the_documented_columns(run, tmp_path):
    need("pyarrow")
    import pyarrow.parquet

    out = tmp_path / "a.parquet"
    parquet.write(Places([run]).read(), out, {})
    table = pyarrow.parquet.read_table(out)
    assert table.column_names == list(parquet.COLUMNS)
    page = (Path(__file__).parent.parent / "docs" / "logs_and_exports.md").read_text()
    assert [name for name in parquet.COLUMNS if f"`{name}`" not in page] == []
    assert table.schema.field("tick").metadata == {b"about": b"absolute: 576 a day, 2.5 minutes each"}
    rows = [row for row in table.to_pylist() if row["rating"] is not None]
    assert len(rows) == table.num_rows
    for row in rows:
        assert row["rating"] == sum(row[name] for name in DIMENSIONS)
        assert row["day"] == row["tick"] // 576 and row["propensity"] is None and row["told"]
        assert (row["reaction"] == "none") == (row["text"] == "")
        assert row["time"] in row["observation"]
        assert all(o["rating"] == sum(o[name] for name in DIMENSIONS) for o in row["alternatives"])
    assert [r["step"] for r in rows if r["episode"] == rows[0]["episode"]] == list(range(sum(
        r["episode"] == rows[0]["episode"] for r in rows)))


def test_what_was_kept_back_and_what_failed_shows(base, tmp_path):
    need("pyarrow")
    import pyarrow.parquet

    some = make_run(base / "some", ["fixed-rate:per_day=20"], days=1, feedback="sampled:0.5")
    moody = make_run(base / "moody", ["fixed-rate:per_day=20"], days=1, user=f"{base / 'own.py'}:Moody")
    out = tmp_path / "both.parquet"
    counts = parquet.write(Places([some, moody]).read(), out, {})
    rows = pyarrow.parquet.read_table(out).to_pylist()
    told = [row["told"] for row in rows if row["run"] == "some" and row["text"]]
    assert 0 < sum(told) < len(told)
    assert not any(row["told"] for row in rows if row["run"] == "some" and not row["text"])
    failed = [row for row in rows if row["failure"]]
    assert counts.unrated == len(failed) > 5
    assert all(row["run"] == "moody" and row["rating"] is row["timing"] is row["reaction"] is None for row in failed)
    assert [e.decisions for e in parquet.read(out)] == [tuple(e.decisions()) for e in episodes_of(some, moody)]


TEXTS = st.text(st.characters(), min_size=1, max_size=40) | st.just("half \ud83d of it")


@settings(max_examples=12, deadline=None)
@given(said=st.dictionaries(st.integers(0, 250), TEXTS, max_size=12), seed=st.integers(0, 99))
def test_any_text_survives(tmp_path_factory, said, seed):
    """But for halves of surrogate pairs, which UTF-8 cannot hold: they are counted."""
    need("pyarrow")
    folder = tmp_path_factory.mktemp("any")
    env = propersim_env.ProPerSimEnv(persona="p03", days=1, log_dir=folder, log_as="any")
    env.reset(seed=seed)
    over, number = False, 0
    while not over:
        *_, terminated, truncated, _ = env.step(said.get(number, ""))
        over, number = terminated or truncated, number + 1
    counts = parquet.write(Places([folder]).read(), folder / "any.parquet", {}, with_observations=False)
    [there], [log] = parquet.read(folder / "any.parquet"), episodes_of(folder)
    assert counts.replaced == sum(utf8(d.text) != d.text for d in log.decisions())
    for a, b in zip(there.decisions, log.decisions(), strict=True):
        if utf8(b.text) == b.text:
            assert a == b
        else:
            assert (a.text, a.marks, a.tick) == (utf8(b.text), b.marks, b.tick)


def test_a_log_that_cannot_be_lived_again_goes_without_observations(base, run, tmp_path, capsys):
    need("pyarrow")
    path = next(run.glob("events-fixed-rate-p01-*"))
    older = tmp_path / path.name
    older.write_text(path.read_text().replace('"rubric":2', '"rubric":1', 1))
    assert "does not match the SHA-256" in refused(capsys, "export", older, "--to", "parquet", "--out", tmp_path / "x")
    seal(older)
    assert "rubric version 1" in refused(capsys, "export", older, "--to", "parquet", "--out", tmp_path / "x")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # nothing half written
    out = tmp_path / "older.parquet"
    assert main(["export", str(older), "--to", "parquet", "--without-observations", "--out", str(out)]) == 0
    [there] = parquet.read(out)
    assert there.decisions == tuple(read_episode(older).decisions())
    assert set(there.observations) == {None} and there.begin["rubric"] == 1


def test_a_propensity_in_the_log_is_a_column(run, tmp_path):
    need("pyarrow")
    path = next(run.glob("events-fixed-rate-p02-*"))
    noted = tmp_path / path.name
    noted.write_text(path.read_text().replace('"event":"said",', '"event":"said","propensity":0.25,'))
    seal(noted)
    parquet.write(Places([noted]).read(), tmp_path / "a.parquet", {}, with_observations=False)
    [there] = parquet.read(tmp_path / "a.parquet")
    assert there.decisions == tuple(read_episode(noted).decisions())
    assert {d.event["propensity"] for d in there.decisions if d.text} == {0.25}


def test_one_episode_is_in_memory_at_a_time(run, tmp_path):
    need("pyarrow", "minari", "PIL")
    read, most = [], []

    def sources():
        for source in Places([run]).read():
            read.append(weakref.ref(source.episode))
            yield source
            gc.collect()
            most.append(sum(episode() is not None for episode in read))

    parquet.write(sources(), tmp_path / "a.parquet", {})
    minari_dataset.write(sources(), tmp_path / "minari", "some-v0")
    trl_data.write(sources(), tmp_path / "a.jsonl", "trl-dpo", preset("cold").recall)
    assert len(most) == 27 and max(most) <= 2  # a loop variable still holds the one before


def test_other_parquet_files_are_refused(tmp_path):
    need("pyarrow")
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(LogError, match="propersim export did not write"):
        list(parquet.read(tmp_path / "other.parquet"))
    (tmp_path / "no.parquet").write_text("x" * 50)
    with pytest.raises(LogError, match="is no Parquet file"):
        list(parquet.read(tmp_path / "no.parquet"))


# Minari


def test_minari_gives_back_what_the_environment_gave(run, tmp_path, monkeypatch):
    """Loaded by Minari; then its environment is stepped with the actions of the dataset, and must give its steps."""
    need("minari", "pyarrow", "PIL")
    import minari

    assert main(["export", str(run), "--to", "minari", "--out", str(tmp_path)]) == 0
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    data = minari.load_dataset("propersim/a-v0")
    logged = episodes_of(run)
    assert (data.total_episodes, data.total_steps) == (len(logged), sum(e.end["decisions"] for e in logged))
    about = list(data.storage.get_episode_metadata(range(len(logged))))
    assert [m["sha256"] for m in about] == [e.end["sha256"] for e in logged]
    env = data.recover_environment()
    for episode, meta, log in zip(data.iterate_episodes(), about, logged, strict=True):
        decisions = list(log.decisions())
        assert episode.actions == [d.text for d in decisions]
        assert episode.rewards.tolist() == [d.rating for d in decisions]
        assert all(o in data.observation_space for o in episode.observations)
        assert all(a in data.action_space for a in episode.actions)
        observation, info = env.reset(seed=meta["seed"], options=meta["options"])
        assert (observation, info["tick"]) == (episode.observations[0], episode.infos["tick"][0])
        for k, action in enumerate(episode.actions):
            observation, reward, terminated, truncated, info = env.step(action)
            assert (observation, reward) == (episode.observations[k + 1], episode.rewards[k])
            assert (terminated, truncated) == (episode.terminations[k], episode.truncations[k])
            assert info["tick"] == episode.infos["tick"][k + 1] and info["reaction"] == episode.infos["reaction"][k + 1]
            assert list(info["marks"].values()) == episode.infos["marks"][k + 1].tolist()
        assert terminated or truncated


def test_minari_keeps_back_what_was_kept_back(base, tmp_path, monkeypatch, capsys):
    need("minari", "pyarrow", "PIL")
    import minari

    reactions = make_run(base / "reactions", ["fixed-rate:per_day=20"], days=1, feedback="reactions")
    assert "--reward rating" in refused(capsys, "export", reactions, "--to", "minari", "--out", tmp_path, "--reward", "rating")
    assert main(["export", str(reactions), "--to", "minari", "--out", str(tmp_path), "--dataset", "less-v3"]) == 0
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    for episode, log in zip(minari.load_dataset("less-v3").iterate_episodes(), episodes_of(reactions), strict=True):
        worth = {"accept": 1.0, "ignore": 0.0, "dismiss": -1.0}
        assert episode.rewards.tolist() == [worth[d.event["reaction"]] if d.text else 0.0 for d in log.decisions()]
        assert (episode.infos["marks"][1:] == -1).all()


def test_minari_takes_one_world(base, run, tmp_path, capsys):
    need("minari", "pyarrow", "PIL")
    other = make_run(base / "noiseless", ["silent"], days=2, user_options={"noise": 0})
    assert "a Minari dataset has one environment" in refused(capsys, "export", run, other, "--to", "minari", "--out", tmp_path)
    assert "Malformed dataset ID" in refused(capsys, "export", run, "--to", "minari", "--out", tmp_path, "--dataset", "a b")
    assert list(tmp_path.rglob("*")) == []
    assert main(["export", str(run), "--to", "minari", "--out", str(tmp_path), "--assistant", "silent"]) == 0
    again = ["export", run, "--to", "minari", "--out", tmp_path, "--assistant", "silent"]
    assert "replace it with --replace" in refused(capsys, *again)
    assert main([*map(str, again), "--replace", "--json"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed[printed.index("{\n") :])["episodes"] == 3


# TRL


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("scheme", ["moment", "total", "paper"])
def test_preferences_are_the_pairs_that_train_makes(run, tmp_path, capsys, scheme):
    out = tmp_path / "pairs.jsonl"
    assert main(["export", str(run), "--to", "trl-dpo", "--scheme", scheme, "--out", str(out), "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)
    rows, expected, tied = lines(out), [], 0
    for log in episodes_of(run):
        moments = list(moments_of(log, preset("cold").recall))
        pairs, counts = pairs_of(moments, replace(Scheme.preset(scheme), spelt_out=True))
        plain, as_trained = pairs_of(moments, scheme)
        assert counts == as_trained
        assert [(p.margin, p.kind, p.tick) for p in pairs] == [(p.margin, p.kind, p.tick) for p in plain]
        expected += [(log, p) for p in pairs]
        tied += counts.tied
    assert len(expected) > 20 and (counted["rows"], counted["tied"]) == (len(expected), tied)
    for row, (log, pair) in zip(rows, expected, strict=True):
        assert row["prompt"] == list(pair.messages)
        assert row["chosen"] == [{"role": "assistant", "content": pair.chosen}]
        assert row["rejected"] == [{"role": "assistant", "content": pair.rejected}]
        assert (row["margin"], row["kind"], row["tick"]) == (pair.margin, pair.kind, pair.tick)
        assert (row["persona"], row["assistant"]) == (log.begin["persona"]["id"], log.begin["assistant"])
        assert (row["run"], row["rubric"]) == ("a", 2)
        for answer in (pair.chosen, pair.rejected):
            assert answer == "SILENT" or answer.startswith("SAY: ")


def test_answers_are_the_examples_that_train_makes(run, tmp_path):
    out = tmp_path / "answers.jsonl"
    assert main(["export", str(run), "--to", "trl-kto", "--out", str(out)]) == 0
    expected = [e for log in episodes_of(run)
                for e in kto_examples(list(moments_of(log, preset("cold").recall)), delivered_only=False)]
    assert [(r["prompt"], r["completion"][0]["content"], r["label"], r["tick"]) for r in lines(out)] == [
        (list(e.messages), e.completion, e.desirable, e.tick) for e in expected]
    assert 0 < sum(r["label"] for r in lines(out)) < len(expected)


def test_runs_without_comparisons_give_an_empty_file_and_say_so(base, tmp_path, capsys):
    quiet = make_run(base / "quiet", ["silent"], days=1)
    out = tmp_path / "none.jsonl"
    assert main(["export", str(quiet), "--to", "trl-dpo", "--assistant", "silent", "--out", str(out)]) == 0
    assert "the file is empty" in capsys.readouterr().out and out.read_text() == ""


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("to", "kind"), [("trl-dpo", "DPO"), ("trl-kto", "KTO")])
def test_the_trainers_of_trl_take_a_batch(run, tmp_path, monkeypatch, to, kind):
    """One step with the embedded model, from the file as the datasets library reads it."""
    need("torch", "trl", "peft", "datasets")
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRL_EXPERIMENTAL_SILENCE"):
        monkeypatch.setenv(name, "1")
    out = tmp_path / "rows.jsonl"
    assert main(["export", str(run), "--to", to, "--out", str(out), "--assistant", "fixed-rate", "--model", "embedded"]) == 0
    program = f"""
import datasets, trl
from propersim_env.agents.assistants.proper.models import load_base
rows = datasets.load_dataset("json", data_files={str(out)!r}, split="train", cache_dir={str(tmp_path / 'cache')!r})
base = load_base("embedded")
config = trl.{kind}Config(output_dir={str(tmp_path / 'made')!r}, max_steps=1, per_device_train_batch_size=4, use_cpu=True,
                          bf16=False, gradient_checkpointing=False, report_to=[], save_strategy="no", logging_steps=1)
trainer = trl.{kind}Trainer(model=base.model, args=config, train_dataset=rows, processing_class=base.tokenizer)
kept = len(trainer.train_dataset)
trainer.train()
print("kept", kept, len(rows), trainer.state.log_history[0]["loss"] > 0)
"""
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=170, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"kept {len(lines(out))} {len(lines(out))} True" in done.stdout


def test_prompts_with_a_budget_of_tokens_need_a_model(run, tmp_path, capsys):
    name = next(name for name in propersim_presets() if preset(name).recall.context_tokens)
    message = refused(capsys, "export", run, "--to", "trl-dpo", "--preset", name, "--out", tmp_path / "x")
    assert "--model" in message and not (tmp_path / "x").exists()


def propersim_presets():
    from propersim_env.agents.assistants.proper.presets import preset_names

    return preset_names()


# What cannot work


@pytest.mark.parametrize(("options", "message"), [
    (["--to", "trl-kto", "--scheme", "paper"], "--scheme is for --to trl-dpo, not for trl-kto"),
    (["--to", "trl-dpo", "--dataset", "x-v0"], "--dataset is for --to minari"),
    (["--to", "trl-dpo", "--scheme", "papr"], "did you mean 'paper'"),
    (["--to", "trl-dpo", "--preset", "colt"], "did you mean 'cold'"),
    (["--to", "trl-kto", "--assistant", "fixed"], "did you mean 'fixed-rate'"),
])
def test_what_cannot_work_is_refused_before_any_work(run, tmp_path, capsys, options, message):
    assert message in refused(capsys, "export", run, "--out", tmp_path / "out", *options)
    assert list(tmp_path.iterdir()) == []


def test_places_that_are_no_runs_or_taken_are_refused(run, tmp_path, capsys):
    to = ["--to", "trl-dpo", "--out", tmp_path / "out"]
    assert "no such folder or file" in refused(capsys, "export", tmp_path / "nothing", *to)
    (tmp_path / "empty").mkdir()
    assert "a folder without logs" in refused(capsys, "export", tmp_path / "empty", *to)
    assert "named twice" in refused(capsys, "export", run, run, *to)
    (tmp_path / "file").write_text("mine")
    assert "exists: choose another path" in refused(capsys, "export", run, "--to", "trl-dpo", "--out", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    under = tmp_path / "file" / "out"
    assert "cannot be written" in refused(capsys, "export", run, "--to", "trl-dpo", "--out", under)
    assert main(["export", str(run), "--to", "trl-dpo", "--out", str(tmp_path / "file"), "--replace"]) == 0
    assert lines(tmp_path / "file")


def test_unfinished_episodes_are_left_out_and_named(base, tmp_path, capsys):
    part = make_run(base / "part", ["fixed-rate", "silent"], days=1)
    cut = next(part.glob("events-fixed-rate-p01-*"))
    cut.write_bytes(cut.read_bytes()[:-200])
    out = tmp_path / "out.jsonl"
    assert main(["export", str(part), "--to", "trl-kto", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert f"left out: {cut}" in printed.err.replace("\n", "") and "5 episodes" in printed.out
    assert "is truncated" in refused(capsys, "export", cut, "--to", "trl-kto", "--out", tmp_path / "x")


@pytest.mark.parametrize(("to", "package", "extra"), [("parquet", "pyarrow", "parquet"), ("minari", "minari", "minari")])
def test_a_missing_package_is_one_line_that_names_the_extra(run, tmp_path, capsys, monkeypatch, to, package, extra):
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert f'pip install "propersim[{extra}]"' in refused(capsys, "export", run, "--to", to, "--out", tmp_path / "x")


def test_the_dataset_id_comes_from_the_run(run, tmp_path):
    need("minari", "pyarrow", "PIL")
    minari_dataset.check_id(tmp_path, "propersim/a-v0", False)
    with pytest.raises(ValueError, match="Malformed"):
        minari_dataset.check_id(tmp_path, "propersim/ä ö-v0", False)


def test_provenance_says_where_a_row_is_from(run):
    source = next(Places([run]).read())
    assert trl_data.provenance(source) == {
        "run": "a", "episode": source.episode.path.stem.removeprefix("events-"), "rubric": 2, "seed": 0,
        "assistant": source.episode.begin["assistant"], "persona": source.episode.begin["persona"]["id"]}
