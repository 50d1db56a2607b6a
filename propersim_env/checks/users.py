"""Does a user agent honour its contract? It lives some days with a scripted assistant, and is compared with itself."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from propersim_env.checks.findings import HOSTILE, Broken, Finding, milliseconds, problem_text
from propersim_env.clock import TICKS_PER_DAY, moment_text
from propersim_env.messages import ALL_MARKS, REACTIONS, Activity, Rating, UserTurn
from propersim_env.persona import Persona, load_persona
from propersim_env.registry import Specification, make_user

PLAIN = (
    "How about a ten-minute walk around the garden before you go on?",
    "You could try a new soup with the lentils that are left.",
    "There is a short piano piece you may like, when you have a quiet moment.",
)
EVERY = 40
"""Decisions between two texts of the scripted assistant: some ten a day, odd ones among them."""


@dataclass
class Life:
    """What a user did: its turns, what it heard, seconds of each call, and what was wrong (message to remedy)."""

    turns: list[UserTurn] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    wrong: dict[str, tuple[str, str]] = field(default_factory=dict)


def check_user(
    spec: Specification, *, persona: Persona | None = None, days: int = 2, seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> Iterator[Finding]:
    """Check a user agent against the contract of `propersim_env.protocols.UserAgent`.

    Args:
        spec: As for `propersim_env.registry.make_user`.
        persona: Whom it plays; by default p01.
        days: Days it lives.
        seed: Of the episode.
        options: Keyword arguments of the user.

    Yields:
        Findings, the first error of a kind that prevents more being the last.
    """
    try:
        user = _make(spec, options)
        yield Finding("ok", "can be built", type(user).__name__)
        persona = persona or load_persona("p01")
        deterministic = getattr(user, "deterministic", None)
        if deterministic is None:
            yield Finding("warning", "says whether it is deterministic", "no class attribute `deterministic`",
                          "runs of users that are no function of the seed cannot be resumed or compared seed by seed",
                          "write deterministic = True (or False: live language models, people) in the class")
        life = live(user, persona, seed, days)
        for check, (found, remedy) in life.wrong.items():
            yield Finding("error", check, found, "the environment and the log take a turn as it is", remedy)
        if not life.wrong:
            yield Finding("ok", "reset() and act() give turns", f"{len(life.turns)} turns over {days} days")
        yield from _ratings(life)
        yield Finding("info", "speed", f"{milliseconds(sum(life.seconds) / len(life.seconds))} a turn")
        if deterministic:
            yield from _determinism(spec, options, persona, seed, days, life)
            yield from _state(spec, options, persona, seed, life)
        yield from _judging(spec, options, persona, seed)
    except Broken as broken:
        yield broken.finding


def _make(spec: Specification, options: Mapping[str, Any] | None) -> Any:
    try:
        return make_user(spec, **dict(options or {}))
    except (Exception, SystemExit) as error:
        taught = isinstance(error, (ValueError, TypeError))  # the registry's own errors say what to do
        raise Broken("can be built", problem_text(error), "nothing can be run without it",
                     "" if taught else "construct it in a Python shell, with the same options") from error


def script(i: int) -> str:
    """What the scripted assistant says at its i-th decision: mostly nothing, else plain and hostile texts in turn."""
    if i % EVERY != EVERY - 1:
        return ""
    texts = [*PLAIN, *(text for text in HOSTILE.values() if text)]
    return texts[i // EVERY % len(texts)]


def live(user: Any, persona: Persona, seed: int, days: int, silent: bool = False) -> Life:
    """Let a user live with the scripted assistant, or with one that is silent.

    Raises:
        Broken: It raised, or gave no turn.
    """
    life, horizon = Life(), days * TICKS_PER_DAY
    _call(life, "reset(persona, seed) works", lambda: user.reset(persona, seed), "before the first turn", -1)
    while life.turns[-1].tick < horizon and not life.turns[-1].dismiss and len(life.turns) <= horizon:
        now = life.turns[-1].tick
        heard = "" if silent else script(len(life.heard))
        life.heard.append(heard)
        when = f"at tick {now} ({moment_text(now)}), having heard {heard!r:.60}"
        _call(life, "act(heard) works", lambda heard=heard: user.act(heard), when, now)  # type: ignore[misc]
    return life


def _call(life: Life, check: str, call: Any, when: str, before: int) -> None:
    started = time.perf_counter()
    try:
        turn = call()
    except (Exception, SystemExit) as error:
        if before < 0:
            raise Broken(check, problem_text(error), "it begins every episode: whom to play, and a seed (an int)",
                         "def reset(self, persona, seed): … returns the first UserTurn") from error
        raise Broken(check, f"{problem_text(error)} {when}", "a user that raises ends the run: whatever an assistant says "
                     "must be survived", "rate what cannot be understood low, or return a turn with rating=None and "
                     "failure='…'") from error
    life.seconds.append(time.perf_counter() - started)
    if not isinstance(turn, UserTurn):
        raise Broken("reset() and act() give turns", f"{type(turn).__name__} {turn!r:.80} {when}",
                     "the environment reads rating, activity and tick from it",
                     "return propersim_env.messages.UserTurn(rating, Activity(text, room), tick)")
    life.turns.append(turn)
    for name, found, remedy in _wrong(turn, before, first=before < 0):
        life.wrong.setdefault(name, (f"{found} {when}", remedy))


def _wrong(turn: UserTurn, before: int, first: bool) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a turn: (check, found, remedy)."""
    if type(turn.tick) is not int or turn.tick <= before:
        yield ("ticks move forward", f"tick {turn.tick!r} after {before}",
               "give the next tick at which the user is available, an int larger than the last")
    activity = turn.activity
    if not (isinstance(activity, Activity) and isinstance(activity.text, str) and isinstance(activity.room, str)):
        yield "activity is an Activity", f"{activity!r:.80}", "Activity('whisking eggs', 'kitchen')"
    rating = turn.rating
    if first and rating is not None:
        yield "the first turn rates nothing", f"{rating!r:.80}", "return rating=None from reset()"
    if not first and rating is None and not turn.failure:
        yield ("ratings are there", "rating=None without a failure",
               "rate silence too (Rating(15) where nothing is wrong), or say failure='why there is none'")
    if rating is not None:
        if not isinstance(rating, Rating) or type(rating.marks) is not int or not 0 <= rating.marks <= ALL_MARKS:
            yield "ratings are ratings", f"{rating!r:.80}", "Rating(marks) with marks a bit mask 0..15 (marks_of({…}))"
        elif rating.reaction not in REACTIONS:
            yield "reactions are known", f"{rating.reaction!r}", f"one of {', '.join(REACTIONS)}"
    for name, value in (("terms", dict(rating.terms) if isinstance(rating, Rating) else {}), ("diary", turn.diary)):
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            yield f"{name} are JSON values", problem_text(error), "int(…), float(…) and .tolist() for what comes from numpy"


def _ratings(life: Life) -> Iterator[Finding]:
    rated = list(zip(life.heard, life.turns[1:], strict=True))
    failed = [turn.failure for _, turn in rated if turn.rating is None and turn.failure]
    if failed:
        kinds = ", ".join(sorted(set(failed)))
        yield Finding("warning", "ratings are there", f"{len(failed)} of {len(rated)} failed ({kinds})",
                      "a failure is never scored: what it should have rated is lost", "see to the cause")
    for name, spoke in (("texts", True), ("silence", False)):
        totals = [turn.rating.total for heard, turn in rated if turn.rating and bool(heard) == spoke]
        if totals:
            yield Finding("info", f"rating of {name}", f"mean {sum(totals) / len(totals):.2f} over {len(totals)}")


def _key(turn: UserTurn) -> tuple[Any, ...]:
    rating = turn.rating
    return (turn.tick, turn.activity, turn.dismiss, turn.failure, rating and (rating.marks, rating.reaction))


def _determinism(
    spec: Specification, options: Mapping[str, Any] | None, persona: Persona, seed: int, days: int, life: Life
) -> Iterator[Finding]:
    again = live(_make(spec, options), persona, seed, days)
    for i, (a, b) in enumerate(zip(life.turns, again.turns, strict=False)):
        if _key(a) != _key(b):
            yield Finding("error", "is deterministic for a seed", f"turn {i}: first {_key(a)!r:.120}, then {_key(b)!r:.120}",
                          "the class says so, and resuming a run relies on it",
                          "draw every random number from the seed of reset(), or say deterministic = False")
            return
    yield Finding("ok", "is deterministic for a seed", f"twice the same {len(life.turns)} turns")
    quiet = live(_make(spec, options), persona, seed, days, silent=True)
    same = [(t.tick, t.activity) for t in life.turns] == [(t.tick, t.activity) for t in quiet.turns]
    if same:
        yield Finding("ok", "lives the same days whatever is said", "activities and ticks as with a silent assistant")
    else:
        yield Finding("info", "lives the same days whatever is said", "no: they differ with a silent assistant",
                      "assistants are compared more sharply when they meet the same days")


def _state(
    spec: Specification, options: Mapping[str, Any] | None, persona: Persona, seed: int, life: Life
) -> Iterator[Finding]:
    user = _make(spec, options)
    if not (hasattr(user, "get_state") and hasattr(user, "set_state")):
        yield Finding("info", "get_state() and set_state(state)", "not both there: episodes cannot be branched")
        return
    half = len(life.heard) // 2
    user.reset(persona, seed)
    for heard in life.heard[:half]:
        user.act(heard)
    try:
        state = json.loads(json.dumps(user.get_state()))
        other = _make(spec, options)
        other.reset(persona, seed)
        other.set_state(state)
    except Exception as error:
        yield Finding("error", "get_state() and set_state(state)", problem_text(error),
                      "states are kept in files, as JSON", "only JSON values; arrays as array.tolist()")
        return
    for i, heard in enumerate(life.heard[half:], half + 1):
        if _key(other.act(heard)) != _key(life.turns[i]):
            yield Finding("error", "get_state() holds everything", f"turn {i} differs after restoring at turn {half}",
                          "exact branching compares what follows from the same state", "add what is missing")
            return
    yield Finding("ok", "get_state() and set_state(state)", f"restored after {half} turns, goes on the same")


def _judging(spec: Specification, options: Mapping[str, Any] | None, persona: Persona, seed: int) -> Iterator[Finding]:
    user = _make(spec, options)
    if not hasattr(user, "rate"):
        yield Finding("info", "rate(text)", "it has none: alternatives that were not said cannot be rated")
        return
    user.reset(persona, seed)
    for i in range(EVERY):
        text = PLAIN[i % len(PLAIN)] if i % 3 == 0 else ""
        judged = [user.rate(text) for _ in range(2)]
        heard = user.act(text).rating
        if judged[0] != judged[1] or heard is None or judged[0].marks != heard.marks:
            yield Finding("error", "rate(text) is what act(text) will say", f"decision {i}, {text!r}: {judged[0]!r:.80}, "
                          f"{judged[1]!r:.80}, delivered {heard!r:.80}",
                          "pairs are built from alternatives that were rated without being said",
                          "judge in one function of state and text; rate() changes no state")
            return
    yield Finding("ok", "rate(text) is what act(text) will say", "and changes nothing")
