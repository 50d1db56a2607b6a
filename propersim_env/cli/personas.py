"""``propersim personas``: who lives in the homes; look at them, draw new ones, check your own."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from propersim_env.cli import importing
from propersim_env.cli.console import ERR, OUT, add_common, error, print_json
from propersim_env.cli.layout import hanging
from propersim_env.clock import date_of, is_weekend, parse_time, time_text
from propersim_env.persona import TRAITS, Persona, Window, load_persona, select_personas
from propersim_env.schema import DataError

EPILOG = """\
examples:
  propersim personas list                      the 32 bundled personas
  propersim personas list p01,p07,sampled:4    some of them, and fresh ones
  propersim personas show p01                  everything about one, with a simulated day
  propersim personas sample 64 --seed 3 --out people
  propersim personas check people/*.json my_persona.json
  propersim personas import me.txt --out people     from plain words, or a published persona file

A persona is one JSON file. To write your own: propersim personas sample 1 --out people, change the file, and check it.
"""
SIMULATED_DAYS = 56
"""Days looked at: in 14, the situation of a want that comes every fourth day is absent by chance once in a hundred times."""
LEAST_OVERLAP = 30
"""Minutes that a want must share with the wanted windows to count as coherent (an authoring rule, assumption)."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser("personas", help="list, show, sample and check personas", epilog=EPILOG,
                                 description="The residents: look at them, draw new ones, check your own.",
                                 formatter_class=raw)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="a table of personas", formatter_class=raw, epilog=_LEGEND)
    listing.add_argument("personas", nargs="?", default="all", help="all, a number, ids, paths, sampled:N; default: all")

    show = actions.add_parser("show", help="everything about one persona, with a simulated day")
    show.add_argument("persona", help="an id such as p01, or the path of a persona file")
    show.add_argument("--day", type=int, default=0, help="which day to show, counted from 0, a Thursday; default: 0")

    sample = actions.add_parser("sample", help="draw new personas")
    sample.add_argument("number", type=int, help="how many")
    sample.add_argument("--out", type=Path, metavar="DIR", help="write one JSON file each into this folder")

    check = actions.add_parser("check", help="check persona files", description="Exit status 1 if a file cannot be used.")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE")

    importing.add(actions)
    for action, execute in ((listing, _list), (show, _show), (sample, _sample), (check, _check)):
        action.add_argument("--setting", default="house", help="name of a setting, or path of its folder; default: house")
        action.add_argument("--seed", type=int, default=0, help="seed of what is drawn; default: 0")
        add_common(action)
        action.set_defaults(execute=execute)


_LEGEND = """\
columns:
  OCEAN    openness, conscientiousness, extraversion, agreeableness, neuroticism: H high, L low
  a day    how many recommendations the person wants
  wanted   when to be spoken to (we: weekends, wd: weekdays)
"""


def _row(persona: Persona) -> dict[str, Any]:
    return {
        "id": persona.id, "name": persona.name, "age": persona.data["age"], "occupation": persona.data["occupation"],
        "traits": "".join("H" if persona.traits[t] > 0 else "L" for t in TRAITS), "per_day": persona.per_day,
        "wanted": [_window_text(w) for w in persona.wanted], "tones": list(persona.communication["tones"]),
    }


def _window_text(window: Window) -> str:
    days = {"weekdays": " wd", "weekend": " we"}.get(window.days, "")
    return f"{_clock(window.start)}-{_clock(window.end)}{days}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _print_table(personas: list[Persona]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("id", no_wrap=True)
    table.add_column("name", min_width=12, ratio=3)
    table.add_column("age", justify="right")
    table.add_column("occupation", ratio=5)
    table.add_column("OCEAN", no_wrap=True)
    table.add_column("a day", justify="right", no_wrap=True)
    table.add_column("wanted", ratio=3)
    table.add_column("tones", ratio=3)
    for persona in personas:
        row = _row(persona)
        table.add_row(row["id"], row["name"], str(row["age"]), row["occupation"], row["traits"], f"{row['per_day']:g}",
                      ", ".join(row["wanted"]), ", ".join(row["tones"]))
    OUT.print(table)


def _list(options: argparse.Namespace) -> int:
    personas = select_personas(options.personas, options.setting, options.seed)
    if options.json:
        print_json([_row(p) for p in personas])
        return 0
    _print_table(personas)
    OUT.print("\nOCEAN: H high, L low.  a day: recommendations wanted.  More: propersim personas show ID", style="dim")
    return 0


# --- show ------------------------------------------------------------------------------------------------------------


def _show(options: argparse.Namespace) -> int:
    if options.day < 0:
        raise ValueError(f"--day {options.day}: days are counted from 0")
    persona = load_persona(options.persona, options.setting)
    day = _live(persona, options.seed, options.day)
    if options.json:
        print_json({"persona": persona.to_dict(), "simulated_day": day})
        return 0
    _print_person(persona)
    _print_preferences(persona)
    for title, text in persona.rubric.items():
        _heading(f"rubric: {title.replace('_', ' ')}")
        OUT.print(text, soft_wrap=not OUT.is_terminal)
    _print_day(persona, options.day, day)
    return 0


def _live(persona: Persona, seed: int, day: int) -> dict[str, Any]:
    """The diary of a simulated day: wake, sleep, activities, needs."""
    from propersim_env.agents.users.simulated import Resident, SimulatedUser

    user = SimulatedUser()
    user.reset(persona, seed)
    resident: Resident = user.resident()
    resident.plan = resident.planner.plan(seed, day)
    return resident.diary()


def _heading(text: str) -> None:
    OUT.print(f"\n{text}", style="bold")


def _styled(text: str, style: str = "") -> None:
    OUT.print(text, style=style, soft_wrap=True)


def _line(label: str, value: str) -> None:
    _styled(hanging(f"  {label:<12}", value))


def _print_person(persona: Persona) -> None:
    data, routine = persona.data, persona.routine
    OUT.print(f"{persona.id}  {persona.name}", style="bold")
    _line("who", f"{data['age']}, {data['pronouns']}, {data['occupation']}")
    _line("background", data["background"])
    _line("traits", ", ".join(f"{name} {persona.traits[name]:+.1f}" for name in TRAITS))
    for label in ("interests", "lifestyle", "daily_plan"):
        _line(label.replace("_", " "), "; ".join(data[label]))
    _line("goals", data["goals"])
    _heading("routine")
    shift = f", {routine['weekend_shift_minutes']} min later at weekends" if routine["weekend_shift_minutes"] else ""
    _line("awake", f"{routine['wake']}-{routine['sleep']}{shift}")
    _line("meals", ", ".join(f"{meal} {routine[meal]}" for meal in ("breakfast", "lunch", "dinner")))
    blocks = ", ".join(f"{w['from']}-{w['to']}" for w in routine["work"])
    _line("work", f"{blocks} on {', '.join(routine['work_days'])}" if blocks else "none")
    _line("own", ", ".join(f"{a.id} ({a.category})" for a in persona.activities))


def _print_preferences(persona: Persona) -> None:
    communication = persona.communication
    _heading("preferences")
    liking = sorted(persona.liking.items(), key=lambda item: -item[1])
    _line("likes", ", ".join(f"{t} {v:+g}" for t, v in liking if v > 0) or "-")
    _line("dislikes", ", ".join(f"{t} {v:+g}" for t, v in reversed(liking) if v < 0) or "-")
    _line("wanted", ", ".join(f"{_window_text(w)} {w.label}".rstrip() for w in persona.wanted) or "any time")
    _line("unwanted", ", ".join(f"{_window_text(w)} {w.label}".rstrip() for w in persona.unwanted) or "-")
    _line("not during", ", ".join(sorted(persona.unwanted_activities)) or "-")
    _line("how often", f"{persona.per_day:g} a day, at least {persona.min_gap:g} min apart")
    _line("tones", f"{', '.join(communication['tones'])}; not {', '.join(communication['avoid_tones'])}; "
                   f"at most {communication['max_words']} words")
    _line("boundaries", ", ".join(communication["boundaries"]))
    _heading("wants")
    for want in persona.wants:
        around = ", ".join(sorted(want.activities)) or "anything"
        text = f"{want.topic} around {around} (weight {want.weight:g}): {want.why}"
        _styled(hanging(f"  {_window_text(want.window)}  ", text))


def _print_day(persona: Persona, number: int, day: dict[str, Any]) -> None:
    _heading(f"a simulated day: {date_of(number):%A}, awake {day['wake']}-{day['sleep']}")
    OUT.print("  + a wanted time   - an unwanted time or activity   ± some of both   > a need opens\n", style="dim")
    activities = day["activities"]
    rooms, needs = persona.setting.room_names, sorted(day["needs"], key=lambda n: n["from"])
    why = {w.id: w.why for w in persona.wants}
    ends = [time for time, *_ in activities[1:]] + ["24:00"]
    for (time, kind, category, text, room), end in zip(activities, ends, strict=True):
        if time == end:
            continue  # shorter than a tick
        mark, style = _timing_mark(persona, number, time, end, {kind, category})
        _styled(hanging(f"  {mark} {time}  ", f"{text} ({rooms.get(room, room).lower()})"), style)
        while needs and time_text(needs[0]["from"]) < end:
            need = needs.pop(0)
            window = f"    > {time_text(need['from'])}-{time_text(need['to'])}  "
            _styled(hanging(window, f"{need['topic']}: {why[need['want']]}"), "cyan")


def _timing_mark(persona: Persona, day: int, time: str, end: str, names: set[str]) -> tuple[str, str]:
    start, stop = parse_time(time), parse_time(end)

    def touches(windows: tuple[Window, ...]) -> bool:
        return any(w.on(day) and w.start < stop and w.end > start for w in windows)

    if "sleep" in names:
        return " ", "dim"
    unwanted, wanted = bool(names & persona.unwanted_activities), touches(persona.wanted)
    if unwanted or touches(persona.unwanted):
        return ("±", "yellow") if wanted and not unwanted else ("-", "red")
    return ("+", "green") if wanted else (" ", "")


# --- sample and check ------------------------------------------------------------------------------------------------


def _sample(options: argparse.Namespace) -> int:
    if options.number < 1 or options.seed < 0:
        raise ValueError(f"sample {options.number} --seed {options.seed}: draw at least 1, with a seed of at least 0")
    personas = select_personas(f"sampled:{options.number}", options.setting, options.seed)
    written = []
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        for persona in personas:
            path = options.out / f"{persona.id}.json"
            path.write_text(json.dumps(persona.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            written.append(str(path))
    if options.json:
        print_json({"written": written} if options.out else [p.to_dict() for p in personas])
    elif options.out:
        OUT.print(f"{len(written)} personas written to {options.out}; use them with --personas or --persona and their paths",
                  highlight=False, soft_wrap=True)
    else:
        _print_table(personas)
        OUT.print("\nto keep them: --out DIR (a JSON file each), or --json", style="dim")
    return 0


def _check(options: argparse.Namespace) -> int:
    results = []
    for path in options.files:
        warnings: list[str] = []
        try:
            if not path.is_file():
                raise DataError(str(path), "", "no such file", "check the path")
            warnings = list(incoherences(load_persona(str(path), options.setting), options.seed))
            results.append({"file": str(path), "ok": True, "error": "", "warnings": warnings})
        except DataError as problem:
            results.append({"file": str(path), "ok": False, "error": str(problem), "warnings": []})
        if not options.json:
            _print_result(results[-1])
    bad = sum(not r["ok"] for r in results)
    if options.json:
        print_json(results)
    elif len(results) > 1:
        warned = sum(bool(r["warnings"]) for r in results)
        OUT.print(f"{len(results) - bad} of {len(results)} files can be used; {warned} with warnings")
    return 1 if bad else 0


def _print_result(result: dict[str, Any]) -> None:
    if not result["ok"]:
        error(result["error"])
        return
    _styled(f"ok: {result['file']}", "green")
    for warning in result["warnings"]:
        ERR.print(f"  warning: {warning}", style="yellow", soft_wrap=True)


def incoherences(persona: Persona, seed: int = 0) -> Iterator[str]:
    """What is allowed in a persona but hardly meant: each warning says what, and how to mend it.

    Args:
        persona: A valid one.
        seed: Of the days that are simulated to see whether the situation of a want ever occurs.
    """
    for want in persona.wants:
        shared = max((_overlap(want.window, w) for w in persona.wanted), default=want.window.end - want.window.start)
        if shared < LEAST_OVERLAP:
            yield (f"want {want.id!r} ({_window_text(want.window)}) lies outside the wanted times ({shared} min in one of "
                   f"them): move it, or widen preferences.timing.wanted")
    for a in persona.wanted:
        for b in persona.unwanted:
            if _overlap(a, b) > 0:
                yield f"wanted {_window_text(a)} overlaps unwanted {_window_text(b)}, which wins there: shorten one of them"
    topics = [want.topic for want in persona.wants]
    for topic in sorted({t for t in topics if topics.count(t) > 2}):
        yield f"{topics.count(topic)} wants are about {topic!r}: more than two are hard to tell apart"
    yield from _never_occurring(persona, seed)


def _overlap(a: Window, b: Window) -> int:
    if {a.days, b.days} == {"weekdays", "weekend"}:
        return 0
    return max(0, min(a.end, b.end) - max(a.start, b.start))


def _never_occurring(persona: Persona, seed: int) -> Iterator[str]:
    from propersim_env.agents.users.simulated import SimulatedUser

    user = SimulatedUser()
    user.reset(persona, seed)
    planner = user.resident().planner
    plans = [planner.plan(seed, day) for day in range(SIMULATED_DAYS)]
    for i, want in enumerate(persona.wants):
        if any(np.any(plan.want_bits >> i & 1) for plan in plans):
            continue
        seen = {name for plan in plans for s in plan.segments for name in (s.kind.id, s.kind.category)}
        never = sorted(want.activities - seen)
        if want.activities and not want.activities & seen:
            cause = f"{', '.join(never)} never occurs"
            remedy = "give the activity more weight, other hours, or name another"
        elif not any(want.window.on(plan.day) for plan in plans):
            cause, remedy = f"no day is one of its days ({want.window.days})", "change its days"
        else:
            cause = f"{', '.join(sorted(want.activities)) or 'waking time'} never falls into {_window_text(want.window)}"
            remedy = "move its window to when that is done (see propersim personas show)"
        yield f"want {want.id!r}: {cause} in {SIMULATED_DAYS} simulated days: {remedy}"
    starved = [day for day, plan in enumerate(plans) if not plan.needs]
    if len(starved) > SIMULATED_DAYS // 2:
        weekends = " (weekends)" if all(map(is_weekend, starved)) else ""
        yield (f"{len(starved)} of {SIMULATED_DAYS} simulated days{weekends} have no need at all, so that little can be "
               f"earned: add wants, or widen their windows")
