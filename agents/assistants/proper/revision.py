"""User revision, an ablation: the resident rewrites a candidate instead of only rating it.

The simulated resident rewrites a text that lacks a mark for preference or communication, whether or not the moment is right. It
says what it would rather have been told: the best put text of the catalogue about what it wants most now. This needs its
mind, so a run is recorded as privileged, as that of an oracle is.
"""

from __future__ import annotations

from collections.abc import Sequence

from propersim_env.agents.assistants.oracles import Privileged

from .pairs import OF_CONTENT


class Reviser(Privileged):
    """Rewrites candidates as the resident that it is bound to would have them."""

    def revise(self, texts: Sequence[str]) -> list[str]:
        """The texts, with the resident's own after them if it would change one and has one that earns both marks now."""
        resident = self.look()
        if all(resident.judge(text).marks & OF_CONTENT == OF_CONTENT for text in texts if text):
            return list(texts)
        own, marks = self.best_text(resident, OF_CONTENT)
        return [*texts, own] if marks == OF_CONTENT.bit_count() else list(texts)
