"""One resident's nights: the day's moments become pairs, a replay of pairs becomes an adapter, and the adapter takes over."""

from __future__ import annotations

import math
import shutil
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from propersim_env.agents.assistants.scripted import WAKING_TICKS
from propersim_env.clock import TICKS_PER_DAY
from propersim_env.seeding import derive, stream

from .ability import Ability
from .expectation import Expectation
from .pairs import OF_MOMENT, Example, Moment, Pair, kto_examples, pairs_of, replay
from .policy import Policy
from .presets import Preset

SHOWN = ("kept", "too_long", "tied", "steps", "first_loss", "last_loss", "accuracy", "tokens")
"""What of a training report goes into the notes: what is the same at every run."""
CALIBRATION_DAYS, CALIBRATION_MOMENTS = 3, 48
"""Days, and moments of each, on which it is chosen how to decide (assumption: enough of them, and not too old)."""

MOST_ODDS = 20.0
"""Log-odds of speaking that no model exceeds by much, where its own are not known yet."""


def best_bias(log_odds: Sequence[float], welcome: Sequence[bool], price: float, least_share: float) -> float:
    """What to add to log-odds so that speaking above 0 gains most on moments whose answers are known.

    Args:
        log_odds: Of speaking, one a moment.
        welcome: Whether speaking would have been welcome then.
        price: What speaking costs, in welcome moments.
        least_share: Share of moments that is spoken at in any case.

    Example:
        >>> best_bias([3.0, 1.0, -1.0, -2.0], [True, True, False, False], 0.5, 0.0)
        -0.0
    """
    order = sorted(range(len(log_odds)), key=lambda i: -log_odds[i])
    gain, best, count = 0.0, 0.0, 0
    for n, i in enumerate(order, 1):
        gain += welcome[i] - price
        if gain > best:
            best, count = gain, n
    count = min(max(count, math.ceil(least_share * len(order))), len(order))
    if count == 0:
        return -log_odds[order[0]] - 1.0
    last = log_odds[order[count - 1]]
    following = log_odds[order[count]] if count < len(order) else last - 1.0
    return -(last + following) / 2


class Learner:
    """Learns from one resident.

    Args:
        preset: How.
        policy: Gets the adapters.
        name: Of the resident.
        folder: Where adapters are kept; a temporary folder if None.
        seed: Of the episode's assistant.
    """

    def __init__(self, preset: Preset, policy: Policy, name: str, folder: Path | None, seed: int) -> None:
        self.preset, self.policy, self.name, self.seed = preset, policy, name, seed
        self._folder = folder
        self.pairs: dict[int, list[Pair]] = {}
        self.examples: list[Example] = []
        self.trained = bool(preset.adapter)
        self.bias = preset.bias
        self.nights = 0
        self.odds_range = (-MOST_ODDS, MOST_ODDS)
        self._known: dict[int, list[Moment]] = {}
        self.ability = Ability()
        self.current: Path | None = Path(preset.adapter) if preset.adapter else None

    @property
    def folder(self) -> Path:
        """Where adapters are kept; a temporary one is there as long as the learner is."""
        if self._folder is None:
            self._folder = Path(mkdtemp(prefix="propersim-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    def shuffled(self, events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The events, with their ratings exchanged among the rated texts of the day where the preset asks for that."""
        own = [dict(event) for event in events]
        if not self.preset.shuffle or not own:
            return own
        places: list[dict[str, Any]] = []
        for event in own:
            event["alternatives"] = [dict(a) for a in event.get("alternatives", ())]
            places += [event, *event["alternatives"]]
        rated = [p for p in places if p["text"] and p["marks"] is not None]
        order = stream(self.seed, "shuffle", own[0]["tick"]).permutation(len(rated))
        values = [(rated[k]["marks"], rated[k]["rating"]) for k in order]
        for place, (marks, rating) in zip(rated, values, strict=True):
            place["marks"], place["rating"] = marks, rating
        return own

    def night(self, moments: Sequence[Moment], expectation: Expectation | None = None) -> dict[str, Any]:
        """Learn from the moments of a day.

        Args:
            moments: What was decided, shown and rated.
            expectation: The memory that the model decides together with, if any.

        Returns:
            Numbers for the notes: pairs kept and tied, losses, whether an adapter was made, the threshold of speaking, and the
            weights of memory and model in decisions.
        """
        self.nights += 1
        if not moments:
            return {}
        notes = self._train(moments) if self.preset.train else {}
        if self.preset.calibrate:
            notes |= self._calibrate(moments, expectation)
        return notes | (self.ability.night(self.policy, self.name, self.current) if self.preset.ability else {})

    def _calibrate(self, moments: Sequence[Moment], expectation: Expectation | None) -> dict[str, Any]:
        """Choose, on moments of the last days, how memory and model decide together, or the threshold of the model alone."""
        day = moments[0].tick // TICKS_PER_DAY
        rated = [m for m in moments if any(o.text and o.marks is not None for o in m.options)]
        order = stream(self.seed, "calibrate", day).permutation(len(rated))[:CALIBRATION_MOMENTS]
        self._known[day] = [rated[k] for k in sorted(order.tolist())]
        recent = [m for d in sorted(self._known)[-CALIBRATION_DAYS:] for m in self._known[d]]
        if not recent:
            return {}
        odds = self.policy.speak_log_odds([m.messages for m in recent], [self.name] * len(recent))
        welcome = [all(o.marks & OF_MOMENT == OF_MOMENT for o in m.options if o.text and o.marks is not None) for m in recent]
        if expectation is not None:
            both = [(o, m.memory, w) for o, m, w in zip(odds, recent, welcome, strict=True) if m.memory is not None]
            if both:
                expectation.fit_welcome(*zip(*both, strict=True))
            self.odds_range = (min(odds), max(odds))
            return {"weights": [round(w, 4) for w in expectation.weights["welcome"].tolist()]}
        share, today = self.preset.least_a_day / WAKING_TICKS, len(self._known[day])
        paying = best_bias(odds, welcome, self.preset.price, 0.0)
        least = best_bias(odds[-today:], [False] * today, self.preset.price, share) if today else paying
        self.bias = round(max(paying, least), 4)
        return {"bias": self.bias}

    def _train(self, moments: Sequence[Moment]) -> dict[str, Any]:
        """Make tonight's adapter."""
        from .train import TrainingError, TrainSettings, train

        day = moments[0].tick // TICKS_PER_DAY
        self.pairs[day], counts = pairs_of(moments, self.preset.scheme, self.policy.spell)
        rng = stream(self.seed, "replay", day)
        chosen: list[Pair] | list[Example] = replay(self.pairs, self.preset.replay, rng)
        if self.preset.method == "kto":
            self.examples += kto_examples(moments, delivered_only=not self.preset.alternatives, spell=self.policy.spell)
            chosen = [self.examples[i] for i in rng.permutation(len(self.examples))[: 2 * len(chosen)]]
        notes: dict[str, Any] = {"pairs": asdict(counts), "trained_on": len(chosen)}
        settings = TrainSettings.preset(self.preset.training, method=self.preset.method,
                                        seed=derive(self.seed, "train", day) % 2**31)
        if len(chosen) < settings.least:
            return {**notes, "adapter": "none: too few pairs"}
        out = self.folder / f"day-{day + 1:03d}"
        start = None if self.preset.from_scratch else self.current
        try:
            with self.policy.set_aside():
                report = train(self.policy.base, chosen, out, settings, adapter=start, tied=counts.tied)
        except TrainingError as error:  # yesterday's adapter stays, and the notes say why
            return {**notes, "adapter": f"kept yesterday's: {error}"}
        self.current, self.trained = out, True
        self.policy.assign(self.name, out)
        shown = {name: getattr(report, name) for name in SHOWN}
        return {**notes, "adapter": out.name, **{k: v if v is None else round(v, 4) for k, v in shown.items()}}
