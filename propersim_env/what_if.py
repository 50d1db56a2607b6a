"""Why a decision was rated as it was, and how another one would have been: what explanations and counterfactuals are made of.

A user that can explain itself gives an `Explanation` of any decision at its moment, and a `WhatIf` of a changed one. The
environments pass both on. It is privileged information, for studies and for learning from logs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gymnasium.error import ResetNeeded

from propersim_env.clock import MINUTES_PER_TICK, moment_text, span_text
from propersim_env.machine import Machine
from propersim_env.messages import DIMENSIONS, Rating

SMALL = 0.005
"""A part of a margin that is, or moves by, less than this explains nothing."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one decision, at one moment, is rated as it is.

    Attributes:
        text: What was rated; ``""`` is silence.
        tick: Absolute tick of the moment.
        rating: How it is rated there.
        parts: For each dimension what its margin adds up from, by name; the sum is the margin, and a mark is given above 0.
            The noise of the moment is a part. Empty for silence, which is not rated by margins.
        words: For each dimension what is behind its parts, by the same names, and what else is worth knowing.
    """

    text: str
    tick: int
    rating: Rating
    parts: Mapping[str, Mapping[str, float]]
    words: Mapping[str, Mapping[str, str]]

    @property
    def margins(self) -> dict[str, float]:
        """The margin of each dimension; empty for silence."""
        return {name: sum(parts.values()) for name, parts in self.parts.items()}

    def lines(self, dimension: str) -> list[str]:
        """What is behind one mark, one part a line, the largest first; facts without a value come last."""
        parts, words = self.parts.get(dimension, {}), self.words.get(dimension, {})
        ordered = sorted((name for name in parts if abs(parts[name]) > SMALL), key=lambda name: -abs(parts[name]))
        lines = [f"{parts[name]:+.2f} {words.get(name, name)}" for name in ordered]
        return lines + [f"      {text}" if parts else text for name, text in words.items() if name not in parts]

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        rating = self.rating
        return {
            "text": self.text, "tick": self.tick, "rating": rating.total, "marks": rating.as_dict(),
            "reaction": rating.reaction, "reasons": dict(rating.reasons), "margins": self.margins,
            "parts": {name: dict(parts) for name, parts in self.parts.items()},
            "words": {name: dict(words) for name, words in self.words.items()},
        }

    def __str__(self) -> str:
        what = f'"{self.text}"' if self.text else "silence"
        lines = [f"{moment_text(self.tick)}: {what}: {self.rating.total} of 4, {self.rating.reaction}"]
        margins = self.margins
        for name, mark in self.rating.as_dict().items():
            lines.append(f"  {name} {mark}" + (f" (margin {margins[name]:+.2f})" if name in margins else ""))
            lines += [f"    {line}" for line in self.lines(name)]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A counterfactual: how a changed decision would have been rated.

    Attributes:
        base: The decision as it is, with the noise of its moment.
        then: The changed one.
        waited: Silent decisions before it is said.
    """

    base: Explanation
    then: Explanation
    waited: int = 0

    @property
    def text(self) -> str:
        """The text that was rated."""
        return self.then.text

    @property
    def tick(self) -> int:
        """The absolute tick at which it was rated."""
        return self.then.tick

    @property
    def rating(self) -> Rating:
        """How it would have been rated."""
        return self.then.rating

    @property
    def gain(self) -> int:
        """Rating gained over the base case, -4 to 4."""
        return self.then.rating.total - self.base.rating.total

    @property
    def changes(self) -> list[str]:
        """For each mark that changes, why, in words."""
        before, after = self.base.rating.as_dict(), self.then.rating.as_dict()
        return [f"{name} {before[name]} -> {after[name]}: {self._why(name, after[name])}"
                for name in DIMENSIONS if before[name] != after[name]]

    def _why(self, name: str, mark: int) -> str:
        """The part of a margin that moved most towards the new mark, and what was there before."""
        old, new = self.base.parts.get(name, {}), self.then.parts.get(name, {})
        old_words, new_words = self.base.words.get(name, {}), self.then.words.get(name, {})
        if not old or not new:  # silence on one side, which has no margins to compare
            return _said(new, new_words, mark)
        sign = 1 if mark else -1
        moved = {part: sign * (new.get(part, 0.0) - old.get(part, 0.0)) for part in {**new, **old}}
        come = max((p for p in new if moved[p] > SMALL), key=lambda p: moved[p], default="")
        gone = max((p for p in old if p not in new and moved[p] > SMALL), key=lambda p: moved[p], default="")
        if gone and (not come or (come in old and moved[gone] > moved[come])):
            return f"no longer: {old_words.get(gone, gone)}"
        was = come if come in old else gone
        if not was or old_words.get(was) == new_words.get(come):
            return new_words.get(come, come)
        return f"{new_words.get(come, come)} (before: {old_words.get(was, was)})"

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {"waited_minutes": self.waited * MINUTES_PER_TICK, "gain": self.gain, "changes": self.changes,
                "base": self.base.as_dict(), "then": self.then.as_dict()}

    def __str__(self) -> str:
        what = f'"{self.text}"' if self.text else "silence"
        later = f" after {span_text(self.waited)} of waking silence" if self.waited else ""
        first = (f"{moment_text(self.tick)}{later}: {what}: {self.rating.total} of 4 instead of {self.base.rating.total}, "
                 f"{self.rating.reaction}")
        return "\n".join([first, *(f"  {change}" for change in self.changes or ["no mark changes"])])


def _said(parts: Mapping[str, float], words: Mapping[str, str], mark: int) -> str:
    """What speaks most for a mark; of silence, all that is known."""
    sign = 1 if mark else -1
    if not parts:
        return "; ".join(words.values())
    most = max(parts, key=lambda part: (sign * parts[part] > SMALL and part != "noise", sign * parts[part]))
    return words.get(most, most)


def capability(user: Any, name: str) -> Callable[..., Any]:
    """A method of a user that not every user has.

    Raises:
        TypeError: It has none; the message names those that have.
    """
    method = getattr(user, name, None)
    if not callable(method):
        raise TypeError(f"{type(user).__name__} has no {name}(): it cannot explain how it rates; the simulated user can, "
                        f"and a log of it afterwards (propersim explain --help)")
    return method  # type: ignore[no-any-return]


def explanation(machine: Machine, i: int, user: Any, *asked: Any) -> Explanation:
    """Have the user of home i explain a rating; `asked` are the arguments of its ``explain``."""
    machine.require_full("explain")
    _begun(machine, i)
    answer: Explanation = capability(user, "explain")(*asked)
    return answer


def counterfactual(machine: Machine, i: int, user: Any, *asked: Any, minutes_later: float = 0, **changes: Any) -> WhatIf:
    """Have the user of home i say how a changed decision would be rated, before the end of the episode.

    Args:
        machine: That the home is in.
        i: The home.
        user: The user agent, or the batch that it is part of.
        *asked: Arguments of its ``what_if``.
        minutes_later: See `propersim_env.single_agent.ProPerSimEnv.what_if`.
        **changes: See there.

    Raises:
        ResetNeeded: There is no episode, or it is over.
        TypeError: The user cannot explain itself.
        ValueError: The episode ends before that moment, or the changes contradict each other.
    """
    machine.require_full("what_if")
    most = _waking_minutes_left(machine, i)
    if minutes_later > most:
        raise ValueError(f"minutes_later={minutes_later:g}: max_cycles={machine.config.max_cycles} ends the episode after "
                         f"{most:g} more minutes")
    answer: WhatIf = capability(user, "what_if")(*asked, minutes_later=minutes_later, horizon=machine.horizon, **changes)
    return answer


def best_moment(machine: Machine, i: int, user: Any, *asked: Any, within_minutes: float = 120) -> WhatIf:
    """Have the user of home i find the best moment for a text, before the end of the episode. Raises as `counterfactual`."""
    machine.require_full("best_moment")
    within = min(within_minutes, _waking_minutes_left(machine, i))
    answer: WhatIf = capability(user, "best_moment")(*asked, within_minutes=within, horizon=machine.horizon)
    return answer


def _begun(machine: Machine, i: int) -> None:
    if not machine.active[i]:
        raise ResetNeeded("there is no moment to explain: the episode has not begun, or is over; call reset()")


def _waking_minutes_left(machine: Machine, i: int) -> float:
    """Waking minutes until the last decision that ``max_cycles`` allows."""
    _begun(machine, i)
    limit = machine.config.max_cycles
    return float("inf") if limit is None else (limit - int(machine.cycles[i]) - 1) * MINUTES_PER_TICK
