"""Fixtures shared by the tests. Everything is real: no part of the package is replaced."""

import pytest

from propersim_env.persona import load_persona
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
