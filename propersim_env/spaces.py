"""The text space: any Unicode string, including the empty one, which is silence."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import create_shared_memory
from gymnasium.vector.utils.shared_memory import create_shared_memory as _registry

_SAMPLE_CHARSET = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?'0123456789éßЖ中ع😀"


class Unicode(spaces.Text):
    r"""All strings of up to `max_length` characters, whatever their script.

    `gymnasium.spaces.Text` keeps its charset as a set and a table: the whole of Unicode would cost 46 MB to pickle. This
    subclass accepts any string and keeps a small charset for `sample` only.

    Example:
        >>> "\U0001F600 שלום \x00" in Unicode()
        True
    """

    def __init__(self, max_length: int = 1_000_000, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(max_length=max_length, min_length=0, charset=_SAMPLE_CHARSET, seed=seed)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A random string of 0 to 40 characters."""
        length = int(self.np_random.integers(41))
        return "".join(_SAMPLE_CHARSET[i] for i in self.np_random.integers(len(_SAMPLE_CHARSET), size=length))

    def contains(self, x: Any) -> bool:
        """Whether `x` is a string that is short enough."""
        return isinstance(x, str) and len(x) <= self.max_length

    def __repr__(self) -> str:
        return f"Unicode(max_length={self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unicode) and self.max_length == other.max_length

    def __hash__(self) -> int:
        return hash((Unicode, self.max_length))


@_registry.register(Unicode)
def _no_shared_memory(space: Unicode, n: int = 1, ctx: Any = None) -> Any:
    """Refuse loudly: shared memory of fixed size silently corrupts text of varying length."""
    raise ValueError(
        "ProPerSim observations are text of varying length and cannot live in shared memory: pass "
        "shared_memory=False to AsyncVectorEnv, or use gymnasium.make_vec('ProPerSim-v0', num_envs=n), which is faster"
    )


__all__ = ["Unicode", "create_shared_memory"]
