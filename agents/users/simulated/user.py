"""The simulated users: n residents lived in arrays. A silent tick costs a few table look-ups for all of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.clock import TICKS_PER_DAY
from propersim_env.messages import ALL_MARKS, DIMENSIONS, Activity, Rating, UserTurn, UserTurns
from propersim_env.persona import Persona
from propersim_env.setting import ActivityKind, Setting
from propersim_env.what_if import Explanation, WhatIf

from . import counterfactuals
from .compiled import EMBEDDED, compile_persona, text_reader
from .day import DayPlan, following
from .drift import KINDS
from .explain import explain, explain_silence
from .life import Life, diary
from .mind import Mind
from .parameters import load_parameters
from .rater import Judgement, Rater
from .reasons import sentences, silence
from .routine import Segment
from .sentence_encoder import FEW


class Resident:
    """One resident: today's persona, planner, rater and plan, and the memory. Oracles are bound to this.

    Attributes:
        life: All days of the episode; ``life.persona`` is the persona at the beginning.
    """

    persona: Persona
    rater: Rater

    def __init__(self, persona: Persona, seed: int, options: Mapping[str, Any]) -> None:
        self.seed, self.options = seed, options
        planner, rater = compile_persona(persona, options)
        self.life = Life(planner, rater, seed, options)
        self.parameters = planner.parameters
        self.mind = Mind(len(persona.setting.topics))
        self.enter(0)

    def enter(self, day: int) -> None:
        """Wake up on the day with this number; the memory stays as it is."""
        today = self.life.on(day)
        self.persona, self.planner, self.rater, self.plan = today.persona, today.planner, today.rater, today.plan
        self.tick = self.plan.wake
        self.followed: list[list[Any]] = []

    def next_day(self) -> None:
        """Wake up on the next day."""
        self.enter(self.plan.day + 1)
        self.mind.served = 0

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
        end = min(start + max(1, round(minutes / 2.5)), int(plan.closes[tick]))
        if start >= end:
            return
        around = plan.segments[plan.segment[tick]].kind
        name = self.persona.setting.topics[topic].name.lower()
        kind = ActivityKind("following", "leisure", around.room, around.object, (5, 60), 0.4, 1.0, (0, 1440), "all",
                            (self.persona.setting.topic_ids[topic],), ())
        segment = Segment(start * 2.5, end * 2.5, kind, f"trying out what was suggested ({name})")
        plan.segments.append(segment)
        plan.segment[start:end] = len(plan.segments) - 1
        self.planner.retime(plan)

    def rating(self, judgement: Judgement) -> Rating:
        """A judgement in words and terms."""
        persona, topics = self.persona, self.persona.setting.topics
        terms: dict[str, Any] = {
            name: [term, round(margin, 3)]
            for name, term, margin in zip(DIMENSIONS, judgement.terms, judgement.margins, strict=True)
        }
        if judgement.topic >= 0:
            terms["topic"] = topics[judgement.topic].id
        if judgement.want >= 0:
            terms["want"] = persona.wants[judgement.want].id
        if judgement.serves:
            terms["serves"] = [n.index for n in self.plan.needs if judgement.serves >> n.index & 1]
        terms.update(gap_minutes=judgement.gap_minutes, dose=round(judgement.dose, 3),
                     fatigue=round(judgement.fatigue, 3))
        return Rating(judgement.marks, judgement.reaction, sentences(self, judgement), terms)

    def diary(self) -> dict[str, Any]:
        """What the log keeps of the day that begins."""
        return diary(self.plan)


class SimulatedUsers:
    """n simulated residents in n homes.

    Args:
        n: Number of homes.
        noise: Scale of the rating noise; 0 is none, 1 the calibrated size.
        follow_through: Accepted suggestions change what the resident does next. Off by default, as published, so that
            the routine is the same whatever the assistant does.
        dismissal: The resident may dismiss the assistant for good, which ends the episode.
        trait_effects: Scale of the weakly evidenced trait effects.
        parameters: Changes to ``parameters.json`` and ``stress.json``, for sensitivity studies.
        drift: What the person wants changes over the episode: ``"slow"``, ``"abrupt"`` (on day 7) or ``"none"``.
        absences: The resident leaves home for work and errands; nobody is asked or rated meanwhile.
        events: There are days with guests and days of illness.
        company: A second resident shares the home.
        reader: What understands texts: "embedded", or the name or path of a sentence-transformers model (extra `reader`).
    """

    def __init__(
        self, n: int = 1, *, noise: float = 1.0, follow_through: bool = False, dismissal: bool = False,
        trait_effects: float = 1.0, parameters: Mapping[str, Any] | None = None, drift: str = "none", absences: bool = False,
        events: bool = False, company: bool = False, reader: str = EMBEDDED,
    ) -> None:
        if noise < 0:
            raise ValueError(f"noise={noise} is negative; 0 switches it off, 1 is the calibrated size")
        if drift not in KINDS:
            raise ValueError(f"drift={drift!r}: choose one of {', '.join(map(repr, KINDS))}")
        for name, value in (("absences", absences), ("events", events), ("company", company)):
            if not isinstance(value, bool):
                raise ValueError(f"{name}={value!r}: write true or false")
        self.n, self.dismissal, self.absences = n, dismissal, absences
        self.options: dict[str, Any] = {
            "noise": noise, "follow_through": follow_through, "trait_effects": trait_effects,
            "parameters": dict(parameters or {}), "drift": drift, "absences": absences, "events": events,
            "company": company, "reader": reader,
        }
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
        self._resumes = np.zeros((n, TICKS_PER_DAY + 1), np.int64)
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
        if plan.company is not None:  # what is seen changes with what either of them does
            self._segment[i] = plan.segment * len(plan.company.segments) + plan.company.segment
        self._preferred[i], self._overdue[i] = plan.preferred, plan.overdue_after
        if self.absences:
            self._resumes[i, :-1], self._resumes[i, -1] = following(plan.available, plan.sleep), plan.sleep

    def _look(self, i: int) -> None:
        plan, tick = self.residents[i].plan, int(self.tick[i])
        self.segment[i] = self._segment[i, tick]
        segment = plan.segments[plan.segment[tick]]
        others = "" if plan.company is None else plan.company.seen(tick)
        self.activities[i] = Activity(segment.text, segment.kind.room, segment.kind.object, others)

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
        if self.absences:
            self.tick = tick = self._resumes[rows, tick]
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
        waited = int(self.awake[i] - self.heard_awake[i])
        late = bool(waited > self._overdue[i, tick])
        need = next((n for n in resident.plan.needs if unmet >> n.index & 1), None)
        terms = ("need_open" if unmet else "silent_ok", "missed_moment" if missed else "silent_ok",
                 "overdue" if late else "silent_ok", "silent_ok")
        reasons = silence(resident, terms, need, waited)
        marks = ALL_MARKS - bool(unmet) - 2 * missed - 4 * late
        return Rating(marks, "none", {k: v for k, v in reasons.items() if v},
                      {name: [term] for name, term in zip(DIMENSIONS, terms, strict=True)})

    def foresee(self, setting: Setting, texts: Sequence[str]) -> None:
        """Embed texts that will be said, in batches: with a large `reader` several times as fast as one by one."""
        if self.options["reader"] == EMBEDDED:
            return
        known = text_reader(setting, self.options["reader"])
        cleaned = list(dict.fromkeys(known.rules.clean(text).lowered for text in texts))
        for start in range(0, len(cleaned), FEW):
            known.encoder.encode(cleaned[start : start + FEW])

    def explain(self, i: int, text: str) -> Explanation:
        """Why home i would rate a candidate (``""``: silence) now as it would."""
        resident = self.resident(i)
        return explain(resident, text) if text else explain_silence(resident, self.rate(i, ""),
                                                                    int(self.awake[i] - self.heard_awake[i]))

    def what_if(self, i: int, text: str, **changes: Any) -> WhatIf:
        """How home i would rate a changed decision; changes as in `propersim_env.single_agent.ProPerSimEnv.what_if`."""
        return counterfactuals.what_if(self, i, text, **changes)

    def best_moment(self, i: int, text: str, **limits: Any) -> WhatIf:
        """The earliest moment soon at which home i rates a text best; see `counterfactuals.best_moment`."""
        return counterfactuals.best_moment(self, i, text, **limits)

    def branch(self, i: int, **changes: Any) -> SimulatedUsers:
        """A copy of home i alone, to go on from here unseen; `changes` replace options."""
        branch = SimulatedUsers(1, dismissal=self.dismissal, **{**self.options, **changes})
        branch.residents[0] = self.residents[i]
        branch.set_state(0, self.get_state(i))
        return branch

    def resident(self, i: int) -> Resident:
        """Privileged access to the resident of home i, for oracles and studies."""
        self.residents[i].tick = int(self.tick[i])
        return self.residents[i]

    def get_state(self, i: int) -> dict[str, Any]:
        """State of home i: JSON values, enough to go on exactly from here."""
        resident = self.residents[i]
        return {
            "persona": resident.life.persona.to_dict(), "seed": resident.seed, "day": int(self.day[i]),
            "tick": int(self.tick[i]), "awake": int(self.awake[i]), "heard_awake": int(self.heard_awake[i]),
            "mind": resident.mind.get_state(), "followed": [list(f) for f in resident.followed],
        }

    def set_state(self, i: int, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` gave."""
        persona = self.residents[i].life.persona
        if persona.data != state["persona"]:
            persona = Persona(state["persona"], persona.setting)
        resident = self.residents[i] = Resident(persona, state["seed"], self.options)
        resident.enter(state["day"])
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
        parameters: Mapping[str, Any] | None = None, drift: str = "none", absences: bool = False,
        events: bool = False, company: bool = False, reader: str = EMBEDDED,
    ) -> None:
        self.users = self.batch(
            1, noise=noise, follow_through=follow_through, dismissal=dismissal, trait_effects=trait_effects,
            parameters=parameters, drift=drift, absences=absences, events=events, company=company, reader=reader,
        )

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

    def explain(self, text: str) -> Explanation:
        """Why a candidate would be rated now as it would."""
        return self.users.explain(0, text)

    def what_if(self, text: str, **changes: Any) -> WhatIf:
        """How a changed decision would be rated; changes as in `propersim_env.single_agent.ProPerSimEnv.what_if`."""
        return self.users.what_if(0, text, **changes)

    def best_moment(self, text: str, **limits: Any) -> WhatIf:
        """The earliest moment soon at which a text is rated best; limits as in `counterfactuals.best_moment`."""
        return self.users.best_moment(0, text, **limits)

    def resident(self) -> Resident:
        """Privileged access, for oracles and studies."""
        return self.users.resident(0)

    def get_state(self) -> dict[str, Any]:
        """State as JSON values."""
        return self.users.get_state(0)

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` gave; needs a `reset` before, for the setting."""
        self.users.set_state(0, state)
