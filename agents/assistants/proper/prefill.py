"""Prompts of a large model are read from where they differ from the last one: instructions and memory stay the same all day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

KEPT = 16
"""Prompts that are kept, one for each adapter (assumption: residents of a small study; 18 MB each for 135 M parameters)."""


@dataclass(slots=True)
class Prefilled:
    """Prompts that a model has read.

    Attributes:
        logits: Of the token that follows each prompt, shape (prompts, vocabulary), float32.
        cache: Keys and values of all of them; belongs to whoever goes on from it.
        mask: Attention mask, shape (prompts, columns).
        next_position: Of the token that follows each prompt, shape (prompts, 1).
    """

    logits: torch.Tensor
    cache: Any
    mask: torch.Tensor
    next_position: torch.Tensor


class Prefill:
    """Keys and values of the last prompt read with each adapter."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[list[int], list[tuple[Any, Any]]]] = {}

    def forget(self) -> None:
        """What was read with adapters that are no longer there."""
        self._kept.clear()

    def shared(self, rows: Sequence[Sequence[int]], key: str | None) -> int:
        """Number of tokens with which all prompts and the kept one begin; one token at least is left to be read."""
        kept = self._kept.get(key or "")
        if kept is None:
            return 0
        tokens, most = kept[0], min(len(kept[0]), *(len(row) - 1 for row in rows))
        n = 0
        while n < most and all(row[n] == tokens[n] for row in rows):
            n += 1
        return n

    def read(self, model: Any, rows: Sequence[Sequence[int]], pad: int, key: str | None, more: dict[str, Any]) -> Prefilled:
        """Read prompts.

        Args:
            model: Of transformers.
            rows: Tokens of each prompt.
            pad: Token put before shorter ones.
            key: The one adapter of all rows; None if they have several, and then nothing is reused or kept.
            more: Keywords for the model.
        """
        import torch
        from transformers import DynamicCache

        n = self.shared(rows, key)
        longest = max(map(len, rows)) - n
        ids = torch.full((len(rows), longest), pad, dtype=torch.long)
        mask = torch.ones((len(rows), n + longest), dtype=torch.long)
        for i, row in enumerate(rows):
            blank = longest - (len(row) - n)
            ids[i, blank:] = torch.tensor(row[n:])
            mask[i, n : n + blank] = 0
        ids, mask = ids.to(model.device), mask.to(model.device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache = None
        if n:
            cache = DynamicCache()
            for layer, kept in enumerate(self._kept[key or ""][1]):
                cache.update(*(part[:, :, :n].expand(len(rows), -1, -1, -1) for part in kept), layer)
        out = model(input_ids=ids, attention_mask=mask, position_ids=positions[:, n:], past_key_values=cache, use_cache=True,
                    logits_to_keep=1, **more)
        if key is not None:
            self._keep(key, list(rows[0]), out.past_key_values, mask[0].bool())
        return Prefilled(out.logits[:, -1].float(), out.past_key_values, mask, positions[:, -1:] + 1)

    def _keep(self, key: str, tokens: list[int], cache: Any, columns: torch.Tensor) -> None:
        """Keep the first row, without its padding; only caches that hold every token can be cut to any length."""
        layers = getattr(cache, "layers", ())
        if not layers or {type(layer).__name__ for layer in layers} != {"DynamicLayer"}:
            return
        self._kept.pop(key, None)
        while len(self._kept) >= KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = tokens, [(layer.keys[:1, :, columns], layer.values[:1, :, columns]) for layer in layers]
