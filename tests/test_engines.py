"""Whoever works through a run, its logs are the same; a worker that is killed costs no finished unit."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import pytest

from propersim_env.cli import main
from propersim_env.evaluation import report
from propersim_env.evaluation.engines import DIED, TWICE, batches, make_engine
from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig, Unit
from propersim_env.persona import select_personas

SEVERAL = ["pool", pytest.param("ray", marks=pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason='Ray is not installed: pip install "propersim[ray]"'))]
FATAL = '''
import os, signal
from pathlib import Path
class Fatal:
    """Says one text a day; of all its lives, one ends by a killed process at noon, as often as there are marks."""
    def __init__(self, folder, seed): self.folder, self.fatal = Path(folder), seed
    def reset(self, seed): self.seed = seed
    def act(self, observation):
        if "12:0" not in observation: return ""
        marks = sorted(self.folder.glob("mark-*")) if self.seed == self.fatal else []
        if marks:
            marks[0].unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return "Open a window."
'''


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One Ray for all tests, where it is installed: starting one takes seconds."""
    if importlib.util.find_spec("ray") is None:
        yield
        return
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def plan(folder: Path) -> RunPlan:
    return RunPlan(folder, ("fixed-rate", "thompson-pooled", "oracle"), tuple(select_personas("test:4")), (0,), RunConfig(1))


def logs(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("events-*.jsonl")}


@pytest.mark.parametrize("engine", SEVERAL)
def test_logs_are_the_same_and_progress_adds_up(engine, tmp_path):
    told = {}
    for name, workers in (("local", 1), (engine, 2)):
        steps: list[int] = []
        made = plan(tmp_path / name)
        assert execute(made, prepare(made), workers, steps.append, name) == []
        told[name] = sum(steps)
        assert prepare(made) == []
    assert logs(tmp_path / engine) == logs(tmp_path / "local")
    assert len(logs(tmp_path / "local")) == 12
    assert 0 < told[engine] <= told["local"]


def fatal(folder: Path, deaths: int) -> tuple[str, RunPlan]:
    """A run of six lives, in one of which the process is killed so many times."""
    from propersim_env.seeding import derive

    for k in range(deaths):
        (folder / f"mark-{k}").touch()
    (folder / "fatal.py").write_text(FATAL)
    people = select_personas("test:6")
    spec = f"{folder}/fatal.py:Fatal:folder={folder}:seed={derive(0, 'assistant', people[2].id)}"
    return spec, RunPlan(folder / "run", (spec, "oracle"), tuple(people), (0,), RunConfig(1))


@pytest.mark.parametrize("engine", SEVERAL)
def test_the_work_of_a_killed_worker_is_done_by_another(engine, tmp_path):
    _, made = fatal(tmp_path, deaths=1)
    assert execute(made, prepare(made), 2, None, engine) == []
    assert len(report.load_metrics(made.folder)[0]) == 12


@pytest.mark.parametrize("engine", SEVERAL)
def test_who_kills_every_worker_fails_and_the_others_do_not(engine, tmp_path):
    spec, made = fatal(tmp_path, deaths=9)
    failure, = execute(made, prepare(made), 2, None, engine)
    assert (failure.assistant, failure.persona, failure.kind, failure.message) == (spec, "s2-0002", DIED, TWICE)
    metrics, incomplete = report.load_metrics(made.folder)
    assert len(metrics) == 11
    assert len(incomplete) == 1
    for mark in tmp_path.glob("mark-*"):
        mark.unlink()
    assert execute(made, prepare(made), 2, None, engine) == []
    assert len(report.load_metrics(made.folder)[0]) == 12


def test_batches_hold_one_assistant_and_are_enough_for_all_workers():
    units = [Unit(name, persona, 0) for name in ("silent", "random") for persona in select_personas("test:5")]
    made = batches(units, 2)
    assert [u for part in made for u in part] == units
    assert all(len({u.assistant for u in part}) == 1 for part in made)
    assert len(made) >= 4


def test_an_unknown_engine_is_told(tmp_path, capsys):
    with pytest.raises(ValueError, match="did you mean 'ray'"):
        make_engine("rya", 2)
    command = ["run", "--assistants", "silent", "--personas", "test:1", "--days", "1", "--out", str(tmp_path / "run")]
    assert main([*command, "--engine", "poool"]) == 2
    assert "did you mean 'pool'" in capsys.readouterr().err


@pytest.mark.parametrize("engine", SEVERAL)
def test_the_command_takes_an_engine(engine, tmp_path, capsys):
    command = ["run", "--assistants", "silent", "--personas", "test:2", "--days", "1", "--out", str(tmp_path / "run"), "--json",
               "--workers", "2", "--engine", engine]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["personas"] == 2
