"""The oracle that sees no noise: better than content alone, below the one that sees how the dice fall."""

from __future__ import annotations

from pathlib import Path

import pytest

from propersim_env.evaluation.units import Batch, RunConfig, Unit
from propersim_env.log import read_episode
from propersim_env.population import sample_persona
from propersim_env.registry import make_assistant
from propersim_env.setting import load_setting


def test_expected_oracle_lies_between_half_of_the_knowledge_and_the_oracle(tmp_path: Path) -> None:
    persona = sample_persona(5, 1, load_setting("house"))
    earned = {}
    for name in ("oracle", "expected-oracle", "content-oracle"):
        batch = Batch([Unit(name, persona, 3)], RunConfig(days=4), tmp_path)
        assert batch.run() == []
        batch.close()
        said = read_episode(batch.units[0].log_path(tmp_path)).said()
        earned[name] = sum((event["rating"] - 2) / 2 for event in said)
    assert earned["content-oracle"] < earned["expected-oracle"] < earned["oracle"]


def test_worth_is_checked() -> None:
    with pytest.raises(ValueError, match="worth=3 is not between"):
        make_assistant("expected-oracle", worth=3)
