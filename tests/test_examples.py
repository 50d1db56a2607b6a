"""The examples run and show what they promise; the code, the commands and the links of the documentation work."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from propersim_env.cli import build_parser

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page, language):
    """Contents of the fenced blocks of a page, each with its first line number."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield text[: found.start(1)].count("\n") + 1, found[1]


def run_example(name):
    """Output of an example, run as a user would, with warnings as errors."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-W", "error", f"examples/{name}.py"], cwd=ROOT, text=True, capture_output=True, timeout=120,
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}, encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_every_example_is_tested():
    tested = set(re.findall(r'run_example\("(\w+)"\)', Path(__file__).read_text(encoding="utf-8")))
    assert tested == {path.stem for path in (ROOT / "examples").glob("*.py")}


def test_own_assistant_learns_when_to_speak():
    out = run_example("own_assistant")
    days = [float(utility) for utility in re.findall(r"^ +\d+ +(-?\d+\.\d+) +\d+\.\d$", out, re.MULTILINE)]
    assert len(days) == 10
    assert sum(days[-3:]) > sum(days[:3])
    assert re.search(r"HourLearner +utility +-?\d\.\d\d", out)


def test_own_user_rates_by_its_own_rules():
    out = run_example("own_user")
    heard = re.findall(r"^(\d\d:\d\d) .* (\d) of 4, (\w+): (.*)$", out, re.MULTILINE)
    assert heard == [
        ("09:30", "3", "dismiss", "the rule for timing is not met"),
        ("14:00", "4", "accept", "nothing to complain of"),
        ("14:20", "3", "dismiss", "the rule for frequency is not met"),
        ("18:00", "3", "dismiss", "the rule for preference is not met"),
    ]


def test_branches_differ_by_what_was_said_and_when():
    out = run_example("branch_and_compare")
    branches = {part.split("\n")[0]: re.findall(r"(\d\d:\d\d)  (\d) of 4", part) for part in out.split("\n\n")[1:]}
    ratings = {name: [int(rating) for _, rating in heard] for name, heard in branches.items()}
    assert ratings["a stretch"][0] > ratings["a stretch, pushed"][0]
    assert ratings["a stretch"][0] > ratings["a book"][0]
    assert branches["a stretch, after 20 min"][0][0] == "13:05"
    assert ratings["a stretch, after 20 min"][1] < ratings["a stretch"][1]  # too soon after it


def test_why_and_what_if_explains_one_moment():
    out = run_example("why_and_what_if")
    why, later, formal, rest = out.split("\n\n")
    margins = [float(m) for m in re.findall(r"margin ([+-]\d\.\d\d)", why)]
    marks = [int(m) for m in re.findall(r"^  \w+ ([01])", why, re.MULTILINE)]
    assert [int(m > 0) for m in margins] == marks
    assert "timing 0 -> 1: inside the wanted window 'around lunch'" in later
    assert "communication 1 -> 0: sounds formal" in formal
    assert re.search(r"best moment: 12:\d\d, 4 of 4", rest)
    low, high = map(int, re.search(r"from (\d) to (\d)", rest).groups())
    assert low < high


def test_two_agents_talk_for_a_day():
    out = run_example("two_agents")
    ratings = [int(rating) for rating in re.findall(r"^ +(\d) of 4, (?:accept|dismiss|ignore): \S", out, re.MULTILINE)]
    assert 4 <= len(ratings) <= 8
    assert "waking ticks, mean rating" in out


def test_vectorised_counts_texts_by_hour():
    out = run_example("vectorised")
    texts = [int(number) for number in re.findall(r"% of (\d+)$", out, re.MULTILINE)]
    total = int(re.search(r"decisions, ([\d,]+) texts", out)[1].replace(",", ""))
    assert 12 <= len(texts) <= 24
    assert 0.95 * total <= sum(texts) <= total


@pytest.mark.parametrize("page", [p for p in PAGES if any(blocks(p, "python"))], ids=lambda p: p.stem)
def test_code_of_the_documentation_runs(page, tmp_path, monkeypatch):
    """All blocks of a page in one namespace, in order, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": page.stem}
    with contextlib.redirect_stdout(io.StringIO()):
        for line, code in blocks(page, "python"):
            exec(compile("\n" * (line - 1) + code, str(page), "exec"), namespace)


def commands():
    """Every ``propersim`` command of the documentation and of the examples' docstrings."""
    for page in PAGES:
        for _, block in blocks(page, "sh"):
            for part in re.split(r"\n|&&", block):
                yield page.stem, part
        yield from ((page.stem, code) for code in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")))
    for path in (ROOT / "examples").glob("*.py"):
        yield from ((path.stem, code) for code in re.findall(r"``([^`]+)``", path.read_text(encoding="utf-8")))


COMMANDS = sorted({
    (where, arguments) for where, text in commands()
    if text.strip().startswith("propersim ") and (arguments := " ".join(shlex.split(text.partition(" > ")[0], comments=True)))
})


@pytest.mark.parametrize(("where", "command"), COMMANDS)
def test_commands_of_the_documentation_are_accepted(where, command):
    try:
        build_parser().parse_args(command.split()[1:])
    except SystemExit as refused:
        pytest.fail(f"{where}: {command!r} is refused with status {refused.code}")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_between_pages_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    targets = [t for t in re.findall(r"\]\(([^)#\s]+)", text) if not t.startswith("http")]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing, f"{page.name} points to what is not there: {missing}"


def test_every_page_is_linked_from_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [p.name for p in (ROOT / "docs").glob("*.md") if f"(docs/{p.name})" not in text] == []
