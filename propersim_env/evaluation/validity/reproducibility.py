"""V1 and V2: the same seed gives the same log, and another policy meets the same days."""

from __future__ import annotations

import hashlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from .episodes import episodes, logged
from .values import Size, Value, residents, sampled

POLICIES = ("silent", "random:p=0.05", "always")


def _hashes(n: int, days: int) -> list[str]:
    """SHA-256 of the log of each of n episodes."""
    with logged(sampled(n), ["random:p=0.05"], days) as folder:
        return [str(episode.end["sha256"]) for episode in episodes(folder) if episode.end]


def same_log(size: Size) -> list[Value]:
    """V1: logs of the same seed, written by two processes."""
    n, days = (4, 2) if size == "small" else (32, 14)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        first, second = (job.result() for job in [pool.submit(_hashes, n, days) for _ in range(2)])
    differing = sum(a != b for a, b in zip(first, second, strict=True)) + (n - len(first))
    return [Value("V1", "logs that differ between two processes", differing, 0, "equal",
                  f"{n} sampled personas x {days} days, SHA-256 of each log")]


def _print(resident: Any) -> str:
    """Fingerprint of everything in today's plan that no assistant may change."""
    plan = resident.plan
    digest = hashlib.sha256(repr([(n.want.id, n.start, n.end) for n in plan.needs]).encode())
    digest.update(repr([(s.start, s.end, s.kind.id, s.text) for s in plan.segments]).encode())
    for array in (plan.segment, plan.need_bits, plan.timing, plan.noise, plan.uniform):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _lived(n: int, days: int, often: float, **options: Any) -> list[str]:
    """Fingerprints of all days of n residents who are spoken to at a share of their ticks."""
    users = residents(sampled(n), **options)
    texts = [t.text for t in sampled(1)[0].setting.catalogue]
    rng = np.random.default_rng(0)
    prints: list[str] = []
    for _ in range(days):
        for i, resident in enumerate(users.residents):
            today = resident.plan.day
            while resident.plan.day == today:
                before = _print(resident) if int(users.tick[i]) >= resident.plan.sleep - 1 else ""
                said = [""] * n
                said[i] = texts[int(rng.integers(len(texts)))] if rng.random() < often else ""
                users.act(said, np.arange(n) == i)
                prints += [before] if before and resident.plan.day != today else []
    return prints


def same_days(size: Size) -> list[Value]:
    """V2: days met by different policies."""
    n, days = (4, 2) if size == "small" else (32, 7)
    reference = _lived(n, days, 0.0)
    what = f"{n} sampled personas x {days} days; spoken to at 5 % and at all ticks against silence"
    differing = sum(a != b for often in (0.05, 1.0) for a, b in zip(reference, _lived(n, days, often), strict=True))
    followed = _lived(n, days, 0.05, follow_through=True)
    changed = sum(a != b for a, b in zip(reference, followed, strict=True)) / len(reference)
    return [
        Value("V2", "days whose routine, needs or noise depend on the policy", differing, 0, "equal", what),
        Value("V2", "the same share with follow-through on", changed, None, "equal", what),
    ]
