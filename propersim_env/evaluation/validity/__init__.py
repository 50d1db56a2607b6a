"""The validity checks of the simulated user: measured values beside their thresholds.

Each check is a function of the size (``"small"``: all of them within a minute; ``"full"``: minutes). Thresholds and
reference tables are in ``data/validity.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from propersim_env.names import near_matches

from . import dose, gaming, identification, noise, ordering, population, reproducibility, routine, text, variants
from .values import Check, Size, Value

__all__ = ["CHECKS", "Check", "Size", "Value", "run"]

CHECKS: dict[str, Check] = {
    "V1": reproducibility.same_log, "V2": reproducibility.same_days, "V3": routine.occupancy, "V4": routine.bouts,
    "V5": population.traits, "V6": identification.telling_apart, "V7": identification.swapped, "V8": noise.retest,
    "V9": noise.receptivity, "V10": dose.rate, "V11": dose.habituation, "V12": dose.interruption, "V13": text.metamorphic,
    "V14": text.gaming, "gaming": gaming.tricks, "V15": ordering.order, "V16": ordering.headroom, "V17": variants.ranking,
    "noise-floor": ordering.noise_floor,
}


def title(name: str) -> str:
    """What a check is about, in a sentence."""
    first = (CHECKS[name].__doc__ or "").strip().splitlines()[0]
    return first.split(": ", 1)[-1] if first.startswith("V") else first


def run(
    names: Sequence[str] = (), size: Size = "small", begun: Callable[[str], None] | None = None,
    done: Callable[[str, Sequence[Value]], None] | None = None,
) -> list[Value]:
    """Run checks.

    Args:
        names: Of `CHECKS`; all of them by default.
        size: How much to simulate.
        begun: Called with the name of each check before it runs.
        done: Called with the name and the values of each check that has run.

    Raises:
        ValueError: An unknown name or size.
    """
    if size not in ("small", "full"):
        raise ValueError(f"size {size!r}: choose small or full")
    for name in names:
        if name not in CHECKS:
            raise ValueError(f"unknown check {name!r}: {near_matches(name, CHECKS)}")
    values: list[Value] = []
    for name in names or CHECKS:
        if begun is not None:
            begun(name)
        found = CHECKS[name](size)
        if done is not None:
            done(name, found)
        values += found
    return values
