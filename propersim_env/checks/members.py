"""Does an assistant honour what it need not have: alternatives, acting together, notes and files?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from propersim_env.checks.findings import Broken, Finding, problem_text
from propersim_env.evaluation.answers import checked_alternatives, checked_notes, checked_together


def alternatives(assistant: Any, when: str) -> Sequence[str]:
    """The texts that an assistant wants rated without saying them.

    Raises:
        Broken: It raised, or gave no texts.
    """
    try:
        return checked_alternatives(assistant.alternatives())
    except (Exception, SystemExit) as error:
        raise Broken("alternatives() gives texts", f"{problem_text(error)} {when}",
                     "it is asked right after each decision; an error fails the episode",
                     "return a list of str, () for none") from error


def notes(assistant: Any, day: int) -> None:
    """Ask for the notes of a day, as after ``learn``.

    Raises:
        Broken: It raised, or gave nothing that a log can hold.
    """
    try:
        checked_notes(assistant.notes(), day)
    except (Exception, SystemExit) as error:
        raise Broken("notes() gives JSON values", problem_text(error), "they are written into the log after each learn(events)",
                     "return a dict of str, int, float, bool, None, list and dict; the same in every run") from error


def keeping(make: Callable[[], Any]) -> Iterator[Finding]:
    """Whether an assistant begins with a folder of its own, which is not made yet."""
    assistant = make()
    if not hasattr(assistant, "keep"):
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            assistant.keep(Path(folder) / "assistants" / "kept")
            assistant.reset(0)
        except (Exception, SystemExit) as error:
            yield Finding("error", "keep(folder) works", problem_text(error),
                          "it is called before reset(seed) in every run that has a folder",
                          "def keep(self, folder): … takes a pathlib.Path; make it (parents=True) when there is a file for it")
            return
    yield Finding("ok", "keep(folder) works", "began with a folder that was not there yet")


def together(make: Callable[[], Any], seed: int, observations: Sequence[str], alone: Sequence[str]) -> Iterator[Finding]:
    """Whether two assistants decide together as each does alone.

    Args:
        make: Builds the assistant.
        seed: With which it decided alone.
        observations: What it saw then.
        alone: What it said then.
    """
    act_together = getattr(type(make()), "act_together", None)
    if act_together is None:
        return
    check = "act_together() decides as act() does"
    both = [make(), make()]
    for assistant in both:
        assistant.reset(seed)
    for i, (observation, text) in enumerate(zip(observations, alone, strict=True)):
        try:
            answers = checked_together(act_together(both, [observation, observation]), 2)
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
        except (Exception, SystemExit) as error:
            yield Finding("error", check, f"{problem_text(error)} at decision {i + 1}",
                          "runs call it in place of act() for all homes side by side",
                          "a static method (assistants, observations) that returns a list with one str for each, in order")
            return
        other = next((answer for answer in answers if answer != text), None)
        if other is not None:
            yield Finding("error", check, f"decision {i + 1} ({observation:.60}…): alone {text!r:.60}, together {other!r:.60}",
                          "batches differ with the number of workers and when a run is resumed, and its logs would too",
                          "give each home its own random numbers, and keep its state in its own instance")
            return
    yield Finding("ok", check, f"the same {len(alone)} decisions, two homes at once")
