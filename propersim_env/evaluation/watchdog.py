"""Agents that hang: a decision that takes too long is interrupted from within."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from propersim_env.protocols import AgentTimeout


class Stopwatch:
    """What an agent is doing now.

    Attributes:
        since: When it was asked, by `time.monotonic`; 0: nobody is being asked.
        homes: For how many homes at once it was asked.
    """

    __slots__ = ("homes", "since")

    def __init__(self) -> None:
        self.since, self.homes = 0.0, 1


@contextmanager
def watchdog(limit: float, asked: Stopwatch) -> Iterator[None]:
    """Raise `AgentTimeout` inside a call to an agent that takes longer than `limit` seconds a home.

    Works in the main thread of systems with SIGALRM; elsewhere a hanging agent must be stopped by hand.
    """
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def check(*_: Any) -> None:
        if asked.since and time.monotonic() - asked.since > limit * asked.homes:
            asked.since = time.monotonic()  # fires again if this one is swallowed
            together = f" for {asked.homes} homes together" if asked.homes > 1 else ""
            raise AgentTimeout(f"no decision within {limit * asked.homes:g} s{together}; raise the limit with --timeout")

    previous = signal.signal(signal.SIGALRM, check)
    signal.setitimer(signal.ITIMER_REAL, min(1.0, limit), min(1.0, limit))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
