"""``propersim play``: be the assistant of one resident for a day, or be the resident."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from propersim_env.cli.console import ERR, OUT, add_common, error, print_json
from propersim_env.cli.layout import hanging
from propersim_env.clock import TICKS_PER_DAY, moment_text, tick_of, time_text
from propersim_env.evaluation.metrics import measure
from propersim_env.evaluation.units import Batch, RunConfig, Unit, build_assistant
from propersim_env.log import Episode, read_episode
from propersim_env.messages import DIMENSIONS, Rating
from propersim_env.persona import load_persona
from propersim_env.registry import assistant_names
from propersim_env.seeding import derive
from propersim_env.single_agent import ProPerSimEnv

EPILOG = """\
examples:
  propersim play                                    be the assistant of p01 for a day
  propersim play --persona p07 --days 2 --out runs/mine
  propersim play --as user --assistant oracle       be the resident, with the best assistant there is
  propersim play --as user --assistant my_file.py:MyAssistant
  printf 'n\\nHow about a cup of tea?\\nwhy\\nq\\n' | propersim play

As the assistant you see what every assistant sees: the time, what the resident is doing, and how your last text was
received. A good day is a few texts at moments at which they are welcome: each earns (rating - 2) / 2, silence nothing.
As the resident you are asked for four marks whenever something is said to you.

assistants: {assistants}
"""
HELP = """\
  a text            say it: the resident rates it 0-4 and the clock moves on by one tick (2.5 min)
  Enter             stay silent for one tick
  12                stay silent for 12 ticks (half an hour)
  n                 stay silent until the resident does something else
  u 18:30           stay silent until 18:30 (also: until 18:30)
  why               why the last rating (of a text or of silence) was what it was
  say …             say … even if it looks like a command
  q                 leave (also: quit, exit, Ctrl-D)"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "play", help="be the assistant for a day, or the resident", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Play one part yourself, in a dialogue on the terminal.",
        epilog=EPILOG.format(assistants=", ".join(assistant_names())),
    )
    parser.add_argument("--as", dest="part", choices=("assistant", "user"), default="assistant",
                        help="which part you play; default: assistant")
    parser.add_argument("--persona", default="p01", help="an id, or the path of a persona file; default: p01")
    parser.add_argument("--assistant", default="oracle", metavar="NAME",
                        help="who talks to you when you are the user; default: oracle")
    parser.add_argument("--days", type=int, default=1, help="days to play; default: 1")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another day; default: 0")
    parser.add_argument("--setting", default="house", help="name of a setting, or path of its folder; default: house")
    parser.add_argument("--out", type=Path, help="keep the event log in this folder; default: it is thrown away")
    add_common(parser)
    parser.set_defaults(execute=run)


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    options.interrupted = "you stopped the game; what you did is not scored"
    if options.days < 1 or options.seed < 0:
        raise ValueError(f"--days {options.days} --seed {options.seed}: days must be at least 1 and the seed at least 0")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        status, path = _as_user(options, folder) if options.part == "user" else _as_assistant(options, folder)
        summary = Summary.of(read_episode(path, allow_incomplete=True))
        if summary.complete and summary.by != "oracle" and options.part == "assistant":
            summary.oracle = _oracle_utility(options, Path(temporary))
    if options.json:
        print_json({**asdict(summary), "mean_rating": summary.mean_rating})
    else:
        summary.show()
        if options.out:
            OUT.print(f"log: {path}", soft_wrap=True)
    return status


# --- you are the assistant -------------------------------------------------------------------------------------------


def _as_assistant(options: argparse.Namespace, folder: Path) -> tuple[int, Path]:
    env = _environment(options, folder, "simulated", "you")
    try:
        return 0, _Game(env, options).play()
    finally:
        env.close()


def _environment(options: argparse.Namespace, folder: Path, user: Any, name: str) -> ProPerSimEnv:
    persona = load_persona(options.persona, options.setting)
    folder.mkdir(parents=True, exist_ok=True)
    if (existing := _log_in(folder, name, persona.id, options.seed)).exists():
        raise ValueError(f"{existing} exists: choose another folder with --out, or another --seed")
    return ProPerSimEnv(persona, user=user, days=options.days, setting=options.setting, log_dir=folder, log_as=name)


def _log_in(folder: Path, name: str, persona: str, seed: int) -> Path:
    from propersim_env.episode import log_name

    return folder / log_name(name, persona, seed)


class _Game:
    """The dialogue of a person who plays the assistant."""

    def __init__(self, env: ProPerSimEnv, options: argparse.Namespace) -> None:
        from propersim_env.agents.users.human import Terminal

        self.env, self.seed = env, options.seed
        self.terminal = Terminal(target=ERR.file if options.json else None)
        self.over = False
        self.last: Rating | None = None
        self.doing = self._shown = self._shown_day = ""

    def play(self) -> Path:
        """Play to the end, or until the person leaves; returns the log."""
        from propersim_env.agents.users.human import InputEnded

        _, self.info = self.env.reset(seed=self.seed)
        persona, tell = self.env.persona, self.terminal.tell
        assert persona is not None
        days = self.env.machine.config.days
        span = f"{days} days" if days > 1 else "a day"
        tell(f"You are the assistant of {persona.name} for {span}. Find out what is welcome, and when.", "bold")
        tell("Type a text to say it; Enter is silence; 12 is silence for 12 ticks; n until something changes; ? shows all.")
        self._look(always=True)
        try:
            while not self.over:
                self._command(self.terminal.ask("> ").strip())
        except InputEnded:
            self.over = True
        return _log_in(Path(str(self.env.log_dir)), "you", persona.id, self.seed)

    def _command(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        word = word.lower()
        if line.isdecimal():
            self._wait(ticks=int(line))
        elif line.lower() in ("q", "quit", "exit"):
            self.over = True
        elif line.lower() in ("?", "h", "help"):
            self.terminal.tell(HELP)
        elif line.lower() in ("n", "next"):
            self._wait(change=True)
        elif line.lower() == "why":
            self._why()
        elif word in ("u", "until") and (not rest or rest.strip()[0].isdigit()):
            self._until(rest.strip())
        elif word == "say" and rest:
            self._say(rest)
        elif line:
            self._say(line)
        else:
            self._wait(ticks=1)

    def _until(self, time: str) -> None:
        try:
            tick = tick_of(time)
        except ValueError:
            self.terminal.tell(f"{time or 'u'!r}: write u HH:MM, e.g. u 18:30", "yellow")
            return
        now = int(self.info["tick"])
        goal = now - now % TICKS_PER_DAY + tick
        if goal <= now:
            self.terminal.tell(f"it is {time_text(now)} already", "yellow")
        else:
            self._wait(ticks=goal - now)

    def _wait(self, ticks: int = 0, change: bool = False) -> None:
        """Stay silent; a change of day stops it."""
        start, lost = int(self.info["tick"]), 0
        goal = start + ticks
        while not self.over:
            self.last = self.env.rate("")
            lost += self.last.total < 4
            before = self.doing
            self._step("")
            now = int(self.info["tick"])
            if now // TICKS_PER_DAY != start // TICKS_PER_DAY or (change and self.doing != before) or \
                    (not change and now >= goal):
                break
            self._look()
        if lost:
            self.terminal.tell(f"  {lost} of these silent ticks got less than 4: something may have been wanted", "yellow")
        if not self.over:
            self._look(always=True)

    def _say(self, text: str) -> None:
        self._step(text)
        rating = self.last = self.env.machine.ratings[0]
        marks = "  ".join(f"{name} {'✓' if mark else '✗'}" for name, mark in rating.as_dict().items())
        style = "green" if rating.total >= 3 else "yellow" if rating.total == 2 else "red"
        self.terminal.tell(f"  {rating.total} of 4   {marks}   {rating.reaction}   (why?)", style)
        if not self.over:
            self._look(always=True)

    def _why(self) -> None:
        if self.last is None:
            self.terminal.tell("nothing has been rated yet")
            return
        if not any(self.last.reasons.values()):
            self.terminal.tell(f"  silence was right: {self.last.total} of 4")
            return
        marks = self.last.as_dict()
        for name in DIMENSIONS:
            reason = self.last.reasons.get(name) or "nothing to say"
            self.terminal.tell(f"  {'✓' if marks[name] else '✗'} {name:<13} {reason}")

    def _step(self, text: str) -> None:
        _, _, terminated, truncated, self.info = self.env.step(text)
        self.over = terminated or truncated
        if not self.over:
            self._note_activity()

    def _note_activity(self) -> None:
        activity = self.env.machine.observation(0).split(". ", 1)[1]
        self.doing = activity.split(". ", 1)[0].removeprefix("The resident is ")
        if others := self.env.machine.activities[0].company:
            self.doing += f" - also at home: {others}"

    def _look(self, always: bool = False) -> None:
        """Show the moment: always before a question, else where something changed."""
        if not self.doing:
            self._note_activity()
        tick = int(self.info["tick"])
        day = moment_text(tick).rpartition(",")[0]
        if day != self._shown_day:
            self._shown_day = day
            self.terminal.tell(f"\n{day}", "bold")
        if always or self.doing != self._shown:
            self.terminal.tell(f"{time_text(tick)}  {self.doing}", "" if always else "dim")
        self._shown = self.doing


# --- you are the resident --------------------------------------------------------------------------------------------


def _as_user(options: argparse.Namespace, folder: Path) -> tuple[int, Path]:
    from propersim_env.agents.users.human import HumanUser, InputEnded

    assistant = build_assistant(options.assistant)
    human = HumanUser(target=ERR.file if options.json else None)
    env = _environment(options, folder, human, options.assistant)
    persona = env.persona or load_persona(options.persona, options.setting)
    path = _log_in(folder, options.assistant, persona.id, options.seed)
    status = 0
    try:
        assistant.reset(derive(options.seed, "assistant", persona.id))
        observation, info = env.reset(seed=options.seed)
        if hasattr(assistant, "bind"):
            assistant.bind(human.resident)
        events: list[dict[str, Any]] = []
        over = False
        while not over:
            if hasattr(assistant, "learn") and events and events[-1]["tick"] // TICKS_PER_DAY < info["day"]:
                assistant.learn(events)
                events = []
            text, tick = assistant.act(observation), info["tick"]
            seen = observation
            observation, _, terminated, truncated, info = env.step(text)
            marks = int(env.machine.marks[0])
            events.append({"tick": tick, "observation": seen, "text": text, "rating": marks.bit_count(), "marks": marks,
                           "reaction": info["reaction"],
                           **({"alternatives": []} if hasattr(assistant, "alternatives") else {})})  # a person hears all
            over = terminated or truncated
    except InputEnded as problem:
        error(str(problem))
        status = 1
    finally:
        env.close()
    return status, path


# --- the day's score -------------------------------------------------------------------------------------------------


@dataclass
class Summary:
    """What a game came to; computed from its event log.

    Attributes:
        persona: Id.
        by: Who played the assistant.
        complete: The game was played to its end.
        wanted_per_day: The rate the resident wants.
        days: Days begun.
        delivered: Texts that were rated.
        ratings: Their ratings.
        utility: Sum of (rating - 2) / 2 over them.
        needs: What the resident could have used, each with ``day``, ``from``, ``to``, ``topic``, ``want``, ``why`` and
            ``state`` (``"served"``, ``"missed"`` or ``"not reached"``).
        oracle: The utility that the oracle earns in the same days; None where it was not played.
    """

    persona: str
    by: str
    complete: bool
    wanted_per_day: float
    days: int
    delivered: int
    ratings: list[int]
    utility: float
    needs: list[dict[str, Any]] = field(default_factory=list)
    oracle: float | None = None

    @property
    def mean_rating(self) -> float | None:
        """Mean rating of what was delivered."""
        return sum(self.ratings) / len(self.ratings) if self.ratings else None

    @staticmethod
    def of(episode: Episode) -> Summary:
        """The summary of an episode, complete or not."""
        persona = episode.begin["persona"]
        said = [d for d in episode.decisions() if d.text and d.rating is not None]
        ratings = [d.rating for d in said if d.rating is not None]
        horizon = episode.end is not None and episode.end["reason"] == "horizon"
        last = max((d.tick for d in episode.decisions()), default=0)
        served = {(event["tick"] // TICKS_PER_DAY, need) for event in episode.said()
                  for need in event.get("terms", {}).get("serves", ())}
        why = {w["id"]: w["why"] for w in persona["preferences"]["wants"]}
        needs = []
        for event in episode.days():
            for need in event.get("needs", ()):
                reached = horizon or event["day"] * TICKS_PER_DAY + need["to"] <= last
                state = "served" if (event["day"], need["id"]) in served else "missed" if reached else "not reached"
                needs.append({
                    "day": event["day"], "from": time_text(need["from"]), "to": time_text(need["to"]), "state": state,
                    "topic": need["topic"], "want": need["want"], "why": why[need["want"]],
                })
        return Summary(persona["id"], episode.begin["assistant"], episode.complete,
                       persona["preferences"]["frequency"]["per_day"], sum(1 for _ in episode.days()), len(said), ratings,
                       sum((r - 2) / 2 for r in ratings), sorted(needs, key=lambda n: (n["day"], n["from"])))

    def show(self) -> None:
        """Print it for people."""
        say = OUT.print
        say("\nThe end." if self.complete else "\nYou left before the end.", style="bold")
        mean = "-" if self.mean_rating is None else f"{self.mean_rating:.2f} of 4"
        share = ""
        if self.oracle is not None:
            share = f"; the oracle earns {self.oracle:+.1f} in the same time"
        days = f"{self.days} days" if self.days != 1 else "1 day"
        say(f"delivered    {self.delivered} in {days} (wanted: {self.wanted_per_day:g} a day)")
        say(f"mean rating  {mean}")
        say(f"utility      {self.utility:+.1f}{share}", soft_wrap=True)
        missed = sum(n["state"] == "missed" for n in self.needs)
        reached = sum(n["state"] != "not reached" for n in self.needs)
        say(f"needs        {missed} of {reached} missed")
        for need in self.needs:
            mark, style = {"served": ("✓", "green"), "missed": ("✗", "red")}.get(need["state"], ("·", "dim"))
            day = f"day {need['day'] + 1} " if self.days > 1 else ""
            text = hanging(f"  {mark} {day}{need['from']}-{need['to']}  ", f"{need['topic']}: {need['why']}")
            say(text, style=style, soft_wrap=True)


def _oracle_utility(options: argparse.Namespace, folder: Path) -> float:
    unit = Unit("oracle", load_persona(options.persona, options.setting), options.seed)
    batch = Batch([unit], RunConfig(options.days), folder)
    try:
        failures = batch.run()
    finally:
        batch.close()
    if failures:
        raise RuntimeError(f"the oracle failed: {failures[0]}")
    return float(measure(read_episode(unit.log_path(folder))).utility.sum())
