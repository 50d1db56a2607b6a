"""What ProPerAssistant knows when it decides: what it sees now, and what its memory of this resident brings to it.

One `Recall` follows one resident, live or along a log, so that training sees the very prompts that deciding sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from propersim_env.agents.users.simulated.encoder import Encoder
from propersim_env.clock import date_of, time_text
from propersim_env.observation import Observation
from propersim_env.schema import read_json, sourced_values

from .chronicle import Complete, Count, chronicle_of
from .expectation import Expectation
from .labels import Labels, labels_of, main
from .memory import Memory, Record, TextEncoder
from .tallies import Instant, Judged, Tallies, given_marks, load_of, minutes_since, show

FILE = Path(__file__).with_name("recall.json")
Message = dict[str, str]
HIDDEN = -1


@dataclass(frozen=True, slots=True)
class RecallSettings:
    """What is remembered and shown; presets are in ``recall.json``.

    Attributes:
        level: ``"none"`` (nothing but the observation), ``"A"`` (what the resident did), ``"AS"`` (+ what was said), ``"ASC"``
            (+ ratings) or ``"ASCR"`` (+ the marks by dimension, which say why).
        retrieval: Preset of ``memory.json``.
        similar: Rated records looked up for the counts of moments like this one.
        topics, tones: Most liked and most disliked ones that are named, each.
        half_life_days: Of the counts.
        prior: How far evidence is trusted before this resident rated anything (see `expectation.prior`).
        instructions: Whether the prompt explains itself, as a general language model needs.
        context_tokens: Tokens of a prompt in which records and summaries are told in prose beside the counts, not counting
            those of the chat template; 0 for counts alone (see `chronicle.Chronicle`).
        summaries: Who puts past hours into words: ``"rule"`` or ``"model"``.
        persona: Whether the persona must be revealed; it is shown wherever it is.
    """

    level: str = "ASCR"
    retrieval: str = "default"
    similar: int = 16
    topics: int = 8
    tones: int = 4
    half_life_days: float = 6.0
    instructions: bool = True
    prior: str = "neutral"
    context_tokens: int = 0
    summaries: str = "rule"
    persona: bool = False


@lru_cache(maxsize=1)
def _words() -> dict[str, Any]:
    return sourced_values(read_json(FILE), str(FILE))


class Recall:
    """Memory of one resident, and the prompts made of it.

    Args:
        settings: What is remembered and shown.
        setting: Whose topics and tones.
        encoder: For retrieval and labels; the embedded one by default.
        count: Tokens of a text (`Policy.count`), where the settings have a budget of tokens.
        complete: The language model (`Policy.complete`), where the settings have summaries by it.
    """

    def __init__(self, settings: RecallSettings | None = None, setting: str = "house", encoder: TextEncoder | None = None,
                 count: Count | None = None, complete: Complete | None = None) -> None:
        self.settings = settings or RecallSettings()
        self.encoder: TextEncoder = encoder or Encoder.load()
        self.labels: Labels = labels_of(setting, self.encoder)  # type: ignore[arg-type]  # objects are hashable
        self.names = [t.name.lower() for t in self.labels.setting.topics]
        self.tone_names = [t.name.lower() for t in self.labels.setting.tones]
        level = self.settings.level
        self.remembers = ("none", "A", "AS", "ASC", "ASCR").index(level)
        self.memory = Memory(self.encoder, self.settings.retrieval, "A")
        self.tallies = Tallies(len(self.names), len(self.tone_names), self.settings.half_life_days, level == "ASCR")
        self.expectation = Expectation(self.labels, self.encoder, self.settings.half_life_days, level == "ASCR",
                                       self.settings.prior)
        self.judged: list[Judged] = []
        self.said: list[tuple[int, str]] = []
        self._waiting: Instant | None = None
        self._action, self._since, self._day = "", 0, 0
        self._profile = ""
        self._here: tuple[str, int, str] = ("", HIDDEN, "")
        self.chronicle = chronicle_of(self.settings, self.encoder, count, complete)

    def see(self, seen: Observation) -> None:
        """Take in an observation, and the rating in it of what was said last."""
        self._day = seen.day
        if self.chronicle:
            self.chronicle.see(seen)
        if seen.action != self._action:
            self._action, self._since = seen.action, seen.tick
        if self._waiting is not None and seen.tick > self._waiting.tick:
            instant, self._waiting = self._waiting, None
            if seen.marks is not None:
                self.learn([Judged(instant, self.said[-1][1], seen.marks)])

    def spoke(self, seen: Observation, text: str) -> None:
        """Remember having said this at the moment of the observation seen last."""
        self._waiting = self.instant(seen)
        self.said.append((seen.tick, text))
        self.expectation.said(seen.tick, text)
        if self.chronicle:
            self.chronicle.spoke(seen, text)

    def told(self, reasons: Mapping[int, str]) -> None:
        """Take in why texts were rated as they were, by the tick at which they were said (see `chronicle.reasons_of`)."""
        if self.chronicle:
            self.chronicle.told(reasons)

    def notes(self) -> dict[str, Any]:
        """What went into the prompts since the last call, and what had no room; empty where prompts are counts only."""
        return self.chronicle.notes() if self.chronicle else {}

    def instant(self, seen: Observation) -> Instant:
        """What may decide whether one more text is welcome at the observation seen last."""
        gap = minutes_since(seen.tick, self.said[-1][0] if self.said else None)
        return Instant(seen.tick, seen.action, minutes_since(seen.tick, self._since), gap, load_of(seen.tick, self.said))

    def night(self) -> None:
        """Weigh evidence anew by all ratings so far (see `Expectation.night`)."""
        if self.remembers >= 3:
            self.expectation.night(self._day)

    def learn(self, judged: Sequence[Judged]) -> None:
        """Take in ratings, of texts said or only considered, in the order of time."""
        if not judged:
            return
        if self.remembers >= 3:
            self.expectation.learn(judged)
        for one in judged:
            self.tallies.add(one, *self.labels.read(one.text))
        last = self.memory.records[-1].tick if self.memory.records else 0
        self.memory.extend([Record(max(j.instant.tick, last), j.instant.action, j.text, j.marks.bit_count()) for j in judged])
        self.judged += judged
        self._profile = ""
        self._here = ("", HIDDEN, "")

    def messages(self, seen: Observation) -> tuple[Message, ...]:
        """The prompt of a decision, as chat messages."""
        if self.settings.persona and not seen.persona:
            raise ValueError("the settings want the persona, but the observation has none: run with --reveal-persona, or set "
                             "persona=False")
        words, parts = _words(), []
        if self.remembers >= 3:
            self._profile = self._profile or self._make_profile()
            parts.append(self._profile)
        parts.append(self._now(seen))
        if self.chronicle:
            return self.chronicle.prompt(seen, words["instructions"] * self.settings.instructions, parts)
        content = "\n".join(part for part in parts if part)
        if seen.persona:
            content = f"{seen.persona}\n{content}"
        user: Message = {"role": "user", "content": content}
        if not self.settings.instructions:
            return (user,)
        return ({"role": "system", "content": words["instructions"]}, user)

    def _make_profile(self) -> str:
        """What is liked and what is not, by the counts of all ratings."""
        lines = []
        for what, table, names, most in (("Topics", self.tallies.topic, self.names, self.settings.topics),
                                         ("Tones", self.tallies.tone, self.tone_names, self.settings.tones)):
            ranked = self.tallies.ranked(table)
            good = [k for k, share in ranked if share > 0.5][:most]
            bad = [k for k, share in reversed(ranked) if share <= 0.5][:most]
            for title, chosen in ((f"{what} welcome", good), (f"{what} unwelcome", bad)):
                if chosen:
                    lines.append(f"{title}: " + ", ".join(f"{names[k]} {show(*table[k])}" for k in chosen) + ".")
        return "\n".join(lines)

    def _now(self, seen: Observation) -> str:
        tick = seen.tick
        lasting = minutes_since(tick, self._since)
        company = f" Also at home: {seen.company}." if seen.company else ""
        begun = "just begun" if lasting < 10 else f"for {_about(lasting)}"
        day = f"{date_of(seen.day):%A} {time_text(tick)}"
        lines = [f"{day}. {seen.action} ({seen.room}), {begun}.{company}"]
        instant = self.instant(seen)
        if self.remembers >= 2:
            said = instant.gap >= 0
            spoken = f"Last said {_about(instant.gap)} ago, load {instant.load:.1f}." if said else "Nothing said yet."
            lately = [self.names[main(self.labels.read(text)[0])] for _, text in self.said[-3:]]
            lines.append(spoken + (f" Lately: {', '.join(lately)}." if lately else ""))
        if self.remembers >= 3 and self.judged:
            timing, often = self.expectation.moment_marks(instant)
            lines.append(f"Moment {show(9 * timing, 9)}, rate {show(9 * often, 9)}.{self._similar(seen)}")
        return "\n".join(lines)

    def _similar(self, seen: Observation) -> str:
        """Counts over the rated records that are most like this moment, by retrieval."""
        if self._here[0] == seen.action and self._here[1] == len(self.judged):
            return self._here[2]
        good, bad = dict[int, int](), dict[int, int]()
        for i in self.memory.retrieve(seen.action, self.settings.similar):
            judged = self.judged[i]
            counts = good if given_marks(judged.marks, self.tallies.by_dimension)[0] else bad
            topic = main(self.labels.read(judged.text)[0])
            counts[topic] = counts.get(topic, 0) + 1
        text = ""
        for title, counts, other in (("welcome", good, bad), ("unwelcome", bad, good)):
            chosen = sorted((k for k in counts if counts[k] > other.get(k, 0)), key=lambda k: -counts[k])[:3]
            if chosen:
                text += f" Like now {title}: {', '.join(self.names[k] for k in chosen)}."
        self._here = (seen.action, len(self.judged), text)
        return text


def _about(minutes: float) -> str:
    """A duration in round words.

    Example:
        >>> _about(7), _about(95), _about(400)
        ('5 min', '1 h 30', '6 h')
    """
    if minutes < 60:
        return f"{max(5, int(minutes // 5) * 5)} min"
    hours, rest = divmod(int(minutes), 60)
    return f"{hours} h 30" if rest >= 30 and hours < 4 else f"{min(hours, 24)} h"
