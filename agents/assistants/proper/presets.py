"""Named ways of running ProPerAssistant: regimes, ablations and the published configuration. All are data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from propersim_env.names import near_matches
from propersim_env.schema import read_json

from .recall import RecallSettings

FILE = Path(__file__).with_name("presets.json")


@dataclass(frozen=True)
class Preset:
    """Everything that fixes how an assistant behaves, apart from seed and resident.

    Attributes:
        about: What it is for.
        base: Language model: ``"embedded"``, a hub id, a folder, a ``.gguf`` file or a package (see `models.load_base`).
        adapter: Folder of an adapter to start from; ``""`` for the base model alone.
        load_in_4bit: Quantise the base (needs a GPU).
        setting: Whose catalogue, topics and tones.
        recall: What is remembered and shown.
        decide: How the model decides: ``"threshold"``: speak when the log-odds of speaking plus `bias` are above 0;
            ``"sample"``: throw a die by them; ``"sample-first-day"``: the second until the first night, then the first.
            After the first night, where memory holds ratings, memory and model decide together (see `worth`).
        by_memory: Whether they do; if not, the model alone decides to the end.
        worth: Utility, -1..1, that must be expected of a text for it to be said.
        patience: What a day of silence takes from `worth`.
        bias: See `decide`.
        untrained_bias: Added to the log-odds where a die is thrown.
        pool: Texts written when the activity changes.
        remembered: Texts written before that join them, those that memory expects most of.
        temperature: Of writing.
        plan_temperature: Of choosing what to write about, for models that plan (see `plan.Plan`).
        least_log_probability: Texts are malformed of whose words the model was less sure: mean of a token's natural logarithm.
        no_repeat_days: Days in which the same text is not said again.
        rank_by_memory: Whether the text of the pool is said that memory expects most of, not the first.
        calibrate: Whether it is chosen anew every night how to decide, on moments of the last days whose answers are known: the
            weights of memory and model, or `bias` where the model decides alone.
        price: What speaking costs then, in moments at which it is welcome: .5 says to speak where half of them are.
        least_a_day: So many moments a day are spoken at even if none seems worth it: what is never tried is never learnt.
        alternatives: Texts shown to the resident's judgement at a moment, without being said (pairwise feedback).
        show_share: Share of moments at which that happens.
        forced_silence: Probability with which such a text is replaced by silence.
        revision: Whether the resident also rewrites such a text (see `revision.Reviser`); makes the run privileged.
        remember_considered: Whether ratings of texts that were not said enter the memory.
        train: Whether to learn at night.
        method: ``"dpo"`` or ``"kto"``.
        training: Preset of ``training.json``.
        scheme: Preset of ``pairs.json``: how ratings become pairs.
        replay: Which pairs a night trains on; see `pairs.replay`.
        from_scratch: Train each night's adapter anew from all replayed pairs, rather than going on from yesterday's.
        ability: Whether general ability is measured every night, for the notes (see `ability.Ability`).
        shuffle: Exchange the ratings of the day among each other: a control that must not learn.
    """

    about: str = ""
    base: str = "embedded"
    adapter: str = ""
    load_in_4bit: bool = False
    setting: str = "house"
    recall: RecallSettings = field(default_factory=RecallSettings)
    decide: str = "threshold"
    by_memory: bool = True
    worth: float = 0.2
    patience: float = 0.0
    bias: float = 0.0
    untrained_bias: float = 0.0
    pool: int = 8
    remembered: int = 32
    temperature: float = 1.0
    plan_temperature: float = 1.0
    least_log_probability: float = -math.inf
    no_repeat_days: float = 7.0
    rank_by_memory: bool = True
    calibrate: bool = True
    price: float = 0.5
    least_a_day: float = 1.5
    alternatives: int = 2
    show_share: float = 1.0
    forced_silence: float = 0.0
    revision: bool = False
    remember_considered: bool = True
    train: bool = True
    method: str = "dpo"
    training: str = "embedded"
    scheme: str = "moment"
    replay: str = "balanced"
    from_scratch: bool = False
    ability: bool = True
    shuffle: bool = False


def preset(name: str, **changes: Any) -> Preset:
    """A preset by name, with changes of single fields (those of `recall` by their own names).

    Raises:
        ValueError: No such preset, or no such field; near matches are listed.
    """
    known = _presets()
    if name not in known:
        raise ValueError(f"unknown preset {name!r} of ProPerAssistant: {near_matches(name, known)}")
    recall_fields = {f.name for f in fields(RecallSettings)}
    own_fields = {f.name for f in fields(Preset)} - {"recall", "about"}
    if unknown := set(changes) - recall_fields - own_fields:
        raise ValueError(f"ProPerAssistant has no option {sorted(unknown)[0]!r}: "
                         f"{near_matches(sorted(unknown)[0], recall_fields | own_fields)}")
    result = known[name]
    recall = replace(result.recall, **{k: v for k, v in changes.items() if k in recall_fields})
    return replace(result, recall=recall, **{k: v for k, v in changes.items() if k in own_fields})


def preset_names() -> dict[str, str]:
    """Names of all presets, and what they are for."""
    return {name: p.about for name, p in _presets().items()}


@lru_cache(maxsize=1)
def _presets() -> Mapping[str, Preset]:
    data = read_json(FILE)["presets"]
    made: dict[str, Preset] = {}
    for name, values in data.items():
        values = dict(values)
        base = made[values.pop("like")] if "like" in values else Preset()
        recall = replace(base.recall, **values.pop("recall", {}))
        made[name] = replace(base, recall=recall, **values)
    return made
