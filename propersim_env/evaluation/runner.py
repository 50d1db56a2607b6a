"""The runner: a run folder, its units, and the processes that work through them. Finished units are skipped."""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import platform
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from propersim_env import __version__
from propersim_env.episode import RUBRIC_VERSION
from propersim_env.evaluation.failures import Failure
from propersim_env.evaluation.units import Batch, RunConfig, Unit, build_assistant, is_finished, machine_config
from propersim_env.log import LOCK_SECONDS, lock
from propersim_env.persona import Persona
from propersim_env.registry import make_users

LOCK = ".lock"
BATCH = 64
"""Homes stepped together at most: beyond this they gain little, and memory and open files grow."""
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
    """

    folder: Path
    assistants: tuple[str, ...]
    personas: tuple[Persona, ...]
    seeds: tuple[int, ...]
    config: RunConfig

    def units(self) -> list[Unit]:
        """All units, assistant by assistant."""
        return [Unit(a, p, s) for a in self.assistants for s in self.seeds for p in self.personas]

    def resolved(self) -> dict[str, Any]:
        """The configuration as `run.json` keeps it."""
        config = asdict(self.config)
        del config["timeout"]  # decides nothing about an episode that ends
        return {
            "propersim": __version__, "rubric": RUBRIC_VERSION, "assistants": list(self.assistants),
            "setting": self.personas[0].setting.name, "seeds": list(self.seeds), **config,
            "personas": {p.id: fingerprint(p) for p in self.personas},
        }


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
    if not plan.assistants:
        raise RunError("no assistant is named; propersim run --help lists them")
    machine_config(plan.config)
    if not 0 < plan.config.timeout < math.inf:
        raise RunError(f"timeout {plan.config.timeout} is no number of seconds above 0")
    for spec in plan.assistants:
        try:
            build_assistant(spec)
        except (ValueError, TypeError):
            raise
        except Exception as error:
            raise RunError(f"assistant {spec!r} cannot be built: {type(error).__name__}: {error}") from error
    if repeated := {a for a in plan.assistants if plan.assistants.count(a) > 1}:
        raise RunError(f"assistants named twice: {', '.join(sorted(repeated))}")
    users = make_users(plan.config.user, 1, **plan.config.user_options)
    if any(getattr(user, "interactive", False) for user in getattr(users, "users", ())):
        raise RunError(f"user {plan.config.user!r} is a person at this terminal, who cannot live in several homes: use "
                       f"propersim play --as user")
    _check_folder(plan)
    return [unit for unit in plan.units() if not is_finished(unit, plan.folder)]


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


def batches(units: Sequence[Unit], workers: int) -> list[list[Unit]]:
    """Units in batches of one assistant each, sized so that all workers have something to do."""
    size = min(BATCH, max(1, math.ceil(len(units) / (2 * workers)))) if workers > 1 else BATCH
    result: list[list[Unit]] = []
    for unit in units:
        last = result[-1] if result else []
        if last and last[0].assistant == unit.assistant and len(last) < size:
            last.append(unit)
        else:
            result.append([unit])
    return result


def execute(
    plan: RunPlan, units: Sequence[Unit], workers: int = 1, progress: Callable[[int], None] | None = None
) -> list[Failure]:
    """Run units; the logs are the result, and the same whatever the number of workers.

    Args:
        plan: Of the run.
        units: From `prepare`.
        workers: Processes.
        progress: Called with the number of decisions taken since the last call.

    Returns:
        Units that failed.

    Raises:
        RunError: A worker process died, or the disk is full; finished units are kept.
    """
    work = batches(units, workers)
    with _locked(plan.folder):
        return _work_through(plan, work, workers, progress)


def _work_through(
    plan: RunPlan, work: list[list[Unit]], workers: int, progress: Callable[[int], None] | None
) -> list[Failure]:
    try:
        if workers <= 1 or len(work) <= 1:
            return [failure for part in work for failure in _run_batch(part, plan.config, plan.folder, progress)]
        return _execute_in_pool(plan, work, min(workers, len(work)), progress)
    except OSError as error:
        raise RunError(f"writing to {plan.folder} failed: {error.strerror or error}; free some space and run the same command "
                       f"again to go on") from error


def _run_batch(
    units: list[Unit], config: RunConfig, folder: Path, progress: Callable[[int], None] | None
) -> list[Failure]:
    batch = Batch(units, config, folder)
    try:
        return batch.run(progress)
    finally:
        batch.close()


def _execute_in_pool(
    plan: RunPlan, work: list[list[Unit]], workers: int, progress: Callable[[int], None] | None
) -> list[Failure]:
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    failures: list[Failure] = []
    seen = 0
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(counter,)) as pool:
        pending = {pool.submit(_run_in_worker, part, plan.config, plan.folder) for part in work}
        try:
            while pending:
                try:
                    for done in as_completed(pending, timeout=0.1):
                        pending.discard(done)
                        failures += done.result()
                        break
                except TimeoutError:
                    pass
                if progress is not None and counter.value != seen:
                    now = counter.value
                    progress(now - seen)
                    seen = now
        except BrokenProcessPool as error:
            raise RunError("a worker process was killed (out of memory?); run the same command again to go on where it "
                           "stopped, with --workers 1 if memory is short") from error
        except BaseException:
            for process in list(getattr(pool, "_processes", {}).values()):
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failures


_counter: Any = None


def _start_worker(counter: Any) -> None:
    global _counter
    _counter = counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed cannot stop its workers: they must not go on writing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_in_worker(units: list[Unit], config: RunConfig, folder: Path) -> list[Failure]:
    def progress(decisions: int) -> None:
        with _counter.get_lock():
            _counter.value += decisions

    return _run_batch(units, config, folder, progress)
