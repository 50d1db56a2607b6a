"""The simulated user's numbers, from ``parameters.json`` and ``stress.json``: each value there stands beside its source."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from propersim_env.names import near_matches
from propersim_env.schema import read_json, sourced_values

FILE = Path(__file__).with_name("parameters.json")
STRESS_FILE = Path(__file__).with_name("stress.json")
"""Numbers of the options that change who the resident is and how the days go: drift, absences, events, company."""


@lru_cache(maxsize=1)
def _defaults() -> dict[str, Any]:
    return {name: value for file in (FILE, STRESS_FILE) for name, value in sourced_values(read_json(file), str(file)).items()}


def load_parameters(changes: Mapping[str, Any] | None = None) -> SimpleNamespace:
    """All parameters as attributes, with some of them changed.

    Args:
        changes: Parameter name to value, for studies of sensitivity.

    Raises:
        ValueError: An unknown name; near matches are listed.
    """
    values = dict(_defaults())
    for name, value in (changes or {}).items():
        if name not in values:
            raise ValueError(f"unknown user parameter {name!r}: {near_matches(name, values)}")
        values[name] = value
    return SimpleNamespace(**values)
