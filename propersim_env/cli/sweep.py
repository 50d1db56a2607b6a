"""``propersim sweep`` and ``propersim cell``: many settings of an assistant, with Weights & Biases or without an account."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.table import Table

from propersim_env.cli import run as run_command
from propersim_env.cli.console import ERR, OUT, add_common, print_json
from propersim_env.evaluation import report
from propersim_env.evaluation.cells import CELL_FILE, Cell, cells_of, lend_oracle, read_sweep
from propersim_env.evaluation.page import write_page
from propersim_env.evaluation.runner import check, prepare, write_atomically
from propersim_env.evaluation.wandb_log import TRACKERS, check_tracker, log_cell

SWEEP_EPILOG = """\
examples:
  propersim sweep baselines/sweeps/linucb.yaml                 all cells, here, without an account
  propersim sweep baselines/sweeps/linucb.yaml --dry-run       check it, and list the cells
  WANDB_MODE=offline propersim sweep baselines/sweeps/linucb.yaml --tracker wandb

The same file works with an account, on as many machines as you like:
  wandb sweep baselines/sweeps/linucb.yaml
  wandb agent WHAT-IT-PRINTED

A cell is named by a hash of everything that decides its result: it is run once, and found again by every later sweep.
"""
CELL_EPILOG = """\
examples:
  propersim cell --assistant=linucb --worth=0.4 --personas=dev:16 --days=14
  propersim cell --assistant=my_file.py:MyAssistant --rate=0.01 --tracker wandb

Whatever is no option of this command is one of the assistant. personas, days, seed, seeds, user, variant, feedback, setting and
the like mean what they mean in a comparison (propersim compare --help).
"""
FOLDER = Path("runs/cells")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both commands to the parser."""
    sweep = commands.add_parser("sweep", help="try many settings of an assistant", epilog=SWEEP_EPILOG,
                                description="Run the cells of a sweep (a YAML file in the form of W&B) and rank them.",
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    sweep.add_argument("file", type=Path, metavar="SWEEP.yaml", help="the sweep: method grid or random")
    sweep.add_argument("--dry-run", action="store_true", help="check everything and list the cells")
    sweep.set_defaults(execute=run_sweep)
    cell = commands.add_parser("cell", help="one cell of a sweep", epilog=CELL_EPILOG, allow_abbrev=False,
                               description="Run one setting of one assistant, once.",
                               formatter_class=argparse.RawDescriptionHelpFormatter)
    cell.add_argument("--assistant", required=True, help="name, import path or file, without options")
    cell.set_defaults(execute=run_cell, takes_more=True)
    for parser in (sweep, cell):
        parser.add_argument("--cells", type=Path, default=FOLDER, metavar="FOLDER",
                            help=f"where cells are kept; default: {FOLDER}")
        parser.add_argument("--tracker", choices=TRACKERS, default="none", help="wandb logs every cell there; default: none")
        parser.add_argument("--workers", type=int, default=0,
                            help="processes; default: one a core, or one if the cell is small")
        add_common(parser)


def run_cell(options: argparse.Namespace) -> int:
    """Execute ``propersim cell``."""
    check_tracker(options.tracker)
    cell = Cell.of({"assistant": options.assistant, **_values(options.more)})
    results = _run(cell, options)
    if options.json:
        print_json(results)
    else:
        OUT.print(f"{cell.spec}: utility {_shown(results)} in {options.cells / cell.id}", soft_wrap=True)
    return 0


def run_sweep(options: argparse.Namespace) -> int:
    """Execute ``propersim sweep``."""
    check_tracker(options.tracker)
    sweep = read_sweep(options.file)
    cells = cells_of(sweep)
    for cell in cells:
        check(run_command.plan_of(_described(cell, options)))
    if options.dry_run:
        for cell in cells:
            OUT.print(f"{cell.id} {cell.values}", soft_wrap=True, highlight=False)
        OUT.print(f"{len(cells)} cells, {sum(_done(options.cells / c.id) for c in cells)} of them done; nothing was run")
        return 0
    options.interrupted = "stopped; nothing is lost: run the same command again to go on"
    results = []
    for k, cell in enumerate(cells, 1):
        ERR.print(f"cell {k} of {len(cells)}: {cell.spec}", soft_wrap=True)
        results.append((cell, _run(cell, options)))
    results.sort(key=lambda one: -_utility(one[1]))
    if options.json:
        print_json([{**result, "cell": cell.values, "id": cell.id} for cell, result in results])
        return 0
    varied = [name for name, given in sweep["parameters"].items() if "value" not in given]
    table = Table(*varied, "utility", "cell", title=f"{len(cells)} cells, best first; folders are in {options.cells}")
    for cell, result in results:
        table.add_row(*[str(cell.values.get(name)) for name in varied], _shown(result), cell.id)
    OUT.print(table)
    OUT.print("The best of many is better than it will be elsewhere: run it again with people of another split.")
    return 0


def _values(more: list[str]) -> dict[str, Any]:
    """``["--worth=0.4"]`` to ``{"worth": 0.4}``; values are JSON where they can be."""
    values = {}
    for part in more:
        key, equals, value = part.removeprefix("--").partition("=")
        if not part.startswith("--") or not equals or not key:
            raise ValueError(f"{part!r} is no option of a cell; write --name=value")
        try:
            values[key] = json.loads(value)
        except ValueError:
            values[key] = value
    return values


def _described(cell: Cell, options: argparse.Namespace) -> argparse.Namespace:
    """The cell as options of ``propersim run``."""
    return run_command.options_of({**cell.world, "assistants": [cell.spec], "out": str(options.cells / cell.id),
                                   "workers": options.workers, "json": True})


def _done(folder: Path) -> bool:
    return (folder / CELL_FILE).exists()


def _run(cell: Cell, options: argparse.Namespace) -> dict[str, Any]:
    """Results of a cell: from its folder if it was run before, else after running it."""
    folder = options.cells / cell.id
    described = _described(cell, options)
    plan = run_command.plan_of(described)
    prepare(plan)
    if not _done(folder):
        lend_oracle(cell, options.cells)
        if failures := run_command.work_through(plan, prepare(plan), described):
            raise RuntimeError(f"{len(failures)} episodes of the cell failed, which is not scored: {failures[0]}")
    result = report.summarise(folder)
    rows = report.as_json(result)["assistants"]
    results: dict[str, Any] = next(row for row in rows if row["name"] == cell.spec)
    page = write_page(folder, title=cell.spec)
    log_cell(options.tracker, cell, results, folder, page)
    note = {"id": cell.id, "world": cell.world_id, "values": cell.values, "results": results}
    write_atomically(folder / CELL_FILE, json.dumps(note, indent=1, ensure_ascii=False) + "\n")
    return results


def _utility(results: dict[str, Any]) -> float:
    value = results["utility"]["mean"]
    return float("-inf") if value is None else float(value)


def _shown(results: dict[str, Any]) -> str:
    utility = results["utility"]
    if utility["mean"] is None:
        return "-"
    return f"{utility['mean']:.3f}" + (f" ({utility['low']:.2f}..{utility['high']:.2f})" if utility["low"] is not None else "")
