"""A person plays the resident at a terminal.

What is done when comes from the simulated user: the person lives the planned days of a persona, hears what the assistant
says, and judges it. Silent ticks are not asked one by one: their marks are the simulated user's, and their terms say so
(``{"by": "simulated"}``). The simulated part remembers what the person heard and how it was judged.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import IO, Any

from rich.console import Console
from rich.text import Text

from propersim_env.agents.users.simulated import Resident, SimulatedUsers
from propersim_env.clock import TICKS_PER_DAY, moment_text, time_text
from propersim_env.messages import ALL_MARKS, DIMENSIONS, Activity, Rating, UserTurn
from propersim_env.persona import Persona

KEYS = {name[0]: 1 << i for i, name in enumerate(DIMENSIONS)}
REACTION_KEYS = {"a": "accept", "d": "dismiss", "i": "ignore", "x": "dismiss"}

MARKS_HELP = """\
  p preference     it fits what you want in this situation, and is no repeat
  t timing         you want to be spoken to now
  f frequency      one more is within the rate you want
  c communication  tone, length and manner are right, and it is safe
  Type the letters of the marks it earns, e.g. pt or ptfc; all; none."""
REACTION_HELP = """\
  a accept   you take it up
  d dismiss  you wave it away
  i ignore   you do not react
  x          you dismiss the assistant for good; the episode ends"""


class InputEnded(RuntimeError):
    """The person's input came to its end (Ctrl-D, or the end of a file) while an answer was needed."""


class Terminal:
    """Asks and tells on a terminal, or on any two streams.

    Args:
        source: Where answers come from; by default standard input.
        target: Where questions go; by default standard output.
    """

    def __init__(self, source: IO[str] | None = None, target: IO[str] | None = None) -> None:
        self.source = source
        self.console = Console(file=target, highlight=False)

    def tell(self, text: str = "", style: str = "") -> None:
        """Print a line; characters that could steer the terminal are shown as �."""
        self._print(printable(text), style)

    def _print(self, text: str, style: str = "", end: str = "\n") -> None:
        self.console.print(Text(text, style=style), end=end, soft_wrap=not self.console.is_terminal)

    def ask(self, prompt: str) -> str:
        """One line of input without its end.

        Raises:
            InputEnded: There is no more input.
        """
        source = self.source or sys.stdin
        own = source is sys.stdin and source.isatty()
        try:
            if own and self.console.file is sys.stdout:
                return input(prompt)  # with the prompt, so that line editing knows where the line begins
            self._print(prompt, end="")
            line = source.readline()
        except EOFError:
            line = ""
        if not line:
            self._print("")
            raise InputEnded("the input ended while an answer was needed; the episode is not complete")
        if not source.isatty():
            self._print(printable(line.rstrip("\n")))  # so that a transcript shows both sides
        return line.rstrip("\r\n")


def printable(text: str) -> str:
    """The text with control characters, lone surrogates and the like replaced."""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)


class HumanUser:
    r"""A person as a user agent.

    Not a function of the seed: use the environment id ``ProPerSimLive-v0``.

    Args:
        narrate: Tell what the resident does as the day passes.
        source: Stream that answers come from; by default standard input.
        target: Stream that questions go to; by default standard output.

    Example:
        >>> import io
        >>> from propersim_env import load_persona
        >>> user = HumanUser(source=io.StringIO("all\na\n\n"), target=io.StringIO())
        >>> _ = user.reset(load_persona("p01"), seed=0)
        >>> user.act("How about a short walk?").rating.total
        4
    """

    deterministic = False
    interactive = True

    def __init__(self, *, narrate: bool = True, source: IO[str] | None = None, target: IO[str] | None = None) -> None:
        self.narrate = narrate
        self.terminal = Terminal(source, target)
        self.users = SimulatedUsers(1)
        self._now = UserTurn(None, Activity("", ""), -1)
        self._told = Activity("", "")
        self._told_day = -1

    def reset(self, persona: Persona, seed: int) -> UserTurn:
        """Begin an episode: introduce the person to whom they play."""
        self._now = self.users.reset(0, persona, seed)
        self._told, self._told_day = Activity("", ""), -1
        self.terminal.tell(f"You are {persona.describe()}", "cyan")
        self.terminal.tell("\nWhen something is said to you, say which of four marks it earns, how you react and, if you like, "
                           "why; ? explains.")
        return self._now

    def act(self, heard: str) -> UserTurn:
        """Ask the person about what was heard; move on to the next waking tick.

        Raises:
            InputEnded: The person left.
        """
        if self.narrate:
            self._narrate()
        dismiss = False
        if heard:
            rating, dismiss = self._hear(heard)
        else:
            silence = self.users.rate(0, "")
            rating = Rating(silence.marks, silence.reaction, silence.reasons, {"by": "simulated", **silence.terms})
        moved = self.users.act([""]).one(0)
        self._now = UserTurn(rating, moved.activity, moved.tick, dismiss, diary=moved.diary)
        return self._now

    def _narrate(self) -> None:
        """Say what is done now, where it has changed; told late, so that nothing is told of a day that nobody lives."""
        turn = self._now
        day = turn.tick // TICKS_PER_DAY
        if day != self._told_day:
            self._told_day = day
            self.terminal.tell(f"\n{moment_text(turn.tick).rpartition(',')[0]}", "bold")
        elif turn.activity == self._told:
            return
        self._told = turn.activity
        self.terminal.tell(f"{time_text(turn.tick)}  {turn.activity.text}", "dim")

    def _hear(self, text: str) -> tuple[Rating, bool]:
        """Have the person judge a text, and the simulated part remember it as judged."""
        resident = self.users.resident(0)
        self.terminal.tell(f"{time_text(resident.now)}  the assistant says: {text}", "bold")
        marks = self._ask_marks()
        key = self._ask_reaction()
        reason = self.terminal.ask("why? (Enter: no reason) ").strip()
        self.terminal.tell(f"  {marks.bit_count()} of 4", "green" if marks.bit_count() > 2 else "yellow")
        judgement = resident.judge(text)
        serves = 0
        if marks & 1 and judgement.topic >= 0:
            serves = resident.rater.topic_margin(resident.plan, resident.tick, resident.mind, judgement.topic)[3]
        judged = replace(judgement, marks=marks, reaction=REACTION_KEYS[key], serves=serves)
        resident.rater.deliver(resident.plan, resident.tick, resident.mind, text, judged)
        self.users.heard_awake[0] = self.users.awake[0]
        self.users.served[0] = resident.mind.served
        terms: dict[str, Any] = {"by": "person"}
        if judged.topic >= 0:
            terms["topic"] = resident.persona.setting.topic_ids[judged.topic]
        if serves:
            terms["serves"] = [need.index for need in resident.plan.needs if serves >> need.index & 1]
        return Rating(marks, REACTION_KEYS[key], {"overall": reason} if reason else {}, terms), key == "x"

    def _ask_marks(self) -> int:
        while True:
            answer = self.terminal.ask("marks? [p t f c, all, none, ?] ")
            marks = parse_marks(answer)
            if marks is not None:
                return marks
            if answer.strip() not in ("", "?"):
                self.terminal.tell(f"{answer.strip()!r} is no answer:", "yellow")
            self.terminal.tell(MARKS_HELP)

    def _ask_reaction(self) -> str:
        while True:
            answer = self.terminal.ask("reaction? [a d i x, ?] ").strip().lower()
            if answer and (answer in REACTION_KEYS or answer in REACTION_KEYS.values()):
                return answer[0]
            self.terminal.tell(REACTION_HELP)

    def resident(self) -> Resident:
        """Privileged access to the simulated part, for oracles and studies."""
        return self.users.resident(0)

    def get_state(self) -> dict[str, Any]:
        """State as JSON values."""
        return self.users.get_state(0)

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` gave; needs a `reset` before."""
        self.users.set_state(0, state)
        self._now = UserTurn(None, self.users.activities[0], self.users.resident(0).now)


def parse_marks(answer: str) -> int | None:
    """The bit mask that an answer such as ``"pt"``, ``"p, t"``, ``"all"`` or ``"none"`` means; None for no answer."""
    word = answer.strip().lower()
    if word in ("all", "none"):
        return ALL_MARKS if word == "all" else 0
    letters = [c for c in word if c not in " ,"]
    if not letters or any(c not in KEYS for c in letters):
        return None
    return sum({KEYS[c] for c in letters})
