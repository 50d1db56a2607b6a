"""Whether what a preset asks for is there: looked at before an episode begins, not in its first night."""

from __future__ import annotations

from pathlib import Path

from .expectation import prior
from .models import PACKAGES, check_adapter, need_installed, place_of, read_adapter
from .pairs import Replay, Scheme
from .policy import Policy, shared_policy
from .presets import Preset
from .train import TrainSettings


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
    need_installed(PACKAGES if preset.train or preset.adapter else PACKAGES[:2], "ProPerAssistant")
    place_of(preset.base)
    if preset.adapter:
        read_adapter(preset.base, Path(preset.adapter))
    policy = shared_policy(preset.base, preset.load_in_4bit)
    if preset.adapter:
        check_adapter(policy.base, Path(preset.adapter))
    return policy
