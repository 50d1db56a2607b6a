"""Results as tables for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from rich.box import HEAVY_HEAD, SIMPLE
from rich.console import Console
from rich.table import Table

from propersim_env.evaluation.comparison import Pair
from propersim_env.evaluation.metrics import COSTS
from propersim_env.evaluation.report import COLUMNS, HEADERS, AssistantResult, RunResult
from propersim_env.evaluation.standing import LAST
from propersim_env.evaluation.statistics import FEW, LEVEL, POWER, Interval

STAR = "\\*"
PAIR_HEADERS = ("mean", "interval", "p", "P(better)", "IQM", "MDD", "verdict")
MORE_HEADERS = ("IQM", f"last {LAST} days", "worst tenth", "regret", "days to 80%")


def cell(value: Interval, key: str, narrow: bool = False) -> str:
    """An interval as the table prints it: mean above; below it the interval, or where it is narrow half its width."""
    if np.isnan(value.mean):
        return "-"
    if np.isnan(value.low):
        return f"{value.mean:.2f}\nn={value.n}"
    percent = key in ("missed", "false_alarms")
    form = ".0%" if percent else ".1f" if max(abs(value.low), abs(value.high)) >= 20 else ".2f"
    below = f"±{(value.high - value.low) / 2:{form}}" if narrow else f"{value.low:{form}}..{value.high:{form}}"
    return f"{value.mean:{form}}\n{below}"


def table(result: RunResult, width: int = 200) -> Table:
    """The results as a table for a terminal of this width: where it is narrow, half widths and no false alarms."""
    fewer = [key for key in COLUMNS if key != "false_alarms"]
    every = list(COLUMNS)
    return _fitting(width, (_table(result, narrow, keys, folded) for narrow, keys, folded in
                            ((False, every, False), (False, every, True), (True, every, True), (True, fewer, True))))


def _table(result: RunResult, narrow: bool, keys: Sequence[str], folded: bool) -> Table:
    title = f"{result.personas} personas x {result.seeds} seed{'s' * (result.seeds > 1)} x {result.days} days\n" \
            f"mean over personas, {'half of its' if narrow else 'its'} 95% interval below"
    caption = ["* knows the resident (an oracle, or tuned in hindsight)", "2= a tie: not told apart from a neighbour",
               *result.notes]
    grid = _grid(title, narrow, result.results, caption)
    for key in keys:
        _number_column(grid, HEADERS[key], folded)
    for row in result.ranked:
        grid.add_row(row.place.label, _name(row), *[cell(row.columns[key], key, narrow) for key in keys])
    return grid


def more(result: RunResult, width: int = 200) -> Table:
    """What the means hide: utility of the middle half, of the last days and of the worst tenth; regret, arrival and costs."""
    return _fitting(width, (_more(result, narrow) for narrow in (False, True)))


def _more(result: RunResult, narrow: bool) -> Table:
    title = f"beyond the mean: utility, and regret in points a person\n{'half of its' if narrow else 'its'} 95% interval below"
    known = [key for key in COSTS if any(row.standing.costs[key].n for row in result.results)]
    caption = [f"days to 80% of the oracle: median, and personas with whom it was reached; >{result.days}: censored by the end"]
    if known:
        caption.append(f"{', '.join(known)}: cost a day, as noted")
    if unknown := [key for key in COSTS if key not in known]:
        caption.append(f"cost unknown, noted by no assistant: {', '.join(unknown)}")
    if result.personas < FEW:
        caption.append(f"bootstrap intervals (IQM, worst tenth) of fewer than {FEW} personas are too short")
    grid = _grid(title, narrow, result.results, caption)
    for header in (*MORE_HEADERS, *known):
        _number_column(grid, header)
    for row in result.ranked:
        own = row.standing
        cells = [cell(value, "", narrow) for value in (own.iqm, own.last, own.worst, own.regret)]
        costs = [amount(own.costs[key].mean) for key in known]
        grid.add_row(row.place.label, _name(row), *cells, str(own.arrival).replace(" (", "\n("), *costs)
    return grid


def amount(value: float) -> str:
    """A cost: three figures, thousands apart; ``-`` where it is unknown."""
    return "-" if np.isnan(value) else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def pair_table(result: RunResult, width: int = 200) -> Table:
    """The declared pairs as a table; where the terminal is narrow, without IQM."""
    fewer = [header for header in PAIR_HEADERS if header != "IQM"]
    return _fitting(width, (_pair_table(result, narrow, headers) for narrow, headers in
                            ((False, PAIR_HEADERS), (True, PAIR_HEADERS), (True, fewer))))


def _pair_table(result: RunResult, narrow: bool, headers: Sequence[str]) -> Table:
    grid = Table(title=f"declared pairs: {HEADERS[result.by]}, first less second, paired by persona", pad_edge=False,
                 caption="\n".join(pair_notes(result.pairs, result.personas)), **_look(narrow))
    for header, names in (("first", [pair.first for pair in result.pairs]), ("second", [pair.second for pair in result.pairs])):
        grid.add_column(header, overflow="fold", width=min(max(map(len, names)), 14 if narrow else 30))
    for header in headers:
        _number_column(grid, header)
    for pair in result.pairs:
        cells = dict(zip(PAIR_HEADERS, pair_cells(pair), strict=True))
        grid.add_row(pair.first, pair.second, *(cells[header] for header in headers))
    return grid


def pair_cells(pair: Pair) -> list[str]:
    """The cells of a pair under `PAIR_HEADERS`."""
    if np.isnan(pair.difference.mean):
        return ["-"] * (len(PAIR_HEADERS) - 1) + [pair.verdict]
    bounds = "-" if np.isnan(pair.decided.low) else f"{pair.decided.low:+.2f}..{pair.decided.high:+.2f}"
    least = "-" if np.isnan(pair.detectable) else f"{pair.detectable:.2f}"
    return [f"{pair.difference.mean:+.2f}", bounds, p_text(pair.adjusted), f"{pair.improvement.mean:.0%}",
            f"{pair.iqm.mean:+.2f}", least, pair.verdict]


def p_text(p: float) -> str:
    """A p-value as tables print it."""
    return "-" if np.isnan(p) else "<.001" if p < 0.001 else ">.99" if p > 0.99 else f"{p:.3f}".lstrip("0")


def pair_notes(pairs: Sequence[Pair], personas: int) -> list[str]:
    """What must be known to read a table of pairs."""
    number = f"{len(pairs)} pair{'s' * (len(pairs) > 1)}"
    notes = [f"p: paired t test, adjusted after Holm over {number}; interval: at the level that Holm decided at, a tie holds 0",
             f"P(better): share of personas with whom the first is better; MDD: minimum detectable difference "
             f"({POWER:.0%} power, two-sided {LEVEL:.0%}, one pair alone)"]
    short = [pair for pair in pairs if pair.difference.n < personas]
    if short:
        fewest = min(short, key=lambda pair: pair.difference.n)
        notes.append(f"not every persona has a pair: {fewest.first}, {fewest.second} have {fewest.difference.n} of {personas}")
    return notes


def markdown(result: RunResult) -> str:
    """The results as Markdown tables, for a README or a paper's notes."""
    lines = ["| | assistant | " + " | ".join(HEADERS.values()) + " |", "| --- | --- |" + " ---: |" * len(COLUMNS)]
    for row in result.ranked:
        cells = [cell(row.columns[key], key).replace("\n", " (") for key in COLUMNS]
        cells = [text + ")" if "(" in text else text for text in cells]
        lines.append(f"| {row.place.label} | {row.name}{STAR * row.privileged} | " + " | ".join(cells) + " |")
    lines += ["", result.detectable]
    if result.pairs:
        lines += ["", *pairs_markdown(result.pairs), "", *(f"- {note}" for note in pair_notes(result.pairs, result.personas))]
    return "\n".join(lines)


def pairs_markdown(pairs: Sequence[Pair]) -> list[str]:
    """Lines of a Markdown table of pairs."""
    rule = "| --- | --- |" + " ---: |" * (len(PAIR_HEADERS) - 1) + " --- |"
    head = ["| first | second | " + " | ".join(PAIR_HEADERS) + " |", rule]
    return head + [f"| {pair.first} | {pair.second} | " + " | ".join(pair_cells(pair)) + " |" for pair in pairs]


def _name(row: AssistantResult) -> str:
    return row.name + "*" * row.privileged


def _grid(title: str, narrow: bool, rows: Sequence[AssistantResult], caption: Sequence[str]) -> Table:
    grid = Table(title=title, caption="\n".join(caption), pad_edge=False, **_look(narrow))
    grid.add_column("#", justify="right")
    grid.add_column("assistant", overflow="fold", width=min(max(len(_name(row)) for row in rows), 15 if narrow else 30))
    return grid


def _look(narrow: bool) -> dict[str, Any]:
    return {"box": SIMPLE if narrow else HEAVY_HEAD, "padding": (0, 0, 0, 0) if narrow else (0, 1)}


def _number_column(grid: Table, header: str, folded: bool = True) -> None:
    """A column whose numbers are never cut; a long header that is folded has its last word below."""
    folded = folded and len(header) > 6
    grid.add_column("\n".join(header.rsplit(" ", 1)) if folded else header, justify="right", no_wrap=True)


def _fitting(width: int, grids: Iterable[Table]) -> Table:
    """The first of the tables that fits into the width, or the last."""
    console = Console(width=1000)
    for grid in grids:
        if console.measure(grid).maximum <= width:
            break
    return grid
