"""An observation as numbers: what an assistant may know from the texts it has read so far, for learners that want vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, log1p, pi, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.clock import MINUTES_PER_TICK, TICKS_PER_DAY, TICKS_PER_HOUR, is_weekend
from propersim_env.names import import_object
from propersim_env.observation import Observation, read_observation
from propersim_env.setting import Setting, setting_names

MEMORY_DAYS = 14.0
"""Days in which the counts by topic and tone fade by a factor e (assumption: as long as an episode)."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the features: `size` numbers (or one for each topic, tone or component) within `low`..`high`."""

    name: str
    low: float
    high: float
    about: str
    size: int | str = 1


FIELDS = (
    Field("time_sin", -1, 1, "sine of the time of day, one turn in 24 hours"),
    Field("time_cos", -1, 1, "cosine of the time of day"),
    Field("weekend", 0, 1, "1 on Saturday and Sunday, else 0"),
    Field("company", 0, 1, "1 where somebody else is at home"),
    Field("activity", -4, 4, "principal components of the embedding of what the resident is doing", "components"),
    Field("likeness", -6, 6, "how like each topic the activity is, in standard deviations over activities", "topics"),
    Field("since_change", 0, 1, "log(1 + minutes since the activity changed) / log(1 + 1440); 1 from a day on"),
    Field("since_said", 0, 1, "the same of the minutes since something was said; 1 if nothing was"),
    Field("load", 0, 1, "texts said, fading over 12 hours, / 8"),
    Field("weary", 0, 1, "marks that texts lost on preference (half) and frequency, fading over 12 hours, / 4; those told"),
    Field("today", 0, 1, "texts said today / 12"),
    Field("yesterday", 0, 1, "texts said yesterday / 12"),
    Field("told", 0, 1, "1 where the rating of the last text is told"),
    Field("rating", 0, 1, "rating of the last text / 4; 0 if not told"),
    Field("marks", 0, 1, "its marks: preference, timing, frequency, communication; 0 if not told", 4),
    Field("reaction", 0, 1, "whether the reaction to the last text was: accept, dismiss, ignore", 3),
    Field("topic_said", 0, 1, "texts of the catalogue said on each topic, fading over 14 days, / 8", "topics"),
    Field("topic_liked", 0, 1, "those of them that were told to have the mark for preference, / 8", "topics"),
    Field("tone_said", 0, 1, "texts of the catalogue said in each tone, fading over 14 days, / 16", "tones"),
    Field("tone_liked", 0, 1, "those of them that were told to have the mark for communication, / 16", "tones"),
)
"""Every field in order. Sizes ``"topics"`` and ``"tones"`` are the setting's; there are 12 components."""


class Features:
    """Reads the observations of one home in order and gives each as a vector.

    Only what an assistant sees goes in: the text of the observation, and whether it spoke. A revealed persona is not read.
    Texts that are not in the catalogue count as said, but on no topic and in no tone.

    Args:
        setting: Whose topics, tones and catalogue.

    Attributes:
        names: Name of each number, e.g. ``"time_sin"``, ``"marks:timing"`` or ``"topic_liked:reading"``.
        low, high: Bounds, float32 of shape ``(n,)``.

    Example:
        >>> from propersim_env import load_setting
        >>> features = Features(load_setting())
        >>> text = "Saturday 15 February 2025, 18:00. The resident is reading (study). You have not said anything yet."
        >>> named = dict(zip(features.names, features.read(text).tolist()))
        >>> named["time_sin"], named["weekend"], named["since_said"]
        (-1.0, 1.0, 1.0)
    """

    def __init__(self, setting: Setting) -> None:
        # By name, because the core imports no baselines; the bandits' features of a moment are the ones meant here.
        self._moment_type = import_object("propersim_env.baselines.bandit:Moment")
        self.world = import_object("propersim_env.baselines.bandit:world")(_reference(setting))
        topics = [setting.topic_ids[i] for i in self.world.spoken]
        tones = [tone.id for tone in setting.tones]
        self._content = {t.text: (topics.index(t.topic), tones.index(t.tone)) for t in setting.catalogue}
        parts = {"topics": topics, "tones": tones, "marks": ["preference", "timing", "frequency", "communication"],
                 "reaction": ["accept", "dismiss", "ignore"],
                 "components": [str(i + 1) for i in range(len(self.world.activity("")[0]))]}
        labels = [parts.get(f.name) or parts.get(str(f.size)) or [""] for f in FIELDS]
        self.names = [f"{f.name}:{part}" if part else f.name for f, own in zip(FIELDS, labels, strict=True) for part in own]
        sizes = [len(own) for own in labels]
        self.low = np.repeat(np.array([f.low for f in FIELDS], np.float32), sizes)
        self.high = np.repeat(np.array([f.high for f in FIELDS], np.float32), sizes)
        self._topics, self._tones = len(topics), len(tones)
        self.reset()

    def reset(self) -> None:
        """Forget the resident."""
        self.moment = self._moment_type(self.world)
        self.said, self.liked = np.zeros((2, self._topics + self._tones))

    def read(self, observation: str, spoke: bool = False) -> NDArray[np.float32]:
        """The features of an observation.

        Args:
            observation: As an assistant gets it; the next one after that of the call before.
            spoke: Whether something was said after that one.

        Returns:
            Shape ``(n,)``, within `low`..`high`.

        Raises:
            ValueError: It is not of the form that the environment writes.
        """
        seen, moment = read_observation(observation), self.moment
        if spoke:
            self._note(seen)
        fading = np.exp(-(seen.tick - moment.now) / (MEMORY_DAYS * TICKS_PER_DAY))
        self.said, self.liked = self.said * fading, self.liked * fading
        moment.see(seen)
        return self._vector(seen)

    def _note(self, seen: Observation) -> None:
        """Note what was said at the observation before this one, and how it was marked as far as that is told."""
        moment = self.moment
        moment.say(0)  # its counts by topic fade too soon for a policy that is to know the resident; those here are used
        if seen.said_at != int(moment.now % TICKS_PER_DAY * MINUTES_PER_TICK):
            return  # the rating failed: the answer is that of an earlier text
        places = []
        if (content := self._content.get(seen.said)) is not None:
            places = [content[0], self._topics + content[1]]
            self.said[places] += 1
        if seen.marks is not None:
            moment.hear(seen.marks)
            if places:
                self.liked[places] += (seen.marks & 1, seen.marks >> 3 & 1)

    def _vector(self, seen: Observation) -> NDArray[np.float32]:
        moment, (day, tick) = self.moment, divmod(seen.tick, TICKS_PER_DAY)
        turn = 2 * pi * tick / (24 * TICKS_PER_HOUR)
        activity, likeness = self.world.activity(seen.action)
        marks = seen.marks or 0
        reactions = [float(seen.reaction == one) for one in ("accept", "dismiss", "ignore")]
        values = np.concatenate([
            (sin(turn), cos(turn), is_weekend(day), bool(seen.company)), activity, likeness,
            (_span(seen.tick - moment.changed), _span(seen.tick - moment.last), moment.dose / 8, moment.weary / 4,
             moment.numbers.get(day, 0) / 12, moment.numbers.get(day - 1, 0) / 12,
             seen.marks is not None, marks.bit_count() / 4, *(marks >> i & 1 for i in range(4)), *reactions),
            self.said[: self._topics] / 8, self.liked[: self._topics] / 8,
            self.said[self._topics :] / 16, self.liked[self._topics :] / 16])
        return np.clip(values.astype(np.float32), self.low, self.high)

    def get_state(self) -> dict[str, Any]:
        """State as JSON values."""
        return {"moment": self.moment.get_state(), "said": self.said.tolist(), "liked": self.liked.tolist()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` gave."""
        self.reset()
        self.moment.set_state(state["moment"])
        self.said, self.liked = np.array(state["said"]), np.array(state["liked"])


def _span(ticks: int) -> float:
    """A duration on a log scale, 0..1."""
    return min(1.0, log1p(ticks * MINUTES_PER_TICK) / log1p(1440))


def _reference(setting: Setting) -> str:
    """How to load this setting: by its name if it is bundled, else by its folder."""
    name = setting.folder.name
    part = setting.name.removeprefix(name)
    return (name if name in setting_names() else str(setting.folder)) + part
