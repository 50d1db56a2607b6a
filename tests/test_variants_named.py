"""Named variants: what they set, where they are kept, and that one table never holds two of them."""

import json
import shutil

import gymnasium as gym
import pytest

import propersim_env
import propersim_env.variants as module
from propersim_env.cli import build_parser, main
from propersim_env.cli.run import plan_of
from propersim_env.evaluation.report import summarise
from propersim_env.log import LogError, read_episode
from propersim_env.schema import DataError
from propersim_env.variants import settle, variants
from propersim_env.vector import ProPerSimVectorEnv

RUN = ["run", "--personas", "p01", "--days", "1", "--assistants", "random", "--workers", "1"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Run folders of the default and of a variant."""
    made = {}
    for name in ("", "noiseless"):
        made[name] = tmp_path_factory.mktemp("runs") / (name or "default")
        assert main([*RUN, "--out", str(made[name]), *(["--variant", name] if name else [])]) == 0
    return made


def log_of(folder):
    (path,) = folder.glob("events-random-*")
    return path


def config_of(folder):
    return json.loads((folder / "run.json").read_text())["config"]


def test_a_run_keeps_the_name_and_what_it_stands_for(folders):
    config, begin = config_of(folders["noiseless"]), read_episode(log_of(folders["noiseless"])).begin
    assert (config["variant"], config["user_options"]) == ("noiseless", {"noise": 0.0})
    assert (begin["variant"], begin["user"]["options"]) == ("noiseless", {"noise": 0.0})
    assert config_of(folders[""])["variant"] is None
    assert "variant" not in read_episode(log_of(folders[""])).begin


def test_what_is_given_goes_before_what_the_variant_sets(tmp_path):
    assert main([*RUN, "--out", str(tmp_path / "run"), "--variant", "noiseless", "--user-option", "noise=0.5"]) == 0
    assert config_of(tmp_path / "run")["user_options"] == {"noise": 0.5}
    assert settle("cold-start", days=5)[0]["days"] == 5
    assert settle("sparse-ratings", feedback="delivered")[0] == {
        "persona": "p01", "days": 14, "reward": "utility", "feedback": "delivered"}


def test_a_folder_of_one_variant_takes_no_other(folders, capsys):
    assert main([*RUN, "--out", str(folders[""]), "--variant", "noiseless"]) == 2
    assert 'variant: null there, "noiseless" now' in capsys.readouterr().err


@pytest.mark.parametrize(("at", "other"), [("", "noiseless"), ("noiseless", "")])
def test_reports_refuse_to_mix_variants(folders, tmp_path, at, other):
    mixed = tmp_path / "mixed"
    shutil.copytree(folders[at], mixed)
    shutil.copy(log_of(folders[other]), mixed)  # the same name: assistant, persona and seed are the same
    with pytest.raises(LogError, match=r"variant is .* in run.json it is .*one table holds one variant"):
        summarise(mixed)


@pytest.mark.parametrize(("change", "key"), [
    (["--feedback", "reactions"], "feedback"), (["--reveal-persona"], "reveal_persona"),
    (["--user-option", "noise=2"], "user_options"),
])
def test_reports_look_at_the_options_not_only_at_the_name(folders, tmp_path, change, key):
    assert main([*RUN, "--out", str(tmp_path / "changed"), *change]) == 0
    assert summarise(tmp_path / "changed").days == 1
    shutil.copytree(folders[""], tmp_path / "mixed")
    shutil.copy(log_of(tmp_path / "changed"), tmp_path / "mixed")
    with pytest.raises(LogError, match=f"{key} is "):
        summarise(tmp_path / "mixed")


def test_every_view_takes_a_variant_and_keeps_its_name(tmp_path):
    single = gym.make("ProPerSim-v0", variant="follow-through", log_dir=tmp_path / "single", max_cycles=2)
    many = gym.make_vec("ProPerSim-v0", num_envs=1, variant="follow-through", log_dir=tmp_path / "many", max_cycles=2)
    two = propersim_env.env(variant="follow-through", log_dir=tmp_path / "two", max_cycles=3)
    both = propersim_env.parallel_env(variant="follow-through", log_dir=tmp_path / "both", max_cycles=3)
    single.reset(seed=0)
    many.reset(seed=0)
    two.reset(seed=0)
    both.reset(seed=0)
    for view in (single, many, two, both):
        assert view.unwrapped.user_options == {"follow_through": True}
        view.close()
    for folder in ("single", "many", "two", "both"):
        (path,) = (tmp_path / folder).glob("events-*")
        begin = read_episode(path, allow_incomplete=True).begin
        assert begin["variant"] == "follow-through"
        assert begin["user"] == {"name": "simulated", "options": {"follow_through": True}}


def test_a_cold_start_meets_someone_new_in_each_episode():
    env = propersim_env.ProPerSimEnv(variant="cold-start")
    texts = set()
    for seed in range(4):
        env.reset(seed=seed)
        texts.add(env.persona.describe())
        assert env.machine.horizon == 3 * 576
    assert len(texts) == 4
    many = ProPerSimVectorEnv(3, variant="cold-start")
    many.reset(seed=0)
    assert len({persona.describe() for persona in many.personas}) == 3
    fixed = propersim_env.ProPerSimEnv(variant="cold-start", persona="p02")
    fixed.reset(seed=0)
    assert fixed.persona.id == "p02"


def test_a_run_from_cold_has_as_many_new_people_as_are_bundled():
    def people(*arguments):
        plan = plan_of(build_parser().parse_args(["run", "--variant", "cold-start", *arguments]))
        assert plan.config.days == 3
        return [persona.id for persona in plan.personas]

    bundled = {p.id for p in propersim_env.select_personas("all")}
    assert len(people()) == len(bundled)
    assert not bundled & set(people())
    assert people("--personas", "p03") == ["p03"]


def test_a_variant_that_sets_what_it_may_not_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "variants.json"
    monkeypatch.setattr(module, "FILE", file)
    for entry, problem in (({"about": "a", "environment": {"days": 3}}, "has no source"),
                           ({"about": "a", "source": "assumption", "environment": {"seed": 3}}, "unknown option")):
        file.write_text(json.dumps({"variants": {"strange": entry}}))
        variants.cache_clear()
        with pytest.raises(DataError, match=problem):
            variants()
    monkeypatch.undo()
    variants.cache_clear()
    assert "cold-start" in variants()


def test_names_nearby_are_told():
    for make in (propersim_env.ProPerSimEnv, propersim_env.env, lambda variant: ProPerSimVectorEnv(1, variant=variant)):
        with pytest.raises(ValueError, match=r"unknown variant 'noisless': .*noiseless"):
            make(variant="noisless")


def test_the_list_names_what_each_variant_sets(capsys):
    assert main(["variants", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["sparse-ratings"]["environment"] == {"feedback": "sampled:0.3", "reward": "utility"}
    assert all(entry["environment"] or entry["user"] for entry in listed.values())
