"""Units that did not finish, and why."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from propersim_env.clock import moment_text
from propersim_env.protocols import AgentTimeout

FAULTS = (Exception, SystemExit, GeneratorExit, asyncio.CancelledError, AgentTimeout)
"""What an agent may raise that stops its own episode only; Ctrl-C is not among it."""
LONGEST_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """A unit that did not finish; it is reported and never scored."""

    assistant: str
    persona: str
    seed: int
    tick: int
    kind: str
    message: str

    def __str__(self) -> str:
        when = f"at tick {self.tick} ({moment_text(self.tick)})" if self.tick >= 0 else "before its first decision"
        return f"{self.assistant} with {self.persona}, seed {self.seed}, failed {when}: {self.kind}: {self.message}"


def describe(error: BaseException) -> str:
    """The message of an error, fit for a log."""
    try:
        message = str(error) or "no message"
    except Exception as second:  # an error whose text cannot be made is still an error to report
        message = f"(its message raised {type(second).__name__})"
    return message.encode("utf-8", "backslashreplace").decode()[:LONGEST_MESSAGE]
