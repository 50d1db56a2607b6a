"""The simulated user's numbers, from ``parameters.json``: each value there stands beside its source."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from propersim_env.names import near_matches
from propersim_env.schema import DataError, read_json

FILE = Path(__file__).with_name("parameters.json")


@lru_cache(maxsize=1)
def _defaults() -> dict[str, Any]:
    table = read_json(FILE)
    for name, entry in table.items():
        if name not in ("version", "about") and not (isinstance(entry, dict) and entry.get("source")):
            raise DataError(str(FILE), name, "has no source", 'write {"value": …, "source": "…"}; an assumption says so')
    return {name: entry["value"] for name, entry in table.items() if name not in ("version", "about")}


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
