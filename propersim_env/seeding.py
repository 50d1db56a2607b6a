"""Seeds: one tree of named streams, so that two policies share every exogenous draw.

A stream is named by what it is for (``"routine"``, ``"noise"``…) and where it applies (persona, day). Its numbers depend
on the name and the seed only, never on how many numbers another stream has handed out: a skipped draw shifts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """The counter-based (Philox) generator of one named stream.

    Args:
        seed: Seed of the episode, >= 0.
        names: Path in the tree, e.g. ``("p01", "routine", 3)``. Strings enter by their CRC-32.

    Example:
        >>> float(stream(0, "p01", "noise", 3).random()) == float(stream(0, "p01", "noise", 3).random())
        True
    """
    path = [crc32(name.encode()) if isinstance(name, str) else int(name) for name in names]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *path])))


def derive(seed: int, *names: str | int) -> int:
    """A seed (0 <= s < 2**32) for a whole sub-tree, such as one episode or one assistant."""
    return int(stream(seed, *names).integers(2**32))


def rng_state(rng: np.random.Generator) -> dict[str, Any]:
    """State of a generator from `stream` as JSON values."""
    state: Any = rng.bit_generator.state
    return {
        "counter": state["state"]["counter"].tolist(), "key": state["state"]["key"].tolist(),
        "buffer": state["buffer"].tolist(), "rest": [state["buffer_pos"], state["has_uint32"], state["uinteger"]],
    }


def rng_from_state(state: Mapping[str, Any]) -> np.random.Generator:
    """The generator whose state `rng_state` gave."""
    rng = np.random.Generator(np.random.Philox())
    position, has_half, half = state["rest"]
    rng.bit_generator.state = {
        "bit_generator": "Philox",
        "state": {"counter": np.array(state["counter"], np.uint64), "key": np.array(state["key"], np.uint64)},
        "buffer": np.array(state["buffer"], np.uint64), "buffer_pos": position, "has_uint32": has_half,
        "uinteger": half,
    }
    return rng
