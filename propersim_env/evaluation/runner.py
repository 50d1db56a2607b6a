"""The runner: a run folder, its units, and the processes that work through them. Finished units are skipped."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from propersim_env import __version__, splits
from propersim_env.episode import RUBRIC_VERSION
from propersim_env.evaluation.engines import EngineError, make_engine
from propersim_env.evaluation.failures import Failure
from propersim_env.evaluation.units import RunConfig, Unit, build_assistant, is_finished, machine_config
from propersim_env.log import LOCK_SECONDS, lock
from propersim_env.persona import Persona
from propersim_env.registry import make_users

LOCK = ".lock"
BYTES_PER_DAY = 260_000
"""Log of a day of an assistant that speaks at every tick (measured, rounded up): the disk space asked for beforehand."""


class RunError(RuntimeError):
    """A run that cannot begin or go on; the message says why and what to do."""


@dataclass(frozen=True)
class RunPlan:
    """Everything that fixes a run.

    Attributes:
        folder: The run folder.
        assistants: Specifications, which are also their names in tables.
        personas: The residents.
        seeds: Seeds of the episodes; each resident lives through each of them with each assistant.
        config: Shared by all units.
        splits: Names of the splits that the personas were taken from (see `propersim_env.splits`).
        allow_seen: Evaluate assistants with people whom they have learned from; results say so.
    """

    folder: Path
    assistants: tuple[str, ...]
    personas: tuple[Persona, ...]
    seeds: tuple[int, ...]
    config: RunConfig
    splits: tuple[str, ...] = ()
    allow_seen: bool = False

    def units(self) -> list[Unit]:
        """All units, assistant by assistant."""
        return [Unit(a, p, s) for a in self.assistants for s in self.seeds for p in self.personas]

    def resolved(self) -> dict[str, Any]:
        """The configuration as `run.json` keeps it."""
        config = asdict(self.config)
        del config["timeout"]  # decides nothing about an episode that ends
        if not config["from_day"]:
            del config["from_day"]
        more = {"splits": list(self.splits)} if self.splits else {}
        if self.allow_seen:
            more["allow_seen"] = [a for a in self.assistants if self.seen(build_assistant(a))]
        return {
            "propersim": __version__, "rubric": RUBRIC_VERSION, "assistants": list(self.assistants),
            "setting": self.personas[0].setting.name, "seeds": list(self.seeds), **config,
            "personas": {p.id: fingerprint(p) for p in self.personas}, **more,
        }

    def seen(self, assistant: Any) -> str:
        """Why an assistant may not be evaluated with these people, because it has learned from some; ``""`` if it may."""
        return splits.problem(getattr(assistant, "learned_from", ()), self.personas, self.splits)


def fingerprint(persona: Persona) -> str:
    """The first 16 digits of the SHA-256 of a persona's JSON, as ``run.json`` keeps it."""
    return fingerprint_of(persona.to_dict())


def fingerprint_of(persona: Mapping[str, Any]) -> str:
    """The same of a persona as a dictionary."""
    text = json.dumps(persona, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def prepare(plan: RunPlan) -> list[Unit]:
    """Make or reopen the run folder and find out what is left to do.

    Everything that can go wrong before the first tick goes wrong here: unknown names, options that nobody takes, a folder
    that cannot be written, too little disk space, another run in the same folder, edited logs.

    Returns:
        The unfinished units.
    """
    check(plan)
    _check_folder(plan)
    return [unit for unit in plan.units() if not is_finished(unit, plan.folder)]


def check(plan: RunPlan) -> None:
    """Refuse what cannot be run, without touching a disk: unknown names, options that nobody takes, people already known."""
    if not plan.assistants:
        raise RunError("no assistant is named; propersim run --help lists them")
    machine_config(plan.config)
    if not 0 <= plan.config.from_day < plan.config.days:
        raise RunError(f"results count from day {plan.config.from_day + 1} on, and episodes have {plan.config.days} days")
    if not 0 < plan.config.timeout < math.inf:
        raise RunError(f"timeout {plan.config.timeout} is no number of seconds above 0")
    for spec in plan.assistants:
        try:
            assistant = build_assistant(spec)
        except (ValueError, TypeError):
            raise
        except Exception as error:
            raise RunError(f"assistant {spec!r} cannot be built: {type(error).__name__}: {error}") from error
        if not plan.allow_seen and (problem := plan.seen(assistant)):
            raise RunError(f"assistant {spec!r} cannot be evaluated here: {problem}. Choose people whom it does not know, "
                           f"such as --personas test:32, or say --allow-seen, which the results will show")
    if repeated := {a for a in plan.assistants if plan.assistants.count(a) > 1}:
        raise RunError(f"assistants named twice: {', '.join(sorted(repeated))}")
    users = make_users(plan.config.user, 1, **plan.config.user_options)
    if any(getattr(user, "interactive", False) for user in getattr(users, "users", ())):
        raise RunError(f"user {plan.config.user!r} is a person at this terminal, who cannot live in several homes: use "
                       f"propersim play --as user")


def _check_folder(plan: RunPlan) -> None:
    folder, file = plan.folder, plan.folder / "run.json"
    resolved = plan.resolved()
    if file.exists():
        _compare(read_config(folder), resolved, folder)
    elif folder.is_dir() and any(not _left_over(path.name) for path in folder.iterdir()):
        raise RunError(f"{folder} is not empty and holds no run: choose another folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.write_bytes(b"x" * 65536)
        probe.unlink()
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error.strerror or error}; choose another folder with --out") from error
    needed = BYTES_PER_DAY * plan.config.days * len(plan.units())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunError(f"{folder} has {free / 1e6:.0f} MB free and this run may need up to {needed / 1e6:.0f} MB: free some "
                       f"space, choose another disk with --out, or run fewer personas or days")
    if not file.exists():
        write_config(folder, resolved)


def _left_over(name: str) -> bool:
    """Whether a file may have been left by a run that was killed while it began."""
    return name in (LOCK, ".probe") or name.startswith(".run.json.")


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write the ``run.json`` of a run: its configuration, and the versions that it runs with."""
    packages = {name: package_version(name) for name in ("gymnasium", "pettingzoo", "numpy")}
    text = json.dumps({"config": config, "python": platform.python_version(), "packages": packages}, indent=1)
    write_atomically(folder / "run.json", text + "\n")


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of the run in a folder.

    Raises:
        RunError: There is none, or its ``run.json`` is damaged.
    """
    file = folder / "run.json"
    if not file.exists():
        raise RunError(f"{folder} is no run folder: it has no run.json")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))["config"]
        if not isinstance(config["assistants"], list):
            raise TypeError("assistants is no list")
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file} is damaged ({type(error).__name__}: {error}): restore it, or use another folder") from error
    return dict(config)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from working in this run folder."""
    file = os.open(folder / LOCK, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        if not lock(file, LOCK_SECONDS):
            raise RunError(f"another process is running in {folder}: wait until it ends, or choose another folder with --out")
        yield
    finally:
        os.close(file)


def _compare(there: Mapping[str, Any], here: Mapping[str, Any], folder: Path) -> None:
    differing = [key for key in sorted({*there, *here}) if there.get(key) != here.get(key)]
    if not differing:
        return
    lines = [f"  {key}: {_short(there.get(key))} there, {_short(here.get(key))} now" for key in differing]
    raise RunError(f"{folder} holds another run:\n" + "\n".join(lines) + "\nchoose another folder with --out, or delete it")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 160 else text[:157] + "…"


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def execute(
    plan: RunPlan, units: Sequence[Unit], workers: int = 1, progress: Callable[[int], None] | None = None, engine: str = "auto"
) -> list[Failure]:
    """Run units; the logs are the result, and the same whatever the engine and the number of workers.

    Args:
        plan: Of the run.
        units: From `prepare`.
        workers: Processes; of Ray the most tasks at once, 0 for as many as its cluster has cores.
        progress: Called with the number of decisions taken since the last call.
        engine: See `propersim_env.evaluation.engines`; ``"auto"`` is ``"pool"`` for several workers, else ``"local"``.

    Returns:
        Units that failed, those of workers that died again and again among them.

    Raises:
        RunError: The disk is full, or the engine cannot be used; finished units are kept.
    """
    work = make_engine(engine, workers)
    with _locked(plan.folder):
        try:
            return work(units, plan.config, plan.folder, progress)
        except EngineError as error:
            raise RunError(str(error)) from error
        except OSError as error:
            raise RunError(f"writing to {plan.folder} failed: {error.strerror or error}; free some space and run the same "
                           f"command again to go on") from error
