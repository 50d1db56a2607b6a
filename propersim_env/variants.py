"""Named variants of the simulation (``data/variants.json``): does a result outlive a change of the world?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from propersim_env.names import near_matches
from propersim_env.schema import DATA, DataError, read_json

FILE = DATA / "variants.json"
DEFAULTS: dict[str, Any] = {"days": 14, "reward": "rating", "feedback": "full"}
"""Options of an environment that a variant may set, with the values that hold without one."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What a variant is, and which options of the environment and of the simulated user it sets."""

    name: str
    about: str
    environment: Mapping[str, Any]
    user: Mapping[str, Any]


@lru_cache(maxsize=1)
def variants() -> dict[str, Variant]:
    """All variants by name.

    Raises:
        DataError: One has no source, or sets what no variant may set.
    """
    found = {}
    for name, entry in read_json(FILE)["variants"].items():
        environment, user = entry.get("environment", {}), entry.get("user", {})
        if not entry.get("source") or set(environment) - set(DEFAULTS):
            raise DataError(str(FILE), f"variants.{name}", "has no source, or sets an unknown option",
                            f"give a source; of the environment a variant may set {', '.join(DEFAULTS)}")
        found[name] = Variant(name, entry["about"], environment, user)
    return found


def settle(
    variant: str | None, user_options: Mapping[str, Any] | None = None, **given: Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options that hold: those given, else the variant's, else the defaults.

    Args:
        variant: Name, or None for no variant.
        user_options: Options of the user that were given.
        given: ``days``, ``reward`` and ``feedback`` as given; None where nothing was.

    Returns:
        Options of the environment (complete) and of the user.

    Raises:
        ValueError: No such variant; near matches are listed.

    Example:
        >>> settle("reactions-only", {"noise": 0}, days=3)
        ({'days': 3, 'reward': 'utility', 'feedback': 'reactions'}, {'noise': 0})
    """
    known = variants()
    if variant is not None and variant not in known:
        raise ValueError(f"unknown variant {variant!r}: {near_matches(variant, known)}; propersim variants lists them")
    chosen = known[variant] if variant is not None else Variant("", "", {}, {})
    environment = {**DEFAULTS, **chosen.environment, **{k: v for k, v in given.items() if v is not None}}
    return environment, {**chosen.user, **(user_options or {})}
