"""Comparisons as files: from the file to the page, and everything wrong in one is told before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from propersim_env.cli import main
from propersim_env.evaluation.spec import EXAMPLE, describe, read_spec
from propersim_env.schema import DataError

SPEC = """\
title = "Which is better?"
assistants = ["fixed-rate:per_day=3", "silent"]
personas = "test:2"
days = 1
seeds = 2
user_options = {noise = 0.0}
out = "OUT"
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(SPEC.replace("OUT", (tmp_path / "run").as_posix()))
    return file


def test_from_file_to_page(spec, tmp_path, capsys):
    assert main(["compare", str(spec)]) == 0
    assert "fixed-rate" in capsys.readouterr().out
    run = tmp_path / "run"
    config = json.loads((run / "run.json").read_text())["config"]
    assert config["assistants"] == ["fixed-rate:per_day=3", "silent", "oracle"]
    assert (config["seeds"], config["days"], config["splits"], config["user_options"]) == ([0, 1], 1, ["test"], {"noise": 0.0})
    assert "<title>Which is better?</title>" in (run / "report.html").read_text()
    assert (run / "compare.toml").read_text() == spec.read_text()
    logs = {path: path.stat().st_mtime_ns for path in run.glob("events-*")}
    assert len(logs) == 12
    assert main(["compare", str(run / "compare.toml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["seeds"] == 2
    assert {path: path.stat().st_mtime_ns for path in run.glob("events-*")} == logs


def test_declared_pairs_are_in_table_file_and_page(spec, tmp_path, capsys):
    spec.write_text('against = "silent"\npairs = [["oracle", "fixed-rate:per_day=3"]]\nby = "moment"\n' + spec.read_text())
    assert main(["compare", str(spec), "--json"]) == 0
    pairs = json.loads(capsys.readouterr().out)["pairs"]
    assert {p["by"] for p in pairs} == {"moment"}
    assert [(p["first"], p["second"]) for p in pairs] == [
        ("fixed-rate:per_day=3", "silent"), ("oracle", "silent"), ("oracle", "fixed-rate:per_day=3")]
    page = (tmp_path / "run" / "report.html").read_text()
    assert '"first":"oracle","second":"silent","by":"moment","verdict":' in page
    assert "Minimum detectable difference in moment score" in page


def test_a_dry_run_runs_nothing(spec, tmp_path, capsys):
    assert main(["compare", str(spec), "--dry-run"]) == 0
    assert "3 assistants x 2 people x 2 seeds x 1 days: 12 episodes" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_the_example_is_one(tmp_path, capsys):
    assert main(["compare", "--example"]) == 0
    file = tmp_path / "example.toml"
    file.write_text(capsys.readouterr().out)
    assert file.read_text() == EXAMPLE
    assert read_spec(file)["out"] == "runs/example"
    assert main(["compare", str(file), "--dry-run"]) == 0


@pytest.mark.parametrize(("change", "said"), [
    (("days = 1", "dasy = 1"), "did you mean 'days'"),
    (("days = 1", "days = 0"), "days of each episode"),
    (("days = 1", 'days = "two"'), "days"),
    (('"silent"', '"silnet"'), "did you mean 'silent'"),
    (("days = 1", 'against = "silnet"'), "did you mean 'silent'"),
    (("days = 1", 'pairs = [["silent"]]'), "pairs"),
    (("days = 1", 'by = "a_day"'), "utility"),
    (("per_day=3", "per_dya=3"), "it accepts"),
    (('"test:2"', '"tets:2"'), "did you mean 'test'"),
    (('"test:2"', '"p99"'), "p29"),
    (('"silent"', '"thompson-pooled", "silent"]\npersonas = "train:2"\nxs = ["'), "TOML"),
    (("seeds = 2", 'engine = "poool"'), "did you mean 'pool'"),
    (("noise = 0.0", "nosie = 0.0"), "noise"),
    (("seeds = 2", 'variant = "drift-abrup"'), "drift-abrupt"),
])
def test_what_is_wrong_is_told_before_anything_runs(change, said, spec, tmp_path, capsys):
    assert change[0] in spec.read_text()
    spec.write_text(spec.read_text().replace(*change))
    assert main(["compare", str(spec)]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_people_whom_an_assistant_knows_are_refused(spec, tmp_path, capsys):
    spec.write_text(spec.read_text().replace("test:2", "train:2").replace('"silent"', '"thompson-pooled"'))
    assert main(["compare", str(spec)]) == 2
    assert "has learned from 'train'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_missing_files_are_told(tmp_path, capsys):
    assert main(["compare", str(tmp_path / "none.toml")]) == 2
    assert main(["compare"]) == 2
    assert capsys.readouterr().err.count("--example") == 2


def test_every_key_is_described():
    assert all(len(about) > 10 for about in describe().values())
    with pytest.raises(DataError):
        read_spec(Path(__file__))
