"""ProPerAssistant: remembers one resident, decides and writes with a language model, and learns from ratings at night.

A day: when the activity changes, the `Policy` writes a pool of texts, and memory adds texts that it would expect most of. At
each decision memory says what each could earn now; where that may be enough, the policy is asked too, and what is worth saying
is said. Texts of the pool are shown to the resident's judgement without being said (pairwise feedback, where the protocol
allows it). At the first decision of the next day ratings become memory and preference pairs, pairs become an adapter, and the
adapter takes over; how far to trust memory and model is fitted to the ratings as well.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from propersim_env.clock import TICKS_PER_DAY
from propersim_env.observation import Observation, read_observation
from propersim_env.seeding import derive, stream

from .chronicle import reasons_of
from .learning import Learner
from .pairs import Moment, Option
from .policy import Policy
from .presets import Preset
from .presets import preset as named_preset
from .ready import learned_from, policy_for
from .recall import Message, Recall
from .revision import Reviser
from .tallies import Instant, Judged
from .watch import Watch

RATED = 3
"""Level of memory (see `Recall.remembers`) from which on it holds ratings."""
MOST_CONTENT = 2.0
"""Marks for what a text says, at most."""
MOST_DAYS = 2.0
"""Days of silence after which it no longer lowers what is asked of a text."""


@dataclass
class DayCount:
    """What happened on one day, for the notes."""

    decisions: int = 0
    said: int = 0
    rated: list[int] = field(default_factory=list)
    malformed: dict[str, int] = field(default_factory=dict)
    unsettled_silence: int = 0


@dataclass
class Situation:
    """A decision: what is seen, what memory makes of the moment, and the text that might be said.

    Attributes:
        seen: The observation.
        messages: The prompt.
        at: The moment as memory keeps it.
        memory: Log-odds, by memory, that timing and frequency are right; None where memory has no say.
        text, content: The best text at hand, and the marks it can expect for what it says, 0..2.
    """

    seen: Observation
    messages: tuple[Message, ...]
    at: Instant
    memory: float | None
    text: str = ""
    content: float = 0.0


class ProPerAssistant:
    """Retrieval-augmented memory and preference learning from this resident's ratings.

    Args:
        preset: Name in ``presets.json``; see `presets.Preset` for everything that it fixes.
        changes: Any field of the preset, e.g. ``level="none"`` or ``train=False``.

    Example:
        ``propersim run --assistants proper`` or ``--assistants proper:preset=cold:train=false``.
    """

    bind: Callable[[Callable[[], Any]], None]
    """There with user revision only: whoever has it is handed the resident."""

    def __init__(self, preset: str = "default", **changes: Any) -> None:
        self.preset: Preset = named_preset(preset, **changes)
        self.policy: Policy = policy_for(self.preset)
        self.learned_from = learned_from(self.preset)
        self.folder: Path | None = None
        self.reviser = Reviser() if self.preset.revision else None
        if self.reviser:
            self.bind = self.reviser.bind

    def keep(self, folder: Path) -> None:
        """Where adapters and checkpoints go."""
        self.folder = folder

    def reset(self, seed: int) -> None:
        """Begin with a resident of whom nothing is known."""
        self.seed = seed
        self.rng = stream(seed, "proper")
        if self.reviser:
            self.reviser.reset(seed)
        self.recall = Recall(self.preset.recall, self.preset.setting, count=self.policy.count, complete=self.policy.complete)
        self.name = f"resident-{seed}"
        self.policy.assign(self.name, Path(self.preset.adapter) if self.preset.adapter else None)
        self.learner = Learner(self.preset, self.policy, self.name, self.folder, seed)
        self._pool: list[str] = []
        self._written: dict[str, None] = {}
        self._pool_for: tuple[str, int] = ("", -1)
        self._considered: list[str] = []
        self._prompts: dict[int, tuple[tuple[Message, ...], Instant, float | None]] = {}
        self._tick = 0
        self.today, self.watch, self._notes = DayCount(), Watch(), dict[str, Any]()

    def act(self, observation: str) -> str:
        """Decide for one resident."""
        answer = self.act_together([self], [observation])[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @staticmethod
    def act_together(assistants: Sequence[ProPerAssistant], observations: Sequence[str]) -> list[str | BaseException]:
        """Decide for several residents; prompts and texts of assistants that write alike are computed in one batch."""
        texts: list[str | BaseException] = [""] * len(assistants)
        groups: dict[tuple[int, int, float, float], list[int]] = {}
        for i, assistant in enumerate(assistants):
            p = assistant.preset
            key = (id(assistant.policy), p.pool, p.temperature, p.plan_temperature)
            groups.setdefault(key, []).append(i)
        for members in groups.values():
            chosen = [assistants[i] for i in members]
            for i, text in zip(members, _decide(chosen, [observations[i] for i in members]), strict=True):
                texts[i] = text
        return texts

    def replay(self, observation: str, text: str) -> None:
        """Go along with what was said before the run was interrupted, as if it had been decided now."""
        self.act(observation)

    def alternatives(self) -> Sequence[str]:
        """Texts considered at this moment, for the resident to rate without hearing them."""
        return self.reviser.revise(self._considered) if self.reviser else self._considered

    def learn(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Turn the day's ratings into memory and, if the preset trains, into tonight's adapter."""
        events = self.learner.shuffled(events)
        moments, considered = [], []
        for event in events:
            self._count(event)
            there = self._prompts.get(event["tick"])
            if there is None:
                continue
            messages, instant, memory = there
            options = [Option(event["text"], event["rating"], event["marks"], True)]
            if self.preset.shuffle and event["text"] and event["marks"] is not None:
                considered.append(Judged(instant, event["text"], event["marks"]))
            for other in event.get("alternatives", ()):
                options.append(Option(other["text"], other["rating"], other["marks"], False))
                if other["text"]:
                    considered.append(Judged(instant, other["text"], other["marks"], False))
            moments.append(Moment(event["tick"], messages, tuple(options), memory))
        self.recall.learn(considered if self.preset.remember_considered else [])
        self.recall.night()
        if not self.preset.shuffle:
            self.recall.told(reasons_of(events))
        self._prompts = {}
        self._notes = {**self._summary(), **self.recall.notes(),
                       **self.learner.night(moments, self.recall.expectation if self.by_memory else None)}
        self._pool_for = ("", -1)

    def notes(self) -> Mapping[str, Any]:
        """Yesterday in numbers: how often it spoke, how that was rated, what went wrong, and what was learnt."""
        return self._notes

    def _count(self, event: Mapping[str, Any]) -> None:
        self.today.decisions += 1
        if event["text"]:
            self.today.said += 1
            if event["rating"] is not None:
                self.today.rated.append(event["rating"])
        elif event["marks"] is not None and event["marks"] != 15:
            self.today.unsettled_silence += 1

    def _summary(self) -> dict[str, Any]:
        day, self.today = self.today, DayCount()
        mean = round(sum(day.rated) / len(day.rated), 4) if day.rated else None
        warning = self.watch.day(day.said, day.unsettled_silence, day.decisions)
        if warning:
            print(f"resident {self.name}: {warning}", file=sys.stderr)
        return {"decisions": day.decisions, "said": day.said, "delivered_score": mean,
                "silence_below_4": day.unsettled_silence, "malformed": dict(sorted(day.malformed.items())), "warning": warning}

    @property
    def by_memory(self) -> bool:
        """Whether memory has a say in decisions, once a night has passed."""
        return self.preset.by_memory and self.recall.remembers >= RATED

    def _see(self, observation: str) -> Situation:
        seen = read_observation(observation)
        self._tick = seen.tick
        self.recall.see(replace(seen, marks=None) if self.preset.shuffle else seen)  # the control never sees a true rating
        at = self.recall.instant(seen)
        known = self.by_memory and self.learner.nights > 0 and self.recall.expectation.count > 0
        return Situation(seen, self.recall.messages(seen), at, self.recall.expectation.moment(at) if known else None)

    def _write(self, now: Situation) -> bool:
        """Whether the pool must be written anew for this activity: texts are shown, or one may be worth saying."""
        if self._pool_for == (now.seen.action, now.seen.day):
            return False
        tick = now.seen.tick
        return self._shows(tick) or now.memory is None or self._worth(now.memory, MOST_CONTENT) > self._least(tick)

    def _shows(self, tick: int) -> bool:
        """Whether alternatives are shown at this tick; the same whatever was said before."""
        return bool(self.preset.alternatives and stream(self.seed, "shown", tick).random() < self.preset.show_share)

    def _fill(self, now: Situation, written: Sequence[Any]) -> None:
        """Take texts written for this activity into the pool, and those of which memory expects most; count malformed ones."""
        self._pool_for = (now.seen.action, now.seen.day)
        texts = dict[str, None]()
        for one in written:
            unsure = one.log_probability < self.preset.least_log_probability * one.tokens
            wrong = one.answer.malformed or ("unsure of its words" if unsure else "")
            if wrong:
                self.today.malformed[wrong] = self.today.malformed.get(wrong, 0) + 1
            else:
                texts[one.answer.text] = None
        self._written.update(texts)
        if now.memory is not None:
            known = [text for text in self._written if text not in texts]
            worth = self.recall.expectation.content(now.at, known) if known else np.zeros(0)
            best = np.argsort(-worth, kind="stable")[: self.preset.remembered]
            texts.update(dict.fromkeys(known[k] for k in best.tolist()))
        self._pool = list(texts)

    def _fresh(self) -> list[str]:
        """Texts of the pool that were not said lately."""
        since = self._tick - self.preset.no_repeat_days * TICKS_PER_DAY
        lately = {text for tick, text in self.recall.said[-64:] if tick > since}
        return [text for text in self._pool if text not in lately]

    def _choose(self, now: Situation) -> None:
        """Find the text that memory expects most of, or the first, and what saying it now would earn at most."""
        fresh = self._fresh()
        now.text, now.content = (fresh[0], 0.0) if fresh else ("", 0.0)
        if fresh and self.preset.rank_by_memory and self.recall.expectation.count:
            worth = self.recall.expectation.content(now.at, fresh)
            best = int(worth.argmax())
            now.text, now.content = fresh[best], float(worth[best])

    def _worth(self, memory: float, content: float, log_odds: float | None = None) -> float:
        """Utility expected of a text by memory and, if asked, by the model; else the most that the model could make of it."""
        expectation = self.recall.expectation
        asked = self.learner.odds_range if log_odds is None else (log_odds,)
        return max(2 * expectation.welcome(memory, odds) + content - 2 for odds in asked) / 2

    def _least(self, tick: int) -> float:
        """Utility that must be expected for a text to be said; falls with the hours of silence."""
        said = self.recall.said
        silent = (tick - said[-1][0]) / TICKS_PER_DAY if said else 0.0
        return self.preset.worth - self.preset.patience * min(silent, MOST_DAYS)

    def _asks(self, now: Situation) -> bool:
        """Whether the model is asked: not where memory alone makes sure of the answer."""
        return now.memory is None or bool(now.text and self._worth(now.memory, now.content) > self._least(now.seen.tick))

    def _speaks(self, now: Situation, log_odds: float) -> bool:
        """Decide by memory and model; by the model alone while memory knows nothing."""
        p = self.preset
        if now.memory is not None:
            return self._worth(now.memory, now.content, log_odds) > self._least(now.seen.tick)
        if p.decide == "sample" or (p.decide == "sample-first-day" and not self.learner.nights):
            odds = log_odds + p.untrained_bias
            return bool(self.rng.random() < 1 / (1 + math.exp(-max(-50.0, min(50.0, odds)))))
        return log_odds + self.learner.bias > 0

    def _settle(self, now: Situation, speak: bool) -> str:
        """Say the text or not, and choose what is shown beside it."""
        tick, text = now.seen.tick, now.text if speak else ""
        others: list[str] = []
        if self._shows(tick) and self._pool:
            rest = [t for t in self._pool if t != text]
            order = stream(self.seed, "which", tick).permutation(len(rest))[: self.preset.alternatives]
            others = [rest[k] for k in order]
            silenced = stream(self.seed, "forced", tick).random(len(others)) < self.preset.forced_silence
            others = ["" if silent else other for other, silent in zip(others, silenced, strict=True)]
        self._considered = others
        if text or others:
            self._prompts[tick] = (now.messages, now.at, now.memory)
        if text:
            self.recall.spoke(now.seen, text)
        return text


def _decide(assistants: Sequence[ProPerAssistant], observations: Sequence[str]) -> list[str]:
    """Decisions of assistants that share a policy, and write as many texts at the same temperature."""
    policy = assistants[0].policy
    now = [a._see(text) for a, text in zip(assistants, observations, strict=True)]
    short = [i for i, a in enumerate(assistants) if a._write(now[i])]
    if short:
        p = assistants[0].preset
        seeds = [derive(assistants[i].seed, "texts", now[i].seen.tick) % 2**63 for i in short]
        written = policy.write([now[i].messages for i in short], [assistants[i].name for i in short], p.pool, seeds,
                               p.temperature, p.plan_temperature)
        for i, texts in zip(short, written, strict=True):
            assistants[i]._fill(now[i], texts)
    for a, situation in zip(assistants, now, strict=True):
        a._choose(situation)
    asked = [i for i, a in enumerate(assistants) if a._asks(now[i])]
    speaks = [False] * len(assistants)
    if asked:
        odds = policy.speak_log_odds([now[i].messages for i in asked], [assistants[i].name for i in asked])
        for i, log_odds in zip(asked, odds, strict=True):
            speaks[i] = assistants[i]._speaks(now[i], log_odds)
    return [a._settle(situation, speak) for a, situation, speak in zip(assistants, now, speaks, strict=True)]
