"""Fixtures shared by the tests. Everything is real: no part of the package is replaced."""

import pytest

from propersim_env.agents.users.simulated.compiled import text_reader
from propersim_env.persona import load_persona
from propersim_env.rubric import compile_rubric, document_from_words
from propersim_env.setting import load_setting


@pytest.fixture(scope="session")
def setting():
    return load_setting("house")


@pytest.fixture(scope="session")
def catalogue_texts(setting):
    return [entry.text for entry in setting.catalogue]


@pytest.fixture(scope="session")
def p01():
    return load_persona("p01")


@pytest.fixture(scope="session")
def reader(setting):
    return text_reader(setting)


@pytest.fixture(scope="session")
def compiled(reader):
    return lambda text: compile_rubric(document_from_words(text), reader)


@pytest.fixture
def wandb_offline(tmp_path, monkeypatch):
    """Weights & Biases keeping its runs under ``tmp_path / "wandb"`` and asking no network.

    The package reads the environment once a process, so what an earlier test made it read is taken down first.
    """
    wandb = pytest.importorskip("wandb", reason='wandb is not installed: pip install "propersim[wandb]"')
    for name, value in (("WANDB_MODE", "offline"), ("WANDB_DIR", str(tmp_path)), ("WANDB_SILENT", "true")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    wandb.teardown()
    yield tmp_path / "wandb"
    wandb.teardown()
