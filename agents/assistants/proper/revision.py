"""User revision, an ablation: the resident rewrites a candidate instead of only rating it.

The simulated resident does so by saying what it would rather have heard then: the best put text of the catalogue about what it
wants most, if that earns all four marks now, and silence otherwise. This needs the mind of the resident, so a run is recorded
as privileged, as that of an oracle is.
"""

from __future__ import annotations

from propersim_env.agents.assistants.oracles import Privileged
from propersim_env.messages import ALL_MARKS


class Reviser(Privileged):
    """Rewrites candidates as the resident that it is bound to would have them."""

    def revise(self) -> str:
        """What the resident would rather have heard now; ``""`` for silence."""
        text, marks = self.best_text(self.look())
        return text if marks == ALL_MARKS.bit_count() else ""
