"""Cells of a sweep: one assistant with one set of options in one world, under a name that is a hash of all that decides it.

A cell is run once. The same cell asked for again, by another sweep or after a crash, is read from its folder.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from propersim_env.evaluation.metrics import ORACLE
from propersim_env.names import near_matches
from propersim_env.schema import DATA, DataError, read_json
from propersim_env.seeding import stream

WORLD = ("personas", "days", "seed", "seeds", "user", "user_options", "variant", "feedback", "setting", "reveal_persona",
         "allow_seen", "timeout")
"""Keys of a cell that say where an assistant is run; they mean what they mean in a comparison (``compare.schema.json``)."""
DECIDES_NOTHING = ("timeout",)
METHODS = ("grid", "random")
CELL_FILE = "cell.json"
"""In the folder of a finished cell: what it was, and its results."""
Json = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """An assistant, its options, and the world.

    Attributes:
        assistant: Name, import path or file, without options.
        options: Of the assistant.
        world: Values of `WORLD`; those left out have their defaults.
    """

    assistant: str
    options: Mapping[str, Any]
    world: Mapping[str, Any]

    @staticmethod
    def of(values: Mapping[str, Any]) -> Cell:
        """A cell of flat values: ``assistant``, keys of `WORLD`, and options of the assistant.

        Raises:
            ValueError: No assistant is named, or a value of the world is of the wrong kind.
        """
        if not values.get("assistant"):
            raise ValueError("a cell needs an assistant: --assistant=NAME, or parameters.assistant in the sweep")
        schema = read_json(DATA / "schemas" / "compare.schema.json")["properties"]
        world = {key: values[key] for key in WORLD if values.get(key) is not None}
        for key, value in world.items():
            kinds = {"string": str, "integer": int, "boolean": bool, "object": dict, "number": (int, float)}
            if not isinstance(value, kinds[schema[key]["type"]]):  # type: ignore[arg-type]
                raise ValueError(f"{key}={value!r} is no {schema[key]['type']}: {schema[key]['description']}")
        options = {key: value for key, value in values.items() if key not in (*WORLD, "assistant")}
        return Cell(str(values["assistant"]), dict(sorted(options.items())), world)

    @property
    def spec(self) -> str:
        """The assistant as runs name it."""
        given = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in self.options.items()]
        return ":".join([self.assistant, *given])

    @property
    def values(self) -> Json:
        """All of it, flat."""
        return {"assistant": self.assistant, **self.world, **self.options}

    @property
    def id(self) -> str:
        """Hash of what decides the result, 12 hexadecimal digits."""
        decides = {key: value for key, value in self.values.items() if key not in DECIDES_NOTHING}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def world_id(self) -> str:
        """Hash of the world alone."""
        decides = {key: value for key, value in self.world.items() if key not in DECIDES_NOTHING}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]


def read_sweep(path: Path) -> Json:
    """Read and check a sweep in the form of W&B (YAML): method, parameters, and how many runs where they are drawn.

    Raises:
        DataError: It cannot be read, or has a method, a parameter or a value that means nothing.
        ImportError: PyYAML is missing.
    """
    try:
        import yaml
    except ImportError as error:
        raise ImportError('sweeps need PyYAML: pip install "propersim[wandb]"') from error
    try:
        sweep = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(str(path), "", f"cannot be read ({' '.join(str(error).split())})",
                        "look into baselines/sweeps") from error
    if not isinstance(sweep, dict) or not isinstance(sweep.get("parameters"), dict):
        raise DataError(str(path), "parameters", "is missing", "name the assistant and what is varied; see baselines/sweeps")
    if sweep.get("method") not in METHODS:
        raise DataError(str(path), "method", f"is {sweep.get('method')!r}", f"without an account {' and '.join(METHODS)} can "
                        "be done; bayes needs W&B: wandb sweep, wandb agent")
    if sweep["method"] == "random" and not isinstance(sweep.get("run_cap"), int):
        raise DataError(str(path), "run_cap", "is missing", "say how many cells are drawn, e.g. run_cap: 20")
    for name, given in sweep["parameters"].items():
        _check_parameter(str(path), name, given, sweep["method"])
    return dict(sweep)


def _check_parameter(source: str, name: str, given: Any, method: str) -> None:
    field = f"parameters.{name}"
    if not isinstance(given, dict):
        raise DataError(source, field, f"is {given!r}", "write value: …, values: […], or min: … and max: …")
    known = ("value", "values", "min", "max", "distribution")
    for key in given:
        if key not in known:
            raise DataError(source, f"{field}.{key}", "means nothing here", near_matches(key, known))
    if "value" in given or given.get("values"):
        return
    if not {"min", "max"} <= set(given) or not given["min"] < given["max"]:
        raise DataError(source, field, "has no values", "write value: …, values: […], or min: … and a greater max: …")
    if method == "grid":
        raise DataError(source, field, "is a range, which a grid cannot go through", "write values: […], or method: random")
    if given.get("distribution", "uniform") not in ("uniform", "int_uniform", "log_uniform_values"):
        raise DataError(source, f"{field}.distribution", f"is {given['distribution']!r}",
                        "uniform, int_uniform and log_uniform_values can be drawn here")


def cells_of(sweep: Mapping[str, Any]) -> list[Cell]:
    """The cells of a sweep: all of a grid, or as many as are drawn; the same for the same file.

    Raises:
        ValueError: A cell is none; see `Cell.of`.
    """
    parameters = sweep["parameters"]
    rows = _grid(parameters) if sweep["method"] == "grid" else _drawn(parameters, sweep["run_cap"])
    return list({cell.id: cell for cell in map(Cell.of, rows)}.values())


def _grid(parameters: Mapping[str, Any]) -> Iterator[Json]:
    names = list(parameters)
    for values in itertools.product(*([p["value"]] if "value" in p else p["values"] for p in parameters.values())):
        yield dict(zip(names, values, strict=True))


def _drawn(parameters: Mapping[str, Any], number: int) -> Iterator[Json]:
    rng = stream(0, "sweep", json.dumps(parameters, sort_keys=True))
    for _ in range(number):
        yield {name: _draw(given, rng) for name, given in parameters.items()}


def _draw(given: Mapping[str, Any], rng: np.random.Generator) -> Any:
    if "value" in given:
        return given["value"]
    if "values" in given:
        return given["values"][int(rng.integers(len(given["values"])))]
    low, high = given["min"], given["max"]
    whole = isinstance(low, int) and isinstance(high, int)
    kind = given.get("distribution", "int_uniform" if whole else "uniform")
    if kind == "int_uniform":
        return int(rng.integers(low, high + 1))
    if kind == "log_uniform_values":
        return math.exp(rng.uniform(math.log(low), math.log(high)))
    return float(rng.uniform(low, high))


def lend_oracle(cell: Cell, cells: Path) -> None:
    """Copy the oracle's finished logs from another cell of the same world: it does the same there, and takes time.

    Args:
        cell: Its folder in `cells` holds a run that has begun.
        cells: Folder of all cells.
    """
    for other in sorted(cells.glob(f"*/{CELL_FILE}")):
        if other.parent.name == cell.id or json.loads(other.read_text(encoding="utf-8"))["world"] != cell.world_id:
            continue
        for log in other.parent.glob(f"events-{ORACLE}-*.jsonl"):
            if not (cells / cell.id / log.name).exists():
                shutil.copy2(log, cells / cell.id / log.name)
        return
