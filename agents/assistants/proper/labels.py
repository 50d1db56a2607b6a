"""What a text is about and how it sounds, by its nearest texts of the public catalogue: the assistant's own reading."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from propersim_env.setting import Setting, load_setting

from .memory import TextEncoder

NEAREST = 3
"""Catalogue texts that have a say."""
SHARPNESS = 12.0
"""How much more a nearer text says (assumption; a copied text is read as itself)."""

Shares = tuple[tuple[int, float], ...]


class Labels:
    """Reads topics and tones of texts.

    Args:
        setting: Whose catalogue.
        encoder: For nearness.
    """

    def __init__(self, setting: Setting, encoder: TextEncoder) -> None:
        self.setting, self.encoder = setting, encoder
        tones = {t.id: k for k, t in enumerate(setting.tones)}
        self._known = {t.text: (((setting.topic_index[t.topic], 1.0),), ((tones[t.tone], 1.0),)) for t in setting.catalogue}
        self._topics = np.array([setting.topic_index[t.topic] for t in setting.catalogue])
        self._tones = np.array([tones[t.tone] for t in setting.catalogue])
        self._rows = encoder.encode([t.text for t in setting.catalogue])
        self.read = lru_cache(maxsize=1 << 16)(self._read)

    def _read(self, text: str) -> tuple[Shares, Shares]:
        """Topics and tones of a text: (index, share), shares adding up to 1."""
        if text in self._known:
            return self._known[text]
        near = self._rows @ self.encoder.encode([text])[0]
        best = np.argpartition(near, -NEAREST)[-NEAREST:]
        weights = np.exp(SHARPNESS * (near[best] - near[best].max()))
        weights /= weights.sum()
        return _gathered(self._topics[best], weights), _gathered(self._tones[best], weights)


def _gathered(labels: np.ndarray, weights: np.ndarray) -> Shares:
    shares: dict[int, float] = {}
    for label, weight in zip(labels.tolist(), weights.tolist(), strict=True):
        shares[label] = shares.get(label, 0.0) + weight
    return tuple(sorted(shares.items(), key=lambda item: -item[1]))


@lru_cache(maxsize=4)
def labels_of(setting: str, encoder: TextEncoder) -> Labels:
    """The labels of a setting, shared by all assistants that use the same encoder."""
    return Labels(load_setting(setting), encoder)


def main(shares: Sequence[tuple[int, float]]) -> int:
    """The label with the largest share."""
    return shares[0][0]
