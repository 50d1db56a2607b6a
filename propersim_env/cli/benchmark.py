"""``propersim benchmark``: how fast this machine simulates, as ratios to PettingZoo's own games in the same run."""

from __future__ import annotations

import argparse

from rich.table import Table

from propersim_env.cli.console import ERR, OUT, add_common, print_json

EPILOG = """\
examples:
  propersim benchmark speed
  propersim benchmark speed --homes 1000 --days 2

Figures depend on the machine; the ratios to PettingZoo's games, measured in the same run, carry over better.
Those games need pygame: pip install "propersim[benchmark]"; without it they are left out.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "benchmark", help="measure speed and memory", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure simulated ticks a second through each view, memory, and the time of a whole run.",
    )
    parser.add_argument("what", choices=["speed"], help="what to measure")
    parser.add_argument("--homes", type=int, default=256, help="homes of the vector view; default: 256")
    parser.add_argument("--days", type=int, default=14, help="days of the vector view and of the whole run; default: 14")
    add_common(parser)
    parser.set_defaults(execute=run)


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    from propersim_env.baselines.benchmarks.speed import measure

    if options.homes < 1 or options.days < 1:
        raise ValueError(f"--homes {options.homes} --days {options.days}: both must be at least 1")
    with ERR.status("measuring, less than a minute …"):
        figures = measure(options.homes, options.days)
    if options.json:
        print_json(figures)
        return 0
    games = figures["pettingzoo_agent_steps_per_second"]
    table = Table("what", "a second", *[f"x {name}" for name in games])
    rows = {f"PettingZoo {name}, agent steps": rate for name, rate in games.items()}
    rows |= {f"gym view, {name}, ticks": rate for name, rate in figures["gym_ticks_per_second"].items()}
    rows |= {f"vector view, {name}, ticks": rate for name, rate in figures["vector_ticks_per_second"].items()}
    for name, rate in rows.items():
        table.add_row(name, f"{rate:,.0f}", *[f"{rate / game:.2f}" for game in games.values()])
    OUT.print(table)
    for name, seconds in figures["run_seconds"].items():
        OUT.print(f"{name}, logs included: {seconds:.2f} s")
    OUT.print(f"reading a new text: {figures['new_text_milliseconds']:.2f} ms")
    OUT.print(f"peak memory after the vector view: {figures['vector_peak_memory_mib']:.0f} MiB")
    return 0
