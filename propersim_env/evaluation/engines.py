"""Engines: who works through the units of a run. All of them write the same logs.

- ``local``: this process.
- ``pool``: processes of this machine.
- ``ray``: tasks of a Ray cluster (extra ``ray``): the one that ``RAY_ADDRESS`` names, or one that is started on this machine.
  Its machines must see the run folder under the same path, and have this package.

A worker that is killed takes nothing with it: what it had finished stays, and the rest of its batch is done at the end, one
unit at a time, so that a unit that kills its worker again is found, reported as a failure, and never scored.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Protocol

from propersim_env.evaluation.failures import Failure
from propersim_env.evaluation.units import Batch, RunConfig, Unit, is_finished
from propersim_env.names import near_matches

BATCH = 64
"""Homes stepped together at most: beyond this they gain little, and memory and open files grow."""
POLL = 0.1
"""Seconds between two looks at how far workers are."""
DIED = "WorkerDied"
"""Kind of the failure of a unit whose worker died twice."""
TWICE = ("its worker process died twice (out of memory?); run the same command again to go on where it stopped, with "
         "--workers 1 if memory is short")
Progress = Callable[[int], None] | None
Work = list[Unit]


class EngineError(RuntimeError):
    """An engine that cannot be used; the message says what to do."""


class Engine(Protocol):
    """Works through units."""

    def __call__(self, units: Sequence[Unit], config: RunConfig, folder: Path, progress: Progress) -> list[Failure]:
        """Run them, writing logs to the folder; gives those that failed."""


def make_engine(name: str, workers: int) -> Engine:
    """An engine by name.

    Args:
        name: One of `ENGINES`, or ``"auto"``.
        workers: Processes or tasks at once.

    Raises:
        ValueError: No such engine.
    """
    if name == "auto":
        name = "pool" if workers > 1 else "local"
    if name not in ENGINES:
        raise ValueError(f"unknown engine {name!r}: {near_matches(name, ENGINES)}")
    return ENGINES[name](workers)


def batches(units: Sequence[Unit], workers: int) -> list[Work]:
    """Units in batches of one assistant each, sized so that all workers have something to do."""
    size = min(BATCH, max(1, math.ceil(len(units) / (2 * workers)))) if workers > 1 else BATCH
    result: list[Work] = []
    for unit in units:
        last = result[-1] if result else []
        if last and last[0].assistant == unit.assistant and len(last) < size:
            last.append(unit)
        else:
            result.append([unit])
    return result


def run_batch(units: Work, config: RunConfig, folder: Path, progress: Progress) -> list[Failure]:
    """Run units side by side in this process."""
    batch = Batch(units, config, folder)
    try:
        return batch.run(progress)
    finally:
        batch.close()


class Local:
    """This process."""

    def __init__(self, workers: int = 1) -> None:
        pass

    def __call__(self, units: Sequence[Unit], config: RunConfig, folder: Path, progress: Progress) -> list[Failure]:
        """See `Engine`."""
        return [failure for part in batches(units, 1) for failure in run_batch(part, config, folder, progress)]


def _suspects(accused: Sequence[Work], folder: Path) -> list[Work]:
    """Unfinished units of batches whose worker died, to be done alone."""
    return [[unit] for part in accused for unit in part if not is_finished(unit, folder)]


def _died(unit: Unit) -> Failure:
    return Failure(unit.assistant, unit.persona.id, unit.seed, -1, DIED, TWICE)


class Pool:
    """Processes of this machine.

    Args:
        workers: How many, at least 1.
    """

    def __init__(self, workers: int) -> None:
        self.workers = max(1, workers)

    def __call__(self, units: Sequence[Unit], config: RunConfig, folder: Path, progress: Progress) -> list[Failure]:
        """See `Engine`."""
        work = batches(units, self.workers)
        if len(work) <= 1:
            return Local()(units, config, folder, progress)
        failures, accused = list[Failure](), list[Work]()
        while work:  # the death of a worker ends all of a pool: what was not begun goes on in another
            done, suspect, work = self._round(work, config, folder, progress)
            failures += done
            accused += suspect
        for part in _suspects(accused, folder):
            done, suspect, _ = self._round([part], config, folder, progress)
            failures += [_died(part[0])] if suspect else done
        return failures

    def _round(
        self, work: list[Work], config: RunConfig, folder: Path, progress: Progress
    ) -> tuple[list[Failure], list[Work], list[Work]]:
        """Failures, batches that were being worked on when a worker died, and those that were not begun then."""
        context = multiprocessing.get_context("spawn")
        counter, begun = context.Value("q", 0), context.Array("b", len(work))
        failures, broken, seen = list[Failure](), list[int](), 0
        workers = min(self.workers, len(work))
        with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(counter, begun)) as pool:
            try:
                pending = {pool.submit(_run_in_worker, k, part, config, folder): k for k, part in enumerate(work)}
                while pending:
                    for future in _some(pending):
                        k = pending.pop(future)
                        try:
                            failures += future.result()
                        except BrokenProcessPool:
                            broken.append(k)
                    if progress is not None and counter.value != seen:
                        now = counter.value
                        progress(now - seen)
                        seen = now
            except BaseException:
                for process in list(getattr(pool, "_processes", {}).values()):
                    process.terminate()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return failures, [work[k] for k in broken if begun[k]], [work[k] for k in broken if not begun[k]]


def _some(pending: dict[Future[list[Failure]], int]) -> list[Future[list[Failure]]]:
    """Futures that are done, after waiting a moment for the first."""
    try:
        return [next(as_completed(pending, timeout=POLL))]
    except TimeoutError:
        return []


_counter: Any = None
_begun: Any = None


def _start_worker(counter: Any, begun: Any) -> None:
    global _counter, _begun
    _counter, _begun = counter, begun
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed cannot stop its workers: they must not go on writing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_in_worker(k: int, units: Work, config: RunConfig, folder: Path) -> list[Failure]:
    _begun[k] = 1

    def progress(decisions: int) -> None:
        with _counter.get_lock():
            _counter.value += decisions

    return run_batch(units, config, folder, progress)


class Ray:
    """Tasks of a Ray cluster.

    Args:
        workers: Tasks at once at most; 0 for as many as the cluster has cores.
    """

    def __init__(self, workers: int = 0) -> None:
        try:
            import ray
        except ImportError as error:
            raise ImportError('the engine ray needs Ray: pip install "propersim[ray]"') from error
        self.ray, self.workers = ray, workers

    def __call__(self, units: Sequence[Unit], config: RunConfig, folder: Path, progress: Progress) -> list[Failure]:
        """See `Engine`."""
        ray, began = self.ray, not self.ray.is_initialized()
        if began:
            limit = {"num_cpus": self.workers} if self.workers and not os.environ.get("RAY_ADDRESS") else {}
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR", **limit)
        try:
            return self._work(units, config, folder, progress)
        finally:
            if began:
                ray.shutdown()

    def _work(self, units: Sequence[Unit], config: RunConfig, folder: Path, progress: Progress) -> list[Failure]:
        cores = max(1, int(self.ray.cluster_resources().get("CPU", 1)))
        at_once = min(cores, self.workers) if self.workers else cores
        failures, accused = self._round(batches(units, at_once), at_once, config, folder, progress)
        more, died = self._round(_suspects(accused, folder), at_once, config, folder, progress)
        return failures + more + [_died(part[0]) for part in died]

    def _round(
        self, work: list[Work], at_once: int, config: RunConfig, folder: Path, progress: Progress
    ) -> tuple[list[Failure], list[Work]]:
        """Failures, and the batches whose worker died."""
        ray = self.ray
        waiting, accused, failures = list(work), list[Work](), list[Failure]()
        counter = ray.remote(num_cpus=0)(_Counter).remote()
        task = ray.remote(num_cpus=1, max_retries=0)(_run_in_task)
        running: dict[Any, Work] = {}
        seen = 0
        while waiting or running:
            while waiting and len(running) < at_once:
                part = waiting.pop(0)
                running[task.remote(part, config, folder, counter)] = part
            for reference in ray.wait(list(running), timeout=POLL)[0]:
                part = running.pop(reference)
                try:
                    failures += ray.get(reference)
                except ray.exceptions.WorkerCrashedError:
                    accused.append(part)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from error
            now = ray.get(counter.total.remote())
            if progress is not None and now != seen:
                progress(now - seen)
                seen = now
        return failures, accused


class _Counter:
    """Decisions taken by all tasks."""

    def __init__(self) -> None:
        self._total = 0

    def add(self, decisions: int) -> None:
        self._total += decisions

    def total(self) -> int:
        return self._total


def _run_in_task(units: Work, config: RunConfig, folder: Path, counter: Any) -> list[Failure]:
    if not (folder / "run.json").exists():
        raise EngineError(f"a machine of the Ray cluster does not see {folder}: put the run folder (--out) on a disk that all "
                          "of them share, under the same path")
    told, untold = time.monotonic(), 0

    def progress(decisions: int) -> None:
        nonlocal told, untold
        untold += decisions
        if time.monotonic() - told > POLL:  # a message for each call would cost more than the work
            counter.add.remote(untold)
            told, untold = time.monotonic(), 0

    failures = run_batch(units, config, folder, progress)
    counter.add.remote(untold)
    return failures


ENGINES: dict[str, Callable[[int], Engine]] = {"local": Local, "pool": Pool, "ray": Ray}
