"""``propersim demo``: watch ProPerAssistant learn one resident's ways, day by day."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from propersim_env.cli.console import ERR, OUT, add_common, print_json
from propersim_env.clock import TICKS_PER_DAY, time_text
from propersim_env.evaluation.living import Step, live
from propersim_env.registry import make_assistant
from propersim_env.single_agent import ProPerSimEnv

EPILOG = """\
examples:
  propersim demo                                  five days of p01 with an assistant that knows nothing yet
  propersim demo --preset amortised --persona p07 the same with one that other residents have taught
  propersim demo --days 14 --quiet                the score by day only

What you see: what it said, how the resident rated it and why; and after each day how often it spoke and how that was
received. Utility adds (rating - 2) / 2 for everything said. Needs: pip install "propersim[train]".
"""
COLOURS = ("red", "red", "yellow", "green", "bold green")
BAR = 20


@dataclass
class Day:
    """A day in numbers."""

    day: int
    said: int = 0
    total: int = 0
    marks: dict[str, int] = field(default_factory=dict)
    learnt: dict[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> float | None:
        """Mean rating of what was said, 0..4."""
        return self.total / self.said if self.said else None

    @property
    def utility(self) -> float:
        """Sum of (rating - 2) / 2."""
        return (self.total - 2 * self.said) / 2


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo", help="watch ProPerAssistant learn one resident's ways", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Let ProPerAssistant live with one resident and learn every night, and show how that goes.", epilog=EPILOG)
    parser.add_argument("--persona", default="p01", help="an id, or the path of a persona file; default: p01")
    parser.add_argument("--preset", default="cold", help="of ProPerAssistant: cold or amortised, or an ablation; default: cold")
    parser.add_argument("--days", type=int, default=5, help="default: 5")
    parser.add_argument("--seed", type=int, default=0, help="another seed is other days; default: 0")
    parser.add_argument("--quiet", action="store_true", help="show days only, not what was said")
    add_common(parser)
    parser.set_defaults(execute=run)


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    options.interrupted = "you stopped the demo"
    if options.days < 1 or options.seed < 0:
        raise ValueError(f"--days {options.days} --seed {options.seed}: days must be at least 1 and the seed at least 0")
    assistant = make_assistant("proper", preset=options.preset)
    env = ProPerSimEnv(persona=options.persona, days=options.days, reward="utility")
    days: list[Day] = []
    show = not options.json
    for step in live(env, assistant, options.seed):
        number = step.tick // TICKS_PER_DAY
        if not days or days[-1].day != number:
            if days:
                days[-1].learnt = dict(step.learnt)
                if show:
                    _show_day(days[-1])
            days.append(Day(number))
        if step.text:
            _count(days[-1], step)
            if show and not options.quiet:
                _show_text(step)
    if show:
        _show_day(days[-1])
        OUT.print(_table(days, env))
    else:
        print_json({"persona": options.persona, "preset": options.preset, "seed": options.seed,
                    "days": [{**asdict(d), "score": d.score, "utility": d.utility} for d in days]})
    return 0


def _count(day: Day, step: Step) -> None:
    day.said += 1
    day.total += step.rating
    for name, mark in step.info["marks"].items():
        day.marks[name] = day.marks.get(name, 0) + mark


def _show_text(step: Step) -> None:
    """A text, its rating, and the resident's reasons for the marks that it did not get."""
    doing = step.observation.split(". ", 1)[1].split(" (")[0].removeprefix("The resident is ")
    line = Text(f"{time_text(step.tick)}  ", style="dim")
    line.append(f"{step.rating}/4 ", style=COLOURS[step.rating])
    line.append(step.text)
    line.append(f"  [{doing}]", style="dim")
    OUT.print(line)
    missing = [reason for name, reason in step.info["reasons"].items() if not step.info["marks"].get(name)]
    if missing:
        OUT.print(Text("          " + " ".join(missing), style="italic dim"))


def _show_day(day: Day) -> None:
    score = "-" if day.score is None else f"{day.score:.2f}"
    OUT.rule(f"day {day.day + 1}: said {day.said}, delivered score {score}, utility {day.utility:+.1f}")
    if "trained_on" in day.learnt:
        learnt = day.learnt
        ERR.print(f"at night: {learnt['trained_on']} pairs, loss {learnt.get('first_loss', '-')} to "
                  f"{learnt.get('last_loss', '-')}", style="dim")


def _table(days: list[Day], env: ProPerSimEnv) -> Table:
    wanted = env.persona.per_day if env.persona is not None else 0
    table = Table("day", "said", "delivered score", "", "utility", title=f"the resident wants {wanted:g} a day")
    for day in days:
        bar = "" if day.score is None else "█" * round(day.score / 4 * BAR)
        score = "-" if day.score is None else f"{day.score:.2f}"
        table.add_row(str(day.day + 1), str(day.said), score, bar, f"{day.utility:+.1f}")
    return table
