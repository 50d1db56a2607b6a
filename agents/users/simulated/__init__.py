"""The simulated user: no language model, deterministic for a seed, fast.

Follow the data: `parameters` -> `routine` (what is done when) -> `day` (needs, moments, noise as arrays) -> `reader` (what a
text says) -> `rater` (what the resident thinks of it) -> `user` (n residents at once).
"""

from .user import Resident, SimulatedUser, SimulatedUsers

__all__ = ["Resident", "SimulatedUser", "SimulatedUsers"]
