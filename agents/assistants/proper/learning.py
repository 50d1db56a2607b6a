"""One resident's nights: the day's moments become pairs, a replay of pairs becomes an adapter, and the adapter takes over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from propersim_env.clock import TICKS_PER_DAY
from propersim_env.seeding import derive, stream

from .pairs import Example, Moment, Pair, kto_examples, pairs_of, replay
from .policy import Policy
from .presets import Preset

SHOWN = ("kept", "too_long", "tied", "steps", "first_loss", "last_loss", "accuracy", "tokens")
"""What of a training report goes into the notes: what is the same at every run."""


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
        self._temporary = None if folder is not None else TemporaryDirectory(prefix="propersim-")
        self.folder = folder if folder is not None else Path(self._temporary.name)  # type: ignore[union-attr]
        self.pairs: dict[int, list[Pair]] = {}
        self.examples: list[Example] = []
        self.trained = bool(preset.adapter)
        self.current: Path | None = Path(preset.adapter) if preset.adapter else None

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

    def night(self, moments: Sequence[Moment]) -> dict[str, Any]:
        """Learn from the moments of a day.

        Returns:
            Numbers for the notes: pairs kept and tied, losses, and whether an adapter was made.
        """
        if not self.preset.train or not moments:
            return {}
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
