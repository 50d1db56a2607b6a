"""ProPerAssistant: remembers one resident, decides and writes with a language model, and learns from ratings at night.

A day: at each decision the resident's `Recall` makes a prompt; the `Policy` says whether to speak, and texts come from a pool
that it writes when the activity changes. Some texts of the pool are shown to the resident's judgement without being said
(pairwise feedback, where the protocol allows it). At the first decision of the next day the ratings become preference pairs,
pairs become an adapter, and the adapter takes over.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from propersim_env.clock import TICKS_PER_DAY
from propersim_env.observation import Observation, read_observation
from propersim_env.seeding import derive, stream

from .learning import Learner
from .pairs import Moment, Option
from .policy import Policy
from .presets import Preset
from .presets import preset as named_preset
from .ready import policy_for
from .recall import Message, Recall
from .tallies import Instant, Judged
from .watch import Watch


@dataclass
class DayCount:
    """What happened on one day, for the notes."""

    decisions: int = 0
    said: int = 0
    rated: list[int] = field(default_factory=list)
    malformed: dict[str, int] = field(default_factory=dict)
    unsettled_silence: int = 0


class ProPerAssistant:
    """Retrieval-augmented memory and preference learning from this resident's ratings.

    Args:
        preset: Name in ``presets.json``; see `presets.Preset` for everything that it fixes.
        changes: Any field of the preset, e.g. ``level="none"`` or ``train=False``.

    Example:
        ``propersim run --assistants proper`` or ``--assistants proper:preset=cold:train=false``.
    """

    def __init__(self, preset: str = "default", **changes: Any) -> None:
        self.preset: Preset = named_preset(preset, **changes)
        self.policy: Policy = policy_for(self.preset)
        self.folder: Path | None = None

    def keep(self, folder: Path) -> None:
        """Where adapters and checkpoints go."""
        self.folder = folder

    def reset(self, seed: int) -> None:
        """Begin with a resident of whom nothing is known."""
        self.seed = seed
        self.rng = stream(seed, "proper")
        self.recall = Recall(self.preset.recall, self.preset.setting)
        self.name = f"resident-{seed}"
        self.policy.assign(self.name, Path(self.preset.adapter) if self.preset.adapter else None)
        self.learner = Learner(self.preset, self.policy, self.name, self.folder, seed)
        self._pool: list[str] = []
        self._pool_for: tuple[str, int] = ("", -1)
        self._considered: list[str] = []
        self._prompts: dict[int, tuple[tuple[Message, ...], Instant]] = {}
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
        groups: dict[tuple[int, int, float], list[int]] = {}
        for i, assistant in enumerate(assistants):
            key = (id(assistant.policy), assistant.preset.pool, assistant.preset.temperature)
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
        return self._considered

    def learn(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Turn the day's ratings into memory and, if the preset trains, into tonight's adapter."""
        events = self.learner.shuffled(events)
        moments, considered = [], []
        for event in events:
            self._count(event)
            there = self._prompts.get(event["tick"])
            if there is None:
                continue
            messages, instant = there
            options = [Option(event["text"], event["rating"], event["marks"], True)]
            for other in event.get("alternatives", ()):
                options.append(Option(other["text"], other["rating"], other["marks"], False))
                if other["text"]:
                    considered.append(Judged(instant, other["text"], other["marks"], False))
            moments.append(Moment(event["tick"], messages, tuple(options)))
        if self.preset.remember_considered:
            self.recall.learn(considered)
        self._prompts = {}
        self._notes = {**self._summary(), **self.learner.night(moments)}
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

    def _see(self, observation: str) -> tuple[Observation, tuple[Message, ...]]:
        seen = read_observation(observation)
        self.recall.see(seen)
        return seen, self.recall.messages(seen)

    def _wants_to_speak(self, log_odds: float) -> bool:
        """Decide by the log-odds: by the throw of a die while untrained, by a threshold once something was learnt."""
        p = self.preset
        if p.decide == "sample" or (p.decide == "sample-until-trained" and not self.learner.trained):
            odds = log_odds + p.untrained_bias
            return bool(self.rng.random() < 1 / (1 + math.exp(-max(-50.0, min(50.0, odds)))))
        return log_odds + self.learner.bias > 0

    def _needs_texts(self, seen: Observation, speak: bool) -> bool:
        """Whether the pool must be written anew for this activity."""
        if self._pool_for == (seen.action, seen.day):
            return speak and not self._fresh()
        return speak or self._shows(seen.tick)

    def _shows(self, tick: int) -> bool:
        """Whether alternatives are shown at this tick; the same whatever was said before."""
        return bool(self.preset.alternatives and stream(self.seed, "shown", tick).random() < self.preset.show_share)

    def _fill(self, seen: Observation, written: Sequence[Any]) -> None:
        """Take texts written for this activity into the pool; malformed ones are counted."""
        self._pool_for = (seen.action, seen.day)
        self._pool = []
        for one in written:
            if one.answer.malformed:
                kinds = self.today.malformed
                kinds[one.answer.malformed] = kinds.get(one.answer.malformed, 0) + 1
            elif one.answer.text not in self._pool:
                self._pool.append(one.answer.text)

    def _fresh(self) -> list[str]:
        """Texts of the pool that were not said lately."""
        since = self._tick - self.preset.no_repeat_days * TICKS_PER_DAY
        lately = {text for tick, text in self.recall.said[-64:] if tick > since}
        return [text for text in self._pool if text not in lately]

    def _choose(self, seen: Observation, fresh: Sequence[str]) -> str:
        """The text that promises most by memory, or the first."""
        if not self.preset.rank_by_memory:
            return fresh[0]
        return max(fresh, key=lambda text: self.recall.promise(seen, text))

    def _settle(self, seen: Observation, messages: tuple[Message, ...], speak: bool) -> str:
        """Choose the text, and what is shown beside it."""
        fresh = self._fresh()
        text = self._choose(seen, fresh) if speak and fresh else ""
        others: list[str] = []
        if self._shows(seen.tick) and self._pool:
            rest = [t for t in self._pool if t != text]
            first = int(np.random.default_rng(derive(self.seed, "which", seen.tick)).integers(max(1, len(rest))))
            others = (rest[first:] + rest[:first])[: self.preset.alternatives]
            silenced = stream(self.seed, "forced", seen.tick).random(len(others)) < self.preset.forced_silence
            others = ["" if silent else other for other, silent in zip(others, silenced, strict=True)]
        self._considered = others
        if text or others:
            self._prompts[seen.tick] = (messages, self.recall.instant(seen))
        if text:
            self.recall.spoke(seen, text)
        return text


def _decide(assistants: Sequence[ProPerAssistant], observations: Sequence[str]) -> list[str]:
    """Decisions of assistants that share a policy, and write as many texts at the same temperature."""
    policy = assistants[0].policy
    views = [a._see(text) for a, text in zip(assistants, observations, strict=True)]
    for assistant, (seen, _) in zip(assistants, views, strict=True):
        assistant._tick = seen.tick
    odds = policy.speak_log_odds([messages for _, messages in views], [a.name for a in assistants])
    speaks = [a._wants_to_speak(o) for a, o in zip(assistants, odds, strict=True)]
    short = [i for i, a in enumerate(assistants) if a._needs_texts(views[i][0], speaks[i])]
    if short:
        n, heat = assistants[0].preset.pool, assistants[0].preset.temperature
        seeds = [derive(assistants[i].seed, "texts", views[i][0].tick) % 2**63 for i in short]
        written = policy.write([views[i][1] for i in short], [assistants[i].name for i in short], n, seeds, heat)
        for i, texts in zip(short, written, strict=True):
            assistants[i]._fill(views[i][0], texts)
    return [a._settle(seen, messages, speak) for a, (seen, messages), speak in zip(assistants, views, speaks, strict=True)]
