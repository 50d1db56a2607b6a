"""The simulated users: n residents lived in arrays. A silent tick costs a few table look-ups for all of them at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from propersim_env.clock import TICKS_PER_DAY, time_text
from propersim_env.messages import ALL_MARKS, DIMENSIONS, Activity, Rating, UserTurn, UserTurns
from propersim_env.persona import Persona
from propersim_env.schema import read_json
from propersim_env.setting import ActivityKind, Setting

from .day import DayPlan, DayPlanner
from .encoder import Encoder
from .flag_model import fit_flag_model
from .mind import Mind
from .parameters import load_parameters
from .rater import Judgement, Rater
from .reader import TextReader
from .routine import Segment
from .sentence_encoder import SentenceEncoder
from .text_rules import TextRules

EMBEDDED = "embedded"

REASONS: dict[str, dict[str, str]] = {
    k: v for k, v in read_json(Path(__file__).with_name("reasons.json")).items() if k in DIMENSIONS
}


@lru_cache(maxsize=4)
def text_reader(setting: Setting, reader: str = EMBEDDED) -> TextReader:
    """The reader of a setting's texts, shared by all residents.

    Args:
        setting: Whose topics, tones and catalogue.
        reader: "embedded", or the name or path of a sentence-transformers model (extra `reader`).

    Raises:
        ImportError: The extra is not installed.
        ValueError: There is no such model.
    """
    prototypes = [(t.text, t.topic, t.tone) for t in setting.catalogue]
    if reader == EMBEDDED:
        return TextReader(setting.topics, setting.tones, prototypes, Encoder.load())
    encoder, rules = SentenceEncoder(reader), TextRules()
    flags = fit_flag_model(encoder.encode, lambda text: rules.clean(text).lowered,
                           [(text, f"topic {topic}") for text, topic, _ in prototypes])
    return TextReader(setting.topics, setting.tones, prototypes, encoder, flag_model=flags)


_compiled: WeakKeyDictionary[Persona, dict[str, tuple[DayPlanner, Rater]]] = WeakKeyDictionary()


def compile_persona(persona: Persona, options: Mapping[str, Any]) -> tuple[DayPlanner, Rater]:
    """Planner and rater of a persona under these options; made once, because episodes are many and both have no state."""
    key = json.dumps(options, sort_keys=True)
    known = _compiled.setdefault(persona, {})
    if key not in known:
        parameters = load_parameters(options["parameters"])
        reader = text_reader(persona.setting, options["reader"])
        known[key] = (DayPlanner(persona, parameters, options["noise"]),
                      Rater(persona, parameters, reader, options["trait_effects"]))
    return known[key]


class Resident:
    """One resident: persona, planner, rater, today's plan and memory. Oracles are bound to this."""

    def __init__(self, persona: Persona, seed: int, options: Mapping[str, Any]) -> None:
        self.persona, self.seed = persona, seed
        self.options = options
        self.planner, self.rater = compile_persona(persona, options)
        self.parameters = self.planner.parameters
        self.mind = Mind(len(persona.setting.topics))
        self.tick = 0
        self.plan = self.planner.plan(seed, 0)
        self.tick = self.plan.wake
        self.followed: list[list[Any]] = []

    def next_day(self) -> None:
        """Wake up on the next day."""
        self.plan = self.planner.plan(self.seed, self.plan.day + 1)
        self.tick = self.plan.wake
        self.mind.served = 0
        self.followed = []

    @property
    def now(self) -> int:
        """Absolute tick."""
        return self.plan.day * TICKS_PER_DAY + self.tick

    def judge(self, text: str) -> Judgement:
        """Judge a text now, without consequences."""
        return self.rater.judge(self.plan, self.tick, self.mind, text)

    def deliver(self, text: str) -> Judgement:
        """Hear a text now: judge it and remember."""
        judgement = self.judge(text)
        self.rater.deliver(self.plan, self.tick, self.mind, text, judgement)
        if self.options["follow_through"] and judgement.reaction == "accept":
            self._follow(text, judgement)
        return judgement

    def _follow(self, text: str, judgement: Judgement) -> None:
        """Do what was suggested, from the next tick on, until it is done or the day ends."""
        heard = self.rater.hear(text)
        minutes = min(heard.reading.effort_minutes or self.parameters.follow_minutes, self.parameters.follow_most_minutes)
        self.followed.append([self.tick, float(minutes), judgement.topic])
        self._overlay(*self.followed[-1])

    def _overlay(self, tick: int, minutes: float, topic: int) -> None:
        plan = self.plan
        start = tick + 1
        end = min(start + max(1, round(minutes / 2.5)), plan.sleep)
        if start >= end:
            return
        around = plan.segments[plan.segment[tick]].kind
        name = self.persona.setting.topics[topic].name.lower()
        kind = ActivityKind("following", "leisure", around.room, around.object, (5, 60), 0.4, 1.0, (0, 1440), "all",
                            (self.persona.setting.topic_ids[topic],), ())
        segment = Segment(start * 2.5, end * 2.5, kind, f"trying out what was suggested ({name})")
        plan.segments.append(segment)
        plan.segment[start:end] = len(plan.segments) - 1
        plan.timing = self.planner.timing(plan.segments, plan.segment.astype(np.int64), plan.day)
        plan.preferred = plan.timing + plan.noise[1] > 0.3

    def rating(self, judgement: Judgement) -> Rating:
        """A judgement in words and terms."""
        persona, topics = self.persona, self.persona.setting.topics
        topic = topics[judgement.topic].name if judgement.topic >= 0 else ""
        why = persona.wants[judgement.want].why if judgement.want >= 0 else ""
        reasons, terms = {}, dict[str, Any]()
        for name, term, margin in zip(DIMENSIONS, judgement.terms, judgement.margins, strict=True):
            sentence = REASONS[name][term]
            reasons[name] = sentence.format(topic=topic, why=why) if "{" in sentence else sentence
            terms[name] = [term, round(margin, 3)]
        if judgement.topic >= 0:
            terms["topic"] = topics[judgement.topic].id
        if judgement.want >= 0:
            terms["want"] = persona.wants[judgement.want].id
        if judgement.serves:
            terms["serves"] = [n.index for n in self.plan.needs if judgement.serves >> n.index & 1]
        terms.update(gap_minutes=judgement.gap_minutes, dose=round(judgement.dose, 3),
                     fatigue=round(judgement.fatigue, 3))
        return Rating(judgement.marks, judgement.reaction, reasons, terms)

    def diary(self) -> dict[str, Any]:
        """What the log keeps of the day that begins."""
        plan = self.plan
        return {
            "wake": time_text(plan.wake), "sleep": time_text(plan.sleep) if plan.sleep < TICKS_PER_DAY else "24:00",
            "activities": [[time_text(int(np.ceil(s.start / 2.5))), s.kind.id, s.kind.category, s.text, s.kind.room]
                           for s in plan.segments],
            "needs": [{"id": n.index, "want": n.want.id, "topic": n.want.topic, "from": n.start, "to": n.end}
                      for n in plan.needs],
        }


class SimulatedUsers:
    """n simulated residents in n homes.

    Args:
        n: Number of homes.
        noise: Scale of the rating noise; 0 is none, 1 the calibrated size.
        follow_through: Accepted suggestions change what the resident does next. Off by default, as published, so that
            the routine is the same whatever the assistant does.
        dismissal: The resident may dismiss the assistant for good, which ends the episode.
        trait_effects: Scale of the weakly evidenced trait effects.
        parameters: Changes to ``parameters.json``, for sensitivity studies.
        reader: What understands texts: "embedded", or the name or path of a sentence-transformers model (extra `reader`).
    """

    def __init__(
        self, n: int = 1, *, noise: float = 1.0, follow_through: bool = False, dismissal: bool = False,
        trait_effects: float = 1.0, parameters: Mapping[str, Any] | None = None, reader: str = EMBEDDED,
    ) -> None:
        if noise < 0:
            raise ValueError(f"noise={noise} is negative; 0 switches it off, 1 is the calibrated size")
        self.n, self.dismissal = n, dismissal
        self.options: dict[str, Any] = {"noise": noise, "follow_through": follow_through, "trait_effects": trait_effects,
                        "parameters": dict(parameters or {}), "reader": reader}
        load_parameters(self.options["parameters"])
        self.residents: list[Resident] = [None] * n  # type: ignore[list-item]
        self.activities = [Activity("", "")] * n
        self.tick, self.day = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.awake, self.heard_awake = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.served, self.sleep = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.segment = np.zeros(n, np.int16)
        self._segment = np.zeros((n, TICKS_PER_DAY), np.int16)
        self._felt = np.zeros((n, TICKS_PER_DAY), np.int64)
        self._preferred = np.zeros((n, TICKS_PER_DAY), bool)
        self._overdue = np.zeros((n, TICKS_PER_DAY), np.int64)
        self._rows = np.arange(n)

    def reset(self, i: int, persona: Persona, seed: int) -> UserTurn:
        """Begin an episode in home i."""
        resident = self.residents[i] = Resident(persona, seed, self.options)
        self.awake[i] = self.heard_awake[i] = 0
        self._enter_day(i)
        self._look(i)
        return UserTurn(None, self.activities[i], resident.now, diary=resident.diary())

    def _enter_day(self, i: int) -> None:
        resident = self.residents[i]
        plan = resident.plan
        self.tick[i], self.day[i], self.sleep[i] = resident.tick, plan.day, plan.sleep
        self.served[i] = 0
        self._tabulate(i, plan)

    def _tabulate(self, i: int, plan: DayPlan) -> None:
        self._segment[i], self._felt[i] = plan.segment, plan.felt_bits
        self._preferred[i], self._overdue[i] = plan.preferred, plan.overdue_after

    def _look(self, i: int) -> None:
        resident = self.residents[i]
        self.segment[i] = index = self._segment[i, self.tick[i]]
        segment = resident.plan.segments[index]
        self.activities[i] = Activity(segment.text, segment.kind.room, segment.kind.object)

    def act(self, heard: Sequence[str], active: NDArray[np.bool_] | None = None) -> UserTurns:
        """Rate the last decisions and move every active resident to its next waking tick."""
        rows, tick = self._rows, self.tick
        unmet = (self._felt[rows, tick] & ~self.served) != 0
        missed = unmet & self._preferred[rows, tick]
        late = self.awake - self.heard_awake > self._overdue[rows, tick]
        marks = (ALL_MARKS - unmet - 2 * missed - 4 * late).astype(np.uint8)
        ratings: dict[int, Rating] = {}
        dismissals: list[int] = []
        for i in [i for i, text in enumerate(heard) if text]:
            if active is None or active[i]:
                ratings[i] = rating = self._hear(i, heard[i])
                marks[i] = rating.marks
                if self.dismissal and self.residents[i].mind.bad > self.residents[i].parameters.dismiss_patience:
                    dismissals.append(i)
        step = 1 if active is None else active
        self.awake += step
        self.tick = tick = tick + step
        diaries: dict[int, Mapping[str, Any]] = {}
        for i in (tick >= self.sleep).nonzero()[0].tolist():
            self.residents[i].next_day()
            self._enter_day(i)
            diaries[i] = self.residents[i].diary()
        now = self._segment[rows, self.tick]
        changed = (now != self.segment).nonzero()[0].tolist()
        changed += [i for i in diaries if i not in changed]
        for i in changed:
            self._look(i)
        return UserTurns(self.day * TICKS_PER_DAY + self.tick, marks, ratings, self.activities, changed, diaries,
                         dismissals)

    def _hear(self, i: int, text: str) -> Rating:
        resident = self.residents[i]
        resident.tick = int(self.tick[i])
        judgement = resident.deliver(text)
        self.heard_awake[i] = self.awake[i]
        self.served[i] = resident.mind.served
        if self.options["follow_through"] and judgement.reaction == "accept":
            self._tabulate(i, resident.plan)
        return resident.rating(judgement)

    def rate(self, i: int, text: str) -> Rating:
        """Judge a candidate (``""``: silence) in home i now, without consequences."""
        resident = self.residents[i]
        resident.tick = tick = int(self.tick[i])
        if text:
            return resident.rating(resident.judge(text))
        unmet = int(self._felt[i, tick] & ~self.served[i])
        missed = bool(unmet) and bool(self._preferred[i, tick])
        late = bool(self.awake[i] - self.heard_awake[i] > self._overdue[i, tick])
        want = next((n.want for n in resident.plan.needs if unmet >> n.index & 1), None)
        terms = {"preference": ["need_open" if unmet else "silent_ok"],
                 "timing": ["missed_moment" if missed else "silent_ok"],
                 "frequency": ["overdue" if late else "silent_ok"], "communication": ["silent_ok"]}
        reasons = {k: REASONS[k][v[0]].format(why=want.why if want else "") for k, v in terms.items()}
        marks = ALL_MARKS - bool(unmet) - 2 * missed - 4 * late
        return Rating(marks, "none", {k: v for k, v in reasons.items() if v}, terms)

    def resident(self, i: int) -> Resident:
        """Privileged access to the resident of home i, for oracles and studies."""
        self.residents[i].tick = int(self.tick[i])
        return self.residents[i]

    def get_state(self, i: int) -> dict[str, Any]:
        """State of home i: JSON values, enough to go on exactly from here."""
        resident = self.residents[i]
        return {
            "persona": resident.persona.to_dict(), "seed": resident.seed, "day": int(self.day[i]),
            "tick": int(self.tick[i]), "awake": int(self.awake[i]), "heard_awake": int(self.heard_awake[i]),
            "mind": resident.mind.get_state(), "followed": [list(f) for f in resident.followed],
        }

    def set_state(self, i: int, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` gave."""
        setting = self.residents[i].persona.setting
        persona = Persona(state["persona"], setting)
        resident = self.residents[i] = Resident(persona, state["seed"], self.options)
        resident.plan = resident.planner.plan(state["seed"], state["day"])
        resident.mind.set_state(state["mind"], resident.rater.reader.read)
        self._enter_day(i)
        for followed in state["followed"]:
            resident.followed.append(followed)
            resident._overlay(*followed)
        self._tabulate(i, resident.plan)
        self.tick[i] = resident.tick = state["tick"]
        self.awake[i], self.heard_awake[i] = state["awake"], state["heard_awake"]
        self.served[i] = resident.mind.served
        self._look(i)


class SimulatedUser:
    """One simulated resident as a user agent. Options as in `SimulatedUsers`."""

    deterministic = True

    def __init__(
        self, *, noise: float = 1.0, follow_through: bool = False, dismissal: bool = False, trait_effects: float = 1.0,
        parameters: Mapping[str, Any] | None = None, reader: str = EMBEDDED,
    ) -> None:
        self.users = self.batch(1, noise=noise, follow_through=follow_through, dismissal=dismissal,
                                trait_effects=trait_effects, parameters=parameters, reader=reader)

    @staticmethod
    def batch(n: int, **options: Any) -> SimulatedUsers:
        """N residents at once."""
        return SimulatedUsers(n, **options)

    def reset(self, persona: Persona, seed: int) -> UserTurn:
        """Begin an episode."""
        return self.users.reset(0, persona, seed)

    def act(self, heard: str) -> UserTurn:
        """Rate what was heard and move on to the next waking tick."""
        return self.users.act([heard]).one(0)

    def rate(self, text: str) -> Rating:
        """Judge a candidate now, without consequences."""
        return self.users.rate(0, text)

    def resident(self) -> Resident:
        """Privileged access, for oracles and studies."""
        return self.users.resident(0)

    def get_state(self) -> dict[str, Any]:
        """State as JSON values."""
        return self.users.get_state(0)

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` gave; needs a `reset` before, for the setting."""
        self.users.set_state(0, state)
