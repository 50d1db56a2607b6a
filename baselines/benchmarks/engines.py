"""How much faster several processes are, and what Ray costs: ``python -m propersim_env.baselines.benchmarks.engines``.

The same units by each engine in one run, in turn, so that a busy machine is busy for all of them; the fastest of each counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig
from propersim_env.persona import select_personas

ASSISTANTS = ("silent", "fixed-rate", "random", "linucb")


def measure(engines: Sequence[str], personas: int, days: int, workers: int, rounds: int) -> dict[str, float]:
    """Seconds that each engine takes for a run of 4 assistants: the least of some rounds."""
    people = tuple(select_personas(f"dev:{personas}"))
    seconds = dict.fromkeys(engines, float("inf"))
    for _ in range(rounds):
        for engine in engines:
            with tempfile.TemporaryDirectory() as folder:
                plan = RunPlan(Path(folder) / "run", ASSISTANTS, people, (0,), RunConfig(days))
                units = prepare(plan)
                began = time.perf_counter()
                if failures := execute(plan, units, 1 if engine == "local" else workers, engine=engine):
                    raise SystemExit(f"{len(failures)} units failed: {failures[0]}")
                seconds[engine] = min(seconds[engine], time.perf_counter() - began)
    return seconds


def main() -> None:
    """Read options, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m propersim_env.baselines.benchmarks.engines", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--personas", type=int, default=125, help="units are 4 times as many; default: 125")
    parser.add_argument("--days", type=int, default=7, help="days of each unit; default: 7")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="default: one a core")
    parser.add_argument("--rounds", type=int, default=2, help="default: 2")
    options = parser.parse_args()
    engines = ["local", "pool"]
    if importlib.util.find_spec("ray") is not None:
        import ray

        ray.init(num_cpus=options.workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        engines.append("ray")
    else:
        print('without Ray, which is not installed: pip install "propersim[ray]"')
    seconds = measure(engines, options.personas, options.days, options.workers, options.rounds)
    print(f"{4 * options.personas} units of {options.days} days, {options.workers} workers")
    for engine in engines:
        faster = seconds["local"] / seconds[engine]
        print(f"{engine:6} {seconds[engine]:7.1f} s   {faster:.2f} times as fast as one process   "
              f"{seconds[engine] / seconds['pool']:.2f} of the pool's time")


if __name__ == "__main__":
    main()
