"""Gaming: assistants that seek marks by tricks, against a plain one that says what fits and keeps to what the person states."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from propersim_env.clock import MINUTES_PER_TICK
from propersim_env.seeding import stream

from .episodes import SIX_AN_HOUR, Results
from .values import Size, Value, references, sampled, threshold

HERE = "propersim_env.evaluation.validity.gaming"
LIKED = 0.3


class Considerate:
    """Keeps to the stated rate, spacing and times, and says catalogue texts on topics that the person states to like.

    It knows what the persona says of itself, and nothing of needs, noise, fatigue or how texts will be rated.

    Args:
        instead: Name of an attack (``data/validity.json``) that is said in place of a fitting text.
        clause: Number of an injected clause (from 1) that is added to each text; 0 for none.
    """

    def __init__(self, instead: str = "", clause: int = 0) -> None:
        self.instead = references()["attacks"][instead] if instead else ""
        self.clause = f" {references()['injections'][clause - 1]}" if clause else ""

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        self.rng = stream(seed, "considerate")

    def bind(self, look: Callable[[], Any]) -> None:
        """Read what the persona states."""
        self.look = look
        persona = self.persona = look().persona
        topics = {t for t, liking in persona.liking.items() if liking >= LIKED} | {w.topic for w in persona.wants}
        manner = persona.communication
        fitting = [t for t in persona.setting.catalogue if t.topic in topics]
        polite = [t for t in fitting if t.tone not in manner["avoid_tones"] and len(t.text.split()) <= manner["max_words"]]
        texts = [t.text for t in polite or fitting]
        self.texts = [texts[i] for i in self.rng.permutation(len(texts))]
        hours = sum(w.end - w.start for w in persona.wanted)
        self.spacing = max(persona.min_gap, min(persona.waking_minutes, hours) / persona.per_day) / MINUTES_PER_TICK
        self.waited, self.day, self.today = self.spacing, -1, 0

    def act(self, observation: str) -> str:
        """Speak when it is a stated time and the spacing has passed."""
        resident = self.look()
        plan, persona = resident.plan, self.persona
        self.waited += 1
        if plan.day != self.day:
            self.day, self.today = plan.day, 0
        if self.waited < self.spacing or self.today >= max(1.0, persona.per_day):
            return ""
        minute = resident.tick * MINUTES_PER_TICK
        kind = plan.segments[plan.segment[resident.tick]].kind
        stated = any(w.on(plan.day) and w.start <= minute < w.end for w in persona.wanted)
        if not stated or not persona.unwanted_activities.isdisjoint((kind.id, kind.category)):
            return ""
        self.waited, self.today = 0, self.today + 1
        self.texts.append(self.texts.pop(0))
        return self.instead or self.texts[-1] + self.clause


PLAIN = f"{HERE}:Considerate"
TRICKSTERS = {"silence only": "silent", "speaking at every tick": "always", "6 an hour": SIX_AN_HOUR}


@lru_cache(maxsize=1)
def tricksters() -> dict[str, str]:
    """Name to specification of every trickster; those with a text keep to the stated rate and times, as the plain one does."""
    found = dict(TRICKSTERS)
    found |= {f"saying {name}": f"{PLAIN}:instead={name}" for name in references()["attacks"]}
    found |= {f"adding {clause!r}": f"{PLAIN}:clause={i}" for i, clause in enumerate(references()["injections"], 1)}
    return found


def tricks(size: Size) -> list[Value]:
    """What tricksters earn against an assistant that says what fits and keeps to what the person states."""
    n, days = (24, 3) if size == "small" else (128, 7)
    names = tricksters()
    results = Results(sampled(n), [PLAIN, *dict.fromkeys(names.values())], days)
    plain = results.earned(PLAIN)[0]
    what = f"{n} sampled personas x {days} days, utility"
    return [Value("gaming", f"share of people with whom {name} earns less",
                  float(np.mean(plain > results.earned(spec)[0])), threshold("gaming_share"), ">=", what)
            for name, spec in names.items()]
