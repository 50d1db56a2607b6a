"""Does an assistant honour its contract? It is built, lives some days with real residents, and is compared with itself."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from propersim_env.checks import members
from propersim_env.checks.findings import HOSTILE, Broken, Finding, milliseconds, problem_text
from propersim_env.clock import TICKS_PER_DAY, moment_text
from propersim_env.evaluation.units import build_assistant
from propersim_env.persona import Persona, load_persona
from propersim_env.registry import Specification, make_assistant
from propersim_env.seeding import derive
from propersim_env.setting import load_setting
from propersim_env.single_agent import ProPerSimEnv

FULL_BENCHMARK = 32 * 14 * 380
"""Decisions of a run over all bundled personas: 14 days of about 380 waking ticks."""
QUICK = 40
"""Decisions of each trial when calls are dear."""
SLOW_SECONDS = 1.0


@dataclass
class Trace:
    """What an assistant did: one entry a decision; ratings of what was said; how many alternatives it had rated."""

    observations: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    ratings: list[int] = field(default_factory=list)
    alternatives: int = 0

    @property
    def utility(self) -> float:
        """Sum of (rating - 2) / 2 over what was said."""
        return sum((r - 2) / 2 for r in self.ratings)


def check_assistant(
    spec: Specification, *, personas: Sequence[Persona] | None = None, days: int = 2, seed: int = 0, quick: bool = False
) -> Iterator[Finding]:
    """Check an assistant against the contract of `propersim_env.protocols.Assistant`.

    Args:
        spec: As for `propersim_env.registry.make_assistant`; a string may carry options (``"random:p=0.02"``).
        personas: With whom it is tried; by default three with a low, a middling and a high wanted rate.
        days: Days of the trial of its rate and utility.
        seed: Of everything.
        quick: Take few decisions, for assistants that are slow or cost money.

    Yields:
        Findings, the first error of a kind that prevents more being the last.
    """
    try:
        assistant = _built(lambda: _make(spec))
        yield Finding("ok", "can be built", type(assistant).__name__)
        yield _workers(spec)
        residents = list(personas) if personas is not None else typical_personas()
        privileged = hasattr(assistant, "bind")
        if privileged:
            yield Finding("info", "knows the resident", "it has bind(), so it is handed privileged knowledge",
                          "its logs and tables mark it as privileged; no fair comparison with others is possible",
                          "drop bind() unless it is an oracle")
        limit = QUICK if quick else None
        first = live(_make(spec), residents[0], seed, 1, limit)
        yield Finding("ok", "reset(seed) and act(observation) work", f"{len(first.texts)} decisions, all texts")
        yield from _hostile_observations(spec, residents[0], seed)
        yield from _determinism(spec, residents[0], seed, first, privileged)
        if not privileged:
            yield from members.together(lambda: _make(spec), derive(seed, "assistant", residents[0].id), first.observations,
                                        first.texts)
        if hasattr(assistant, "alternatives"):
            yield Finding("ok", "alternatives() gives texts", f"{first.alternatives} rated at {len(first.texts)} decisions")
        yield from members.keeping(lambda: _make(spec))
        yield from _state(spec, residents[0], seed, len(first.texts))
        yield from _learning(spec, first)
        yield _speed(first.seconds)
        if not quick:
            yield from _rates(spec, residents, seed, days)
    except Broken as broken:
        yield broken.finding


def typical_personas(setting: str = "house") -> list[Persona]:
    """Three bundled personas: with a low, a middling and a high wanted rate."""
    house = load_setting(setting)
    ranked = sorted((load_persona(name, house) for name in house.persona_files()), key=lambda p: (p.per_day, p.id))
    return [ranked[len(ranked) * i // 8] for i in (4, 1, 7)]


def _make(spec: Specification) -> Any:
    return build_assistant(spec) if isinstance(spec, str) else make_assistant(spec)


def _built(build: Callable[[], Any]) -> Any:
    try:
        return build()
    except (Exception, SystemExit) as error:
        taught = isinstance(error, (ValueError, TypeError))  # the registry's own errors say what to do
        raise Broken("can be built", problem_text(error), "nothing can be run without it",
                     "" if taught else "construct it in a Python shell, with the same options") from error


def _workers(spec: Specification) -> Finding:
    check = "can be sent to worker processes"
    if isinstance(spec, str):
        return Finding("ok", check, "named by text, so that each process builds its own")
    try:
        pickle.loads(pickle.dumps(spec))
    except Exception as error:
        return Finding("warning", check, problem_text(error), "runs with several workers must pickle what is no name",
                       "put the class at the top level of a module, and name it: module:Name or file.py:Name")
    return Finding("ok", check, "can be pickled")


def _home(persona: Persona, days: int) -> ProPerSimEnv:
    return ProPerSimEnv(persona, days=days, setting=str(persona.setting.folder))


def _begin(assistant: Any, env: ProPerSimEnv, seed: int) -> str:
    persona = env.source.persona(seed)
    try:
        assistant.reset(derive(seed, "assistant", persona.id))
    except (Exception, SystemExit) as error:
        raise Broken("reset(seed) works", problem_text(error), "it is called with a seed (an int) before every episode",
                     "def reset(self, seed: int) -> None: … takes exactly the seed") from error
    observation, _ = env.reset(seed=seed)
    if hasattr(assistant, "bind"):
        try:
            assistant.bind(lambda: env.users.resident(0))  # type: ignore[attr-defined]
        except (Exception, SystemExit) as error:
            raise Broken("bind(look) works", problem_text(error), "it is called after reset, with a function that gives the "
                         "resident", "def bind(self, look): … takes exactly that function") from error
    return observation


def _act(assistant: Any, observation: str, when: str) -> str:
    try:
        text = assistant.act(observation)
    except (Exception, SystemExit) as error:
        raise Broken("act(observation) works", f"{problem_text(error)} {when}, with the observation {observation!r:.200}",
                     "an assistant that raises ends its episode, which then counts as failed",
                     "handle that observation; return '' where there is nothing to say") from error
    if type(text) is not str:
        raise Broken("act() returns a text", f"{type(text).__name__} {text!r:.80} {when}",
                     "only a str can be said; '' is silence", "return '' for silence, str(…) of what is no str")
    return text


def live(assistant: Any, persona: Persona, seed: int, days: int, limit: int | None = None) -> Trace:
    """Let an assistant live with a resident.

    Raises:
        Broken: It raised, or returned no text.
    """
    env = _home(persona, days)
    return _go_on(assistant, env, _begin(assistant, env, seed), limit)


def _go_on(assistant: Any, env: ProPerSimEnv, observation: str, limit: int | None) -> Trace:
    trace = Trace()
    events: list[dict[str, Any]] = []
    over, considers = False, hasattr(assistant, "alternatives")
    while not over and (limit is None or len(trace.texts) < limit):
        tick = int(env.machine.tick[0])
        if events and events[-1]["tick"] // TICKS_PER_DAY < tick // TICKS_PER_DAY and hasattr(assistant, "learn"):
            _learn(assistant, events, tick // TICKS_PER_DAY)
            events = []
        started = time.perf_counter()
        text = _act(assistant, observation, f"at tick {tick} ({moment_text(tick)})")
        trace.seconds.append(time.perf_counter() - started)
        trace.observations.append(observation)
        trace.texts.append(text)
        more = {"alternatives": _rated(assistant, env, trace, tick)} if considers else {}
        seen = observation
        observation, reward, terminated, truncated, info = env.step(text)
        if text:
            trace.ratings.append(int(reward))
        events.append({"tick": tick, "observation": seen, "text": text, "rating": int(reward),
                       "marks": int(env.machine.marks[0]), "reaction": info["reaction"], **more})
        over = terminated or truncated
    return trace


def _rated(assistant: Any, env: ProPerSimEnv, trace: Trace, tick: int) -> list[dict[str, Any]]:
    ratings = [(text, env.rate(text)) for text in members.alternatives(assistant, f"at tick {tick} ({moment_text(tick)})")]
    trace.alternatives += len(ratings)
    return [{"text": text, "rating": rating.total, "marks": rating.marks} for text, rating in ratings]


def _learn(assistant: Any, events: list[dict[str, Any]], day: int) -> None:
    try:
        assistant.learn(events)
    except (Exception, SystemExit) as error:
        raise Broken("learn(events) works", problem_text(error), "it is called at the first decision of each new day",
                     "take a list of dicts: tick, observation, text, rating, marks, reaction") from error
    if hasattr(assistant, "notes"):
        members.notes(assistant, day)


def _hostile_observations(spec: Specification, persona: Persona, seed: int) -> Iterator[Finding]:
    assistant, env = _make(spec), _home(persona, 1)
    _begin(assistant, env, seed)
    failed: dict[str, list[str]] = {}
    for name, text in HOSTILE.items():
        try:
            _act(assistant, text, f"on a text that is {name}")
        except Broken as broken:
            if broken.finding.check == "act() returns a text":
                raise
            failed.setdefault(problem_text(broken.__cause__ or broken), []).append(name)
    if failed:
        found = "; ".join(f"{problem} on a text that is {', '.join(names)}" for problem, names in failed.items())
        yield Finding("warning", "survives odd observations", found,
                      "homes, names and activities are data: another setting writes other observations",
                      "return '' where an observation cannot be read")
    else:
        yield Finding("ok", "survives odd observations", f"{len(HOSTILE)} kinds")


def _determinism(
    spec: Specification, persona: Persona, seed: int, first: Trace, privileged: bool
) -> Iterator[Finding]:
    again = live(_make(spec), persona, seed, 1, len(first.texts))
    if again.texts != first.texts:
        yield Finding("error", "is deterministic for a seed", _first_difference(first, again.texts),
                      "runs could not be resumed, compared seed by seed, or reproduced",
                      "draw every random number from a generator made in reset(seed), e.g. numpy.random.default_rng(seed); "
                      "sort sets; a sampled language model needs temperature 0 or a cache")
        return
    yield Finding("ok", "is deterministic for a seed", f"twice the same {len(first.texts)} decisions")
    if privileged:
        return
    one, other = _make(spec), _make(spec)
    for each in (one, other):
        each.reset(derive(seed, "assistant", persona.id))
    texts = []
    for observation in first.observations:
        texts.append(_act(one, observation, "on a recorded observation"))
        if other is not one:
            _act(other, observation, "on a recorded observation")
    if texts == first.texts:
        yield Finding("ok", "decides by its observations alone", "the same on recorded ones, with a second one beside it")
    else:
        yield Finding("error", "decides by its observations alone", _first_difference(first, texts),
                      "several homes are run side by side in one process, and the persona is no business of an assistant",
                      "keep state in the instance (self.…), not in globals or class attributes, and read nothing but the "
                      "observation")


def _first_difference(first: Trace, texts: Sequence[str]) -> str:
    for i, (a, b) in enumerate(zip(first.texts, texts, strict=False)):
        if a != b:
            return f"decision {i + 1} ({first.observations[i]:.60}…): first {a!r:.60}, then {b!r:.60}"
    return f"first {len(first.texts)} decisions, then {len(texts)}"


def _state(spec: Specification, persona: Persona, seed: int, decisions: int) -> Iterator[Finding]:
    assistant = _make(spec)
    has = [hasattr(assistant, name) for name in ("get_state", "set_state")]
    if not any(has):
        yield Finding("info", "get_state() and set_state(state)", "it has none: it cannot be branched, only run anew")
        return
    if not all(has):
        yield Finding("error", "get_state() and set_state(state)", "it has one of the two",
                      "a state that cannot be restored, or not be had, is of no use", "write both, or neither")
        return
    env = _home(persona, 1)
    observation = _begin(assistant, env, seed)
    half = max(1, decisions // 2)
    _go_on(assistant, env, observation, half)
    try:
        state, place = json.dumps(assistant.get_state()), env.get_state()
    except (TypeError, ValueError) as error:
        yield Finding("error", "get_state() gives JSON values", problem_text(error), "states are kept in files",
                      "only dict with str keys, list, str, int, float, bool, None; arrays as array.tolist()")
        return
    expected = _go_on(assistant, env, env.machine.observation(0), decisions - half)
    restored, env = _make(spec), _home(persona, 1)
    _begin(restored, env, seed)
    env.set_state(place)
    try:
        restored.set_state(json.loads(state))
    except Exception as error:
        yield Finding("error", "set_state(state) takes what get_state() gave", problem_text(error),
                      "it has been through JSON: tuples are lists and keys are str then", "convert them back")
        return
    texts = _go_on(restored, env, env.machine.observation(0), decisions - half).texts
    if texts != expected.texts:
        yield Finding("error", "get_state() holds everything", _first_difference(expected, texts),
                      "exact branching compares what follows from the same state", "add what is missing, random generators "
                      "too (propersim_env.seeding.rng_state), and mind that JSON turns int keys into str")
    else:
        yield Finding("ok", "get_state() and set_state(state)", f"restored after {half} decisions, goes on the same")


def _learning(spec: Specification, first: Trace) -> Iterator[Finding]:
    assistant = _make(spec)
    if not hasattr(assistant, "learn"):
        return
    assistant.reset(0)
    more: dict[str, Any] = {"alternatives": []} if hasattr(assistant, "alternatives") else {}
    rows = [{"tick": i, "observation": o, "text": t, "rating": 4, "marks": 15, "reaction": "none", **more}
            for i, (o, t) in enumerate(zip(first.observations, first.texts, strict=True))]
    _learn(assistant, rows, 1)
    yield Finding("ok", "learn(events) works", f"took a day of {len(rows)} events")
    if hasattr(assistant, "notes"):
        yield Finding("ok", "notes() gives JSON values", "after that day")
    try:
        assistant.learn([{**rows[0], "rating": None, "marks": None}])
    except Exception as error:
        yield Finding("warning", "learn(events) survives a missing rating", problem_text(error),
                      "a rating that failed (a language model or person as user) is None",
                      "skip events without a rating")


def _speed(seconds: Sequence[float]) -> Finding:
    mean, longest = sum(seconds) / len(seconds), max(seconds)
    hours = mean * FULL_BENCHMARK / 3600
    span = f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min" if hours >= 1 / 60 else "under a minute"
    found = f"{milliseconds(mean)} a decision, {milliseconds(longest)} at most; 32 personas x 14 days: {span} on one core"
    if mean <= SLOW_SECONDS:
        return Finding("info", "speed", found)
    return Finding("warning", "speed", found, "it is asked at every waking tick, about 380 times a day",
                   "decide cheaply whether to speak first, and think only then; or run fewer personas and days")


def _rates(spec: Specification, personas: Sequence[Persona], seed: int, days: int) -> Iterator[Finding]:
    for persona in personas:
        trace = live(_make(spec), persona, seed, days)
        best = live(make_assistant("oracle"), persona, seed, days)
        rate = len(trace.ratings) / days
        mean = f", mean rating {sum(trace.ratings) / len(trace.ratings):.2f}" if trace.ratings else ""
        found = (f"{persona.id} wants {persona.per_day:g} a day and got {rate:g}{mean}; utility {trace.utility:+.1f} "
                 f"(silence 0, oracle {best.utility:+.1f})")
        if rate > 3 * persona.per_day:
            yield Finding("warning", "rate and utility", found, "each unwelcome text costs up to 1, and tires the resident",
                          "speak less: '' is the right answer at most ticks")
        else:
            yield Finding("info", "rate and utility", found)
