"""What every check returns: measured values beside their thresholds; and the reference numbers they are held to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

from propersim_env.persona import Persona
from propersim_env.population import sample_persona
from propersim_env.registry import make_users
from propersim_env.schema import DATA, read_json, sourced_values
from propersim_env.setting import load_setting

Size = Literal["small", "full"]
Direction = Literal["<=", ">=", "<", ">", "within", "equal"]
FILE = DATA / "validity.json"


@dataclass(frozen=True, slots=True)
class Value:
    """One measured value.

    Attributes:
        check: ``"V1"``…, ``"gaming"`` or ``"noise floor"``.
        name: What was measured, in a few words.
        value: The measurement.
        threshold: A number, or (low, high) where the direction is ``"within"``; None where nothing is demanded.
        direction: How the value must stand to the threshold.
        measured: On what: how many personas, days, cases.
    """

    check: str
    name: str
    value: float
    threshold: float | tuple[float, float] | None
    direction: Direction
    measured: str

    @property
    def passed(self) -> bool | None:
        """Whether the value meets its threshold; None where there is none. NaN never passes."""
        limit, value = self.threshold, self.value
        if limit is None:
            return None
        if math.isnan(value):
            return False
        if isinstance(limit, tuple):
            return bool(limit[0] <= value <= limit[1])
        met = {"<=": value <= limit, ">=": value >= limit, "<": value < limit, ">": value > limit}
        return bool(met.get(self.direction, value == limit))

    def as_json(self) -> dict[str, Any]:
        """JSON values; `passed` included."""
        data = asdict(self) | {"passed": self.passed}
        return data | {"value": None if math.isnan(self.value) else float(self.value)}

    def demanded(self) -> str:
        """The threshold in words."""
        if self.threshold is None:
            return "(reported)"
        if isinstance(self.threshold, tuple):
            return f"{self.threshold[0]:g} to {self.threshold[1]:g}"
        return f"{'=' if self.direction == 'equal' else self.direction} {self.threshold:g}"


Check = Callable[[Size], list[Value]]


@lru_cache(maxsize=1)
def references() -> dict[str, Any]:
    """Reference tables and thresholds by name, from ``data/validity.json``; each has a source there."""
    return sourced_values(read_json(FILE), str(FILE))


def threshold(name: str) -> Any:
    """One threshold: a number, or a tuple (low, high)."""
    value = references()["thresholds"][name]
    return tuple(value) if isinstance(value, list) else value


@lru_cache(maxsize=4)
def sampled(n: int, seed: int = 0) -> tuple[Persona, ...]:
    """The first n personas of a sampled population."""
    setting = load_setting("house")
    return tuple(sample_persona(seed, i, setting) for i in range(n))


def residents(personas: Sequence[Persona], seed: int = 0, **options: Any) -> Any:
    """The simulated users of these personas, each at the beginning of an episode with this seed."""
    users = make_users("simulated", len(personas), **options)
    for i, persona in enumerate(personas):
        users.reset(i, persona, seed)
    return users
