"""Whether what a preset asks for is there: looked at before an episode begins, not in its first night."""

from __future__ import annotations

from pathlib import Path

from propersim_env.schema import read_json
from propersim_env.splits import check_catalogue

from .expectation import prior
from .models import PACKAGES, check_adapter, need_installed, place_of, read_adapter
from .pairs import Replay, Scheme
from .policy import Policy, shared_policy
from .presets import Preset
from .train import TrainSettings


def learned_from(preset: Preset) -> tuple[str, ...]:
    """Of whom base, prior and adapter have learned: splits, populations or ids of people (see `propersim_env.splits`)."""
    known = set(prior(preset.recall.prior).learned_from)
    place = place_of(preset.base)
    if place is not None and (note := place.parent / "build.json").is_file():
        known |= set(read_json(note).get("learned_from", ()))
    if preset.adapter:
        known |= set(read_adapter(preset.base, Path(preset.adapter)).get("learned_from", ()))
    return tuple(sorted(known))


def policy_for(preset: Preset) -> Policy:
    """The policy that a preset asks for; what cannot be run is refused, the quicker it can be found out the earlier.

    Raises:
        ImportError: A package is missing.
        ValueError: No such model, adapter, way of training, of making pairs or of replaying them, or an adapter of another
            model.
    """
    if preset.train:
        TrainSettings.preset(preset.training, method=preset.method)
        Scheme.preset(preset.scheme)
        Replay.preset(preset.replay)
    prior(preset.recall.prior)
    if preset.base.startswith("embedded"):
        check_catalogue(preset.setting, "house", "its embedded models write texts of house; name another model with base=…")
    need_installed(PACKAGES if preset.train or preset.adapter else PACKAGES[:2], "ProPerAssistant")
    place_of(preset.base)
    if preset.adapter:
        read_adapter(preset.base, Path(preset.adapter))
    policy = shared_policy(preset.base, preset.load_in_4bit)
    if preset.adapter:
        check_adapter(policy.base, Path(preset.adapter))
    return policy
