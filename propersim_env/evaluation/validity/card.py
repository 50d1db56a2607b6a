"""The validity card: all values beside their thresholds as a Markdown table, and three figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from propersim_env import __version__

from . import dose, routine
from .episodes import paced
from .values import Size, Value, references

ABOUT = """\
# Validity card

What the simulated user is held to, and what was measured (version {version}, size `{size}`). Written by
`propersim validate`; thresholds, tables and their sources are in `propersim_env/data/validity.json`, what each check does
in `propersim_env/evaluation/validity`. V17 covers the named variants
(`propersim variants`) and other sizes of its numbers. A row without a threshold is reported only.
"""
FIGURES = (("validity_occupancy.png", "Occupancy by hour, simulated and published"),
           ("validity_rate.png", "Utility against rate"),
           ("validity_habituation.png", "One category every day"))


def markdown(values: Sequence[Value], size: Size, images: str = "images") -> str:
    """The card as Markdown; figures are expected in the folder `images` beside it."""
    lines = [ABOUT.format(version=__version__, size=size), summary(values), "",
             "| check | what | value | passes when | passed | measured on |", "| --- | --- | ---: | --- | --- | --- |"]
    for v in values:
        lines.append(f"| {v.check} | {v.name} | {number(v.value)} | {v.demanded()} | {mark(v)} | {v.measured} |")
    lines += [line for file, title in FIGURES for line in ("", f"## {title}", "", f"![{title}]({images}/{file})")]
    return "\n".join(lines) + "\n"


def summary(values: Sequence[Value]) -> str:
    """How many of the checks that were run pass, and which do not."""
    checks = {v.check for v in values if v.passed is not None}
    failed = sorted({v.check for v in values if v.passed is False}, key=lambda c: (len(c), c))
    return f"{len(checks) - len(failed)} of {len(checks)} checks pass." + (f" Not yet: {', '.join(failed)}." if failed else "")


def number(value: float) -> str:
    """A value with as many digits as matter."""
    return "not reached" if np.isnan(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def mark(value: Value) -> str:
    """Passed, in a word."""
    return {True: "yes", False: "**no**", None: ""}[value.passed]


def figures(size: Size) -> dict[str, Any]:
    """The figures by file name (matplotlib figures).

    Raises:
        ImportError: matplotlib is missing.
    """
    from matplotlib.figure import Figure

    drawn = {}
    for (file, title), draw in zip(FIGURES, (_occupancy, _rate, _habituation), strict=True):
        figure = Figure((9, 5) if draw is _occupancy else (6, 4), layout="constrained")
        draw(figure, size)
        figure.suptitle(title)
        drawn[file] = figure
    return drawn


def _occupancy(figure: Any, size: Size) -> None:
    axes = figure.subplots(2, 3, sharex=True).ravel()
    for ax, (name, published) in zip(axes, references()["occupancy"].items(), strict=True):
        ax.step(range(24), published, where="mid", color="0.5", label="published")
        ax.step(range(24), routine.diary(size).hourly(name), where="mid", color="tab:blue", label="simulated")
        ax.set_title(name)
        ax.set_xticks(range(0, 24, 6))
    axes[0].legend()
    axes[3].set_xlabel("hour")
    axes[3].set_ylabel("percent of people")


def _rate(figure: Any, size: Size) -> None:
    results = dose.rates(size)
    ax = figure.subplots()
    earned = np.array([results.earned(paced(f))[0] for f in dose.FACTORS])
    middle, error = earned.mean(axis=1), 1.96 * earned.std(axis=1, ddof=1) / np.sqrt(earned.shape[1])
    ax.errorbar(dose.FACTORS, middle, error, marker="o")
    ax.axhline(0, color="0.5", lw=1)
    ax.axvline(1, color="0.5", lw=1, ls="--")
    ax.set_xscale("log", base=2)
    ax.set_xlabel("rate, as a multiple of the person's own")
    ax.set_ylabel("utility earned (95 % interval)")


def _habituation(figure: Any, size: Size) -> None:
    effect = dose.category_effect(size)
    ax = figure.subplots()
    ax.plot(range(len(effect) - 1), effect[:-1], marker=".")
    ax.plot([len(effect) - 2, len(effect) - 2 + dose.REST_DAYS], effect[-2:], marker="o", ls=":")
    ax.axhline(effect[0] / 2, color="0.5", lw=1, ls="--")
    ax.set_xlabel("day (dotted: a week of rest)")
    ax.set_ylabel("chance that the content is wanted")
    ax.set_ylim(0, 1)


def save(values: Sequence[Value], size: Size, folder: Path) -> list[Path]:
    """Write ``validity_card.md`` into a folder, and the figures into its folder ``images``."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    written = [folder / "validity_card.md"]
    written[0].write_text(markdown(values, size), encoding="utf-8")
    for file, figure in figures(size).items():
        figure.savefig(folder / "images" / file, dpi=110)
        written.append(folder / "images" / file)
    return written
