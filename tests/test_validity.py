"""The validity checks themselves: small ones on every run, all of them in full with ``pytest -m slow``."""

import json
import math

import numpy as np
import pytest

from propersim_env.agents.users.simulated import SimulatedUsers
from propersim_env.cli import main
from propersim_env.evaluation import validity
from propersim_env.evaluation.validity import Value, card, noise, values, variants
from propersim_env.persona import load_persona

CHEAP = ["V1", "V2", "V3", "V4", "V5", "V7", "V8", "V9", "V10", "V11", "V12", "V13", "V14", "gaming"]


@pytest.mark.parametrize("check", CHEAP)
def test_small_checks_pass(check):
    failed = [(v.name, v.value, v.demanded()) for v in validity.run([check]) if v.passed is False]
    assert not failed


@pytest.mark.slow
@pytest.mark.parametrize("check", list(validity.CHECKS))
def test_full_checks_pass(check):
    failed = [(v.name, v.value, v.demanded()) for v in validity.run([check], "full") if v.passed is False]
    assert not failed


def test_every_reference_has_a_source():
    for name, entry in json.loads(values.FILE.read_text()).items():
        if name not in ("version", "about"):
            assert len(entry["source"]) > 10, name


def test_a_value_knows_whether_it_passes():
    def value(x, threshold, direction):
        return Value("V0", "x", x, threshold, direction, "").passed

    assert value(1.0, 1.0, "<=")
    assert not value(1.0, 1.0, "<")
    assert value(0.9, (0.85, 0.95), "within")
    assert not value(math.nan, 0.0, ">=")
    assert value(5.0, None, "equal") is None
    assert value(0, 0, "equal")


def test_unknown_checks_are_named():
    with pytest.raises(ValueError, match="unknown check 'V33'"):
        validity.run(["V33"])
    with pytest.raises(ValueError, match="small or full"):
        validity.run(["V1"], "medium")


def test_rank_statistics():
    assert noise.spearman(np.array([1.0, 2.0, 2.0, 3.0]), np.array([1.0, 2.0, 2.0, 9.0])) == pytest.approx(1)
    assert noise.auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0])) == pytest.approx(0.75)
    assert variants.kendall(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])) == pytest.approx(1 / 3)


def test_logistic_regression_finds_what_matters():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 2))
    y = (rng.random(4000) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(float)
    weights = noise.logistic(x, y)
    assert weights[1:] == pytest.approx([2.0, 0.0], abs=0.2)


def test_fresh_noise_leaves_the_day_alone():
    plans = []
    for number in (0, 1):
        users = SimulatedUsers(1, parameters={"noise_stream": number})
        users.reset(0, load_persona("p01"), 0)
        plans.append(users.residents[0].plan)
    assert not np.allclose(plans[0].noise, plans[1].noise)
    assert plans[0].noise.std() == pytest.approx(plans[1].noise.std(), rel=0.1)
    assert (plans[0].timing == plans[1].timing).all()
    assert plans[0].needs == plans[1].needs


def test_command_prints_values_and_writes_the_card(tmp_path, capsys):
    assert main(["validate", "--checks", "V11,V12", "--out", str(tmp_path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {v["check"] for v in printed["values"]} == {"V11", "V12"}
    assert all(v["passed"] for v in printed["values"])
    text = (tmp_path / "validity_card.md").read_text()
    for file, _ in card.FIGURES:
        assert f"images/{file}" in text
        assert (tmp_path / "images" / file).stat().st_size > 5000


def test_command_refuses_unknown_checks(capsys):
    assert main(["validate", "--checks", "V99"]) == 2
    assert "V99" in capsys.readouterr().err
