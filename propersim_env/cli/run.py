"""``propersim run``: personas x assistants x days, with a log of each episode, a table and a picture."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from propersim_env.cli.console import ERR, OUT, add_common, error, key_value, print_json
from propersim_env.cli.report import add_comparison, show, summarise
from propersim_env.evaluation import report
from propersim_env.evaluation.engines import make_engine
from propersim_env.evaluation.failures import Failure
from propersim_env.evaluation.metrics import ORACLE
from propersim_env.evaluation.runner import RunPlan, execute, prepare, read_config
from propersim_env.evaluation.units import RunConfig, Unit
from propersim_env.names import near_matches
from propersim_env.persona import select_personas, split_of
from propersim_env.registry import assistant_names
from propersim_env.splits import hidden_population, split, splits
from propersim_env.variants import settle

DECISIONS_PER_DAY = 380
"""Waking ticks of an average day, for the progress bar."""
SMALL_RUN = 400_000
"""Decisions that scripted assistants take in less time than a worker process needs to start (measured: about 3 s)."""

EPILOG = """\
examples:
  propersim run                                            32 personas x 14 days, the standard assistants
  propersim run --assistants silent,oracle --personas p01,p07 --days 3 --out runs/two
  propersim run --assistants random:p=0.02,fixed-rate:per_day=6 --personas sampled:64
  propersim run --assistants my_file.py:MyAssistant,oracle          your own, from any file

assistants: {assistants}
  an option follows its name after a colon (random:p=0.02); your own class or function is module:Name or file.py:Name
personas:   all (the bundled 32), a number, ids (p01,p07), paths of persona files, sampled:N (fresh ones), or people of a split:
{splits}

The oracle is always run too, because utility is a share of what it earns. Stop with Ctrl-C at any time: the same
command goes on where it stopped, and skips what is finished.
"""
SPLITS = "\n".join(f"  {name + ':N':13}{one.about}" for name, one in splits().items())
FRESH = "sampled:32"
"""Who lives there in a variant with someone new each episode: as many as are bundled."""
STANDARD = "silent,always,random,fixed-rate,rate-matched,schedule,timing-oracle,content-oracle,oracle"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "run", help="run assistants with residents and compare them", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Let residents live for some days with each assistant; print a table and keep every event.",
        epilog=EPILOG.format(assistants=", ".join(assistant_names()), splits=SPLITS),
    )
    parser.add_argument("--assistants", default=STANDARD, metavar="A,B,…", help=f"default: {STANDARD}")
    parser.add_argument("--personas", help="who lives there; default: all, or what the variant says")
    parser.add_argument("--days", type=int, help="days of each episode; default: 14")
    parser.add_argument("--seed", type=int, default=0, help="first seed; default: 0")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="run N seeds, from --seed on; default: 1")
    parser.add_argument("--user", default="simulated", help="who plays the residents; default: simulated")
    parser.add_argument("--user-option", type=key_value, action="append", default=[], metavar="KEY=VALUE",
                        help="option of the user, e.g. noise=0 or follow_through=true; may be repeated")
    parser.add_argument("--variant", metavar="NAME", help="a variant of the simulation; propersim variants lists them")
    parser.add_argument("--feedback", metavar="KIND",
                        help="what assistants are told: full (default), delivered, reactions, or sampled:SHARE")
    parser.add_argument("--setting", default="house", help="name of a setting, or path of its folder; default: house")
    parser.add_argument("--reveal-persona", action="store_true", help="show the persona to the assistants (an ablation)")
    parser.add_argument("--out", type=Path, default=Path("runs/latest"), help="run folder; default: runs/latest")
    parser.add_argument("--workers", type=int, default=0, help="processes; default: one a core, or one if the run is small")
    parser.add_argument("--engine", default="auto", metavar="NAME",
                        help="local (this process), pool (processes; default with several workers), or ray (a cluster)")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS",
                        help="an assistant that takes longer for one decision counts as hanging; default: 600")
    parser.add_argument("--allow-seen", action="store_true", help="evaluate assistants with people whom they have learned from")
    parser.add_argument("--no-oracle", action="store_true", help="do not add the oracle (utility stays empty)")
    add_comparison(parser)
    add_common(parser)
    parser.set_defaults(execute=run)


def options_of(values: Mapping[str, Any]) -> argparse.Namespace:
    """The options that say the same as the values of a comparison's file (see `propersim_env.evaluation.spec`)."""
    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    known = vars(parser.parse_args(["run"]))
    given = {key: value for key, value in values.items() if key in known}
    given |= {"assistants": ",".join(values["assistants"]), "out": Path(values["out"]),
              "user_option": list(values.get("user_options", {}).items()), "pair": values.get("pairs", []),
              "against": [values["against"]] if "against" in values else []}
    return argparse.Namespace(**(known | given))


def plan_of(options: argparse.Namespace) -> RunPlan:
    """The run that the options describe."""
    for name, lowest in (("days", 1), ("seeds", 1), ("seed", 0), ("workers", 0)):
        if getattr(options, name) is not None and getattr(options, name) < lowest:
            raise ValueError(f"--{name} {getattr(options, name)}: must be at least {lowest}")
    assistants = [a.strip() for a in options.assistants.split(",") if a.strip()]
    if ORACLE not in assistants and not options.no_oracle:
        assistants.append(ORACLE)
    for option, names in (("--against", options.against), ("--pair", [name for pair in options.pair for name in pair])):
        for name in names:
            if name not in assistants:
                raise ValueError(f"{option} {name!r}: not among --assistants; {near_matches(name, assistants)}")
    chosen, user_options = settle(options.variant, dict(options.user_option), days=options.days, feedback=options.feedback)
    spec = options.personas or (FRESH if chosen["persona"] == "sampled" else "all")
    named = tuple(dict.fromkeys(name for part in spec.split(",") if (name := split_of(part)) and name != "sampled"))
    from_day = max((split(name).from_day for name in named), default=0)
    config = RunConfig(chosen["days"], options.user, user_options, options.reveal_persona, options.timeout, chosen["feedback"],
                       options.variant, from_day)
    personas = select_personas(spec, options.setting, options.seed, _hidden_before(options.out))
    seeds = tuple(range(options.seed, options.seed + options.seeds))
    return RunPlan(options.out.absolute(), tuple(assistants), tuple(personas), seeds, config, named, options.allow_seen)


def _hidden_before(folder: Path) -> int | None:
    """The hidden population with which the run in a folder began, so that the same command goes on with it."""
    return hidden_population(read_config(folder).get("personas", ())) if (folder / "run.json").exists() else None


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    make_engine(options.engine, options.workers)
    plan = plan_of(options)
    units = prepare(plan)
    options.interrupted = f"stopped; nothing is lost: run the same command again to go on in {options.out}"
    failures = work_through(plan, units, options)
    result = summarise(plan.folder, options)
    written = report.save(result, plan.folder)
    if options.json:
        print_json({**report.as_json(result), "folder": str(plan.folder), "failures": [str(f) for f in failures]})
    else:
        show(result, options.all)
        _closing(options.out, written, failures)
    return 1 if failures else 0


def work_through(plan: RunPlan, units: Sequence[Unit], options: argparse.Namespace) -> list[Failure]:
    """Run what is left to do, with a progress bar, and print what failed."""
    total = len(plan.units())
    if len(units) < total:
        ERR.print(f"{total - len(units)} of {total} episodes are finished already in {options.out}; going on with the rest")
    workers = options.workers or (0 if options.engine == "ray" else default_workers(plan, units))
    failures = _execute(plan, units, workers, options.engine) if units else []
    for failure in failures[:10]:
        error(str(failure))
    if len(failures) > 10:
        error(f"… and {len(failures) - 10} more")
    return failures


def default_workers(plan: RunPlan, units: Sequence[Unit]) -> int:
    """One process a core, or a single one for a run so small that starting others would take longer."""
    if len(units) * plan.config.days * DECISIONS_PER_DAY < SMALL_RUN:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _execute(plan: RunPlan, units: Sequence[Unit], workers: int, engine: str) -> list[Failure]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn(),
               TextColumn("decisions"), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=ERR) as bar:
        task = bar.add_task(f"{len(units)} episodes", total=len(units) * plan.config.days * DECISIONS_PER_DAY)
        failures = execute(plan, units, workers, lambda n: bar.advance(task, n), engine)
        bar.update(task, total=bar.tasks[0].completed)
    return failures


def _closing(folder: Path, written: list[Path], failures: list[Failure]) -> None:
    if failures:
        OUT.print(f"{len(failures)} episodes failed and are not in the table; their logs are kept. Run the same command "
                  "again to try them again.", style="yellow")
    names = ", ".join(path.name for path in written)
    OUT.print(f"run folder: {folder} (run.json, events-….jsonl, {names})", soft_wrap=True)
    if not any(path.suffix == ".png" for path in written):
        OUT.print('for the learning-curve picture: pip install "propersim[plot]", then propersim report', soft_wrap=True)
