"""``propersim run`` and ``report`` as a user meets them: in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from propersim_env.registry import make_assistant

COMMAND = [sys.executable, "-m", "propersim_env"]


def call(*arguments, **more):
    environment = {**os.environ, "COLUMNS": "140", "PYTHONPATH": str(Path(__file__).parents[1])}  # also if not installed
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=environment, **more)


def test_run_ends_with_a_table_a_picture_and_a_folder(tmp_path):
    done = call("run", "--assistants", "silent,random", "--personas", "2", "--days", "2", "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    for word in ("utility", "delivered score", "moment score", "missed needs", "oracle*", "silent", "learning_curve.png"):
        assert word in done.stdout
    assert (tmp_path / "run" / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    again = call("run", "--assistants", "silent,random", "--personas", "2", "--days", "2", "--out", str(tmp_path / "run"))
    assert "6 of 6 episodes are finished already" in again.stderr
    assert again.stdout == done.stdout


def test_json_is_all_there_is_on_standard_output(tmp_path):
    done = call("run", "--assistants", "silent", "--personas", "p05", "--days", "1", "--seeds", "2", "--json",
                "--out", str(tmp_path / "run"))
    result = json.loads(done.stdout)
    assert {a["name"] for a in result["assistants"]} == {"silent", "oracle"}
    assert result["seeds"] == 2
    silent = next(a for a in result["assistants"] if a["name"] == "silent")
    assert silent["utility"]["mean"] == 0.0
    assert silent["delivered"]["mean"] is None
    report = json.loads(call("report", str(tmp_path / "run"), "--json").stdout)
    assert report["assistants"] == result["assistants"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_interrupting_is_clean_and_can_be_resumed(tmp_path, workers):
    def arguments(folder):
        return ["run", "--assistants", "always", "--personas", "8", "--days", "14", "--workers", workers, "--no-oracle",
                "--out", str(tmp_path / folder)]

    process = subprocess.Popen([*COMMAND, *arguments("run")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "run").glob("events-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to go on" in errors
    assert "Traceback" not in errors
    assert call(*arguments("run")).returncode == 0
    assert call(*arguments("undisturbed")).returncode == 0

    def logs(folder):
        return {f.name: f.read_bytes() for f in (tmp_path / folder).glob("events-*")}

    assert logs("run") == logs("undisturbed")


@pytest.mark.parametrize(("arguments", "message"), [
    (["run", "--assistants", "slient"], "did you mean 'silent'"),
    (["run", "--assistants", "random:p"], "write name:key=value"),
    (["run", "--assistants", "random:q=1"], "it accepts: p, setting"),
    (["run", "--personas", "p00"], "did you mean"),
    (["run", "--days", "99999"], "days=99999 is not between"),
    (["run", "--timeout", "-5"], "no number of seconds above 0"),
    (["run", "--assistants", "", "--no-oracle"], "no assistant is named"),
    (["run", "--days", "0"], "--days 0: must be at least 1"),
    (["run", "--user", "simulatd"], "did you mean 'simulated'"),
    (["run", "--user-option", "nois=1"], "it accepts: noise"),
    (["run", "--user", "human", "--personas", "1"], "propersim play --as user"),
    (["run", "--out", "/dev/null/run"], "cannot write to"),
    (["report", "no_such_folder"], "is no run folder"),
])
def test_bad_input_is_refused_in_one_line(tmp_path, arguments, message):
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", ["run", "report", "personas", "play", "check", "benchmark"])
def test_help_teaches(command):
    done = call(command, "--help")
    assert done.returncode == 0
    assert "examples:" in done.stdout


def test_hostile_names_and_messages_are_printed_as_they_are(tmp_path):
    (tmp_path / "mine.py").write_text(
        "class A:\n    def __init__(self, x=''): pass\n    def reset(self, seed): print('hello from me')\n"
        "    def act(self, observation): raise ValueError('bad [/x] \\ud800 tag')\n"
        "class B(A):\n    def act(self, observation): return ''\n")
    arguments = ["run", "--assistants", f"{tmp_path}/mine.py:A,{tmp_path}/mine.py:B:x=[/a]", "--personas", "1", "--days", "1",
                 "--out", str(tmp_path / "[/o]")]
    done = call(*arguments)
    assert done.returncode == 1
    assert "bad [/x] \\ud800 tag" in done.stderr
    assert "mine.py:B:x=[/a]" in done.stdout.replace("│", "").replace("\n", "") or "x=[/a]" in done.stdout
    assert "bad [/x]" in call("report", str(tmp_path / "[/o]")).stderr
    assert json.loads(call(*arguments, "--json").stdout)["failures"]


def test_third_party_packages_add_names(tmp_path, monkeypatch):
    """A package that declares an entry point is found by name, as an installed one would be."""
    (tmp_path / "their_package.py").write_text(
        "class Polite:\n    def reset(self, seed): pass\n    def act(self, observation): return 'Good day.'\n")
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[propersim.assistants]\npolite = their_package:Polite\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert make_assistant("polite").act("") == "Good day."
