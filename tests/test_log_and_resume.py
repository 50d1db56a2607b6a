"""The event log: nothing is lost, nothing can be changed unnoticed, and a killed run ends as an undisturbed one."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from propersim_env.episode import log_name
from propersim_env.evaluation import report, runner
from propersim_env.evaluation.runner import RunError, RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig
from propersim_env.log import EpisodeLog, LogError, read_episode
from propersim_env.messages import Rating
from propersim_env.persona import select_personas

SLOW_ASSISTANT = '''
import time
class Slow:
    """Speaks now and then, and takes its time."""
    def reset(self, seed): self.n = seed % 7
    def act(self, observation):
        time.sleep(0.0005)
        self.n += 1
        return "How about a walk in the garden?" if self.n % 50 == 0 else ""
'''


def plan(folder, assistants=("random",), personas="p01,p02,p03", days=2, seeds=(0,)):
    return RunPlan(folder, tuple(assistants), tuple(select_personas(personas)), seeds, RunConfig(days))


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_every_decision_is_in_the_log(tmp_path):
    p = plan(tmp_path / "run", ["always", "silent", "random:p=0.1"])
    assert execute(p, prepare(p)) == []
    for path in (tmp_path / "run").glob("events-*.jsonl"):
        episode = read_episode(path)
        ticks = [d.tick for d in episode.decisions()]
        assert ticks == sorted(set(ticks))
        assert len(ticks) == episode.end["decisions"]
        texts = [d.text for d in episode.decisions()]
        assert all(texts) == ("always" in path.name)
        assert any(texts) != ("silent" in path.name)
        for event in episode.said():
            assert event["rating"] == int(event["marks"], 16).bit_count()
            assert set(event["reasons"]) == {"preference", "timing", "frequency", "communication"}


def test_same_bytes_whatever_the_number_of_workers(tmp_path):
    runs = []
    for workers in (1, 2, 3):
        p = plan(tmp_path / str(workers), ["random", "oracle"], personas="5", days=1)
        assert execute(p, prepare(p), workers) == []
        runs.append(contents(p.folder))
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.35, 0.5, 0.77, 0.999])
def test_resume_from_any_byte(tmp_path, share):
    """A log cut at any byte is gone on with, and ends with the same bytes."""
    p = plan(tmp_path / "run", ["random:p=0.05"])
    execute(p, prepare(p))
    whole = contents(p.folder)
    rng = np.random.default_rng(int(share * 1000))
    for path in p.folder.glob("events-*.jsonl"):
        data = path.read_bytes()
        path.write_bytes(data[: min(len(data) - 1, int(len(data) * share) + int(rng.integers(50)) * (share > 0))])
    units = prepare(p)
    assert len(units) == 3
    assert execute(p, units) == []
    assert contents(p.folder) == whole


@pytest.mark.parametrize("moment", [0.4, 0.9])
def test_kill_minus_nine(tmp_path, moment):
    """The command itself, killed without warning, then run again."""
    (tmp_path / "slow.py").write_text(SLOW_ASSISTANT)

    def command(out):
        return [sys.executable, "-m", "propersim_env", "run", "--assistants", f"{tmp_path}/slow.py:Slow", "--no-oracle",
                "--personas", "p01,p02,p03,p04", "--days", "1", "--workers", "1", "--out", str(tmp_path / out), "--json"]

    subprocess.run(command("undisturbed"), check=True, capture_output=True)
    process = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    logs = list((tmp_path / "killed").glob("events-*.jsonl"))
    deadline = time.monotonic() + 60
    size = sum(f.stat().st_size for f in (tmp_path / "undisturbed").glob("events-*.jsonl"))
    while sum(f.stat().st_size for f in logs) < size * moment and time.monotonic() < deadline:
        time.sleep(0.01)
        logs = list((tmp_path / "killed").glob("events-*.jsonl"))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {f.name: f.read_bytes() for f in logs}
    assert any(b'"event":"end"' not in data for data in before.values())
    subprocess.run(command("killed"), check=True, capture_output=True)
    after = contents(tmp_path / "killed")
    assert after == contents(tmp_path / "undisturbed")
    assert all(after[name].startswith(data) for name, data in before.items())


def test_finished_units_are_skipped(tmp_path):
    p = plan(tmp_path / "run")
    execute(p, prepare(p))
    stamps = {f: f.stat().st_mtime_ns for f in p.folder.iterdir()}
    assert prepare(p) == []
    assert {f: f.stat().st_mtime_ns for f in p.folder.iterdir()} == stamps


@pytest.mark.parametrize(("old", "new", "message"), [
    (b'"rating":', b'"rating": ', "was edited"),
    (b'"event":"day","day":1', b'"event":"day","day":9', "was edited"),
    (b'"reaction":"', b'"reaction":', "is no event"),
    (b'{"event":"begin","format":1', b'{"event":"begin","format":7', "format 7"),
])
def test_an_edited_log_is_named(tmp_path, old, new, message):
    p = plan(tmp_path / "run", ["always"], personas="p01")
    execute(p, prepare(p))
    path = next(p.folder.glob("events-*.jsonl"))
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(LogError, match=message) as error:
        read_episode(path)
    assert path.name in str(error.value)
    with pytest.raises(LogError):
        prepare(p)


def test_a_truncated_log_is_named_with_its_place(tmp_path):
    p = plan(tmp_path / "run", personas="p01")
    execute(p, prepare(p))
    path = next(p.folder.glob("events-*.jsonl"))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(LogError, match=r"truncated: it stops in day \d, near \d\d:\d\d"):
        read_episode(path)
    partial = read_episode(path, allow_incomplete=True)
    assert not partial.complete
    assert list(partial.decisions())


def test_an_edit_before_the_place_of_resumption_is_found(tmp_path):
    p = plan(tmp_path / "run", ["random:p=0.05"], personas="p01")
    execute(p, prepare(p))
    path = next(p.folder.glob("events-*.jsonl"))
    data = path.read_bytes()[:-500].replace(b'"marks":"f', b'"marks":"e', 1)
    path.write_bytes(data)
    failures = None
    with pytest.raises(LogError, match="line 3 is not what this run gives"):
        failures = execute(p, prepare(p))
    assert failures is None


def test_another_run_in_the_same_folder_is_refused(tmp_path):
    p = plan(tmp_path / "run")
    execute(p, prepare(p))
    with pytest.raises(RunError, match="days: 2 there, 3 now"):
        prepare(plan(tmp_path / "run", days=3))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    with pytest.raises(RunError, match="is not empty and holds no run"):
        prepare(plan(tmp_path / "other"))


def test_folder_and_disk_are_checked_before_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write to"):
        prepare(plan(tmp_path / "file" / "run"))
    with pytest.raises(RunError, match="MB free and this run may need"):
        prepare(plan(tmp_path / "run", personas="all", days=3650, seeds=tuple(range(1000))))
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_disk_that_fills_up_is_an_error_and_can_be_resumed(tmp_path):
    """Files may not grow beyond 100,000 bytes here: writing fails in the middle of the run, as on a full disk."""
    command = [sys.executable, "-m", "propersim_env", "run", "--assistants", "always", "--no-oracle", "--personas", "p01",
               "--days", "1", "--workers", "1", "--out", str(tmp_path / "run")]

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    full = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True)
    assert full.returncode == 2
    assert "File too large; free some space and run the same command again to go on" in full.stderr
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0
    assert read_episode(next((tmp_path / "run").glob("events-*.jsonl"))).complete


def test_log_accepts_any_text(tmp_path):
    log = EpisodeLog(tmp_path / "events-x.jsonl", {"assistant": "x"})
    texts = ["\ud800 lone", "\x00", "line\nbreak", "🙂" * 1000, '"}\n{"event":"end"}']
    for i, text in enumerate(texts):
        log.silence(2 * i, 15)
        log.said(2 * i + 1, text, Rating(i, "accept", {"timing": text}, {}))
    log.end("horizon", 10)
    assert [e["text"] for e in read_episode(log.path).said()] == texts


def test_kill_minus_nine_of_the_parent_leaves_no_worker_writing(tmp_path):
    """Started again at once, while the workers of the killed run may still be ending."""
    command = [sys.executable, "-m", "propersim_env", "run", "--assistants", "always", "--no-oracle", "--personas", "16",
               "--days", "7", "--workers", "2", "--out"]
    subprocess.run([*command, str(tmp_path / "undisturbed")], check=True, capture_output=True)
    process = subprocess.Popen([*command, str(tmp_path / "killed")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "killed").glob("events-*"))) < 6 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run([*command, str(tmp_path / "killed")], check=True, capture_output=True)

    def logs(folder):
        return {f.name: f.read_bytes() for f in (tmp_path / folder).glob("events-*")}

    assert logs("killed") == logs("undisturbed")


def test_two_runs_in_one_folder_at_once_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "LOCK_SECONDS", 0.05)
    p = plan(tmp_path / "run")
    units = prepare(p)
    with runner._locked(p.folder), pytest.raises(RunError, match="another process is running in"):
        execute(p, units)
    assert execute(p, units) == []


def test_a_log_in_anothers_place_is_found(tmp_path):
    p = plan(tmp_path / "run")
    execute(p, prepare(p))
    first, second = sorted(p.folder.glob("events-*"))[:2]
    second.write_bytes(first.read_bytes())
    with pytest.raises(LogError, match="it was copied there"):
        prepare(p)
    with pytest.raises(LogError, match="it was copied there"):
        report.summarise(p.folder)


def test_junk_after_the_end_is_found(tmp_path):
    p = plan(tmp_path / "run", personas="p01")
    execute(p, prepare(p))
    path = next(p.folder.glob("events-*"))
    with path.open("ab") as file:
        file.write(b"junk")
    with pytest.raises(LogError, match="goes on after its end event"):
        execute(p, prepare(p))


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"config": {"assistants": 3}}'])
def test_a_damaged_run_file_is_named(tmp_path, content):
    p = plan(tmp_path / "run")
    prepare(p)
    (p.folder / "run.json").write_text(content)
    with pytest.raises(RunError, match=r"run.json is damaged"):
        prepare(p)


def test_what_a_killed_start_left_is_no_obstacle(tmp_path):
    (tmp_path / "run").mkdir()
    for name in (".probe", ".lock", ".run.json.123"):
        (tmp_path / "run" / name).write_text("")
    assert len(prepare(plan(tmp_path / "run"))) == 3


def test_different_assistants_never_share_a_log():
    names = {log_name(a, "p01", 0) for a in ("a/b.py:K", "a_b.py:K", "x" * 300, "x" * 301, "Ж", "Я", "silent")}
    assert len(names) == 7
    assert all(len(name) < 140 for name in names)
    assert "events-silent-p01-s0.jsonl" in names


def test_run_json_tells_what_was_run(tmp_path):
    p = plan(tmp_path / "run")
    prepare(p)
    run = json.loads((p.folder / "run.json").read_text())
    assert run["config"]["assistants"] == ["random"]
    assert set(run["config"]["personas"]) == {"p01", "p02", "p03"}
    assert {"gymnasium", "pettingzoo", "numpy"} <= set(run["packages"])
